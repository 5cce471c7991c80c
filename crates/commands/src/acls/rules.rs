//! From flags to rules and filters.

use std::net::IpAddr;

use millstream_client::{Acl, AclFilter, AclPattern};
use millstream_protocol::acl::{ANY, CLUSTER_NAME, Kind, Operation, Pattern, Permission};

use super::{Deeds, Filter, Things, Who};

/// What names in a filter are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Names {
    /// Those of the rules.
    Are,
    /// Those of things that the rules hold for, unless they are prefixes.
    Cover,
}

/// A rule for each principal, operation, thing and host.
pub fn rules(who: &Who, things: &Things, deeds: &Deeds) -> Result<Vec<Acl>, String> {
    let whom = about(who);
    let things_named = named(things);
    let operations = operations(deeds)?;
    if whom.is_empty() {
        return Err("whom is it about? --allow PRINCIPAL or --deny PRINCIPAL".to_owned());
    }
    if things_named.is_empty() {
        return Err("what is it about? --topic, --group, --transactional-id or --cluster".to_owned());
    }
    if operations.is_empty() {
        return Err("what may they do? --operation read, write, …, or all".to_owned());
    }
    for (kind, _) in &things_named {
        if let Some(operation) =
            operations.iter().find(|one| **one != Operation::All && !kind.operations().contains(one))
        {
            let known: Vec<_> = kind.operations().iter().map(|one| one.name()).collect();
            return Err(format!(
                "{} is nothing that is done to a {}: {}, or all. Rules about other things are another command",
                operation.name(),
                kind.name(),
                known.join(", ")
            ));
        }
    }
    let hosts = match deeds.host.is_empty() {
        true => vec![ANY.to_owned()],
        false => deeds.host.clone(),
    };
    if let Some(host) = hosts.iter().find(|host| *host != ANY && host.parse::<IpAddr>().is_err()) {
        return Err(format!("host '{host}' is neither an address nor '*': names are not looked up"));
    }
    let pattern = if things.prefix { Pattern::Prefixed } else { Pattern::Literal };
    let mut rules = Vec::new();
    for (permission, principal) in &whom {
        for (kind, name) in &things_named {
            for operation in &operations {
                rules.extend(hosts.iter().map(|host| Acl {
                    kind: *kind,
                    name: name.clone(),
                    pattern,
                    principal: principal.clone(),
                    permission: *permission,
                    operation: *operation,
                    host: host.clone(),
                }));
            }
        }
    }
    Ok(rules)
}

/// A filter for each of what is named; one that lets all through if nothing is.
pub fn filters(asked: &Filter, names: Names) -> Result<Vec<AclFilter>, String> {
    let whom = about(&asked.who).into_iter().map(|(permission, name)| (Some(permission), name));
    let whom = whom.chain(asked.principal.iter().map(|name| (None, principal(name))));
    let pattern = match names {
        _ if asked.things.prefix => AclPattern::Only(Pattern::Prefixed),
        Names::Are => AclPattern::Only(Pattern::Literal),
        Names::Cover => AclPattern::Match,
    };
    let mut filters = vec![AclFilter::default()];
    if asked.things.prefix {
        filters[0].pattern = pattern;
    }
    with_each(&mut filters, whom.collect(), |filter, (permission, principal)| {
        filter.permission = permission;
        filter.principal = Some(principal);
    });
    with_each(&mut filters, named(&asked.things), |filter, (kind, name)| {
        filter.kind = Some(kind);
        filter.name = Some(name);
        filter.pattern = pattern;
    });
    with_each(&mut filters, operations(&asked.deeds)?, |filter, operation| filter.operation = Some(operation));
    with_each(&mut filters, asked.deeds.host.clone(), |filter, host| filter.host = Some(host));
    Ok(filters)
}

/// Each filter once for each of the values; as it is if there are none.
fn with_each<T: Clone>(filters: &mut Vec<AclFilter>, values: Vec<T>, set: impl Fn(&mut AclFilter, T)) {
    if values.is_empty() {
        return;
    }
    *filters = filters
        .iter()
        .flat_map(|filter| values.iter().map(move |value| (filter.clone(), value.clone())))
        .map(|(mut filter, value)| {
            set(&mut filter, value);
            filter
        })
        .collect();
}

fn about(who: &Who) -> Vec<(Permission, String)> {
    let allowed = who.allow.iter().map(|name| (Permission::Allow, principal(name)));
    allowed.chain(who.deny.iter().map(|name| (Permission::Deny, principal(name)))).collect()
}

/// `User:NAME`: users are the only principals that log in.
fn principal(name: &str) -> String {
    match name.starts_with("User:") {
        true => name.to_owned(),
        false => format!("User:{name}"),
    }
}

fn named(things: &Things) -> Vec<(Kind, String)> {
    let each = |kind: Kind, names: &[String]| names.iter().map(|name| (kind, name.clone())).collect::<Vec<_>>();
    let mut all = each(Kind::Topic, &things.topic);
    all.extend(each(Kind::Group, &things.group));
    all.extend(each(Kind::TransactionalId, &things.transactional_id));
    all.extend(things.cluster.then(|| (Kind::Cluster, CLUSTER_NAME.to_owned())));
    all
}

fn operations(deeds: &Deeds) -> Result<Vec<Operation>, String> {
    let known = |name: &String| {
        let name = name.trim();
        Operation::from_name(name).ok_or_else(|| {
            let near = crate::error::nearest(name, Operation::ALL.iter().map(|one| one.name()));
            let hint = near.map(|near| format!(" (did you mean '{near}'?)")).unwrap_or_default();
            let all: Vec<_> = Operation::ALL.iter().map(|one| one.name()).collect();
            format!("there is no operation '{name}'{hint}: they are {}", all.join(", "))
        })
    };
    deeds.operation.iter().map(known).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn each_combination_is_a_rule() {
        let who = Who { allow: texts(&["ann", "User:CN=bob"]), deny: texts(&["*"]) };
        let things = Things { topic: texts(&["t"]), group: texts(&["g"]), ..Things::default() };
        let deeds = Deeds { operation: texts(&["read", "DESCRIBE"]), ..Deeds::default() };
        let made = rules(&who, &things, &deeds).expect("legal");
        assert_eq!(made.len(), 12);
        assert!(made.iter().all(|acl| acl.host == "*" && acl.pattern == Pattern::Literal));
        assert_eq!((made[4].principal.as_str(), made[8].permission), ("User:CN=bob", Permission::Deny));
    }

    #[test]
    fn what_is_wrong_is_said() {
        let who = || Who { allow: texts(&["ann"]), ..Who::default() };
        let topic = || Things { topic: texts(&["t"]), ..Things::default() };
        let deeds = |operation: &str| Deeds { operation: texts(&[operation]), ..Deeds::default() };
        let host = Deeds { operation: texts(&["read"]), host: texts(&["example.org"]) };
        let group = Things { group: texts(&["g"]), ..Things::default() };
        for (made, words) in [
            (rules(&Who::default(), &topic(), &deeds("read")), "--allow"),
            (rules(&who(), &Things::default(), &deeds("read")), "--topic"),
            (rules(&who(), &topic(), &Deeds::default()), "--operation"),
            (rules(&who(), &topic(), &deeds("reed")), "did you mean 'read'?"),
            (rules(&who(), &group, &deeds("write")), "done to a group: read, delete"),
            (rules(&who(), &topic(), &host), "neither an address"),
        ] {
            assert!(made.as_ref().is_err_and(|error| error.contains(words)), "{words}: {made:?}");
        }
        assert!(rules(&who(), &group, &deeds("all")).is_ok());
    }

    #[test]
    fn filters_name_what_is_named() {
        assert_eq!(filters(&Filter::default(), Names::Are), Ok(vec![AclFilter::default()]));
        let asked = Filter {
            principal: texts(&["ann", "bob"]),
            things: Things { topic: texts(&["t"]), ..Things::default() },
            ..Filter::default()
        };
        let found = filters(&asked, Names::Cover).expect("legal");
        assert_eq!((found.len(), found[0].pattern, found[1].permission), (2, AclPattern::Match, None));
        let found = filters(&asked, Names::Are).expect("legal");
        assert_eq!(found[1].pattern, AclPattern::Only(Pattern::Literal));
        assert_eq!((found[1].principal.as_deref(), found[1].name.as_deref()), (Some("User:bob"), Some("t")));
    }
}
