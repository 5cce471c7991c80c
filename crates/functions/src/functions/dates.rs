//! Functions of dates and times. Fields of a TIMESTAMP are those of the session's wall clock.

use std::sync::Arc;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float64Type, Int32Type, Int64Type, TimestampMicrosecondType,
};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::ColumnarValue;

use crate::cast::{CastMode, cast_array};
use crate::ddl::{timestamp, timestamp_ntz};
use crate::error::SparkError;
use crate::interval::{MICROS_PER_DAY, MICROS_PER_SECOND};
use crate::time::{Civil, Zone, civil_from_days, days_from_civil, days_in_month, iso_week, split_micros, weekday};
use crate::udf::{Call, Function, Returns, types};

fn int(_: &Returns<'_>) -> Result<DataType> {
    Ok(DataType::Int32)
}

fn bigint(_: &Returns<'_>) -> Result<DataType> {
    Ok(DataType::Int64)
}

fn date(_: &Returns<'_>) -> Result<DataType> {
    Ok(DataType::Date32)
}

fn text(_: &Returns<'_>) -> Result<DataType> {
    Ok(DataType::Utf8)
}

fn time(_: &Returns<'_>) -> Result<DataType> {
    Ok(timestamp())
}

/// All functions of this file.
pub(crate) fn all() -> Vec<Function> {
    vec![
        Function::new("year", 1..=1, days_types, int, |call| of_day(call, |d| civil_from_days(d).0)),
        Function::new("month", 1..=1, days_types, int, |call| of_day(call, |d| civil_from_days(d).1 as i32)),
        Function::new("day", 1..=1, days_types, int, |call| of_day(call, |d| civil_from_days(d).2 as i32))
            .alias(&["dayofmonth"]),
        Function::new("quarter", 1..=1, days_types, int, |call| of_day(call, quarter)),
        Function::new("dayofweek", 1..=1, days_types, int, |call| of_day(call, day_of_week)),
        Function::new("weekday", 1..=1, days_types, int, |call| of_day(call, |d| weekday(d) as i32)),
        Function::new("dayofyear", 1..=1, days_types, int, |call| of_day(call, day_of_year)),
        Function::new("weekofyear", 1..=1, days_types, int, |call| of_day(call, |d| iso_week(d).1 as i32)),
        Function::new("dayname", 1..=1, days_types, text, |call| {
            names(call, |d| ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"][weekday(d) as usize])
        }),
        Function::new("monthname", 1..=1, days_types, text, |call| {
            const MONTHS: [&str; 12] =
                ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
            names(call, |d| MONTHS[civil_from_days(d).1 as usize - 1])
        }),
        Function::new("hour", 1..=1, moment_types, int, |call| of_time(call, |us| us / (3600 * MICROS_PER_SECOND))),
        Function::new("minute", 1..=1, moment_types, int, |call| {
            of_time(call, |us| us / (60 * MICROS_PER_SECOND) % 60)
        }),
        Function::new("second", 1..=1, moment_types, int, |call| of_time(call, |us| us / MICROS_PER_SECOND % 60)),
        Function::new("date_part", 2..=2, part_types, part_type, date_part).alias(&["datepart", "extract"]),
        Function::new("date_trunc", 2..=2, part_types, |r| types::moment("date_trunc", &r.types[1]), date_trunc),
        Function::new("trunc", 2..=2, |_, _| Ok(vec![DataType::Date32, DataType::Utf8]), date, trunc),
        Function::new("date_add", 2..=2, date_and_int, date, |call| add_days(call, 1)).alias(&["dateadd"]),
        Function::new("date_sub", 2..=2, date_and_int, date, |call| add_days(call, -1)),
        Function::new("datediff", 2..=2, days_types, int, |call| {
            let (end, start) = (days(call, 0)?, days(call, 1)?);
            call.build::<Int32Type>(|row| Ok(end(row).zip(start(row)).map(|(end, start)| end - start)))
        })
        .alias(&["date_diff"]),
        Function::new("add_months", 2..=2, date_and_int, date, |call| {
            let (days, months) = (call.values::<Date32Type>(0)?, call.values::<Int32Type>(1)?);
            call.build::<Date32Type>(|row| {
                Ok(days.get(row).zip(months.get(row)).map(|(days, months)| plus_months(days, i64::from(months))))
            })
        }),
        Function::new("months_between", 2..=3, months_types, |_| Ok(DataType::Float64), months_between),
        Function::new("last_day", 1..=1, days_types, date, |call| {
            let days = days(call, 0)?;
            call.build::<Date32Type>(|row| {
                Ok(days(row).map(|d| {
                    let (year, month, _) = civil_from_days(d);
                    days_from_civil(year, month, days_in_month(year, month))
                }))
            })
        }),
        Function::new("next_day", 2..=2, |_, _| Ok(vec![DataType::Date32, DataType::Utf8]), date, next_day)
            .constants(&[(1, |name, _| weekday_named(name).map(drop))]),
        Function::new("make_date", 3..=3, |_, t| Ok(vec![DataType::Int32; t.len()]), date, make_date),
        Function::new("make_timestamp", 6..=7, make_timestamp_types, time, |call| make_timestamp(call, false))
            .constants(&[(6, is_zone)]),
        Function::new("try_make_timestamp", 6..=7, make_timestamp_types, time, |call| make_timestamp(call, true))
            .constants(&[(6, is_zone)]),
        Function::new("timestamp_seconds", 1..=1, seconds_types, time, |call| {
            Ok(ColumnarValue::Array(cast_array(&call.array(0)?, &timestamp(), CastMode::Ansi, call.session)?))
        }),
        Function::new("timestamp_millis", 1..=1, |_, _| Ok(vec![DataType::Int64]), time, |call| from_units(call, 1000)),
        Function::new("timestamp_micros", 1..=1, |_, _| Ok(vec![DataType::Int64]), time, |call| from_units(call, 1)),
        Function::new("unix_seconds", 1..=1, moment_types, bigint, |call| to_units(call, MICROS_PER_SECOND)),
        Function::new("unix_millis", 1..=1, moment_types, bigint, |call| to_units(call, 1000)),
        Function::new("unix_micros", 1..=1, moment_types, bigint, |call| to_units(call, 1)),
        Function::new(
            "unix_date",
            1..=1,
            |_, _| Ok(vec![DataType::Date32]),
            int,
            |call| {
                let days = call.values::<Date32Type>(0)?;
                call.build::<Int32Type>(|row| Ok(days.get(row)))
            },
        ),
        Function::new(
            "date_from_unix_date",
            1..=1,
            |_, _| Ok(vec![DataType::Int32]),
            date,
            |call| {
                let days = call.values::<Int32Type>(0)?;
                call.build::<Date32Type>(|row| Ok(days.get(row)))
            },
        ),
        Function::new("from_utc_timestamp", 2..=2, zone_types, time, |call| {
            shift_zone(call, |zone, us| zone.to_local(us))
        })
        .constants(&[(1, is_zone)]),
        Function::new("to_utc_timestamp", 2..=2, zone_types, time, |call| shift_zone(call, |zone, us| zone.to_utc(us)))
            .constants(&[(1, is_zone)]),
        Function::new("timestampdiff", 3..=3, diff_types, bigint, timestampdiff).constants(&[(0, is_unit)]),
        Function::new("timestampadd", 3..=3, add_types, |r| types::moment("timestampadd", &r.types[2]), timestampadd)
            .constants(&[(0, is_unit)]),
        Function::new("current_timestamp", 0..=0, types::any, time, |call| now(call, |us, _| us))
            .alias(&["now"])
            .volatile()
            .never_null(),
        Function::new(
            "localtimestamp",
            0..=0,
            types::any,
            |_| Ok(timestamp_ntz()),
            |call| now(call, |us, zone| zone.to_local(us)),
        )
        .volatile()
        .never_null(),
        Function::new("current_date", 0..=0, types::any, date, |call| {
            let day = split_micros(call.session.zone.to_local(call.session.now_us())).0;
            call.build::<Date32Type>(|_| Ok(Some(day)))
        })
        .alias(&["curdate"])
        .volatile()
        .never_null(),
        Function::new("current_timezone", 0..=0, types::any, text, |call| {
            let name = call.session.zone.name();
            call.build_texts(|_, out| {
                out.extend_from_slice(name.as_bytes());
                Ok(true)
            })
        }),
    ]
}

fn days_types(name: &str, given: &[DataType]) -> Result<Vec<DataType>> {
    given
        .iter()
        .map(|t| match types::plain(t) {
            t @ (DataType::Date32 | DataType::Timestamp(..)) => Ok(t),
            DataType::Utf8 | DataType::Null => Ok(DataType::Utf8),
            other => types::refuse(name, &other, "DATE"),
        })
        .collect()
}

fn moment_types(name: &str, given: &[DataType]) -> Result<Vec<DataType>> {
    given
        .iter()
        .map(|t| match types::plain(t) {
            DataType::Utf8 | DataType::Null => Ok(DataType::Utf8),
            t @ (DataType::Date32 | DataType::Timestamp(..)) => Ok(t),
            other => types::refuse(name, &other, "TIMESTAMP"),
        })
        .collect()
}

fn part_types(name: &str, given: &[DataType]) -> Result<Vec<DataType>> {
    Ok(vec![DataType::Utf8, moment_types(name, &given[1..])?.remove(0)])
}

fn date_and_int(name: &str, given: &[DataType]) -> Result<Vec<DataType>> {
    match types::plain(&given[0]) {
        DataType::Date32 | DataType::Timestamp(..) | DataType::Utf8 | DataType::Null => {}
        other => return types::refuse(name, &other, "DATE"),
    }
    Ok(vec![DataType::Date32, types::int(name, &given[1])?])
}

fn seconds_types(name: &str, given: &[DataType]) -> Result<Vec<DataType>> {
    match types::plain(&given[0]) {
        DataType::Null => Ok(vec![DataType::Int64]),
        t if t.is_numeric() => Ok(vec![t]),
        other => types::refuse(name, &other, "a number"),
    }
}

fn zone_types(name: &str, given: &[DataType]) -> Result<Vec<DataType>> {
    types::moment(name, &given[0])?;
    Ok(vec![timestamp(), DataType::Utf8])
}

fn diff_types(name: &str, given: &[DataType]) -> Result<Vec<DataType>> {
    let mut out = vec![DataType::Utf8];
    for t in &given[1..] {
        types::moment(name, t)?;
        out.push(timestamp());
    }
    Ok(out)
}

fn add_types(name: &str, given: &[DataType]) -> Result<Vec<DataType>> {
    Ok(vec![DataType::Utf8, DataType::Int64, types::moment(name, &given[2])?])
}

fn months_types(_: &str, given: &[DataType]) -> Result<Vec<DataType>> {
    let mut out = vec![timestamp(), timestamp()];
    out.extend(given[2..].iter().map(|_| DataType::Boolean));
    Ok(out)
}

fn make_timestamp_types(_: &str, given: &[DataType]) -> Result<Vec<DataType>> {
    let mut out = vec![DataType::Int32; 5];
    out.push(DataType::Decimal128(16, 6));
    out.extend(given[6..].iter().map(|_| DataType::Utf8));
    Ok(out)
}

/// Argument `i` as days since 1970, per row.
fn days(call: &Call<'_>, i: usize) -> Result<impl Fn(usize) -> Option<i32>> {
    let days = cast_array(&call.array(i)?, &DataType::Date32, CastMode::Ansi, call.session)?;
    let days = days.as_primitive::<Date32Type>().clone();
    Ok(move |row: usize| (!days.is_null(row)).then(|| days.value(row)))
}

/// Argument `i` as µs of the session's wall clock, per row.
fn wall_clock(call: &Call<'_>, i: usize) -> Result<impl Fn(usize) -> Option<i64>> {
    let array = call.array(i)?;
    let ntz = matches!(array.data_type(), DataType::Timestamp(_, None));
    let array = if matches!(array.data_type(), DataType::Timestamp(..)) {
        array
    } else {
        cast_array(&array, &timestamp(), CastMode::Ansi, call.session)?
    };
    let times = array.as_primitive::<TimestampMicrosecondType>().clone();
    let zone = if ntz { Zone::Utc } else { call.session.zone };
    Ok(move |row: usize| (!times.is_null(row)).then(|| zone.to_local(times.value(row))))
}

fn of_day(call: &Call<'_>, f: impl Fn(i32) -> i32) -> Result<ColumnarValue> {
    let days = days(call, 0)?;
    call.build::<Int32Type>(|row| Ok(days(row).map(&f)))
}

fn names(call: &Call<'_>, f: impl Fn(i32) -> &'static str) -> Result<ColumnarValue> {
    let days = days(call, 0)?;
    call.build_texts(|row, out| {
        let Some(day) = days(row) else { return Ok(false) };
        out.extend_from_slice(f(day).as_bytes());
        Ok(true)
    })
}

fn of_time(call: &Call<'_>, f: impl Fn(i64) -> i64) -> Result<ColumnarValue> {
    let clock = wall_clock(call, 0)?;
    call.build::<Int32Type>(|row| Ok(clock(row).map(|us| f(us.rem_euclid(MICROS_PER_DAY)) as i32)))
}

fn quarter(days: i32) -> i32 {
    (civil_from_days(days).1 as i32 - 1) / 3 + 1
}

/// 1 = Sunday.
fn day_of_week(days: i32) -> i32 {
    (weekday(days) as i32 + 1) % 7 + 1
}

fn day_of_year(days: i32) -> i32 {
    days - days_from_civil(civil_from_days(days).0, 1, 1) + 1
}

/// A field of a date or time, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Year,
    YearOfWeek,
    Quarter,
    Month,
    Week,
    Day,
    DayOfWeek,
    DayOfWeekIso,
    DayOfYear,
    Hour,
    Minute,
    /// With its fraction: DECIMAL(8,6).
    Second,
}

fn part(name: &str) -> Result<Part> {
    Ok(match name.to_ascii_lowercase().as_str() {
        "year" | "y" | "years" | "yr" | "yrs" => Part::Year,
        "yearofweek" => Part::YearOfWeek,
        "quarter" | "qtr" => Part::Quarter,
        "month" | "mon" | "mons" | "months" => Part::Month,
        "week" | "w" | "weeks" => Part::Week,
        "day" | "d" | "days" => Part::Day,
        "dayofweek" | "dow" => Part::DayOfWeek,
        "dayofweek_iso" | "dow_iso" => Part::DayOfWeekIso,
        "doy" => Part::DayOfYear,
        "hour" | "h" | "hours" | "hr" | "hrs" => Part::Hour,
        "minute" | "m" | "min" | "mins" | "minutes" => Part::Minute,
        "second" | "s" | "sec" | "seconds" | "secs" => Part::Second,
        other => {
            return Err(DataFusionError::Plan(format!(
                "date_part: the field '{other}' is unknown; there are YEAR, QUARTER, MONTH, WEEK, DAY, DAYOFWEEK, DOY, HOUR, MINUTE, SECOND"
            )));
        }
    })
}

fn part_type(returns: &Returns<'_>) -> Result<DataType> {
    Ok(match part(&returns.literal("date_part", 0)?)? {
        Part::Second => DataType::Decimal128(8, 6),
        _ => DataType::Int32,
    })
}

fn date_part(call: &Call<'_>) -> Result<ColumnarValue> {
    let part = part(&call.constant(0).flatten().unwrap_or_default())?;
    let clock = wall_clock(call, 1)?;
    if part == Part::Second {
        return call
            .build::<Decimal128Type>(|row| Ok(clock(row).map(|us| i128::from(us.rem_euclid(60 * MICROS_PER_SECOND)))));
    }
    call.build::<Int32Type>(|row| {
        Ok(clock(row).map(|us| {
            let (day, of_day) = split_micros(us);
            match part {
                Part::Year => civil_from_days(day).0,
                Part::YearOfWeek => iso_week(day).0,
                Part::Quarter => quarter(day),
                Part::Month => civil_from_days(day).1 as i32,
                Part::Week => iso_week(day).1 as i32,
                Part::Day => civil_from_days(day).2 as i32,
                Part::DayOfWeek => day_of_week(day),
                Part::DayOfWeekIso => weekday(day) as i32 + 1,
                Part::DayOfYear => day_of_year(day),
                Part::Hour => (of_day / (3600 * MICROS_PER_SECOND)) as i32,
                Part::Minute => (of_day / (60 * MICROS_PER_SECOND) % 60) as i32,
                Part::Second => (of_day / MICROS_PER_SECOND % 60) as i32,
            }
        }))
    })
}

/// What times are cut to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    Micros(i64),
    Week,
    Month,
    Quarter,
    Year,
}

fn unit(name: &str) -> Option<Unit> {
    Some(match name.to_ascii_lowercase().as_str() {
        "microsecond" => Unit::Micros(1),
        "millisecond" => Unit::Micros(1000),
        "second" => Unit::Micros(MICROS_PER_SECOND),
        "minute" => Unit::Micros(60 * MICROS_PER_SECOND),
        "hour" => Unit::Micros(3600 * MICROS_PER_SECOND),
        "day" | "dd" => Unit::Micros(MICROS_PER_DAY),
        "week" => Unit::Week,
        "month" | "mon" | "mm" => Unit::Month,
        "quarter" => Unit::Quarter,
        "year" | "yyyy" | "yy" => Unit::Year,
        _ => return None,
    })
}

fn cut_days(days: i32, unit: Unit) -> i32 {
    let (year, month, _) = civil_from_days(days);
    match unit {
        Unit::Micros(_) => days,
        Unit::Week => days - weekday(days) as i32,
        Unit::Month => days_from_civil(year, month, 1),
        Unit::Quarter => days_from_civil(year, (month - 1) / 3 * 3 + 1, 1),
        Unit::Year => days_from_civil(year, 1, 1),
    }
}

fn date_trunc(call: &Call<'_>) -> Result<ColumnarValue> {
    let units = call.texts(0)?;
    let clock = wall_clock(call, 1)?;
    let zone = if matches!(call.return_type, DataType::Timestamp(_, None)) { Zone::Utc } else { call.session.zone };
    let constant = units.constant().map(|name| name.and_then(unit));
    call.build::<TimestampMicrosecondType>(|row| {
        let unit = match constant {
            Some(unit) => unit,
            None => units.get(row).and_then(unit),
        };
        Ok(unit.zip(clock(row)).map(|(unit, us)| match unit {
            Unit::Micros(size) => zone.to_utc(us - us.rem_euclid(size)),
            _ => zone.to_utc(i64::from(cut_days(split_micros(us).0, unit)) * MICROS_PER_DAY),
        }))
    })
}

/// Units of a day and below have no meaning to a date: null.
fn trunc(call: &Call<'_>) -> Result<ColumnarValue> {
    let (days, units) = (call.values::<Date32Type>(0)?, call.texts(1)?);
    call.build::<Date32Type>(|row| {
        let unit = units.get(row).and_then(unit).filter(|unit| !matches!(unit, Unit::Micros(_)));
        Ok(unit.zip(days.get(row)).map(|(unit, days)| cut_days(days, unit)))
    })
}

fn add_days(call: &Call<'_>, sign: i32) -> Result<ColumnarValue> {
    let (days, by) = (call.values::<Date32Type>(0)?, call.values::<Int32Type>(1)?);
    call.build::<Date32Type>(|row| match days.get(row).zip(by.get(row)) {
        None => Ok(None),
        Some((days, by)) => match by.checked_mul(sign).and_then(|by| days.checked_add(by)) {
            Some(day) => Ok(Some(day)),
            None => Err(SparkError::overflow("date", "").into()),
        },
    })
}

/// The same day of another month, or that month's last.
fn plus_months(days: i32, months: i64) -> i32 {
    let (year, month, day) = civil_from_days(days);
    let total = i64::from(year) * 12 + i64::from(month) - 1 + months;
    let (year, month) = (total.div_euclid(12) as i32, total.rem_euclid(12) as u32 + 1);
    days_from_civil(year, month, day.min(days_in_month(year, month)))
}

/// Whole months where both are the same day or both the last of their months; else 31 days make a month. Eight digits.
fn months_between(call: &Call<'_>) -> Result<ColumnarValue> {
    let (ends, starts) = (wall_clock(call, 0)?, wall_clock(call, 1)?);
    let rounds = !call.has(2) || call.args[2].to_array(call.rows)?.as_boolean().value(0);
    call.build::<Float64Type>(|row| {
        Ok(ends(row).zip(starts(row)).map(|(a, b)| {
            let (x, y) = (Civil::from_micros(a), Civil::from_micros(b));
            let months = f64::from((x.year - y.year) * 12 + x.month as i32 - y.month as i32);
            let last = |c: &Civil| c.day == days_in_month(c.year, c.month);
            if x.day == y.day || (last(&x) && last(&y)) {
                return months;
            }
            let seconds =
                |c: &Civil, us: i64| i64::from(c.day) * 86_400 + us.rem_euclid(MICROS_PER_DAY) / MICROS_PER_SECOND;
            let value = months + (seconds(&x, a) - seconds(&y, b)) as f64 / (31.0 * 86_400.0);
            if rounds { (value * 1e8).round() / 1e8 } else { value }
        }))
    })
}

fn next_day(call: &Call<'_>) -> Result<ColumnarValue> {
    let (days, names) = (call.values::<Date32Type>(0)?, call.texts(1)?);
    call.build::<Date32Type>(|row| {
        let (Some(day), Some(name)) = (days.get(row), names.get(row)) else { return Ok(None) };
        Ok(Some(day + 7 - (weekday(day) as i32 - weekday_named(name)?).rem_euclid(7)))
    })
}

/// Days since Monday.
fn weekday_named(name: &str) -> Result<i32> {
    Ok(match name.trim().to_ascii_lowercase().as_str() {
        "mo" | "mon" | "monday" => 0,
        "tu" | "tue" | "tuesday" => 1,
        "we" | "wed" | "wednesday" => 2,
        "th" | "thu" | "thursday" => 3,
        "fr" | "fri" | "friday" => 4,
        "sa" | "sat" | "saturday" => 5,
        "su" | "sun" | "sunday" => 6,
        _ => {
            let message = format!("next_day: '{name}' is no day of the week; write for example 'Monday' or 'MO'");
            return Err(SparkError::new("ILLEGAL_DAY_OF_WEEK", message).into());
        }
    })
}

fn out_of_bounds(what: String) -> DataFusionError {
    SparkError::new(SparkError::DATETIME_FIELD_OUT_OF_BOUNDS, what).into()
}

fn make_date(call: &Call<'_>) -> Result<ColumnarValue> {
    let (years, months, days) =
        (call.values::<Int32Type>(0)?, call.values::<Int32Type>(1)?, call.values::<Int32Type>(2)?);
    call.build::<Date32Type>(|row| {
        let (Some(y), Some(m), Some(d)) = (years.get(row), months.get(row), days.get(row)) else { return Ok(None) };
        let month = u32::try_from(m).ok().filter(|m| (1..=12).contains(m));
        match month.filter(|&m| d >= 1 && d as u32 <= days_in_month(y, m) && y.abs() < 5_800_000) {
            Some(month) => Ok(Some(days_from_civil(y, month, d as u32))),
            None => Err(out_of_bounds(format!("make_date: there is no day {y}-{m}-{d}"))),
        }
    })
}

fn make_timestamp(call: &Call<'_>, lenient: bool) -> Result<ColumnarValue> {
    let fields = (0..5).map(|i| call.values::<Int32Type>(i)).collect::<Result<Vec<_>>>()?;
    let seconds = call.values::<Decimal128Type>(5)?;
    let zones = if call.has(6) { Some(call.texts(6)?) } else { None };
    call.build::<TimestampMicrosecondType>(|row| {
        let given: Option<Vec<i32>> = fields.iter().map(|f| f.get(row)).collect();
        let (Some(given), Some(micros)) = (given, seconds.get(row)) else { return Ok(None) };
        let zone = match &zones {
            None => call.session.zone,
            Some(zones) => match zones.get(row) {
                None => return Ok(None),
                Some(name) => zone_named(name)?,
            },
        };
        let small = |v: i32| u32::try_from(v).unwrap_or(u32::MAX);
        // Second 60 is allowed, as in PostgreSQL, and begins the next minute.
        let leap = micros == 60_000_000;
        let micros = if leap { 0 } else { micros };
        let civil = Civil {
            year: given[0],
            month: small(given[1]),
            day: small(given[2]),
            hour: small(given[3]),
            minute: small(given[4]),
            second: u32::try_from(micros / 1_000_000).unwrap_or(u32::MAX),
            micro: u32::try_from(micros % 1_000_000).unwrap_or(0),
        };
        match civil.to_micros() {
            Some(local) => Ok(Some(zone.to_utc(local + if leap { 60 * MICROS_PER_SECOND } else { 0 }))),
            None if lenient => Ok(None),
            None => Err(out_of_bounds(format!("make_timestamp: {given:?} are no date and time"))),
        }
    })
}

fn from_units(call: &Call<'_>, size: i64) -> Result<ColumnarValue> {
    let units = call.values::<Int64Type>(0)?;
    call.build::<TimestampMicrosecondType>(|row| match units.get(row) {
        None => Ok(None),
        Some(v) => v.checked_mul(size).map(Some).ok_or_else(|| SparkError::overflow("long", "").into()),
    })
}

fn to_units(call: &Call<'_>, size: i64) -> Result<ColumnarValue> {
    let array = cast_array(&call.array(0)?, &timestamp(), CastMode::Ansi, call.session)?;
    let times = array.as_primitive::<TimestampMicrosecondType>();
    Ok(ColumnarValue::Array(Arc::new(times.unary::<_, Int64Type>(|us| us.div_euclid(size)))))
}

fn shift_zone(call: &Call<'_>, shift: impl Fn(Zone, i64) -> i64) -> Result<ColumnarValue> {
    let (times, zones) = (call.values::<TimestampMicrosecondType>(0)?, call.texts(1)?);
    call.build::<TimestampMicrosecondType>(|row| {
        let (Some(us), Some(name)) = (times.get(row), zones.get(row)) else { return Ok(None) };
        Ok(Some(shift(zone_named(name)?, us)))
    })
}

fn zone_named(name: &str) -> Result<Zone> {
    Zone::parse(name).ok_or_else(|| {
        let remedy = Zone::nearest(name).map_or_else(
            || "write for example Europe/Berlin, UTC or +02:00".to_owned(),
            |near| format!("did you mean '{near}'?"),
        );
        SparkError::new("INVALID_TIMEZONE", format!("'{name}' is no time zone; {remedy}")).into()
    })
}

fn is_zone(name: &str, _: &[DataType]) -> Result<()> {
    zone_named(name).map(drop)
}

fn is_unit(name: &str, _: &[DataType]) -> Result<()> {
    step(name).map(drop)
}

/// A length of a unit: µs, or months.
fn step(name: &str) -> Result<(i64, i64)> {
    Ok(match name.to_ascii_lowercase().as_str() {
        "microsecond" => (1, 0),
        "millisecond" => (1000, 0),
        "second" => (MICROS_PER_SECOND, 0),
        "minute" => (60 * MICROS_PER_SECOND, 0),
        "hour" => (3600 * MICROS_PER_SECOND, 0),
        "day" | "dayofyear" => (MICROS_PER_DAY, 0),
        "week" => (7 * MICROS_PER_DAY, 0),
        "month" => (0, 1),
        "quarter" => (0, 3),
        "year" => (0, 12),
        other => return Err(DataFusionError::Plan(format!("the unit '{other}' is unknown; write for example MINUTE"))),
    })
}

/// Whole units from the second argument to the third.
fn timestampdiff(call: &Call<'_>) -> Result<ColumnarValue> {
    let (micros, months) = step(&call.constant(0).flatten().unwrap_or_default())?;
    let (starts, ends) = (wall_clock(call, 1)?, wall_clock(call, 2)?);
    call.build::<Int64Type>(|row| {
        Ok(starts(row).zip(ends(row)).map(|(start, end)| {
            if micros > 0 {
                // Between the times on the clock, also over a change to summer time: so does Spark.
                return (end - start) / micros;
            }
            let (a, b) = (Civil::from_micros(start), Civil::from_micros(end));
            let mut whole = i64::from((b.year - a.year) * 12 + b.month as i32 - a.month as i32);
            let rest = |c: &Civil, us: i64| (i64::from(c.day), us.rem_euclid(MICROS_PER_DAY));
            if whole > 0 && rest(&b, end) < rest(&a, start) {
                whole -= 1;
            } else if whole < 0 && rest(&b, end) > rest(&a, start) {
                whole += 1;
            }
            whole / months
        }))
    })
}

fn timestampadd(call: &Call<'_>) -> Result<ColumnarValue> {
    let (micros, months) = step(&call.constant(0).flatten().unwrap_or_default())?;
    let (counts, times) = (call.values::<Int64Type>(1)?, wall_clock(call, 2)?);
    let zone = if matches!(call.return_type, DataType::Timestamp(_, None)) { Zone::Utc } else { call.session.zone };
    call.build::<TimestampMicrosecondType>(|row| {
        let (Some(count), Some(local)) = (counts.get(row), times(row)) else { return Ok(None) };
        let overflow = || DataFusionError::from(SparkError::overflow("timestamp", ""));
        Ok(Some(if months > 0 {
            let (days, of_day) = split_micros(local);
            let months = count.checked_mul(months).filter(|m| m.abs() < 3_000_000).ok_or_else(overflow)?;
            zone.to_utc(i64::from(plus_months(days, months)) * MICROS_PER_DAY + of_day)
        } else {
            let by = count.checked_mul(micros).ok_or_else(overflow)?;
            if micros % MICROS_PER_DAY == 0 {
                zone.to_utc(local.checked_add(by).ok_or_else(overflow)?)
            } else {
                zone.to_utc(local).checked_add(by).ok_or_else(overflow)?
            }
        }))
    })
}

fn now(call: &Call<'_>, f: impl Fn(i64, Zone) -> i64) -> Result<ColumnarValue> {
    let us = f(call.session.now_us(), call.session.zone);
    call.build::<TimestampMicrosecondType>(|_| Ok(Some(us)))
}
