//! A small asynchronous Kafka client, for the command line, benches and tests. Speaks to any broker since Kafka 0.11 that has version 2
//! record batches.
//!
//! - [`Connection`]: one socket; any request in any version, pipelined.
//! - [`Client`]: a cluster; leaders, coordinators, and what an administrator asks.
//! - [`Producer`]: batches, repeats, idempotence, Java's partitioner.
//! - [`Consumer`]: partitions from offsets on.
//!
//! ```no_run
//! # async fn example() -> Result<(), millstream_client::ClientError> {
//! use millstream_client::{Client, ClientOptions, Consumer, ConsumerOptions, NewTopic, OffsetAt};
//! use millstream_client::{Producer, ProducerOptions, ProducerRecord};
//!
//! let client = Client::connect("127.0.0.1:9092", ClientOptions::default()).await?;
//! client.ensure_topic(&NewTopic::new("greetings", 1)).await?;
//! let producer = Producer::new(client.clone(), ProducerOptions::default());
//! let delivered = producer.send(ProducerRecord::new("greetings", "hello").key("me")).await?.await?;
//! println!("offset {}", delivered.offset);
//!
//! let mut consumer = Consumer::new(client, ConsumerOptions { stop_at_end: true, ..Default::default() });
//! consumer.assign_topic("greetings", OffsetAt::Earliest).await?;
//! let mut scratch = Default::default();
//! while let Some(fetched) = consumer.next().await? {
//!     fetched.for_each(&mut scratch, |record| println!("{:?}", record.value))?;
//! }
//! # Ok(())
//! # }
//! ```

mod acls;
mod admin;
mod cluster;
mod connection;
mod consumer;
mod error;
mod groups;
mod offsets;
mod producer;
mod quotas;
mod security;
mod users;

pub use acls::{Acl, AclFilter, AclPattern};
pub use admin::{NewTopic, ResourceKind};
pub use cluster::{Client, ClientOptions, Topic};
pub use connection::{Connection, ConnectionOptions};
pub use consumer::{Consumer, ConsumerOptions, Fetched};
pub use error::ClientError;
pub use groups::{Group, GroupMember, GroupOffset};
pub use offsets::{Found, OffsetAt};
pub use producer::{Delivered, Delivery, Producer, ProducerOptions, ProducerRecord};
pub use quotas::{QuotaEntity, QuotaFilter, Quotas};
pub use security::{Login, Security, Tls};
pub use users::User;
