//! IncrementalAlterConfigs: change single settings of topics and brokers.

use crate::ErrorCode;
use crate::messages::schema::api;

api! {
    IncrementalAlterConfigs = 44, versions 0..=1, flexible 1..;

    request IncrementalAlterConfigsRequest {
        resources: Vec<AlterConfigsResource>,
        validate_only: bool,
    }

    response IncrementalAlterConfigsResponse {
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
        config_operation: i8,
        value: Option<String> [0.., null 0..],
    }

    struct AlterConfigsResourceResponse {
        error_code: ErrorCode,
        error_message: Option<String> [0.., null 0..],
        resource_type: i8,
        resource_name: String,
    }
}
