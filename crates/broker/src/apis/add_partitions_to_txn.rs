//! AddPartitionsToTxn: partitions that a transaction is going to write to. Clients name one transaction (up to version 3); from version 4 on
//! several may be asked about, also only whether partitions take part.

use millstream_protocol::ErrorCode;
use millstream_protocol::messages::add_partitions_to_txn::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnResult, AddPartitionsToTxnTopic, AddPartitionsToTxnTopicResult,
};
use millstream_protocol::messages::{AddPartitionsToTxnRequest, AddPartitionsToTxnResponse};
use uuid::Uuid;

use super::{Access, Api, Context};
use crate::security::acl::{Operation, Resource};

/// PRODUCER_FENCED is understood.
const FENCED_SINCE: i16 = 2;
/// Several transactions.
const SEVERAL_SINCE: i16 = 4;

pub(crate) struct AddPartitionsToTxn;

impl Api for AddPartitionsToTxn {
    type Request = AddPartitionsToTxnRequest;

    const ACCESS: Access<AddPartitionsToTxnRequest> = Access::Each;

    async fn handle(context: Context, request: AddPartitionsToTxnRequest) -> AddPartitionsToTxnResponse {
        if context.version < SEVERAL_SINCE {
            let producer = (request.v3_and_below_producer_id, request.v3_and_below_producer_epoch);
            let id = request.v3_and_below_transactional_id;
            let results = join(&context, &id, producer, false, request.v3_and_below_topics).await;
            return AddPartitionsToTxnResponse {
                results_by_topic_v3_and_below: results,
                ..AddPartitionsToTxnResponse::default()
            };
        }
        // Only brokers ask about several.
        if !context.may(Operation::ClusterAction, Resource::CLUSTER) {
            let error_code = ErrorCode::ClusterAuthorizationFailed;
            return AddPartitionsToTxnResponse { error_code, ..AddPartitionsToTxnResponse::default() };
        }
        let mut results_by_transaction = Vec::new();
        for one in request.transactions {
            let producer = (one.producer_id, one.producer_epoch);
            let results = join(&context, &one.transactional_id, producer, one.verify_only, one.topics).await;
            results_by_transaction
                .push(AddPartitionsToTxnResult { transactional_id: one.transactional_id, topic_results: results });
        }
        AddPartitionsToTxnResponse { results_by_transaction, ..AddPartitionsToTxnResponse::default() }
    }
}

async fn join(
    context: &Context,
    id: &str,
    producer: (i64, i16),
    verify_only: bool,
    topics: Vec<AddPartitionsToTxnTopic>,
) -> Vec<AddPartitionsToTxnTopicResult> {
    let names: Vec<(String, i32)> = topics
        .iter()
        .flat_map(|topic| topic.partitions.iter().map(|partition| (topic.name.clone(), *partition)))
        .collect();
    let find = |(topic, partition): &(String, i32)| {
        let topic = context.topic(Operation::Write, topic, Uuid::nil(), false)?;
        topic.partition(*partition).map(|_| ()).map_err(|error| error.code())
    };
    let found: Vec<Result<(), ErrorCode>> = names.iter().map(find).collect();
    let each: Vec<ErrorCode> = if !context.may(Operation::Write, Resource::transactional_id(id)) {
        vec![ErrorCode::TransactionalIdAuthorizationFailed; names.len()]
    } else if found.iter().any(Result::is_err) {
        // All or none.
        found.into_iter().map(|found| found.err().unwrap_or(ErrorCode::OperationNotAttempted)).collect()
    } else {
        let transactions = &context.broker.transactions;
        let count = names.len();
        let result = match verify_only {
            true => transactions.verify(id, producer, &names).map(|found| {
                let code = |found| if found { ErrorCode::None } else { ErrorCode::TransactionAbortable };
                found.into_iter().map(code).collect()
            }),
            false => transactions.add(id, producer, names, Vec::new()).await.map(|()| vec![ErrorCode::None; count]),
        };
        result.unwrap_or_else(|code| vec![super::fenced(code, context.version >= FENCED_SINCE); count])
    };
    let mut each = each.into_iter();
    let results = topics.into_iter().map(|topic| AddPartitionsToTxnTopicResult {
        results_by_partition: topic
            .partitions
            .into_iter()
            .zip(&mut each)
            .map(|(partition_index, code)| AddPartitionsToTxnPartitionResult {
                partition_index,
                partition_error_code: code.code(),
            })
            .collect(),
        name: topic.name,
    });
    results.collect()
}
