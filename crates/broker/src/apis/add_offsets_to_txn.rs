//! AddOffsetsToTxn: a group whose offsets a transaction is going to commit.

use millstream_protocol::ErrorCode;
use millstream_protocol::messages::{AddOffsetsToTxnRequest, AddOffsetsToTxnResponse};

use super::{Access, Api, Context, group_code};
use crate::groups::coordinator::named;
use crate::security::acl::{Operation, Resource};

/// PRODUCER_FENCED is understood.
const FENCED_SINCE: i16 = 2;

pub(crate) struct AddOffsetsToTxn;

impl Api for AddOffsetsToTxn {
    type Request = AddOffsetsToTxnRequest;

    const ACCESS: Access<AddOffsetsToTxnRequest> = Access::One {
        operation: Operation::Write,
        of: |request| Resource::transactional_id(&request.transactional_id),
        denied: |_| AddOffsetsToTxnResponse {
            error_code: ErrorCode::TransactionalIdAuthorizationFailed,
            ..AddOffsetsToTxnResponse::default()
        },
    };

    async fn handle(context: Context, request: AddOffsetsToTxnRequest) -> AddOffsetsToTxnResponse {
        let producer = (request.producer_id, request.producer_epoch);
        let added = match named(&request.group_id) {
            Err(error) => Err(group_code(error)),
            Ok(()) if !context.may(Operation::Read, Resource::group(&request.group_id)) => {
                Err(ErrorCode::GroupAuthorizationFailed)
            }
            Ok(()) => {
                let groups = vec![request.group_id];
                context.broker.transactions.add(&request.transactional_id, producer, Vec::new(), groups).await
            }
        };
        let error_code = added.err().unwrap_or(ErrorCode::None);
        let error_code = super::fenced(error_code, context.version >= FENCED_SINCE);
        AddOffsetsToTxnResponse { error_code, ..AddOffsetsToTxnResponse::default() }
    }
}
