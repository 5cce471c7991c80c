//! Numbers as Java reads and writes them.

/// Reads what `Long.parseLong` reads: an optional sign and digits.
#[inline]
pub(crate) fn parse_long(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    let (negative, digits) = match bytes.first()? {
        b'-' => (true, &bytes[1..]),
        b'+' => (false, &bytes[1..]),
        _ => (false, bytes),
    };
    if digits.is_empty() {
        return None;
    }
    if digits.len() > 18 {
        return parse_long_slow(negative, digits);
    }
    let mut value = 0i64;
    for b in digits {
        let digit = b.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value * 10 + i64::from(digit);
    }
    Some(if negative { -value } else { value })
}

#[cold]
fn parse_long_slow(negative: bool, digits: &[u8]) -> Option<i64> {
    let mut value = 0i64;
    for b in digits {
        let digit = i64::from(b.checked_sub(b'0').filter(|d| *d <= 9)?);
        // Downwards, as the smallest number has no positive twin.
        value = value.checked_mul(10)?.checked_sub(digit)?;
    }
    if negative { Some(value) } else { value.checked_neg() }
}

/// Reads what `Double.parseDouble` reads, hexadecimal aside: blanks around are fine, so is a suffix d or f; `NaN` and `Infinity` by name.
#[inline]
pub(crate) fn parse_double(text: &str) -> Option<f64> {
    let text = text.trim_matches(|c: char| c <= ' ');
    let last = *text.as_bytes().last()?;
    if last.is_ascii_digit() || last == b'.' {
        // Rust would also read inf and nan in any case; those do not end in a digit.
        return text.parse().ok();
    }
    match text.strip_prefix(['+', '-']).unwrap_or(text) {
        "NaN" => Some(f64::NAN),
        "Infinity" => Some(if text.starts_with('-') { f64::NEG_INFINITY } else { f64::INFINITY }),
        _ if matches!(last, b'd' | b'D' | b'f' | b'F') => {
            let number = &text[..text.len() - 1];
            if number.bytes().last().is_some_and(|b| b.is_ascii_digit() || b == b'.') {
                number.parse().ok()
            } else {
                None
            }
        }
        _ => None,
    }
}

/// The same for `Float.parseFloat`, which rounds once.
#[inline]
pub(crate) fn parse_float(text: &str) -> Option<f32> {
    let trimmed = text.trim_matches(|c: char| c <= ' ');
    match trimmed.as_bytes().last()? {
        b'0'..=b'9' | b'.' => trimmed.parse().ok(),
        _ => parse_double(text).map(|v| v as f32),
    }
}

/// A decimal text as an unscaled number and its scale (which may be negative): `-12.50` is (-1250, 2), `1e3` is (1, -3).
/// Digits beyond 38 that do not matter to `scale_max` are cut.
pub(crate) fn parse_decimal(text: &str) -> Option<(i128, i32)> {
    let bytes = text.as_bytes();
    let (negative, mut at) = match bytes.first()? {
        b'-' => (true, 1),
        b'+' => (false, 1),
        _ => (false, 0),
    };
    let (mut value, mut scale, mut digits, mut point) = (0i128, 0i32, 0usize, false);
    while at < bytes.len() {
        match bytes[at] {
            b @ b'0'..=b'9' => {
                digits += 1;
                let digit = i128::from(b - b'0');
                match value.checked_mul(10).and_then(|v| v.checked_add(digit)) {
                    Some(next) => {
                        value = next;
                        scale += i32::from(point);
                    }
                    // No DECIMAL holds so many digits; before the point they still count for size.
                    None if point => {}
                    None => scale -= 1,
                }
            }
            b'.' if !point => point = true,
            b'e' | b'E' if digits > 0 => {
                let exponent = parse_long(&text[at + 1..])?;
                scale = scale.checked_sub(i32::try_from(exponent).ok()?)?;
                at = bytes.len();
                continue;
            }
            _ => return None,
        }
        at += 1;
    }
    (digits > 0).then_some((if negative { -value } else { value }, scale))
}

/// The unscaled number at another scale, rounded half up (away from zero); nothing where it exceeds `precision` digits.
pub(crate) fn rescale(value: i128, from: i32, precision: u8, scale: i8) -> Option<i128> {
    let shift = i32::from(scale) - from;
    let scaled = if value == 0 {
        0
    } else if shift >= 0 {
        value.checked_mul(10i128.checked_pow(shift as u32)?)?
    } else {
        match 10i128.checked_pow(shift.unsigned_abs()) {
            Some(unit) => {
                let (whole, rest) = (value / unit, value % unit);
                if rest.unsigned_abs() >= unit.unsigned_abs().div_ceil(2) { whole + value.signum() } else { whole }
            }
            None => 0,
        }
    };
    (scaled.unsigned_abs() < 10u128.pow(u32::from(precision))).then_some(scaled)
}

/// `BigDecimal.toPlainString`.
pub(crate) fn write_decimal_plain(out: &mut Vec<u8>, value: i128, scale: i8) {
    let digits = value.unsigned_abs().to_string();
    if value < 0 {
        out.push(b'-');
    }
    if scale <= 0 {
        out.extend_from_slice(digits.as_bytes());
        out.extend(std::iter::repeat_n(b'0', if value == 0 { 0 } else { scale.unsigned_abs().into() }));
        return;
    }
    let scale = scale as usize;
    let padded = format!("{digits:0>width$}", width = scale + 1);
    let (whole, fraction) = padded.split_at(padded.len() - scale);
    out.extend_from_slice(whole.as_bytes());
    out.push(b'.');
    out.extend_from_slice(fraction.as_bytes());
}

/// `BigDecimal.toString`: an exponent where the number is very small (`0E-18`).
pub(crate) fn write_decimal(out: &mut Vec<u8>, value: i128, scale: i8) {
    let digits = value.unsigned_abs().to_string();
    let adjusted = digits.len() as i32 - 1 - i32::from(scale);
    if scale >= 0 && adjusted >= -6 {
        return write_decimal_plain(out, value, scale);
    }
    if value < 0 {
        out.push(b'-');
    }
    out.extend_from_slice(&digits.as_bytes()[..1]);
    if digits.len() > 1 {
        out.push(b'.');
        out.extend_from_slice(&digits.as_bytes()[1..]);
    }
    out.extend_from_slice(format!("E{adjusted:+}").as_bytes());
}

/// `Double.toString`: `1.0`, `1.0E10`, `1.0E-5`, `NaN`, `Infinity`.
#[inline]
pub(crate) fn write_double(out: &mut Vec<u8>, value: f64) {
    if !value.is_finite() {
        return write_special(out, value);
    }
    let size = value.abs();
    let mut buffer = ryu::Buffer::new();
    let text = buffer.format_finite(value);
    if (1e-3..1e7).contains(&size) || size == 0.0 {
        out.extend_from_slice(text.as_bytes());
    } else {
        write_scientific(out, text);
    }
}

/// `Float.toString`.
#[inline]
pub(crate) fn write_float(out: &mut Vec<u8>, value: f32) {
    if !value.is_finite() {
        return write_special(out, f64::from(value));
    }
    let size = value.abs();
    let mut buffer = ryu::Buffer::new();
    let text = buffer.format_finite(value);
    if (1e-3..1e7).contains(&size) || size == 0.0 {
        out.extend_from_slice(text.as_bytes());
    } else {
        write_scientific(out, text);
    }
}

fn write_special(out: &mut Vec<u8>, value: f64) {
    out.extend_from_slice(match value {
        v if v.is_nan() => b"NaN".as_slice(),
        v if v > 0.0 => b"Infinity",
        _ => b"-Infinity",
    });
}

/// Shortest digits, in ryu's spelling, rewritten as Java's `d.dddE±x`.
fn write_scientific(out: &mut Vec<u8>, text: &str) {
    let (mantissa, exponent) = match text.split_once('e') {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().unwrap_or(0)),
        None => (text, 0),
    };
    let unsigned = mantissa.strip_prefix('-').unwrap_or(mantissa);
    if unsigned.len() < mantissa.len() {
        out.push(b'-');
    }
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let all: Vec<u8> = whole.bytes().chain(fraction.bytes()).collect();
    let first = all.iter().position(|b| *b != b'0').unwrap_or(0);
    let last = all.iter().rposition(|b| *b != b'0').unwrap_or(0);
    let exponent = exponent + whole.len() as i32 - 1 - first as i32;
    out.push(all[first]);
    out.push(b'.');
    if last > first {
        out.extend_from_slice(&all[first + 1..=last]);
    } else {
        out.push(b'0');
    }
    out.push(b'E');
    out.extend_from_slice(itoa::Buffer::new().format(exponent).as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_are_written_as_java_writes_them() {
        let text = |v: f64| {
            let mut out = Vec::new();
            write_double(&mut out, v);
            String::from_utf8(out).unwrap()
        };
        let cases = [
            (1.0, "1.0"),
            (-0.0, "-0.0"),
            (0.001, "0.001"),
            (0.0001, "1.0E-4"),
            (1e7, "1.0E7"),
            (9_999_999.5, "9999999.5"),
            (1.234_567_89e10, "1.23456789E10"),
            (-1e10, "-1.0E10"),
            (1e300, "1.0E300"),
            (1.5e-320, "1.5E-320"),
            (0.1 + 0.2, "0.30000000000000004"),
            (123_456_789_012_345_680.0, "1.2345678901234568E17"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Infinity"),
        ];
        for (value, expected) in cases {
            assert_eq!(text(value), expected);
        }
    }

    #[test]
    fn decimals_round_half_up() {
        assert_eq!(parse_decimal("-12.50"), Some((-1250, 2)));
        assert_eq!(parse_decimal("1e3"), Some((1, -3)));
        assert_eq!(parse_decimal("."), None);
        assert_eq!(rescale(125, 2, 10, 1), Some(13));
        assert_eq!(rescale(-125, 2, 10, 1), Some(-13));
        assert_eq!(rescale(124, 2, 10, 1), Some(12));
        assert_eq!(rescale(1, -3, 3, 0), None);
        let mut out = Vec::new();
        write_decimal(&mut out, 0, 18);
        out.push(b' ');
        write_decimal_plain(&mut out, -5, 2);
        assert_eq!(out, b"0E-18 -0.05");
    }

    #[test]
    fn numbers_read_as_java_reads_them() {
        assert_eq!(parse_long("-9223372036854775808"), Some(i64::MIN));
        assert_eq!(parse_long("9223372036854775808"), None);
        assert_eq!(parse_long("0000000000000000000000012"), Some(12));
        for bad in ["", "+", "1.0", " 1", "1 "] {
            assert_eq!(parse_long(bad), None);
        }
        assert_eq!(parse_double(" 1.5 "), Some(1.5));
        assert_eq!(parse_double("1e3"), Some(1000.0));
        assert_eq!(parse_double("1.5d"), Some(1.5));
        assert_eq!(parse_double("-Infinity"), Some(f64::NEG_INFINITY));
        for bad in ["", "nan", "inf", "1,5", "e", "x1"] {
            assert_eq!(parse_double(bad), None, "{bad}");
        }
    }
}
