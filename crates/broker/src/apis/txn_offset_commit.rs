//! TxnOffsetCommit: how far a group has read, as part of a transaction: seen once that is committed.

use millstream_protocol::ErrorCode;
use millstream_protocol::messages::txn_offset_commit::{
    TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};
use millstream_protocol::messages::{TxnOffsetCommitRequest, TxnOffsetCommitResponse};
use uuid::Uuid;

use super::{Access, Api, Context, group_code};
use crate::groups::coordinator::{Committer, named};
use crate::groups::exchange::GroupError;
use crate::security::acl::{Operation, Resource};
use crate::transactions::PendingOffset;
use crate::transactions::coordinator::{Joining, OffsetsRefused};

/// TRANSACTION_ABORTABLE is understood.
const ABORTABLE_SINCE: i16 = 4;
/// The group joins the transaction by this request (KIP-890).
const JOINING_SINCE: i16 = 5;

pub(crate) struct TxnOffsetCommit;

impl Api for TxnOffsetCommit {
    type Request = TxnOffsetCommitRequest;

    const ACCESS: Access<TxnOffsetCommitRequest> = Access::One {
        operation: Operation::Write,
        of: |request| Resource::transactional_id(&request.transactional_id),
        denied: |request| refused_all(request, ErrorCode::TransactionalIdAuthorizationFailed),
    };

    async fn handle(context: Context, request: TxnOffsetCommitRequest) -> TxnOffsetCommitResponse {
        if !context.may(Operation::Read, Resource::group(&request.group_id)) {
            return refused_all(request, ErrorCode::GroupAuthorizationFailed);
        }
        let mut offsets = Vec::new();
        let mut topics = Vec::new();
        for asked in request.topics {
            let topic = context.topic(Operation::Read, &asked.name, Uuid::nil(), false);
            let mut partitions = Vec::new();
            for one in asked.partitions {
                let metadata = one.committed_metadata.unwrap_or_default();
                let there = topic.as_ref().is_ok_and(|topic| topic.partition(one.partition_index).is_ok());
                let error_code = if let Err(code @ ErrorCode::TopicAuthorizationFailed) = &topic {
                    *code
                } else if !there {
                    ErrorCode::UnknownTopicOrPartition
                } else if metadata.len() > context.broker.config.offset_metadata_bytes_max {
                    ErrorCode::OffsetMetadataTooLarge
                } else {
                    offsets.push(PendingOffset {
                        topic: asked.name.clone(),
                        partition: one.partition_index,
                        offset: one.committed_offset,
                        leader_epoch: one.committed_leader_epoch,
                        metadata,
                    });
                    ErrorCode::None
                };
                partitions.push(TxnOffsetCommitResponsePartition { partition_index: one.partition_index, error_code });
            }
            topics.push(TxnOffsetCommitResponseTopic { name: asked.name, partitions });
        }
        let by = Committer {
            member_id: request.member_id,
            instance_id: request.group_instance_id,
            generation: request.generation_id,
        };
        let joining = match context.version {
            JOINING_SINCE.. => Joining::Now,
            ABORTABLE_SINCE.. => Joining::Before { otherwise: ErrorCode::TransactionAbortable },
            _ => Joining::Before { otherwise: ErrorCode::InvalidTxnState },
        };
        let producer = (request.producer_id, request.producer_epoch);
        let group = (request.group_id.as_str(), &by);
        let transactions = &context.broker.transactions;
        let result = match named(&request.group_id) {
            Err(error) => Err(OffsetsRefused::Group(error)),
            Ok(()) => transactions.commit_offsets(&request.transactional_id, producer, joining, group, offsets).await,
        };
        if let Err(refused) = result {
            let code = refusal_code(refused);
            let all = topics.iter_mut().flat_map(|topic| &mut topic.partitions);
            all.filter(|partition| partition.error_code.is_ok()).for_each(|partition| partition.error_code = code);
        }
        TxnOffsetCommitResponse { topics, ..TxnOffsetCommitResponse::default() }
    }
}

/// What the producer is told. It knows the words of classic groups only: any other about its member is fatal to it, where it could have aborted.
fn refusal_code(refused: OffsetsRefused) -> ErrorCode {
    match refused {
        OffsetsRefused::Transaction(ErrorCode::ProducerFenced) => ErrorCode::InvalidProducerEpoch,
        OffsetsRefused::Transaction(code) => code,
        OffsetsRefused::Group(GroupError::StaleMemberEpoch) => ErrorCode::IllegalGeneration,
        OffsetsRefused::Group(error) => group_code(error),
    }
}

fn refused_all(request: TxnOffsetCommitRequest, error_code: ErrorCode) -> TxnOffsetCommitResponse {
    let topics = request.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.iter();
        let partitions =
            partitions.map(|one| TxnOffsetCommitResponsePartition { partition_index: one.partition_index, error_code });
        TxnOffsetCommitResponseTopic { partitions: partitions.collect(), name: topic.name }
    });
    TxnOffsetCommitResponse { topics: topics.collect(), ..TxnOffsetCommitResponse::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_producer_is_not_told_words_that_are_fatal_to_it() {
        for (refused, code) in [
            (OffsetsRefused::Group(GroupError::StaleMemberEpoch), ErrorCode::IllegalGeneration),
            (OffsetsRefused::Group(GroupError::IllegalGeneration), ErrorCode::IllegalGeneration),
            (OffsetsRefused::Group(GroupError::UnknownMemberId), ErrorCode::UnknownMemberId),
            (OffsetsRefused::Transaction(ErrorCode::ProducerFenced), ErrorCode::InvalidProducerEpoch),
            (OffsetsRefused::Transaction(ErrorCode::InvalidTxnState), ErrorCode::InvalidTxnState),
        ] {
            assert_eq!(refusal_code(refused), code);
        }
    }
}
