//! `groups reset`: what a group's offsets would become, and making it so.

use std::collections::BTreeMap;

use clap::Args;
use millstream_client::{Client, GroupOffset, OffsetAt};
use serde::Serialize;

use super::DEAD;
use crate::screen::Listing;
use crate::table::{Column, number, text};
use crate::when::{FORMS, time_ms};
use crate::{CommandError, Screen, human, topics};

const COLUMNS: &[Column] =
    &[text("topic"), number("partition"), number("committed"), number("new"), number("change"), number("lag then")];

/// `millstream groups reset`.
#[derive(Debug, Args)]
pub struct Reset {
    /// The group
    group: String,
    /// Where to: earliest, latest, an offset, +N or -N records from where it is, or a time (10m or -10m is ten minutes ago)
    #[arg(long, value_name = "PLACE", allow_hyphen_values = true)]
    to: String,
    /// Only this topic, or some of its partitions; may be given several times [default: all that the group has committed]
    #[arg(long = "topic", short = 't', value_name = "TOPIC[:0,1,…]")]
    topics: Vec<String>,
    /// Do it; otherwise it is only shown
    #[arg(long)]
    execute: bool,
    #[command(flatten)]
    listing: Listing,
}

/// Where offsets go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    At(OffsetAt),
    By(i64),
}

impl Place {
    fn parse(text: &str, now_ms: i64) -> Result<Place, String> {
        let number = text.strip_prefix(['+', '-']).unwrap_or(text);
        let place = match text {
            "earliest" | "start" => Place::At(OffsetAt::Earliest),
            "latest" | "end" => Place::At(OffsetAt::Latest),
            _ if !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()) => {
                let count = text.parse().map_err(|_| format!("'{text}' is more than any offset"))?;
                if number.len() < text.len() { Place::By(count) } else { Place::At(OffsetAt::Offset(count)) }
            }
            _ => Place::At(OffsetAt::Timestamp(time_ms(text, now_ms).map_err(|_| {
                format!(
                    "'{text}' is no place in a topic; write earliest, latest, an offset, +N or -N records, or {FORMS}"
                )
            })?)),
        };
        Ok(place)
    }
}

/// A row of the plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Change {
    topic: String,
    partition: i32,
    committed: Option<i64>,
    new: i64,
    /// Records left to read then.
    lag: i64,
}

/// Shows the plan, and does it.
pub async fn run(client: &Client, args: &Reset, screen: &mut Screen) -> Result<(), CommandError> {
    let place = Place::parse(&args.to, screen.now()).map_err(CommandError::Usage)?;
    let group = client.group(&args.group).await?;
    if group.state == DEAD && args.topics.is_empty() {
        super::find(client, &args.group).await?;
    }
    if !group.members.is_empty() {
        return Err(super::in_use(group));
    }
    let committed: BTreeMap<(String, i32), i64> =
        client.group_offsets(&args.group).await?.into_iter().map(|o| ((o.topic, o.partition), o.offset)).collect();
    let mut changes = Vec::new();
    for (topic, partitions) in chosen(client, &args.topics, &committed).await? {
        let find = |at| client.find_offsets(&topic, &partitions, at);
        let (first, next) = (find(OffsetAt::Earliest).await?, find(OffsetAt::Latest).await?);
        let target = match place {
            Place::At(at) => Some(find(at).await?),
            Place::By(_) => None,
        };
        for (index, partition) in partitions.iter().enumerate() {
            let committed = committed.get(&(topic.clone(), *partition)).copied();
            let bounds = (first[index].offset, next[index].offset);
            let wanted = match place {
                Place::At(_) => target.as_ref().map(|target| target[index].offset),
                // From where a consumer would begin that finds nothing committed.
                Place::By(count) => Some(committed.unwrap_or(bounds.1).saturating_add(count)),
            };
            changes.extend(wanted.map(|wanted| change(&topic, *partition, committed, wanted, bounds)));
        }
    }
    if changes.is_empty() {
        screen.note(&format!("group '{}' has committed nothing; name a --topic", args.group));
        return Ok(());
    }
    if args.execute {
        let offset = |c: &Change| GroupOffset { topic: c.topic.clone(), partition: c.partition, offset: c.new };
        client.commit_group_offsets(&args.group, &changes.iter().map(offset).collect::<Vec<_>>()).await?;
    }
    screen.list(args.listing, &changes, COLUMNS, cells)?;
    screen.flush()?;
    screen.note(match args.execute {
        true => "done",
        false => "nothing was changed: this is what --execute would do",
    });
    Ok(())
}

fn change(topic: &str, partition: i32, committed: Option<i64>, wanted: i64, (first, next): (i64, i64)) -> Change {
    let new = wanted.clamp(first, next.max(first));
    Change { topic: topic.to_owned(), partition, committed, new, lag: next - new }
}

/// Partitions by topic: those named, or all that the group has committed.
async fn chosen(
    client: &Client,
    named: &[String],
    committed: &BTreeMap<(String, i32), i64>,
) -> Result<BTreeMap<String, Vec<i32>>, CommandError> {
    let mut chosen: BTreeMap<String, Vec<i32>> = BTreeMap::new();
    if named.is_empty() {
        for (topic, partition) in committed.keys() {
            chosen.entry(topic.clone()).or_default().push(*partition);
        }
        return Ok(chosen);
    }
    for text in named {
        let (name, numbers) = topic_and_partitions(text).map_err(CommandError::Usage)?;
        let topic = topics::find(client, name).await?;
        let all: Vec<i32> = (0..topic.partitions()).collect();
        let numbers = numbers.unwrap_or_else(|| all.clone());
        if let Some(partition) = numbers.iter().find(|partition| !all.contains(partition)) {
            let last = topic.partitions() - 1;
            return Err(CommandError::NoPartition { topic: name.to_owned(), partition: *partition, last });
        }
        chosen.entry(name.to_owned()).or_default().extend(numbers);
    }
    for partitions in chosen.values_mut() {
        partitions.sort_unstable();
        partitions.dedup();
    }
    Ok(chosen)
}

/// `orders` or `orders:0,2`.
fn topic_and_partitions(text: &str) -> Result<(&str, Option<Vec<i32>>), String> {
    let Some((name, numbers)) = text.split_once(':') else { return Ok((text, None)) };
    let numbers: Result<Vec<i32>, _> = numbers.split(',').map(|number| number.trim().parse()).collect();
    match numbers {
        Ok(numbers) => Ok((name, Some(numbers))),
        Err(_) => Err(format!("'{text}': write TOPIC, or TOPIC:0,1 for some of its partitions")),
    }
}

fn cells(change: &Change) -> Vec<String> {
    let difference = change.committed.map(|committed| change.new - committed);
    vec![
        change.topic.clone(),
        change.partition.to_string(),
        human::or_dash(change.committed, human::thousands),
        human::thousands(change.new),
        human::or_dash(difference, |n| format!("{}{}", if n > 0 { "+" } else { "" }, human::thousands(n))),
        human::thousands(change.lag),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::table;

    #[test]
    fn places_are_told_apart() {
        const NOW: i64 = 1_700_000_000_000;
        for (text, place) in [
            ("earliest", Place::At(OffsetAt::Earliest)),
            ("end", Place::At(OffsetAt::Latest)),
            ("5", Place::At(OffsetAt::Offset(5))),
            ("+5", Place::By(5)),
            ("-5", Place::By(-5)),
            ("-1h", Place::At(OffsetAt::Timestamp(NOW - 3_600_000))),
            ("2023-11-14T22:13:20Z", Place::At(OffsetAt::Timestamp(NOW))),
        ] {
            assert_eq!(Place::parse(text, NOW), Ok(place), "{text}");
        }
        for text in ["", "-", "+", "five", "99999999999999999999"] {
            assert!(Place::parse(text, NOW).is_err(), "{text}");
        }
    }

    #[test]
    fn topics_may_name_partitions() {
        assert_eq!(topic_and_partitions("a"), Ok(("a", None)));
        assert_eq!(topic_and_partitions("a:0, 2"), Ok(("a", Some(vec![0, 2]))));
        assert!(topic_and_partitions("a:").is_err());
    }

    #[test]
    fn a_plan_stays_in_bounds_and_reads_well() {
        let plan = [
            change("orders", 0, Some(1_500), 1_000, (0, 2_000)),
            change("orders", 1, Some(10), 0, (5, 2_000)),
            change("orders", 2, None, 9_000, (0, 2_000)),
        ];
        crate::golden::check("groups-reset.txt", &table(COLUMNS, plan.iter().map(cells), false));
    }
}
