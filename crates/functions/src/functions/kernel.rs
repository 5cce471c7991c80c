//! Small parts that most functions are made of: arguments that are one value or a column, and columns built row by row.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, NullBufferBuilder, PrimitiveArray, StringArray,
};
use arrow::buffer::{Buffer, OffsetBuffer, ScalarBuffer};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::ColumnarValue;

use crate::udf::{Call, as_strings};

/// An argument of texts.
pub(crate) struct Texts {
    array: StringArray,
    constant: bool,
}

impl Texts {
    #[inline]
    pub(crate) fn get(&self, row: usize) -> Option<&str> {
        let row = if self.constant { 0 } else { row };
        (!self.array.is_null(row)).then(|| self.array.value(row))
    }

    /// The value for all rows, if there is one.
    pub(crate) fn constant(&self) -> Option<Option<&str>> {
        self.constant.then(|| self.get(0))
    }
}

/// An argument of numbers, dates or times.
pub(crate) struct Values<T: ArrowPrimitiveType> {
    array: PrimitiveArray<T>,
    constant: bool,
}

impl<T: ArrowPrimitiveType> Values<T> {
    #[inline]
    pub(crate) fn get(&self, row: usize) -> Option<T::Native> {
        let row = if self.constant { 0 } else { row };
        (!self.array.is_null(row)).then(|| self.array.value(row))
    }
}

impl Call<'_> {
    fn column(&self, i: usize) -> Result<(ArrayRef, bool)> {
        Ok(match &self.args[i] {
            ColumnarValue::Array(array) => (Arc::clone(array), false),
            ColumnarValue::Scalar(value) => (value.to_array()?, true),
        })
    }

    pub(crate) fn texts(&self, i: usize) -> Result<Texts> {
        let (array, constant) = self.column(i)?;
        Ok(Texts { array: as_strings(&array)?.as_string::<i32>().clone(), constant })
    }

    pub(crate) fn values<T: ArrowPrimitiveType>(&self, i: usize) -> Result<Values<T>> {
        let (array, constant) = self.column(i)?;
        let array = array.as_primitive_opt::<T>().cloned().ok_or_else(|| {
            DataFusionError::Internal(format!("{}: argument {} is of type {}", self.name, i + 1, array.data_type()))
        })?;
        Ok(Values { array, constant })
    }

    /// A text per row; `write` appends it, or gives `false` for null.
    pub(crate) fn build_texts(
        &self,
        mut write: impl FnMut(usize, &mut Vec<u8>) -> Result<bool>,
    ) -> Result<ColumnarValue> {
        let mut bytes = Vec::with_capacity(self.rows * 8);
        let mut offsets = Vec::with_capacity(self.rows + 1);
        offsets.push(0i32);
        let mut nulls = NullBufferBuilder::new(self.rows);
        for row in 0..self.rows {
            let start = bytes.len();
            let valid = write(row, &mut bytes)?;
            if !valid {
                bytes.truncate(start);
            }
            nulls.append(valid);
            offsets.push(i32::try_from(bytes.len()).map_err(|_| {
                DataFusionError::Execution(format!("{}: the texts of a batch exceed 2 GiB", self.name))
            })?);
        }
        let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
        Ok(ColumnarValue::Array(Arc::new(StringArray::try_new(offsets, Buffer::from_vec(bytes), nulls.finish())?)))
    }

    /// A text per row made of a text per row.
    pub(crate) fn map_text(&self, write: impl Fn(&str, &mut Vec<u8>)) -> Result<ColumnarValue> {
        let texts = self.texts(0)?;
        self.build_texts(|row, out| {
            let Some(text) = texts.get(row) else { return Ok(false) };
            write(text, out);
            Ok(true)
        })
    }

    /// A number, date or time per row, of the function's type.
    pub(crate) fn build<T: ArrowPrimitiveType>(
        &self,
        mut value: impl FnMut(usize) -> Result<Option<T::Native>>,
    ) -> Result<ColumnarValue> {
        let mut values = Vec::with_capacity(self.rows);
        let mut nulls = NullBufferBuilder::new(self.rows);
        for row in 0..self.rows {
            let value = value(row)?;
            nulls.append(value.is_some());
            values.push(value.unwrap_or_default());
        }
        let array = PrimitiveArray::<T>::try_new(ScalarBuffer::from(values), nulls.finish())?;
        Ok(ColumnarValue::Array(Arc::new(array.with_data_type(self.return_type.clone()))))
    }

    /// A boolean per row.
    pub(crate) fn build_booleans(&self, value: impl FnMut(usize) -> Result<Option<bool>>) -> Result<ColumnarValue> {
        let values = (0..self.rows).map(value).collect::<Result<Vec<_>>>()?;
        Ok(ColumnarValue::Array(Arc::new(BooleanArray::from(values))))
    }
}
