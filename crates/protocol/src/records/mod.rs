//! Record batches of format version 2: checked and patched in place, built, and read record by record.
//!
//! The broker takes a producer's bytes through [`validate`], gives them offsets with [`set_base_offset`] and otherwise leaves them alone; the
//! engine and the client open them with [`decode_batch`]. Layouts: [`header`]; source: Kafka's documentation, "Record Batch".

mod builder;
mod compression;
mod decode;
mod error;
pub mod header;
mod marker;
mod recompress;
mod retain;
mod validate;
mod varint;

pub use builder::{BatchBuilder, ProducerStamp};
pub use compression::{Codec, DECOMPRESSED_BYTES_MAX, Scratch};
pub use decode::{Batches, Headers, Record, Records, batches, decode_batch, decode_checked};
pub use error::BatchError;
pub use header::{
    BatchHeader, HEADER_BYTES, LENGTH_OVERHEAD_BYTES, set_base_offset, set_log_append_time, set_partition_leader_epoch,
};
pub use marker::EndMarker;
pub use recompress::recompress;
pub use retain::{Retained, retain};
pub use validate::{BatchRange, check, validate};

#[cfg(test)]
mod tests;
