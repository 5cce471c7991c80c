//! The records of the internal topic `__consumer_offsets`: committed offsets and groups.
//!
//! The layout is Kafka's (`OffsetCommitKey` 1, `OffsetCommitValue` 3, `GroupMetadataKey` 2, `GroupMetadataValue` 3), big-endian, strings
//! with an i16 length, byte strings and lists with an i32 one:
//!
//! ```text
//! key    i16 1, group, topic, i32 partition       value  i16 3, i64 offset, i32 leader epoch, metadata, i64 commit time
//! key    i16 2, group                             value  i16 3, protocol type, i32 generation, protocol?, leader?, i64 time, [member]
//! member id, instance id?, client id, client host, i32 rebalance time-out, i32 session time-out, subscription, assignment
//! ```
//!
//! Groups of the new protocol have layouts of their own: what a member is, is meant to have and has stands in one record.
//!
//! ```text
//! key    i16 100, group                           value  i16 0, JSON of consumer::group::GroupRecord
//! key    i16 101, group, member id                value  i16 0, JSON of consumer::group::MemberRecord
//! ```
//!
//! A key without a value removes what the key names.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::consumer::group as consumer;

const OFFSET_KEY: i16 = 1;
const GROUP_KEY: i16 = 2;
const VALUE: i16 = 3;
const CONSUMER_GROUP_KEY: i16 = 100;
const CONSUMER_MEMBER_KEY: i16 = 101;
const JSON_VALUE: i16 = 0;

/// What a group's record says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GroupRecord {
    /// Generation.
    pub generation: i32,
    /// `consumer`, ….
    pub protocol_type: Option<String>,
    /// Assignor in use.
    pub protocol: Option<String>,
    /// Member id of the leader.
    pub leader: Option<String>,
    /// When it was written, in milliseconds since 1970.
    pub written_ms: i64,
    /// Members with their assignments.
    pub members: Vec<MemberRecord>,
}

/// A member in a group's record.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MemberRecord {
    /// Member id.
    pub id: String,
    /// `group.instance.id` of a static member.
    pub instance_id: Option<String>,
    /// The client's id.
    pub client_id: String,
    /// The client's address.
    pub client_host: String,
    /// Silence after which the member is removed.
    pub session_timeout_ms: i32,
    /// How long a rebalance waits for this member.
    pub rebalance_timeout_ms: i32,
    /// Metadata for the assignor in use.
    pub subscription: Bytes,
    /// Assignment.
    pub assignment: Bytes,
}

/// A committed offset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OffsetRecord {
    /// Next offset to be read.
    pub offset: i64,
    /// Leader epoch of the record before it, -1 if not known.
    pub leader_epoch: i32,
    /// The committer's note.
    pub metadata: String,
    /// When it was committed, in milliseconds since 1970.
    pub commit_ms: i64,
}

/// A record of the topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// An offset was committed, or forgotten.
    Offset {
        /// Group.
        group: String,
        /// Topic.
        topic: String,
        /// Partition.
        partition: i32,
        /// Nothing: forgotten.
        value: Option<OffsetRecord>,
    },
    /// A group has a new generation, or was removed.
    Group {
        /// Group.
        group: String,
        /// Nothing: removed.
        value: Option<GroupRecord>,
    },
    /// A group of the new protocol has a new epoch, or was removed.
    ConsumerGroup {
        /// Group.
        group: String,
        /// Nothing: removed.
        value: Option<consumer::GroupRecord>,
    },
    /// A member of such a group changed, or is gone.
    ConsumerMember {
        /// Group.
        group: String,
        /// Member id.
        member: String,
        /// Nothing: gone.
        value: Option<consumer::MemberRecord>,
    },
}

impl Entry {
    /// Key and value of the record.
    pub fn encode(&self) -> (Bytes, Option<Bytes>) {
        let mut key = BytesMut::new();
        match self {
            Entry::Offset { group, topic, partition, value } => {
                key.put_i16(OFFSET_KEY);
                put_string(&mut key, group);
                put_string(&mut key, topic);
                key.put_i32(*partition);
                let value = value.as_ref().map(|value| {
                    let mut out = BytesMut::new();
                    out.put_i16(VALUE);
                    out.put_i64(value.offset);
                    out.put_i32(value.leader_epoch);
                    put_string(&mut out, &value.metadata);
                    out.put_i64(value.commit_ms);
                    out.freeze()
                });
                (key.freeze(), value)
            }
            Entry::Group { group, value } => {
                key.put_i16(GROUP_KEY);
                put_string(&mut key, group);
                (key.freeze(), value.as_ref().map(encode_group))
            }
            Entry::ConsumerGroup { group, value } => {
                key.put_i16(CONSUMER_GROUP_KEY);
                put_string(&mut key, group);
                (key.freeze(), value.as_ref().map(encode_json))
            }
            Entry::ConsumerMember { group, member, value } => {
                key.put_i16(CONSUMER_MEMBER_KEY);
                put_string(&mut key, group);
                put_string(&mut key, member);
                (key.freeze(), value.as_ref().map(encode_json))
            }
        }
    }

    /// Reads a record. `None`: of a kind or version that is not known, or damaged.
    pub fn decode(key: Option<&[u8]>, value: Option<&[u8]>) -> Option<Entry> {
        let mut key = key?;
        match get_i16(&mut key)? {
            OFFSET_KEY => {
                let group = get_string(&mut key)?;
                let topic = get_string(&mut key)?;
                let partition = get_i32(&mut key)?;
                let value = match value {
                    Some(value) => Some(decode_offset(value)?),
                    None => None,
                };
                Some(Entry::Offset { group, topic, partition, value })
            }
            GROUP_KEY => {
                let group = get_string(&mut key)?;
                let value = match value {
                    Some(value) => Some(decode_group(value)?),
                    None => None,
                };
                Some(Entry::Group { group, value })
            }
            CONSUMER_GROUP_KEY => {
                let group = get_string(&mut key)?;
                Some(Entry::ConsumerGroup { group, value: decode_json(value)? })
            }
            CONSUMER_MEMBER_KEY => {
                let group = get_string(&mut key)?;
                let member = get_string(&mut key)?;
                Some(Entry::ConsumerMember { group, member, value: decode_json(value)? })
            }
            _ => None,
        }
    }
}

fn encode_json(value: &impl Serialize) -> Bytes {
    let mut out = JSON_VALUE.to_be_bytes().to_vec();
    serde_json::to_writer(&mut out, value).expect("it is plain data");
    out.into()
}

/// `None`: damaged; `Some(None)`: there is no value.
fn decode_json<T: DeserializeOwned>(value: Option<&[u8]>) -> Option<Option<T>> {
    match value {
        None => Some(None),
        Some(value) => {
            let json = value.strip_prefix(&JSON_VALUE.to_be_bytes()[..])?;
            serde_json::from_slice(json).ok().map(Some)
        }
    }
}

fn encode_group(value: &GroupRecord) -> Bytes {
    let mut out = BytesMut::new();
    out.put_i16(VALUE);
    put_string(&mut out, value.protocol_type.as_deref().unwrap_or_default());
    out.put_i32(value.generation);
    put_nullable(&mut out, value.protocol.as_deref());
    put_nullable(&mut out, value.leader.as_deref());
    out.put_i64(value.written_ms);
    out.put_i32(value.members.len() as i32);
    for member in &value.members {
        put_string(&mut out, &member.id);
        put_nullable(&mut out, member.instance_id.as_deref());
        put_string(&mut out, &member.client_id);
        put_string(&mut out, &member.client_host);
        out.put_i32(member.rebalance_timeout_ms);
        out.put_i32(member.session_timeout_ms);
        put_bytes(&mut out, &member.subscription);
        put_bytes(&mut out, &member.assignment);
    }
    out.freeze()
}

fn decode_group(mut value: &[u8]) -> Option<GroupRecord> {
    if get_i16(&mut value)? != VALUE {
        return None;
    }
    let protocol_type = Some(get_string(&mut value)?).filter(|name| !name.is_empty());
    let generation = get_i32(&mut value)?;
    let protocol = get_nullable(&mut value)?;
    let leader = get_nullable(&mut value)?;
    let written_ms = get_i64(&mut value)?;
    let count = usize::try_from(get_i32(&mut value)?).ok()?;
    let mut members = Vec::new();
    for _ in 0..count {
        members.push(MemberRecord {
            id: get_string(&mut value)?,
            instance_id: get_nullable(&mut value)?,
            client_id: get_string(&mut value)?,
            client_host: get_string(&mut value)?,
            rebalance_timeout_ms: get_i32(&mut value)?,
            session_timeout_ms: get_i32(&mut value)?,
            subscription: get_bytes(&mut value)?,
            assignment: get_bytes(&mut value)?,
        });
    }
    Some(GroupRecord { generation, protocol_type, protocol, leader, written_ms, members })
}

fn decode_offset(mut value: &[u8]) -> Option<OffsetRecord> {
    if get_i16(&mut value)? != VALUE {
        return None;
    }
    Some(OffsetRecord {
        offset: get_i64(&mut value)?,
        leader_epoch: get_i32(&mut value)?,
        metadata: get_string(&mut value)?,
        commit_ms: get_i64(&mut value)?,
    })
}

/// Strings come out of requests, whose own lengths are an i16 or are checked by the handler; a longer one is cut at a character.
fn put_string(out: &mut BytesMut, text: &str) {
    let mut length = text.len().min(i16::MAX as usize);
    while !text.is_char_boundary(length) {
        length -= 1;
    }
    out.put_i16(length as i16);
    out.put_slice(&text.as_bytes()[..length]);
}

fn put_nullable(out: &mut BytesMut, text: Option<&str>) {
    match text {
        Some(text) => put_string(out, text),
        None => out.put_i16(-1),
    }
}

fn put_bytes(out: &mut BytesMut, bytes: &[u8]) {
    out.put_i32(bytes.len() as i32);
    out.put_slice(bytes);
}

fn take<'a>(from: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (head, tail) = from.split_at_checked(length)?;
    *from = tail;
    Some(head)
}

fn get_i16(from: &mut &[u8]) -> Option<i16> {
    take(from, 2).map(|mut bytes| bytes.get_i16())
}

fn get_i32(from: &mut &[u8]) -> Option<i32> {
    take(from, 4).map(|mut bytes| bytes.get_i32())
}

fn get_i64(from: &mut &[u8]) -> Option<i64> {
    take(from, 8).map(|mut bytes| bytes.get_i64())
}

fn get_nullable(from: &mut &[u8]) -> Option<Option<String>> {
    match get_i16(from)? {
        -1 => Some(None),
        length => {
            let bytes = take(from, usize::try_from(length).ok()?)?;
            Some(Some(std::str::from_utf8(bytes).ok()?.to_string()))
        }
    }
}

fn get_string(from: &mut &[u8]) -> Option<String> {
    get_nullable(from)?
}

fn get_bytes(from: &mut &[u8]) -> Option<Bytes> {
    let length = usize::try_from(get_i32(from)?).ok()?;
    take(from, length).map(Bytes::copy_from_slice)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(entry: Entry) {
        let (key, value) = entry.encode();
        assert_eq!(Entry::decode(Some(&key), value.as_deref()), Some(entry));
    }

    #[test]
    fn entries_come_back_as_they_were_written() {
        let offset =
            OffsetRecord { offset: 42, leader_epoch: 0, metadata: "note".into(), commit_ms: 1_700_000_000_000 };
        round(Entry::Offset { group: "g".into(), topic: "t".into(), partition: 3, value: Some(offset) });
        round(Entry::Offset { group: "g".into(), topic: "t".into(), partition: 3, value: None });
        round(Entry::Group { group: "g".into(), value: None });
        let member = MemberRecord {
            id: "m".into(),
            instance_id: Some("i".into()),
            subscription: Bytes::from_static(b"sub"),
            session_timeout_ms: 6000,
            ..MemberRecord::default()
        };
        let group = GroupRecord {
            generation: 7,
            protocol_type: Some("consumer".into()),
            protocol: Some("range".into()),
            leader: None,
            written_ms: 5,
            members: vec![member.clone(), MemberRecord { instance_id: None, ..member }],
        };
        round(Entry::Group { group: "g".into(), value: Some(group) });
        let value = Some(consumer::GroupRecord { epoch: 7, target_epoch: 6 });
        round(Entry::ConsumerGroup { group: "g".into(), value });
        let parts = super::super::consumer::collect([(uuid::Uuid::from_u128(7), 3)]);
        let value = Some(consumer::MemberRecord { target: parts, regex: Some("a.*".into()), ..Default::default() });
        round(Entry::ConsumerMember { group: "g".into(), member: "m".into(), value });
        round(Entry::ConsumerMember { group: "g".into(), member: "m".into(), value: None });
    }

    #[test]
    fn damaged_entries_are_refused_at_every_length() {
        let group = GroupRecord { members: vec![MemberRecord::default()], ..GroupRecord::default() };
        let (key, value) = Entry::Group { group: "g".into(), value: Some(group) }.encode();
        let value = value.expect("a group has a value");
        for cut in 0..value.len() {
            assert_eq!(Entry::decode(Some(&key), Some(&value[..cut])), None, "{cut}");
        }
        for cut in 0..key.len() {
            assert_eq!(Entry::decode(Some(&key[..cut]), Some(&value)), None, "{cut}");
        }
        assert_eq!(Entry::decode(None, None), None);
    }
}
