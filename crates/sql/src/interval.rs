//! Lengths of time in SQL.

use millstream_functions::interval::parse_interval;

/// `10 minutes`, `1 hour 30 minutes`, in µs. The error says what is wrong.
pub(crate) fn parse_us(text: &str) -> Result<i64, String> {
    parse_interval(text).and_then(|interval| interval.fixed_us()).map_err(|error| error.message)
}

/// Months, days and µs of an interval. As in Spark, months do not stand beside shorter units.
pub(crate) fn parse_parts(text: &str) -> Result<(i32, i32, i64), String> {
    let interval = parse_interval(text).map_err(|error| error.message)?;
    if interval.months != 0 && (interval.days != 0 || interval.micros != 0) {
        return Err(format!("'{text}' mixes months with shorter units: add one after the other"));
    }
    Ok((interval.months, interval.days, interval.micros))
}

/// The units from the longest, with what stands between the number of one and that of the next.
const UNITS: [(&str, &str); 4] = [("DAY", " "), ("HOUR", ":"), ("MINUTE", ":"), ("SECOND", "")];

/// `'1:30' HOUR TO MINUTE`, written as `1 HOUR 30 MINUTE`.
pub(crate) fn spell_out(text: &str, from: &str, to: &str) -> Result<String, String> {
    let wrong = |example: &str| format!("'{text}' is not an interval {from} TO {to}: write for example '{example}'");
    let (sign, digits) = match text.trim().strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", text.trim().trim_start_matches('+')),
    };
    let number = |part: &str, below: u32| {
        let whole = part.split_once('.').map_or(part, |(whole, _)| whole);
        let fits = whole.parse::<u32>().is_ok_and(|number| number < below);
        fits && part.chars().all(|c| c.is_ascii_digit() || c == '.')
    };
    if (from, to) == ("YEAR", "MONTH") {
        let parts = digits.split_once('-').filter(|(year, month)| number(year, u32::MAX) && number(month, 12));
        let (year, month) = parts.ok_or_else(|| wrong("1-6"))?;
        return Ok(format!("{sign}{year} YEAR {sign}{month} MONTH"));
    }
    let place = |unit: &str| UNITS.iter().position(|(name, _)| *name == unit);
    let (Some(first), Some(last)) = (place(from), place(to)) else {
        return Err(wrong("1-6' YEAR TO MONTH or '1:30' HOUR TO MINUTE"));
    };
    if first >= last {
        return Err(format!("an interval goes from a longer unit to a shorter one, not {from} TO {to}"));
    }
    let example: String = (first..=last)
        .map(|at| ["1", "02", "03", "04"][at].to_string() + if at < last { UNITS[at].1 } else { "" })
        .collect();
    let (mut rest, mut out) = (digits, Vec::new());
    for (at, (unit, separator)) in UNITS.iter().enumerate().take(last + 1).skip(first) {
        let (part, behind) =
            if at == last { (rest, "") } else { rest.split_once(separator).ok_or_else(|| wrong(&example))? };
        let below = match *unit {
            _ if at == first => u32::MAX,
            "HOUR" => 24,
            _ => 60,
        };
        if !number(part, below) || (part.contains('.') && *unit != "SECOND") {
            return Err(wrong(&example));
        }
        out.push(format!("{sign}{part} {unit}"));
        rest = behind;
    }
    Ok(out.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_of_a_range_of_units_are_spelled_out() {
        assert_eq!(spell_out("1:30", "HOUR", "MINUTE").unwrap(), "1 HOUR 30 MINUTE");
        assert_eq!(spell_out("-1 2:3:4.5", "DAY", "SECOND").unwrap(), "-1 DAY -2 HOUR -3 MINUTE -4.5 SECOND");
        assert_eq!(spell_out("1-2", "YEAR", "MONTH").unwrap(), "1 YEAR 2 MONTH");
        assert_eq!(spell_out("+100:30", "HOUR", "MINUTE").unwrap(), "100 HOUR 30 MINUTE");
        for (text, from, to) in [
            ("1:60", "HOUR", "MINUTE"),
            ("1", "HOUR", "MINUTE"),
            ("1:2", "MINUTE", "HOUR"),
            ("x:1", "HOUR", "MINUTE"),
            ("1-2", "YEAR", "DAY"),
        ] {
            assert!(spell_out(text, from, to).is_err(), "{text} {from} TO {to}");
        }
    }
}
