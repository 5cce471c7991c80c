//! Texts that Spark reads as a date or time without a pattern (what a CAST does), and the texts it writes.

use super::civil::{Civil, civil_from_days, days_from_civil, days_in_month, split_micros};
use super::zone::Zone;
use crate::interval::MICROS_PER_DAY;

/// Reads a TIMESTAMP: `yyyy`, `yyyy-M`, `yyyy-M-d`, and with a blank or `T` the time `H`, `H:m`, `H:m:s[.fraction]`, then a zone.
/// A text of a time alone gets the day of `now_us`. Without a zone in the text, `zone` holds.
pub fn parse_timestamp(text: &str, zone: Zone, now_us: impl FnOnce() -> i64) -> Option<i64> {
    if let Some(us) = parse_plain(text.as_bytes()) {
        return Some(zone.to_utc(us));
    }
    let fields = fields(text)?;
    let zone = match fields.zone {
        Some(name) => Zone::parse(name.trim())?,
        None => zone,
    };
    let local = if fields.just_time {
        let today = zone.to_local(now_us()).div_euclid(MICROS_PER_DAY) * MICROS_PER_DAY;
        today + Civil { year: 1970, month: 1, day: 1, ..fields.civil }.to_micros()?
    } else {
        fields.civil.to_micros()?
    };
    Some(zone.to_utc(local))
}

/// Reads a TIMESTAMP_NTZ: the same texts; a zone in it is checked and left out if `zone_allowed`, a time alone is refused.
pub fn parse_timestamp_ntz(text: &str, zone_allowed: bool) -> Option<i64> {
    if let Some(us) = parse_plain(text.as_bytes()) {
        return Some(us);
    }
    let fields = fields(text)?;
    if fields.just_time {
        return None;
    }
    match fields.zone {
        Some(name) if zone_allowed => Zone::parse(name.trim()).map(drop)?,
        Some(_) => return None,
        None => {}
    }
    fields.civil.to_micros()
}

/// `yyyy-MM-dd HH:mm:ss`, the shape of nearly every stamp, without a detour.
#[inline]
fn parse_plain(bytes: &[u8]) -> Option<i64> {
    let b: &[u8; 19] = bytes.try_into().ok()?;
    if b[4] != b'-' || b[7] != b'-' || (b[10] != b' ' && b[10] != b'T') || b[13] != b':' || b[16] != b':' {
        return None;
    }
    let two = |i: usize| -> u32 {
        let (high, low) = (b[i].wrapping_sub(b'0'), b[i + 1].wrapping_sub(b'0'));
        if high > 9 || low > 9 { u32::MAX } else { u32::from(high) * 10 + u32::from(low) }
    };
    let (century, of_century) = (two(0), two(2));
    if century > 99 || of_century > 99 {
        return None;
    }
    Civil {
        year: (century * 100 + of_century) as i32,
        month: two(5),
        day: two(8),
        hour: two(11),
        minute: two(14),
        second: two(17),
        micro: 0,
    }
    .to_micros()
}

struct Fields<'a> {
    civil: Civil,
    zone: Option<&'a str>,
    just_time: bool,
}

/// Spark trims blanks and control characters at both ends.
pub(crate) fn trim_all(text: &str) -> &str {
    text.trim_matches(|c: char| c <= ' ' || ('\u{7f}'..='\u{9f}').contains(&c))
}

/// The segments year, month, day, hour, minute, second, fraction; each ends at the separator that Spark expects there.
fn fields(text: &str) -> Option<Fields<'_>> {
    let text = trim_all(text);
    let bytes = text.as_bytes();
    let mut values = [1i64, 1, 1, 0, 0, 0, 0];
    let mut segment = 0;
    let (mut value, mut digits) = (0i64, 0usize);
    let mut at = 0;
    let mut year_sign = None;
    let mut just_time = false;
    let mut zone = None;
    match bytes.first()? {
        b'-' => (year_sign, at) = (Some(-1), 1),
        b'+' => (year_sign, at) = (Some(1), 1),
        b'T' => (just_time, segment, at) = (true, 3, 1),
        _ => {}
    }
    let valid = |segment: usize, digits: usize| match segment {
        0 => (4..=6).contains(&digits),
        6 => true,
        _ => (1..=2).contains(&digits),
    };
    while at < bytes.len() {
        let b = bytes[at];
        if b.is_ascii_digit() {
            if segment != 6 || digits < 6 {
                value = value.checked_mul(10)?.checked_add(i64::from(b - b'0'))?;
            }
            digits += 1;
            at += 1;
            continue;
        }
        let next = match (segment, b) {
            (0, b':') if year_sign.is_none() => {
                just_time = true;
                segment = 3;
                4
            }
            (0 | 1, b'-') => segment + 1,
            (2, b' ' | b'T') => 3,
            (3 | 4, b':') => segment + 1,
            (5, b'.') => 6,
            (5 | 6, _) => 7,
            _ => return None,
        };
        if !valid(segment, digits) {
            return None;
        }
        values[segment] = if segment == 6 { scale_fraction(value, digits) } else { value };
        (value, digits) = (0, 0);
        segment = next;
        if next == 7 {
            zone = Some(&text[at..]);
            break;
        }
        at += 1;
    }
    if segment < 7 {
        if !valid(segment, digits) {
            return None;
        }
        values[segment] = if segment == 6 { scale_fraction(value, digits) } else { value };
    }
    let small = |i: usize| u32::try_from(values[i]).ok();
    Some(Fields {
        civil: Civil {
            year: i32::try_from(values[0] * year_sign.unwrap_or(1)).ok()?,
            month: small(1)?,
            day: small(2)?,
            hour: small(3)?,
            minute: small(4)?,
            second: small(5)?,
            micro: small(6)?,
        },
        zone,
        just_time,
    })
}

fn scale_fraction(value: i64, digits: usize) -> i64 {
    value * 10i64.pow(6usize.saturating_sub(digits) as u32)
}

/// Reads a DATE: `yyyy`, `yyyy-M`, `yyyy-M-d`, the last also followed by a blank or `T` and anything.
pub fn parse_date(text: &str) -> Option<i32> {
    let text = trim_all(text);
    let (sign, text) = match text.as_bytes().first()? {
        b'-' => (-1, &text[1..]),
        b'+' => (1, &text[1..]),
        _ => (1, text),
    };
    let bytes = text.as_bytes();
    let mut values = [0i32, 1, 1];
    let (mut segment, mut value, mut digits, mut at) = (0, 0i32, 0, 0);
    let valid = |segment: usize, digits: usize| {
        if segment == 0 { (4..=7).contains(&digits) } else { (1..=2).contains(&digits) }
    };
    while at < bytes.len() && bytes[at] != b' ' && bytes[at] != b'T' {
        let b = bytes[at];
        if b == b'-' && segment < 2 {
            if !valid(segment, digits) {
                return None;
            }
            values[segment] = value;
            (segment, value, digits) = (segment + 1, 0, 0);
        } else if b.is_ascii_digit() && digits < 8 {
            value = value * 10 + i32::from(b - b'0');
            digits += 1;
        } else {
            return None;
        }
        at += 1;
    }
    if !valid(segment, digits) || (segment < 2 && at < bytes.len()) {
        return None;
    }
    values[segment] = value;
    let (year, month, day) = (values[0] * sign, values[1] as u32, values[2] as u32);
    if !(1..=12).contains(&month) || day == 0 || day > days_in_month(year, month) || year.abs() > 5_800_000 {
        return None;
    }
    Some(days_from_civil(year, month, day))
}

#[inline]
pub(crate) fn push_two(out: &mut Vec<u8>, value: u32) {
    out.extend_from_slice(&[b'0' + (value / 10) as u8, b'0' + (value % 10) as u8]);
}

pub(crate) fn push_year(out: &mut Vec<u8>, year: i32) {
    if (0..=9999).contains(&year) {
        push_two(out, year as u32 / 100);
        push_two(out, year as u32 % 100);
    } else {
        let sign = if year < 0 { '-' } else { '+' };
        out.extend_from_slice(format!("{sign}{:04}", year.abs()).as_bytes());
    }
}

/// Writes `yyyy-MM-dd`.
pub fn write_date(out: &mut Vec<u8>, days: i32) {
    let (year, month, day) = civil_from_days(days);
    push_year(out, year);
    out.push(b'-');
    push_two(out, month);
    out.push(b'-');
    push_two(out, day);
}

/// Writes `yyyy-MM-dd HH:mm:ss[.fraction]` of a wall clock, trailing zeros of the fraction left out, as a CAST to STRING does.
pub fn write_timestamp(out: &mut Vec<u8>, local_us: i64) {
    let (days, of_day) = split_micros(local_us);
    write_date(out, days);
    out.push(b' ');
    write_time(out, of_day);
    let mut micro = (of_day % 1_000_000) as u32;
    if micro != 0 {
        out.push(b'.');
        let mut width = 6;
        while micro.is_multiple_of(10) {
            micro /= 10;
            width -= 1;
        }
        out.extend_from_slice(format!("{micro:0width$}").as_bytes());
    }
}

/// Writes `HH:mm:ss` of µs of a day.
pub(crate) fn write_time(out: &mut Vec<u8>, of_day: i64) {
    let seconds = (of_day / 1_000_000) as u32;
    push_two(out, seconds / 3600);
    out.push(b':');
    push_two(out, seconds / 60 % 60);
    out.push(b':');
    push_two(out, seconds % 60);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(text: &str) -> Option<String> {
        let us = parse_timestamp(text, Zone::Utc, || 0)?;
        let mut out = Vec::new();
        write_timestamp(&mut out, us);
        Some(String::from_utf8(out).unwrap())
    }

    #[test]
    fn lenient_texts_read_as_in_spark() {
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(round("2024-01-06 01:02:03"), some("2024-01-06 01:02:03"));
        assert_eq!(round(" 2024-01-06T01:02:03.5Z "), some("2024-01-06 01:02:03.5"));
        assert_eq!(round("2024-1-6"), some("2024-01-06 00:00:00"));
        assert_eq!(round("2024-01"), some("2024-01-01 00:00:00"));
        assert_eq!(round("2024"), some("2024-01-01 00:00:00"));
        assert_eq!(round("2024-01-06 1:2"), some("2024-01-06 01:02:00"));
        assert_eq!(round("2019-01-01 03:09:09.7110"), some("2019-01-01 03:09:09.711"));
        assert_eq!(round("2024-01-06 01:02:03.123456789"), some("2024-01-06 01:02:03.123456"));
        assert_eq!(round("2024-01-06 01:02:03+01:00"), some("2024-01-06 00:02:03"));
        assert_eq!(round("2024-01-06 01:02:03 Europe/Berlin"), some("2024-01-06 00:02:03"));
        assert_eq!(round("12:30:00"), some("1970-01-01 12:30:00"));
        assert_eq!(round("T12:30"), some("1970-01-01 12:30:00"));
        for bad in [
            "",
            "x",
            "24-01-06",
            "2024-13-01",
            "2024-02-30",
            "2024-01-06 25:00:00",
            "2024-01-06 01:02:03 Nowhere",
            "01/06/2024",
        ] {
            assert_eq!(round(bad), None, "{bad}");
        }
    }

    #[test]
    fn dates_read_as_in_spark() {
        let day = days_from_civil(2024, 1, 6);
        for good in ["2024-01-06", "2024-1-6", " 2024-01-06 ", "2024-01-06 12:00:00", "2024-01-06Tx"] {
            assert_eq!(parse_date(good), Some(day), "{good}");
        }
        assert_eq!(parse_date("2024"), Some(days_from_civil(2024, 1, 1)));
        for bad in ["2024-01-06x", "2024-01 12", "20240106x", "2024-00-01", "", "24-1-1"] {
            assert_eq!(parse_date(bad), None, "{bad}");
        }
    }
}
