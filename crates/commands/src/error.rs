//! What a verb can fail with, in the words that its user reads. Each says all of it: no error has a source that would be printed behind it.

use std::io;

use millstream_client::ClientError;
use millstream_protocol::ErrorCode;

/// Why a verb did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// Nobody listens.
    #[error(
        "no broker at {address} ({reason}): start one with `millstream up` or `millstream broker`, or name another with --bootstrap"
    )]
    NoBroker {
        /// Bootstrap addresses.
        address: String,
        /// The system's words.
        reason: String,
    },
    /// Somebody listens who does not speak the protocol, or not to us.
    #[error(
        "{address} answers, but not as a Kafka broker does ({reason}): is it another service's port, or a listener with other security (--command-config)?"
    )]
    NotKafka {
        /// Bootstrap addresses.
        address: String,
        /// What was seen.
        reason: ClientError,
    },
    /// An address that is none.
    #[error("'{0}' is no address: write HOST:PORT, as in 127.0.0.1:9092")]
    Address(String),
    /// A topic that is not there.
    #[error("there is no topic '{name}'{}: {}", hint(.nearest), no_topic(.name))]
    NoTopic {
        /// Its name.
        name: String,
        /// One that is called nearly so.
        nearest: Option<String>,
    },
    /// A group that is not there.
    #[error("there is no group '{name}'{}: `millstream groups list` names those there are", hint(.nearest))]
    NoGroup {
        /// Its name.
        name: String,
        /// One that is called nearly so.
        nearest: Option<String>,
    },
    /// A user that is not there.
    #[error("there is no user '{name}'{}: `millstream users list` names those there are", hint(.nearest))]
    NoUser {
        /// Its name.
        name: String,
        /// One that is called nearly so.
        nearest: Option<String>,
    },
    /// A data folder that cannot be used.
    #[error("{0}")]
    Folder(String),
    /// Ctrl-C at a prompt.
    #[error("nothing was changed")]
    Interrupted,
    /// A group whose members would not notice, or undo, a change.
    #[error(
        "group '{name}' is {state} and has {}: stop them first; a group can be changed only while nobody is in it", crate::human::count(*.members as i64, "member")
    )]
    GroupInUse {
        /// Its name.
        name: String,
        /// Its state.
        state: String,
        /// How many members it has.
        members: usize,
    },
    /// A partition that the topic does not have.
    #[error("topic '{topic}' has no partition {partition}: they are 0 to {last}")]
    NoPartition {
        /// Topic.
        topic: String,
        /// What was asked for.
        partition: i32,
        /// The highest number.
        last: i32,
    },
    /// A value of a flag, an expression, an argument.
    #[error("{0}")]
    Usage(String),
    /// Nobody said yes.
    #[error("nothing was deleted: say yes at the prompt, or give --yes")]
    NotConfirmed,
    /// A line of the input that cannot be sent.
    #[error("{place}: {what}")]
    Input {
        /// File and line.
        place: String,
        /// What is wrong, and what to do.
        what: String,
    },
    /// Records that nobody acknowledged.
    #[error("{} of {handed_over} acknowledged: {reason}", crate::human::count(*.acknowledged as i64, "record"))]
    Undelivered {
        /// Records that are in the topic.
        acknowledged: u64,
        /// Records that were sent.
        handed_over: u64,
        /// What stands in the way.
        reason: String,
    },
    /// A file that cannot be read.
    #[error("{path}: {reason}")]
    File {
        /// Its path.
        path: String,
        /// The system's words.
        reason: io::Error,
    },
    /// Output that cannot be written.
    #[error("the output cannot be written: {0}")]
    Output(io::Error),
    /// The reader of the output has gone.
    #[error("the output is closed")]
    OutputClosed,
    /// The broker refused, or did not answer.
    #[error("{error}{remedy}", error = .0, remedy = remedy(.0))]
    Client(ClientError),
}

impl From<ClientError> for CommandError {
    fn from(error: ClientError) -> Self {
        CommandError::Client(error)
    }
}

fn hint(nearest: &Option<String>) -> String {
    nearest.as_deref().map(|name| format!(" (did you mean '{name}'?)")).unwrap_or_default()
}

fn no_topic(name: &str) -> String {
    match name.starts_with("__") {
        true => {
            "names like this one are mostly those of a broker's own topics, which it may have and not show".to_owned()
        }
        false => {
            format!("`millstream topics list` names those there are, `millstream topics create {name}` makes it")
        }
    }
}

/// What to do about a refusal, where the refusal does not say.
fn remedy(error: &ClientError) -> &'static str {
    match error.code() {
        Some(ErrorCode::TopicAlreadyExists) => {
            ": `millstream topics describe` shows it; --if-missing leaves it as it is"
        }
        Some(ErrorCode::SecurityDisabled) => {
            "; Kafka's is org.apache.kafka.metadata.authorizer.StandardAuthorizer, as in \
             `millstream broker --set authorizer.class.name=…`"
        }
        Some(ErrorCode::NonEmptyGroup) => ": stop its members first",
        Some(ErrorCode::MessageTooLarge) => ": raise max.message.bytes of the topic, or send smaller records",
        Some(ErrorCode::UnknownMemberId | ErrorCode::IllegalGeneration | ErrorCode::RebalanceInProgress) => {
            ": the group has members of its own; stop them first, or take another group"
        }
        _ => "",
    }
}

impl From<io::Error> for CommandError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => CommandError::OutputClosed,
            _ => CommandError::Output(error),
        }
    }
}

/// The name most like `name`, if one is.
pub(crate) fn nearest<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Option<String> {
    names
        .map(|candidate| (strsim::damerau_levenshtein(name, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= candidate.chars().count().max(3) / 3)
        .min()
        .map(|(_, candidate)| candidate.to_owned())
}
