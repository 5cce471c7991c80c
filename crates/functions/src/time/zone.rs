//! Time zones as Spark names them, and the way between UTC and the wall clock.

use chrono::{DateTime, NaiveDateTime, Offset, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;

use crate::interval::MICROS_PER_SECOND;

/// A time zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Zone {
    /// UTC: every conversion is the identity.
    #[default]
    Utc,
    /// A fixed offset, in seconds east of UTC.
    Fixed(i32),
    /// A region with its history of offsets.
    Region(Tz),
}

impl Zone {
    /// Reads `UTC`, `Z`, `+01:00`, `GMT+8`, `Europe/Berlin` and the other forms of Java's `ZoneId.of` that Spark accepts.
    pub fn parse(name: &str) -> Option<Self> {
        let fixed = |seconds: i32| if seconds == 0 { Zone::Utc } else { Zone::Fixed(seconds) };
        match name {
            "Z" | "z" | "UTC" | "GMT" | "UT" | "Etc/UTC" | "UCT" | "Zulu" => return Some(Zone::Utc),
            _ => {}
        }
        for prefix in ["UTC", "GMT", "UT"] {
            if let Some(rest) = name.strip_prefix(prefix)
                && rest.starts_with(['+', '-'])
            {
                return parse_offset(rest).map(fixed);
            }
        }
        if name.starts_with(['+', '-']) {
            return parse_offset(name).map(fixed);
        }
        // Java's short ids that Spark maps (ZoneId.SHORT_IDS); the rest are regions.
        let region = match name {
            "EST" => return Some(Zone::Fixed(-5 * 3600)),
            "MST" => return Some(Zone::Fixed(-7 * 3600)),
            "HST" => return Some(Zone::Fixed(-10 * 3600)),
            "PST" => "America/Los_Angeles",
            "CST" => "America/Chicago",
            "IST" => "Asia/Kolkata",
            "JST" => "Asia/Tokyo",
            "ECT" | "CET" => "Europe/Paris",
            other => other,
        };
        region.parse::<Tz>().ok().map(Zone::Region)
    }

    /// The region whose name is most like this one, if one is like it at all.
    pub fn nearest(name: &str) -> Option<&'static str> {
        let (name, letters) = (name.to_lowercase(), name.chars().count());
        chrono_tz::TZ_VARIANTS
            .iter()
            .map(|tz| (edits(&name, &tz.name().to_lowercase()), tz.name()))
            .min()
            .filter(|(edits, _)| *edits <= letters / 4)
            .map(|(_, name)| name)
    }

    /// Offset in seconds east of UTC at a moment.
    pub fn offset_s(&self, us: i64) -> i32 {
        match self {
            Zone::Utc => 0,
            Zone::Fixed(seconds) => *seconds,
            Zone::Region(tz) => match DateTime::<Utc>::from_timestamp_micros(us) {
                Some(at) => tz.offset_from_utc_datetime(&at.naive_utc()).fix().local_minus_utc(),
                None => 0,
            },
        }
    }

    /// The wall clock of a moment, as µs since 1970 of that clock.
    #[inline]
    pub fn to_local(&self, us: i64) -> i64 {
        match self {
            Zone::Utc => us,
            _ => us.saturating_add(i64::from(self.offset_s(us)) * MICROS_PER_SECOND),
        }
    }

    /// The moment of a wall clock. Where clocks are put back, the first; where they are put forward, the moment after the gap, as Java has it.
    #[inline]
    pub fn to_utc(&self, local_us: i64) -> i64 {
        match self {
            Zone::Utc => local_us,
            Zone::Fixed(seconds) => local_us.saturating_sub(i64::from(*seconds) * MICROS_PER_SECOND),
            Zone::Region(tz) => {
                let Some(local) = DateTime::<Utc>::from_timestamp_micros(local_us).map(|at| at.naive_utc()) else {
                    return local_us;
                };
                let offset = local_offset_s(tz, local);
                local_us - i64::from(offset) * MICROS_PER_SECOND
            }
        }
    }

    /// The zone's name, as `spark.sql.session.timeZone` and pattern letter `VV` write it.
    pub fn name(&self) -> String {
        match self {
            Zone::Utc => "UTC".to_owned(),
            Zone::Region(tz) => tz.name().to_owned(),
            Zone::Fixed(seconds) => {
                let sign = if *seconds < 0 { '-' } else { '+' };
                let (h, m, s) = (seconds.abs() / 3600, seconds.abs() / 60 % 60, seconds.abs() % 60);
                if s == 0 { format!("{sign}{h:02}:{m:02}") } else { format!("{sign}{h:02}:{m:02}:{s:02}") }
            }
        }
    }
}

/// Insertions, deletions and substitutions from one text to the other.
fn edits(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.chars().take(64).enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in to.iter().enumerate() {
            let substituted = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[to.len()]
}

fn local_offset_s(tz: &Tz, local: NaiveDateTime) -> i32 {
    match tz.offset_from_local_datetime(&local) {
        chrono::LocalResult::Single(offset) => offset.fix().local_minus_utc(),
        chrono::LocalResult::Ambiguous(first, _) => first.fix().local_minus_utc(),
        chrono::LocalResult::None => tz.offset_from_utc_datetime(&(local - TimeDelta::days(1))).fix().local_minus_utc(),
    }
}

/// `+h`, `+hh`, `+hh:mm`, `+hhmm`, `+hh:mm:ss`, `+h:mm`, at most 18 hours.
fn parse_offset(text: &str) -> Option<i32> {
    let (sign, rest) = match text.as_bytes().first()? {
        b'+' => (1, &text[1..]),
        b'-' => (-1, &text[1..]),
        _ => return None,
    };
    let two = |part: &str| -> Option<i32> {
        (matches!(part.len(), 1 | 2) && part.bytes().all(|b| b.is_ascii_digit())).then(|| part.parse().ok())?
    };
    let (h, m, s) = if rest.contains(':') {
        let mut parts = rest.split(':');
        let h = two(parts.next()?)?;
        let m = two(parts.next()?)?;
        let s = parts.next().map_or(Some(0), two)?;
        parts.next().is_none().then_some((h, m, s))?
    } else {
        match rest.len() {
            1 | 2 => (two(rest)?, 0, 0),
            4 | 6 if rest.is_ascii() => {
                (two(&rest[..2])?, two(&rest[2..4])?, if rest.len() == 6 { two(&rest[4..])? } else { 0 })
            }
            _ => return None,
        }
    };
    let seconds = h * 3600 + m * 60 + s;
    (m < 60 && s < 60 && seconds <= 18 * 3600).then_some(sign * seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_have_java_names() {
        assert_eq!(Zone::parse("UTC"), Some(Zone::Utc));
        assert_eq!(Zone::parse("+01:00"), Some(Zone::Fixed(3600)));
        assert_eq!(Zone::parse("GMT-8"), Some(Zone::Fixed(-8 * 3600)));
        assert!(Zone::parse("Europe/Berlin").is_some());
        assert_eq!(Zone::parse("Mars/Olympus"), None);
        assert_eq!(Zone::parse("+19:00"), None);
        assert_eq!(Zone::nearest("Europe/Berln"), Some("Europe/Berlin"));
        assert_eq!(Zone::nearest("Mars/Olympus"), None);
    }

    #[test]
    fn a_gap_moves_forward_and_an_overlap_takes_the_first() {
        let berlin = Zone::parse("Europe/Berlin").unwrap();
        let local = |y, m, d, h, mi| {
            Civil { year: y, month: m, day: d, hour: h, minute: mi, second: 0, micro: 0 }.to_micros().unwrap()
        };
        use crate::time::Civil;
        assert_eq!(berlin.to_utc(local(2024, 3, 31, 2, 30)), local(2024, 3, 31, 1, 30));
        assert_eq!(berlin.to_utc(local(2024, 10, 27, 2, 30)), local(2024, 10, 27, 0, 30));
        assert_eq!(berlin.to_local(local(2024, 7, 1, 10, 0)), local(2024, 7, 1, 12, 0));
    }
}
