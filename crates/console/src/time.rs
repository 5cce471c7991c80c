//! Reads the time stamps that stand in rows: as Spark writes them, as JSON writes them, and as the data at hand often has them.

/// A value as ms since 1970 of the wall clock that it shows: a chart's axis says what stands in the rows, so a zone is read over. `None` if
/// it is not a time.
///
/// Texts: `2023-06-03`, `2023-06-03 12:00[:00[.123456]]`, the same with `T`, each with `Z`, `+01:00` or nothing; `06/03/2023[ 12:00:00]`.
pub fn parse(text: &str) -> Option<i64> {
    let text = text.trim();
    if !text.is_ascii() || text.len() < 8 || text.len() > 40 {
        return None;
    }
    let bytes = text.as_bytes();
    let (year, month, day, rest) = if bytes.get(4) == Some(&b'-') && bytes.get(7) == Some(&b'-') {
        (number(text.get(0..4)?)?, number(text.get(5..7)?)?, number(text.get(8..10)?)?, &text[10..])
    } else if bytes.get(2) == Some(&b'/') && bytes.get(5) == Some(&b'/') {
        (number(text.get(6..10)?)?, number(text.get(0..2)?)?, number(text.get(3..5)?)?, &text[10..])
    } else {
        return None;
    };
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    Some(days_from_civil(year, month, day) * 86_400_000 + time_of_day(rest)?)
}

/// A number in a column whose type is a time, as ms since 1970: seconds, ms or µs, whichever makes it a date of this era.
pub fn from_number(value: f64) -> Option<i64> {
    let magnitude = value.abs();
    if !value.is_finite() || magnitude < 1e8 {
        None
    } else if magnitude < 1e11 {
        Some((value * 1e3) as i64)
    } else if magnitude < 1e14 {
        Some(value as i64)
    } else if magnitude < 1e17 {
        Some((value / 1e3) as i64)
    } else {
        Some((value / 1e6) as i64)
    }
}

/// The part after the date as ms to add.
fn time_of_day(text: &str) -> Option<i64> {
    let Some(text) = text.strip_prefix(['T', ' ']) else {
        return text.is_empty().then_some(0);
    };
    let clock = text.strip_suffix('Z').or_else(|| text.rfind(['+', '-']).map(|at| &text[..at])).unwrap_or(text);
    let mut parts = clock.split(':');
    let hours = number(parts.next()?)?;
    let minutes = number(parts.next()?)?;
    let (seconds, fraction) = parts.next().map_or(("0", ""), |s| s.split_once('.').unwrap_or((s, "")));
    if parts.next().is_some() || hours > 24 || minutes > 59 {
        return None;
    }
    let milliseconds = if fraction.is_empty() { 0 } else { number(&format!("{fraction:0<3}")[..3])? };
    Some(((hours * 60 + minutes) * 60 + number(seconds)?) * 1_000 + milliseconds)
}

fn number(text: &str) -> Option<i64> {
    (!text.is_empty() && text.len() <= 9 && text.bytes().all(|byte| byte.is_ascii_digit()))
        .then(|| text.parse().ok())?
}

/// Days since 1970-01-01 in the proleptic Gregorian calendar (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms").
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_as_people_write_them() {
        for (text, expected) in [
            ("1970-01-01", Some(0)),
            ("2023-06-03 12:00:00", Some(1_685_793_600_000)),
            ("2023-06-03T12:00:00.250Z", Some(1_685_793_600_250)),
            ("2023-06-03 12:00", Some(1_685_793_600_000)),
            ("2023-06-03T12:00:00+02:00", Some(1_685_793_600_000)),
            ("2023-06-03T12:00:00.123456-0700", Some(1_685_793_600_123)),
            ("06/03/2023", Some(1_685_750_400_000)),
            ("06/03/2023 12:00:00", Some(1_685_793_600_000)),
            ("1872-02-29", Some(-3_087_504_000_000)),
            ("2023-13-03", None),
            ("23 ST", None),
            ("Bedford Av - L", None),
            ("", None),
            ("2023-06-03 noon", None),
        ] {
            assert_eq!(parse(text), expected, "{text}");
        }
    }

    #[test]
    fn numbers_of_any_unit() {
        for value in [1_685_793_600.0, 1_685_793_600_000.0, 1_685_793_600_000_000.0] {
            assert_eq!(from_number(value), Some(1_685_793_600_000));
        }
        assert_eq!(from_number(42.0), None);
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,48}") {
            let _ = parse(&text);
        }

        #[test]
        fn no_number_of_slots_makes_it_panic(text in "[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9:.+Z-]{0,24}") {
            let _ = parse(&text);
        }
    }
}
