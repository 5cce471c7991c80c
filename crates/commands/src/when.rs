//! Points in time as people write them.

use chrono::{DateTime, Days, NaiveDate, NaiveDateTime};

/// How a time may be written, for error messages and help.
pub const FORMS: &str = "10m, 2h, 1d (before now), 2026-01-31, 2026-01-31T14:30 (UTC), 2026-01-31T14:30:00+02:00, yesterday, today, now, or epoch ms";

/// A time in ms since 1970. A duration means that long before `now_ms`; a time without a zone is UTC.
pub fn time_ms(text: &str, now_ms: i64) -> Result<i64, String> {
    let text = text.trim();
    let today = || DateTime::from_timestamp_millis(now_ms).map(|now| now.date_naive());
    let midnight = |date: NaiveDate| date.and_time(Default::default()).and_utc().timestamp_millis();
    let parsed = match text {
        "now" => Some(now_ms),
        "today" => today().map(midnight),
        "yesterday" => today().and_then(|date| date.checked_sub_days(Days::new(1))).map(midnight),
        _ => duration_ms(text.strip_prefix('-').unwrap_or(text))
            .and_then(|ms| now_ms.checked_sub(ms))
            .or_else(|| epoch(text))
            .or_else(|| calendar(text)),
    };
    parsed.ok_or_else(|| format!("'{text}' is no time; write {FORMS}"))
}

/// ms of `10m`, `1h30m`, `500ms`, `2d`; `None` for anything else, also for a bare number.
pub fn duration_ms(text: &str) -> Option<i64> {
    let (mut rest, mut total) = (text, 0i64);
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let unit_end = rest[digits..].find(|c: char| c.is_ascii_digit()).map_or(rest.len(), |at| digits + at);
        let factor = match rest[digits..unit_end].trim() {
            "ms" => 1,
            "s" | "sec" => 1_000,
            "m" | "min" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            "w" => 604_800_000,
            _ => return None,
        };
        let number: i64 = rest[..digits].parse().ok()?;
        total = total.checked_add(number.checked_mul(factor)?)?;
        rest = &rest[unit_end..];
    }
    Some(total)
}

/// Digits are ms since 1970, or seconds if they are too few for this century's ms.
fn epoch(text: &str) -> Option<i64> {
    let number: i64 = text.parse().ok()?;
    if text.len() < 9 {
        return None;
    }
    if text.len() <= 11 { number.checked_mul(1000) } else { Some(number) }
}

fn calendar(text: &str) -> Option<i64> {
    let text = text.replacen(' ', "T", 1);
    if let Ok(time) = DateTime::parse_from_rfc3339(&text) {
        return Some(time.timestamp_millis());
    }
    let local = text.strip_suffix('Z').unwrap_or(&text);
    ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M"]
        .iter()
        .find_map(|pattern| NaiveDateTime::parse_from_str(local, pattern).ok())
        .or_else(|| NaiveDate::parse_from_str(local, "%Y-%m-%d").ok().map(|date| date.and_time(Default::default())))
        .map(|time| time.and_utc().timestamp_millis())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_700_000_000_000; // 2023-11-14T22:13:20Z

    #[test]
    fn every_form_is_understood() {
        let midnight = 1_699_920_000_000;
        for (text, ms) in [
            ("now", NOW),
            ("10m", NOW - 600_000),
            ("-10m", NOW - 600_000),
            ("1h30m", NOW - 5_400_000),
            ("1w", NOW - 604_800_000),
            ("today", midnight),
            ("yesterday", midnight - 86_400_000),
            ("2023-11-14", midnight),
            ("2023-11-14T22:13:20Z", NOW),
            ("2023-11-14 22:13:20.5", NOW + 500),
            ("2023-11-14T22:13", NOW - 20_000),
            ("2023-11-14T22:13Z", NOW - 20_000),
            ("2023-11-15T00:13:20+02:00", NOW),
            ("1700000000000", NOW),
            ("1700000000", NOW),
        ] {
            assert_eq!(time_ms(text, NOW), Ok(ms), "{text}");
        }
    }

    #[test]
    fn nonsense_is_refused_with_the_forms() {
        for text in ["", "-", "10", "10x", "m", "2023-13-01", "9999999999999999999w", "tomorrow", "1h-30m"] {
            assert!(time_ms(text, NOW).is_err_and(|error| error.contains("2026-01-31")), "{text}");
        }
    }
}
