//! ListConfigResources: what has a configuration (KIP-1142). Version 0 asked for client metrics alone, of which there are none.

use millstream_protocol::ErrorCode;
use millstream_protocol::messages::list_config_resources::ConfigResource;
use millstream_protocol::messages::{ListConfigResourcesRequest, ListConfigResourcesResponse};

use super::describe_configs::{BROKER, GROUP, TOPIC};
use super::{Access, Api, Context};
use crate::security::acl::{Operation, Resource};

/// All kinds; before, only client metrics.
const KINDS_SINCE: i16 = 1;
/// Kinds that Kafka knows, and of which there is nothing here: loggers of brokers, clients' metrics.
const NONE_OF: [i8; 2] = [8, 16];

pub(crate) struct ListConfigResources;

impl Api for ListConfigResources {
    type Request = ListConfigResourcesRequest;

    const ACCESS: Access<ListConfigResourcesRequest> = Access::One {
        operation: Operation::DescribeConfigs,
        of: |_| Resource::CLUSTER,
        denied: |_| ListConfigResourcesResponse {
            error_code: ErrorCode::ClusterAuthorizationFailed,
            ..ListConfigResourcesResponse::default()
        },
    };

    async fn handle(context: Context, request: ListConfigResourcesRequest) -> ListConfigResourcesResponse {
        let known = |kind: &i8| [TOPIC, BROKER, GROUP].contains(kind) || NONE_OF.contains(kind);
        if !request.resource_types.iter().all(known) {
            let error_code = ErrorCode::UnsupportedVersion;
            return ListConfigResourcesResponse { error_code, ..ListConfigResourcesResponse::default() };
        }
        let mut config_resources = Vec::new();
        let wanted = |kind| {
            context.version >= KINDS_SINCE
                && (request.resource_types.is_empty() || request.resource_types.contains(&kind))
        };
        if wanted(TOPIC) {
            let topics = context.broker.topics.all();
            config_resources.extend(
                topics
                    .iter()
                    .filter(|topic| !topic.is_internal())
                    .map(|topic| ConfigResource { resource_name: topic.name.to_string(), resource_type: TOPIC }),
            );
        }
        if wanted(BROKER) {
            let resource_name = context.broker.config.node_id.to_string();
            config_resources.push(ConfigResource { resource_name, resource_type: BROKER });
        }
        if wanted(GROUP) {
            let groups = context.broker.groups.configs().groups().into_iter();
            config_resources.extend(groups.map(|resource_name| ConfigResource { resource_name, resource_type: GROUP }));
        }
        ListConfigResourcesResponse { config_resources, ..ListConfigResourcesResponse::default() }
    }
}
