//! The newest records over all partitions: windows are read from the ends backwards until each partition has given enough.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use millstream_client::{Client, Consumer, ConsumerOptions};
use millstream_protocol::records::Scratch;

use super::filter::Filter;
use super::range::Part;
use crate::CommandError;
use crate::record::Shown;

/// How much larger each further window is, for filters that let few records through.
const GROWTH: i64 = 4;

/// A record that is kept.
#[derive(Debug)]
pub struct Kept {
    topic: Arc<str>,
    partition: i32,
    offset: i64,
    timestamp: i64,
    key: Option<Bytes>,
    value: Option<Bytes>,
    headers: Vec<(String, Option<Bytes>)>,
}

impl Kept {
    /// Lends the record to `show`.
    pub fn show(&self, show: impl FnOnce(&Shown<'_>)) {
        let headers: Vec<_> = self.headers.iter().map(|(name, value)| (name.as_str(), value.as_deref())).collect();
        show(&Shown {
            topic: &self.topic,
            partition: self.partition,
            offset: self.offset,
            timestamp: self.timestamp,
            key: self.key.as_deref(),
            value: self.value.as_deref(),
            headers: &headers,
        });
    }
}

/// What is left to look at in a partition: offsets from `first` up to `before`.
struct Search {
    part: Part,
    before: i64,
    found: VecDeque<Kept>,
}

/// The newest `count` records that match, by time. Assumes that time and offset agree within a partition, as far as more than `count`
/// records of it match.
pub async fn newest(
    client: &Client,
    parts: &[Part],
    count: usize,
    filter: &Filter,
    options: ConsumerOptions,
) -> Result<Vec<Kept>, CommandError> {
    let mut searches: Vec<Search> =
        parts.iter().map(|part| Search { part: part.clone(), before: part.end, found: VecDeque::new() }).collect();
    let mut window = i64::try_from(count).unwrap_or(i64::MAX).max(1);
    loop {
        let mut consumer = Consumer::new(client.clone(), options.clone());
        let mut windows = Vec::new();
        for search in searches.iter().filter(|search| search.found.len() < count && search.before > search.part.from) {
            let from = search.before.saturating_sub(window).max(search.part.from);
            consumer.assign_range(&search.part.topic, search.part.partition, from, Some(search.before));
            windows.push((search.part.topic.clone(), search.part.partition, from));
        }
        if windows.is_empty() {
            break;
        }
        let mut fresh: Vec<Kept> = Vec::new();
        let mut scratch = Scratch::default();
        while let Some(fetched) = consumer.next().await? {
            let before = searches
                .iter()
                .find(|s| s.part.topic == fetched.topic && s.part.partition == fetched.partition)
                .map_or(0, |search| search.before);
            fetched.for_each(&mut scratch, |record| {
                if record.offset < before && filter.wants(record.timestamp, record.key, record.value) {
                    let text =
                        |(name, value): (&str, Option<&[u8]>)| (name.to_owned(), value.map(Bytes::copy_from_slice));
                    fresh.push(Kept {
                        topic: fetched.topic.clone(),
                        partition: fetched.partition,
                        offset: record.offset,
                        timestamp: record.timestamp,
                        key: record.key.map(Bytes::copy_from_slice),
                        value: record.value.map(Bytes::copy_from_slice),
                        headers: record.headers.map_while(Result::ok).map(text).collect(),
                    });
                }
            })?;
        }
        // In front of what later windows gave, newest of this window first.
        for kept in fresh.into_iter().rev() {
            let search = searches.iter_mut().find(|s| s.part.topic == kept.topic && s.part.partition == kept.partition);
            if let Some(search) = search.filter(|search| search.found.len() < count) {
                search.found.push_front(kept);
            }
        }
        for (topic, partition, from) in windows {
            let search = searches.iter_mut().find(|s| s.part.topic == topic && s.part.partition == partition);
            search.into_iter().for_each(|search| search.before = from);
        }
        window = window.saturating_mul(GROWTH);
    }
    let mut all: Vec<Kept> = searches.into_iter().flat_map(|search| search.found).collect();
    // Stable: records of one partition and time stay in order.
    all.sort_by(|a, b| {
        (a.timestamp, &a.topic, a.partition, a.offset).cmp(&(b.timestamp, &b.topic, b.partition, b.offset))
    });
    let surplus = all.len().saturating_sub(count);
    Ok(all.split_off(surplus))
}
