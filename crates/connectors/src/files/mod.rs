//! Files of people and of the lake: as streams ([`FileSource`]) and as they stand ([`Statics`]).

pub mod listing;
pub mod rows;
pub mod source;
pub mod statics;

#[cfg(test)]
mod tests;

pub use listing::{FileEntry, Location};
pub use rows::{FileRows, ReadOptions};
pub use source::FileSource;
pub use statics::Statics;
