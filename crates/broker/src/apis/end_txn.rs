//! EndTxn: commits or aborts a transaction. All of it is durable and visible when it is answered.

use millstream_protocol::ErrorCode;
use millstream_protocol::messages::{EndTxnRequest, EndTxnResponse};

use super::{Access, Api, Context};
use crate::security::acl::{Operation, Resource};

/// PRODUCER_FENCED is understood.
const FENCED_SINCE: i16 = 2;
/// Each transaction has an epoch of its own (transaction version 2, KIP-890).
const BUMPS_SINCE: i16 = 5;

pub(crate) struct EndTxn;

impl Api for EndTxn {
    type Request = EndTxnRequest;

    const ACCESS: Access<EndTxnRequest> = Access::One {
        operation: Operation::Write,
        of: |request| Resource::transactional_id(&request.transactional_id),
        denied: |_| EndTxnResponse {
            error_code: ErrorCode::TransactionalIdAuthorizationFailed,
            ..EndTxnResponse::default()
        },
    };

    async fn handle(context: Context, request: EndTxnRequest) -> EndTxnResponse {
        let producer = (request.producer_id, request.producer_epoch);
        let bumps = context.version >= BUMPS_SINCE;
        let transactions = &context.broker.transactions;
        match transactions.end(&request.transactional_id, producer, request.committed, bumps).await {
            Ok((producer_id, producer_epoch)) => {
                EndTxnResponse { producer_id, producer_epoch, ..EndTxnResponse::default() }
            }
            Err(error_code) => {
                let error_code = super::fenced(error_code, context.version >= FENCED_SINCE);
                EndTxnResponse { error_code, ..EndTxnResponse::default() }
            }
        }
    }
}
