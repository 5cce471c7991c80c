//! Values of every type of a message's field, by chance: for tests. A schema's structs get theirs from the macro that makes them.

use bytes::Bytes;
use uuid::Uuid;

use super::{Field, Wire};
use crate::ErrorCode;

/// A small generator of its own, so that a failure can be repeated.
pub(crate) struct Noise(pub u64);

impl Noise {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    pub fn below(&mut self, end: usize) -> usize {
        self.next() as usize % end
    }

    fn bits(&mut self) -> u64 {
        self.next() << 33 ^ self.next()
    }
}

/// A type that can be made up. What is made is what the field can carry: written and read again it is the same.
pub(crate) trait Sample: Wire {
    fn sample(noise: &mut Noise, field: Field) -> Self;
}

macro_rules! numbers {
    ($($type:ty)*) => {$(
        impl Sample for $type {
            fn sample(noise: &mut Noise, _: Field) -> Self {
                match noise.below(5) {
                    0 => 0,
                    1 => <$type>::MAX,
                    2 => <$type>::MIN,
                    3 => 1,
                    _ => noise.bits() as $type,
                }
            }
        }
    )*};
}

numbers!(i8 i16 u16 i32 u32 i64);

impl Sample for f64 {
    fn sample(noise: &mut Noise, _: Field) -> Self {
        [0.0, -1.5, f64::MAX, f64::MIN_POSITIVE, f64::INFINITY, noise.next() as f64 / 7.0][noise.below(6)]
    }
}

impl Sample for bool {
    fn sample(noise: &mut Noise, _: Field) -> Self {
        noise.below(2) == 1
    }
}

impl Sample for Uuid {
    fn sample(noise: &mut Noise, _: Field) -> Self {
        if noise.below(4) == 0 { Uuid::nil() } else { Uuid::from_u64_pair(noise.bits(), noise.bits()) }
    }
}

impl Sample for ErrorCode {
    fn sample(noise: &mut Noise, _: Field) -> Self {
        ErrorCode::from_code(noise.below(140) as i16 - 2)
    }
}

impl Sample for String {
    fn sample(noise: &mut Noise, _: Field) -> Self {
        // A length that takes two bytes, and now and then the longest there is.
        let length = match noise.below(200) {
            0 => super::TEXT_BYTES_MAX,
            other => [0, 1, 5, 20, 130][other % 5],
        };
        let mut text = String::new();
        while text.len() < length {
            text.push(['a', 'Z', ' ', '\0', 'é', '漢', '🦀'][noise.below(7)]);
        }
        text.truncate(text.floor_char_boundary(length));
        text
    }
}

impl Sample for Bytes {
    fn sample(noise: &mut Noise, _: Field) -> Self {
        // From some length on bytes are not copied.
        let length = [0, 1, 3, 127, 128, 5000][noise.below(6)];
        (0..length).map(|_| noise.next() as u8).collect()
    }
}

impl<T: Sample> Sample for Vec<T>
where
    Vec<T>: Wire,
{
    fn sample(noise: &mut Noise, field: Field) -> Self {
        let field = Field { nullable: false, ..field };
        (0..[0, 1, 2, 3][noise.below(4)]).map(|_| T::sample(noise, field)).collect()
    }
}

/// Nothing, only where that may be.
pub(crate) fn sometimes<T: Sample>(noise: &mut Noise, field: Field) -> Option<T>
where
    Option<T>: Wire,
{
    let is_null = field.nullable && noise.below(3) == 0;
    (!is_null).then(|| T::sample(noise, field))
}

impl Sample for Option<String> {
    fn sample(noise: &mut Noise, field: Field) -> Self {
        sometimes(noise, field)
    }
}

impl Sample for Option<Bytes> {
    fn sample(noise: &mut Noise, field: Field) -> Self {
        sometimes(noise, field)
    }
}

impl<T: Sample> Sample for Option<Vec<T>> {
    fn sample(noise: &mut Noise, field: Field) -> Self {
        sometimes(noise, field)
    }
}
