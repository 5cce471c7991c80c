//! Reading a text by a pattern. Strict as Spark is: the whole text, real dates only, letters in either case.

use super::civil::Civil;
use super::pattern::{Field, Item, MONTHS, OffsetStyle, Parsed, Pattern, Step};
use super::zone::Zone;

impl Pattern {
    /// µs since 1970 of a text; without a zone in the text, `zone` holds. Nothing where the text does not fit.
    #[inline]
    pub fn parse(&self, text: &str, zone: Zone) -> Option<i64> {
        if let Some((steps, width)) = &self.fixed
            && text.len() == *width
            && let Some(civil) = parse_fixed(steps, text.as_bytes())
        {
            return civil.to_micros().map(|local| zone.to_utc(local));
        }
        let (local, own) = self.parse_general(text)?;
        Some(own.unwrap_or(zone).to_utc(local))
    }

    /// µs of the wall clock; a zone in the text is left out of account.
    pub fn parse_local(&self, text: &str) -> Option<i64> {
        self.parse_general(text).map(|(local, _)| local)
    }

    fn parse_general(&self, text: &str) -> Option<(i64, Option<Zone>)> {
        let mut parsed = Parsed {
            civil: Civil { year: 1970, month: 1, day: 1, hour: 0, minute: 0, second: 0, micro: 0 },
            day_of_year: None,
            half_day_hour: None,
            pm: false,
            bc: false,
            zone: None,
        };
        let end = parse_items(&self.items, text, 0, &mut parsed)?;
        if end != text.len() {
            return None;
        }
        let mut civil = parsed.civil;
        if parsed.bc {
            civil.year = 1 - civil.year;
        }
        if let Some(hour) = parsed.half_day_hour {
            civil.hour = hour + if parsed.pm { 12 } else { 0 };
        }
        let local = match parsed.day_of_year {
            None => civil.to_micros()?,
            Some(of_year) => {
                let last = if super::civil::is_leap(civil.year) { 366 } else { 365 };
                if of_year == 0 || of_year > last {
                    return None;
                }
                let first = Civil { month: 1, day: 1, ..civil }.to_micros()?;
                first + i64::from(of_year - 1) * crate::interval::MICROS_PER_DAY
            }
        };
        Some((local, parsed.zone))
    }
}

#[inline]
fn parse_fixed(steps: &[Step], bytes: &[u8]) -> Option<Civil> {
    let mut civil = Civil { year: 1970, month: 1, day: 1, hour: 0, minute: 0, second: 0, micro: 0 };
    let mut rest = bytes;
    for step in steps {
        if let Step::Literal(expected) = step {
            let (&first, tail) = rest.split_first()?;
            if first != *expected {
                return None;
            }
            rest = tail;
            continue;
        }
        let (pair, tail) = rest.split_first_chunk::<2>()?;
        rest = tail;
        let value = two_digits(pair)?;
        match step {
            Step::Year4 => {
                let (pair, tail) = rest.split_first_chunk::<2>()?;
                rest = tail;
                civil.year = (value * 100 + two_digits(pair)?) as i32;
            }
            Step::Year2 => civil.year = 2000 + value as i32,
            Step::Month => civil.month = value,
            Step::Day => civil.day = value,
            Step::Hour => civil.hour = value,
            Step::Minute => civil.minute = value,
            Step::Second => civil.second = value,
            Step::Literal(_) => {}
        }
    }
    Some(civil)
}

#[inline]
fn two_digits(pair: &[u8; 2]) -> Option<u32> {
    let (high, low) = (pair[0].wrapping_sub(b'0'), pair[1].wrapping_sub(b'0'));
    if high > 9 || low > 9 { None } else { Some(u32::from(high) * 10 + u32::from(low)) }
}

fn parse_items(items: &[Item], text: &str, mut at: usize, parsed: &mut Parsed) -> Option<usize> {
    for item in items {
        at = match item {
            Item::Optional(inner) => {
                let before = *parsed;
                match parse_items(inner, text, at, parsed) {
                    Some(end) => end,
                    None => {
                        *parsed = before;
                        at
                    }
                }
            }
            other => parse_item(other, text, at, parsed)?,
        };
    }
    Some(at)
}

fn starts_ignoring_case(text: &str, at: usize, prefix: &str) -> bool {
    text.as_bytes().get(at..at + prefix.len()).is_some_and(|head| head.eq_ignore_ascii_case(prefix.as_bytes()))
}

fn digits_at(text: &str, at: usize, max: usize) -> usize {
    text.as_bytes()[at..].iter().take(max).take_while(|b| b.is_ascii_digit()).count()
}

fn parse_item(item: &Item, text: &str, at: usize, parsed: &mut Parsed) -> Option<usize> {
    match item {
        Item::Literal(literal) => starts_ignoring_case(text, at, literal).then(|| at + literal.len()),
        Item::Number { field, min, max, reserve } => {
            let (mut at, mut sign, mut signed) = (at, 1i64, false);
            if *field == Field::Year {
                match text.as_bytes().get(at) {
                    Some(b'-') => (at, sign) = (at + 1, -1),
                    Some(b'+') if *min >= 4 => (at, signed) = (at + 1, true),
                    _ => {}
                }
            }
            let mut len = digits_at(text, at, max + reserve);
            if *reserve > 0 {
                len = len.saturating_sub(*reserve).max(*min).min(len);
            }
            if len < *min || len > 18 {
                return None;
            }
            // Java's SignStyle.EXCEEDS_PAD: more digits than letters need a plus, and a plus needs more digits.
            if *field == Field::Year && *min >= 4 && sign == 1 && (len > *min) != signed {
                return None;
            }
            let value = sign * text[at..at + len].parse::<i64>().ok()?;
            set_number(*field, value, parsed)?;
            Some(at + len)
        }
        Item::ShortYear => {
            let len = digits_at(text, at, 2);
            if len != 2 {
                return None;
            }
            parsed.civil.year = 2000 + text[at..at + 2].parse::<i32>().ok()?;
            Some(at + 2)
        }
        Item::Fraction { min, max } => {
            let len = digits_at(text, at, *max);
            if len < *min {
                return None;
            }
            let value: u64 = text[at..at + len].parse().ok()?;
            parsed.civil.micro = (value * 10u64.pow(9 - len as u32) / 1000) as u32;
            Some(at + len)
        }
        Item::MonthText { full } => {
            let (index, name) = MONTHS.iter().enumerate().find_map(|(index, name)| {
                let name = if *full { name } else { &name[..3] };
                starts_ignoring_case(text, at, name).then_some((index, name))
            })?;
            parsed.civil.month = index as u32 + 1;
            Some(at + name.len())
        }
        Item::AmPm => {
            parsed.pm = match text.as_bytes().get(at..at + 2)? {
                b if b.eq_ignore_ascii_case(b"am") => false,
                b if b.eq_ignore_ascii_case(b"pm") => true,
                _ => return None,
            };
            Some(at + 2)
        }
        Item::Era { full } => {
            let (ad, bc) = if *full { ("Anno Domini", "Before Christ") } else { ("AD", "BC") };
            if starts_ignoring_case(text, at, ad) {
                Some(at + ad.len())
            } else if starts_ignoring_case(text, at, bc) {
                parsed.bc = true;
                Some(at + bc.len())
            } else {
                None
            }
        }
        Item::Offset(style) => {
            let (seconds, end) = parse_offset(text, at, style)?;
            parsed.zone = Some(if seconds == 0 { Zone::Utc } else { Zone::Fixed(seconds) });
            Some(end)
        }
        Item::ZoneId | Item::ZoneName => {
            let len = text[at..]
                .find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '/' | '_' | '+' | '-' | ':')))
                .unwrap_or(text.len() - at);
            // The longest name that is a zone; what follows belongs to the next item.
            let end = (at + 1..=at + len).rev().find(|&end| Zone::parse(&text[at..end]).is_some())?;
            parsed.zone = Zone::parse(&text[at..end]);
            Some(end)
        }
        Item::WeekdayText { .. } | Item::QuarterText { .. } | Item::Optional(_) => None,
    }
}

fn set_number(field: Field, value: i64, parsed: &mut Parsed) -> Option<()> {
    let within = |low: i64, high: i64| (low..=high).contains(&value).then_some(value as u32);
    match field {
        Field::Year => parsed.civil.year = i32::try_from(value).ok()?,
        Field::Month => parsed.civil.month = within(1, 12)?,
        Field::Day => parsed.civil.day = within(1, 31)?,
        Field::DayOfYear => parsed.day_of_year = Some(within(1, 366)?),
        Field::Hour => parsed.civil.hour = within(0, 23)?,
        Field::ClockHour => parsed.civil.hour = within(1, 24)? % 24,
        Field::ClockHourAmPm => parsed.half_day_hour = Some(within(1, 12)? % 12),
        Field::HourAmPm => parsed.half_day_hour = Some(within(0, 11)?),
        Field::Minute => parsed.civil.minute = within(0, 59)?,
        Field::Second => parsed.civil.second = within(0, 59)?,
        Field::Quarter | Field::AlignedWeek => return None,
    }
    Some(())
}

/// Seconds east of UTC, and where the text goes on.
fn parse_offset(text: &str, at: usize, style: &OffsetStyle) -> Option<(i32, usize)> {
    let bytes = text.as_bytes();
    let mut at = at;
    if style.zulu && bytes.get(at).is_some_and(|b| b.eq_ignore_ascii_case(&b'Z')) {
        return Some((0, at + 1));
    }
    if style.gmt {
        if !starts_ignoring_case(text, at, "GMT") {
            return None;
        }
        at += 3;
        if !matches!(bytes.get(at), Some(b'+' | b'-')) {
            return Some((0, at));
        }
    }
    let sign = match bytes.get(at)? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    at += 1;
    let two = |at: usize| -> Option<i32> {
        bytes.get(at..at + 2)?.try_into().ok().and_then(|p| two_digits(p).map(|v| v as i32))
    };
    let hours = match two(at) {
        Some(hours) => {
            at += 2;
            hours
        }
        None if style.gmt && digits_at(text, at, 1) == 1 => {
            at += 1;
            i32::from(bytes[at - 1] - b'0')
        }
        None => return None,
    };
    let minutes_at =
        if style.colon { if bytes.get(at) == Some(&b':') { Some(at + 1) } else { None } } else { Some(at) };
    let (minutes, end) = match minutes_at.and_then(|from| two(from).map(|value| (value, from + 2))) {
        Some(found) => found,
        None if style.short => (0, at),
        None => return None,
    };
    let seconds = hours * 3600 + minutes * 60;
    (minutes < 60 && seconds <= 18 * 3600).then_some((sign * seconds, end))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::write_timestamp;

    fn read(pattern: &str, text: &str) -> Option<String> {
        let us = Pattern::for_parsing(pattern).unwrap().parse(text, Zone::Utc)?;
        let mut out = Vec::new();
        write_timestamp(&mut out, us);
        Some(String::from_utf8(out).unwrap())
    }

    #[test]
    fn patterns_read_as_in_spark() {
        let cases = [
            ("yyyy-MM-dd HH:mm:ss", "2024-01-06 01:02:03", Some("2024-01-06 01:02:03")),
            ("yyyy-MM-dd HH:mm:ss", "2024-1-06 01:02:03", None),
            ("yyyy-MM-dd HH:mm:ss", "2024-01-06 01:02:03 ", None),
            ("yyyy-MM-dd", "2024-02-30", None),
            ("MM/dd/yyyy HH:mm:ss", "05/27/2023 00:00:00", Some("2023-05-27 00:00:00")),
            ("MM/dd/yy HH:mm:ss", "07/03/18 17:48:39", Some("2018-07-03 17:48:39")),
            ("M/d/yyyy H:m", "7/3/2018 7:4", Some("2018-07-03 07:04:00")),
            ("yyyyMMdd", "20240106", Some("2024-01-06 00:00:00")),
            ("yyyyMMddHHmmss", "20240106010203", Some("2024-01-06 01:02:03")),
            ("yyyy-MM-dd'T'HH:mm:ss[.SSS][XXX]", "2024-01-06T01:02:03.250Z", Some("2024-01-06 01:02:03.25")),
            ("yyyy-MM-dd'T'HH:mm:ss[.SSS][XXX]", "2024-01-06T01:02:03+02:00", Some("2024-01-05 23:02:03")),
            ("yyyy-MM-dd'T'HH:mm:ss[.SSS][XXX]", "2024-01-06t01:02:03", Some("2024-01-06 01:02:03")),
            ("dd MMM yyyy hh:mm a", "06 jan 2024 12:05 AM", Some("2024-01-06 00:05:00")),
            ("dd MMMM yyyy hh:mm a", "06 January 2024 12:05 pm", Some("2024-01-06 12:05:00")),
            ("yyyy-DDD", "2024-060", Some("2024-02-29 00:00:00")),
            ("HH:mm", "10:30", Some("1970-01-01 10:30:00")),
            ("yyyy-MM-dd VV", "2024-07-01 Europe/Berlin", Some("2024-06-30 22:00:00")),
            ("yyyy", "12024", None),
            ("yyyy", "+12024", Some("+12024-01-01 00:00:00")),
        ];
        for (pattern, text, expected) in cases {
            assert_eq!(read(pattern, text).as_deref(), expected, "{pattern} on {text}");
        }
    }

    #[test]
    fn letters_that_spark_refuses_are_refused() {
        for bad in ["YYYY-MM-dd", "yyyy-MM-dd EEE", "{yyyy}", "yyyy]MM", "b", "yyyyyyy", "u"] {
            assert!(Pattern::for_parsing(bad).is_err(), "{bad}");
        }
    }
}
