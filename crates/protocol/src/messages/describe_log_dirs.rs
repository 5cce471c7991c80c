//! DescribeLogDirs: how much disk each partition takes.

use crate::ErrorCode;
use crate::messages::schema::api;

api! {
    DescribeLogDirs = 35, versions 1..=5, flexible 2..;

    request DescribeLogDirsRequest {
        topics: Option<Vec<DescribableLogDirTopic>> [0.., null 0..],
    }

    response DescribeLogDirsResponse {
        throttle_time_ms: i32,
        error_code: ErrorCode [3..],
        results: Vec<DescribeLogDirsResult>,
    }

    struct DescribableLogDirTopic {
        topic: String,
        partitions: Vec<i32>,
    }

    struct DescribeLogDirsResult {
        error_code: ErrorCode,
        log_dir: String,
        topics: Vec<DescribeLogDirsTopic>,
        total_bytes: i64 [4..] = -1,
        usable_bytes: i64 [4..] = -1,
        is_cordoned: bool [5..],
    }

    struct DescribeLogDirsTopic {
        name: String,
        partitions: Vec<DescribeLogDirsPartition>,
    }

    struct DescribeLogDirsPartition {
        partition_index: i32,
        partition_size: i64,
        offset_lag: i64,
        is_future_key: bool,
    }
}
