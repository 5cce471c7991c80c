//! Times in files and records: by Spark's patterns, by strftime's, or as numbers. All UTC.

use chrono::{DateTime, NaiveDate, NaiveDateTime};
use millstream_functions::time::{Pattern, Zone};

/// A way to write a time.
#[derive(Debug, Clone)]
pub enum TimePattern {
    /// `yyyy-MM-dd HH:mm:ss`: for reading and for writing.
    Spark(Box<(Pattern, Pattern)>),
    /// `%Y-%m-%d %H:%M:%S`.
    Strftime(String),
    /// A number since 1970 in units of so many µs.
    Epoch(i64),
}

impl TimePattern {
    /// What most files have.
    pub const DEFAULT: &'static str = "yyyy-MM-dd HH:mm:ss";

    /// Spark's pattern, strftime's if there is a `%` in it, or `epoch_s`, `epoch_ms`, `epoch_us`.
    pub fn parse(pattern: &str) -> Result<Self, String> {
        Ok(match pattern {
            "epoch_s" => Self::Epoch(1_000_000),
            "epoch_ms" => Self::Epoch(1_000),
            "epoch_us" => Self::Epoch(1),
            p if p.contains('%') => {
                let items: Vec<_> = chrono::format::StrftimeItems::new(p).collect();
                if items.iter().any(|item| matches!(item, chrono::format::Item::Error)) {
                    return Err(format!("'{p}' is not a pattern of strftime"));
                }
                Self::Strftime(p.to_owned())
            }
            p => {
                let read = Pattern::for_parsing(p).map_err(|e| e.to_string())?;
                let write = Pattern::for_formatting(p).map_err(|e| e.to_string())?;
                Self::Spark(Box::new((read, write)))
            }
        })
    }

    /// µs since 1970.
    pub fn read(&self, text: &str) -> Option<i64> {
        match self {
            Self::Spark(patterns) => patterns.0.parse(text, Zone::Utc),
            Self::Strftime(pattern) => NaiveDateTime::parse_from_str(text, pattern)
                .ok()
                .or_else(|| NaiveDate::parse_from_str(text, pattern).ok().and_then(|d| d.and_hms_opt(0, 0, 0)))
                .map(|t| t.and_utc().timestamp_micros()),
            Self::Epoch(unit) => text.trim().parse::<i64>().ok()?.checked_mul(*unit),
        }
    }

    /// Appends the time.
    pub fn write(&self, us: i64, out: &mut Vec<u8>) {
        match self {
            Self::Spark(patterns) => patterns.1.format(us, Zone::Utc, out),
            Self::Strftime(pattern) => {
                if let Some(time) = DateTime::from_timestamp_micros(us) {
                    out.extend_from_slice(time.format(pattern).to_string().as_bytes());
                }
            }
            Self::Epoch(unit) => out.extend_from_slice(us.div_euclid(*unit).to_string().as_bytes()),
        }
    }
}

/// A time as people write it in settings.
pub fn parse_time(text: &str) -> Option<i64> {
    millstream_functions::time::parse_timestamp(text.trim(), Zone::Utc, || 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_reads_what_it_writes() {
        for (pattern, text) in [
            ("yyyy-MM-dd HH:mm:ss", "2024-01-06 03:00:00"),
            ("MM/dd/yyyy", "01/06/2024"),
            ("%Y%m%d %H%M", "20240106 0300"),
            ("%d.%m.%Y", "06.01.2024"),
            ("epoch_ms", "1704510000123"),
        ] {
            let pattern = TimePattern::parse(pattern).unwrap();
            let mut out = Vec::new();
            pattern.write(pattern.read(text).unwrap(), &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), text);
        }
        assert_eq!(TimePattern::parse("epoch_s").unwrap().read("soon"), None);
        assert!(TimePattern::parse("%Q%").is_err());
    }
}
