//! `millstream topics`.

mod describe;
mod facts;
mod list;

use std::sync::Arc;

use clap::{Args, Subcommand};
use millstream_client::{Client, ClientError, NewTopic, ResourceKind, Topic};
use millstream_protocol::ErrorCode;

use crate::error::nearest;
use crate::screen::Listing;
use crate::{Cluster, CommandError, Screen, human};

const EXAMPLES: &str = "\
Examples:
  millstream topics list
  millstream topics list 'orders*' --json
  millstream topics create orders --partitions 3 --config retention.ms=7d
  millstream topics describe orders
  millstream topics alter orders --partitions 6 --config cleanup.policy=compact --unset retention.ms
  millstream topics delete orders --yes";

/// `millstream topics`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Topics {
    #[command(flatten)]
    cluster: Cluster,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// All topics: partitions, records, size, newest time stamp
    #[command(visible_alias = "ls")]
    List {
        /// Only topics whose names are like this; * stands for anything
        pattern: Option<String>,
        /// Internal topics too, as far as the broker shows them: Millstream's own does not
        #[arg(long, short = 'a')]
        all: bool,
        #[command(flatten)]
        listing: Listing,
    },
    /// Partitions of topics with their offsets and sizes, and the settings that were changed
    Describe {
        /// Topics
        #[arg(required = true, value_name = "TOPIC")]
        topics: Vec<String>,
        /// All settings, not only those that were changed
        #[arg(long, short = 'a')]
        all: bool,
        #[command(flatten)]
        listing: Listing,
    },
    /// Create topics
    Create {
        /// Topics
        #[arg(required = true, value_name = "TOPIC")]
        topics: Vec<String>,
        /// Number of partitions [default: the broker's]
        #[arg(long, short = 'p', value_name = "N", value_parser = clap::value_parser!(i32).range(1..))]
        partitions: Option<i32>,
        /// Copies of each partition [default: the broker's]
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(i16).range(1..))]
        replication_factor: Option<i16>,
        /// A setting; times and sizes may have units: retention.ms=7d, segment.bytes=64MiB
        #[arg(long = "config", short = 'c', value_name = "NAME=VALUE", value_parser = assignment)]
        configs: Vec<(String, String)>,
        /// Leave a topic that is there already as it is
        #[arg(long)]
        if_missing: bool,
    },
    /// Give a topic more partitions, change its settings
    Alter {
        /// The topic
        topic: String,
        /// Number of partitions that it shall have in all; it can only grow
        #[arg(long, short = 'p', value_name = "N", value_parser = clap::value_parser!(i32).range(1..))]
        partitions: Option<i32>,
        /// A setting; times and sizes may have units: retention.ms=7d, segment.bytes=64MiB
        #[arg(long = "config", short = 'c', value_name = "NAME=VALUE", value_parser = assignment)]
        configs: Vec<(String, String)>,
        /// Take a setting back to its default
        #[arg(long, value_name = "NAME")]
        unset: Vec<String>,
    },
    /// Delete topics with all their records
    #[command(visible_alias = "rm")]
    Delete {
        /// Topics
        #[arg(required = true, value_name = "TOPIC")]
        topics: Vec<String>,
        /// Do not ask
        #[arg(long, short = 'y')]
        yes: bool,
        /// A topic that is not there is fine
        #[arg(long)]
        if_exists: bool,
    },
}

/// `NAME=VALUE`.
pub fn assignment(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write NAME=VALUE".to_owned()),
    }
}

/// Does what was asked.
pub async fn run(args: &Topics, screen: &mut Screen) -> Result<(), CommandError> {
    let client = args.cluster.connect().await?;
    match &args.action {
        Action::List { pattern, all, listing } => list::run(&client, *listing, pattern.as_deref(), *all, screen).await,
        Action::Describe { topics, all, listing } => describe::run(&client, *listing, topics, *all, screen).await,
        Action::Create { topics, partitions, replication_factor, configs, if_missing } => {
            for name in topics {
                let mut topic = NewTopic::new(name, partitions.unwrap_or(-1));
                topic.replication_factor = replication_factor.unwrap_or(-1);
                topic.configs =
                    configs.iter().map(|(name, value)| (name.clone(), human::setting_value(name, value))).collect();
                match client.create_topics(&[topic]).await {
                    Ok(()) => {
                        let made = client.topic(name).await?;
                        screen
                            .note(&format!("created {name}: {}", human::count(made.partitions().into(), "partition")));
                    }
                    Err(error) if *if_missing && error.code() == Some(ErrorCode::TopicAlreadyExists) => {
                        screen.note(&format!("{name} is there already"));
                    }
                    Err(error) => return Err(error.into()),
                }
            }
            Ok(())
        }
        Action::Alter { topic, partitions, configs, unset } => {
            find(&client, topic).await?;
            if partitions.is_none() && configs.is_empty() && unset.is_empty() {
                return Err(CommandError::Usage("nothing to change: give --partitions, --config or --unset".into()));
            }
            // Settings first: they are refused whole or taken whole, and a topic never shrinks again.
            change(&client, ResourceKind::Topic, topic, configs, unset, screen).await?;
            if let Some(count) = partitions {
                client.create_partitions(topic, *count).await?;
                screen.note(&format!("{topic} has {} now", human::count((*count).into(), "partition")));
            }
            Ok(())
        }
        Action::Delete { topics, yes, if_exists } => delete(&client, topics, *yes, *if_exists, screen).await,
    }
}

/// Sets and unsets settings, and tells what they are now.
pub async fn change(
    client: &Client,
    kind: ResourceKind,
    name: &str,
    configs: &[(String, String)],
    unset: &[String],
    screen: &mut Screen,
) -> Result<(), CommandError> {
    if configs.is_empty() && unset.is_empty() {
        return Ok(());
    }
    let set: Vec<(&str, String)> =
        configs.iter().map(|(name, value)| (name.as_str(), human::setting_value(name, value))).collect();
    let mut changes: Vec<(&str, Option<&str>)> =
        set.iter().map(|(name, value)| (*name, Some(value.as_str()))).collect();
    changes.extend(unset.iter().map(|name| (name.as_str(), None)));
    client.alter_configs(kind, name, &changes).await?;
    let name = match kind {
        ResourceKind::Topic => name.to_owned(),
        ResourceKind::Broker if name.is_empty() => "all brokers".to_owned(),
        ResourceKind::Broker => format!("broker {name}"),
        ResourceKind::Group => format!("group {name}"),
    };
    for (setting, value) in changes {
        screen.note(&match value {
            Some(value) => format!("{name}: {setting} = {}", human::setting(setting, value)),
            None => format!("{name}: {setting} has its default again"),
        });
    }
    Ok(())
}

async fn delete(
    client: &Client,
    topics: &[String],
    yes: bool,
    if_exists: bool,
    screen: &mut Screen,
) -> Result<(), CommandError> {
    let mut there = Vec::new();
    for name in topics {
        match find(client, name).await {
            Ok(_) => there.push(name.as_str()),
            Err(CommandError::NoTopic { .. }) if if_exists => screen.note(&format!("{name} is not there")),
            Err(error) => return Err(error),
        }
    }
    if there.is_empty() {
        return Ok(());
    }
    if !yes {
        let mut records = 0;
        for name in &there {
            records += facts::sum(name, &facts::partitions(client, name, None).await?).records;
        }
        let what = human::count(there.len() as i64, "topic");
        screen.confirm(&format!("Delete {what} ({}) with {}?", there.join(", "), human::count(records, "record")))?;
    }
    client.delete_topics(&there).await?;
    there.iter().for_each(|name| screen.note(&format!("deleted {name}")));
    Ok(())
}

/// A topic that must be there.
pub async fn find(client: &Client, name: &str) -> Result<Arc<Topic>, CommandError> {
    match client.topic(name).await {
        Ok(topic) => Ok(topic),
        Err(error) if missing(&error) => {
            let all = client.metadata(None).await?;
            let names = all.topics.iter().filter_map(|topic| topic.name.as_deref());
            Err(CommandError::NoTopic { name: name.to_owned(), nearest: nearest(name, names) })
        }
        Err(error) => Err(error.into()),
    }
}

/// A topic that is there, or that the broker makes because it is asked for, as Kafka's own producer has it made.
pub async fn find_or_make(client: &Client, name: &str, screen: &mut Screen) -> Result<Arc<Topic>, CommandError> {
    let error = match find(client, name).await {
        Err(error @ CommandError::NoTopic { .. }) => error,
        other => return other,
    };
    match client.auto_create_topic(name).await {
        Ok(topic) => {
            let nearest = match error {
                CommandError::NoTopic { nearest: Some(nearest), .. } => format!("; did you mean '{nearest}'?"),
                _ => String::new(),
            };
            screen.note(&format!(
                "{name} is a new topic, {}{nearest}",
                human::count(topic.partitions().into(), "partition")
            ));
            Ok(topic)
        }
        Err(refused) if missing(&refused) => Err(error),
        Err(refused) => Err(refused.into()),
    }
}

fn missing(error: &ClientError) -> bool {
    matches!(error.code(), Some(ErrorCode::UnknownTopicOrPartition | ErrorCode::InvalidTopic))
}
