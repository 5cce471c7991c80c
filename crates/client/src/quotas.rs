//! What is asked of a cluster about quotas: of users, client ids and addresses (KIP-546).

use std::collections::BTreeMap;

use millstream_protocol::messages::{
    AlterClientQuotasRequest, DescribeClientQuotasRequest, alter_client_quotas, describe_client_quotas,
};

use crate::error::accepted;
use crate::{Client, ClientError};

/// How a component of a filter names an entity.
const EXACTLY: i8 = 0;
const DEFAULT: i8 = 1;
const ANY: i8 = 2;

/// Whom quotas are about: names by type (`user`, `client-id`, `ip`); no name: the default of the type.
pub type QuotaEntity = BTreeMap<String, Option<String>>;

/// An entity with its quotas.
#[derive(Debug, Clone, PartialEq)]
pub struct Quotas {
    /// Whom.
    pub entity: QuotaEntity,
    /// Values by Kafka's names: `producer_byte_rate`, …
    pub values: BTreeMap<String, f64>,
}

/// Which entities are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QuotaFilter {
    /// The one of this name.
    Named(String),
    /// The default.
    Default,
    /// Any, the default too.
    Any,
}

impl Client {
    /// Entities that name all of these types so, in order; without any, all there are.
    pub async fn quotas(&self, filter: &[(&str, QuotaFilter)]) -> Result<Vec<Quotas>, ClientError> {
        let component = |(kind, filter): &(&str, QuotaFilter)| {
            let (match_type, matched) = match filter {
                QuotaFilter::Named(name) => (EXACTLY, Some(name.clone())),
                QuotaFilter::Default => (DEFAULT, None),
                QuotaFilter::Any => (ANY, None),
            };
            describe_client_quotas::ComponentData { entity_type: (*kind).to_owned(), match_type, matched }
        };
        let request = DescribeClientQuotasRequest { components: filter.iter().map(component).collect(), strict: false };
        let answer = self.controller().await?.call(&request).await?;
        accepted(answer.error_code, answer.error_message.as_deref(), || "list quotas".to_owned())?;
        let found = answer.entries.unwrap_or_default().into_iter().map(|entry| Quotas {
            entity: entry.entity.into_iter().map(|one| (one.entity_type, one.entity_name)).collect(),
            values: entry.values.into_iter().map(|one| (one.key, one.value)).collect(),
        });
        let mut found: Vec<Quotas> = found.collect();
        found.sort_by(|a, b| a.entity.cmp(&b.entity));
        Ok(found)
    }

    /// Sets quotas of an entity, or takes them away.
    pub async fn alter_quotas(&self, entity: &QuotaEntity, changes: &[(&str, Option<f64>)]) -> Result<(), ClientError> {
        let names = entity.iter().map(|(kind, name)| alter_client_quotas::EntityData {
            entity_type: kind.clone(),
            entity_name: name.clone(),
        });
        let ops = changes.iter().map(|(key, value)| alter_client_quotas::OpData {
            key: (*key).to_owned(),
            value: value.unwrap_or(0.0),
            remove: value.is_none(),
        });
        let entry = alter_client_quotas::EntryData { entity: names.collect(), ops: ops.collect() };
        let request = AlterClientQuotasRequest { entries: vec![entry], validate_only: false };
        let answer = self.controller().await?.call(&request).await?;
        answer
            .entries
            .iter()
            .try_for_each(|one| accepted(one.error_code, one.error_message.as_deref(), || "set quotas".to_owned()))
    }
}
