//! Reading what a consumer says it is subscribed to: the metadata of Kafka's own consumers (`ConsumerProtocolSubscription`).

use std::collections::BTreeSet;

use super::group::Group;

/// Topics that the members of a group of consumers read. `None`: a member's metadata is not that of a consumer.
pub fn topics_of(group: &Group) -> Option<BTreeSet<String>> {
    let mut topics = BTreeSet::new();
    for member in group.members() {
        topics.extend(topics_in(&group.metadata_of(member))?);
    }
    Some(topics)
}

/// `i16` version, then topics: `i32` count, each an `i16` length and its name. What follows is not needed.
fn topics_in(metadata: &[u8]) -> Option<Vec<String>> {
    let rest = metadata.get(2..)?;
    let (count, mut rest) = rest.split_first_chunk::<4>()?;
    let mut topics = Vec::new();
    for _ in 0..i32::from_be_bytes(*count) {
        let (length, tail) = rest.split_first_chunk::<2>()?;
        let (name, tail) = tail.split_at_checked(usize::try_from(i16::from_be_bytes(*length)).ok()?)?;
        topics.push(std::str::from_utf8(name).ok()?.to_string());
        rest = tail;
    }
    Some(topics)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_are_read_and_nonsense_is_refused() {
        let metadata = b"\x00\x01\x00\x00\x00\x02\x00\x01a\x00\x02bc\xff\xff\xff\xff";
        assert_eq!(topics_in(metadata), Some(vec!["a".to_string(), "bc".to_string()]));
        for cut in 0..13 {
            assert_eq!(topics_in(&metadata[..cut]), None, "{cut}");
        }
        assert_eq!(topics_in(b"\x00\x01\x7f\xff\xff\xff"), None);
    }
}
