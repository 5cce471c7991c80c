//! Quotas: settings of users, client ids and addresses.

use std::collections::BTreeMap;

use millstream_client::{Client, QuotaEntity, QuotaFilter};
use serde::Serialize;

use crate::screen::Listing;
use crate::table::{Column, text};
use crate::{CommandError, Screen, human};

const COLUMNS: &[Column] = &[text("of"), text("setting"), text("value")];

/// Stands for those without quotas of their own.
const ALL: &str = "all";

/// Whom quotas are about: Kafka's types, each with a name, or with none where none was said.
pub struct Whom<'a> {
    /// `user`, `client-id` or `ip`.
    pub kind: &'static str,
    pub name: Option<&'a str>,
    /// A user's client id.
    pub client: Option<&'a str>,
}

impl Whom<'_> {
    fn filter(&self) -> Vec<(&'static str, QuotaFilter)> {
        let by = |name: &str| if name == ALL { QuotaFilter::Default } else { QuotaFilter::Named(name.to_owned()) };
        let mut filter = vec![(self.kind, self.name.map_or(QuotaFilter::Any, by))];
        filter.extend(self.client.map(|client| ("client-id", by(client))));
        filter
    }

    fn entity(&self) -> Result<QuotaEntity, CommandError> {
        let by = |name: &str| if name == ALL { None } else { Some(name.to_owned()) };
        let Some(name) = self.name else {
            let why = format!("say which {}, or `{ALL}` for those without a quota of their own", self.kind);
            return Err(CommandError::Usage(why));
        };
        let mut entity = BTreeMap::from([(self.kind.to_owned(), by(name))]);
        if let Some(client) = self.client {
            if self.kind != "user" {
                return Err(CommandError::Usage("--client goes with a user".to_owned()));
            }
            entity.insert("client-id".to_owned(), by(client));
        }
        Ok(entity)
    }
}

/// A quota as it is shown.
#[derive(Debug, Serialize)]
struct Shown {
    #[serde(flatten)]
    entity: QuotaEntity,
    setting: String,
    value: f64,
}

/// Shows quotas.
pub async fn get(
    client: &Client,
    whom: &Whom<'_>,
    wanted: &[String],
    listing: Listing,
    screen: &mut Screen,
) -> Result<(), CommandError> {
    let found = client.quotas(&whom.filter()).await?;
    let each = found.into_iter().flat_map(|quotas| {
        let entity = quotas.entity;
        quotas.values.into_iter().map(move |(setting, value)| Shown { entity: entity.clone(), setting, value })
    });
    let shown: Vec<Shown> = each.filter(|one| wanted.is_empty() || wanted.contains(&one.setting)).collect();
    if shown.is_empty() && screen.tabular(listing) {
        screen.note("no quotas");
        return Ok(());
    }
    screen.list(listing, &shown, COLUMNS, |one| {
        vec![said(&one.entity), one.setting.clone(), human::setting(&one.setting, &one.value.to_string())]
    })
}

/// Sets quotas, or takes them away.
pub async fn change(
    client: &Client,
    whom: &Whom<'_>,
    set: &[(String, String)],
    unset: &[String],
    screen: &mut Screen,
) -> Result<(), CommandError> {
    let entity = whom.entity()?;
    let mut changes: Vec<(&str, Option<f64>)> = Vec::new();
    for (name, value) in set {
        let number = human::setting_value(name, value).parse::<f64>().map_err(|_| {
            CommandError::Usage(format!("{name}={value}: a quota is a number; byte rates may have a unit: 10MiB"))
        })?;
        changes.push((name.as_str(), Some(number)));
    }
    changes.extend(unset.iter().map(|name| (name.as_str(), None)));
    client.alter_quotas(&entity, &changes).await?;
    for (setting, value) in changes {
        screen.note(&match value {
            Some(value) => format!("{}: {setting} = {}", said(&entity), human::setting(setting, &value.to_string())),
            None => format!("{}: {setting} is not limited by this any more", said(&entity)),
        });
    }
    Ok(())
}

/// `user ann, client-id all`.
fn said(entity: &QuotaEntity) -> String {
    let each = entity.iter().rev().map(|(kind, name)| format!("{kind} {}", name.as_deref().unwrap_or(ALL)));
    each.collect::<Vec<_>>().join(", ")
}
