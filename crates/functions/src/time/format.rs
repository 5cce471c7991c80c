//! Writing a moment by a pattern.

use super::civil::{Civil, split_micros, weekday};
use super::lenient::{push_two, push_year};
use super::pattern::{Field, Item, MONTHS, OffsetStyle, Pattern, WEEKDAYS};
use super::zone::Zone;

impl Pattern {
    /// Appends a moment, seen on the wall clock of `zone`.
    pub fn format(&self, us: i64, zone: Zone, out: &mut Vec<u8>) {
        let moment = Moment { us, local: zone.to_local(us), zone };
        write_items(&self.items, &moment, &Civil::from_micros(moment.local), out);
    }
}

struct Moment {
    us: i64,
    local: i64,
    zone: Zone,
}

fn write_items(items: &[Item], moment: &Moment, civil: &Civil, out: &mut Vec<u8>) {
    for item in items {
        match item {
            Item::Literal(text) => out.extend_from_slice(text.as_bytes()),
            Item::Number { field: Field::Year, min: 4, .. } => push_year(out, civil.year),
            Item::Number { field, min, .. } => {
                let value = number(*field, moment, civil);
                if *min == 2 && (0..100).contains(&value) {
                    push_two(out, value as u32);
                } else {
                    let width = *min;
                    out.extend_from_slice(format!("{value:0width$}").as_bytes());
                }
            }
            Item::ShortYear => push_two(out, civil.year.rem_euclid(100) as u32),
            Item::Fraction { max, .. } => {
                let nanos = format!("{:09}", civil.micro * 1000);
                out.extend_from_slice(&nanos.as_bytes()[..*max]);
            }
            Item::MonthText { full } => name(MONTHS[civil.month as usize - 1], *full, out),
            Item::WeekdayText { full } => {
                name(WEEKDAYS[weekday(split_micros(moment.local).0) as usize], *full, out);
            }
            Item::QuarterText { full } => {
                let quarter = (civil.month - 1) / 3;
                let text = if *full {
                    ["1st quarter", "2nd quarter", "3rd quarter", "4th quarter"][quarter as usize]
                } else {
                    ["Q1", "Q2", "Q3", "Q4"][quarter as usize]
                };
                out.extend_from_slice(text.as_bytes());
            }
            Item::AmPm => out.extend_from_slice(if civil.hour < 12 { b"AM" } else { b"PM" }),
            Item::Era { full } => out.extend_from_slice(match (*full, civil.year > 0) {
                (true, true) => b"Anno Domini".as_slice(),
                (true, false) => b"Before Christ",
                (false, true) => b"AD",
                (false, false) => b"BC",
            }),
            Item::Offset(style) => write_offset(style, moment.zone.offset_s(moment.us), out),
            Item::ZoneId | Item::ZoneName => out.extend_from_slice(moment.zone.name().as_bytes()),
            Item::Optional(inner) => write_items(inner, moment, civil, out),
        }
    }
}

fn name(name: &str, full: bool, out: &mut Vec<u8>) {
    out.extend_from_slice(if full { name.as_bytes() } else { &name.as_bytes()[..3] });
}

fn number(field: Field, moment: &Moment, civil: &Civil) -> i64 {
    let half = |hour: u32| i64::from(if hour.is_multiple_of(12) { 12 } else { hour % 12 });
    match field {
        Field::Year => i64::from(civil.year),
        Field::Month => i64::from(civil.month),
        Field::Day => i64::from(civil.day),
        Field::DayOfYear => i64::from(civil.day_of_year()),
        Field::Hour => i64::from(civil.hour),
        Field::ClockHour => i64::from(if civil.hour == 0 { 24 } else { civil.hour }),
        Field::ClockHourAmPm => half(civil.hour),
        Field::HourAmPm => i64::from(civil.hour % 12),
        Field::Minute => i64::from(civil.minute),
        Field::Second => moment.local.rem_euclid(60_000_000) / 1_000_000,
        Field::Quarter => i64::from((civil.month - 1) / 3 + 1),
        Field::AlignedWeek => i64::from((civil.day - 1) / 7 + 1),
    }
}

fn write_offset(style: &OffsetStyle, seconds: i32, out: &mut Vec<u8>) {
    if style.gmt {
        out.extend_from_slice(b"GMT");
    }
    if seconds == 0 && (style.zulu || style.gmt) {
        if style.zulu {
            out.push(b'Z');
        }
        return;
    }
    out.push(if seconds < 0 { b'-' } else { b'+' });
    let (hours, minutes) = (seconds.unsigned_abs() / 3600, seconds.unsigned_abs() / 60 % 60);
    if style.gmt && style.short {
        out.extend_from_slice(hours.to_string().as_bytes());
    } else {
        push_two(out, hours);
    }
    if style.short && minutes == 0 {
        return;
    }
    if style.colon {
        out.push(b':');
    }
    push_two(out, minutes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_write_as_in_spark() {
        let us =
            Civil { year: 2024, month: 1, day: 6, hour: 13, minute: 2, second: 3, micro: 45_600 }.to_micros().unwrap();
        let cases = [
            ("yyyy-MM-dd HH:mm:ss", "2024-01-06 13:02:03"),
            ("yyyy-MM-dd'T'HH:mm:ss.SSSXXX", "2024-01-06T13:02:03.045Z"),
            ("M/d/yy h:mm a", "1/6/24 1:02 PM"),
            ("EEE, dd MMM yyyy", "Sat, 06 Jan 2024"),
            ("EEEE d MMMM", "Saturday 6 January"),
            ("D Q QQQ", "6 1 Q1"),
            ("yyyy''MM", "2024'01"),
            ("HH:mm:ss.SSSSSS xxx Z VV", "13:02:03.045600 +00:00 +0000 UTC"),
        ];
        for (pattern, expected) in cases {
            let mut out = Vec::new();
            Pattern::for_formatting(pattern).unwrap().format(us, Zone::Utc, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), expected, "{pattern}");
        }
    }
}
