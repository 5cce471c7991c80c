//! DescribeConfigs: settings of topics and brokers.

use crate::ErrorCode;
use crate::messages::schema::api;

api! {
    DescribeConfigs = 32, versions 1..=4, flexible 4..;

    request DescribeConfigsRequest {
        resources: Vec<DescribeConfigsResource>,
        include_synonyms: bool,
        include_documentation: bool [3..],
    }

    response DescribeConfigsResponse {
        throttle_time_ms: i32,
        results: Vec<DescribeConfigsResult>,
    }

    struct DescribeConfigsResource {
        resource_type: i8,
        resource_name: String,
        configuration_keys: Option<Vec<String>> [0.., null 0..],
    }

    struct DescribeConfigsResult {
        error_code: ErrorCode,
        error_message: Option<String> [0.., null 0..],
        resource_type: i8,
        resource_name: String,
        configs: Vec<DescribeConfigsResourceResult>,
    }

    struct DescribeConfigsResourceResult {
        name: String,
        value: Option<String> [0.., null 0..],
        read_only: bool,
        config_source: i8 = -1,
        is_sensitive: bool,
        synonyms: Vec<DescribeConfigsSynonym>,
        config_type: i8 [3..],
        documentation: Option<String> [3.., null 0..],
    }

    struct DescribeConfigsSynonym {
        name: String,
        value: Option<String> [1.., null 0..],
        source: i8,
    }
}
