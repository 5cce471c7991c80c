//! OffsetCommit: how far a group has read. Durable when it is answered.

use millstream_protocol::ErrorCode;
use millstream_protocol::messages::offset_commit::{OffsetCommitResponsePartition, OffsetCommitResponseTopic};
use millstream_protocol::messages::{OffsetCommitRequest, OffsetCommitResponse};

use super::{Access, Api, Context, commit_code};
use crate::groups::coordinator::{Commit, Committer};
use crate::security::acl::{Operation, Resource};

/// Topic ids instead of names.
const IDS_SINCE: i16 = 10;

pub(crate) struct OffsetCommit;

impl Api for OffsetCommit {
    type Request = OffsetCommitRequest;

    const ACCESS: Access<OffsetCommitRequest> = Access::One {
        operation: Operation::Read,
        of: |request| Resource::group(&request.group_id),
        denied: refused_all,
    };

    async fn handle(context: Context, request: OffsetCommitRequest) -> OffsetCommitResponse {
        let mut commits = Vec::new();
        let mut topics = Vec::new();
        for asked in request.topics {
            let topic = context.topic(Operation::Read, &asked.name, asked.topic_id, context.version >= IDS_SINCE);
            let mut partitions = Vec::new();
            for one in asked.partitions {
                let metadata = one.committed_metadata.unwrap_or_default();
                let error_code = match &topic {
                    Err(code) => *code,
                    Ok(topic) if topic.partition(one.partition_index).is_err() => ErrorCode::UnknownTopicOrPartition,
                    Ok(_) if metadata.len() > context.broker.config.offset_metadata_bytes_max => {
                        ErrorCode::OffsetMetadataTooLarge
                    }
                    Ok(topic) => {
                        commits.push(Commit {
                            topic: topic.name.to_string(),
                            partition: one.partition_index,
                            offset: one.committed_offset,
                            leader_epoch: one.committed_leader_epoch,
                            metadata,
                        });
                        ErrorCode::None
                    }
                };
                partitions.push(OffsetCommitResponsePartition { partition_index: one.partition_index, error_code });
            }
            topics.push(OffsetCommitResponseTopic { name: asked.name, topic_id: asked.topic_id, partitions });
        }
        let by = Committer {
            member_id: request.member_id,
            instance_id: request.group_instance_id,
            generation: request.generation_id_or_member_epoch,
        };
        if let Err(error) = context.broker.groups.commit(&request.group_id, &by, commits).await {
            let code = commit_code(&error);
            let all = topics.iter_mut().flat_map(|topic| &mut topic.partitions);
            all.filter(|partition| partition.error_code.is_ok()).for_each(|partition| partition.error_code = code);
        }
        OffsetCommitResponse { topics, ..OffsetCommitResponse::default() }
    }
}

fn refused_all(request: OffsetCommitRequest) -> OffsetCommitResponse {
    let topics = request.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|one| OffsetCommitResponsePartition {
            partition_index: one.partition_index,
            error_code: ErrorCode::GroupAuthorizationFailed,
        });
        let partitions = partitions.collect();
        OffsetCommitResponseTopic { name: topic.name, topic_id: topic.topic_id, partitions }
    });
    OffsetCommitResponse { topics: topics.collect(), ..OffsetCommitResponse::default() }
}
