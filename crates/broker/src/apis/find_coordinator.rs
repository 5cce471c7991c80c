//! FindCoordinator: who keeps a group or a transaction. There is one node.

use millstream_protocol::ErrorCode;
use millstream_protocol::messages::find_coordinator::Coordinator;
use millstream_protocol::messages::{FindCoordinatorRequest, FindCoordinatorResponse};

use super::{Api, Context};

const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;
/// Several keys in one request.
const KEYS_SINCE: i16 = 4;

pub(crate) struct FindCoordinator;

impl Api for FindCoordinator {
    type Request = FindCoordinatorRequest;

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
        if context.version < KEYS_SINCE {
            return FindCoordinatorResponse {
                error_code,
                error_message,
                node_id,
                host,
                port,
                ..FindCoordinatorResponse::default()
            };
        }
        let coordinators = request.coordinator_keys.into_iter().map(|key| Coordinator {
            key,
            node_id,
            host: host.clone(),
            port,
            error_code,
            error_message: error_message.clone(),
        });
        FindCoordinatorResponse { coordinators: coordinators.collect(), ..FindCoordinatorResponse::default() }
    }
}
