//! Incremental fetch sessions (KIP-227): a client names its partitions once, then only what changes; the answer has only what is new.
//!
//! A session is memory for a client that may be gone, so there is a bound on how many there are. As in Kafka, a new one takes the place of one
//! that nobody has used for two minutes, or of a smaller one of that age; if there is none, the client goes on without a session.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use millstream_protocol::ErrorCode;
use millstream_protocol::messages::FetchRequest;
use millstream_protocol::messages::fetch::{FetchPartition, FetchTopic, FetchableTopicResponse, PartitionData};
use parking_lot::Mutex;
use uuid::Uuid;

/// A session that was not used for so long, or that is so old and smaller, may lose its place.
const EVICTION_MS: i64 = 120_000;
/// Most partitions of one session; a client with more goes on without one.
const PARTITIONS_MAX: usize = 20_000;
/// Ends a session, or says that none is wanted.
const FINAL_EPOCH: i32 = -1;
/// Asks for a new session.
const INITIAL_EPOCH: i32 = 0;

/// A partition as a client names it: by its topic's id or by its name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    topic: String,
    id: Uuid,
    partition: i32,
}

#[derive(Debug)]
struct Watched {
    key: Key,
    asked: FetchPartition,
    /// What the client was last told.
    high_watermark: i64,
    log_start_offset: i64,
}

#[derive(Debug, Default)]
struct Session {
    epoch: i32,
    by_id: bool,
    /// In the order in which they are read; who had records goes to the end, so that all have their turn.
    watched: BTreeMap<u64, Watched>,
    places: HashMap<Key, u64>,
    next_place: u64,
}

impl Session {
    fn put(&mut self, topic: &str, id: Uuid, asked: FetchPartition) {
        let key = Key { topic: topic.to_string(), id, partition: asked.partition };
        if let Some(there) = self.places.get(&key).and_then(|place| self.watched.get_mut(place)) {
            there.asked = asked;
            return;
        }
        self.next_place += 1;
        self.places.insert(key.clone(), self.next_place);
        self.watched.insert(self.next_place, Watched { key, asked, high_watermark: -1, log_start_offset: -1 });
    }

    fn remove(&mut self, key: &Key) {
        if let Some(place) = self.places.remove(key) {
            self.watched.remove(&place);
        }
    }

    fn topics(&self) -> Vec<FetchTopic> {
        let mut out: Vec<FetchTopic> = Vec::new();
        for watched in self.watched.values() {
            match out.last_mut() {
                Some(last) if last.topic_id == watched.key.id && last.topic == watched.key.topic => {
                    last.partitions.push(watched.asked.clone());
                }
                _ => out.push(FetchTopic {
                    topic: watched.key.topic.clone(),
                    topic_id: watched.key.id,
                    partitions: vec![watched.asked.clone()],
                }),
            }
        }
        out
    }

    /// Notes what the client is told about a partition. False: it knows all of that.
    fn tells(&mut self, topic: &str, id: Uuid, data: &PartitionData) -> bool {
        let key = Key { topic: topic.to_string(), id, partition: data.partition_index };
        let Some(place) = self.places.get(&key).copied() else { return true };
        let Some(watched) = self.watched.get_mut(&place) else { return true };
        let has_records = data.records.as_ref().is_some_and(|records| !records.is_empty());
        let moved = watched.high_watermark != data.high_watermark || watched.log_start_offset != data.log_start_offset;
        watched.high_watermark = data.high_watermark;
        watched.log_start_offset = data.log_start_offset;
        if !data.error_code.is_ok() {
            // An error is told again and again.
            watched.high_watermark = -1;
        }
        if has_records && let Some(watched) = self.watched.remove(&place) {
            self.next_place += 1;
            self.places.insert(key, self.next_place);
            self.watched.insert(self.next_place, watched);
        }
        has_records || moved || !data.error_code.is_ok()
    }
}

#[derive(Debug)]
struct Slot {
    session: Arc<Mutex<Session>>,
    created_ms: i64,
    used_ms: i64,
    partitions: usize,
}

#[derive(Debug)]
struct Cache {
    slots: HashMap<i32, Slot>,
    chance: fastrand::Rng,
}

/// The sessions of the broker.
#[derive(Debug)]
pub(crate) struct FetchSessions {
    slots_max: usize,
    cache: Mutex<Cache>,
}

/// What a fetch is to a session.
#[derive(Debug)]
pub(crate) struct Turn {
    /// The session's id; 0: there is none yet.
    pub id: i32,
    session: Option<Arc<Mutex<Session>>>,
    /// The client is to be told everything.
    full: bool,
    /// If nothing went wrong, a session begins.
    begins: Option<Session>,
}

impl FetchSessions {
    /// At most `slots_max` sessions at a time.
    pub fn new(slots_max: usize, seed: u64) -> Self {
        let cache = Cache { slots: HashMap::new(), chance: fastrand::Rng::with_seed(seed) };
        FetchSessions { slots_max, cache: Mutex::new(cache) }
    }

    /// How many sessions there are, and their partitions.
    pub fn len(&self) -> (usize, usize) {
        let cache = self.cache.lock();
        (cache.slots.len(), cache.slots.values().map(|slot| slot.partitions).sum())
    }

    /// Completes a request with what its session knows. `by_id`: topics are named by id.
    ///
    /// # Errors
    /// The client is to begin a new session.
    pub fn begin(&self, request: &mut FetchRequest, by_id: bool, now_ms: i64) -> Result<Turn, ErrorCode> {
        let none = Turn { id: 0, session: None, full: true, begins: None };
        if matches!(request.session_epoch, FINAL_EPOCH | INITIAL_EPOCH) {
            if request.session_id != 0 {
                self.cache.lock().slots.remove(&request.session_id);
            }
            let partitions: usize = request.topics.iter().map(|topic| topic.partitions.len()).sum();
            if request.session_epoch == FINAL_EPOCH || partitions == 0 || partitions > PARTITIONS_MAX {
                return Ok(none);
            }
            let mut session = Session { epoch: 1, by_id, ..Session::default() };
            for topic in &request.topics {
                for one in &topic.partitions {
                    session.put(&topic.topic, topic.topic_id, one.clone());
                }
            }
            return Ok(Turn { begins: Some(session), ..none });
        }
        let mut cache = self.cache.lock();
        let Some(slot) = cache.slots.get_mut(&request.session_id) else {
            return Err(ErrorCode::FetchSessionIdNotFound);
        };
        let shared = slot.session.clone();
        let mut session = shared.lock();
        if session.epoch != request.session_epoch {
            return Err(ErrorCode::InvalidFetchSessionEpoch);
        }
        if session.by_id != by_id {
            return Err(ErrorCode::FetchSessionTopicIdError);
        }
        slot.used_ms = now_ms;
        for topic in request.topics.drain(..) {
            for one in topic.partitions {
                session.put(&topic.topic, topic.topic_id, one);
            }
        }
        for topic in request.forgotten_topics_data.drain(..) {
            for partition in topic.partitions {
                session.remove(&Key { topic: topic.topic.clone(), id: topic.topic_id, partition });
            }
        }
        slot.partitions = session.watched.len();
        let id = request.session_id;
        if session.watched.is_empty() {
            cache.slots.remove(&id);
            return Ok(none);
        }
        if session.watched.len() > PARTITIONS_MAX {
            cache.slots.remove(&id);
            return Err(ErrorCode::FetchSessionIdNotFound);
        }
        session.epoch = if session.epoch == i32::MAX { 1 } else { session.epoch + 1 };
        request.topics = session.topics();
        drop(session);
        Ok(Turn { id, session: Some(shared), full: false, begins: None })
    }

    /// Leaves of an answer what the client does not know. Gives the session's id, 0 if there is none.
    pub fn finish(&self, turn: Turn, responses: &mut Vec<FetchableTopicResponse>, now_ms: i64) -> i32 {
        if let Some(mut session) = turn.begins {
            let told = responses.iter().flat_map(|topic| topic.partitions.iter().map(move |data| (topic, data)));
            for (topic, data) in told {
                session.tells(&topic.topic, topic.topic_id, data);
            }
            return self.cache.lock().insert(session, self.slots_max, now_ms).unwrap_or(0);
        }
        if let (Some(session), false) = (turn.session, turn.full) {
            let mut session = session.lock();
            for topic in responses.iter_mut() {
                let (name, id) = (&topic.topic, topic.topic_id);
                topic.partitions.retain(|data| session.tells(name, id, data));
            }
            responses.retain(|topic| !topic.partitions.is_empty());
        }
        turn.id
    }
}

impl Cache {
    fn insert(&mut self, session: Session, slots_max: usize, now_ms: i64) -> Option<i32> {
        let partitions = session.watched.len();
        if self.slots.len() >= slots_max {
            let loser = self.loser(partitions, now_ms)?;
            self.slots.remove(&loser);
        }
        let id = loop {
            let id = self.chance.i32(1..);
            if !self.slots.contains_key(&id) {
                break id;
            }
        };
        let session = Arc::new(Mutex::new(session));
        self.slots.insert(id, Slot { session, created_ms: now_ms, used_ms: now_ms, partitions });
        Some(id)
    }

    /// Whose place a new session of so many partitions takes.
    fn loser(&self, partitions: usize, now_ms: i64) -> Option<i32> {
        let stalest = self.slots.iter().min_by_key(|(_, slot)| slot.used_ms)?;
        if now_ms - stalest.1.used_ms > EVICTION_MS {
            return Some(*stalest.0);
        }
        let old = self.slots.iter().filter(|(_, slot)| now_ms - slot.created_ms > EVICTION_MS);
        let smallest = old.min_by_key(|(_, slot)| (slot.partitions, slot.used_ms))?;
        (smallest.1.partitions < partitions).then_some(*smallest.0)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use millstream_protocol::messages::fetch::ForgottenTopic;

    use super::*;

    fn request(id: i32, epoch: i32, partitions: &[i32]) -> FetchRequest {
        let partitions =
            partitions.iter().map(|number| FetchPartition { partition: *number, ..FetchPartition::default() });
        let topic = FetchTopic { topic: "t".into(), partitions: partitions.collect(), ..FetchTopic::default() };
        let topics = if topic.partitions.is_empty() { vec![] } else { vec![topic] };
        FetchRequest { session_id: id, session_epoch: epoch, topics, ..FetchRequest::default() }
    }

    /// An answer with a high watermark for each partition, and records in one.
    fn answer(request: &FetchRequest, high_watermark: i64, with_records: Option<i32>) -> Vec<FetchableTopicResponse> {
        let of = |topic: &FetchTopic| FetchableTopicResponse {
            topic: topic.topic.clone(),
            topic_id: topic.topic_id,
            partitions: topic
                .partitions
                .iter()
                .map(|asked| PartitionData {
                    partition_index: asked.partition,
                    high_watermark,
                    log_start_offset: 0,
                    records: Some(Bytes::from_static(if with_records == Some(asked.partition) { b"r" } else { b"" })),
                    ..PartitionData::default()
                })
                .collect(),
        };
        request.topics.iter().map(of).collect()
    }

    fn told(responses: &[FetchableTopicResponse]) -> Vec<i32> {
        responses.iter().flat_map(|topic| topic.partitions.iter().map(|data| data.partition_index)).collect()
    }

    /// One fetch: the partitions that are read, those that are told, the session's id.
    fn fetch(
        sessions: &FetchSessions,
        mut request: FetchRequest,
        now_ms: i64,
        high_watermark: i64,
        with_records: Option<i32>,
    ) -> Result<(Vec<i32>, Vec<i32>, i32), ErrorCode> {
        let turn = sessions.begin(&mut request, false, now_ms)?;
        let read = request.topics.iter().flat_map(|topic| topic.partitions.iter().map(|one| one.partition)).collect();
        let mut responses = answer(&request, high_watermark, with_records);
        let id = sessions.finish(turn, &mut responses, now_ms);
        Ok((read, told(&responses), id))
    }

    #[test]
    fn only_what_changed_is_asked_for_and_told() {
        let sessions = FetchSessions::new(10, 1);
        let (_, first, id) = fetch(&sessions, request(0, 0, &[0, 1, 2]), 0, 5, None).expect("a new session");
        assert!(id != 0 && first == [0, 1, 2]);
        let next = fetch(&sessions, request(id, 1, &[]), 0, 5, Some(0)).expect("it goes on");
        assert_eq!(next, (vec![0, 1, 2], vec![0], id));
        // Who had records is read last; a mark that moved is told.
        let next = fetch(&sessions, request(id, 2, &[]), 0, 6, None).expect("it goes on");
        assert_eq!(next, (vec![1, 2, 0], vec![1, 2, 0], id));
        let mut forget = request(id, 3, &[7]);
        forget.forgotten_topics_data =
            vec![ForgottenTopic { topic: "t".into(), partitions: vec![1, 2], ..ForgottenTopic::default() }];
        assert_eq!(fetch(&sessions, forget, 0, 6, None), Ok((vec![0, 7], vec![7], id)));
        assert_eq!(sessions.len(), (1, 2));
        assert_eq!(fetch(&sessions, request(id, -1, &[]), 0, 6, None), Ok((vec![], vec![], 0)));
        assert_eq!(sessions.len(), (0, 0));
    }

    #[test]
    fn a_session_that_is_not_known_or_in_another_epoch_begins_anew() {
        let sessions = FetchSessions::new(10, 1);
        let unknown = fetch(&sessions, request(9, 1, &[]), 0, 5, None);
        assert_eq!(unknown, Err(ErrorCode::FetchSessionIdNotFound));
        assert_eq!(fetch(&sessions, request(0, 1, &[]), 0, 5, None), Err(ErrorCode::FetchSessionIdNotFound));
        let (.., id) = fetch(&sessions, request(0, 0, &[0]), 0, 5, None).expect("a new session");
        assert_eq!(fetch(&sessions, request(id, 2, &[]), 0, 5, None), Err(ErrorCode::InvalidFetchSessionEpoch));
        let by_id = sessions.begin(&mut request(id, 1, &[]), true, 0);
        assert_eq!(by_id.err(), Some(ErrorCode::FetchSessionTopicIdError));
        let (.., other) = fetch(&sessions, request(id, 0, &[0]), 0, 5, None).expect("a new session");
        assert!(other != 0 && other != id && sessions.len() == (1, 1));
    }

    #[test]
    fn places_are_given_up_by_the_idle_and_by_the_small() {
        let sessions = FetchSessions::new(2, 1);
        let (.., first) = fetch(&sessions, request(0, 0, &[0]), 0, 5, None).expect("a new session");
        let (.., second) = fetch(&sessions, request(0, 0, &[0, 1]), 0, 5, None).expect("a new session");
        let (.., none) = fetch(&sessions, request(0, 0, &[0, 1, 2]), 1, 5, None).expect("an answer");
        assert_eq!(none, 0, "there is no place");
        for id in [first, second] {
            fetch(&sessions, request(id, 1, &[]), 120_000, 5, None).expect("both are in use");
        }
        let (.., third) = fetch(&sessions, request(0, 0, &[0, 1, 2]), 120_001, 5, None).expect("an answer");
        assert!(third != 0, "the smallest old one went");
        assert_eq!(fetch(&sessions, request(first, 2, &[]), 120_002, 5, None), Err(ErrorCode::FetchSessionIdNotFound));
        let (.., fourth) = fetch(&sessions, request(0, 0, &[0]), 240_001, 5, None).expect("an answer");
        assert!(fourth != 0, "the idle one went");
        assert_eq!(fetch(&sessions, request(second, 2, &[]), 240_001, 5, None), Err(ErrorCode::FetchSessionIdNotFound));
    }

    #[test]
    fn an_error_is_told_each_time() {
        let sessions = FetchSessions::new(10, 1);
        let (.., id) = fetch(&sessions, request(0, 0, &[0, 1]), 0, 5, None).expect("a new session");
        for epoch in 1..3 {
            let mut request = request(id, epoch, &[]);
            let turn = sessions.begin(&mut request, false, 0).expect("it goes on");
            let mut responses = answer(&request, 5, None);
            responses[0].partitions[1].error_code = ErrorCode::KafkaStorageError;
            sessions.finish(turn, &mut responses, 0);
            assert_eq!(told(&responses), [1]);
        }
    }
}
