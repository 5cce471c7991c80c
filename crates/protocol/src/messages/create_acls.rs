//! CreateAcls: who may do what to what.

use crate::ErrorCode;
use crate::messages::schema::api;

api! {
    CreateAcls = 30, versions 1..=3, flexible 2..;

    request CreateAclsRequest {
        creations: Vec<AclCreation>,
    }

    response CreateAclsResponse {
        throttle_time_ms: i32,
        results: Vec<AclCreationResult>,
    }

    struct AclCreation {
        resource_type: i8,
        resource_name: String,
        resource_pattern_type: i8 = 3,
        principal: String,
        host: String,
        operation: i8,
        permission_type: i8,
    }

    struct AclCreationResult {
        error_code: ErrorCode,
        error_message: Option<String> [0.., null 0..],
    }
}
