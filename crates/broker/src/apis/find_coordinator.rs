//! FindCoordinator: who keeps a group or a transaction. There is one node.

use millstream_protocol::ErrorCode;
use millstream_protocol::messages::find_coordinator::Coordinator;
use millstream_protocol::messages::{FindCoordinatorRequest, FindCoordinatorResponse};

use super::{Access, Api, Context};
use crate::security::acl::{Operation, Resource};

const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;
/// Several keys in one request.
const KEYS_SINCE: i16 = 4;

pub(crate) struct FindCoordinator;

impl Api for FindCoordinator {
    type Request = FindCoordinatorRequest;

    const ACCESS: Access<FindCoordinatorRequest> = Access::Each;

    async fn handle(context: Context, request: FindCoordinatorRequest) -> FindCoordinatorResponse {
        let known = matches!(request.key_type, GROUP | TRANSACTION);
        let (error_code, error_message) = match known {
            true => (ErrorCode::None, None),
            false => {
                (ErrorCode::InvalidRequest, Some(format!("coordinators of kind {} are not served", request.key_type)))
            }
        };
        let (host, port) = if known { context.address() } else { (String::new(), 0) };
        let node_id = if known { context.broker.config.node_id } else { -1 };
        let port = if known { i32::from(port) } else { -1 };
        let denied = |key: &str| match request.key_type {
            GROUP if !context.may(Operation::Describe, Resource::group(key)) => {
                Some(ErrorCode::GroupAuthorizationFailed)
            }
            TRANSACTION if !context.may(Operation::Describe, Resource::transactional_id(key)) => {
                Some(ErrorCode::TransactionalIdAuthorizationFailed)
            }
            _ => None,
        };
        if context.version < KEYS_SINCE {
            if let Some(error_code) = denied(&request.key) {
                return FindCoordinatorResponse {
                    error_code,
                    node_id: -1,
                    port: -1,
                    ..FindCoordinatorResponse::default()
                };
            }
            return FindCoordinatorResponse {
                error_code,
                error_message,
                node_id,
                host,
                port,
                ..FindCoordinatorResponse::default()
            };
        }
        let coordinators = request.coordinator_keys.iter().map(|key| match denied(key) {
            Some(error_code) => {
                Coordinator { key: key.clone(), error_code, node_id: -1, port: -1, ..Coordinator::default() }
            }
            None => Coordinator {
                key: key.clone(),
                node_id,
                host: host.clone(),
                port,
                error_code,
                error_message: error_message.clone(),
            },
        });
        FindCoordinatorResponse { coordinators: coordinators.collect(), ..FindCoordinatorResponse::default() }
    }
}
