//! What is asked of a cluster about groups.

use millstream_protocol::ErrorCode;
use millstream_protocol::messages::{
    DeleteGroupsRequest, DescribeGroupsRequest, ListGroupsRequest, OffsetCommitRequest, OffsetFetchRequest,
    describe_groups, list_groups, offset_commit, offset_fetch,
};

use crate::admin::empty;
use crate::error::accepted;
use crate::{Client, ClientError, Connection};

/// A group's offset of one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupOffset {
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// The next record to be read.
    pub offset: i64,
}

impl Client {
    /// The groups of all brokers.
    pub async fn list_groups(&self) -> Result<Vec<list_groups::ListedGroup>, ClientError> {
        let mut groups = Vec::new();
        for (node_id, _) in self.brokers() {
            let answer = self.broker(node_id).await?.call(&ListGroupsRequest::default()).await?;
            accepted(answer.error_code, None, || "groups".to_owned())?;
            groups.extend(answer.groups);
        }
        Ok(groups)
    }

    /// State and members of a group.
    pub async fn describe_group(&self, group: &str) -> Result<describe_groups::DescribedGroup, ClientError> {
        self.ask_coordinator(group, |connection| describe(connection, group)).await
    }

    /// Deletes an empty group.
    pub async fn delete_group(&self, group: &str) -> Result<(), ClientError> {
        self.ask_coordinator(group, |connection| delete(connection, group)).await
    }

    /// The offsets that a group has committed.
    pub async fn group_offsets(&self, group: &str) -> Result<Vec<GroupOffset>, ClientError> {
        self.ask_coordinator(group, |connection| fetch(connection, group)).await
    }

    /// Commits offsets for a group without members.
    pub async fn commit_group_offsets(&self, group: &str, offsets: &[GroupOffset]) -> Result<(), ClientError> {
        self.ask_coordinator(group, |connection| commit(connection, group, offsets)).await
    }
}

async fn describe(connection: Connection, group: &str) -> Result<describe_groups::DescribedGroup, ClientError> {
    let request = DescribeGroupsRequest { groups: vec![group.to_owned()], ..Default::default() };
    let answer = connection.call(&request).await?;
    let what = || format!("group {group}");
    let found = answer.groups.into_iter().next().ok_or_else(|| empty(what()))?;
    accepted(found.error_code, found.error_message.as_deref(), what)?;
    Ok(found)
}

async fn delete(connection: Connection, group: &str) -> Result<(), ClientError> {
    let answer = connection.call(&DeleteGroupsRequest { groups_names: vec![group.to_owned()] }).await?;
    answer.results.iter().try_for_each(|result| accepted(result.error_code, None, || format!("delete group {group}")))
}

async fn fetch(connection: Connection, group: &str) -> Result<Vec<GroupOffset>, ClientError> {
    // Topics by name: version 10 answers with ids.
    let version = connection.version_up_to::<OffsetFetchRequest>(9)?;
    let request = OffsetFetchRequest {
        group_id: group.to_owned(),
        groups: vec![offset_fetch::OffsetFetchRequestGroup { group_id: group.to_owned(), ..Default::default() }],
        ..Default::default()
    };
    let answer = connection.call_at(&request, version).await?;
    let what = || format!("offsets of group {group}");
    accepted(answer.error_code, None, what)?;
    let mut offsets = Vec::new();
    let mut add = |topic: &str, partition, offset, code: ErrorCode| {
        accepted(code, None, || format!("offsets of group {group}, {topic}-{partition}"))?;
        if offset >= 0 {
            offsets.push(GroupOffset { topic: topic.to_owned(), partition, offset });
        }
        Ok::<_, ClientError>(())
    };
    for topic in &answer.topics {
        for part in &topic.partitions {
            add(&topic.name, part.partition_index, part.committed_offset, part.error_code)?;
        }
    }
    for group in &answer.groups {
        accepted(group.error_code, None, what)?;
        for topic in &group.topics {
            for part in &topic.partitions {
                add(&topic.name, part.partition_index, part.committed_offset, part.error_code)?;
            }
        }
    }
    Ok(offsets)
}

async fn commit(connection: Connection, group: &str, offsets: &[GroupOffset]) -> Result<(), ClientError> {
    let version = connection.version_up_to::<OffsetCommitRequest>(9)?;
    let topic = |offset: &GroupOffset| offset_commit::OffsetCommitRequestTopic {
        name: offset.topic.clone(),
        partitions: vec![offset_commit::OffsetCommitRequestPartition {
            partition_index: offset.partition,
            committed_offset: offset.offset,
            committed_metadata: Some(String::new()),
            ..Default::default()
        }],
        ..Default::default()
    };
    let request = OffsetCommitRequest {
        group_id: group.to_owned(),
        topics: offsets.iter().map(topic).collect(),
        ..Default::default()
    };
    let answer = connection.call_at(&request, version).await?;
    let parts = answer.topics.iter().flat_map(|topic| topic.partitions.iter().map(move |part| (topic, part)));
    for (topic, part) in parts {
        let what = || format!("commit of group {group}, {}-{}", topic.name, part.partition_index);
        accepted(part.error_code, None, what)?;
    }
    Ok(())
}
