//! Lengths of time in SQL.

use millstream_functions::interval::parse_interval;

/// `10 minutes`, `1 hour 30 minutes`, in µs. The error says what is wrong.
pub(crate) fn parse_us(text: &str) -> Result<i64, String> {
    parse_interval(text).and_then(|interval| interval.fixed_us()).map_err(|error| error.message)
}

/// Months, days and µs of an interval.
pub(crate) fn parse_parts(text: &str) -> Result<(i32, i32, i64), String> {
    let interval = parse_interval(text).map_err(|error| error.message)?;
    Ok((interval.months, interval.days, interval.micros))
}
