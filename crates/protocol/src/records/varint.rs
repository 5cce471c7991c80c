//! Zigzag varints, the only numbers inside a record.

/// Reads a zigzag varint of 32 bits; gives it and the bytes behind it.
#[inline(always)]
pub(super) fn read_i32(bytes: &[u8]) -> Option<(i32, &[u8])> {
    // One and two bytes hold almost every length and delta.
    match bytes {
        [a, rest @ ..] if *a < 0x80 => Some((unzigzag_i32(u32::from(*a)), rest)),
        [a, b, rest @ ..] if *b < 0x80 => Some((unzigzag_i32(u32::from(*a & 0x7f) | u32::from(*b) << 7), rest)),
        _ => read_long_i32(bytes),
    }
}

#[cold]
fn read_long_i32(bytes: &[u8]) -> Option<(i32, &[u8])> {
    let mut raw = 0u32;
    for (index, byte) in bytes.iter().take(5).enumerate() {
        // The fifth byte has room for four bits.
        if index == 4 && *byte > 0x0f {
            return None;
        }
        raw |= u32::from(byte & 0x7f) << (7 * index);
        if *byte < 0x80 {
            return Some((unzigzag_i32(raw), &bytes[index + 1..]));
        }
    }
    None
}

/// Reads a zigzag varint of 64 bits; gives it and the bytes behind it.
#[inline(always)]
pub(super) fn read_i64(bytes: &[u8]) -> Option<(i64, &[u8])> {
    match bytes {
        [a, rest @ ..] if *a < 0x80 => Some((unzigzag_i64(u64::from(*a)), rest)),
        [a, b, rest @ ..] if *b < 0x80 => Some((unzigzag_i64(u64::from(*a & 0x7f) | u64::from(*b) << 7), rest)),
        _ => read_long_i64(bytes),
    }
}

fn read_long_i64(bytes: &[u8]) -> Option<(i64, &[u8])> {
    let mut raw = 0u64;
    for (index, byte) in bytes.iter().take(10).enumerate() {
        if index == 9 && *byte > 1 {
            return None;
        }
        raw |= u64::from(byte & 0x7f) << (7 * index);
        if *byte < 0x80 {
            return Some((unzigzag_i64(raw), &bytes[index + 1..]));
        }
    }
    None
}

#[inline(always)]
fn unzigzag_i32(raw: u32) -> i32 {
    (raw >> 1) as i32 ^ -((raw & 1) as i32)
}

#[inline(always)]
fn unzigzag_i64(raw: u64) -> i64 {
    (raw >> 1) as i64 ^ -((raw & 1) as i64)
}

/// Appends `value` as a zigzag varint. Good for 32-bit fields too: small numbers have the same bytes.
#[inline]
pub(super) fn write(out: &mut Vec<u8>, value: i64) {
    let mut raw = (value << 1 ^ value >> 63) as u64;
    while raw >= 0x80 {
        out.push(raw as u8 | 0x80);
        raw >>= 7;
    }
    out.push(raw as u8);
}

/// Bytes that [`write`] appends.
#[inline]
pub(super) fn size(value: i64) -> usize {
    let raw = (value << 1 ^ value >> 63) as u64;
    (70 - (raw | 1).leading_zeros() as usize) / 7
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back_and_have_the_stated_size() {
        let mut numbers = vec![0, 1, -1, 63, 64, -64, -65, 8191, 8192, i64::MAX, i64::MIN];
        numbers.extend((0..63).flat_map(|bit| [1i64 << bit, -(1i64 << bit), (1i64 << bit) - 1]));
        for number in numbers {
            let mut out = Vec::new();
            write(&mut out, number);
            assert_eq!(out.len(), size(number), "{number}");
            assert_eq!(read_i64(&out), Some((number, &[][..])));
            if let Ok(small) = i32::try_from(number) {
                assert_eq!(read_i32(&out), Some((small, &[][..])));
            } else {
                assert_eq!(read_i32(&out), None);
            }
        }
    }

    #[test]
    fn endless_numbers_are_refused() {
        assert_eq!(read_i32(&[0xff; 20]), None);
        assert_eq!(read_i64(&[0xff; 20]), None);
        assert_eq!(read_i64(&[0x80]), None);
        assert_eq!(read_i32(&[]), None);
    }
}
