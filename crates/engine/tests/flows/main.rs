//! Flows over sources and logs in memory: plans are made by hand, rows come in chosen epochs, and each flow is run once straight, then killed or
//! stopped at every commit and taken up again, with the same result.

#![allow(clippy::unwrap_used)]

mod errors;
mod harness;
mod joins;
mod live;
mod model;
mod recovery;
mod sql;
mod stateless;
mod windows;
