//! Transactions as a reader sees them: up to where they are decided, and which were aborted.

use bytes::Bytes;
use millstream_protocol::records::batches;
use tokio::sync::watch;

use super::aborted::Aborted;
use super::{Partition, State};
use crate::{AbortedTransaction, LogError, ProducerInfo};

/// What is committed of transactions.
#[derive(Debug)]
pub(crate) struct Transactions {
    /// First offset of the oldest open transaction.
    pub(crate) first_unstable: Option<i64>,
    pub(super) aborted: Aborted,
}

/// The offset before which every transaction is decided.
pub(super) fn last_stable(state: &State) -> i64 {
    let first_unstable = state.transactions.as_ref().and_then(|transactions| transactions.first_unstable);
    first_unstable.map_or(state.high_watermark, |first| first.clamp(state.log_start, state.high_watermark))
}

/// What a consumer that reads committed records only is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// Whole batches before the last stable offset, also of aborted transactions and their markers.
    pub batches: Bytes,
    /// The transactions to be passed over in them, in order of their markers.
    pub aborted: Vec<AbortedTransaction>,
}

impl Partition {
    /// The last stable offset: before it every transaction is committed or aborted. At most the high watermark. Reads producers' state
    /// from the log if nobody has yet.
    ///
    /// # Errors
    /// The file system's.
    pub fn last_stable_offset(&self) -> Result<i64, LogError> {
        self.load_transactions()?;
        Ok(last_stable(&self.state.read()))
    }

    /// The last stable offset if it is known, otherwise the high watermark: for those whom it only informs. Never reads a file.
    pub fn last_stable_offset_known(&self) -> i64 {
        *self.last_stable.borrow()
    }

    /// Whether [`Partition::last_stable_offset`] answers without reading a file.
    pub fn knows_transactions(&self) -> bool {
        self.state.read().transactions.is_some()
    }

    /// The last stable offset as it moves; the rules are those of [`Partition::watch`].
    ///
    /// # Errors
    /// As [`Partition::last_stable_offset`].
    pub fn watch_stable(&self) -> Result<watch::Receiver<i64>, LogError> {
        self.load_transactions()?;
        Ok(self.last_stable.subscribe())
    }

    /// As [`Partition::read`] (or [`Partition::read_within`], unless `at_least_one`), but nothing from the last stable offset on, and with
    /// the aborted transactions that the batches touch.
    ///
    /// # Errors
    /// As [`Partition::read`].
    pub fn read_committed(&self, offset: i64, max_bytes: usize, at_least_one: bool) -> Result<Committed, LogError> {
        let stable = self.last_stable_offset()?;
        let most = if offset < stable { max_bytes } else { 0 };
        // Compaction must not take what was aborted from the list after it was read.
        let _layout = self.layout.read();
        let mut bytes = self.read_in_layout(offset, most, at_least_one && offset < stable)?;
        let (mut end, mut next_offset) = (0, offset);
        for (header, batch) in batches(&bytes).map_while(Result::ok) {
            if header.base_offset >= stable {
                break;
            }
            end += batch.len();
            next_offset = header.next_offset();
        }
        bytes.truncate(end);
        let aborted = if end == 0 { Vec::new() } else { self.aborted_in_layout(offset..next_offset)? };
        Ok(Committed { batches: bytes, aborted })
    }

    /// Its idempotent and transactional producers, in order of their ids.
    ///
    /// # Errors
    /// The file system's.
    pub fn producers(&self) -> Result<Vec<ProducerInfo>, LogError> {
        let mut writer = self.writer.lock();
        Ok(self.loaded(&mut writer, self.context.now_ms())?.producers.infos())
    }

    fn load_transactions(&self) -> Result<(), LogError> {
        if self.state.read().transactions.is_none() {
            self.loaded(&mut self.writer.lock(), self.context.now_ms())?;
        }
        Ok(())
    }
}
