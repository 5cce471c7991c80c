//! Rules: who may, or may not, do what to what, from where. Numbers and meaning are Kafka's (`AclBinding`).

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::Principal;

pub(crate) use millstream_protocol::acl::{ANY, CLUSTER_NAME, Kind, Operation, Pattern, Permission};

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
