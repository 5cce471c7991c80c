//! `topics list`: a line per topic.

use futures::{StreamExt, TryStreamExt, stream};
use millstream_client::Client;

use super::facts::{self, TopicFacts};
use crate::screen::Listing;
use crate::table::{Column, number, text};
use crate::{CommandError, Screen, human};

/// Topics asked about at once.
const AT_ONCE: usize = 16;

const COLUMNS: &[Column] =
    &[text("topic"), number("partitions"), number("replicas"), number("records"), number("size"), text("newest (UTC)")];

/// Lists them by name.
pub async fn run(
    client: &Client,
    listing: Listing,
    pattern: Option<&str>,
    all: bool,
    screen: &mut Screen,
) -> Result<(), CommandError> {
    let metadata = client.metadata(None).await?;
    let wanted = |name: &str| pattern.is_none_or(|pattern| like(pattern, name));
    let mut names: Vec<String> = metadata
        .topics
        .into_iter()
        .filter(|topic| topic.error_code.is_ok() && (all || !topic.is_internal))
        .filter_map(|topic| topic.name.filter(|name| wanted(name)))
        .collect();
    names.sort();
    let sizes = facts::sizes(client, None).await?;
    let sizes = sizes.as_ref();
    let facts: Vec<Option<TopicFacts>> = stream::iter(names)
        .map(|name| async move {
            match facts::partitions(client, &name, sizes).await {
                Ok(parts) => Ok(Some(facts::sum(&name, &parts))),
                Err(CommandError::Client(error)) if super::missing(&error) => Ok(None),
                Err(error) => Err(error),
            }
        })
        .buffered(AT_ONCE)
        .try_collect()
        .await?;
    // A topic may go while its offsets are asked for.
    let facts: Vec<TopicFacts> = facts.into_iter().flatten().collect();
    if facts.is_empty() && screen.tabular(listing) {
        screen.note(&match pattern {
            Some(pattern) => format!("no topic is like '{pattern}'"),
            None => "no topics: `millstream topics create NAME` makes one".to_owned(),
        });
        return Ok(());
    }
    let now_ms = screen.now();
    screen.list(listing, &facts, COLUMNS, |topic| cells(topic, now_ms))
}

fn cells(topic: &TopicFacts, now_ms: i64) -> Vec<String> {
    vec![
        topic.topic.clone(),
        human::thousands(topic.partitions),
        human::thousands(topic.replicas),
        human::thousands(topic.records),
        human::or_dash(topic.bytes, human::size),
        human::or_dash(topic.newest_ms, |ms| human::moment(ms, now_ms)),
    ]
}

/// Whether `name` is like `pattern`, in which * stands for anything, also for nothing.
fn like(pattern: &str, name: &str) -> bool {
    let Some((head, tail)) = pattern.split_once('*') else { return pattern == name };
    let Some(rest) = name.strip_prefix(head) else { return false };
    rest.char_indices().map(|(at, _)| &rest[at..]).chain([""]).any(|rest| like(tail, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::table;

    #[test]
    fn patterns() {
        for (pattern, name, is) in [
            ("a", "a", true),
            ("a", "ab", false),
            ("a*", "ab", true),
            ("*b", "ab", true),
            ("*", "", true),
            ("a*c*", "abcd", true),
            ("*x", "é", false),
        ] {
            assert_eq!(like(pattern, name), is, "{pattern} {name}");
        }
    }

    #[test]
    fn a_listing_reads_well() {
        let topic = |name: &str, records, bytes, newest_ms| TopicFacts {
            topic: name.to_owned(),
            partitions: 3,
            replicas: 1,
            records,
            bytes,
            newest: None,
            newest_ms,
        };
        let topics =
            [topic("orders", 1_234_567, Some(98_765_432), Some(1_700_000_000_000)), topic("empty-one", 0, None, None)];
        let rows = topics.iter().map(|topic| cells(topic, 1_700_000_090_000));
        crate::golden::check("topics-list.txt", &table(COLUMNS, rows, false));
    }
}
