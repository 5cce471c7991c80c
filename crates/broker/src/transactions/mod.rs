//! Transactions (KIP-98, KIP-360, KIP-447, KIP-890): who may write, what belongs together, and its end.
//!
//! ```text
//! InitProducerId, AddPartitionsToTxn, AddOffsetsToTxn, TxnOffsetCommit, Produce, EndTxn
//!    → coordinator.rs: the lock, the log, the clock → transaction.rs: decides, without either
//!                                                  → record.rs: what is decided, as a record of __transaction_state
//! ```
//!
//! Kafka ends a transaction in two steps, since its partitions are on many nodes: the coordinator notes what it is about to do, and then
//! writes a marker to each. Here the markers of all partitions, the offsets of all groups and the coordinator's own record are one atomic
//! append, so there is no state between open and ended, and nothing to be taken up again after a crash. In the same way the first batch for a
//! partition and the record that the partition belongs to the transaction (KIP-890) are one append: it costs no sync of its own.

pub mod coordinator;
mod record;
mod transaction;

pub use coordinator::{Coordinator, TransactionDescription};
pub use record::PendingOffset;
pub use transaction::State;
