//! DescribeCluster: the cluster's id and brokers.

use crate::ErrorCode;
use crate::messages::schema::api;

api! {
    DescribeCluster = 60, versions 0..=2, flexible 0..;

    request DescribeClusterRequest {
        include_cluster_authorized_operations: bool,
        endpoint_type: i8 [1..] = 1,
        include_fenced_brokers: bool [2..],
    }

    response DescribeClusterResponse {
        throttle_time_ms: i32,
        error_code: ErrorCode,
        error_message: Option<String> [0.., null 0..],
        endpoint_type: i8 [1..] = 1,
        cluster_id: String,
        controller_id: i32 = -1,
        brokers: Vec<DescribeClusterBroker>,
        cluster_authorized_operations: i32 = i32::MIN,
    }

    struct DescribeClusterBroker {
        broker_id: i32,
        host: String,
        port: i32,
        rack: Option<String> [0.., null 0..],
        is_fenced: bool [2..],
    }
}
