//! `groups list`: a line per group.

use futures::{StreamExt, TryStreamExt, stream};
use millstream_client::Client;
use serde::Serialize;

use super::lag;
use crate::screen::Listing;
use crate::table::{Column, number, text};
use crate::{CommandError, Screen, human};

/// Groups asked about at once.
const AT_ONCE: usize = 8;

const COLUMNS: &[Column] = &[
    text("group"),
    text("state"),
    text("protocol"),
    number("members"),
    number("topics"),
    number("lag"),
    number("behind"),
];

#[derive(Debug, Serialize)]
struct Listed {
    group: String,
    state: String,
    protocol: String,
    members: i64,
    topics: Vec<String>,
    lag: Option<i64>,
    behind_seconds: Option<f64>,
}

/// Lists them by name.
pub async fn run(client: &Client, listing: Listing, screen: &mut Screen) -> Result<(), CommandError> {
    let mut names: Vec<String> = client.list_groups().await?.into_iter().map(|group| group.group_id).collect();
    names.sort();
    let now_ms = screen.now();
    let listed: Vec<Listed> = stream::iter(names)
        .map(|name| async move {
            let group = client.group(&name).await?;
            let lags = lag::of_group(client, &group, now_ms).await?;
            let (lag, behind_seconds) = lag::total(&lags);
            let mut topics: Vec<String> = lags.into_iter().map(|lag| lag.topic).collect();
            topics.dedup();
            let members = group.members.len() as i64;
            Ok::<_, CommandError>(Listed {
                group: group.id,
                state: group.state,
                protocol: group.kind,
                members,
                topics,
                lag,
                behind_seconds,
            })
        })
        .buffered(AT_ONCE)
        .try_collect()
        .await?;
    if listed.is_empty() && screen.tabular(listing) {
        screen.note("no groups: a consumer with a group.id makes one, as does `millstream consume TOPIC --group NAME`");
        return Ok(());
    }
    screen.list(listing, &listed, COLUMNS, cells)
}

fn cells(group: &Listed) -> Vec<String> {
    vec![
        group.group.clone(),
        group.state.clone(),
        group.protocol.clone(),
        human::thousands(group.members),
        human::thousands(group.topics.len() as i64),
        human::or_dash(group.lag, human::thousands),
        human::or_dash(group.behind_seconds, behind),
    ]
}

/// Time that a group is behind, as people read it.
pub fn behind(seconds: f64) -> String {
    if seconds == 0.0 { "0".to_owned() } else { human::duration((seconds * 1000.0) as i64) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::table;

    #[test]
    fn a_listing_reads_well() {
        let group = |name: &str, members, lag, behind_seconds| Listed {
            group: name.to_owned(),
            state: if members > 0 { "Stable" } else { "Empty" }.to_owned(),
            protocol: "classic".to_owned(),
            members,
            topics: vec!["orders".to_owned()],
            lag,
            behind_seconds,
        };
        let groups = [
            group("billing", 3, Some(12_345), Some(75.4)),
            group("idle", 0, Some(0), Some(0.0)),
            group("new", 1, None, None),
        ];
        crate::golden::check("groups-list.txt", &table(COLUMNS, groups.iter().map(cells), false));
    }
}
