//! NPY: one array of NumPy
//! (<https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>).

use super::file::{fault, fault_at, read_bytes, write_atomically};
use super::raw::{Format, decode, encode};
use crate::{DType, Error, Result, Value};
use std::path::Path;

const MAGIC: &[u8] = b"\x93NUMPY";

/// Reads an array that NumPy saved: bool, whole numbers and floats of any width and byte order, in
/// C or Fortran order. f16 becomes f32, smaller whole numbers i64.
///
/// # Errors
/// A file that is damaged or cut off; dtypes that are no numbers.
pub fn read_npy(path: impl AsRef<Path>) -> Result<Value> {
    let path = path.as_ref();
    parse(&read_bytes(path)?, &|byte, message| {
        fault_at(path, byte, message)
    })
}

/// Writes an array as NumPy does, atomically.
///
/// # Errors
/// What computing the Value gives; what the system says.
#[track_caller]
pub fn write_npy(path: impl AsRef<Path>, value: &Value) -> Result<()> {
    let bytes = to_bytes(value)?;
    write_atomically(path, |file| file.write_all(&bytes))
}

/// The array in `bytes`; `fault` makes the error for a place and what is wrong there.
pub(super) fn parse(bytes: &[u8], fault: &dyn Fn(usize, String) -> Error) -> Result<Value> {
    if !bytes.starts_with(MAGIC) {
        let message = "does not begin as NPY files do; save it with numpy.save";
        return Err(fault(0, message.into()));
    }
    let cut_off = |at: usize| {
        fault(
            at,
            "ends in the middle of the header: it was cut off".into(),
        )
    };
    let major = *bytes.get(6).ok_or_else(|| cut_off(6))?;
    let (length, start): (usize, usize) = match major {
        1 => match bytes.get(8..10) {
            Some(&[a, b]) => (usize::from(u16::from_le_bytes([a, b])), 10),
            _ => return Err(cut_off(8)),
        },
        2 | 3 => match bytes.get(8..12) {
            Some(&[a, b, c, d]) => (u32::from_le_bytes([a, b, c, d]) as usize, 12),
            _ => return Err(cut_off(8)),
        },
        _ => return Err(fault(6, format!("version {major} of NPY is not known"))),
    };
    let header = start
        .checked_add(length)
        .and_then(|end| bytes.get(start..end))
        .ok_or_else(|| cut_off(8))?;
    let header = str::from_utf8(header)
        .ok()
        .and_then(Header::parse)
        .ok_or_else(|| {
            let message = "the header is no dictionary of descr, fortran_order and shape";
            fault(start, message.into())
        })?;
    let data = &bytes[start + length..];
    let Some((format, big_endian)) = dtype(&header.descr) else {
        let message = format!(
            "dtype {:?} is not one of numbers; convert it, as in x.astype('float32')",
            header.descr
        );
        return Err(fault(start, message));
    };
    let wanted = format.bytes(&header.shape);
    if wanted != Some(data.len()) {
        let message = format!(
            "shape {:?} of {} needs {} bytes, the file has {}: it was cut off or appended to",
            header.shape,
            header.descr,
            wanted.map_or("too many".into(), |n| n.to_string()),
            data.len()
        );
        return Err(fault(start + length, message));
    }
    let mut shape = header.shape;
    if header.fortran_order {
        shape.reverse();
    }
    let value = decode(format, data, &shape, big_endian).map_err(|e| fault(start + length, e))?;
    Ok(match header.fortran_order {
        true => value.permute((0..shape.len()).rev().collect::<Vec<usize>>()),
        false => value,
    })
}

/// NumPy's name of a dtype: byte order, kind, size.
fn dtype(descr: &str) -> Option<(Format, bool)> {
    let big_endian = descr.starts_with('>');
    let format = match descr.trim_start_matches(['<', '>', '|', '=']) {
        "b1" | "?" => Format::Bool,
        "u1" | "B" => Format::U8,
        "i1" | "b" => Format::I8,
        "u2" => Format::U16,
        "i2" => Format::I16,
        "u4" => Format::U32,
        "i4" => Format::I32,
        "u8" => Format::U64,
        "i8" => Format::I64,
        "f2" => Format::F16,
        "f4" => Format::F32,
        "f8" => Format::F64,
        _ => return None,
    };
    Some((format, big_endian))
}

/// The header: a literal of a Python dictionary, as
/// `{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }`.
struct Header {
    descr: String,
    fortran_order: bool,
    shape: Vec<usize>,
}

impl Header {
    fn parse(text: &str) -> Option<Header> {
        let mut rest = text.trim().strip_prefix('{')?.strip_suffix('}')?.trim();
        let (mut descr, mut fortran_order, mut shape) = (None, None, None);
        while !rest.is_empty() {
            let (key, after) = quoted(rest)?;
            let after = after.trim_start().strip_prefix(':')?.trim_start();
            rest = match key {
                "descr" => {
                    let (text, after) = quoted(after)?;
                    descr = Some(text.to_string());
                    after
                }
                "fortran_order" => {
                    let (name, order) = match after.starts_with("True") {
                        true => ("True", true),
                        false => ("False", false),
                    };
                    fortran_order = Some(order);
                    after.strip_prefix(name)?
                }
                "shape" => {
                    let (dims, after) = after.strip_prefix('(')?.split_once(')')?;
                    let dims = dims.trim().strip_suffix(',').unwrap_or(dims.trim());
                    let dims = match dims.is_empty() {
                        true => Vec::new(),
                        false => {
                            let dims = dims.split(',').map(|d| d.trim().parse().ok());
                            dims.collect::<Option<Vec<usize>>>()?
                        }
                    };
                    // NumPy has no more axes than these.
                    shape = (dims.len() <= 64).then_some(dims);
                    after
                }
                _ => return None,
            };
            rest = rest.trim_start();
            rest = rest.strip_prefix(',').unwrap_or(rest).trim_start();
        }
        Some(Header {
            descr: descr?,
            fortran_order: fortran_order?,
            shape: shape?,
        })
    }
}

/// A text in quotes, and what comes after it.
fn quoted(text: &str) -> Option<(&str, &str)> {
    let quote = text.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
    text[1..].split_once(quote)
}

/// The file that holds a Value.
pub(super) fn to_bytes(value: &Value) -> Result<Vec<u8>> {
    let descr = match value.dtype() {
        DType::Bool => "|b1",
        DType::U8 => "|u1",
        DType::I64 => "<i8",
        DType::F32 => "<f4",
        DType::F64 => "<f8",
    };
    let dims: String = value.shape().iter().map(|d| format!("{d}, ")).collect();
    // One comma stays where there is one axis, as Python writes a tuple.
    let dims = match value.rank() {
        1 => dims.trim_end(),
        _ => dims.trim_end_matches(", "),
    };
    let mut header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({dims}), }}");
    // Padded so that the numbers begin at a multiple of 64.
    let length = (header.len() + 1 + 10).next_multiple_of(64) - 10;
    header.extend(std::iter::repeat_n(' ', length - header.len() - 1));
    header.push('\n');
    let short = u16::try_from(length)
        .map_err(|_| fault(Path::new(""), "too many axes for the header of an NPY file"))?;
    let mut bytes = MAGIC.to_vec();
    bytes.extend([1, 0]);
    bytes.extend(short.to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(encode(value)?);
    Ok(bytes)
}
