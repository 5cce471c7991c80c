//! Looking into compressed batches: a client can send little that unpacks to very much, so what that may take is bounded over all connections.

use millstream_protocol::records::{BatchError, DECOMPRESSED_BYTES_MAX, Scratch};
use parking_lot::Mutex;

use crate::runtime::blocking;

/// Batches of up to so many bytes are unpacked as they come …
const SMALL_BYTES: usize = 4 << 20;
/// … larger ones one after the other, and none of more than this,
const LARGE_BYTES: usize = 64 << 20;
/// or so many times what the topic's batches may have.
const RATIO: usize = 8;

/// The turn of those who unpack a large batch.
#[derive(Debug, Default)]
pub(crate) struct Unpacking {
    large: Mutex<()>,
}

impl Unpacking {
    /// Runs `look`, which unpacks a batch of a topic whose batches have up to `batch_bytes_max` bytes; twice, if it turns out to be a large one.
    ///
    /// # Errors
    /// Those of `look`.
    pub fn look<T>(
        &self,
        batch_bytes_max: usize,
        look: impl Fn(&mut Scratch) -> Result<T, BatchError>,
    ) -> Result<T, BatchError> {
        match look(&mut Scratch::new(SMALL_BYTES)) {
            Err(BatchError::TooLarge { .. }) => blocking(|| {
                let _turn = self.large.lock();
                look(&mut Scratch::new(large_bytes(batch_bytes_max)))
            }),
            done => done,
        }
    }
}

/// Never more than what reads it again takes.
fn large_bytes(batch_bytes_max: usize) -> usize {
    batch_bytes_max.saturating_mul(RATIO).clamp(LARGE_BYTES, DECOMPRESSED_BYTES_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_of_large_batches_may_have_more_and_none_without_bound() {
        assert_eq!(large_bytes(1 << 20), 64 << 20);
        assert_eq!(large_bytes(10 << 20), 80 << 20);
        assert_eq!(large_bytes(usize::MAX), DECOMPRESSED_BYTES_MAX);
    }
}
