//! No code: this crate's manifest holds the features of third-party crates equal in every package selection, so that what is slow to
//! compile is compiled once.
