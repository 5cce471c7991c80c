//! `groups describe`: members and lag of each partition.

use std::fmt::Write;

use millstream_client::{Client, Group};
use serde::Serialize;

use super::lag::{self, PartitionLag};
use super::list::behind;
use crate::screen::Listing;
use crate::table::{Column, number, table, text};
use crate::{CommandError, Screen, human};

const COLUMNS: &[Column] = &[
    text("topic"),
    number("partition"),
    number("committed"),
    number("end"),
    number("lag"),
    number("behind"),
    text("read by"),
];

#[derive(Debug, Serialize)]
struct Description {
    group: String,
    state: String,
    protocol: String,
    assignor: String,
    members: Vec<Member>,
    lag: Option<i64>,
    behind_seconds: Option<f64>,
    partitions: Vec<PartitionLag>,
}

#[derive(Debug, Serialize)]
struct Member {
    id: String,
    instance_id: Option<String>,
    client_id: String,
    host: String,
}

impl Description {
    fn new(group: Group, partitions: Vec<PartitionLag>) -> Description {
        let (lag, behind_seconds) = lag::total(&partitions);
        let member = |member: millstream_client::GroupMember| Member {
            id: member.id,
            instance_id: member.instance_id,
            client_id: member.client_id,
            host: member.host,
        };
        Description {
            group: group.id,
            state: group.state,
            protocol: group.kind,
            assignor: group.assignor,
            members: group.members.into_iter().map(member).collect(),
            lag,
            behind_seconds,
            partitions,
        }
    }
}

/// Describes groups, one after the other.
pub async fn run(
    client: &Client,
    listing: Listing,
    groups: &[String],
    screen: &mut Screen,
) -> Result<(), CommandError> {
    for (index, name) in groups.iter().enumerate() {
        let group = super::find(client, name).await?;
        let lags = lag::of_group(client, &group, screen.now()).await?;
        let description = Description::new(group, lags);
        if !screen.tabular(listing) {
            screen.json(&description)?;
            continue;
        }
        let gap = if index > 0 { "\n" } else { "" };
        let text = describe(&description, screen.colour);
        screen.print(&format!("{gap}{text}"))?;
    }
    Ok(())
}

fn describe(group: &Description, colour: bool) -> String {
    let mut out = human::styled(&group.group, "1", colour);
    let _ = write!(out, "  {}, {}", group.state, human::count(group.members.len() as i64, "member"));
    if !group.assignor.is_empty() {
        let _ = write!(out, ", {} ({} protocol)", group.assignor, group.protocol);
    }
    let _ = group.lag.map(|lag| write!(out, ", lag {}", human::count(lag, "record")));
    let _ = group.behind_seconds.filter(|s| *s > 0.0).map(|seconds| write!(out, ", {} behind", behind(seconds)));
    out.push('\n');
    if group.partitions.is_empty() {
        out.push_str("\nIt has committed nothing and reads nothing.\n");
        return out;
    }
    let _ = write!(out, "\n{}", table(COLUMNS, group.partitions.iter().map(cells), colour));
    out
}

fn cells(lag: &PartitionLag) -> Vec<String> {
    vec![
        lag.topic.clone(),
        lag.partition.to_string(),
        human::or_dash(lag.committed, human::thousands),
        lag.end.map_or_else(|| "gone".to_owned(), human::thousands),
        human::or_dash(lag.lag, human::thousands),
        human::or_dash(lag.behind_seconds, behind),
        lag.member.clone().unwrap_or_default(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_reads_well() {
        let lag =
            |partition, committed: Option<i64>, end: Option<i64>, behind_seconds, member: Option<&str>| PartitionLag {
                topic: "orders".to_owned(),
                partition,
                committed,
                end,
                lag: committed.zip(end).map(|(committed, end)| end - committed),
                behind_seconds,
                member: member.map(str::to_owned),
            };
        let group = Group {
            id: "billing".to_owned(),
            kind: "classic".to_owned(),
            state: "Stable".to_owned(),
            assignor: "range".to_owned(),
            members: vec![],
        };
        let lags = vec![
            lag(0, Some(1_000), Some(13_345), Some(4_321.0), Some("app-1/127.0.0.1")),
            lag(1, Some(77), Some(77), Some(0.0), Some("app-1/127.0.0.1")),
            lag(2, None, Some(5), None, None),
            lag(3, Some(4), None, None, None),
        ];
        let text = describe(&Description::new(group, lags), false);
        crate::golden::check("groups-describe.txt", &text);
    }
}
