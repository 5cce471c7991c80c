//! Kafka's default partitioner: the hash by which Java's producers choose a partition. Keyed records must land where any other client would put them.

/// murmur2 with Kafka's seed.
pub fn murmur2(key: &[u8]) -> i32 {
    const SEED: u32 = 0x9747_b28c;
    const M: u32 = 0x5bd1_e995;
    let mut hash = SEED ^ key.len() as u32;
    let (words, tail) = key.as_chunks::<4>();
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(M);
        k ^= k >> 24;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    if !tail.is_empty() {
        for (index, byte) in tail.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * index);
        }
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    (hash ^ hash >> 15) as i32
}

/// The partition of a key among `partitions` (at least 1).
pub fn partition_for_key(key: &[u8], partitions: i32) -> i32 {
    (murmur2(key) & i32::MAX) % partitions.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_javas() {
        // From org.apache.kafka.common.utils.Utils.murmur2 of kafka-clients 4.3.1.
        for (key, hash) in JAVA {
            assert_eq!(murmur2(key.as_bytes()), *hash, "{key:?}");
        }
    }

    #[test]
    fn a_partition_is_always_in_range() {
        for n in 0..1000_u32 {
            assert!((0..7).contains(&partition_for_key(&n.to_be_bytes(), 7)));
        }
    }

    const JAVA: &[(&str, i32)] = &[
        ("", 275_646_681),
        ("a", -1_563_381_124),
        ("ab", 316_155_434),
        ("abc", 479_470_107),
        ("abcd", -1_323_649_548),
        ("abcde", 461_995_741),
        ("foobar", -790_332_482),
        ("21", -973_932_308),
        ("a-little-bit-long-string", -985_981_536),
        ("a-little-bit-longer-string", -1_486_304_829),
        ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
        ("Straße 7", 1_143_505_277),
        ("\0\u{1}", -2_112_343_979),
    ];
}
