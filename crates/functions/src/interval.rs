//! Durations as people write them in SQL: `5 minutes`, `interval 1 day 2 hours`, `-90 seconds`.

use crate::error::SparkError;

/// A calendar interval. Parts keep their own sign and are not normalised into each other.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Interval {
    /// Years and months.
    pub months: i32,
    /// Weeks and days.
    pub days: i32,
    /// Hours and below, in µs.
    pub micros: i64,
}

/// µs in a second.
pub const MICROS_PER_SECOND: i64 = 1_000_000;
/// µs in a day of 24 hours.
pub const MICROS_PER_DAY: i64 = 86_400 * MICROS_PER_SECOND;

impl Interval {
    /// The length in µs, a day being 24 hours; an error where months are in it, as their length is not fixed.
    pub fn fixed_us(&self) -> Result<i64, SparkError> {
        if self.months != 0 {
            return Err(SparkError::new(
                SparkError::INVALID_PARAMETER_VALUE,
                "a duration in months or years has no fixed length: write it in days or smaller units",
            ));
        }
        i64::from(self.days)
            .checked_mul(MICROS_PER_DAY)
            .and_then(|days| days.checked_add(self.micros))
            .ok_or_else(|| SparkError::overflow("interval", ""))
    }
}

/// Reads an interval; units are case-insensitive, singular or plural.
pub fn parse_interval(text: &str) -> Result<Interval, SparkError> {
    let invalid = |why: &str| {
        SparkError::new(
            "INVALID_INTERVAL_FORMAT",
            format!("'{text}' is not an interval ({why}): write for example '5 minutes' or '1 day 6 hours'"),
        )
    };
    let lower = text.trim().to_ascii_lowercase();
    let rest = match lower.strip_prefix("interval") {
        Some(rest) if rest.starts_with(char::is_whitespace) => rest,
        _ => lower.as_str(),
    };
    let mut out = Interval::default();
    let mut seen = false;
    let mut rest = rest.trim_start();
    while !rest.is_empty() {
        let mut negative = false;
        while let Some(sign) = rest.strip_prefix(['+', '-']) {
            negative ^= rest.starts_with('-');
            rest = sign.trim_start();
        }
        let number_end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, tail) = rest.split_at(number_end);
        let tail = tail.trim_start();
        let unit_end = tail.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_end);
        rest = tail.trim_start();
        if number.is_empty() || number == "." {
            return Err(invalid("a number is missing"));
        }
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let whole: i64 =
            if whole.is_empty() { 0 } else { whole.parse().map_err(|_| invalid("a number is too large"))? };
        let whole = if negative { -whole } else { whole };
        let is_second = matches!(unit, "second" | "seconds");
        if number.contains('.') && !is_second {
            return Err(invalid("only seconds may have a fraction"));
        }
        let too_large = || invalid("it is too large");
        let add_months = |out: &mut Interval, per: i64| -> Option<()> {
            out.months = out.months.checked_add(i32::try_from(whole.checked_mul(per)?).ok()?)?;
            Some(())
        };
        let add_days = |out: &mut Interval, per: i64| -> Option<()> {
            out.days = out.days.checked_add(i32::try_from(whole.checked_mul(per)?).ok()?)?;
            Some(())
        };
        let add_micros = |out: &mut Interval, per: i64| -> Option<()> {
            out.micros = out.micros.checked_add(whole.checked_mul(per)?)?;
            Some(())
        };
        match unit {
            "year" | "years" => add_months(&mut out, 12),
            "month" | "months" => add_months(&mut out, 1),
            "week" | "weeks" => add_days(&mut out, 7),
            "day" | "days" => add_days(&mut out, 1),
            "hour" | "hours" => add_micros(&mut out, 3600 * MICROS_PER_SECOND),
            "minute" | "minutes" => add_micros(&mut out, 60 * MICROS_PER_SECOND),
            "second" | "seconds" => add_micros(&mut out, MICROS_PER_SECOND).and_then(|()| {
                let digits: String = fraction.chars().take(6).collect();
                let micros: i64 = format!("{digits:0<6}").parse().ok()?;
                out.micros = out.micros.checked_add(if negative { -micros } else { micros })?;
                Some(())
            }),
            "millisecond" | "milliseconds" => add_micros(&mut out, 1000),
            "microsecond" | "microseconds" => add_micros(&mut out, 1),
            "" => return Err(invalid("a unit is missing")),
            _ => return Err(invalid("the unit is unknown")),
        }
        .ok_or_else(too_large)?;
        seen = true;
    }
    if seen { Ok(out) } else { Err(invalid("it is empty")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_read_as_spark_reads_them() {
        let micros = |text: &str| parse_interval(text).unwrap().fixed_us().unwrap();
        assert_eq!(micros("5 minutes"), 300_000_000);
        assert_eq!(micros("10 MINUTES"), 600_000_000);
        assert_eq!(micros("interval 4 hours"), 14_400_000_000);
        assert_eq!(micros("INTERVAL 1 day"), MICROS_PER_DAY);
        assert_eq!(micros("1 week"), 7 * MICROS_PER_DAY);
        assert_eq!(micros("1 hour 30 minutes"), 5_400_000_000);
        assert_eq!(micros("-90 seconds"), -90_000_000);
        assert_eq!(micros("1.5 seconds"), 1_500_000);
        assert_eq!(micros("3 milliseconds"), 3_000);
        assert_eq!(parse_interval("2 years").unwrap().months, 24);
        for bad in ["", "5", "minutes", "5 fortnights", "1.5 hours", "interval", "99999999999999999999 days"] {
            assert!(parse_interval(bad).is_err(), "{bad}");
        }
        assert!(parse_interval("1 month").unwrap().fixed_us().is_err());
    }
}
