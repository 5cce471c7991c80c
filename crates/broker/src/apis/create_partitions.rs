//! CreatePartitions: more partitions for topics that are there.

use millstream_protocol::ErrorCode;
use millstream_protocol::messages::create_partitions::{CreatePartitionsTopic, CreatePartitionsTopicResult};
use millstream_protocol::messages::{CreatePartitionsRequest, CreatePartitionsResponse};
use uuid::Uuid;

use super::{Access, Api, Context, Mutations, once, words};
use crate::BrokerError;
use crate::security::acl::Operation;

/// THROTTLING_QUOTA_EXCEEDED is understood.
const STRICT_SINCE: i16 = 3;

pub(crate) struct CreatePartitions;

impl Api for CreatePartitions {
    type Request = CreatePartitionsRequest;

    const ACCESS: Access<CreatePartitionsRequest> = Access::Each;

    async fn handle(context: Context, request: CreatePartitionsRequest) -> CreatePartitionsResponse {
        let mut mutations = Mutations::new(&context, STRICT_SINCE);
        let mut results = Vec::new();
        for (topic, is_repeated) in once(request.topics, |topic| topic.name.clone()) {
            let result = match is_repeated {
                true => Err(BrokerError::InvalidRequest("this topic stands more than once in the request".to_string())),
                false => grow(&context, &topic, request.validate_only, &mut mutations).await,
            };
            let (error_code, error_message) = match result {
                Ok(()) => (ErrorCode::None, None),
                Err(error) => (error.code(), words(&error)),
            };
            results.push(CreatePartitionsTopicResult { name: topic.name, error_code, error_message });
        }
        CreatePartitionsResponse { throttle_time_ms: mutations.throttle_time_ms, results }
    }
}

async fn grow(
    context: &Context,
    asked: &CreatePartitionsTopic,
    validate_only: bool,
    mutations: &mut Mutations,
) -> Result<(), BrokerError> {
    let refused = |code| BrokerError::no_topic(code, &asked.name);
    let topic = context.topic(Operation::Alter, &asked.name, Uuid::nil(), false).map_err(refused)?;
    context.broker.topics.check_grow(&asked.name, asked.count)?;
    let added = asked.count as usize - topic.partitions.len();
    if let Some(assignments) = &asked.assignments {
        let node_id = context.broker.config.node_id;
        if assignments.len() != added || assignments.iter().any(|one| one.broker_ids != [node_id]) {
            let why = format!("{added} partitions are to be added, each with the only replica [{node_id}]");
            return Err(BrokerError::InvalidReplicaAssignment(why));
        }
    }
    mutations.count(added as i32)?;
    if !validate_only {
        context.broker.topics.grow(&asked.name, asked.count).await?;
    }
    Ok(())
}
