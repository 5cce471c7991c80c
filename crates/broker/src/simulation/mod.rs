//! Deterministic simulation: the whole broker under clients, a network, a disk and a clock that one seed decides over.
//!
//! It is the broker as it is – handlers, coordinators, internal topics, the log and its recovery – and not its state machines alone, since
//! what goes wrong does so between them: a record that is not durable yet, an answer before it, a replay after it. Requests come in as bytes, as on a
//! connection. What there is of chance outside of the seed is taken away: time is a number, the broker's tasks and the clients run on this thread
//! until all of them wait, and the log's writer stands before a gate ([`disk`]) with everything that was appended behind it, until the seed
//! says that the disk goes on; then all of it is one group, whose order is that of the appends. So a seed is always the same history.
//!
//! A step is one event: a request comes in, an answer arrives, a connection breaks, the disk goes on, time passes, the broker dies and
//! another one opens what is durable. At the end the network is calm, and then everything has to come to rest.
//!
//! ```text
//! MILLSTREAM_SEED=N cargo test -p millstream-broker simulation     one seed again, with its history
//! MILLSTREAM_SOAK=1 cargo test …                                   many seeds
//! ```

mod disk;
mod groups;
#[allow(dead_code, clippy::unwrap_used)]
#[path = "../../../log/tests/support/memory.rs"]
mod memory;
mod network;
mod transactions;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use bytes::Bytes;
use futures::FutureExt;
use futures::executor::{LocalPool, LocalSpawner};
use futures::task::LocalSpawnExt;
use millstream_log::{Append, Clock, Log, LogOptions, TopicPartition};
use millstream_protocol::RequestHeader;
use millstream_protocol::codec::Reader;
use millstream_protocol::records::{BatchBuilder, Codec, Scratch, batches, decode_batch};
use parking_lot::Mutex;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

use self::disk::Disk;
use self::network::{Network, Stage};
use crate::apis::{self, Context, Reply};
use crate::configs::listener::Listener;
use crate::security::Principal;
use crate::security::session::Session;
use crate::{Broker, BrokerConfig};

/// The topic that clients write to and read.
const TOPIC: &str = "t";
/// Its partitions.
const PARTITIONS: i32 = 3;
/// A topic whose appends only hold the log's writer and tell when it is through.
const PLUG: &str = "plug";
/// Of this size the coordinators' logs are written anew where a seed wants to see that.
const SMALL_LOG_BYTES: u64 = 3000;
/// How often a broker looks for transactions whose time is up.
const EXPIRE_MS: i64 = 1000;
/// In milliseconds since 1970.
const BEGIN_MS: i64 = 1_700_000_000_000;

/// What happens to the world as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Event {
    Comes,
    Answers,
    Breaks,
    Disk,
    Time,
    Tidies,
    Crash,
}

/// Out of a hundred thousand; what is left is requests, answers, and the disk.
const BREAKS: usize = 3_000;
const TIME: usize = 16_000;
const TIDIES: usize = 800;
const CRASH: usize = 500;

/// A broker that lives, with its thread of tasks.
struct Node {
    broker: Option<Arc<Broker>>,
    runtime: Option<Runtime>,
    log: Option<Log>,
    disk: Disk,
    /// Answers that the network has not seen yet, in their order.
    done: Arc<Mutex<Vec<(u64, Bytes)>>>,
    session: Arc<Session>,
    listener: Arc<Listener>,
    expiring: Option<JoinHandle<()>>,
    expires_ms: i64,
    tidy_by_itself: bool,
}

impl Node {
    fn open(disk: Disk, time: &Arc<AtomicI64>, seed: u64, tidy_by_itself: bool) -> Node {
        disk.open_gate();
        let clock = |from_ms: i64| {
            let time = time.clone();
            Clock::new(move || from_ms + time.load(Ordering::Relaxed))
        };
        let options = LogOptions {
            journal_file_bytes: 128 << 10,
            journal_files: 3,
            tail_cache_bytes: 64 << 10,
            checkpoint_interval_ms: 3_600_000,
            clock: clock(BEGIN_MS),
            ..LogOptions::default()
        };
        let (log, _) = Log::open_with(Path::new("data"), options, Arc::new(disk.clone())).expect("the log opens");
        let config = BrokerConfig {
            internal_log_bytes_max: if tidy_by_itself { 16 << 20 } else { SMALL_LOG_BYTES },
            clock: clock(BEGIN_MS),
            steady_clock: clock(0),
            seed,
            ..BrokerConfig::default()
        };
        let listener = Arc::new(config.listeners().expect("the default one").remove(0));
        let address = "127.0.0.1:9092".parse::<SocketAddr>().expect("an address");
        let session = Arc::new(Session::new(Arc::default(), address.ip(), Principal::anonymous()));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        let broker = runtime.block_on(async {
            let broker = Broker::assemble(log.clone(), config).expect("the broker opens");
            for (name, partitions) in [(TOPIC, PARTITIONS), (PLUG, 1)] {
                if broker.topics.get(name).is_none() {
                    broker.topics.create(name, partitions, BTreeMap::new()).await.expect("a topic");
                }
            }
            broker
        });
        let node = Node {
            broker: Some(broker),
            runtime: Some(runtime),
            log: Some(log),
            disk,
            done: Arc::default(),
            session,
            listener,
            expiring: None,
            expires_ms: 0,
            tidy_by_itself,
        };
        node.hold();
        node
    }

    fn broker(&self) -> &Arc<Broker> {
        self.broker.as_ref().expect("it lives")
    }

    fn runtime(&self) -> &Runtime {
        self.runtime.as_ref().expect("it lives")
    }

    fn plug(&self) -> millstream_log::Appended {
        let mut builder = BatchBuilder::new(Codec::None);
        builder.push(BEGIN_MS, None, Some(b"-"), &[]);
        let batch = builder.finish().expect("a record");
        let log = self.log.as_ref().expect("it lives");
        log.append(vec![Append::new(TopicPartition::new(PLUG, 0), batch)])
    }

    /// Everything that is appended from now on waits.
    fn hold(&self) {
        self.disk.shut_gate();
        let mut plug = self.plug();
        while !self.disk.writer_waits() {
            // After an error of the disk the log may refuse without asking it.
            if (&mut plug).now_or_never().is_some() {
                plug = self.plug();
            }
        }
    }

    /// Everything that was appended becomes durable, or fails. Nobody in the broker has heard of it yet. Gives whether it is.
    fn write(&self, fails: bool) -> bool {
        self.disk.fail_writes(fails);
        let last = self.plug();
        self.disk.open_gate();
        let written = last.wait();
        self.disk.fail_writes(false);
        self.hold();
        written.is_ok()
    }

    /// Runs the broker's tasks until all of them wait.
    fn run(&self) {
        self.runtime().block_on(async {
            for _ in 0..12 {
                tokio::task::yield_now().await;
            }
        });
    }

    fn take(&self, number: u64, frame: &Bytes, who: &str) {
        let mut reader = Reader::new(frame);
        let header = RequestHeader::read(&mut reader).expect("a header");
        let entry = apis::find(header.api_key, header.api_version).expect("it is served");
        let address = "127.0.0.1:9092".parse::<SocketAddr>().expect("an address");
        let context = Context {
            broker: self.broker().clone(),
            version: header.api_version,
            client_id: who.into(),
            peer: address,
            local: address,
            listener: self.listener.clone(),
            session: self.session.clone(),
            request_bytes: frame.len(),
        };
        let _tasks = self.runtime().enter();
        let answer = (entry.call)(context, &header, &mut reader).expect("a request");
        let done = self.done.clone();
        tokio::spawn(async move {
            if let Reply::Frame(frame) = answer.await {
                done.lock().push((number, frame.into_bytes().slice(4..)));
            }
        });
    }

    /// What the broker does by itself as time passes.
    fn tick(&mut self, now_ms: i64) {
        let tasks = self.runtime().handle().clone();
        let _tasks = tasks.enter();
        self.broker().groups.tick();
        let is_through = self.expiring.as_ref().is_none_or(JoinHandle::is_finished);
        if self.tidy_by_itself && is_through && now_ms >= self.expires_ms {
            self.expires_ms = now_ms + EXPIRE_MS;
            let transactions = self.broker().transactions.clone();
            self.expiring = Some(tokio::spawn(async move { drop(transactions.expire().await) }));
        }
    }

    /// What is not for every moment, as it waits for the disk without leaving the thread to others: the coordinators' logs are written anew.
    fn tidy(&mut self) {
        self.disk.open_gate();
        let (groups, transactions) = (self.broker().groups.clone(), self.broker().transactions.clone());
        self.runtime().block_on(async move {
            groups.expire().await.expect("it is done");
            transactions.expire().await.expect("it is done");
        });
        self.hold();
    }

    /// The process ends as it is. Gives what the next one finds.
    fn crash(mut self, power_cut: bool) -> Disk {
        self.end(power_cut)
    }

    fn end(&mut self, power_cut: bool) -> Disk {
        let disk = self.disk.crash(power_cut);
        drop(self.broker.take());
        drop(self.runtime.take());
        drop(self.log.take());
        disk
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // The writer must not stand before the gate when the log waits for it.
        if self.log.is_some() {
            self.end(false);
        }
    }
}

/// What the clients of a simulation are, and what has to hold.
trait Scenario {
    /// Begins: clients are made.
    fn begin(network: &Network, spawner: &Spawner) -> Self;
    /// Clients come.
    fn step(&mut self, network: &Network, spawner: &Spawner);
    /// What holds at any time.
    fn check(&mut self, broker: &Arc<Broker>, read: &dyn Fn(i32) -> Vec<String>);
    /// The broker was opened anew; `before` is what it held if nothing was on its way when it went.
    fn opened(&mut self, broker: &Arc<Broker>, read: &dyn Fn(i32) -> Vec<String>, before: Option<Self::Held>);
    /// What a broker holds that has to survive.
    type Held;
    /// See [`Scenario::Held`].
    fn held(broker: &Arc<Broker>) -> Self::Held;
    /// What holds at rest.
    fn at_rest(&mut self, network: &Network, broker: &Arc<Broker>, read: &dyn Fn(i32) -> Vec<String>);
}

/// Makes clients.
struct Spawner(LocalSpawner);

impl Spawner {
    fn spawn(&self, client: impl Future<Output = ()> + 'static) {
        self.0.spawn_local(client).expect("the pool lives");
    }
}

struct World<S> {
    node: Option<Node>,
    time: Arc<AtomicI64>,
    network: Network,
    pool: LocalPool,
    spawner: Spawner,
    scenario: S,
    seed: u64,
}

impl<S: Scenario> World<S> {
    fn new(seed: u64, network: Network) -> World<S> {
        let time: Arc<AtomicI64> = Arc::default();
        let tidy_by_itself = !seed.is_multiple_of(3);
        let node = Node::open(Disk::new(seed), &time, seed, tidy_by_itself);
        let pool = LocalPool::new();
        let spawner = Spawner(pool.spawner());
        let scenario = S::begin(&network, &spawner);
        World { node: Some(node), time, network, pool, spawner, scenario, seed }
    }

    fn node(&mut self) -> &mut Node {
        self.node.as_mut().expect("there is always one")
    }

    /// Broker and clients do what they can without anything happening.
    fn settle(&mut self) {
        for _ in 0..2 {
            self.node().run();
            let done: Vec<(u64, Bytes)> = std::mem::take(&mut *self.node().done.lock());
            for (number, bytes) in done {
                let seen = self.network.with_call(number, |call| {
                    call.stage = Stage::Answered(bytes.clone());
                    call.done.take()
                });
                if let Some(Some(seen)) = seen {
                    seen(&bytes);
                }
            }
            self.pool.run_until_stalled();
        }
    }

    fn choose(&self) -> Event {
        let odds = self.network.below(100_000);
        let there = |of: &dyn Fn(&Stage) -> bool| !self.network.numbers(|call| of(&call.stage)).is_empty();
        let mut limit = BREAKS;
        if odds < limit && there(&|_| true) {
            return Event::Breaks;
        }
        for (event, share) in [(Event::Time, TIME), (Event::Tidies, TIDIES), (Event::Crash, CRASH)] {
            if (limit..limit + share).contains(&odds) {
                return event;
            }
            limit += share;
        }
        let mut possible = Vec::new();
        if there(&|stage| *stage == Stage::Sent) {
            possible.extend([Event::Comes; 3]);
        }
        if there(&|stage| matches!(stage, Stage::Answered(_))) {
            possible.extend([Event::Answers; 3]);
        }
        if there(&|stage| *stage == Stage::InBroker) {
            possible.extend([Event::Disk; 2]);
        }
        match possible.len() {
            0 => Event::Time,
            count => possible[self.network.below(count)],
        }
    }

    fn any(&self, of: impl Fn(&Stage) -> bool) -> Option<u64> {
        let numbers = self.network.numbers(|call| of(&call.stage));
        (!numbers.is_empty()).then(|| numbers[self.network.below(numbers.len())])
    }

    fn comes(&mut self, number: u64) {
        let network = self.network.clone();
        let taken = network.with_call(number, |call| {
            call.stage = Stage::InBroker;
            (call.frame.clone(), call.who.clone(), call.taken.take())
        });
        let Some((frame, who, taken)) = taken else { return };
        network.say(|| format!("#{number} {who} comes in"));
        if let Some(taken) = taken {
            taken();
        }
        self.node().take(number, &frame, &who);
    }

    fn passes(&mut self, ms: i64) {
        self.network.advance(ms);
        let now_ms = self.network.now_ms();
        self.time.store(now_ms, Ordering::Relaxed);
        self.node().tick(now_ms);
    }

    fn writes(&mut self) {
        let fails = !self.network.calm() && self.network.chance(1);
        self.network.say(|| if fails { "the disk fails".to_owned() } else { "the disk goes on".to_owned() });
        self.node().write(fails);
    }

    fn crash(&mut self) {
        // With everything at rest, with everything durable that nobody has heard of, or with all of it lost.
        let how = self.network.below(3);
        let power_cut = self.network.chance(50);
        self.network.say(|| format!("the broker dies {how}"));
        let mut before = None;
        if how == 0 {
            let mut is_durable = true;
            for _ in 0..3 {
                is_durable &= self.node().write(false);
                self.settle();
            }
            before = is_durable.then(|| S::held(self.node().broker()));
        } else if how == 1 {
            self.node().write(false);
        }
        self.network.break_all();
        let node = self.node.take().expect("there is always one");
        let tidy_by_itself = node.tidy_by_itself;
        let disk = node.crash(power_cut);
        let seed = self.seed.wrapping_add(self.network.now_ms() as u64);
        let node = self.node.insert(Node::open(disk, &self.time, seed, tidy_by_itself));
        let _tasks = node.runtime().enter();
        self.scenario.opened(node.broker(), &read(node), before);
    }

    fn step(&mut self) {
        match self.choose() {
            Event::Comes => {
                if let Some(number) = self.any(|stage| *stage == Stage::Sent) {
                    self.comes(number);
                }
            }
            Event::Answers => {
                if let Some(number) = self.any(|stage| matches!(stage, Stage::Answered(_))) {
                    self.network.answer(number);
                }
            }
            Event::Breaks => {
                if let Some(number) = self.any(|_| true) {
                    self.network.break_off(number);
                }
            }
            Event::Disk => self.writes(),
            Event::Time => {
                let next_ms = self.network.next_wake_ms().unwrap_or(1000).max(1);
                let ms = match self.network.below(4) {
                    0 => 1 + self.network.below(3000) as i64,
                    _ => next_ms.min(1000),
                };
                self.passes(ms);
            }
            Event::Tidies => {
                self.network.say(|| "the broker tidies up".to_owned());
                self.node().write(false);
                self.settle();
                if !self.node().tidy_by_itself {
                    self.node().tidy();
                }
            }
            Event::Crash => self.crash(),
        }
        self.settle();
        let network = self.network.clone();
        self.scenario.step(&network, &self.spawner);
        self.pool.run_until_stalled();
        let node = self.node.as_ref().expect("there is always one");
        let _tasks = node.runtime().enter();
        self.scenario.check(node.broker(), &read(node));
    }

    /// Everything arrives, the disk is quick, and time passes.
    fn calm(&mut self, ms: i64) {
        self.network.say(|| "calm from here on".to_owned());
        self.network.set_calm();
        let until_ms = self.network.now_ms() + ms;
        let mut tidies_ms = 0;
        while self.network.now_ms() < until_ms {
            for number in self.network.numbers(|call| call.stage == Stage::Sent) {
                self.comes(number);
                self.settle();
            }
            self.writes();
            self.settle();
            for number in self.network.numbers(|call| matches!(call.stage, Stage::Answered(_))) {
                self.network.answer(number);
                self.settle();
            }
            let ms = self.network.next_wake_ms().unwrap_or(250).clamp(1, 250);
            self.passes(ms);
            self.settle();
            if !self.node().tidy_by_itself && self.network.now_ms() >= tidies_ms {
                tidies_ms = self.network.now_ms() + 2 * EXPIRE_MS;
                self.node().tidy();
                self.settle();
            }
        }
        for _ in 0..3 {
            self.writes();
            self.settle();
        }
    }

    fn run(&mut self, steps: usize, calm_ms: i64) {
        for _ in 0..steps {
            self.step();
        }
        self.calm(calm_ms);
        let network = self.network.clone();
        let node = self.node.as_ref().expect("there is always one");
        let _tasks = node.runtime().enter();
        self.scenario.at_rest(&network, node.broker(), &read(node));
        // Calls hold the network, and it holds them.
        self.network.break_all();
    }
}

/// What a consumer reads of a partition that wants only what is committed.
fn read(node: &Node) -> impl Fn(i32) -> Vec<String> + '_ {
    |partition| {
        let mut out = Vec::new();
        let log = node.log.as_ref().expect("it lives").partition(&TopicPartition::new(TOPIC, partition));
        let end = log.expect("it is there").last_stable_offset().expect("it is known");
        let mut offset = 0;
        let mut scratch = Scratch::default();
        while offset < end {
            let bytes =
                node.runtime().block_on(node.broker().read(TOPIC, partition, offset, 1 << 20)).expect("it reads");
            let before = offset;
            for batch in batches(&bytes) {
                let (header, batch) = batch.expect("whole batches");
                let records = decode_batch(batch, &mut scratch).expect("a good batch");
                if !header.is_control() {
                    let text = |value: Option<&[u8]>| String::from_utf8_lossy(value.unwrap_or_default()).into_owned();
                    out.extend(records.map(|record| text(record.expect("a good record").value)));
                }
                offset = header.next_offset();
            }
            assert!(offset > before, "partition {partition} has nothing at {offset} before {end}");
        }
        out
    }
}

/// How many seeds: `MILLSTREAM_SEED` names one, `MILLSTREAM_SOAK` asks for many.
fn seeds() -> Vec<u64> {
    if let Ok(seed) = std::env::var("MILLSTREAM_SEED") {
        return vec![seed.parse().expect("MILLSTREAM_SEED is a number")];
    }
    let count = match std::env::var_os("MILLSTREAM_SOAK") {
        Some(_) => 20_000,
        None if cfg!(debug_assertions) => 40,
        None => 200,
    };
    (0..count).collect()
}

fn simulate<S: Scenario>(steps: usize, calm_ms: i64) {
    for seed in seeds() {
        let run = |tells| {
            let network = Network::new(seed, tells);
            let told = network.clone();
            let outcome = catch_unwind(AssertUnwindSafe(|| World::<S>::new(seed, network).run(steps, calm_ms)));
            (outcome, told.history())
        };
        let (outcome, _) = run(false);
        if let Err(panic) = outcome {
            // The same once more, and told.
            let (again, history) = run(true);
            eprintln!("{}", history.join("\n"));
            let name = std::thread::current().name().unwrap_or_default().to_owned();
            eprintln!("seed {seed} fails: MILLSTREAM_SEED={seed} cargo test -p millstream-broker {name}");
            if again.is_ok() {
                eprintln!("it did not fail when it was run again: something is not decided by the seed");
            }
            resume_unwind(panic);
        }
    }
}
