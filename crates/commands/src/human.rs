//! Numbers, sizes, times and durations as people read them, and settings as they write them.

use chrono::DateTime;

use crate::when::duration_ms;

/// `1,234,567`.
pub fn thousands(n: i64) -> String {
    let digits = n.unsigned_abs().to_string();
    let mut out = String::from(if n < 0 { "-" } else { "" });
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `-` where there is nothing.
pub fn or_dash<T>(value: Option<T>, text: impl Fn(T) -> String) -> String {
    value.map_or_else(|| "-".to_owned(), text)
}

/// `12 records`, `1 record`.
pub fn count(n: i64, noun: &str) -> String {
    format!("{} {noun}{}", thousands(n), if n == 1 { "" } else { "s" })
}

/// `1.2 MB`: in powers of 1000, as disks are sold.
pub fn size(bytes: i64) -> String {
    const UNITS: [&str; 6] = ["B", "kB", "MB", "GB", "TB", "PB"];
    let (mut value, mut unit) = (bytes as f64, 0);
    while value.abs() >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    match unit {
        0 => format!("{bytes} B"),
        _ if value < 9.95 => format!("{value:.1} {}", UNITS[unit]),
        _ => format!("{value:.0} {}", UNITS[unit]),
    }
}

/// `64 MiB`, where it is a whole number of them: what people set.
fn binary_size(bytes: i64) -> Option<String> {
    let units = [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")];
    let (power, unit) = units.into_iter().find(|(power, _)| bytes % (1 << power) == 0)?;
    Some(format!("{} {unit}", bytes >> power))
}

/// `250 ms`, `3.2 s`, `4 m 10 s`, `2 h 5 m`, `3 d 4 h`: the two largest units.
pub fn duration(ms: i64) -> String {
    let seconds = ms / 1000;
    let two = |large: i64, unit: &str, small: i64, below: &str| match small {
        0 => format!("{large} {unit}"),
        small => format!("{large} {unit} {small} {below}"),
    };
    match ms {
        ..0 => format!("-{}", duration(-ms)),
        0..1_000 => format!("{ms} ms"),
        1_000..10_000 if ms % 1000 != 0 => format!("{:.1} s", ms as f64 / 1000.0),
        1_000..60_000 => format!("{seconds} s"),
        60_000..3_600_000 => two(seconds / 60, "m", seconds % 60, "s"),
        3_600_000..86_400_000 => two(seconds / 3600, "h", seconds % 3600 / 60, "m"),
        _ => two(seconds / 86_400, "d", seconds % 86_400 / 3600, "h"),
    }
}

/// `2024-01-12T23:49:52.123Z`; a number where the calendar ends.
pub fn iso(ms: i64) -> String {
    match DateTime::from_timestamp_millis(ms) {
        Some(time) => time.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string(),
        None => ms.to_string(),
    }
}

/// `2024-01-12 23:49:52.123`, in UTC.
pub fn time(ms: i64) -> String {
    iso(ms).replace('T', " ").trim_end_matches('Z').to_owned()
}

/// `2024-01-12 23:49:52`, and how long ago.
pub fn moment(ms: i64, now_ms: i64) -> String {
    let text = time(ms);
    let text = text.split('.').next().unwrap_or_default();
    match now_ms - ms {
        ago @ 0.. => format!("{text} ({} ago)", duration(ago)),
        ahead => format!("{text} ({} ahead)", duration(-ahead)),
    }
}

/// `text` between ANSI's code for a style and its end.
pub fn styled(text: &str, style: &str, colour: bool) -> String {
    if colour && !text.is_empty() { format!("\x1b[{style}m{text}\x1b[0m") } else { text.to_owned() }
}

/// A setting's value, and what it means where its name tells the unit: `604800000 (7 d)`.
pub fn setting(name: &str, value: &str) -> String {
    let meaning = match value.parse::<i64>() {
        Ok(i64::MAX) => "no limit".to_owned(),
        Ok(ms) if name.ends_with(".ms") && (1000..i64::MAX / 2).contains(&ms) => duration(ms),
        Ok(bytes) if is_bytes(name) && (1000..i64::MAX / 2).contains(&bytes) => {
            binary_size(bytes).unwrap_or_else(|| size(bytes))
        }
        _ => return value.to_owned(),
    };
    format!("{value} ({meaning})")
}

/// A setting's value as a broker takes it: `7d` for a name that ends in `.ms`, `1GiB` or `100MB` for one in `.bytes`.
pub fn setting_value(name: &str, text: &str) -> String {
    let plain = match name {
        _ if name.ends_with(".ms") => duration_ms(text),
        _ if is_bytes(name) => bytes(text),
        _ => None,
    };
    plain.map_or_else(|| text.to_owned(), |number| number.to_string())
}

/// Whether a setting of this name counts bytes: a size, or a quota's rate.
fn is_bytes(name: &str) -> bool {
    name.ends_with(".bytes") || name.ends_with("_byte_rate")
}

/// Bytes of `64k`, `1MiB`, `10 GB`.
fn bytes(text: &str) -> Option<i64> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let factor = match unit.trim().to_ascii_lowercase().as_str() {
        "b" => 1,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        "t" | "tib" => 1i64 << 40,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        _ => return None,
    };
    number.parse::<i64>().ok()?.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!([0, 999, 1000, -1_234_567].map(thousands), ["0", "999", "1,000", "-1,234,567"]);
        assert_eq!(
            [0, 999, 1000, 9_949, 9_951, 999_499, 999_500, 2_000_000_000].map(size),
            ["0 B", "999 B", "1.0 kB", "9.9 kB", "10 kB", "999 kB", "1.0 MB", "2.0 GB"]
        );
        assert_eq!(
            [0, 250, 3_200, 4_000, 42_700, 250_000, 7_500_000, 273_600_000, -1_500].map(duration),
            ["0 ms", "250 ms", "3.2 s", "4 s", "42 s", "4 m 10 s", "2 h 5 m", "3 d 4 h", "-1.5 s"]
        );
    }

    #[test]
    fn times_are_utc() {
        assert_eq!(iso(1_700_000_000_123), "2023-11-14T22:13:20.123Z");
        assert_eq!(time(1_700_000_000_123), "2023-11-14 22:13:20.123");
        assert_eq!(moment(1_700_000_000_123, 1_700_000_061_000), "2023-11-14 22:13:20 (1 m ago)");
        assert_eq!(iso(i64::MAX), i64::MAX.to_string());
    }

    #[test]
    fn settings_take_and_show_units() {
        assert_eq!(setting("retention.ms", "604800000"), "604800000 (7 d)");
        assert_eq!(setting("retention.ms", "-1"), "-1");
        assert_eq!(setting("segment.bytes", "1073741824"), "1073741824 (1 GiB)");
        assert_eq!(setting("max.message.bytes", "1048588"), "1048588 (1.0 MB)");
        assert_eq!(setting("max.compaction.lag.ms", "9223372036854775807"), "9223372036854775807 (no limit)");
        assert_eq!(setting("cleanup.policy", "delete"), "delete");
        let cases = [("retention.ms", "7d", "604800000"), ("retention.ms", "-1", "-1"), ("retention.ms", "12", "12")];
        let more = [("segment.bytes", "1GiB", "1073741824"), ("segment.bytes", "64k", "65536"), ("x", "7d", "7d")];
        for (name, text, value) in cases.into_iter().chain(more) {
            assert_eq!(setting_value(name, text), value);
        }
    }
}
