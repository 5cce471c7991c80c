//! `topics describe`: partitions, offsets, sizes, settings.

use std::fmt::Write;

use millstream_client::{Client, ResourceKind};
use serde::Serialize;

use super::facts::{self, PartitionFacts};
use crate::configs::{self, Setting};
use crate::screen::Listing;
use crate::table::{Column, number, table, text};
use crate::{CommandError, Screen, human};

const COLUMNS: &[Column] = &[
    number("partition"),
    number("leader"),
    text("replicas"),
    number("first"),
    number("next"),
    number("records"),
    number("size"),
    text("newest (UTC)"),
];

#[derive(Debug, Serialize)]
struct Description {
    topic: String,
    id: String,
    partitions: Vec<PartitionFacts>,
    settings: Vec<Setting>,
}

/// Describes topics, one after the other.
pub async fn run(
    client: &Client,
    listing: Listing,
    topics: &[String],
    all: bool,
    screen: &mut Screen,
) -> Result<(), CommandError> {
    for (index, name) in topics.iter().enumerate() {
        let topic = super::find(client, name).await?;
        let sizes = facts::sizes(client, Some(&[name])).await?;
        let mut settings = configs::settings(client, ResourceKind::Topic, name).await?;
        settings.retain(|setting| all || setting.is_own());
        let description = Description {
            topic: name.clone(),
            id: topic.id.to_string(),
            partitions: facts::partitions(client, name, sizes.as_ref()).await?,
            settings,
        };
        if !screen.tabular(listing) {
            screen.json(&description)?;
            continue;
        }
        if index > 0 {
            screen.print("\n")?;
        }
        let text = describe(&description, screen.now(), screen.colour);
        screen.print(&text)?;
    }
    Ok(())
}

fn describe(description: &Description, now_ms: i64, colour: bool) -> String {
    let sum = facts::sum(&description.topic, &description.partitions);
    let mut out = String::new();
    let _ = write!(
        out,
        "{}  {}, {}",
        human::styled(&sum.topic, "1", colour),
        human::count(sum.partitions, "partition"),
        human::count(sum.records, "record")
    );
    let _ = sum.bytes.map(|bytes| write!(out, ", {}", human::size(bytes)));
    let _ = sum.newest_ms.map(|ms| write!(out, ", newest {}", human::moment(ms, now_ms)));
    let _ = writeln!(out, "\n{}\n", human::styled(&format!("id {}", description.id), "2", colour));
    out.push_str(&table(COLUMNS, description.partitions.iter().map(|part| cells(part, now_ms)), colour));
    match description.settings.is_empty() {
        true => out.push_str("\nAll settings have their defaults; --all shows them.\n"),
        false => {
            let rows = description.settings.iter().map(configs::cells);
            let _ = write!(out, "\n{}", table(configs::COLUMNS, rows, colour));
        }
    }
    out
}

fn cells(part: &PartitionFacts, now_ms: i64) -> Vec<String> {
    let replicas: Vec<String> = part
        .replicas
        .iter()
        .map(|node| format!("{node}{}", if part.in_sync.contains(node) { "" } else { " (behind)" }))
        .collect();
    vec![
        part.partition.to_string(),
        if part.leader < 0 { "none".to_owned() } else { part.leader.to_string() },
        replicas.join(", "),
        human::thousands(part.first_offset),
        human::thousands(part.next_offset),
        human::thousands(part.next_offset - part.first_offset),
        human::or_dash(part.bytes, human::size),
        human::or_dash(part.newest_ms, |ms| human::moment(ms, now_ms)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_reads_well() {
        let part = |partition, next_offset| PartitionFacts {
            partition,
            leader: 1 - 2 * partition,
            replicas: vec![1, 2],
            in_sync: vec![1],
            first_offset: 100,
            next_offset,
            bytes: Some(next_offset * 90),
            newest: None,
            newest_ms: (next_offset > 100).then_some(1_700_000_000_000),
        };
        let setting = Setting {
            name: "retention.ms".to_owned(),
            value: Some("604800000".to_owned()),
            source: "topic",
            read_only: false,
            sensitive: false,
            meaning: None,
        };
        let description = Description {
            topic: "orders".to_owned(),
            id: "3b1c5ca9-2fd2-4d76-9f5a-1a2b3c4d5e6f".to_owned(),
            partitions: vec![part(0, 12_345), part(1, 100)],
            settings: vec![setting],
        };
        let text = describe(&description, 1_700_000_003_000, false);
        crate::golden::check("topics-describe.txt", &text);
    }
}
