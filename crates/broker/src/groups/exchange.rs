//! What is asked of a group, and what it answers.

use bytes::Bytes;

use super::record::GroupRecord;

/// A request that is parked until the group has an answer for it.
pub type Ticket = u64;

/// Why a group refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum GroupError {
    /// The group is being removed.
    #[error("the group is being removed; ask again")]
    CoordinatorNotAvailable,
    /// The group's record could not be made durable.
    #[error("the group's state could not be written; join again")]
    NotCoordinator,
    /// No such member.
    #[error("the member is not in the group; join again")]
    UnknownMemberId,
    /// The request is from an earlier generation.
    #[error("the group is in another generation; join again")]
    IllegalGeneration,
    /// A rebalance is on its way.
    #[error("the group is rebalancing; join again")]
    RebalanceInProgress,
    /// No protocol (assignor) that all members know.
    #[error("the member shares no assignor with the members that are there")]
    InconsistentProtocol,
    /// A static member was replaced by a newer instance.
    #[error("another client took over this group.instance.id")]
    FencedInstanceId,
    /// The member is to join again with the id it was given.
    #[error("join again with the member id given")]
    MemberIdRequired,
    /// There is no such group.
    #[error("there is no such group")]
    GroupIdNotFound,
    /// The group has members.
    #[error("the group has members; stop its consumers first")]
    NonEmptyGroup,
    /// The group consumes the topic.
    #[error("the group is subscribed to the topic; stop its consumers first")]
    SubscribedToTopic,
    /// The group's name is empty.
    #[error("the group id is empty")]
    InvalidGroupId,
    /// The session time-out is out of bounds.
    #[error("the session time-out is outside group.min.session.timeout.ms and group.max.session.timeout.ms")]
    InvalidSessionTimeout,
    /// The group is full.
    #[error("the group has group.max.size members")]
    MaxSizeReached,
    /// The member's epoch is not one that it can have (KIP-848).
    #[error("the member is in another epoch; give partitions up and join again")]
    FencedMemberEpoch,
    /// A commit or fetch of offsets of another epoch (KIP-848).
    #[error("the member is in another epoch; heartbeat, and try again")]
    StaleMemberEpoch,
    /// Another client has the place of the static member (KIP-848).
    #[error("another client has this group.instance.id and has not left")]
    UnreleasedInstanceId,
    /// No such assignor.
    #[error("group.consumer.assignors has no such assignor")]
    UnsupportedAssignor,
    /// A subscription that is no regular expression.
    #[error("the subscription is no regular expression")]
    InvalidRegularExpression,
    /// A request that makes no sense.
    #[error("the request makes no sense")]
    InvalidRequest,
}

/// Where a group stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupState {
    /// No members; perhaps offsets.
    Empty,
    /// Members are being waited for.
    PreparingRebalance,
    /// The leader's assignment is being waited for.
    CompletingRebalance,
    /// Everybody has an assignment.
    Stable,
    /// Removed.
    Dead,
}

impl GroupState {
    /// The name that tools show.
    pub fn name(self) -> &'static str {
        match self {
            GroupState::Empty => "Empty",
            GroupState::PreparingRebalance => "PreparingRebalance",
            GroupState::CompletingRebalance => "CompletingRebalance",
            GroupState::Stable => "Stable",
            GroupState::Dead => "Dead",
        }
    }
}

/// What holds for all groups.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// `group.max.size`: most members.
    pub size_max: usize,
    /// `group.initial.rebalance.delay.ms`: how long the first rebalance of a group in which nobody is waits for more members.
    pub initial_delay_ms: i64,
}

/// A request to join.
#[derive(Debug, Clone, Default)]
pub struct Join {
    /// Empty at first.
    pub member_id: String,
    /// `group.instance.id` of a static member.
    pub instance_id: Option<String>,
    /// From the request's header.
    pub client_id: String,
    /// The address the client came from.
    pub client_host: String,
    /// Silence after which the member is removed.
    pub session_timeout_ms: i32,
    /// How long a rebalance waits for this member.
    pub rebalance_timeout_ms: i32,
    /// `consumer`, `connect`, ….
    pub protocol_type: String,
    /// Assignors with the member's metadata, best first.
    pub protocols: Vec<(String, Bytes)>,
    /// From version 4 on a dynamic member must come back with the id it is given.
    pub require_known_member_id: bool,
    /// From version 9 on a leader may be told not to assign.
    pub supports_skipping_assignment: bool,
    /// Id for a member that has none yet; chosen by the caller because it is chance.
    pub fresh_member_id: String,
}

/// What a member that joined is told.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Joined {
    /// Generation that begins.
    pub generation: i32,
    /// The group's kind.
    pub protocol_type: Option<String>,
    /// The assignor that all know.
    pub protocol: Option<String>,
    /// Who assigns.
    pub leader: String,
    /// The leader need not assign: nothing changed.
    pub skip_assignment: bool,
    /// The member's own id.
    pub member_id: String,
    /// For the leader: everybody with its metadata (member id, instance id, metadata).
    pub members: Vec<(String, Option<String>, Bytes)>,
}

/// Answer to a join, also the refusals that carry a member id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinRefused {
    /// Why.
    pub error: GroupError,
    /// The member id to come back with, or the one the request had.
    pub member_id: String,
}

/// Answer to a join.
pub type JoinAnswer = Result<Joined, JoinRefused>;

/// A request for the member's assignment; the leader brings everybody's.
#[derive(Debug, Clone, Default)]
pub struct Sync {
    /// Who asks.
    pub member_id: String,
    /// `group.instance.id` of a static member.
    pub instance_id: Option<String>,
    /// Generation the member joined.
    pub generation: i32,
    /// From version 5 on, what the member thinks the group is.
    pub protocol_type: Option<String>,
    /// From version 5 on, what the member thinks the assignor is.
    pub protocol: Option<String>,
    /// From the leader: member id and assignment.
    pub assignments: Vec<(String, Bytes)>,
}

/// What a member got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Synced {
    /// The group's kind.
    pub protocol_type: Option<String>,
    /// The assignor.
    pub protocol: Option<String>,
    /// The member's part.
    pub assignment: Bytes,
}

/// Answer to a sync.
pub type SyncAnswer = Result<Synced, GroupError>;

/// What a call to the group asks its caller to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Answer a parked join.
    Joined(Ticket, JoinAnswer),
    /// Answer a parked sync.
    Synced(Ticket, SyncAnswer),
    /// Make the group durable and report by [`Group::persisted`].
    Persist(GroupRecord),
}
