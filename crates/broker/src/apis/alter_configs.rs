//! AlterConfigs: replaces all of a topic's or a group's own settings, or what was changed of the broker's. (Newer clients use IncrementalAlterConfigs.)

use std::collections::BTreeMap;

use millstream_protocol::messages::alter_configs::{AlterConfigsResource, AlterConfigsResourceResponse};
use millstream_protocol::messages::{AlterConfigsRequest, AlterConfigsResponse};

use super::incremental_alter_configs::{change_settings, named_twice};
use super::{Access, Api, Context, repeated, words};
use crate::BrokerError;

pub(crate) struct AlterConfigs;

impl Api for AlterConfigs {
    type Request = AlterConfigsRequest;

    const ACCESS: Access<AlterConfigsRequest> = Access::Each;

    async fn handle(context: Context, request: AlterConfigsRequest) -> AlterConfigsResponse {
        let mut responses = Vec::new();
        let named = |resource: &AlterConfigsResource| (resource.resource_type, resource.resource_name.clone());
        let repeated = repeated(request.resources.iter().map(named));
        for resource in request.resources {
            let is_repeated = repeated.contains(&named(&resource));
            let mut response = AlterConfigsResourceResponse {
                resource_type: resource.resource_type,
                resource_name: resource.resource_name.clone(),
                ..AlterConfigsResourceResponse::default()
            };
            let replaced = match is_repeated {
                true => Err(named_twice(&resource.resource_name)),
                false => replace(&context, resource, request.validate_only).await,
            };
            if let Err(error) = replaced {
                response.error_code = error.code();
                response.error_message = words(&error);
            }
            responses.push(response);
        }
        AlterConfigsResponse { responses, ..AlterConfigsResponse::default() }
    }
}

async fn replace(context: &Context, asked: AlterConfigsResource, validate_only: bool) -> Result<(), BrokerError> {
    let mut configs = BTreeMap::new();
    for config in asked.configs {
        let Some(value) = config.value else {
            return Err(BrokerError::InvalidRequest(format!(
                "{} has no value: leave it out for the default",
                config.name
            )));
        };
        if configs.contains_key(&config.name) {
            return Err(named_twice(&config.name));
        }
        configs.insert(config.name, value);
    }
    change_settings(context, asked.resource_type, &asked.resource_name, validate_only, move |_, _| Ok(configs)).await
}
