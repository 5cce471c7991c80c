//! `millstream configs`: settings of topics, brokers and groups, and where they come from; quotas of users, client ids and addresses.

mod quotas;

use clap::{Args, Subcommand, ValueEnum};
use millstream_client::{Client, ResourceKind};
use millstream_protocol::messages::describe_configs::DescribeConfigsResourceResult;
use serde::Serialize;

use crate::screen::Listing;
use crate::table::{Column, text};
use crate::{Cluster, CommandError, Screen, human, topics};
use quotas::Whom;

const EXAMPLES: &str = "\
Examples:
  millstream configs get topic orders                      what is set, by whom, and every default
  millstream configs get topic orders retention.ms --explain
  millstream configs set topic orders retention.ms=7d segment.bytes=64MiB
  millstream configs unset topic orders retention.ms
  millstream configs get broker 1 --own                    only what was set on purpose
  millstream configs set group readers consumer.session.timeout.ms=60s
  millstream configs set user ann producer_byte_rate=10MiB a quota; `all`: of users without one of their own
  millstream configs set user ann consumer_byte_rate=1MiB --client ingest
  millstream configs get user                              the quotas of all users

Quotas: producer_byte_rate, consumer_byte_rate, request_percentage, controller_mutation_rate (of a user, a client id or both), each per second;
connection_creation_rate (of an ip).";

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
        /// Of what
        kind: Kind,
        /// Name of the topic or group, node id of the broker; user, client id or address, `all`, or none to see all of them
        name: Option<String>,
        /// Only these settings
        #[arg(value_name = "SETTING")]
        settings: Vec<String>,
        /// Only what was set on purpose
        #[arg(long)]
        own: bool,
        /// What each setting means
        #[arg(long)]
        explain: bool,
        /// A user's quotas for this client id, or `all`
        #[arg(long, value_name = "ID")]
        client: Option<String>,
        #[command(flatten)]
        listing: Listing,
    },
    /// Change settings; they hold at once
    Set {
        /// Of what
        kind: Kind,
        /// Name of the topic or group, node id of the broker, user, client id, address; or `all`
        name: String,
        /// A user's quotas for this client id, or `all`
        #[arg(long, value_name = "ID")]
        client: Option<String>,
        /// Settings; times and sizes may have units: retention.ms=7d, segment.bytes=64MiB
        #[arg(required = true, value_name = "SETTING=VALUE", value_parser = topics::assignment)]
        settings: Vec<(String, String)>,
    },
    /// Take settings back to their defaults
    Unset {
        /// Of what
        kind: Kind,
        /// Name of the topic or group, node id of the broker, user, client id, address; or `all`
        name: String,
        /// A user's quotas for this client id, or `all`
        #[arg(long, value_name = "ID")]
        client: Option<String>,
        /// Settings
        #[arg(required = true, value_name = "SETTING")]
        settings: Vec<String>,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Kind {
    Topic,
    Broker,
    Group,
    User,
    Client,
    Ip,
}

/// Where such settings are kept.
enum Place {
    Resource(ResourceKind),
    /// Kafka's word for an entity's type.
    Quotas(&'static str),
}

impl Kind {
    fn place(self) -> Place {
        match self {
            Kind::Topic => Place::Resource(ResourceKind::Topic),
            Kind::Broker => Place::Resource(ResourceKind::Broker),
            Kind::Group => Place::Resource(ResourceKind::Group),
            Kind::User => Place::Quotas("user"),
            Kind::Client => Place::Quotas("client-id"),
            Kind::Ip => Place::Quotas("ip"),
        }
    }
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

    /// Whether somebody set it for this very topic, broker or group, or for all of them.
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
        8 => "group",
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
        Action::Get { kind, name, settings, own, explain, client: client_id, listing } => match kind.place() {
            Place::Quotas(kind) => {
                let whom = Whom { kind, name: name.as_deref(), client: client_id.as_deref() };
                quotas::get(&client, &whom, settings, *listing, screen).await
            }
            Place::Resource(kind) => {
                without_client(client_id.as_deref())?;
                let name = name.as_deref().ok_or_else(|| CommandError::Usage("say which: give its name".to_owned()))?;
                let name = resource(&client, kind, name).await?;
                let described = described(&client, kind, &name, *explain).await?;
                show(described, settings, *own, *explain, *listing, screen)
            }
        },
        Action::Set { kind, name, client: client_id, settings } => {
            change(&client, kind.place(), name, client_id.as_deref(), settings, &[], screen).await
        }
        Action::Unset { kind, name, client: client_id, settings } => {
            change(&client, kind.place(), name, client_id.as_deref(), &[], settings, screen).await
        }
    }
}

fn show(
    mut settings: Vec<Setting>,
    wanted: &[String],
    own: bool,
    explain: bool,
    listing: Listing,
    screen: &mut Screen,
) -> Result<(), CommandError> {
    if let Some(unknown) = wanted.iter().find(|wanted| settings.iter().all(|s| s.name != **wanted)) {
        let near = crate::error::nearest(unknown, settings.iter().map(|s| s.name.as_str()));
        let hint = near.map(|name| format!(" (did you mean '{name}'?)")).unwrap_or_default();
        return Err(CommandError::Usage(format!("there is no setting '{unknown}'{hint}")));
    }
    settings.retain(|setting| (wanted.is_empty() || wanted.contains(&setting.name)) && (!own || setting.is_own()));
    if settings.is_empty() && screen.tabular(listing) {
        screen.note("all settings have their defaults");
        return Ok(());
    }
    if explain && screen.tabular(listing) {
        return screen.list(listing, &settings, EXPLAINED, |setting| {
            let meaning = setting.meaning.clone().unwrap_or_default();
            cells(setting).into_iter().chain([meaning.split_whitespace().collect::<Vec<_>>().join(" ")]).collect()
        });
    }
    screen.list(listing, &settings, COLUMNS, cells)
}

async fn change(
    client: &Client,
    place: Place,
    name: &str,
    client_id: Option<&str>,
    set: &[(String, String)],
    unset: &[String],
    screen: &mut Screen,
) -> Result<(), CommandError> {
    match place {
        Place::Quotas(kind) => {
            let whom = Whom { kind, name: Some(name), client: client_id };
            quotas::change(client, &whom, set, unset, screen).await
        }
        Place::Resource(kind) => {
            without_client(client_id)?;
            let name = resource(client, kind, name).await?;
            topics::change(client, kind, &name, set, unset, screen).await
        }
    }
}

/// Topics, brokers and groups have settings for all clients.
fn without_client(client: Option<&str>) -> Result<(), CommandError> {
    match client {
        Some(_) => Err(CommandError::Usage("--client goes with a user".to_owned())),
        None => Ok(()),
    }
}

const EXPLAINED: &[Column] = &[text("setting"), text("value"), text("source"), text("meaning")];

/// A topic or a broker that is there, or a group, under Kafka's name.
async fn resource(client: &Client, kind: ResourceKind, name: &str) -> Result<String, CommandError> {
    match kind {
        ResourceKind::Topic => topics::find(client, name).await.map(|_| name.to_owned()),
        // Its settings may come before it.
        ResourceKind::Group => Ok(name.to_owned()),
        ResourceKind::Broker if name == "all" => Ok(String::new()),
        ResourceKind::Broker => {
            let brokers: Vec<String> = client.brokers().iter().map(|(id, _)| id.to_string()).collect();
            match brokers.iter().any(|id| id == name) {
                true => Ok(name.to_owned()),
                false => Err(CommandError::Usage(format!(
                    "there is no broker '{name}': they are {}, or `all` for what holds for every broker",
                    brokers.join(", ")
                ))),
            }
        }
    }
}
