//! The clients' side: calls that are late, lost, answered too late or done without an answer; sleep; and what happened, in words.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use bytes::Bytes;
use futures::channel::oneshot;
use millstream_protocol::messages::Request;
use millstream_protocol::{decode_response, encode_request};

/// The connection broke: what was asked may have been done, may yet be done, or never will be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lost;

/// Where a call is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Stage {
    Sent,
    InBroker,
    Answered(Bytes),
}

/// Who looks on when the broker takes a call up, …
type Taken = Box<dyn FnOnce()>;
/// … and when it has an answer for it.
type Done = Box<dyn FnOnce(&Bytes)>;

pub(super) struct Call {
    pub frame: Bytes,
    pub who: String,
    pub stage: Stage,
    /// Whether it may come in when its client has given it up.
    haunts: bool,
    caller: Option<oneshot::Sender<Result<Bytes, Lost>>>,
    pub taken: Option<Taken>,
    pub done: Option<Done>,
}

struct Sleeper {
    until_ms: i64,
    wake: oneshot::Sender<()>,
}

#[derive(Default)]
struct Inner {
    now_ms: i64,
    calls: BTreeMap<u64, Call>,
    next_call: u64,
    sleepers: Vec<Sleeper>,
    /// What happened, if it is to be told.
    history: Option<Vec<String>>,
    /// Nothing goes wrong any more.
    calm: bool,
}

/// What clients hold. A clone is the same network.
#[derive(Clone)]
pub(super) struct Network {
    inner: Rc<RefCell<Inner>>,
    chance: Rc<RefCell<fastrand::Rng>>,
}

/// A call with those who look on.
pub(super) struct Asking<'a, R: Request> {
    pub who: &'a str,
    pub version: i16,
    pub request: R,
    pub haunts: bool,
    pub taken: Box<dyn FnOnce()>,
    pub done: Box<Hears<R>>,
}

/// Hears an answer.
pub(super) type Hears<R> = dyn FnOnce(&<R as Request>::Response);

impl Network {
    /// `tells`: it keeps a history, which costs as much as all the rest.
    pub fn new(seed: u64, tells: bool) -> Network {
        let inner = Inner { history: tells.then(Vec::new), ..Inner::default() };
        let chance = fastrand::Rng::with_seed(seed);
        Network { inner: Rc::new(RefCell::new(inner)), chance: Rc::new(RefCell::new(chance)) }
    }

    pub fn now_ms(&self) -> i64 {
        self.inner.borrow().now_ms
    }

    pub fn calm(&self) -> bool {
        self.inner.borrow().calm
    }

    pub fn set_calm(&self) {
        self.inner.borrow_mut().calm = true;
    }

    /// True so many times in a hundred.
    pub fn chance(&self, percent: u32) -> bool {
        self.chance.borrow_mut().u32(0..100) < percent
    }

    pub fn below(&self, end: usize) -> usize {
        self.chance.borrow_mut().usize(0..end)
    }

    pub fn say(&self, words: impl FnOnce() -> String) {
        let mut inner = self.inner.borrow_mut();
        let now_ms = inner.now_ms;
        if let Some(history) = &mut inner.history {
            history.push(format!("{now_ms:>7} {}", words()));
        }
    }

    pub fn history(&self) -> Vec<String> {
        self.inner.borrow().history.clone().unwrap_or_default()
    }

    pub async fn sleep(&self, ms: i64) {
        let (wake, woken) = oneshot::channel();
        {
            let mut inner = self.inner.borrow_mut();
            let until_ms = inner.now_ms + ms;
            inner.sleepers.push(Sleeper { until_ms, wake });
        }
        let _ = woken.await;
    }

    /// A pause before the same is tried again.
    pub async fn pause(&self) {
        let ms = 20 + self.below(300) as i64;
        self.sleep(ms).await;
    }

    /// Asks the broker.
    pub async fn call<R: Request>(&self, asking: Asking<'_, R>) -> Result<R::Response, Lost> {
        let Asking { who, version, request, haunts, taken, done } = asking;
        let number = self.inner.borrow().next_call + 1;
        let name = R::NAME.trim_end_matches("Request");
        self.say(|| format!("#{number} {who} sends {name} {version}: {}", brief(&request)));
        let frame = encode_request(&request, version, 0, Some(who)).into_bytes().slice(4..);
        let (caller, answer) = oneshot::channel();
        let decode = move |bytes: &Bytes| decode_response::<R>(bytes, version).expect("an answer of this version").1;
        {
            let mut inner = self.inner.borrow_mut();
            inner.next_call = number;
            let (network, caller_name) = (self.clone(), who.to_owned());
            let done: Done = Box::new(move |bytes| {
                let response = decode(bytes);
                network.say(|| format!("#{number} {caller_name} done: {}", brief(&response)));
                done(&response);
            });
            let call = Call {
                frame,
                who: who.to_owned(),
                stage: Stage::Sent,
                haunts,
                caller: Some(caller),
                taken: Some(taken),
                done: Some(done),
            };
            inner.calls.insert(number, call);
        }
        let bytes = answer.await.unwrap_or(Err(Lost))?;
        Ok(decode(&bytes))
    }

    // What follows is for the world.

    /// Lets time pass, and wakes who slept for so long.
    pub fn advance(&self, ms: i64) {
        let mut inner = self.inner.borrow_mut();
        inner.now_ms += ms;
        let now_ms = inner.now_ms;
        let (woken, asleep) = std::mem::take(&mut inner.sleepers).into_iter().partition(|one| one.until_ms <= now_ms);
        inner.sleepers = asleep;
        drop(inner);
        let mut woken: Vec<Sleeper> = woken;
        woken.sort_by_key(|one| one.until_ms);
        woken.into_iter().for_each(|one| {
            let _ = one.wake.send(());
        });
    }

    /// Until somebody wakes.
    pub fn next_wake_ms(&self) -> Option<i64> {
        let inner = self.inner.borrow();
        inner.sleepers.iter().map(|one| one.until_ms - inner.now_ms).min()
    }

    /// Calls at a stage.
    pub fn numbers(&self, of: impl Fn(&Call) -> bool) -> Vec<u64> {
        self.inner.borrow().calls.iter().filter(|(_, call)| of(call)).map(|(number, _)| *number).collect()
    }

    pub fn with_call<T>(&self, number: u64, what: impl FnOnce(&mut Call) -> T) -> Option<T> {
        self.inner.borrow_mut().calls.get_mut(&number).map(what)
    }

    /// Hands the answer over.
    pub fn answer(&self, number: u64) {
        let Some(mut call) = self.inner.borrow_mut().calls.remove(&number) else { return };
        let Stage::Answered(bytes) = call.stage else { return };
        if let Some(caller) = call.caller.take() {
            let _ = caller.send(Ok(bytes));
        }
    }

    /// The client loses its connection. What it asked for is on its way all the same, unless that must not be.
    pub fn break_off(&self, number: u64) {
        let mut inner = self.inner.borrow_mut();
        let Some(call) = inner.calls.get_mut(&number) else { return };
        let Some(caller) = call.caller.take() else { return };
        let (who, is_gone) = (call.who.clone(), call.stage == Stage::Sent && !call.haunts);
        if is_gone || matches!(call.stage, Stage::Answered(_)) {
            inner.calls.remove(&number);
        }
        drop(inner);
        self.say(|| format!("#{number} {who} loses its connection"));
        let _ = caller.send(Err(Lost));
    }

    /// The broker is gone with all connections.
    pub fn break_all(&self) {
        let calls = std::mem::take(&mut self.inner.borrow_mut().calls);
        for caller in calls.into_values().filter_map(|mut call| call.caller.take()) {
            let _ = caller.send(Err(Lost));
        }
    }
}

/// A message in a line: what is empty, null or zero says nothing.
fn brief(message: &dyn std::fmt::Debug) -> String {
    let text = format!("{message:?}");
    let (_, fields) = text.split_once(' ').unwrap_or(("", ""));
    let dull = ["None", "[]", "\"\"", "0", "b\"\""];
    let fields = fields.trim_start_matches("{ ").trim_end_matches(" }");
    let told = fields.split(", ").filter(|field| !dull.iter().any(|dull| field.ends_with(&format!(": {dull}"))));
    let mut line = told.collect::<Vec<_>>().join(", ");
    if let Some((end, _)) = line.char_indices().nth(300) {
        line.truncate(end);
        line.push('…');
    }
    line
}
