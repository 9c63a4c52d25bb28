//! Numbers as bytes: how arrays lie in files.

use crate::{DType, Result, Shape, Value};

/// The number formats of files; those that no dtype holds are widened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Bool,
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    U64,
    I64,
    F16,
    Bf16,
    F32,
    F64,
}

impl Format {
    /// Bytes of one number.
    pub fn size(self) -> usize {
        match self {
            Format::Bool | Format::U8 | Format::I8 => 1,
            Format::U16 | Format::I16 | Format::F16 | Format::Bf16 => 2,
            Format::U32 | Format::I32 | Format::F32 => 4,
            Format::U64 | Format::I64 | Format::F64 => 8,
        }
    }

    /// How many bytes an array of this shape has, if that can be counted.
    pub fn bytes(self, shape: &[usize]) -> Option<usize> {
        Shape::from(shape).checked_len()?.checked_mul(self.size())
    }
}

/// Numbers of `N` bytes each.
fn words<const N: usize>(bytes: &[u8], big_endian: bool) -> impl Iterator<Item = [u8; N]> {
    bytes.as_chunks::<N>().0.iter().map(move |word| {
        let mut word = *word;
        if big_endian {
            word.reverse();
        }
        word
    })
}

/// An array of its bytes, of which there are as many as the shape wants; else what is wrong.
pub(crate) fn decode(
    format: Format,
    bytes: &[u8],
    shape: &[usize],
    big_endian: bool,
) -> Result<Value, String> {
    if format.bytes(shape) != Some(bytes.len()) {
        let n = bytes.len();
        return Err(format!("shape {shape:?} of {format:?} is not {n} bytes"));
    }
    macro_rules! whole {
        ($t:ty) => {{
            let numbers = words(bytes, big_endian).map(<$t>::from_le_bytes);
            Value::from_vec(numbers.map(i64::from).collect::<Vec<i64>>(), shape)
        }};
    }
    Ok(match format {
        Format::Bool => {
            Value::from_vec(bytes.iter().map(|&b| b != 0).collect::<Vec<bool>>(), shape)
        }
        Format::U8 => Value::from_slice(bytes, shape),
        Format::I8 => whole!(i8),
        Format::U16 => whole!(u16),
        Format::I16 => whole!(i16),
        Format::U32 => whole!(u32),
        Format::I32 => whole!(i32),
        Format::I64 => whole!(i64),
        Format::U64 => {
            let numbers = words(bytes, big_endian).map(u64::from_le_bytes);
            let numbers: Option<Vec<i64>> = numbers.map(|x| i64::try_from(x).ok()).collect();
            let numbers = numbers.ok_or("a u64 is larger than i64 holds")?;
            Value::from_vec(numbers, shape)
        }
        Format::F16 => {
            let numbers = words(bytes, big_endian).map(u16::from_le_bytes);
            Value::from_vec(numbers.map(half).collect::<Vec<f32>>(), shape)
        }
        Format::Bf16 => {
            let numbers = words(bytes, big_endian).map(u16::from_le_bytes);
            let wide = |x: u16| f32::from_bits(u32::from(x) << 16);
            Value::from_vec(numbers.map(wide).collect::<Vec<f32>>(), shape)
        }
        Format::F32 => {
            let numbers = words(bytes, big_endian).map(f32::from_le_bytes);
            Value::from_vec(numbers.collect::<Vec<f32>>(), shape)
        }
        Format::F64 => {
            let numbers = words(bytes, big_endian).map(f64::from_le_bytes);
            Value::from_vec(numbers.collect::<Vec<f64>>(), shape)
        }
    })
}

/// IEEE 754 binary16 widened, exactly.
fn half(x: u16) -> f32 {
    let sign = u32::from(x >> 15) << 31;
    let (exponent, fraction) = (u32::from(x >> 10) & 0x1f, u32::from(x) & 0x3ff);
    match exponent {
        // Subnormal: the fraction counts 2^-24; the product is exact.
        0 => f32::from_bits(sign | (fraction as f32 * 2f32.powi(-24)).to_bits()),
        31 => f32::from_bits(sign | 0x7f80_0000 | fraction << 13),
        _ => f32::from_bits(sign | (exponent + 112) << 23 | fraction << 13),
    }
}

/// The bytes of a Value's elements, little-endian.
///
/// # Errors
/// What computing the Value gives.
#[track_caller]
pub(crate) fn encode(value: &Value) -> Result<Vec<u8>> {
    macro_rules! bytes {
        ($t:ty) => {{
            let numbers = value.to_vec::<$t>()?;
            numbers.into_iter().flat_map(<$t>::to_le_bytes).collect()
        }};
    }
    Ok(match value.dtype() {
        DType::Bool | DType::U8 => value.to_vec::<u8>()?,
        DType::I64 => bytes!(i64),
        DType::F32 => bytes!(f32),
        DType::F64 => bytes!(f64),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves() {
        let cases = [
            (0x3c00, 1.0),
            (0xc000, -2.0),
            (0x7bff, 65504.0),
            (0x0001, 5.960_464_5e-8),
            (0x0400, 6.103_515_6e-5),
            (0x3555, 0.333_251_95),
            (0x7c00, f32::INFINITY),
            (0x8000, -0.0),
        ];
        for (bits, x) in cases {
            assert_eq!(half(bits).to_bits(), x.to_bits(), "{bits:x}");
        }
        assert!(half(0x7e00).is_nan());
    }

    #[test]
    fn every_format_is_read_in_both_orders() {
        let ints = [
            (Format::I8, 1),
            (Format::U16, 2),
            (Format::I16, 2),
            (Format::U32, 4),
            (Format::I32, 4),
            (Format::U64, 8),
            (Format::I64, 8),
        ];
        for (format, size) in ints {
            let little: Vec<u8> = [5u64, 100]
                .iter()
                .flat_map(|x| x.to_le_bytes()[..size].to_vec())
                .collect();
            let big: Vec<u8> = [5u64, 100]
                .iter()
                .flat_map(|x| x.to_be_bytes()[8 - size..].to_vec())
                .collect();
            for (bytes, big_endian) in [(little, false), (big, true)] {
                let value = decode(format, &bytes, &[2], big_endian).unwrap();
                assert_eq!(value.to_vec::<i64>().unwrap(), [5, 100], "{format:?}");
            }
        }
        assert!(decode(Format::U64, &[0xff; 8], &[1], false).is_err());
        assert!(decode(Format::F32, &[0; 8], &[3], false).is_err());
        assert!(decode(Format::F64, &[0; 8], &[usize::MAX, 2], false).is_err());
    }
}
