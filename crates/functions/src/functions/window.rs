//! `window(ts, duration[, slide[, start]])` and `window_time(window)`.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, StructArray, TimestampMicrosecondArray};
use arrow::buffer::{OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, Field, Fields, TimestampMicrosecondType};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::ColumnarValue;

use crate::ddl::timestamp;
use crate::error::SparkError;
use crate::interval::parse_interval;
use crate::udf::{Call, Function, Returns, types};

/// A window's length, its step and the moment that some window begins at; µs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct WindowSpec {
    /// Length.
    pub duration_us: i64,
    /// From one window's start to the next one's; equal to the length for tumbling windows.
    pub slide_us: i64,
    /// Windows begin at this moment plus whole slides.
    pub start_us: i64,
}

impl WindowSpec {
    /// From texts as in SQL; without `slide` the windows tumble.
    pub fn parse(duration: &str, slide: Option<&str>, start: Option<&str>) -> Result<Self, SparkError> {
        let duration_us = parse_interval(duration)?.fixed_us()?;
        let slide_us = slide.map_or(Ok(duration_us), |text| parse_interval(text)?.fixed_us())?;
        let start_us = start.map_or(Ok(0), |text| parse_interval(text)?.fixed_us())?;
        let refuse = |why: &str| Err(SparkError::new(SparkError::INVALID_PARAMETER_VALUE, format!("window: {why}")));
        if duration_us <= 0 {
            return refuse("the duration should be more than 0");
        }
        if slide_us <= 0 || slide_us > duration_us {
            return refuse("the slide should be more than 0 and at most the duration");
        }
        if start_us.abs() >= slide_us {
            return refuse("the start should be less than the slide");
        }
        Ok(Self { duration_us, slide_us, start_us })
    }

    /// One window after the other, without overlap?
    pub fn is_tumbling(&self) -> bool {
        self.duration_us == self.slide_us
    }

    /// Start of the last window that a moment lies in.
    #[inline]
    pub fn last_start(&self, us: i64) -> i64 {
        us - (us - self.start_us).rem_euclid(self.slide_us)
    }

    /// Every window that a moment lies in, latest first, as (start, end).
    #[inline]
    pub fn windows(&self, us: i64) -> impl Iterator<Item = (i64, i64)> + use<> {
        let (last, spec) = (self.last_start(us), *self);
        (0..)
            .map(move |n| last - n * spec.slide_us)
            .take_while(move |start| start + spec.duration_us > us)
            .map(move |start| (start, start + spec.duration_us))
    }

    /// How many windows a moment lies in at most.
    pub fn overlap(&self) -> usize {
        ((self.duration_us + self.slide_us - 1) / self.slide_us) as usize
    }
}

/// Type of a window: `STRUCT<start: TIMESTAMP, end: TIMESTAMP>`, of TIMESTAMP_NTZ for such times.
pub fn window_type(time: &DataType) -> DataType {
    let time = match time {
        DataType::Timestamp(_, None) => crate::ddl::timestamp_ntz(),
        _ => timestamp(),
    };
    DataType::Struct(Fields::from(vec![Field::new("start", time.clone(), true), Field::new("end", time, true)]))
}

pub(crate) fn window() -> Function {
    Function::new(
        "window",
        2..=4,
        arguments,
        |r| Ok(window_type(&r.types[0])),
        |call| {
            let spec = spec(call)?;
            if !spec.is_tumbling() {
                return Err(DataFusionError::Plan(
                    "window: a sliding window gives several rows per row; it may stand in GROUP BY only".into(),
                ));
            }
            Ok(ColumnarValue::Array(tumbling(&call.array(0)?, &spec, call.return_type)?))
        },
    )
}

/// `sliding_windows(ts, duration, slide[, start])`: all windows of a moment as a list, for the planner to unnest.
pub(crate) fn sliding_windows() -> Function {
    let returns = |r: &Returns<'_>| Ok(crate::ddl::list_of(window_type(&r.types[0])));
    Function::new("sliding_windows", 2..=4, arguments, returns, |call| {
        let spec = spec(call)?;
        let DataType::List(item) = call.return_type else {
            return Err(DataFusionError::Internal("sliding_windows gives a list".into()));
        };
        let array = call.array(0)?;
        let times = array.as_primitive::<TimestampMicrosecondType>();
        let (mut starts, mut ends) = (Vec::new(), Vec::new());
        let mut offsets = vec![0i32];
        for time in times {
            for (start, end) in time.into_iter().flat_map(|us| spec.windows(us)) {
                starts.push(start);
                ends.push(end);
            }
            offsets.push(i32::try_from(starts.len()).map_err(|_| {
                DataFusionError::Execution("too many sliding windows in one batch: make the slide longer".into())
            })?);
        }
        let values = windows_array(starts.into(), ends.into(), None, item.data_type())?;
        let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
        Ok(ColumnarValue::Array(Arc::new(ListArray::try_new(
            Arc::clone(item),
            offsets,
            values,
            times.nulls().cloned(),
        )?)))
    })
}

pub(crate) fn window_time() -> Function {
    let returns = |r: &Returns<'_>| match &r.types[0] {
        DataType::Struct(fields) if fields.len() == 2 && fields[1].name() == "end" => Ok(fields[1].data_type().clone()),
        other => types::refuse("window_time", other, "a window"),
    };
    Function::new("window_time", 1..=1, types::any, returns, |call| {
        let array = call.array(0)?;
        let ends = array.as_struct().column(1).as_primitive::<TimestampMicrosecondType>();
        let out = ends.unary::<_, TimestampMicrosecondType>(|us| us - 1).with_data_type(call.return_type.clone());
        Ok(ColumnarValue::Array(Arc::new(out)))
    })
}

fn arguments(name: &str, given: &[DataType]) -> Result<Vec<DataType>> {
    let mut out = vec![types::moment(name, &given[0])?];
    out.extend(given[1..].iter().map(|t| match t {
        DataType::Interval(_) | DataType::Duration(_) => t.clone(),
        _ => DataType::Utf8,
    }));
    Ok(out)
}

fn spec(call: &Call<'_>) -> Result<WindowSpec> {
    let text = |i: usize| -> Result<Option<String>> {
        if !call.has(i) {
            return Ok(None);
        }
        match call.constant(i) {
            Some(Some(text)) => Ok(Some(text)),
            _ => Err(DataFusionError::Plan(format!(
                "{}: argument {} should be a duration written as text, like '5 minutes'",
                call.name,
                i + 1
            ))),
        }
    };
    let duration = text(1)?.unwrap_or_default();
    Ok(WindowSpec::parse(&duration, text(2)?.as_deref(), text(3)?.as_deref())?)
}

fn tumbling(array: &ArrayRef, spec: &WindowSpec, data_type: &DataType) -> Result<ArrayRef> {
    let times = array.as_primitive::<TimestampMicrosecondType>();
    let starts: Vec<i64> = times.values().iter().map(|&us| spec.last_start(us)).collect();
    let ends: Vec<i64> = starts.iter().map(|start| start + spec.duration_us).collect();
    windows_array(starts.into(), ends.into(), times.nulls().cloned(), data_type)
}

/// Windows of starts and ends.
pub(crate) fn windows_array(
    starts: ScalarBuffer<i64>,
    ends: ScalarBuffer<i64>,
    nulls: Option<arrow::buffer::NullBuffer>,
    data_type: &DataType,
) -> Result<ArrayRef> {
    let DataType::Struct(fields) = data_type else {
        return Err(DataFusionError::Internal("a window is a struct".into()));
    };
    let column = |values: ScalarBuffer<i64>| -> Result<ArrayRef> {
        let array = TimestampMicrosecondArray::try_new(values, nulls.clone())?;
        Ok(Arc::new(array.with_data_type(fields[0].data_type().clone())))
    };
    Ok(Arc::new(StructArray::try_new(fields.clone(), vec![column(starts)?, column(ends)?], nulls.clone())?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 60_000_000;

    #[test]
    fn windows_are_aligned_to_1970_and_reach_before_it() {
        let five = WindowSpec::parse("5 minutes", None, None).unwrap();
        assert_eq!(five.last_start(7 * MINUTE), 5 * MINUTE);
        assert_eq!(five.last_start(-MINUTE), -5 * MINUTE);
        let shifted = WindowSpec::parse("1 hour", None, Some("15 minutes")).unwrap();
        assert_eq!(shifted.last_start(10 * MINUTE), -45 * MINUTE);
        let sliding = WindowSpec::parse("10 minutes", Some("5 minutes"), None).unwrap();
        let found: Vec<_> = sliding.windows(12 * MINUTE).collect();
        assert_eq!(found, [(10 * MINUTE, 20 * MINUTE), (5 * MINUTE, 15 * MINUTE)]);
        let uneven = WindowSpec::parse("7 minutes", Some("5 minutes"), None).unwrap();
        assert_eq!(uneven.windows(13 * MINUTE).count(), 1);
        assert_eq!(uneven.windows(11 * MINUTE).count(), 2);
        assert_eq!(uneven.overlap(), 2);
        assert!(WindowSpec::parse("5 minutes", Some("10 minutes"), None).is_err());
        assert!(WindowSpec::parse("1 month", None, None).is_err());
    }
}
