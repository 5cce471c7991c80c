//! The bound on the memory of all partitions' tails together: the oldest append goes first, whosever it is.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use bytes::Bytes;

use crate::context::Context;
use crate::{AppendedPart, Partition};

/// Most appends remembered: tiny ones must not make the list larger than what it bounds.
const APPENDS_MAX: usize = 64 << 10;

pub(crate) struct TailCache {
    bytes_max: usize,
    partition_bytes_max: usize,
    bytes: Arc<AtomicUsize>,
    /// In the order of the appends: whose they are, and their first offset.
    order: VecDeque<(Weak<Partition>, i64)>,
}

impl TailCache {
    pub(crate) fn new(context: &Context) -> TailCache {
        let options = &context.options;
        TailCache {
            bytes_max: options.tail_cache_bytes,
            partition_bytes_max: options.tail_cache_partition_bytes.min(options.tail_cache_bytes),
            bytes: context.tail_bytes.clone(),
            order: VecDeque::new(),
        }
    }

    pub(crate) fn push(&mut self, partition: &Arc<Partition>, appended: AppendedPart, bytes: Bytes) {
        partition.tail().lock().push(appended.base_offset, appended.last_offset + 1, bytes, self.partition_bytes_max);
        self.order.push_back((Arc::downgrade(partition), appended.base_offset));
        while self.bytes.load(Ordering::Relaxed) > self.bytes_max || self.order.len() > APPENDS_MAX {
            let Some((partition, base_offset)) = self.order.pop_front() else { break };
            let Some(partition) = partition.upgrade() else { continue };
            let mut tail = partition.tail().lock();
            // What the partition dropped by itself is not there any more.
            if tail.base_offset() == Some(base_offset) {
                tail.pop();
            }
        }
    }
}
