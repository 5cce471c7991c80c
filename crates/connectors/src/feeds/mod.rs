//! Feeds: records that come by themselves, so that there is something to see without a script.
//!
//! They stand in `millstream.yml` beside a pipeline. Two kinds: [`replay`](ReplaySpec) plays a file into a topic by its own time stamps, and
//! [`generate`](GenerateSpec) makes up records from declared fields. Both are pure functions of their settings and a seed: the same
//! settings give the same records, and after a restart a feed goes on with the very next one, because its position is committed in the
//! same atomic append as its records.
//!
//! ```yaml
//! topics:
//!   mta-turnstile:
//!     partitions: 3
//!     configs: { retention.bytes: 67108864 }
//!
//! feeds:
//!   audits:
//!     topic: mta-turnstile
//!     key: "{C/A}/{UNIT}/{SCP}"            # a field, or fields in a template; without it records have no key
//!     generate:
//!       seed: 7
//!       format: csv                        # or json, one object a record
//!       clock: { start: 2024-01-06 00:00:00, speed: 3600 }   # an hour a second; start: now follows the wall clock
//!       tables:
//!         turnstiles: { file: data/turnstiles.csv }          # or csv: |  …inline, with a first line of names
//!       each: { table: turnstiles, every: 4 hours, spread: 4 hours, jitter: 90 seconds }
//!       fields:
//!         C/A: { column: C/A }
//!         UNIT: { column: UNIT }
//!         SCP: { column: SCP }
//!         DATE: { time: MM/dd/yyyy }
//!         TIME: { time: HH:mm:ss }
//!         DESC: { choice: { REGULAR: 99, RECOVR AUD: 1 } }
//!         ENTRIES:
//!           counter: { start: [1000, 9000000], step: [0, 900], reset: 0.0005, backwards: 0.01 }
//!           by_hour: [1, 1, 1, 1, 2, 5, 9, 14, 16, 9, 7, 7, 8, 8, 9, 11, 15, 18, 14, 9, 6, 5, 3, 2]
//!       late: { share: 0.01, by: 8 hours }
//!       duplicates: 0.001
//!       bad: 0.0005
//!
//!   trips:
//!     topic: bike-trips
//!     key: start station id
//!     replay:
//!       file: data/trips.csv.gz            # csv, json (an object a line) or text, with or without gzip
//!       time: { column: starttime, pattern: yyyy-MM-dd HH:mm:ss }   # Spark's patterns, or strftime's with %
//!       speed: 600                         # or max
//!       loop: true                         # each round shifts the time stamps by the file's span
//! ```
//!
//! All times are UTC.

mod cursor;
mod field;
mod generate;
mod lines;
mod pattern;
mod produce;
mod replay;
mod runtime;
mod spec;
mod tables;
mod yaml;

pub use cursor::{Cursor, FeedRecord};
pub use generate::Generator;
pub use pattern::TimePattern;
pub use produce::{EmbeddedProducer, Produce, ProduceError};
pub use replay::Replay;
pub use runtime::{FeedStatus, Pace, check_feed, run_cursor, run_feed};
pub use spec::{FeedError, FeedSpec, GenerateSpec, ReplaySpec, Scalar, Speed, TopicConfig};
pub use yaml::{from_yaml, nearest};

#[cfg(test)]
mod tests;
