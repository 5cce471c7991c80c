//! The reference in `docs/`, made from the tables that the broker itself reads, so that it cannot say anything else.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use crate::apis::TABLE;
use crate::configs::broker::{self, Use};
use crate::configs::{Kind, group, topic, without_effect};

const HOW: &str =
    "This list is held against the program by a test: `UPDATE_CASES=1 cargo test -p millstream-broker` writes it anew.";

/// `docs/apis.md` as it has to be.
fn apis() -> String {
    let mut text = format!(
        "# Kafka APIs\n\nWhat ApiVersions advertises, in the versions of Apache Kafka 4.3. A request of any other key or version \
         closes its connection, as in Kafka, with a line in the log; ApiVersions itself falls back to version 0.\n\n{HOW}\n\n| API | key | versions |\n| --- | --- | --- |\n"
    );
    for api in TABLE {
        let versions = match api.min == api.max {
            true => api.max.to_string(),
            false => format!("{}–{}", api.min, api.max),
        };
        let refused = match api.advertised_since < api.min {
            true => {
                format!("; from {} on advertised, as Kafka does for old clients, and refused", api.advertised_since)
            }
            false => String::new(),
        };
        writeln!(text, "| {:?} | {} | {versions}{refused} |", api.key, api.key.code()).expect("text takes all");
    }
    text.push_str(
        "\nLeft out: share groups (KIP-932), streams groups (KIP-1071), delegation tokens, clients' telemetry (which Kafka advertises only with a \
         plugin that receives it), moving replicas between log folders, and what brokers and controllers say to each other.\n",
    );
    text
}

/// `docs/configuration.md` as it has to be.
fn configuration() -> String {
    let mut text = format!(
        "# Configuration\n\nUnder Kafka's own names: from a properties file (`millstream broker --config FILE`), on the command line (`--set \
         NAME=VALUE`), or while it runs (`millstream configs set …`, or Kafka's own tools), which outlives a restart. A name that is not here is an \
         error that names the nearest right one.\n\n{HOW}\n\n## Topics\n\nOf one topic by its name; for all that say nothing of their own by the \
         broker's name. Those of which it says so are kept, so that tools find them, and change nothing.\n\n\
         | name | for all topics | values | default | what it does |\n| --- | --- | --- | --- | --- |\n"
    );
    for key in topic::KEYS {
        let all = if key.broker_name.is_empty() { String::new() } else { format!("`{}`", key.broker_name) };
        writeln!(
            text,
            "| `{}` | {all} | {} | {} | {} |",
            key.name,
            values(key.kind),
            default(Some(key.default)),
            key.doc
        )
        .expect("text takes all");
    }
    text.push_str(
        "\n## The broker\n\n| name | values | default | changes | what it does |\n| --- | --- | --- | --- | --- |\n",
    );
    for key in broker::KEYS {
        let changes = if matches!(key.usage, Use::Dynamic) { "while it runs" } else { "at the start" };
        writeln!(
            text,
            "| `{}` | {} | {} | {changes} | {} |",
            key.name,
            values(key.kind),
            default(key.default),
            key.doc
        )
        .expect("text takes all");
    }
    text.push_str(
        "\n## Groups\n\nOf one group of the new protocol (KIP-848), while it runs; for all that say nothing of their own by the broker's name.\n\n\
         | name | for all groups | values | what it does |\n| --- | --- | --- | --- |\n",
    );
    for key in group::KEYS {
        writeln!(text, "| `{}` | `{}` | {} | {} |", key.name, key.broker_name, values(key.kind), key.doc)
            .expect("text takes all");
    }
    text.push_str(
        "\n## Taken without effect\n\nA file made for Kafka may hold these; what is set to another value than the default is named in the log at the \
         start. Values that would promise what is not kept are refused.\n\n| why | names |\n| --- | --- |\n",
    );
    let mut by_reason: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for key in without_effect::KEYS {
        let only = matches!(key.kind, Kind::Exactly(_)).then(|| format!(" ({})", values(key.kind)));
        by_reason.entry(key.doc).or_default().push(format!("`{}`{}", key.name, only.unwrap_or_default()));
    }
    for (why, names) in by_reason {
        writeln!(text, "| {why} | {} |", names.join(", ")).expect("text takes all");
    }
    text.push_str("\n## Refused\n\n| name | what to do |\n| --- | --- |\n");
    for (name, remedy) in broker::UNUSABLE {
        let rest = if name.ends_with('.') { "…" } else { "" };
        writeln!(text, "| `{name}{rest}` | {remedy} |").expect("text takes all");
    }
    text
}

fn values(kind: Kind) -> String {
    let words = |words: &[&str]| {
        let shown = words.iter().map(|word| if word.is_empty() { "nothing".to_owned() } else { format!("`{word}`") });
        shown.collect::<Vec<_>>()
    };
    match kind {
        Kind::Boolean => "`true`, `false`".to_owned(),
        Kind::Int(i32::MIN) | Kind::Long(i64::MIN) => "number".to_owned(),
        Kind::Int(least) => format!("number ≥ {least}"),
        Kind::Long(least) => format!("number ≥ {least}"),
        Kind::Double => "number".to_owned(),
        Kind::Ratio => "number from 0 to 1".to_owned(),
        Kind::String => "text".to_owned(),
        Kind::Choice(choice) => words(choice).join(" or "),
        Kind::Exactly("") => "only nothing".to_owned(),
        Kind::Exactly(word) => format!("only `{word}`"),
        Kind::List([]) => "list".to_owned(),
        Kind::List(choice) => format!("list of {}", words(choice).join(", ")),
    }
}

fn default(value: Option<&str>) -> String {
    match value {
        None | Some("") => String::new(),
        Some("2147483647" | "9223372036854775807") => "no bound".to_owned(),
        Some(value) => format!("`{value}`"),
    }
}

#[test]
fn the_documentation_is_the_tables() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    for (name, text) in [("apis.md", apis()), ("configuration.md", configuration())] {
        let path = docs.join(name);
        if std::env::var_os("UPDATE_CASES").is_some() {
            std::fs::write(&path, &text).expect("the file is written");
        }
        let written = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(written == text, "UPDATE_CASES=1 writes docs/{name} anew");
    }
}
