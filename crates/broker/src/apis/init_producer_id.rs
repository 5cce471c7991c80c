//! InitProducerId: an id for an idempotent producer. Transactions are refused: a producer that asked for them must not go on without.

use millstream_protocol::ErrorCode;
use millstream_protocol::messages::{InitProducerIdRequest, InitProducerIdResponse};

use super::{Api, Context};

pub(crate) struct InitProducerId;

impl Api for InitProducerId {
    type Request = InitProducerIdRequest;

    async fn handle(context: Context, request: InitProducerIdRequest) -> InitProducerIdResponse {
        let refused =
            |error_code| InitProducerIdResponse { error_code, producer_epoch: -1, ..InitProducerIdResponse::default() };
        if let Some(id) = request.transactional_id {
            tracing::warn!(
                transactional_id = %id,
                client = %context.client_id,
                "transactions are not served yet: the producer is refused; leave transactional.id out for an idempotent one"
            );
            return refused(ErrorCode::TransactionalIdAuthorizationFailed);
        }
        match context.broker.topics.take_producer_id().await {
            Ok(producer_id) => InitProducerIdResponse { producer_id, ..InitProducerIdResponse::default() },
            Err(error) => {
                tracing::warn!(%error, "no producer id could be given");
                // Clients ask again after this one.
                refused(ErrorCode::CoordinatorNotAvailable)
            }
        }
    }
}
