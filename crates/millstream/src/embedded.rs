//! Where the broker and the connectors meet: the broker's topics as the connectors' [`EmbeddedLog`].

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use millstream_broker::Broker;
use millstream_connectors::embedded::{Append, EmbeddedError, EmbeddedLog, PartitionOffsets, TopicInfo, TopicSpec};
use tokio::sync::watch;

/// The broker of this process.
pub struct Embedded(pub Arc<Broker>);
