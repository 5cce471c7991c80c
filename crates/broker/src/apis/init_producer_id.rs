//! InitProducerId: an id and epoch for an idempotent or transactional producer.

use std::ops::RangeInclusive;

use millstream_protocol::ErrorCode;
use millstream_protocol::messages::{InitProducerIdRequest, InitProducerIdResponse};

use super::{Access, Api, Context};
use crate::security::acl::{Kind, Operation, Resource};

/// PRODUCER_FENCED is understood.
const FENCED_SINCE: i16 = 4;

pub(crate) struct InitProducerId;

impl Api for InitProducerId {
    type Request = InitProducerIdRequest;

    // Kafka 4.3 does not serve version 6, two-phase commit by an outer coordinator, either.
    const VERSIONS: RangeInclusive<i16> = 0..=5;
    const ACCESS: Access<InitProducerIdRequest> = Access::Each;

    async fn handle(context: Context, request: InitProducerIdRequest) -> InitProducerIdResponse {
        match initialize(&context, &request).await {
            Ok((producer_id, producer_epoch)) => {
                InitProducerIdResponse { producer_id, producer_epoch, ..InitProducerIdResponse::default() }
            }
            Err(error_code) => {
                let error_code = super::fenced(error_code, context.version >= FENCED_SINCE);
                InitProducerIdResponse { error_code, producer_epoch: -1, ..InitProducerIdResponse::default() }
            }
        }
    }
}

async fn initialize(context: &Context, request: &InitProducerIdRequest) -> Result<(i64, i16), ErrorCode> {
    let expected = match (request.producer_id, request.producer_epoch) {
        (-1, -1) => None,
        (-1, _) | (_, -1) => return Err(ErrorCode::InvalidRequest),
        expected => Some(expected),
    };
    let Some(id) = &request.transactional_id else {
        if !context.could_to_any(Operation::Write, Kind::Topic)
            && !context.may(Operation::IdempotentWrite, Resource::CLUSTER)
        {
            return Err(ErrorCode::ClusterAuthorizationFailed);
        }
        let taken = context.broker.topics.take_producer_id().await;
        return taken.map(|producer_id| (producer_id, 0)).map_err(|error| {
            tracing::warn!(%error, "no producer id could be given");
            // Clients ask again after this one.
            ErrorCode::CoordinatorNotAvailable
        });
    };
    if !context.may(Operation::Write, Resource::transactional_id(id)) {
        return Err(ErrorCode::TransactionalIdAuthorizationFailed);
    }
    context.broker.transactions.initialize(id, request.transaction_timeout_ms, expected).await
}
