//! Words of rules: who may do what to what. Numbers and meaning are Kafka's (`AclBinding`); the names are those of the command line.

use serde::{Deserialize, Serialize};

/// Name of the one cluster there is.
pub const CLUSTER_NAME: &str = "kafka-cluster";
/// Everything, as a name; everybody, as a principal's name or a host.
pub const ANY: &str = "*";
/// Any value, as a number in a filter.
pub const ANY_CODE: i8 = 1;
/// Every rule that covers the name, as a filter's pattern.
pub const MATCH_CODE: i8 = 2;

macro_rules! numbered {
    ($(#[$attribute:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $code:literal $text:literal,)* }) => {
        $(#[$attribute])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[repr(i8)]
        pub enum $name {
            $($(#[$doc])* $variant = $code,)*
        }

        impl $name {
            /// All of them.
            pub const ALL: &'static [$name] = &[$($name::$variant,)*];

            /// Kafka's number.
            pub fn code(self) -> i8 {
                self as i8
            }

            /// What is behind a number.
            pub fn from_code(code: i8) -> Option<$name> {
                $name::ALL.iter().copied().find(|one| one.code() == code)
            }

            /// What people call it.
            pub fn name(self) -> &'static str {
                match self {
                    $($name::$variant => $text,)*
                }
            }

            /// What people mean by a name, in Kafka's spellings too: `DESCRIBE_CONFIGS`, `DescribeConfigs`.
            pub fn from_name(name: &str) -> Option<$name> {
                let letters = |text: &str| text.replace(['-', '_'], "").to_ascii_lowercase();
                $name::ALL.iter().copied().find(|one| letters(one.name()) == letters(name))
            }
        }
    };
}

numbered! {
    /// What is done.
    Operation {
        /// Everything.
        All = 2 "all",
        /// Fetching; committing of a group's offsets.
        Read = 3 "read",
        /// Producing.
        Write = 4 "write",
        /// Making a topic.
        Create = 5 "create",
        /// Deleting it, or records or offsets of it.
        Delete = 6 "delete",
        /// Changing it, and what its users and rules are.
        Alter = 7 "alter",
        /// Seeing that it is there.
        Describe = 8 "describe",
        /// What brokers ask of each other.
        ClusterAction = 9 "cluster-action",
        /// Seeing its settings.
        DescribeConfigs = 10 "describe-configs",
        /// Changing its settings.
        AlterConfigs = 11 "alter-configs",
        /// Producing with sequence numbers; implied by the right to write since Kafka 2.8.
        IdempotentWrite = 12 "idempotent-write",
        /// Making delegation tokens.
        CreateTokens = 13 "create-tokens",
        /// Seeing delegation tokens.
        DescribeTokens = 14 "describe-tokens",
        /// Transactions that are prepared first.
        TwoPhaseCommit = 15 "two-phase-commit",
    }
}

numbered! {
    /// Kinds of things.
    Kind {
        /// Topic.
        Topic = 2 "topic",
        /// Group of consumers.
        Group = 3 "group",
        /// The cluster.
        Cluster = 4 "cluster",
        /// `transactional.id` of producers.
        TransactionalId = 5 "transactional-id",
        /// Delegation token.
        DelegationToken = 6 "delegation-token",
        /// User.
        User = 7 "user",
    }
}

numbered! {
    /// How a rule's name is meant.
    Pattern {
        /// As it is.
        Literal = 3 "literal",
        /// As the beginning of names.
        Prefixed = 4 "prefix",
    }
}

numbered! {
    /// Which way a rule goes.
    Permission {
        /// May not, whatever else is allowed.
        Deny = 2 "deny",
        /// May.
        Allow = 3 "allow",
    }
}

impl Operation {
    /// Whether who may do `self` may do `other` too.
    pub fn implies(self, other: Operation) -> bool {
        self == other
            || self == Operation::All
            || match other {
                Operation::Describe => {
                    matches!(self, Operation::Read | Operation::Write | Operation::Delete | Operation::Alter)
                }
                Operation::DescribeConfigs => self == Operation::AlterConfigs,
                _ => false,
            }
    }
}

impl Kind {
    /// What can be done to such a thing, besides all of it (Kafka's `AclEntry.supportedOperations`).
    pub fn operations(self) -> &'static [Operation] {
        use Operation::*;
        match self {
            Kind::Topic => &[Read, Write, Create, Delete, Alter, Describe, DescribeConfigs, AlterConfigs],
            Kind::Group => &[Read, Delete, Describe, DescribeConfigs, AlterConfigs],
            Kind::Cluster => &[Create, ClusterAction, DescribeConfigs, AlterConfigs, IdempotentWrite, Alter, Describe],
            Kind::TransactionalId => &[Describe, Write, TwoPhaseCommit],
            Kind::DelegationToken => &[Describe],
            Kind::User => &[CreateTokens, DescribeTokens],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_lead_back() {
        for operation in Operation::ALL {
            assert_eq!(Operation::from_code(operation.code()), Some(*operation));
            assert_eq!(Operation::from_name(operation.name()), Some(*operation));
        }
        for name in ["DESCRIBE_CONFIGS", "DescribeConfigs", "describe-configs"] {
            assert_eq!(Operation::from_name(name), Some(Operation::DescribeConfigs));
        }
        assert_eq!(
            (Kind::from_code(1), Pattern::from_name("x"), Permission::from_code(3)),
            (None, None, Some(Permission::Allow))
        );
    }
}
