//! DescribeClientQuotas: which users, client ids and addresses have quotas.

use millstream_protocol::ErrorCode;
use millstream_protocol::messages::describe_client_quotas::{
    ComponentData, DescribedEntityData, DescribedEntryData, ValueData,
};
use millstream_protocol::messages::{DescribeClientQuotasRequest, DescribeClientQuotasResponse};

use super::{Access, Api, Context, words};
use crate::quotas::{Asked, Entity, Filter, IP, TYPES, Values};
use crate::security::acl::{Operation, Resource};

/// How a component names an entity.
const EXACTLY: i8 = 0;
const DEFAULT: i8 = 1;
const ANY: i8 = 2;

pub(crate) struct DescribeClientQuotas;

impl Api for DescribeClientQuotas {
    type Request = DescribeClientQuotasRequest;

    const ACCESS: Access<DescribeClientQuotasRequest> = Access::One {
        operation: Operation::DescribeConfigs,
        of: |_| Resource::CLUSTER,
        denied: |_| refused(ErrorCode::ClusterAuthorizationFailed, None),
    };

    async fn handle(context: Context, request: DescribeClientQuotasRequest) -> DescribeClientQuotasResponse {
        match filter(request) {
            Ok(filter) => {
                let entries = context.broker.quotas.find(&filter).into_iter().map(entry).collect();
                DescribeClientQuotasResponse { entries: Some(entries), ..DescribeClientQuotasResponse::default() }
            }
            Err((code, why)) => refused(code, words(&why)),
        }
    }
}

fn refused(error_code: ErrorCode, error_message: Option<String>) -> DescribeClientQuotasResponse {
    DescribeClientQuotasResponse { error_code, error_message, entries: None, ..DescribeClientQuotasResponse::default() }
}

fn filter(request: DescribeClientQuotasRequest) -> Result<Filter, (ErrorCode, String)> {
    let wrong = |why: String| Err((ErrorCode::InvalidRequest, why));
    let mut filter = Filter { strict: request.strict, ..Filter::default() };
    for ComponentData { entity_type, match_type, matched } in request.components {
        let asked = match (match_type, matched) {
            _ if entity_type.is_empty() => return wrong("Invalid empty entity type.".to_string()),
            _ if filter.parts.contains_key(&entity_type) => {
                return wrong(format!("Entity type {entity_type} cannot appear more than once in the filter."));
            }
            _ if !TYPES.contains(&entity_type.as_str()) => {
                return Err((ErrorCode::UnsupportedVersion, format!("Unsupported entity type {entity_type}")));
            }
            (EXACTLY, Some(name)) => Asked::Exactly(name),
            (EXACTLY, None) => {
                return wrong(format!("the name of a {entity_type} is missing: it is to be exactly that"));
            }
            (DEFAULT, None) => Asked::Default,
            (ANY, None) => Asked::Any,
            (DEFAULT | ANY, Some(name)) => {
                return wrong(format!(
                    "match type {match_type} of {entity_type} goes without a name, and there is {name:?}"
                ));
            }
            (other, _) => return wrong(format!("Unknown match type {other}")),
        };
        filter.parts.insert(entity_type, asked);
    }
    if filter.parts.contains_key(IP) && filter.parts.len() > 1 {
        return wrong(
            "Invalid entity filter component combination: ip goes with neither user nor client-id".to_string(),
        );
    }
    Ok(filter)
}

fn entry((entity, values): (Entity, Values)) -> DescribedEntryData {
    let names = entity.names().iter().map(|(entity_type, entity_name)| DescribedEntityData {
        entity_type: entity_type.clone(),
        entity_name: entity_name.clone(),
    });
    let values = values.iter().map(|(quota, value)| ValueData { key: quota.key().to_string(), value: *value });
    DescribedEntryData { entity: names.collect(), values: values.collect() }
}
