//! What is asked of a cluster about groups.

use bytes::Bytes;
use millstream_protocol::ErrorCode;
use millstream_protocol::codec::{DecodeError, Reader};
use millstream_protocol::messages::{
    ConsumerGroupDescribeRequest, DeleteGroupsRequest, DescribeGroupsRequest, ListGroupsRequest, OffsetCommitRequest,
    OffsetFetchRequest, consumer_group_describe, describe_groups, list_groups, offset_commit, offset_fetch,
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

/// A group of consumers, of the classic protocol or that of KIP-848.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Name.
    pub id: String,
    /// `classic` or `consumer`.
    pub kind: String,
    /// `Empty`, `Stable`, `PreparingRebalance`, …; `Dead` for a group that is not there.
    pub state: String,
    /// How partitions are given out.
    pub assignor: String,
    /// Who is in it.
    pub members: Vec<GroupMember>,
}

/// A member of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupMember {
    /// Id that the coordinator gave.
    pub id: String,
    /// Name of a static member.
    pub instance_id: Option<String>,
    /// What the client calls itself.
    pub client_id: String,
    /// Where it comes from.
    pub host: String,
    /// Topics and partitions that it reads.
    pub assigned: Vec<(String, Vec<i32>)>,
}

impl Client {
    /// A group with its members, whichever protocol it speaks.
    pub async fn group(&self, group: &str) -> Result<Group, ClientError> {
        let newer = self.ask_coordinator(group, |connection| describe_newer(connection, group)).await;
        match newer {
            Ok(Some(found)) => return Ok(found),
            Ok(None) => {}
            Err(error) if matches!(error.code(), Some(ErrorCode::GroupIdNotFound)) => {}
            Err(error) => return Err(error),
        }
        match self.describe_group(group).await {
            Ok(found) => Ok(Group {
                id: found.group_id,
                kind: "classic".to_owned(),
                state: found.group_state,
                assignor: found.protocol_data,
                members: found.members.into_iter().map(classic_member).collect(),
            }),
            Err(error) if error.code() == Some(ErrorCode::GroupIdNotFound) => Ok(Group {
                id: group.to_owned(),
                kind: "classic".to_owned(),
                state: "Dead".to_owned(),
                assignor: String::new(),
                members: Vec::new(),
            }),
            Err(error) => Err(error),
        }
    }

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

/// `None` from brokers that do not have the protocol of KIP-848.
async fn describe_newer(connection: Connection, group: &str) -> Result<Option<Group>, ClientError> {
    if connection.version::<ConsumerGroupDescribeRequest>().is_err() {
        return Ok(None);
    }
    let request = ConsumerGroupDescribeRequest { group_ids: vec![group.to_owned()], ..Default::default() };
    let answer = connection.call(&request).await?;
    let what = || format!("group {group}");
    let found = answer.groups.into_iter().next().ok_or_else(|| empty(what()))?;
    accepted(found.error_code, found.error_message.as_deref(), what)?;
    let member = |member: consumer_group_describe::Member| GroupMember {
        id: member.member_id,
        instance_id: member.instance_id,
        client_id: member.client_id,
        host: member.client_host,
        assigned: member.assignment.topic_partitions.into_iter().map(|t| (t.topic_name, t.partitions)).collect(),
    };
    Ok(Some(Group {
        id: found.group_id,
        kind: "consumer".to_owned(),
        state: found.group_state,
        assignor: found.assignor_name,
        members: found.members.into_iter().map(member).collect(),
    }))
}

fn classic_member(member: describe_groups::DescribedGroupMember) -> GroupMember {
    GroupMember {
        // Before a round is over there is no assignment, and Connect's members have their own: neither is an error.
        assigned: assignment(&member.member_assignment).unwrap_or_default(),
        id: member.member_id,
        instance_id: member.group_instance_id,
        client_id: member.client_id,
        host: member.client_host,
    }
}

/// `ConsumerProtocolAssignment` of Kafka's consumers: `i16` version, then topics, each a name and `i32` partitions.
fn assignment(bytes: &Bytes) -> Result<Vec<(String, Vec<i32>)>, DecodeError> {
    let mut reader = Reader::new(bytes);
    reader.i16()?;
    let topics = reader.count(false, 6)?.unwrap_or(0);
    let mut assigned = Vec::with_capacity(topics);
    for _ in 0..topics {
        let name = reader.string(false)?.unwrap_or_default().to_owned();
        let count = reader.count(false, 4)?.unwrap_or(0);
        assigned.push((name, (0..count).map(|_| reader.i32()).collect::<Result<_, _>>()?));
    }
    Ok(assigned)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_assignment_is_read_and_nonsense_is_refused() {
        let bytes =
            b"\x00\x01\x00\x00\x00\x01\x00\x02ab\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00\x07\xff\xff\xff\xff";
        assert_eq!(assignment(&Bytes::from_static(bytes)).expect("read"), [("ab".to_owned(), vec![0, 7])]);
        for cut in 0..22 {
            assert!(assignment(&Bytes::from_static(&bytes[..cut])).is_err(), "{cut}");
        }
        assert!(assignment(&Bytes::from_static(b"\x00\x01\x7f\xff\xff\xff")).is_err());
    }
}
