//! The data folder: one journal, segmented partition logs, their derived indexes, recovery, retention, compaction and the state of
//! idempotent producers. No sockets, no SQL.
//!
//! ```text
//! DATA/
//!   LOCK                       flock'ed while a process has the folder open; holds its pid
//!   meta.json                  format version and cluster id, written once
//!   checkpoint                 what is known to be synced: per partition its end, and the first journal entry still needed
//!   checkpoint.new             space for the next one, so that a full disk does not keep it from being written
//!   journal/0000.journal …     the ring of preallocated, recycled journal files
//!   topics/TOPIC-PARTITION/    one folder per partition
//!     partition.json           topic id and slot: tells a topic from one of the same name that was deleted before
//!     00000000000000000000.log     a segment: Kafka v2 record batches, byte for byte; named by its base offset
//!     00000000000000000000.index   sparse offset and time index of the segment (derived; rebuilt when in doubt)
//!     00000000000000000000.producers   producers' state at that offset (derived; rebuilt when in doubt)
//!     00000000000000000000.aborted     aborted transactions that end in the segment (derived; rebuilt when in doubt)
//!     compacted                    up to which offset a compacted topic is (else it is compacted from its beginning)
//! ```
//!
//! # How an append becomes durable
//! [`Log::append`] queues its parts for the one writer thread. The writer takes everything that is queued, checks the
//! sequence numbers of idempotent producers, gives offsets, writes the batches into the segments through the page cache and
//! one entry per append into the journal, and then syncs the journal once for all. Only then the high watermarks move and the
//! callers hear. Parts of some hundred KiB are synced in their segment instead, and the journal's entry names the range.
//! Segments are synced behind, by a second thread, which then writes `checkpoint` and so frees the journal's space.
//!
//! A journal entry holds or it does not (length, CRC, entry number), so an append over many partitions is atomic.
//!
//! A topic with `flush.messages` or `flush.ms` is relaxed: its appends are not journaled, are visible at once and synced with the next
//! checkpoint. Its part of an append that has parts of durable topics, too, is written without its head (the first batch's header), synced
//! with all that is before it in its partition, and gets the head when the journal, which has it, is synced.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod aborted;
mod append;
mod checkpoint;
mod compaction;
mod config;
mod context;
mod error;
pub mod files;
mod handles;
mod in_parallel;
mod index;
mod journal;
mod log;
mod meta;
mod partition;
mod producers;
mod queue;
mod recovery;
mod report;
mod retention;
mod scan;
mod segment;
mod syncer;
mod tail;
mod tail_cache;
mod topic_partition;
mod writer;

pub use append::{Ack, Append, AppendResult, Appended, AppendedPart};
pub use config::{Clock, LogOptions, PartitionConfig};
pub use error::LogError;
pub use log::Log;
pub use partition::{Committed, Partition, TimestampOffset};
pub use producers::{AbortedTransaction, ProducerInfo};
pub use report::{CompactionReport, RecoveryReport, RetentionReport, Truncation};
pub use topic_partition::TopicPartition;
