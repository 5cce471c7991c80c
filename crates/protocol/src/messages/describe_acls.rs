//! DescribeAcls: the rules that fit a filter.

use crate::ErrorCode;
use crate::messages::schema::api;

api! {
    DescribeAcls = 29, versions 1..=3, flexible 2..;

    request DescribeAclsRequest {
        resource_type_filter: i8,
        resource_name_filter: Option<String> [0.., null 0..],
        pattern_type_filter: i8 = 3,
        principal_filter: Option<String> [0.., null 0..],
        host_filter: Option<String> [0.., null 0..],
        operation: i8,
        permission_type: i8,
    }

    response DescribeAclsResponse {
        throttle_time_ms: i32,
        error_code: ErrorCode,
        error_message: Option<String> [0.., null 0..],
        resources: Vec<DescribeAclsResource>,
    }

    struct DescribeAclsResource {
        resource_type: i8,
        resource_name: String,
        pattern_type: i8 = 3,
        acls: Vec<AclDescription>,
    }

    struct AclDescription {
        principal: String,
        host: String,
        operation: i8,
        permission_type: i8,
    }
}
