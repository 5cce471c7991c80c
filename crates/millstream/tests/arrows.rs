//! Holds the arrows between crates as ARCHITECTURE.md draws them.

use std::collections::{BTreeMap, BTreeSet};

/// Who may know whom. A new arrow is added here with its reason in ARCHITECTURE.md.
const ARROWS: &[(&str, &[&str])] = &[
    ("protocol", &[]),
    ("log", &["protocol"]),
    ("broker", &["log", "protocol"]),
    ("client", &["protocol"]),
    ("commands", &["client", "protocol"]),
    ("features", &[]),
    ("functions", &["features"]),
    ("sql", &["functions"]),
    ("engine", &["functions", "sql"]),
    ("connectors", &["engine", "functions", "protocol", "sql"]),
    ("console", &[]),
];

#[test]
fn crates_know_only_whom_the_architecture_lets_them() {
    let output = std::process::Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .output()
        .unwrap();
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let ours = |name: &serde_json::Value| name.as_str().unwrap().strip_prefix("millstream-").map(str::to_owned);
    let found: BTreeMap<_, BTreeSet<_>> = metadata["packages"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|package| {
            let dependencies = package["dependencies"].as_array().unwrap();
            let known = dependencies.iter().filter(|d| d["kind"].is_null()).filter_map(|d| ours(&d["name"])).collect();
            Some((ours(&package["name"])?, known))
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
