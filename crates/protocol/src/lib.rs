//! Kafka's wire format in both directions: messages ([`messages`]), what stands before them ([`header`]), record batches
//! ([`records`]), error codes, what is said while a client logs in ([`sasl`]), words of rules ([`acl`]). Bytes only: no I/O, no state.
//!
//! A frame is read with a [`codec::Reader`] and written with a [`codec::Writer`]; both share memory with the record batches inside, so that
//! these are never copied here.

pub mod acl;
mod api_key;
pub mod codec;
mod error_code;
pub mod header;
pub mod messages;
mod partitioner;
pub mod records;
pub mod sasl;

pub use api_key::ApiKey;
pub use error_code::ErrorCode;
pub use header::{RequestHeader, decode_request, decode_response, encode_request, encode_response};
pub use partitioner::{murmur2, partition_for_key};
