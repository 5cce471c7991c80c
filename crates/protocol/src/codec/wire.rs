//! How each type stands on the wire.

use bytes::Bytes;
use uuid::Uuid;

use super::{DecodeError, DecodeErrorKind, Reader, Writer};
use crate::ErrorCode;

/// What a type must know of the field it stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// Version of the message.
    pub version: i16,
    /// Whether the version has compact lengths and tagged fields.
    pub flexible: bool,
    /// Whether null may stand here in this version. Where it may not, `None` is written as empty.
    pub nullable: bool,
}

/// A type of a message's field.
pub trait Wire: Sized {
    /// Appends the value.
    fn encode(&self, writer: &mut Writer, field: Field);
    /// Reads a value.
    fn decode(reader: &mut Reader<'_>, field: Field) -> Result<Self, DecodeError>;
}

macro_rules! numbers {
    ($($type:ty)*) => {$(
        impl Wire for $type {
            fn encode(&self, writer: &mut Writer, _: Field) {
                writer.raw(&self.to_be_bytes());
            }
            fn decode(reader: &mut Reader<'_>, _: Field) -> Result<Self, DecodeError> {
                reader.array().map(<$type>::from_be_bytes)
            }
        }
    )*};
}

numbers!(i8 i16 u16 i32 u32 i64 f64);

impl Wire for bool {
    fn encode(&self, writer: &mut Writer, _: Field) {
        writer.i8(i8::from(*self));
    }
    fn decode(reader: &mut Reader<'_>, _: Field) -> Result<Self, DecodeError> {
        reader.i8().map(|byte| byte != 0)
    }
}

impl Wire for Uuid {
    fn encode(&self, writer: &mut Writer, _: Field) {
        writer.raw(self.as_bytes());
    }
    fn decode(reader: &mut Reader<'_>, _: Field) -> Result<Self, DecodeError> {
        reader.array().map(Uuid::from_bytes)
    }
}

impl Wire for ErrorCode {
    fn encode(&self, writer: &mut Writer, _: Field) {
        writer.i16(self.code());
    }
    fn decode(reader: &mut Reader<'_>, _: Field) -> Result<Self, DecodeError> {
        reader.i16().map(ErrorCode::from_code)
    }
}

/// The value, or an error if it is null and the field may not be.
fn present<T>(reader: &Reader<'_>, value: Option<T>) -> Result<T, DecodeError> {
    value.ok_or_else(|| reader.error(DecodeErrorKind::Null))
}

fn present_unless_nullable<T>(reader: &Reader<'_>, value: Option<T>, field: Field) -> Result<Option<T>, DecodeError> {
    if field.nullable { Ok(value) } else { present(reader, value).map(Some) }
}

impl Wire for String {
    fn encode(&self, writer: &mut Writer, field: Field) {
        writer.string(Some(self), field.flexible);
    }
    fn decode(reader: &mut Reader<'_>, field: Field) -> Result<Self, DecodeError> {
        let text = reader.string(field.flexible)?;
        present(reader, text).map(str::to_owned)
    }
}

impl Wire for Option<String> {
    fn encode(&self, writer: &mut Writer, field: Field) {
        writer.string(self.as_deref().or((!field.nullable).then_some("")), field.flexible);
    }
    fn decode(reader: &mut Reader<'_>, field: Field) -> Result<Self, DecodeError> {
        let text = reader.string(field.flexible)?;
        Ok(present_unless_nullable(reader, text, field)?.map(str::to_owned))
    }
}

impl Wire for Bytes {
    fn encode(&self, writer: &mut Writer, field: Field) {
        writer.bytes(Some(self), field.flexible);
    }
    fn decode(reader: &mut Reader<'_>, field: Field) -> Result<Self, DecodeError> {
        let bytes = reader.bytes(field.flexible)?;
        present(reader, bytes)
    }
}

impl Wire for Option<Bytes> {
    fn encode(&self, writer: &mut Writer, field: Field) {
        let empty = Bytes::new();
        writer.bytes(self.as_ref().or((!field.nullable).then_some(&empty)), field.flexible);
    }
    fn decode(reader: &mut Reader<'_>, field: Field) -> Result<Self, DecodeError> {
        let bytes = reader.bytes(field.flexible)?;
        present_unless_nullable(reader, bytes, field)
    }
}

fn encode_all<T: Wire>(items: &[T], writer: &mut Writer, field: Field) {
    writer.count(Some(items.len()), field.flexible);
    let field = Field { nullable: false, ..field };
    items.iter().for_each(|item| item.encode(writer, field));
}

fn decode_all<T: Wire>(reader: &mut Reader<'_>, field: Field) -> Result<Option<Vec<T>>, DecodeError> {
    let Some(count) = reader.count(field.flexible, size_of::<T>())? else {
        return Ok(None);
    };
    let field = Field { nullable: false, ..field };
    // A stated count is worth a few elements in advance, no more.
    let mut items = Vec::with_capacity(count.min(64));
    for _ in 0..count {
        items.push(T::decode(reader, field)?);
    }
    Ok(Some(items))
}

impl<T: Wire> Wire for Vec<T> {
    fn encode(&self, writer: &mut Writer, field: Field) {
        encode_all(self, writer, field);
    }
    fn decode(reader: &mut Reader<'_>, field: Field) -> Result<Self, DecodeError> {
        let items = decode_all(reader, field)?;
        present(reader, items)
    }
}

impl<T: Wire> Wire for Option<Vec<T>> {
    fn encode(&self, writer: &mut Writer, field: Field) {
        match self {
            Some(items) => encode_all(items, writer, field),
            None => writer.count((!field.nullable).then_some(0), field.flexible),
        }
    }
    fn decode(reader: &mut Reader<'_>, field: Field) -> Result<Self, DecodeError> {
        let items = decode_all(reader, field)?;
        present_unless_nullable(reader, items, field)
    }
}
