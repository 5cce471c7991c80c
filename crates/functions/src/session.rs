//! What functions know of the session they run in: its time zone and its clock.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::time::Zone;

/// Gives the time that `current_timestamp` and its like see.
pub trait Clock: Send + Sync {
    /// µs since 1970, UTC.
    fn now_us(&self) -> i64;
}

/// The computer's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now_us(&self) -> i64 {
        chrono::Utc::now().timestamp_micros()
    }
}

/// Settings of a pipeline that functions depend on. Cheap to clone. Two sessions are equal when their zones are.
#[derive(Clone)]
pub struct Session {
    /// `spark.sql.session.timeZone`.
    pub zone: Zone,
    clock: Arc<dyn Clock>,
}

impl Session {
    /// A session in a zone, with the computer's clock.
    pub fn new(zone: Zone) -> Self {
        Self { zone, clock: Arc::new(SystemClock) }
    }

    /// The same with another clock.
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// µs since 1970.
    pub fn now_us(&self) -> i64 {
        self.clock.now_us()
    }
}

impl Default for Session {
    fn default() -> Self {
        Self::new(Zone::Utc)
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("zone", &self.zone).finish_non_exhaustive()
    }
}

impl PartialEq for Session {
    fn eq(&self, other: &Self) -> bool {
        self.zone == other.zone
    }
}

impl Eq for Session {}

impl Hash for Session {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.zone.hash(state);
    }
}
