//! DeleteAcls: takes away rules that fit a filter.

use crate::ErrorCode;
use crate::messages::schema::api;

api! {
    DeleteAcls = 31, versions 1..=3, flexible 2..;

    request DeleteAclsRequest {
        filters: Vec<DeleteAclsFilter>,
    }

    response DeleteAclsResponse {
        throttle_time_ms: i32,
        filter_results: Vec<DeleteAclsFilterResult>,
    }

    struct DeleteAclsFilter {
        resource_type_filter: i8,
        resource_name_filter: Option<String> [0.., null 0..],
        pattern_type_filter: i8 = 3,
        principal_filter: Option<String> [0.., null 0..],
        host_filter: Option<String> [0.., null 0..],
        operation: i8,
        permission_type: i8,
    }

    struct DeleteAclsFilterResult {
        error_code: ErrorCode,
        error_message: Option<String> [0.., null 0..],
        matching_acls: Vec<DeleteAclsMatchingAcl>,
    }

    struct DeleteAclsMatchingAcl {
        error_code: ErrorCode,
        error_message: Option<String> [0.., null 0..],
        resource_type: i8,
        resource_name: String,
        pattern_type: i8 = 3,
        principal: String,
        host: String,
        operation: i8,
        permission_type: i8,
    }
}
