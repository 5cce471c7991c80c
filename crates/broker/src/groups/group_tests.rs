//! Groups driven by a clock of the test's own: no sleeping, no sockets.

use bytes::Bytes;

use super::exchange::*;
use super::group::*;

/// A group, what it answered so far, and the time.
struct Bench {
    group: Group,
    rules: Rules,
    now_ms: i64,
    next_ticket: Ticket,
    joined: Vec<(Ticket, JoinAnswer)>,
    synced: Vec<(Ticket, SyncAnswer)>,
    /// Records are made durable at once unless a test wants them to fail.
    durable: bool,
    next_offset: i64,
}

impl Bench {
    fn new() -> Self {
        let group = Group::new("g");
        let rules = Rules { size_max: 100, initial_delay_ms: 0 };
        let (joined, synced) = (Vec::new(), Vec::new());
        Bench { group, rules, now_ms: 0, next_ticket: 0, joined, synced, durable: true, next_offset: 0 }
    }

    fn run(&mut self, mut effects: Vec<Effect>) {
        while !effects.is_empty() {
            for effect in std::mem::take(&mut effects) {
                match effect {
                    Effect::Joined(ticket, answer) => self.joined.push((ticket, answer)),
                    Effect::Synced(ticket, answer) => self.synced.push((ticket, answer)),
                    Effect::Persist(record) => {
                        self.next_offset += 1;
                        let offset = self.durable.then_some(self.next_offset);
                        self.group.persisted(self.now_ms, record, offset, &mut effects);
                    }
                }
            }
        }
    }

    fn request(&self, member: &str, subscription: &'static str) -> Join {
        Join {
            member_id: member.to_string(),
            client_id: "c".into(),
            client_host: "/127.0.0.1".into(),
            session_timeout_ms: 10_000,
            rebalance_timeout_ms: 60_000,
            protocol_type: "consumer".into(),
            protocols: vec![("range".into(), Bytes::from_static(subscription.as_bytes()))],
            fresh_member_id: format!("c-{}", self.next_ticket),
            ..Join::default()
        }
    }

    fn send(&mut self, join: Join) -> Ticket {
        self.next_ticket += 1;
        let mut effects = Vec::new();
        self.group.join(self.now_ms, self.next_ticket, join, self.rules, &mut effects);
        self.run(effects);
        self.next_ticket
    }

    fn join(&mut self, member: &str) -> Ticket {
        let join = self.request(member, "t");
        self.send(join)
    }

    fn join_static(&mut self, instance: &str) -> Ticket {
        let join = Join { instance_id: Some(instance.into()), ..self.request("", "t") };
        self.send(join)
    }

    fn sync(&mut self, joined: &Joined, assignments: &[(&str, &'static str)]) -> Ticket {
        self.next_ticket += 1;
        let mut effects = Vec::new();
        let sync = Sync {
            member_id: joined.member_id.clone(),
            generation: joined.generation,
            assignments: assignments
                .iter()
                .map(|(member, part)| (member.to_string(), Bytes::from_static(part.as_bytes())))
                .collect(),
            ..Sync::default()
        };
        self.group.sync(self.now_ms, self.next_ticket, sync, &mut effects);
        self.run(effects);
        self.next_ticket
    }

    fn pass(&mut self, ms: i64) {
        let end = self.now_ms + ms;
        while let Some(next) = self.group.next_deadline_ms().filter(|next| *next <= end) {
            self.now_ms = next.max(self.now_ms);
            let mut effects = Vec::new();
            self.group.tick(self.now_ms, &mut effects);
            self.run(effects);
        }
        self.now_ms = end;
    }

    fn beat(&mut self, joined: &Joined) -> Result<(), GroupError> {
        self.group.heartbeat(self.now_ms, &joined.member_id, None, joined.generation)
    }

    fn leave(&mut self, member: &str) {
        let mut effects = Vec::new();
        self.group.leave(self.now_ms, member, None, &mut effects).expect("the member is there");
        self.run(effects);
    }

    fn answer(&self, ticket: Ticket) -> Option<&JoinAnswer> {
        self.joined.iter().find(|(of, _)| *of == ticket).map(|(_, answer)| answer)
    }

    fn joined(&self, ticket: Ticket) -> Joined {
        self.answer(ticket).expect("the join is answered").clone().expect("the member is in")
    }

    fn refusal(&self, ticket: Ticket) -> GroupError {
        self.answer(ticket).expect("the join is answered").clone().expect_err("the join is refused").error
    }

    fn synced(&self, ticket: Ticket) -> Option<SyncAnswer> {
        self.synced.iter().find(|(of, _)| *of == ticket).map(|(_, answer)| answer.clone())
    }

    fn part(&self, ticket: Ticket) -> Bytes {
        self.synced(ticket).expect("the sync is answered").expect("there is an assignment").assignment
    }

    /// Two members with an assignment each; the first leads.
    fn two(&mut self) -> (Joined, Joined) {
        let first = self.join("");
        let first = self.joined(first);
        let second = self.join("");
        let first = self.join(&first.member_id);
        let (first, second) = (self.joined(first), self.joined(second));
        let (a, b) = (first.member_id.clone(), second.member_id.clone());
        let of_second = self.sync(&second, &[]);
        let of_first = self.sync(&first, &[(&a, "p0"), (&b, "p1")]);
        assert_eq!(self.part(of_first), "p0");
        assert_eq!(self.part(of_second), "p1");
        (first, second)
    }
}

#[test]
fn a_lone_member_leads_at_once_and_gets_what_it_assigned() {
    let mut bench = Bench::new();
    let ticket = bench.join("");
    let joined = bench.joined(ticket);
    assert_eq!((joined.generation, joined.leader.as_str(), joined.members.len()), (1, joined.member_id.as_str(), 1));
    assert_eq!(joined.protocol.as_deref(), Some("range"));
    let sync = bench.sync(&joined, &[(&joined.member_id, "p0")]);
    assert_eq!(bench.part(sync), "p0");
    assert_eq!(bench.group.state(), GroupState::Stable);
}

#[test]
fn members_that_start_together_share_the_first_assignment_after_a_delay() {
    let mut bench = Bench::new();
    bench.rules.initial_delay_ms = 3_000;
    let first = bench.join("");
    bench.pass(2_900);
    let second = bench.join("");
    assert_eq!((bench.answer(first), bench.answer(second)), (None, None), "it waits");
    bench.pass(2_900);
    assert_eq!(bench.answer(first), None, "it waits longer, for one came");
    bench.pass(300);
    let (one, other) = (bench.joined(first), bench.joined(second));
    assert_eq!((one.generation, other.generation, one.members.len()), (1, 1, 2));
    // A rebalance of a group that has members waits for them only.
    let third = bench.join("");
    let first = bench.join(&one.member_id);
    bench.join(&other.member_id);
    assert_eq!((bench.joined(first).generation, bench.joined(third).generation), (2, 2));
}

#[test]
fn the_first_rebalance_does_not_wait_longer_than_the_rebalance_time_out() {
    let mut bench = Bench::new();
    bench.rules.initial_delay_ms = 3_000;
    let tickets: Vec<Ticket> = (0..15)
        .map(|_| {
            let ticket = bench.send(Join { rebalance_timeout_ms: 10_000, ..bench.request("", "t") });
            bench.pass(1_000);
            ticket
        })
        .collect();
    let answered: Vec<usize> = (0..15).filter(|number| bench.answer(tickets[*number]).is_some()).collect();
    assert_eq!(answered, (0..10).collect::<Vec<_>>(), "the first ten seconds");
}

#[test]
fn who_leaves_while_the_first_rebalance_waits_leaves_an_empty_group() {
    let mut bench = Bench::new();
    bench.rules.initial_delay_ms = 3_000;
    let ticket = bench.join("");
    let id = bench.group.members().next().expect("it is there").id.clone();
    bench.leave(&id);
    assert_eq!(bench.refusal(ticket), GroupError::UnknownMemberId);
    bench.pass(3_000);
    assert_eq!((bench.group.state(), bench.group.next_deadline_ms()), (GroupState::Empty, None));
}

#[test]
fn a_member_without_id_is_given_one_to_come_back_with() {
    let mut bench = Bench::new();
    let ticket = bench.send(Join { require_known_member_id: true, ..bench.request("", "t") });
    let refused = bench.answer(ticket).expect("answered").clone().expect_err("refused");
    assert_eq!(refused.error, GroupError::MemberIdRequired);
    assert_eq!(bench.group.members().count(), 0);
    let ticket = bench.join(&refused.member_id);
    assert_eq!(bench.joined(ticket).member_id, refused.member_id);
}

#[test]
fn an_id_that_nobody_came_back_with_is_forgotten() {
    let mut bench = Bench::new();
    let (first, _) = bench.two();
    let id = bench.send(Join { require_known_member_id: true, ..bench.request("", "t") });
    let id = bench.answer(id).expect("answered").clone().expect_err("refused").member_id;
    bench.pass(5_000);
    bench.beat(&first).expect("stable");
    bench.pass(6_000);
    let ticket = bench.join(&id);
    assert_eq!(bench.refusal(ticket), GroupError::UnknownMemberId);
}

#[test]
fn a_second_member_makes_the_first_join_again() {
    let mut bench = Bench::new();
    let (first, second) = bench.two();
    assert_eq!((first.generation, second.generation), (2, 2));
    assert_eq!(first.members.len(), 2);
    assert!(second.members.is_empty());
    assert_eq!(bench.beat(&first), Ok(()));
    bench.join("");
    assert_eq!(bench.beat(&first), Err(GroupError::RebalanceInProgress));
}

#[test]
fn a_silent_member_is_removed_and_its_part_given_away() {
    let mut bench = Bench::new();
    let (first, second) = bench.two();
    bench.pass(9_000);
    bench.beat(&first).expect("alive");
    bench.pass(2_000);
    assert_eq!(bench.beat(&second), Err(GroupError::UnknownMemberId));
    assert_eq!(bench.beat(&first), Err(GroupError::RebalanceInProgress));
    let ticket = bench.join(&first.member_id);
    assert_eq!(bench.joined(ticket).members.len(), 1);
    assert_eq!(bench.joined(ticket).generation, 3);
}

#[test]
fn a_member_that_leaves_starts_a_rebalance_at_once() {
    let mut bench = Bench::new();
    let (first, second) = bench.two();
    bench.leave(&first.member_id);
    assert_eq!(bench.beat(&second), Err(GroupError::RebalanceInProgress));
    let ticket = bench.join(&second.member_id);
    assert_eq!(bench.joined(ticket).leader, second.member_id);
    bench.leave(&second.member_id);
    assert_eq!(bench.group.state(), GroupState::Empty);
    assert!(bench.group.is_vacant());
}

#[test]
fn a_rebalance_goes_on_without_a_member_that_does_not_come() {
    let mut bench = Bench::new();
    let (first, second) = bench.two();
    let ticket = bench.join(&first.member_id);
    assert!(bench.answer(ticket).is_none(), "waits for the second");
    for _ in 0..7 {
        bench.pass(9_000);
        let _ = bench.beat(&second);
    }
    assert_eq!(bench.joined(ticket).members.len(), 1, "after the rebalance time-out");
    assert_eq!(bench.beat(&second), Err(GroupError::UnknownMemberId));
}

#[test]
fn a_leader_that_never_assigns_is_removed() {
    let mut bench = Bench::new();
    let leader = bench.join("");
    let leader = bench.joined(leader);
    let follower = bench.join("");
    let ticket = bench.join(&leader.member_id);
    let (leader, follower) = (bench.joined(ticket), bench.joined(follower));
    let sync = bench.sync(&follower, &[]);
    for _ in 0..7 {
        bench.pass(9_000);
        let _ = bench.beat(&leader);
    }
    assert_eq!(bench.synced(sync), Some(Err(GroupError::RebalanceInProgress)));
    assert_eq!(bench.beat(&leader), Err(GroupError::UnknownMemberId));
    let ticket = bench.join(&follower.member_id);
    assert_eq!(bench.joined(ticket).leader, follower.member_id);
}

#[test]
fn requests_of_an_earlier_generation_are_refused() {
    let mut bench = Bench::new();
    let (first, second) = bench.two();
    let old = Joined { generation: 1, ..first.clone() };
    assert_eq!(bench.beat(&old), Err(GroupError::IllegalGeneration));
    let sync = bench.sync(&old, &[]);
    assert_eq!(bench.synced(sync), Some(Err(GroupError::IllegalGeneration)));
    assert_eq!(bench.group.check_commit(0, &first.member_id, None, 1), Err(GroupError::IllegalGeneration));
    assert_eq!(bench.group.check_commit(0, &second.member_id, None, 2), Ok(()));
    assert_eq!(bench.group.check_commit(0, "", None, -1), Err(GroupError::UnknownMemberId));
}

#[test]
fn offsets_may_be_committed_while_others_are_waited_for_but_not_while_partitions_move() {
    let mut bench = Bench::new();
    let (first, second) = bench.two();
    bench.join("");
    assert_eq!(bench.group.check_commit(0, &first.member_id, None, 2), Ok(()));
    bench.join(&first.member_id);
    let ticket = bench.join(&second.member_id);
    let second = bench.joined(ticket);
    assert_eq!(
        bench.group.check_commit(0, &second.member_id, None, second.generation),
        Err(GroupError::RebalanceInProgress)
    );
}

#[test]
fn a_simple_consumer_commits_only_while_there_are_no_members() {
    let mut bench = Bench::new();
    assert_eq!(bench.group.check_commit(0, "", None, -1), Ok(()));
    bench.two();
    assert_eq!(bench.group.check_commit(0, "", None, -1), Err(GroupError::UnknownMemberId));
}

#[test]
fn members_without_a_common_assignor_do_not_come_together() {
    let mut bench = Bench::new();
    bench.two();
    let other = vec![("sticky".to_string(), Bytes::new())];
    let ticket = bench.send(Join { protocols: other, ..bench.request("", "t") });
    assert_eq!(bench.refusal(ticket), GroupError::InconsistentProtocol);
    let ticket = bench.send(Join { protocol_type: "connect".into(), ..bench.request("", "t") });
    assert_eq!(bench.refusal(ticket), GroupError::InconsistentProtocol);
}

#[test]
fn the_assignor_is_one_that_all_know() {
    let mut bench = Bench::new();
    let both = vec![("sticky".to_string(), Bytes::new()), ("range".to_string(), Bytes::from_static(b"t"))];
    let first = bench.send(Join { protocols: both.clone(), ..bench.request("", "t") });
    let first = bench.joined(first);
    assert_eq!(first.protocol.as_deref(), Some("sticky"));
    let second = bench.join("");
    bench.send(Join { protocols: both, ..bench.request(&first.member_id, "t") });
    assert_eq!(bench.joined(second).protocol.as_deref(), Some("range"));
}

#[test]
fn a_follower_that_asks_again_unchanged_is_answered_without_a_rebalance() {
    let mut bench = Bench::new();
    let (_, second) = bench.two();
    let ticket = bench.join(&second.member_id);
    assert_eq!(bench.joined(ticket).generation, 2);
    assert_eq!(bench.group.state(), GroupState::Stable);
    let changed = bench.request(&second.member_id, "another topic");
    bench.send(changed);
    assert_eq!(bench.group.state(), GroupState::PreparingRebalance);
}

#[test]
fn a_static_member_comes_back_without_a_rebalance_and_fences_its_former_self() {
    let mut bench = Bench::new();
    let first = bench.join_static("a");
    let first = bench.joined(first);
    bench.sync(&first, &[(&first.member_id, "p0")]);
    let again = bench.join_static("a");
    let again = bench.joined(again);
    assert_ne!(again.member_id, first.member_id);
    assert_eq!((again.generation, bench.group.state()), (1, GroupState::Stable));
    assert_eq!(again.leader, first.member_id, "an old client is not to assign");
    let sync = bench.sync(&again, &[]);
    assert_eq!(bench.part(sync), "p0");
    let fenced = bench.group.heartbeat(0, &first.member_id, Some("a"), 1);
    assert_eq!(fenced, Err(GroupError::FencedInstanceId));

    let join = Join { instance_id: Some("a".into()), supports_skipping_assignment: true, ..bench.request("", "t") };
    let ticket = bench.send(join);
    let joined = bench.joined(ticket);
    assert!(joined.skip_assignment && joined.leader == joined.member_id && joined.members.len() == 1);
}

#[test]
fn a_static_member_has_its_place_back_only_once_that_is_durable() {
    let mut bench = Bench::new();
    let first = bench.join_static("a");
    let first = bench.joined(first);
    bench.sync(&first, &[(&first.member_id, "p0")]);
    bench.durable = false;
    let again = bench.join_static("a");
    assert_eq!(bench.refusal(again), GroupError::CoordinatorNotAvailable, "a restart would bring the first one back");
    bench.durable = true;
    let again = bench.join_static("a");
    let again = bench.joined(again);
    let kept = bench.group.kept().expect("it was written");
    assert_eq!(kept.members[0].id, again.member_id);
}

#[test]
fn a_group_in_a_rebalance_is_kept_as_it_was_written() {
    let mut bench = Bench::new();
    bench.two();
    let written = bench.group.kept().expect("it was written").clone();
    bench.join("");
    let first = written.members[0].id.clone();
    bench.leave(&first);
    assert_eq!((bench.group.state(), bench.group.kept()), (GroupState::PreparingRebalance, Some(&written)));
    let restored = Group::restore("g", written.clone(), 0);
    assert_eq!(restored.kept(), Some(&written));
}

#[test]
fn a_static_member_keeps_its_place_in_a_rebalance_until_its_session_ends() {
    let mut bench = Bench::new();
    let fixed = bench.join_static("a");
    let fixed = bench.joined(fixed);
    let other = bench.join("");
    bench.pass(9_000);
    assert!(bench.answer(other).is_none());
    bench.pass(2_000);
    let joined = bench.joined(other);
    assert_eq!(joined.members.len(), 1, "the static member's session is over");
    assert_eq!(bench.group.heartbeat(0, &fixed.member_id, Some("a"), 1), Err(GroupError::UnknownMemberId));
}

#[test]
fn an_administrator_removes_a_static_member_by_its_instance_id() {
    let mut bench = Bench::new();
    bench.join_static("a");
    let mut effects = Vec::new();
    assert_eq!(bench.group.leave(0, "", Some("b"), &mut effects), Err(GroupError::UnknownMemberId));
    assert_eq!(bench.group.leave(0, "", Some("a"), &mut effects), Ok(()));
    bench.run(effects);
    assert_eq!(bench.group.state(), GroupState::Empty);
}

#[test]
fn an_assignment_that_cannot_be_written_is_made_again() {
    let mut bench = Bench::new();
    let ticket = bench.join("");
    let joined = bench.joined(ticket);
    bench.durable = false;
    let sync = bench.sync(&joined, &[(&joined.member_id, "p0")]);
    assert_eq!(bench.synced(sync), Some(Err(GroupError::NotCoordinator)));
    assert_eq!(bench.beat(&joined), Err(GroupError::RebalanceInProgress));
    bench.durable = true;
    let ticket = bench.join(&joined.member_id);
    let joined = bench.joined(ticket);
    let sync = bench.sync(&joined, &[(&joined.member_id, "p0")]);
    assert_eq!(bench.part(sync), "p0");
}

#[test]
fn a_group_is_removed_only_without_members() {
    let mut bench = Bench::new();
    let (first, second) = bench.two();
    assert_eq!(bench.group.remove(), Err(GroupError::NonEmptyGroup));
    bench.leave(&first.member_id);
    bench.leave(&second.member_id);
    assert_eq!(bench.group.remove(), Ok(()));
    let ticket = bench.join("");
    assert_eq!(bench.refusal(ticket), GroupError::CoordinatorNotAvailable);
}

#[test]
fn a_group_is_what_its_record_says() {
    let mut bench = Bench::new();
    let (first, second) = bench.two();
    bench.group = Group::restore("g", bench.group.record(), bench.now_ms);
    assert_eq!(bench.group.state(), GroupState::Stable);
    assert_eq!(bench.beat(&first), Ok(()));
    let sync = bench.sync(&second, &[]);
    assert_eq!(bench.part(sync), "p1");
    bench.pass(10_000);
    assert_eq!(bench.group.state(), GroupState::Empty, "nobody was heard of after the restart");
}

#[test]
fn a_full_group_takes_nobody() {
    let mut bench = Bench::new();
    bench.two();
    let mut effects = Vec::new();
    let rules = Rules { size_max: 2, ..bench.rules };
    bench.group.join(0, 99, bench.request("", "t"), rules, &mut effects);
    bench.run(effects);
    assert_eq!(bench.refusal(99), GroupError::MaxSizeReached);
}

/// Whatever happens in whatever order, every parked request is answered once, and a stable group has given every member its part.
#[test]
fn no_request_is_lost_in_a_thousand_random_histories() {
    for seed in 0..1_000 {
        let mut chance = fastrand::Rng::with_seed(seed);
        let mut bench = Bench::new();
        bench.rules.initial_delay_ms = [0, 3_000][(seed % 2) as usize];
        let mut known: Vec<Joined> = Vec::new();
        let mut asked = 0;
        for _ in 0..60 {
            let some = chance.choice(&known).cloned();
            match (chance.u8(..10), some) {
                (0..=2, None) | (0, Some(_)) => {
                    bench.join("");
                    asked += 1;
                }
                (1..=3, Some(member)) => {
                    bench.join(&member.member_id);
                    asked += 1;
                }
                (4..=6, Some(member)) => {
                    let all: Vec<(&str, &'static str)> =
                        member.members.iter().map(|(id, _, _)| (id.as_str(), "p")).collect();
                    bench.durable = chance.u8(..8) > 0;
                    bench.sync(&member, &all);
                    bench.durable = true;
                }
                (7, Some(member)) if bench.group.members().any(|one| one.id == member.member_id) => {
                    bench.leave(&member.member_id);
                }
                (8, Some(member)) => drop(bench.beat(&member)),
                _ => bench.pass(chance.i64(0..8_000)),
            }
            known = bench.joined.iter().filter_map(|(_, answer)| answer.clone().ok()).collect();
        }
        bench.pass(3_600_000);
        assert_eq!(bench.group.state(), GroupState::Empty, "seed {seed}");
        assert_eq!(bench.group.next_deadline_ms(), None, "seed {seed}");
        assert_eq!(bench.joined.len(), asked, "seed {seed}");
        let mut tickets: Vec<Ticket> = bench.joined.iter().map(|(ticket, _)| *ticket).collect();
        tickets.extend(bench.synced.iter().map(|(ticket, _)| *ticket));
        tickets.sort_unstable();
        let count = tickets.len();
        tickets.dedup();
        assert_eq!(tickets.len(), count, "seed {seed}: a request was answered twice");
        assert_eq!(count as u64, bench.next_ticket, "seed {seed}: a request was never answered");
    }
}
