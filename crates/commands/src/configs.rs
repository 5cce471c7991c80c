//! `millstream configs`: settings of topics and brokers, and where they come from.

use clap::{Args, Subcommand, ValueEnum};
use millstream_client::{Client, ResourceKind};
use millstream_protocol::messages::describe_configs::DescribeConfigsResourceResult;
use serde::Serialize;

use crate::screen::Listing;
use crate::table::{Column, text};
use crate::{Cluster, CommandError, Screen, human, topics};

const EXAMPLES: &str = "\
Examples:
  millstream configs get topic orders                      what is set, by whom, and every default
  millstream configs get topic orders retention.ms --explain
  millstream configs set topic orders retention.ms=7d segment.bytes=64MiB
  millstream configs unset topic orders retention.ms
  millstream configs get broker 1 --own                    only what was set on purpose";

/// `millstream configs`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Configs {
    #[command(flatten)]
    cluster: Cluster,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Show settings: what was set on purpose first
    #[command(visible_alias = "list")]
    Get {
        /// Of a topic or of a broker
        kind: Kind,
        /// Name of the topic, node id of the broker
        name: String,
        /// Only these settings
        #[arg(value_name = "SETTING")]
        settings: Vec<String>,
        /// Only what was set on purpose
        #[arg(long)]
        own: bool,
        /// What each setting means
        #[arg(long)]
        explain: bool,
        #[command(flatten)]
        listing: Listing,
    },
    /// Change settings; they hold at once
    Set {
        /// Of a topic or of a broker
        kind: Kind,
        /// Name of the topic; node id of the broker, or `all`
        name: String,
        /// Settings; times and sizes may have units: retention.ms=7d, segment.bytes=64MiB
        #[arg(required = true, value_name = "SETTING=VALUE", value_parser = topics::assignment)]
        settings: Vec<(String, String)>,
    },
    /// Take settings back to their defaults
    Unset {
        /// Of a topic or of a broker
        kind: Kind,
        /// Name of the topic; node id of the broker, or `all`
        name: String,
        /// Settings
        #[arg(required = true, value_name = "SETTING")]
        settings: Vec<String>,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Kind {
    Topic,
    Broker,
}

/// A setting as it is shown.
#[derive(Debug, Clone, Serialize)]
pub struct Setting {
    pub name: String,
    pub value: Option<String>,
    pub source: &'static str,
    pub read_only: bool,
    pub sensitive: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub meaning: Option<String>,
}

impl Setting {
    fn of(config: DescribeConfigsResourceResult, explain: bool) -> Setting {
        Setting {
            name: config.name,
            value: config.value,
            source: source(config.config_source),
            read_only: config.read_only,
            sensitive: config.is_sensitive,
            meaning: config.documentation.filter(|_| explain),
        }
    }

    /// Whether somebody set it for this very topic or broker, or for all of them.
    pub fn is_own(&self) -> bool {
        self.source != "default"
    }
}

/// Columns of [`cells`].
pub const COLUMNS: &[Column] = &[text("setting"), text("value"), text("source")];

/// A setting in a table.
pub fn cells(setting: &Setting) -> Vec<String> {
    let value = match &setting.value {
        _ if setting.sensitive => "(hidden)".to_owned(),
        Some(value) if value.is_empty() => "(empty)".to_owned(),
        Some(value) => human::setting(&setting.name, value),
        None => "-".to_owned(),
    };
    vec![setting.name.clone(), value, setting.source.to_owned()]
}

/// Kafka's `ConfigSource`, in words.
fn source(code: i8) -> &'static str {
    match code {
        1 => "topic",
        2 => "broker",
        3 => "all brokers",
        4 => "broker's start",
        5 => "default",
        6 => "logger",
        _ => "unknown",
    }
}

/// All settings of a resource, what was set on purpose first, then by name.
pub async fn settings(client: &Client, kind: ResourceKind, name: &str) -> Result<Vec<Setting>, CommandError> {
    described(client, kind, name, false).await
}

async fn described(
    client: &Client,
    kind: ResourceKind,
    name: &str,
    explain: bool,
) -> Result<Vec<Setting>, CommandError> {
    let configs = client.describe_configs(kind, name).await?;
    let mut settings: Vec<Setting> = configs.into_iter().map(|config| Setting::of(config, explain)).collect();
    settings.sort_by(|a, b| b.is_own().cmp(&a.is_own()).then_with(|| a.name.cmp(&b.name)));
    Ok(settings)
}

/// Does what was asked.
pub async fn run(args: &Configs, screen: &mut Screen) -> Result<(), CommandError> {
    let client = args.cluster.connect().await?;
    match &args.action {
        Action::Get { kind, name, settings: wanted, own, explain, listing } => {
            let (kind, name) = resource(&client, *kind, name).await?;
            let mut settings = described(&client, kind, &name, *explain).await?;
            if let Some(unknown) = wanted.iter().find(|wanted| settings.iter().all(|s| s.name != **wanted)) {
                let near = crate::error::nearest(unknown, settings.iter().map(|s| s.name.as_str()));
                let hint = near.map(|name| format!(" (did you mean '{name}'?)")).unwrap_or_default();
                return Err(CommandError::Usage(format!("there is no setting '{unknown}'{hint}")));
            }
            settings
                .retain(|setting| (wanted.is_empty() || wanted.contains(&setting.name)) && (!own || setting.is_own()));
            if settings.is_empty() && screen.tabular(*listing) {
                screen.note("all settings have their defaults");
                return Ok(());
            }
            if *explain && screen.tabular(*listing) {
                return screen.list(*listing, &settings, EXPLAINED, |setting| {
                    let meaning = setting.meaning.clone().unwrap_or_default();
                    cells(setting)
                        .into_iter()
                        .chain([meaning.split_whitespace().collect::<Vec<_>>().join(" ")])
                        .collect()
                });
            }
            screen.list(*listing, &settings, COLUMNS, cells)
        }
        Action::Set { kind, name, settings } => {
            let (kind, name) = resource(&client, *kind, name).await?;
            topics::change(&client, kind, &name, settings, &[], screen).await
        }
        Action::Unset { kind, name, settings } => {
            let (kind, name) = resource(&client, *kind, name).await?;
            topics::change(&client, kind, &name, &[], settings, screen).await
        }
    }
}

const EXPLAINED: &[Column] = &[text("setting"), text("value"), text("source"), text("meaning")];

/// A topic or a broker that is there, under Kafka's name.
async fn resource(client: &Client, kind: Kind, name: &str) -> Result<(ResourceKind, String), CommandError> {
    match kind {
        Kind::Topic => {
            topics::find(client, name).await?;
            Ok((ResourceKind::Topic, name.to_owned()))
        }
        Kind::Broker if name == "all" => Ok((ResourceKind::Broker, String::new())),
        Kind::Broker => {
            let brokers: Vec<String> = client.brokers().iter().map(|(id, _)| id.to_string()).collect();
            match brokers.iter().any(|id| id == name) {
                true => Ok((ResourceKind::Broker, name.to_owned())),
                false => Err(CommandError::Usage(format!(
                    "there is no broker '{name}': they are {}, or `all` for what holds for every broker",
                    brokers.join(", ")
                ))),
            }
        }
    }
}
