//! Kafka's wire format in both directions: record batches ([`records`]) and error codes. Bytes only: no I/O, no state.

mod error_code;
pub mod records;

pub use error_code::ErrorCode;
