//! Reading and writing the primitives of Kafka's messages. A reader holds every length and count against the bytes that are left before it
//! believes it, and bounds what a frame may take up in memory.

mod error;
mod reader;
#[cfg(test)]
pub(crate) mod sample;
mod wire;
mod writer;

pub use error::{DecodeError, DecodeErrorKind};
pub use reader::Reader;
pub use wire::{Field, Wire};
pub use writer::{Frame, Writer};

/// The longest text a message can carry, in bytes.
pub const TEXT_BYTES_MAX: usize = i16::MAX as usize;
