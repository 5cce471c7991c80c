//! Rules: who may, or may not, do what to what, from where. Numbers and meaning are Kafka's (`AclBinding`).

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::Principal;

/// Name of the one cluster there is.
pub(crate) const CLUSTER_NAME: &str = "kafka-cluster";
/// Everything, as a name; everybody, as a principal's name or a host.
pub(crate) const ANY: &str = "*";

macro_rules! numbered {
    ($(#[$attribute:meta])* $name:ident { $($variant:ident = $code:literal,)* }) => {
        $(#[$attribute])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[repr(i8)]
        pub(crate) enum $name {
            $($variant = $code,)*
        }

        impl $name {
            pub const ALL: &'static [$name] = &[$($name::$variant,)*];

            pub fn code(self) -> i8 {
                self as i8
            }

            pub fn from_code(code: i8) -> Option<$name> {
                $name::ALL.iter().copied().find(|one| one.code() == code)
            }
        }
    };
}

numbered! {
    /// What is done.
    Operation {
        All = 2,
        Read = 3,
        Write = 4,
        Create = 5,
        Delete = 6,
        Alter = 7,
        Describe = 8,
        ClusterAction = 9,
        DescribeConfigs = 10,
        AlterConfigs = 11,
        IdempotentWrite = 12,
        CreateTokens = 13,
        DescribeTokens = 14,
        TwoPhaseCommit = 15,
    }
}

numbered! {
    /// Kinds of things.
    Kind {
        Topic = 2,
        Group = 3,
        Cluster = 4,
        TransactionalId = 5,
        DelegationToken = 6,
        User = 7,
    }
}

numbered! {
    /// How a rule's name is meant.
    Pattern {
        Literal = 3,
        Prefixed = 4,
    }
}

numbered! {
    /// Which way a rule goes.
    Permission {
        Deny = 2,
        Allow = 3,
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

/// A thing that a request names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Resource<'a> {
    pub kind: Kind,
    pub name: &'a str,
}

impl<'a> Resource<'a> {
    pub const CLUSTER: Resource<'static> = Resource { kind: Kind::Cluster, name: CLUSTER_NAME };

    pub fn topic(name: &'a str) -> Self {
        Resource { kind: Kind::Topic, name }
    }

    pub fn group(name: &'a str) -> Self {
        Resource { kind: Kind::Group, name }
    }

    pub fn transactional_id(name: &'a str) -> Self {
        Resource { kind: Kind::TransactionalId, name }
    }
}

/// A rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct Acl {
    pub kind: Kind,
    pub pattern: Pattern,
    pub name: String,
    /// `User:NAME`, or `User:*` for everybody.
    pub principal: String,
    /// An address, or `*`.
    pub host: String,
    pub operation: Operation,
    pub permission: Permission,
}

impl Acl {
    /// Whether it speaks of this principal at this address.
    pub fn is_about(&self, principal: &Principal, host: IpAddr) -> bool {
        let (kind, name) = self.principal.split_once(':').unwrap_or_default();
        kind == principal.kind
            && (name == ANY || name == principal.name)
            && (self.host == ANY || self.host.parse() == Ok(host))
    }

    /// Whether it speaks of this thing.
    pub fn covers(&self, kind: Kind, name: &str) -> bool {
        self.kind == kind
            && match self.pattern {
                Pattern::Literal => self.name == name || self.name == ANY,
                Pattern::Prefixed => name.starts_with(&self.name),
            }
    }
}

/// Which rules are meant; `None`: any.
#[derive(Debug, Clone, Default)]
pub(crate) struct Filter {
    pub kind: Option<Kind>,
    pub name: Option<String>,
    pub pattern: PatternFilter,
    pub principal: Option<String>,
    pub host: Option<String>,
    pub operation: Option<Operation>,
    pub permission: Option<Permission>,
}

/// How a filter's name is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum PatternFilter {
    /// The rule's own name, of any pattern.
    #[default]
    Any,
    /// Every rule that covers the name.
    Match,
    /// The rule's own name, of this pattern.
    Only(Pattern),
}

impl Filter {
    pub fn fits(&self, acl: &Acl) -> bool {
        let name_fits = match (&self.name, self.pattern) {
            (_, PatternFilter::Only(pattern)) if pattern != acl.pattern => false,
            (None, _) => true,
            (Some(name), PatternFilter::Match) => acl.covers(acl.kind, name),
            (Some(name), _) => *name == acl.name,
        };
        let same = |filter: &Option<String>, value: &str| filter.as_deref().is_none_or(|filter| filter == value);
        name_fits
            && self.kind.is_none_or(|kind| kind == acl.kind)
            && same(&self.principal, &acl.principal)
            && same(&self.host, &acl.host)
            && self.operation.is_none_or(|operation| operation == acl.operation)
            && self.permission.is_none_or(|permission| permission == acl.permission)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_means_names_as_kafka_does() {
        let acl = |pattern, name: &str| Acl {
            kind: Kind::Topic,
            pattern,
            name: name.to_owned(),
            principal: "User:a".to_owned(),
            host: ANY.to_owned(),
            operation: Operation::Read,
            permission: Permission::Allow,
        };
        let all = [
            acl(Pattern::Literal, "rides"),
            acl(Pattern::Literal, ANY),
            acl(Pattern::Prefixed, "ri"),
            acl(Pattern::Prefixed, "rides"),
            acl(Pattern::Literal, "other"),
        ];
        let found = |name: Option<&str>, pattern| {
            let filter = Filter { name: name.map(str::to_owned), pattern, ..Filter::default() };
            all.iter().map(|acl| filter.fits(acl)).collect::<Vec<_>>()
        };
        assert_eq!(found(None, PatternFilter::Any), [true; 5]);
        assert_eq!(found(Some("rides"), PatternFilter::Any), [true, false, false, true, false]);
        assert_eq!(found(Some("rides"), PatternFilter::Match), [true, true, true, true, false]);
        assert_eq!(found(Some("rides"), PatternFilter::Only(Pattern::Literal)), [true, false, false, false, false]);
        assert_eq!(found(None, PatternFilter::Only(Pattern::Prefixed)), [false, false, true, true, false]);
    }
}
