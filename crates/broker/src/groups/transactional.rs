//! Offsets that are committed with a transaction: the group says whether its member may, the transaction keeps them until its end, and then
//! their records are part of the append that ends it.

use std::sync::Arc;

use millstream_log::Append;

use super::coordinator::{Commit, Committer, Coordinator};
use super::exchange::GroupError;
use super::record::Entry;

/// Offsets on their way into the log with the end of a transaction.
#[derive(Debug)]
pub(crate) struct Committing {
    groups: Vec<String>,
    entries: Vec<Entry>,
}

impl Coordinator {
    /// Whether the member may commit offsets in a transaction. A producer that tells of no member may, as in Kafka.
    pub(crate) fn check_transactional(self: &Arc<Self>, group_id: &str, by: &Committer) -> Result<(), GroupError> {
        if by.generation < 0 && by.member_id.is_empty() && by.instance_id.is_none() {
            return Ok(());
        }
        self.check_member(group_id, by)
    }

    /// The part of an append that commits the offsets, group by group. Their order in the log is that of calls.
    pub(crate) fn commit_part(
        &self,
        commits: impl IntoIterator<Item = (String, Vec<Commit>)>,
    ) -> Option<(Append, Committing)> {
        let commit_ms = self.config.clock.now_ms();
        let mut committing = Committing { groups: Vec::new(), entries: Vec::new() };
        for (group, commits) in commits {
            committing.entries.extend(commits.into_iter().map(|commit| commit.entry(&group, commit_ms)));
            committing.groups.push(group);
        }
        let records: Vec<_> = committing.entries.iter().map(Entry::encode).collect();
        let part = self.append_part(&committing.groups, &records)?;
        Some((part, committing))
    }

    /// The append came to its end: with the first offset of the part, or not at all.
    pub(crate) fn commit_landed(&self, committing: Committing, base_offset: Option<i64>) {
        self.part_landed(&committing.groups, base_offset, committing.entries);
    }
}
