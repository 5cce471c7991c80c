//! May they? As Kafka's `StandardAuthorizer`: super users may everything; a rule that denies wins; without a rule nothing is allowed.
//!
//! ```text
//! key security/acl/ID   value: the rule as JSON
//! ```

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use uuid::Uuid;

use super::Principal;
use super::acl::{ANY, Acl, Filter, Kind, Operation, Pattern, Permission, Resource};
use crate::seldom::{Seldom, cut};
use crate::topics::Topics;
use crate::{BrokerConfig, BrokerError};

const ACL_KEY: &str = "security/acl/";
/// Most rules.
const ACLS_MAX: usize = 100_000;

type ByName = HashMap<Kind, HashMap<String, Vec<Arc<Acl>>>>;

/// The rules, found by what they speak of. Never changed in place.
#[derive(Debug, Default, Clone)]
struct Rules {
    by_id: BTreeMap<Uuid, Arc<Acl>>,
    literal: ByName,
    prefixed: ByName,
}

/// What is decided by.
#[derive(Debug)]
pub(crate) struct Authorizer {
    topics: Arc<Topics>,
    is_on: bool,
    super_users: BTreeSet<Principal>,
    allow_without_rules: bool,
    rules: Arc<RwLock<Arc<Rules>>>,
    /// Which denials are told.
    denials: Mutex<Seldom<(Principal, Operation, Kind, String)>>,
}

impl Rules {
    fn new(by_id: BTreeMap<Uuid, Arc<Acl>>) -> Self {
        let mut rules = Rules { by_id, ..Rules::default() };
        for acl in rules.by_id.values() {
            let place = match acl.pattern {
                Pattern::Literal => &mut rules.literal,
                Pattern::Prefixed => &mut rules.prefixed,
            };
            place.entry(acl.kind).or_default().entry(acl.name.clone()).or_default().push(acl.clone());
        }
        rules
    }

    /// Every rule about this thing.
    fn about(&self, resource: Resource<'_>) -> impl Iterator<Item = &Arc<Acl>> {
        let Resource { kind, name } = resource;
        let literal = self.literal.get(&kind);
        let literal =
            literal.into_iter().flat_map(move |by_name| [name, ANY].into_iter().filter_map(|name| by_name.get(name)));
        let prefixed = self
            .prefixed
            .get(&kind)
            .into_iter()
            .flat_map(move |by_name| (1..=name.len()).filter_map(move |end| by_name.get(name.get(..end)?)));
        literal.chain(prefixed).flatten()
    }
}

impl Authorizer {
    /// Reads the rules. Blocks.
    pub fn open(topics: Arc<Topics>, config: &BrokerConfig) -> Result<Self, BrokerError> {
        let get = |name| config.settings.get(name).map_or("", String::as_str).trim();
        let mut super_users = BTreeSet::new();
        for text in get("super.users").split(';').map(str::trim).filter(|text| !text.is_empty()) {
            let why = || {
                BrokerError::InvalidConfig(format!("super.users: {text:?} is not User:NAME; semicolons stand between"))
            };
            super_users.insert(Principal::parse(text).ok_or_else(why)?);
        }
        let mut by_id = BTreeMap::new();
        for (key, value) in topics.facts(ACL_KEY) {
            match (key[ACL_KEY.len()..].parse(), serde_json::from_slice::<Acl>(&value)) {
                (Ok(id), Ok(acl)) => drop(by_id.insert(id, Arc::new(acl))),
                // A rule that denied something must not be lost unseen.
                _ => return Err(BrokerError::InvalidConfig(format!("the rule {key} of __metadata cannot be read"))),
            }
        }
        Ok(Authorizer {
            topics,
            is_on: !get("authorizer.class.name").is_empty(),
            super_users,
            allow_without_rules: get("allow.everyone.if.no.acl.found") == "true",
            rules: Arc::new(RwLock::new(Arc::new(Rules::new(by_id)))),
            denials: Mutex::default(),
        })
    }

    /// Whether there is one; without, everybody may everything.
    pub fn is_on(&self) -> bool {
        self.is_on
    }

    /// Whether they may.
    pub fn allows(&self, principal: &Principal, host: IpAddr, operation: Operation, resource: Resource<'_>) -> bool {
        if !self.is_on || self.super_users.contains(principal) {
            return true;
        }
        let rules = self.rules.read().clone();
        let (mut is_named, mut is_allowed) = (false, false);
        for acl in rules.about(resource) {
            is_named = true;
            if !acl.is_about(principal, host) {
                continue;
            }
            match acl.permission {
                Permission::Deny if acl.operation == operation || acl.operation == Operation::All => return false,
                Permission::Deny => {}
                Permission::Allow => is_allowed |= acl.operation.implies(operation),
            }
        }
        is_allowed || (!is_named && self.allow_without_rules)
    }

    /// Tells the log, under the target `audit`, that somebody was refused something: of a client that asks again and again once in a while.
    pub fn denied(&self, now_ms: i64, who: &Principal, host: IpAddr, operation: Operation, resource: Resource<'_>) {
        let name = cut(resource.name);
        let line = (who.clone(), operation, resource.kind, name.clone());
        let due = self.denials.lock().due(now_ms, line);
        if let Some(left_out) = due {
            let (operation, kind) = (operation.name(), resource.kind.name());
            tracing::info!(target: "audit", principal = %who, %host, operation, kind, name = name.as_str(), left_out, "denied");
        }
    }

    /// Whether they may do it to anything of this kind (`Authorizer.authorizeByResourceType`).
    pub fn allows_any(&self, principal: &Principal, host: IpAddr, operation: Operation, kind: Kind) -> bool {
        if !self.is_on || self.allow_without_rules || self.super_users.contains(principal) {
            return true;
        }
        let rules = self.rules.read().clone();
        let theirs = || rules.by_id.values().filter(|acl| acl.kind == kind && acl.is_about(principal, host));
        let denies = |acl: &&Arc<Acl>| {
            acl.permission == Permission::Deny && (acl.operation == operation || acl.operation == Operation::All)
        };
        // A name is out of reach if a rule that denies covers it, a prefix if such a rule covers all of it.
        let out_of_reach = |allowed: &Acl| {
            theirs().filter(denies).any(|denied| match (denied.pattern, allowed.pattern) {
                (Pattern::Literal, _) if denied.name == ANY => true,
                (Pattern::Literal, Pattern::Prefixed) => false,
                (Pattern::Literal, Pattern::Literal) => denied.name == allowed.name,
                (Pattern::Prefixed, _) => allowed.name != ANY && allowed.name.starts_with(&denied.name),
            })
        };
        theirs()
            .any(|acl| acl.permission == Permission::Allow && acl.operation.implies(operation) && !out_of_reach(acl))
    }

    /// The rules that fit, in an order of their own.
    pub fn find(&self, filter: &Filter) -> Vec<Acl> {
        let rules = self.rules.read().clone();
        let mut found: Vec<Acl> =
            rules.by_id.values().filter(|acl| filter.fits(acl)).map(|acl| (**acl).clone()).collect();
        found.sort();
        found.dedup();
        found
    }

    /// Adds rules; those that are there already change nothing. Durable when it returns.
    pub async fn add(&self, acls: Vec<Acl>) -> Result<(), BrokerError> {
        let known: BTreeSet<Acl> = self.find(&Filter::default()).into_iter().collect();
        let fresh: BTreeSet<Acl> = acls.into_iter().filter(|acl| !known.contains(acl)).collect();
        if known.len() + fresh.len() > ACLS_MAX {
            let why = format!("there are {} rules already; {ACLS_MAX} at most: use prefixes", known.len());
            return Err(BrokerError::InvalidRequest(why));
        }
        let changes = fresh.into_iter().map(|acl| (Uuid::new_v4(), Some(acl))).collect();
        self.change(changes).await
    }

    /// Takes away the rules that fit any of the filters; gives those of each. Durable when it returns.
    pub async fn remove(&self, filters: &[Filter]) -> Result<Vec<Vec<Acl>>, BrokerError> {
        let rules = self.rules.read().clone();
        let found = filters.iter().map(|filter| {
            rules.by_id.iter().filter(|(_, acl)| filter.fits(acl)).map(|(id, acl)| (*id, (**acl).clone())).collect()
        });
        let found: Vec<Vec<(Uuid, Acl)>> = found.collect();
        let gone: BTreeSet<Uuid> = found.iter().flatten().map(|(id, _)| *id).collect();
        self.change(gone.into_iter().map(|id| (id, None)).collect()).await?;
        Ok(found.into_iter().map(|each| each.into_iter().map(|(_, acl)| acl).collect()).collect())
    }

    async fn change(&self, changes: Vec<(Uuid, Option<Acl>)>) -> Result<(), BrokerError> {
        if changes.is_empty() {
            return Ok(());
        }
        let value = |acl: &Acl| Bytes::from(serde_json::to_vec(acl).expect("a rule is plain data"));
        let facts = changes.iter().map(|(id, acl)| (format!("{ACL_KEY}{id}"), acl.as_ref().map(value))).collect();
        let rules = self.rules.clone();
        let apply = move || {
            let mut rules = rules.write();
            let mut by_id = rules.by_id.clone();
            for (id, acl) in changes {
                tracing::info!(?acl, %id, "rule {}", if acl.is_some() { "added" } else { "removed" });
                match acl {
                    Some(acl) => by_id.insert(id, Arc::new(acl)),
                    None => by_id.remove(&id),
                };
            }
            *rules = Arc::new(Rules::new(by_id));
        };
        self.topics.put_facts(facts, apply).await
    }
}
