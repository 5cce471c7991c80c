//! Kafka's APIs, a file each. To add one: write its file, and name it in [`TABLE`], which ApiVersions reads too.

mod acls;
mod add_offsets_to_txn;
mod add_partitions_to_txn;
mod alter_client_quotas;
mod alter_configs;
mod alter_partition_reassignments;
mod alter_user_scram_credentials;
mod api_versions;
mod consumer_group_describe;
mod consumer_group_heartbeat;
mod create_partitions;
mod create_topics;
mod delete_groups;
mod delete_records;
mod delete_topics;
mod describe_client_quotas;
mod describe_cluster;
mod describe_configs;
mod describe_groups;
mod describe_log_dirs;
mod describe_producers;
mod describe_quorum;
mod describe_topic_partitions;
mod describe_transactions;
mod describe_user_scram_credentials;
mod elect_leaders;
mod end_txn;
mod fetch;
mod find_coordinator;
mod heartbeat;
mod incremental_alter_configs;
mod init_producer_id;
mod join_group;
mod leave_group;
mod list_config_resources;
mod list_groups;
mod list_offsets;
mod list_partition_reassignments;
mod list_transactions;
mod metadata;
mod offset_commit;
mod offset_delete;
mod offset_fetch;
mod offset_for_leader_epoch;
mod produce;
mod sasl_authenticate;
mod sasl_handshake;
mod sync_group;
mod txn_offset_commit;
mod update_features;
mod write_txn_markers;

use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::future::BoxFuture;
use millstream_protocol::codec::{DecodeError, Field, Frame, Reader, Wire};
use millstream_protocol::messages::{Message, Request};
use millstream_protocol::{ApiKey, ErrorCode, RequestHeader, encode_response};
use uuid::Uuid;

use crate::configs::listener::Listener;
use crate::groups::exchange::GroupError;
use crate::quotas::Client;
use crate::security::acl::{Kind, Operation, Resource};
use crate::security::session::Session;
use crate::topics::Topic;
use crate::{Broker, BrokerError};

/// Every API there is, in order of its key.
pub(crate) static TABLE: &[Entry] = &[
    entry::<produce::Produce>(),
    entry::<fetch::Fetch>(),
    entry::<list_offsets::ListOffsets>(),
    entry::<metadata::Metadata>(),
    entry::<offset_commit::OffsetCommit>(),
    entry::<offset_fetch::OffsetFetch>(),
    entry::<find_coordinator::FindCoordinator>(),
    entry::<join_group::JoinGroup>(),
    entry::<heartbeat::Heartbeat>(),
    entry::<leave_group::LeaveGroup>(),
    entry::<sync_group::SyncGroup>(),
    entry::<describe_groups::DescribeGroups>(),
    entry::<list_groups::ListGroups>(),
    entry::<sasl_handshake::SaslHandshake>(),
    entry::<api_versions::ApiVersions>(),
    entry::<create_topics::CreateTopics>(),
    entry::<delete_topics::DeleteTopics>(),
    entry::<delete_records::DeleteRecords>(),
    entry::<init_producer_id::InitProducerId>(),
    entry::<offset_for_leader_epoch::OffsetForLeaderEpoch>(),
    entry::<add_partitions_to_txn::AddPartitionsToTxn>(),
    entry::<add_offsets_to_txn::AddOffsetsToTxn>(),
    entry::<end_txn::EndTxn>(),
    entry::<write_txn_markers::WriteTxnMarkers>(),
    entry::<txn_offset_commit::TxnOffsetCommit>(),
    entry::<acls::DescribeAcls>(),
    entry::<acls::CreateAcls>(),
    entry::<acls::DeleteAcls>(),
    entry::<describe_configs::DescribeConfigs>(),
    entry::<alter_configs::AlterConfigs>(),
    entry::<describe_log_dirs::DescribeLogDirs>(),
    entry::<sasl_authenticate::SaslAuthenticate>(),
    entry::<create_partitions::CreatePartitions>(),
    entry::<delete_groups::DeleteGroups>(),
    entry::<elect_leaders::ElectLeaders>(),
    entry::<incremental_alter_configs::IncrementalAlterConfigs>(),
    entry::<alter_partition_reassignments::AlterPartitionReassignments>(),
    entry::<list_partition_reassignments::ListPartitionReassignments>(),
    entry::<offset_delete::OffsetDelete>(),
    entry::<describe_client_quotas::DescribeClientQuotas>(),
    entry::<alter_client_quotas::AlterClientQuotas>(),
    entry::<describe_user_scram_credentials::DescribeUserScramCredentials>(),
    entry::<alter_user_scram_credentials::AlterUserScramCredentials>(),
    entry::<describe_quorum::DescribeQuorum>(),
    entry::<update_features::UpdateFeatures>(),
    entry::<describe_cluster::DescribeCluster>(),
    entry::<describe_producers::DescribeProducers>(),
    entry::<describe_transactions::DescribeTransactions>(),
    entry::<list_transactions::ListTransactions>(),
    entry::<consumer_group_heartbeat::ConsumerGroupHeartbeat>(),
    entry::<consumer_group_describe::ConsumerGroupDescribe>(),
    entry::<list_config_resources::ListConfigResources>(),
    entry::<describe_topic_partitions::DescribeTopicPartitions>(),
];

/// The entry of an API and version, if it is one that is served.
pub(crate) fn find(api_key: i16, version: i16) -> Option<&'static Entry> {
    TABLE.iter().find(|entry| entry.key.code() == api_key && (entry.min..=entry.max).contains(&version))
}

/// An API: what it takes, and how it is answered.
pub(crate) trait Api {
    /// The request.
    type Request: Request;

    /// Versions served. All that there is a schema for, unless an API says otherwise.
    const VERSIONS: RangeInclusive<i16> = <Self::Request as Message>::VERSIONS;
    /// First version that ApiVersions lists.
    const ADVERTISED_SINCE: i16 = *Self::VERSIONS.start();
    /// The next request of the connection may begin before this one is answered. What has to happen in the order of requests must then
    /// happen in [`Api::handle`] itself, before the future it returns is polled.
    const PIPELINED: bool = false;

    /// Who is answered. Without a default, so that nobody forgets it.
    const ACCESS: Access<Self::Request>;

    /// Whether the client waits for an answer.
    fn is_answered(_request: &Self::Request) -> bool {
        true
    }

    /// What went wrong, for a client that waits for no answer: its connection is closed, so that it learns of it.
    fn failure(_response: &<Self::Request as Request>::Response) -> Option<String> {
        None
    }

    /// Does what is asked.
    fn handle(
        context: Context,
        request: Self::Request,
    ) -> impl Future<Output = <Self::Request as Request>::Response> + Send + 'static;
}

/// Who is answered by an API.
pub(crate) enum Access<R: Request> {
    /// Everybody, even before they have said who they are.
    BeforeLogin,
    /// Who may do this to the one thing that the request is about; anybody else is answered without asking the handler.
    One { operation: Operation, of: fn(&R) -> Resource<'_>, denied: fn(R) -> R::Response },
    /// The handler asks for each thing that the request names: [`Context::topic`], [`Context::may`].
    Each,
}

/// What becomes of a request.
pub(crate) enum Reply {
    /// An answer.
    Frame(Frame),
    /// The client waits for none.
    Nothing,
    /// The connection ends, with a reason for the log.
    Close(String),
    /// One of these, and nothing more is read from the connection for so long: a quota has been overrun.
    Throttled(Box<Reply>, Duration),
}

type Call = fn(Context, &RequestHeader, &mut Reader<'_>) -> Result<BoxFuture<'static, Reply>, DecodeError>;

/// A row of the table.
pub(crate) struct Entry {
    pub key: ApiKey,
    pub min: i16,
    pub max: i16,
    pub advertised_since: i16,
    pub pipelined: bool,
    pub before_login: bool,
    pub call: Call,
}

const fn entry<A: Api>() -> Entry {
    Entry {
        key: A::Request::KEY,
        min: *A::VERSIONS.start(),
        max: *A::VERSIONS.end(),
        advertised_since: A::ADVERTISED_SINCE,
        pipelined: A::PIPELINED,
        before_login: matches!(A::ACCESS, Access::BeforeLogin),
        call: call::<A>,
    }
}

fn call<A: Api>(
    context: Context,
    header: &RequestHeader,
    reader: &mut Reader<'_>,
) -> Result<BoxFuture<'static, Reply>, DecodeError> {
    let (version, correlation_id) = (header.api_version, header.correlation_id);
    // Bytes behind the last field are passed over, as Kafka does: librdkafka leaves three behind a Metadata request for all topics.
    let field = Field { version, flexible: version >= <A::Request as Message>::FLEXIBLE_SINCE, nullable: false };
    let request = <A::Request as Wire>::decode(reader, field)?;
    let is_answered = A::is_answered(&request);
    if let Access::One { operation, of, denied } = A::ACCESS
        && !context.may(operation, of(&request))
    {
        let reply = reply::<A>(&denied(request), is_answered, version, correlation_id);
        return Ok(Box::pin(std::future::ready(reply)));
    }
    let Some(client) = context.client() else {
        let answer = A::handle(context, request);
        return Ok(Box::pin(async move { reply::<A>(&answer.await, is_answered, version, correlation_id) }));
    };
    let begun = Instant::now();
    let answer = A::handle(context, request);
    let begun = begun.elapsed();
    Ok(Box::pin(async move {
        let (mut response, time) = timed(answer).await;
        // As in Kafka: who waits for no answer cannot be told, and is not asked for its time.
        let wait_ms = if is_answered { client.worked(begun + time) as i32 } else { 0 };
        let throttle_ms = match response.throttle_time_ms() {
            Some(told) => {
                *told = wait_ms.max(*told);
                *told
            }
            None => wait_ms,
        };
        let reply = reply::<A>(&response, is_answered, version, correlation_id);
        match u64::try_from(throttle_ms) {
            Ok(wait_ms @ 1..) => Reply::Throttled(Box::new(reply), Duration::from_millis(wait_ms)),
            _ => reply,
        }
    }))
}

/// What becomes of `work`, and the time for which it kept a thread.
async fn timed<T>(work: impl Future<Output = T>) -> (T, Duration) {
    let mut time = Duration::ZERO;
    let mut work = pin!(work);
    let done = poll_fn(|context| {
        let begun = Instant::now();
        let polled = work.as_mut().poll(context);
        time += begun.elapsed();
        polled
    });
    let done = done.await;
    (done, time)
}

fn reply<A: Api>(
    response: &<A::Request as Request>::Response,
    is_answered: bool,
    version: i16,
    correlation_id: i32,
) -> Reply {
    if is_answered {
        return Reply::Frame(encode_response(response, version, correlation_id));
    }
    A::failure(response).map_or(Reply::Nothing, Reply::Close)
}

/// What a handler knows besides the request.
#[derive(Clone)]
pub(crate) struct Context {
    pub broker: Arc<Broker>,
    pub version: i16,
    pub client_id: Arc<str>,
    pub peer: SocketAddr,
    pub local: SocketAddr,
    pub listener: Arc<Listener>,
    pub session: Arc<Session>,
    /// The whole request's size, as quotas count it.
    pub request_bytes: usize,
}

impl Context {
    /// Host and port at which this client finds the broker.
    pub fn address(&self) -> (String, u16) {
        Broker::address_for(&self.listener, self.local)
    }

    /// The client as quotas know it, if there are any.
    pub fn client(&self) -> Option<Client> {
        self.broker.quotas.client(&self.session, &self.client_id)
    }

    /// Whether the client may do this, which it asks for: a no is counted, and the log tells of it.
    pub fn may(&self, operation: Operation, resource: Resource<'_>) -> bool {
        let allowed = self.could(operation, resource);
        if !allowed {
            let (principal, host) = (self.session.principal(), self.peer.ip().to_canonical());
            let (security, now_ms) = (&self.broker.security, self.broker.config.steady_clock.now_ms());
            security.counts.denials.fetch_add(1, Relaxed);
            security.authorizer.denied(now_ms, &principal, host, operation, resource);
        }
        allowed
    }

    /// Whether the client may do this, where a no refuses nothing: it is one way of several, or what is shown is narrowed to what one may see.
    pub fn could(&self, operation: Operation, resource: Resource<'_>) -> bool {
        let authorizer = &self.broker.security.authorizer;
        !authorizer.is_on()
            || authorizer.allows(&self.session.principal(), self.peer.ip().to_canonical(), operation, resource)
    }

    /// As [`Context::could`], to anything of the kind.
    pub fn could_to_any(&self, operation: Operation, kind: Kind) -> bool {
        let authorizer = &self.broker.security.authorizer;
        authorizer.allows_any(&self.session.principal(), self.peer.ip().to_canonical(), operation, kind)
    }

    /// The topic that a client names in order to do this: by its id where the version has ids, otherwise by its name. Internal topics are
    /// not there for clients. Whether a topic is there is told only to those who may.
    pub fn topic(&self, operation: Operation, name: &str, id: Uuid, by_id: bool) -> Result<Arc<Topic>, ErrorCode> {
        let topics = &self.broker.topics;
        let visible = |topic: &Arc<Topic>| !topic.is_internal();
        if by_id {
            let found = topics.get_by_id(id).filter(visible).ok_or(ErrorCode::UnknownTopicId)?;
            return match self.may(operation, Resource::topic(&found.name)) {
                true => Ok(found),
                false => Err(ErrorCode::TopicAuthorizationFailed),
            };
        }
        if !self.may(operation, Resource::topic(name)) {
            return Err(ErrorCode::TopicAuthorizationFailed);
        }
        topics.get(name).filter(visible).ok_or(ErrorCode::UnknownTopicOrPartition)
    }

    /// Whether there is such a partition, for those who may see all of them.
    pub fn has_partition(&self, topic: &str, partition: i32) -> bool {
        let topic = self.broker.topics.get(topic).filter(|topic| !topic.is_internal());
        topic.is_some_and(|topic| topic.partition(partition).is_ok())
    }
}

/// Partitions that a request makes or deletes, held against `controller_mutation_rate`.
pub(crate) struct Mutations {
    client: Option<Client>,
    is_strict: bool,
    /// What the client is told.
    pub throttle_time_ms: i32,
}

impl Mutations {
    /// From version `strict_since` on, what is too much is refused (KIP-599); before, it is done, and the client waits.
    pub fn new(context: &Context, strict_since: i16) -> Self {
        let is_strict = context.version >= strict_since;
        Mutations { client: context.client(), is_strict, throttle_time_ms: 0 }
    }

    /// Counts partitions that are about to be made or deleted.
    ///
    /// # Errors
    /// They are not to be.
    pub fn count(&mut self, partitions: i32) -> Result<(), BrokerError> {
        let Some(client) = &self.client else { return Ok(()) };
        let result = client.mutates(usize::try_from(partitions).unwrap_or(0), self.is_strict);
        let wait_ms = match &result {
            Ok(wait_ms) | Err(BrokerError::QuotaExceeded { wait_ms, .. }) => *wait_ms,
            Err(_) => 0,
        };
        self.throttle_time_ms = self.throttle_time_ms.max(wait_ms as i32);
        result.map(drop)
    }
}

pub(crate) use api_versions::response as unsupported_api_versions;

/// Leader epoch of every partition: one node, one leader, for ever.
pub(crate) const LEADER_EPOCH: i32 = 0;

/// What the client may do to a thing, as bits, where it asks for that.
pub(crate) mod operations {
    use super::{Context, Kind, Operation, Resource};

    /// Nobody asked.
    pub const UNASKED: i32 = i32::MIN;

    /// What can be done to a topic …
    const TOPIC: &[Operation] = {
        use Operation::*;
        &[Read, Write, Create, Delete, Alter, Describe, DescribeConfigs, AlterConfigs]
    };
    /// … to the cluster …
    const CLUSTER: &[Operation] = {
        use Operation::*;
        &[Create, Alter, Describe, ClusterAction, DescribeConfigs, AlterConfigs, IdempotentWrite]
    };
    /// … and to a group.
    const GROUP: &[Operation] = {
        use Operation::*;
        &[Read, Delete, Describe, DescribeConfigs, AlterConfigs]
    };

    /// The bits of a thing, if somebody asked.
    pub fn of(context: &Context, resource: Resource<'_>, asked: bool) -> i32 {
        if !asked {
            return UNASKED;
        }
        let all = match resource.kind {
            Kind::Topic => TOPIC,
            Kind::Group => GROUP,
            _ => CLUSTER,
        };
        let allowed = all.iter().filter(|operation| context.could(**operation, resource));
        allowed.fold(0, |bits, operation| bits | 1 << operation.code())
    }

    /// The cluster's bits, if somebody asked: none for those who may not describe it.
    pub fn of_cluster(context: &Context, asked: bool) -> i32 {
        match asked && !context.could(Operation::Describe, Resource::CLUSTER) {
            true => 0,
            false => of(context, Resource::CLUSTER, asked),
        }
    }
}

/// Holds a client's idea of the leader epoch against ours.
pub(crate) fn check_leader_epoch(current: i32) -> Result<(), ErrorCode> {
    if current > LEADER_EPOCH { Err(ErrorCode::UnknownLeaderEpoch) } else { Ok(()) }
}

/// What a request names more than once, where each of it has an answer that refuses it.
pub(crate) fn repeated<K: Ord + Clone>(named: impl IntoIterator<Item = K>) -> BTreeSet<K> {
    let mut seen = BTreeSet::new();
    named.into_iter().filter(|one| !seen.insert(one.clone())).collect()
}

/// What a request names, each once, in the order of the request, and whether it was named more than once: that is refused, with one answer.
pub(crate) fn once<T, K: Ord>(asked: Vec<T>, key: impl Fn(&T) -> K) -> Vec<(T, bool)> {
    let mut times = BTreeMap::new();
    for one in &asked {
        *times.entry(key(one)).or_insert(0) += 1;
    }
    let first_of_each = asked.into_iter().filter_map(|one| {
        // The first one takes the count with it.
        let times = times.remove(&key(&one))?;
        Some((one, times > 1))
    });
    first_of_each.collect()
}

/// An error's words for a client, of a length that every version can carry.
pub(crate) fn words(error: &dyn std::fmt::Display) -> Option<String> {
    let mut text = error.to_string();
    if let Some((end, _)) = text.char_indices().nth(1000) {
        text.truncate(end);
    }
    Some(text)
}

/// Bytes of a request that outlive it: without a copy they would keep its whole frame.
pub(crate) fn own(bytes: &Bytes) -> Bytes {
    Bytes::copy_from_slice(bytes)
}

/// What a client is told about a group's refusal.
pub(crate) fn group_code(error: GroupError) -> ErrorCode {
    match error {
        GroupError::CoordinatorNotAvailable => ErrorCode::CoordinatorNotAvailable,
        GroupError::NotCoordinator => ErrorCode::NotCoordinator,
        GroupError::UnknownMemberId => ErrorCode::UnknownMemberId,
        GroupError::IllegalGeneration => ErrorCode::IllegalGeneration,
        GroupError::RebalanceInProgress => ErrorCode::RebalanceInProgress,
        GroupError::InconsistentProtocol => ErrorCode::InconsistentGroupProtocol,
        GroupError::FencedInstanceId => ErrorCode::FencedInstanceId,
        GroupError::MemberIdRequired => ErrorCode::MemberIdRequired,
        GroupError::GroupIdNotFound => ErrorCode::GroupIdNotFound,
        GroupError::NonEmptyGroup => ErrorCode::NonEmptyGroup,
        GroupError::SubscribedToTopic => ErrorCode::GroupSubscribedToTopic,
        GroupError::InvalidGroupId => ErrorCode::InvalidGroupId,
        GroupError::InvalidSessionTimeout => ErrorCode::InvalidSessionTimeout,
        GroupError::MaxSizeReached => ErrorCode::GroupMaxSizeReached,
        GroupError::FencedMemberEpoch => ErrorCode::FencedMemberEpoch,
        GroupError::StaleMemberEpoch => ErrorCode::StaleMemberEpoch,
        GroupError::UnreleasedInstanceId => ErrorCode::UnreleasedInstanceId,
        GroupError::UnsupportedAssignor => ErrorCode::UnsupportedAssignor,
        GroupError::InvalidRegularExpression => ErrorCode::InvalidRegularExpression,
        GroupError::InvalidRequest => ErrorCode::InvalidRequest,
    }
}

/// What a producer is told that another has replaced: newer ones know a word of its own for it.
pub(crate) fn fenced(code: ErrorCode, is_understood: bool) -> ErrorCode {
    match code {
        ErrorCode::ProducerFenced if !is_understood => ErrorCode::InvalidProducerEpoch,
        code => code,
    }
}

/// What a client is told when a commit or a removal did not happen.
pub(crate) fn commit_code(error: &crate::groups::coordinator::CommitError) -> ErrorCode {
    use crate::groups::coordinator::CommitError;
    match error {
        CommitError::Group(error) => group_code(*error),
        // Clients repeat a request to a coordinator that is not there; a full disk may have space by then.
        CommitError::Log(_) => ErrorCode::CoordinatorNotAvailable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_order_and_every_schema_version_is_served() {
        assert!(TABLE.windows(2).all(|pair| pair[0].key.code() < pair[1].key.code()));
        for entry in TABLE {
            assert!(entry.advertised_since <= entry.min && entry.min <= entry.max, "{}", entry.key.name());
        }
    }
}
