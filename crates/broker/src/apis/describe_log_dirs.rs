//! DescribeLogDirs: the data folder, and what each partition takes up in it.

use std::collections::BTreeMap;

use millstream_protocol::ErrorCode;
use millstream_protocol::messages::describe_log_dirs::{
    DescribeLogDirsPartition, DescribeLogDirsResult, DescribeLogDirsTopic,
};
use millstream_protocol::messages::{DescribeLogDirsRequest, DescribeLogDirsResponse};

use super::{Access, Api, Context};
use crate::runtime::blocking;
use crate::security::acl::{Operation, Resource};

pub(crate) struct DescribeLogDirs;

impl Api for DescribeLogDirs {
    type Request = DescribeLogDirsRequest;

    const ACCESS: Access<DescribeLogDirsRequest> = Access::One {
        operation: Operation::Describe,
        of: |_| Resource::CLUSTER,
        denied: |_| DescribeLogDirsResponse {
            error_code: ErrorCode::ClusterAuthorizationFailed,
            ..DescribeLogDirsResponse::default()
        },
    };

    async fn handle(context: Context, request: DescribeLogDirsRequest) -> DescribeLogDirsResponse {
        let asked: Option<BTreeMap<String, Vec<i32>>> =
            request.topics.map(|topics| topics.into_iter().map(|topic| (topic.topic, topic.partitions)).collect());
        let mut topics = Vec::new();
        for topic in context.broker.topics.all().iter().filter(|topic| !topic.is_internal()) {
            let only = match &asked {
                Some(asked) => match asked.get(&*topic.name) {
                    Some(partitions) => Some(partitions),
                    None => continue,
                },
                None => None,
            };
            let numbered = (0..).zip(&topic.partitions);
            let partitions = numbered.filter(|(index, _)| only.is_none_or(|only| only.contains(index))).map(
                |(partition_index, partition)| DescribeLogDirsPartition {
                    partition_index,
                    partition_size: partition.size_bytes() as i64,
                    ..DescribeLogDirsPartition::default()
                },
            );
            topics.push(DescribeLogDirsTopic { name: topic.name.to_string(), partitions: partitions.collect() });
        }
        // Of a disk that does not tell there is nothing to say.
        let disk = blocking(|| rustix::fs::statvfs(context.broker.log.dir())).ok();
        let bytes = |blocks: u64, of: u64| i64::try_from(blocks.saturating_mul(of)).unwrap_or(i64::MAX);
        let results = vec![DescribeLogDirsResult {
            error_code: ErrorCode::None,
            log_dir: context.broker.log.dir().display().to_string(),
            topics,
            total_bytes: disk.as_ref().map_or(-1, |disk| bytes(disk.f_blocks, disk.f_frsize)),
            usable_bytes: disk.as_ref().map_or(-1, |disk| bytes(disk.f_bavail, disk.f_frsize)),
            ..DescribeLogDirsResult::default()
        }];
        DescribeLogDirsResponse { results, ..DescribeLogDirsResponse::default() }
    }
}
