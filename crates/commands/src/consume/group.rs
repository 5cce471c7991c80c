//! Reading on where a group stopped, and committing how far it came.
//!
//! The verb is no member of the group: it commits as an administrator's tool does, which a coordinator takes only while nobody is in it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use millstream_client::{Client, GroupOffset};

use super::range::Part;
use crate::{CommandError, groups};

/// How often offsets are committed while records keep coming.
const INTERVAL: Duration = Duration::from_secs(5);

/// How far each partition was printed.
pub struct Position {
    group: String,
    next: BTreeMap<(String, i32), i64>,
    committed: Instant,
}

impl Position {
    /// Moves each partition's start to the group's offset, where it has one.
    pub async fn begin(client: &Client, group: &str, parts: &mut [Part]) -> Result<Position, CommandError> {
        let found = client.group(group).await?;
        if !found.members.is_empty() {
            return Err(groups::in_use(found));
        }
        for offset in client.group_offsets(group).await? {
            let part = parts.iter_mut().find(|p| *p.topic == *offset.topic && p.partition == offset.partition);
            if let Some(part) = part {
                part.from = offset.offset.clamp(part.from, part.end.max(part.from));
            }
        }
        let next = parts.iter().map(|part| ((part.topic.to_string(), part.partition), part.from)).collect();
        Ok(Position { group: group.to_owned(), next, committed: Instant::now() })
    }

    /// Everything before `next` was printed, or not wanted.
    pub fn advance(&mut self, topic: &str, partition: i32, next: i64) {
        self.next.insert((topic.to_owned(), partition), next);
    }

    /// Whether it is time to commit.
    pub fn is_due(&self) -> bool {
        self.committed.elapsed() >= INTERVAL
    }

    /// Commits.
    pub async fn commit(&mut self, client: &Client) -> Result<(), CommandError> {
        let offset = |((topic, partition), offset): (&(String, i32), &i64)| GroupOffset {
            topic: topic.clone(),
            partition: *partition,
            offset: *offset,
        };
        let offsets: Vec<GroupOffset> = self.next.iter().map(offset).collect();
        client.commit_group_offsets(&self.group, &offsets).await?;
        self.committed = Instant::now();
        Ok(())
    }
}
