//! DescribeTransactions: where transactions stand.

use std::collections::BTreeMap;

use millstream_protocol::ErrorCode;
use millstream_protocol::messages::describe_transactions::{TopicData, TransactionState};
use millstream_protocol::messages::{DescribeTransactionsRequest, DescribeTransactionsResponse};

use super::{Access, Api, Context};
use crate::security::acl::{Operation, Resource};

pub(crate) struct DescribeTransactions;

impl Api for DescribeTransactions {
    type Request = DescribeTransactionsRequest;

    const ACCESS: Access<DescribeTransactionsRequest> = Access::Each;

    async fn handle(context: Context, request: DescribeTransactionsRequest) -> DescribeTransactionsResponse {
        let transaction_states = request.transactional_ids.into_iter().map(|id| describe(&context, id)).collect();
        DescribeTransactionsResponse { transaction_states, ..DescribeTransactionsResponse::default() }
    }
}

fn describe(context: &Context, transactional_id: String) -> TransactionState {
    let refused =
        |error_code, transactional_id| TransactionState { error_code, transactional_id, ..TransactionState::default() };
    if transactional_id.is_empty() {
        return refused(ErrorCode::InvalidRequest, transactional_id);
    }
    if !context.may(Operation::Describe, Resource::transactional_id(&transactional_id)) {
        return refused(ErrorCode::TransactionalIdAuthorizationFailed, transactional_id);
    }
    let Some(found) = context.broker.transactions.describe(&transactional_id) else {
        return refused(ErrorCode::TransactionalIdNotFound, transactional_id);
    };
    let mut topics: BTreeMap<String, Vec<i32>> = BTreeMap::new();
    for (topic, partition) in found.partitions {
        if !context.could(Operation::Describe, Resource::topic(&topic)) {
            continue;
        }
        topics.entry(topic).or_default().push(partition);
    }
    TransactionState {
        error_code: ErrorCode::None,
        transactional_id,
        transaction_state: found.state.name().to_string(),
        transaction_timeout_ms: found.timeout_ms,
        transaction_start_time_ms: found.started_ms,
        producer_id: found.producer_id,
        producer_epoch: found.epoch,
        topics: topics.into_iter().map(|(topic, partitions)| TopicData { topic, partitions }).collect(),
    }
}
