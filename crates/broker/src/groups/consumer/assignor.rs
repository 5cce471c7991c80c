//! Who computes the target: `uniform`, which keeps what members have and gives each as many as any other, and `range`, which gives each member
//! neighbouring partitions of every topic, the same numbers of topics with as many partitions (Kafka's assignors of these names).

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use super::{Parts, each};

/// An assignor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Assignor {
    /// Balanced and sticky.
    Uniform,
    /// Neighbours, topic by topic.
    Range,
}

impl Assignor {
    /// By Kafka's name.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "uniform" => Some(Assignor::Uniform),
            "range" => Some(Assignor::Range),
            _ => None,
        }
    }

    /// Kafka's name.
    pub fn name(self) -> &'static str {
        match self {
            Assignor::Uniform => "uniform",
            Assignor::Range => "range",
        }
    }

    /// The target for members, given in the order of their names.
    pub fn assign(self, members: &[Candidate<'_>], topics: &BTreeMap<Uuid, i32>) -> Vec<Parts> {
        match self {
            Assignor::Uniform => uniform(members, topics),
            Assignor::Range => range(members, topics),
        }
    }
}

/// A member to be given partitions.
#[derive(Debug, Clone)]
pub struct Candidate<'a> {
    /// Topics that it reads.
    pub topics: BTreeSet<Uuid>,
    /// What it was meant to have so far.
    pub now: &'a Parts,
}

fn range(members: &[Candidate<'_>], topics: &BTreeMap<Uuid, i32>) -> Vec<Parts> {
    let mut out = vec![Parts::new(); members.len()];
    for (id, partitions) in topics {
        let readers: Vec<usize> = (0..members.len()).filter(|index| members[*index].topics.contains(id)).collect();
        let Some(count) = i32::try_from(readers.len()).ok().filter(|count| *count > 0) else { continue };
        let (each, more) = (partitions / count, partitions % count);
        let mut first = 0;
        for (rank, reader) in (0..).zip(readers) {
            let end = first + each + i32::from(rank < more);
            if end > first {
                out[reader].insert(*id, (first..end).collect());
            }
            first = end;
        }
    }
    out
}

fn uniform(members: &[Candidate<'_>], topics: &BTreeMap<Uuid, i32>) -> Vec<Parts> {
    let mut out = vec![Parts::new(); members.len()];
    let mut loads = vec![0usize; members.len()];
    let mut owners: BTreeMap<(Uuid, i32), usize> = BTreeMap::new();
    let total: usize = topics.values().map(|partitions| *partitions as usize).sum();
    let alike = members.windows(2).all(|pair| pair[0].topics == pair[1].topics);
    let (least, mut with_one_more) = (total / members.len().max(1), total % members.len().max(1));
    for (index, member) in members.iter().enumerate() {
        for (id, number) in each(member.now) {
            let is_there = topics.get(&id).is_some_and(|partitions| number < *partitions);
            if !is_there || !member.topics.contains(&id) || owners.contains_key(&(id, number)) {
                continue;
            }
            // Where all read the same, nobody keeps more than a fair part.
            if alike && loads[index] >= least {
                if loads[index] > least || with_one_more == 0 {
                    continue;
                }
                with_one_more -= 1;
            }
            owners.insert((id, number), index);
            loads[index] += 1;
        }
    }
    let mut by_load: BTreeSet<(usize, usize)> = loads.iter().copied().zip(0..members.len()).collect();
    for (id, partitions) in topics {
        let nobodys: Vec<i32> = (0..*partitions).filter(|number| !owners.contains_key(&(*id, *number))).collect();
        for number in nobodys {
            let lightest = match alike {
                true => by_load.pop_first().filter(|(_, index)| members[*index].topics.contains(id)),
                false => lightest_of(members, &loads, *id).map(|index| (loads[index], index)),
            };
            if let Some((load, index)) = lightest {
                owners.insert((*id, number), index);
                loads[index] = load + 1;
                by_load.insert((load + 1, index));
            }
        }
    }
    if !alike {
        balance(members, &mut owners, &mut loads);
    }
    for ((id, number), index) in owners {
        out[index].entry(id).or_default().insert(number);
    }
    out
}

fn lightest_of(members: &[Candidate<'_>], loads: &[usize], id: Uuid) -> Option<usize> {
    (0..members.len()).filter(|index| members[*index].topics.contains(&id)).min_by_key(|index| loads[*index])
}

/// Moves partitions to members that have at least two fewer, until there is none. Each move lowers the sum of squares of the loads, so it ends.
fn balance(members: &[Candidate<'_>], owners: &mut BTreeMap<(Uuid, i32), usize>, loads: &mut [usize]) {
    loop {
        let mut moved = false;
        for ((id, _), owner) in owners.iter_mut() {
            if let Some(lightest) = lightest_of(members, loads, *id)
                && loads[*owner] > loads[lightest] + 1
            {
                loads[*owner] -= 1;
                loads[lightest] += 1;
                *owner = lightest;
                moved = true;
            }
        }
        if !moved {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic(number: u128) -> Uuid {
        Uuid::from_u128(number)
    }

    fn sizes(parts: &[Parts]) -> Vec<usize> {
        parts.iter().map(|parts| each(parts).count()).collect()
    }

    fn run(assignor: Assignor, now: &[Parts], read: &[&[u128]], topics: &[(u128, i32)]) -> Vec<Parts> {
        let topics: BTreeMap<Uuid, i32> = topics.iter().map(|(id, count)| (topic(*id), *count)).collect();
        let members: Vec<Candidate<'_>> = now
            .iter()
            .zip(read)
            .map(|(now, read)| Candidate { topics: read.iter().map(|id| topic(*id)).collect(), now })
            .collect();
        let out = assignor.assign(&members, &topics);
        let mut all: Vec<(Uuid, i32)> = out.iter().flat_map(each).collect();
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count, "nothing is given twice");
        for (index, parts) in out.iter().enumerate() {
            assert!(parts.keys().all(|id| members[index].topics.contains(id)));
        }
        out
    }

    #[test]
    fn uniform_is_balanced_and_moves_little() {
        let none = vec![Parts::new(); 3];
        let first = run(Assignor::Uniform, &none, &[&[1, 2], &[1, 2], &[1, 2]], &[(1, 5), (2, 5)]);
        assert_eq!(sizes(&first), [4, 3, 3]);
        // One leaves: the others keep what they have.
        let second = run(Assignor::Uniform, &first[..2], &[&[1, 2], &[1, 2]], &[(1, 5), (2, 5)]);
        assert_eq!(sizes(&second), [5, 5]);
        for (before, after) in first.iter().zip(&second) {
            assert!(each(before).all(|(id, number)| super::super::contains(after, id, number)));
        }
        // One comes: only what it gets moves.
        let now = [second[0].clone(), second[1].clone(), Parts::new()];
        let third = run(Assignor::Uniform, &now, &[&[1, 2], &[1, 2], &[1, 2]], &[(1, 5), (2, 5)]);
        assert_eq!(sizes(&third), [4, 3, 3]);
        assert_eq!(run(Assignor::Uniform, &third, &[&[1, 2], &[1, 2], &[1, 2]], &[(1, 5), (2, 5)]), third);
    }

    #[test]
    fn members_that_read_different_topics_are_balanced_as_far_as_they_can_be() {
        let none = vec![Parts::new(); 3];
        let out = run(Assignor::Uniform, &none, &[&[1], &[1, 2], &[2]], &[(1, 6), (2, 2)]);
        assert_eq!(sizes(&out).iter().sum::<usize>(), 8);
        assert_eq!(sizes(&out), [3, 3, 2]);
    }

    #[test]
    fn range_gives_neighbours_and_the_same_numbers_of_like_topics() {
        let none = vec![Parts::new(); 2];
        let out = run(Assignor::Range, &none, &[&[1, 2], &[1, 2]], &[(1, 3), (2, 3)]);
        assert_eq!(out[0][&topic(1)], BTreeSet::from([0, 1]));
        assert_eq!(out[0][&topic(2)], BTreeSet::from([0, 1]));
        assert_eq!(out[1][&topic(1)], BTreeSet::from([2]));
    }
}
