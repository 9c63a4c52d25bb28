//! IDX: the format of MNIST (<https://yann.lecun.com/exdb/mnist/>), plain or gzip.

use super::file::{fault_at, read_unpacked};
use super::raw::{Format, decode};
use crate::{Result, Value};
use std::path::Path;

/// Reads an array of MNIST's format, unpacked where it is gzip (up to 1 GiB): bytes become u8,
/// wider whole numbers i64, floats f32 and f64.
///
/// # Errors
/// A file that does not begin as IDX does, or is not as long as its header says.
pub fn read_idx(path: impl AsRef<Path>) -> Result<Value> {
    let path = path.as_ref();
    let bytes = read_unpacked(path)?;
    let Some(([0, 0, kind, rank], rest)) = bytes.split_first_chunk::<4>() else {
        let message = "does not begin as IDX files do (two zeros, the number format, the axes)";
        return Err(fault_at(path, 0, message));
    };
    let format = match kind {
        0x08 => Format::U8,
        0x09 => Format::I8,
        0x0b => Format::I16,
        0x0c => Format::I32,
        0x0d => Format::F32,
        0x0e => Format::F64,
        _ => {
            let message = format!("number format {kind:#04x} is not one of IDX; not an IDX file?");
            return Err(fault_at(path, 2, message));
        }
    };
    let rank = usize::from(*rank);
    let Some((dims, data)) = rest.split_at_checked(4 * rank) else {
        let message = format!("ends before the lengths of its {rank} axes: it was cut off");
        return Err(fault_at(path, 4, message));
    };
    let dims = dims.as_chunks::<4>().0.iter();
    let shape: Vec<usize> = dims.map(|d| u32::from_be_bytes(*d) as usize).collect();
    if format.bytes(&shape) != Some(data.len()) {
        let message = format!(
            "shape {shape:?} does not fit the {} bytes that follow: it was cut off or appended to",
            data.len()
        );
        return Err(fault_at(path, 4 + 4 * rank, message));
    }
    decode(format, data, &shape, true).map_err(|e| fault_at(path, 4, e))
}
