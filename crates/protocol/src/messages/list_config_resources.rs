//! ListConfigResources: which resources have settings.

use crate::ErrorCode;
use crate::messages::schema::api;

api! {
    ListConfigResources = 74, versions 0..=1, flexible 0..;

    request ListConfigResourcesRequest {
        resource_types: Vec<i8> [1..],
    }

    response ListConfigResourcesResponse {
        throttle_time_ms: i32,
        error_code: ErrorCode,
        config_resources: Vec<ConfigResource>,
    }

    struct ConfigResource {
        resource_name: String,
        resource_type: i8 [1..] = 16,
    }
}
