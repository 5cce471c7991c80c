//! AlterConfigs: replace all settings of a topic or broker (older clients).

use crate::ErrorCode;
use crate::messages::schema::api;

api! {
    AlterConfigs = 33, versions 0..=2, flexible 2..;

    request AlterConfigsRequest {
        resources: Vec<AlterConfigsResource>,
        validate_only: bool,
    }

    response AlterConfigsResponse {
        throttle_time_ms: i32,
        responses: Vec<AlterConfigsResourceResponse>,
    }

    struct AlterConfigsResource {
        resource_type: i8,
        resource_name: String,
        configs: Vec<AlterableConfig>,
    }

    struct AlterableConfig {
        name: String,
        value: Option<String> [0.., null 0..],
    }

    struct AlterConfigsResourceResponse {
        error_code: ErrorCode,
        error_message: Option<String> [0.., null 0..],
        resource_type: i8,
        resource_name: String,
    }
}
