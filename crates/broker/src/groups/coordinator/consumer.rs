//! The coordinator's part in groups of the new protocol (KIP-848): heartbeats are answered once what they changed is durable, time passes, and an
//! empty group goes over to the protocol of who comes next.

use std::collections::BTreeMap;
use std::sync::Arc;

use uuid::Uuid;

use super::{Coordinator, GroupKind, Held, Inner, TEXT_BYTES_MAX, named, uuid};
use crate::groups::consumer::group::{Beat, Beaten, ConsumerGroup, LEAVE_EPOCH, MemberRecord, Refused, Rules};
use crate::groups::consumer::{Catalog, Parts};
use crate::groups::exchange::GroupError;
use crate::groups::group::Group;
use crate::groups::record::Entry;
use crate::seldom::cut;

/// A member as administrators see it.
#[derive(Debug, Clone)]
pub struct ConsumerMemberDescription {
    /// Member id.
    pub id: String,
    /// What is kept of it.
    pub kept: MemberRecord,
}

/// A group of the new protocol as administrators see it.
#[derive(Debug, Clone)]
pub struct ConsumerGroupDescription {
    /// Where it stands, in Kafka's word.
    pub state: &'static str,
    /// Its epoch.
    pub epoch: i32,
    /// The epoch of its target.
    pub target_epoch: i32,
    /// The assignor in use.
    pub assignor: &'static str,
    /// Members.
    pub members: Vec<ConsumerMemberDescription>,
}

fn refuse<T>(error: GroupError, words: impl Into<String>) -> Result<T, Refused> {
    Err(Refused { error, words: words.into() })
}

impl Coordinator {
    fn rules(&self, group_id: &str) -> Rules {
        Rules {
            session_timeout_ms: self.configs.session_timeout_ms(group_id),
            size_max: self.config.group_consumer_max_size,
            assignors: self.config.group_consumer_assignors.clone(),
        }
    }

    /// A member of a group of the new protocol shows itself. Gives its id, too: an older client leaves it to be chosen here.
    ///
    /// # Errors
    /// Why it is refused.
    pub async fn consumer_heartbeat(
        self: &Arc<Self>,
        group_id: &str,
        mut beat: Beat,
        catalog: &dyn Catalog,
    ) -> Result<(String, Beaten), Refused> {
        if named(group_id).is_err() || group_id.len() > TEXT_BYTES_MAX {
            return refuse(GroupError::InvalidRequest, "GroupId can't be empty, nor longer than 16 KiB.");
        }
        let texts = [Some(&beat.member_id), beat.instance_id.as_ref(), beat.rack_id.as_ref(), beat.regex.as_ref()];
        if texts.into_iter().flatten().any(|text| text.len() > TEXT_BYTES_MAX) {
            return refuse(GroupError::InvalidRequest, "a name in the request is longer than 16 KiB");
        }
        let (written, answer, member_id) = {
            let mut inner = self.inner.lock();
            if beat.member_id.is_empty() && beat.epoch == 0 {
                beat.member_id = uuid(&mut inner.chance).to_string();
            }
            let member_id = beat.member_id.clone();
            let (now_ms, rules) = (self.now_ms(), self.rules(group_id));
            beat.check(&rules)?;
            self.to_consumer(&mut inner, group_id, beat.epoch)?;
            let mut records = Vec::new();
            let answer = inner
                .groups
                .get_mut(group_id)
                .and_then(|held| held.consumer.as_mut())
                .map(|group| group.beat(now_ms, &rules, catalog, beat, &mut records));
            let Some(answer) = answer else {
                return refuse(GroupError::GroupIdNotFound, format!("there is no group {group_id}"));
            };
            // One that was made for a heartbeat that was refused is nothing.
            let is_nothing = |held: &Held| {
                held.offsets.is_empty()
                    && held.in_flight == 0
                    && held.consumer.as_ref().is_some_and(|group| group.is_empty() && group.epoch() == 0)
            };
            if answer.is_err() && inner.groups.get(group_id).is_some_and(is_nothing) {
                inner.groups.remove(group_id);
            }
            (self.write(&mut inner, group_id, &records), answer?, member_id)
        };
        if written.await.is_err() {
            let words = "what the heartbeat changed could not be written; it is to be repeated";
            return refuse(GroupError::CoordinatorNotAvailable, words);
        }
        Ok((member_id, answer))
    }

    /// Writes records of a group in a task of its own, so that they are accounted for also if nobody waits.
    fn write(
        self: &Arc<Self>,
        inner: &mut Inner,
        group_id: &str,
        records: &[Entry],
    ) -> impl Future<Output = Result<(), ()>> + Send + 'static {
        if let Some(held) = inner.groups.get_mut(group_id)
            && held.is_vacant()
            && !records.is_empty()
        {
            held.empty_since_ms = self.config.clock.now_ms();
        }
        let next_ms = inner.groups.get(group_id).and_then(Held::next_deadline_ms);
        self.wake_at(inner, next_ms);
        let task = (!records.is_empty()).then(|| {
            let records: Vec<_> = records.iter().map(Entry::encode).collect();
            let written = self.append(inner, group_id, &records);
            let (this, group_id) = (self.clone(), group_id.to_string());
            tokio::spawn(async move {
                let result = written.await;
                if let Err(error) = &result {
                    tracing::warn!(group = %group_id, %error, "the group could not be written");
                }
                this.landed(&mut this.inner.lock(), &group_id);
                result.map(|_| ()).map_err(|_| ())
            })
        });
        async move {
            match task {
                Some(task) => task.await.unwrap_or(Err(())),
                None => Ok(()),
            }
        }
    }

    /// Makes the group one of the new protocol if it may be: it is not there, or nobody is in it.
    fn to_consumer(&self, inner: &mut Inner, group_id: &str, epoch: i32) -> Result<(), Refused> {
        let now_ms = self.config.clock.now_ms();
        let words = || format!("Group {group_id} is not a consumer group.");
        match inner.groups.get_mut(group_id) {
            Some(held) if held.consumer.is_some() => Ok(()),
            Some(_) | None if epoch != 0 => refuse(GroupError::GroupIdNotFound, words()),
            Some(held) if !held.group.is_vacant() => {
                self.tell_of_protocol(group_id, GroupKind::Consumer);
                refuse(GroupError::GroupIdNotFound, words())
            }
            Some(held) => {
                held.consumer = Some(ConsumerGroup::new(group_id, held.group.generation()));
                held.group = Group::new(group_id);
                Ok(())
            }
            None => {
                let mut held = Held::new(group_id, now_ms);
                held.consumer = Some(ConsumerGroup::new(group_id, 0));
                inner.groups.insert(group_id.to_string(), held);
                Ok(())
            }
        }
    }

    /// Whether the group speaks the classic protocol, or now does: nobody was in it.
    pub(super) fn is_classic(self: &Arc<Self>, inner: &mut Inner, group_id: &str) -> bool {
        let Some(held) = inner.groups.get_mut(group_id) else { return true };
        match &held.consumer {
            None => true,
            Some(group) if !group.is_empty() => false,
            Some(group) => {
                let records = group.removal();
                held.consumer = None;
                drop(self.write(inner, group_id, &records));
                true
            }
        }
    }

    /// Tells the log, of a group once in a while, that somebody came by the protocol that its members do not speak: the client's own words for
    /// it name no remedy.
    pub(super) fn tell_of_protocol(&self, group_id: &str, came_by: GroupKind) {
        let group = cut(group_id);
        let due = self.other_protocol.lock().due(self.now_ms(), group.clone());
        if let Some(left_out) = due {
            tracing::warn!(group = group.as_str(), left_out, "{}", remedy(came_by));
        }
    }

    /// An administrator removes a member.
    pub(super) fn expel(
        self: &Arc<Self>,
        inner: &mut Inner,
        group_id: &str,
        member_id: &str,
        instance_id: Option<&str>,
    ) -> Result<(), GroupError> {
        let group = inner.groups.get_mut(group_id).and_then(|held| held.consumer.as_mut());
        let group = group.ok_or(GroupError::UnknownMemberId)?;
        let by_instance = || {
            let mut members = group.members();
            members.find(|(_, member)| member.kept.instance_id.as_deref() == instance_id).map(|(id, _)| id.clone())
        };
        let member_id = match (member_id, instance_id) {
            ("", Some(_)) => by_instance().ok_or(GroupError::UnknownMemberId)?,
            _ => member_id.to_string(),
        };
        let beat = Beat { member_id, epoch: LEAVE_EPOCH, ..Beat::default() };
        let mut records = Vec::new();
        let (rules, now_ms) = (self.rules(group_id), self.now_ms());
        group.beat(now_ms, &rules, &Nothing, beat, &mut records).map_err(|refused| refused.error)?;
        drop(self.write(inner, group_id, &records));
        Ok(())
    }

    pub(super) fn tick_consumer(self: &Arc<Self>, inner: &mut Inner, group_id: &str, now_ms: i64) {
        let mut records = Vec::new();
        if let Some(group) = inner.groups.get_mut(group_id).and_then(|held| held.consumer.as_mut()) {
            group.tick(now_ms, &mut records);
        }
        drop(self.write(inner, group_id, &records));
    }

    /// A group of the new protocol, if it is one.
    pub fn describe_consumer(&self, group_id: &str) -> Option<ConsumerGroupDescription> {
        let inner = self.inner.lock();
        let group = inner.groups.get(group_id)?.consumer.as_ref()?;
        let members = group.members();
        Some(ConsumerGroupDescription {
            state: group.state(),
            epoch: group.epoch(),
            target_epoch: group.target_epoch(),
            assignor: group.assignor(&self.rules(group_id)).name(),
            members: members
                .map(|(id, member)| ConsumerMemberDescription { id: id.clone(), kept: member.kept.clone() })
                .collect(),
        })
    }
}

/// What is to be done for a member that came by one protocol to a group whose members speak the other.
fn remedy(came_by: GroupKind) -> String {
    let spoken = match came_by {
        GroupKind::Classic => GroupKind::Consumer,
        GroupKind::Consumer => GroupKind::Classic,
    };
    format!(
        "a member that came by the {} protocol was refused: stop all members of the {} protocol first, for a group goes over to the other \
         one while nobody is in it (online migration is not there)",
        came_by.name(),
        spoken.name()
    )
}

/// For who leaves, topics mean nothing.
struct Nothing;

impl Catalog for Nothing {
    fn version(&self) -> u64 {
        0
    }
    fn topic(&self, _: &str) -> Option<(Uuid, i32)> {
        None
    }
    fn names(&self) -> Vec<String> {
        Vec::new()
    }
}

/// Partitions by topic, where a name is known.
pub fn by_name(parts: &Parts, name: impl Fn(Uuid) -> Option<String>) -> BTreeMap<Uuid, (String, Vec<i32>)> {
    let each =
        parts.iter().map(|(id, numbers)| (*id, (name(*id).unwrap_or_default(), numbers.iter().copied().collect())));
    each.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_remedy_names_those_who_are_to_be_stopped() {
        assert!(remedy(GroupKind::Consumer).contains("stop all members of the classic protocol first"));
        assert!(remedy(GroupKind::Classic).contains("stop all members of the consumer protocol first"));
    }
}
