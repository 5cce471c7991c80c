//! AlterClientQuotas: sets and removes quotas. Each entity of a request is changed or refused by itself.

use std::collections::{BTreeMap, BTreeSet};

use millstream_protocol::ErrorCode;
use millstream_protocol::messages::alter_client_quotas::{AlteredEntryData, EntityData, EntryData};
use millstream_protocol::messages::{AlterClientQuotasRequest, AlterClientQuotasResponse};

use super::{Access, Api, Context, words};
use crate::BrokerError;
use crate::quotas::{Change, Entity, Quota};
use crate::security::acl::{Operation, Resource};

pub(crate) struct AlterClientQuotas;

impl Api for AlterClientQuotas {
    type Request = AlterClientQuotasRequest;

    const ACCESS: Access<AlterClientQuotasRequest> = Access::One {
        operation: Operation::AlterConfigs,
        of: |_| Resource::CLUSTER,
        denied: |request| {
            let each = request.entries.into_iter().map(|entry| AlteredEntryData {
                error_code: ErrorCode::ClusterAuthorizationFailed,
                error_message: None,
                entity: entry.entity,
            });
            AlterClientQuotasResponse { entries: each.collect(), ..AlterClientQuotasResponse::default() }
        },
    };

    async fn handle(context: Context, request: AlterClientQuotasRequest) -> AlterClientQuotasResponse {
        let mut changes = Vec::new();
        let mut entries: Vec<AlteredEntryData> = Vec::new();
        let mut answered = BTreeMap::new();
        for entry in request.entries {
            let (key, names) = (named(&entry.entity), entry.entity.clone());
            let refusal = match change(entry) {
                Ok(change) => {
                    changes.push(change);
                    None
                }
                Err(error) => Some(error),
            };
            // Who stands there twice is changed twice, and answered once, as by Kafka: by what was refused, if something was.
            match answered.get(&key) {
                None => {
                    answered.insert(key, entries.len());
                    entries.push(result(names, refusal.as_ref()));
                }
                Some(at) if refusal.is_some() => entries[*at] = result(names, refusal.as_ref()),
                Some(_) => {}
            }
        }
        if !request.validate_only
            && !changes.is_empty()
            && let Err(error) = context.broker.quotas.alter(changes).await
        {
            for entry in entries.iter_mut().filter(|entry| entry.error_code.is_ok()) {
                *entry = result(std::mem::take(&mut entry.entity), Some(&error));
            }
        }
        AlterClientQuotasResponse { entries, ..AlterClientQuotasResponse::default() }
    }
}

fn result(entity: Vec<EntityData>, error: Option<&BrokerError>) -> AlteredEntryData {
    AlteredEntryData {
        error_code: error.map_or(ErrorCode::None, BrokerError::code),
        error_message: error.and_then(|error| words(error)),
        entity,
    }
}

/// An entity's parts in one order, whatever order they came in.
fn named(entity: &[EntityData]) -> BTreeSet<(String, Option<String>)> {
    entity.iter().map(|one| (one.entity_type.clone(), one.entity_name.clone())).collect()
}

fn change(entry: EntryData) -> Result<Change, BrokerError> {
    let entity = Entity::new(entry.entity.into_iter().map(|one| (one.entity_type, one.entity_name)))?;
    let mut changes: BTreeMap<Quota, Option<f64>> = BTreeMap::new();
    for op in entry.ops {
        let value = (!op.remove).then_some(op.value);
        if changes.insert(Quota::check(&entity, &op.key, value)?, value).is_some() {
            return Err(BrokerError::InvalidRequest(format!(
                "{} stands more than once for {}",
                op.key,
                entity.to_key()
            )));
        }
    }
    Ok((entity, changes))
}
