//! OffsetDelete: forgets how far a group has read some topics.

use std::collections::BTreeMap;

use millstream_protocol::ErrorCode;
use millstream_protocol::messages::offset_delete::{OffsetDeleteResponsePartition, OffsetDeleteResponseTopic};
use millstream_protocol::messages::{OffsetDeleteRequest, OffsetDeleteResponse};

use super::{Access, Api, Context, commit_code, group_code};
use crate::security::acl::{Operation, Resource};

pub(crate) struct OffsetDelete;

impl Api for OffsetDelete {
    type Request = OffsetDeleteRequest;

    const ACCESS: Access<OffsetDeleteRequest> = Access::One {
        operation: Operation::Delete,
        of: |request| Resource::group(&request.group_id),
        denied: |_| OffsetDeleteResponse {
            error_code: ErrorCode::GroupAuthorizationFailed,
            ..OffsetDeleteResponse::default()
        },
    };

    async fn handle(context: Context, request: OffsetDeleteRequest) -> OffsetDeleteResponse {
        let each = request.topics.into_iter();
        let names: Vec<(String, i32)> = each
            .flat_map(|topic| topic.partitions.into_iter().map(move |one| (topic.name.clone(), one.partition_index)))
            .collect();
        let (names, denied): (Vec<_>, Vec<_>) =
            names.into_iter().partition(|(topic, _)| context.may(Operation::Read, Resource::topic(topic)));
        let answers = match context.broker.groups.delete_offsets(&request.group_id, &names).await {
            Ok(answers) => answers,
            Err(error) => {
                return OffsetDeleteResponse { error_code: commit_code(&error), ..OffsetDeleteResponse::default() };
            }
        };
        let mut topics: BTreeMap<String, Vec<OffsetDeleteResponsePartition>> = BTreeMap::new();
        for ((topic, partition_index), answer) in names.into_iter().zip(answers) {
            let error_code = answer.map_or_else(group_code, |()| ErrorCode::None);
            topics.entry(topic).or_default().push(OffsetDeleteResponsePartition { partition_index, error_code });
        }
        for (topic, partition_index) in denied {
            let error_code = ErrorCode::TopicAuthorizationFailed;
            topics.entry(topic).or_default().push(OffsetDeleteResponsePartition { partition_index, error_code });
        }
        let topics = topics.into_iter().map(|(name, partitions)| OffsetDeleteResponseTopic { name, partitions });
        OffsetDeleteResponse { topics: topics.collect(), ..OffsetDeleteResponse::default() }
    }
}
