//! DeleteTopics: by name, or by id.

use millstream_protocol::ErrorCode;
use millstream_protocol::messages::delete_topics::DeletableTopicResult;
use millstream_protocol::messages::{DeleteTopicsRequest, DeleteTopicsResponse};
use uuid::Uuid;

use super::{Access, Api, Context, Mutations, once, words};
use crate::security::acl::{Operation, Resource};

/// Names or ids; before, names only.
const STATES_SINCE: i16 = 6;

/// THROTTLING_QUOTA_EXCEEDED is understood.
const STRICT_SINCE: i16 = 5;

pub(crate) struct DeleteTopics;

impl Api for DeleteTopics {
    type Request = DeleteTopicsRequest;

    const ACCESS: Access<DeleteTopicsRequest> = Access::Each;

    async fn handle(context: Context, request: DeleteTopicsRequest) -> DeleteTopicsResponse {
        let asked: Vec<(Option<String>, Uuid)> = if context.version >= STATES_SINCE {
            request.topics.into_iter().map(|topic| (topic.name, topic.topic_id)).collect()
        } else {
            request.topic_names.into_iter().map(|name| (Some(name), Uuid::nil())).collect()
        };
        let mut mutations = Mutations::new(&context, STRICT_SINCE);
        let mut responses = Vec::new();
        for ((name, id), is_repeated) in once(asked, Clone::clone) {
            responses.push(match is_repeated {
                true => refused(name, id, "this topic stands more than once in the request"),
                false => delete(&context, name, id, &mut mutations).await,
            });
        }
        DeleteTopicsResponse { throttle_time_ms: mutations.throttle_time_ms, responses }
    }
}

fn refused(name: Option<String>, topic_id: Uuid, why: &str) -> DeletableTopicResult {
    DeletableTopicResult { name, topic_id, error_code: ErrorCode::InvalidRequest, error_message: Some(why.to_string()) }
}

async fn delete(context: &Context, name: Option<String>, id: Uuid, mutations: &mut Mutations) -> DeletableTopicResult {
    let by_id = name.is_none();
    let failed = |name: Option<String>, error_code: ErrorCode, error_message| DeletableTopicResult {
        // Older versions have no null here.
        name: if by_id { None } else { name },
        topic_id: id,
        error_code,
        error_message,
    };
    if !context.broker.config.delete_topics {
        let why = "delete.topic.enable is false: topics cannot be deleted".to_string();
        return failed(name, ErrorCode::TopicDeletionDisabled, Some(why));
    }
    if by_id == id.is_nil() {
        return refused(name, id, "a topic is named by its name or by its id, not both");
    }
    let topic = match context.topic(Operation::Describe, name.as_deref().unwrap_or_default(), id, by_id) {
        Ok(topic) => topic,
        Err(code @ ErrorCode::TopicAuthorizationFailed) => return failed(name, code, None),
        Err(code) => return failed(name, code, Some("this topic does not exist".to_string())),
    };
    if !context.may(Operation::Delete, Resource::topic(&topic.name)) {
        return failed(Some(topic.name.to_string()), ErrorCode::TopicAuthorizationFailed, None);
    }
    if let Err(error) = mutations.count(topic.partitions.len() as i32) {
        return failed(Some(topic.name.to_string()), error.code(), words(&error));
    }
    match context.broker.delete_topic(&topic.name).await {
        Ok(()) => DeletableTopicResult {
            name: Some(topic.name.to_string()),
            topic_id: topic.id,
            ..DeletableTopicResult::default()
        },
        Err(error) => failed(name, error.code(), words(&error)),
    }
}
