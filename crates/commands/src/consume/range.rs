//! Where reading begins and ends in each partition.

use std::sync::Arc;

use millstream_client::{Client, OffsetAt};

use super::Consume;
use crate::{CommandError, Screen, topics};

/// Where to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// Nothing was said: the earliest record.
    Default,
    /// The earliest record.
    Earliest,
    /// What comes from now on.
    Latest,
    /// This offset.
    Offset(i64),
    /// So many before the end.
    Back(i64),
    /// The first record of this time, ms since 1970.
    Since(i64),
}

impl Start {
    /// `earliest`, `latest`, an offset, or -N.
    pub fn parse(text: &str) -> Result<Start, String> {
        match (text, text.parse::<i64>()) {
            ("earliest" | "start" | "beginning", _) => Ok(Start::Earliest),
            ("latest" | "end", _) => Ok(Start::Latest),
            (_, Ok(back @ ..0)) => Ok(Start::Back(back.saturating_neg())),
            (_, Ok(offset)) => Ok(Start::Offset(offset)),
            _ => Err(format!(
                "'{text}' is no offset: write earliest, latest, a number, or -N for the last N of each partition"
            )),
        }
    }
}

/// A partition, and what of it is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    pub topic: Arc<str>,
    pub partition: i32,
    /// The first offset that is read.
    pub from: i64,
    /// The end at the time.
    pub end: i64,
}

/// The partitions of all topics, or those chosen in each.
pub async fn parts(
    client: &Client,
    args: &Consume,
    start: &Start,
    screen: &mut Screen,
) -> Result<Vec<Part>, CommandError> {
    let end = if args.uncommitted { OffsetAt::Latest } else { OffsetAt::Stable };
    let only = &args.partition;
    let mut parts = Vec::new();
    for name in &args.topics {
        let topic = topics::find(client, name).await?;
        let mut partitions: Vec<i32> = (0..topic.partitions()).collect();
        if let Some(partition) = only.iter().find(|partition| !partitions.contains(partition)) {
            let last = topic.partitions() - 1;
            return Err(CommandError::NoPartition { topic: name.clone(), partition: *partition, last });
        }
        partitions.retain(|partition| only.is_empty() || only.contains(partition));
        let first = client.find_offsets(name, &partitions, OffsetAt::Earliest).await?;
        let ends = client.find_offsets(name, &partitions, end).await?;
        let since = match start {
            Start::Since(ms) => client.find_offsets(name, &partitions, OffsetAt::Timestamp(*ms)).await?,
            _ => first.clone(),
        };
        for (index, &partition) in partitions.iter().enumerate() {
            let (first, end) = (first[index].offset, ends[index].offset);
            if let Start::Offset(offset) = *start
                && offset < first
            {
                screen.note(&format!("{name}-{partition}: offset {offset} is gone; it begins at {first}"));
            }
            let from = begin(start, first, end, since[index].offset);
            parts.push(Part { topic: topic.name.clone(), partition, from, end });
        }
    }
    Ok(parts)
}

fn begin(start: &Start, first: i64, end: i64, since: i64) -> i64 {
    let wanted = match *start {
        Start::Default | Start::Earliest => first,
        Start::Latest => end,
        Start::Offset(offset) => offset,
        Start::Back(count) => end.saturating_sub(count),
        Start::Since(_) => since,
    };
    wanted.clamp(first, end.max(first))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_told_apart_and_kept_in_bounds() {
        for (text, start, from) in [
            ("earliest", Start::Earliest, 10),
            ("latest", Start::Latest, 100),
            ("50", Start::Offset(50), 50),
            ("5", Start::Offset(5), 10),
            ("500", Start::Offset(500), 100),
            ("-7", Start::Back(7), 93),
            ("-1000", Start::Back(1000), 10),
        ] {
            assert_eq!(Start::parse(text), Ok(start));
            assert_eq!(begin(&start, 10, 100, 0), from, "{text}");
        }
        assert_eq!(begin(&Start::Since(1), 10, 100, 42), 42);
        assert!(Start::parse("1h").is_err());
    }
}
