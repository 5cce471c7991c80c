//! The log of tables and flows: a commit of the engine as one atomic append to the embedded log.
//!
//! One append holds the table's rows (`__millstream.table.NAME`), the deliveries to `millstream.topic`, the dead letters, the late rows and the flow's
//! progress (`__millstream.flow.NAME`). So either all of an epoch is there, for everyone, or nothing is.

pub mod delivery;
pub mod flow;
pub mod hub;
pub mod payload;
pub mod reader;
pub mod source;
pub mod topics;

#[cfg(test)]
mod tests;

pub use delivery::{Delivery, DeliveryError};
pub use flow::{KeepProgress, TableLog, TableLogOptions};
pub use hub::{TableHub, TableTail};
pub use reader::{ReadError, TableChunk, TableReader};
pub use source::TableSource;
