//! Holds the arrows between crates as ARCHITECTURE.md draws them.

use std::collections::{BTreeMap, BTreeSet};

/// Who may know whom. A new arrow is added here with its reason in ARCHITECTURE.md.
const ARROWS: &[(&str, &[&str])] = &[
    ("protocol", &[]),
    ("log", &["protocol"]),
    ("broker", &["log", "protocol"]),
    ("client", &["protocol"]),
    ("functions", &[]),
    ("sql", &["functions"]),
    ("engine", &["functions", "sql"]),
    ("connectors", &["engine", "functions", "protocol", "sql"]),
    ("console", &[]),
];

#[test]
fn crates_know_only_whom_the_architecture_lets_them() {
    let metadata = cargo_metadata::MetadataCommand::new().no_deps().other_options(["--offline".to_owned()]).exec().unwrap();
    let found: BTreeMap<_, BTreeSet<_>> = metadata
        .packages
        .iter()
        .filter_map(|package| {
            let known = package
                .dependencies
                .iter()
                .filter(|d| d.kind == cargo_metadata::DependencyKind::Normal)
                .filter_map(|d| d.name.strip_prefix("millstream-").map(str::to_owned))
                .collect();
            Some((package.name.as_str().strip_prefix("millstream-")?.to_owned(), known))
        })
        .collect();
    let allowed: BTreeMap<_, BTreeSet<_>> =
        ARROWS.iter().map(|(c, k)| ((*c).to_owned(), k.iter().map(|k| (*k).to_owned()).collect())).collect();
    assert_eq!(found.keys().collect::<Vec<_>>(), allowed.keys().collect::<Vec<_>>(), "a crate came or went");
    for (name, known) in &found {
        let more: Vec<_> = known.difference(&allowed[name]).collect();
        assert!(more.is_empty(), "{name} must not know {more:?}");
    }
}
