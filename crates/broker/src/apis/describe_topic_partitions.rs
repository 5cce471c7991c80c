//! DescribeTopicPartitions: topics in pages (KIP-966).

use std::sync::Arc;

use millstream_protocol::ErrorCode;
use millstream_protocol::messages::describe_topic_partitions::{
    Cursor, DescribeTopicPartitionsResponsePartition, DescribeTopicPartitionsResponseTopic,
};
use millstream_protocol::messages::{DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse};
use uuid::Uuid;

use super::{Access, Api, Context, LEADER_EPOCH, operations};
use crate::security::acl::{Operation, Resource};
use crate::topics::{Topic, name};

/// Most partitions in a page, whatever is asked for.
const PAGE_PARTITIONS_MAX: usize = 2000;

pub(crate) struct DescribeTopicPartitions;

impl Api for DescribeTopicPartitions {
    type Request = DescribeTopicPartitionsRequest;

    const ACCESS: Access<DescribeTopicPartitionsRequest> = Access::Each;

    async fn handle(context: Context, request: DescribeTopicPartitionsRequest) -> DescribeTopicPartitionsResponse {
        let mut names: Vec<String> = request.topics.into_iter().map(|topic| topic.name).collect();
        let is_for_all = names.is_empty();
        if is_for_all {
            let all = context.broker.topics.all();
            let visible = all.iter().filter(|topic| {
                !topic.is_internal() && context.could(Operation::Describe, Resource::topic(&topic.name))
            });
            names.extend(visible.map(|topic| topic.name.to_string()));
        }
        names.sort();
        names.dedup();
        let (from_name, from_partition) = match request.cursor {
            Some(cursor) => match usize::try_from(cursor.partition_index) {
                Ok(partition) if is_for_all || names.contains(&cursor.topic_name) => (cursor.topic_name, partition),
                _ => return refused(names),
            },
            None => (String::new(), 0),
        };
        let asked = usize::try_from(request.response_partition_limit).unwrap_or(0);
        let mut room = asked.clamp(1, PAGE_PARTITIONS_MAX);
        let mut response = DescribeTopicPartitionsResponse::default();
        for name in names.into_iter().filter(|name| *name >= from_name) {
            let skip = if name == from_name { from_partition } else { 0 };
            if room == 0 {
                response.next_cursor = Some(Cursor { topic_name: name, partition_index: 0 });
                break;
            }
            match context.topic(Operation::Describe, &name, Uuid::nil(), false) {
                Ok(topic) => {
                    let part = describe(&context, &topic, skip, room);
                    let described = skip + part.partitions.len();
                    room -= part.partitions.len().min(room);
                    response.topics.push(part);
                    if described < topic.partitions.len() {
                        response.next_cursor = Some(Cursor { topic_name: name, partition_index: described as i32 });
                        break;
                    }
                }
                Err(code) => {
                    let illegal = name::check(&name).err().map(|error| error.code());
                    let illegal = illegal.filter(|_| code != ErrorCode::TopicAuthorizationFailed);
                    let is_told = code != ErrorCode::TopicAuthorizationFailed;
                    response.topics.push(DescribeTopicPartitionsResponseTopic {
                        error_code: illegal.unwrap_or(code),
                        topic_authorized_operations: operations::of(&context, Resource::topic(&name), is_told),
                        name: Some(name),
                        ..DescribeTopicPartitionsResponseTopic::default()
                    });
                }
            }
        }
        response
    }
}

/// A cursor that points at nothing that was asked for.
fn refused(names: Vec<String>) -> DescribeTopicPartitionsResponse {
    let topics = names.into_iter().map(|name| DescribeTopicPartitionsResponseTopic {
        error_code: ErrorCode::InvalidRequest,
        name: Some(name),
        ..DescribeTopicPartitionsResponseTopic::default()
    });
    DescribeTopicPartitionsResponse { topics: topics.collect(), ..DescribeTopicPartitionsResponse::default() }
}

fn describe(context: &Context, topic: &Arc<Topic>, skip: usize, room: usize) -> DescribeTopicPartitionsResponseTopic {
    let node_id = context.broker.config.node_id;
    let end = topic.partitions.len().min(skip.saturating_add(room));
    let partitions = (skip..end).map(|index| DescribeTopicPartitionsResponsePartition {
        partition_index: index as i32,
        leader_id: node_id,
        leader_epoch: LEADER_EPOCH,
        replica_nodes: vec![node_id],
        isr_nodes: vec![node_id],
        eligible_leader_replicas: Some(Vec::new()),
        last_known_elr: Some(Vec::new()),
        ..DescribeTopicPartitionsResponsePartition::default()
    });
    DescribeTopicPartitionsResponseTopic {
        error_code: ErrorCode::None,
        name: Some(topic.name.to_string()),
        topic_id: topic.id,
        is_internal: false,
        partitions: partitions.collect(),
        topic_authorized_operations: operations::of(context, Resource::topic(&topic.name), true),
    }
}
