//! One member's way from what it has to what it is meant to have. A partition is taken away and confirmed before anybody else gets it, and a
//! member gets each of its new partitions as soon as the one who had it let go (Kafka's `CurrentAssignmentBuilder`).

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Parts, collect, contains, each};

/// Where a member stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum MemberState {
    /// It has what it was meant to have at its epoch.
    #[default]
    Stable,
    /// It is to give partitions up before it goes on.
    UnrevokedPartitions,
    /// Partitions that it is meant to have are still with others.
    UnreleasedPartitions,
}

/// What a member has.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Current {
    /// Its epoch.
    pub epoch: i32,
    /// The one before: a member that did not hear the last answer comes with it.
    pub previous_epoch: i32,
    /// Where it stands.
    pub state: MemberState,
    /// What it may read.
    pub assigned: Parts,
    /// What it is giving up.
    pub revoking: Parts,
}

/// The next step. `owned` is what the member says it has, if it says so; `is_free` whether nobody else has a partition.
pub fn next(
    current: &Current,
    target_epoch: i32,
    target: &Parts,
    owned: Option<&Parts>,
    is_free: impl Fn(Uuid, i32) -> bool,
) -> Current {
    let holds = |parts: &Parts| owned.is_none_or(|owned| each(parts).any(|(id, number)| contains(owned, id, number)));
    match current.state {
        MemberState::Stable if current.epoch == target_epoch => return current.clone(),
        MemberState::UnrevokedPartitions if holds(&current.revoking) => return current.clone(),
        _ => {}
    }
    let (kept, revoking): (Vec<_>, Vec<_>) =
        each(&current.assigned).partition(|(id, number)| contains(target, *id, *number));
    let (mut assigned, revoking) = (collect(kept), collect(revoking));
    if !revoking.is_empty() && holds(&revoking) {
        let (epoch, state) = (current.epoch, MemberState::UnrevokedPartitions);
        return Current { epoch, previous_epoch: current.epoch, state, assigned, revoking };
    }
    let mut state = MemberState::Stable;
    for (id, number) in each(target).filter(|(id, number)| !contains(&current.assigned, *id, *number)) {
        if is_free(id, number) {
            assigned.entry(id).or_default().insert(number);
        } else {
            state = MemberState::UnreleasedPartitions;
        }
    }
    Current { epoch: target_epoch, previous_epoch: current.epoch, state, assigned, revoking: Parts::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: Uuid = Uuid::from_u128(1);

    fn parts(numbers: &[i32]) -> Parts {
        collect(numbers.iter().map(|number| (T, *number)))
    }

    #[test]
    fn partitions_are_given_up_before_the_epoch_moves() {
        let start = Current { epoch: 1, assigned: parts(&[0, 1, 2]), ..Current::default() };
        let told = next(&start, 2, &parts(&[0, 3]), None, |_, _| true);
        assert_eq!((told.epoch, told.state), (1, MemberState::UnrevokedPartitions));
        assert_eq!((&told.assigned, &told.revoking), (&parts(&[0]), &parts(&[1, 2])));
        assert_eq!(next(&told, 2, &parts(&[0, 3]), Some(&parts(&[0, 2])), |_, _| true), told);
        let gone = next(&told, 2, &parts(&[0, 3]), Some(&parts(&[0])), |_, _| true);
        assert_eq!((gone.epoch, gone.state), (2, MemberState::Stable));
        assert_eq!((gone.assigned, gone.revoking), (parts(&[0, 3]), Parts::new()));
    }

    #[test]
    fn what_others_still_have_comes_later() {
        let start = Current { epoch: 1, assigned: parts(&[0]), ..Current::default() };
        let waits = next(&start, 2, &parts(&[0, 1, 2]), None, |_, number| number != 2);
        assert_eq!((waits.epoch, waits.state), (2, MemberState::UnreleasedPartitions));
        assert_eq!(waits.assigned, parts(&[0, 1]));
        assert_eq!(next(&waits, 2, &parts(&[0, 1, 2]), None, |_, number| number != 2).assigned, parts(&[0, 1]));
        let done = next(&waits, 2, &parts(&[0, 1, 2]), None, |_, _| true);
        assert_eq!((done.state, done.assigned), (MemberState::Stable, parts(&[0, 1, 2])));
    }
}
