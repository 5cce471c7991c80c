//! AlterConfigs: replaces all of a topic's or a group's own settings, or what was changed of the broker's. (Newer clients use IncrementalAlterConfigs.)

use std::collections::BTreeMap;

use millstream_protocol::messages::alter_configs::{AlterConfigsResource, AlterConfigsResourceResponse};
use millstream_protocol::messages::{AlterConfigsRequest, AlterConfigsResponse};

use super::incremental_alter_configs::change_settings;
use super::{Access, Api, Context, words};
use crate::BrokerError;

pub(crate) struct AlterConfigs;

impl Api for AlterConfigs {
    type Request = AlterConfigsRequest;

    const ACCESS: Access<AlterConfigsRequest> = Access::Each;

    async fn handle(context: Context, request: AlterConfigsRequest) -> AlterConfigsResponse {
        let mut responses = Vec::new();
        for resource in request.resources {
            let mut response = AlterConfigsResourceResponse {
                resource_type: resource.resource_type,
                resource_name: resource.resource_name.clone(),
                ..AlterConfigsResourceResponse::default()
            };
            if let Err(error) = replace(&context, resource, request.validate_only).await {
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
        configs.insert(config.name, value);
    }
    change_settings(context, asked.resource_type, &asked.resource_name, validate_only, move |_, _| Ok(configs)).await
}
