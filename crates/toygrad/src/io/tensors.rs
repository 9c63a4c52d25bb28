//! Safetensors: named arrays after a JSON header
//! (<https://huggingface.co/docs/safetensors>).

use super::file::{fault, fault_at, read_bytes, write_atomically};
use super::raw::{Format, decode, encode};
use crate::{DType, Result, Value};
use safetensors::tensor::{Dtype, Metadata, View};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

/// The most that a header may have, as in the reference implementation.
const MAX_HEADER: usize = 100_000_000;

/// Named arrays, and text about them.
#[derive(Clone, Debug, Default)]
pub struct Tensors {
    /// The arrays by name.
    pub values: BTreeMap<String, Value>,
    /// Texts by name: the header's `__metadata__`.
    pub metadata: BTreeMap<String, String>,
}

/// Reads a safetensors file. f16 and bf16 become f32, smaller whole numbers i64.
///
/// # Errors
/// A file that is damaged or lies about its lengths; number formats that no dtype holds.
pub fn read_safetensors(path: impl AsRef<Path>) -> Result<Tensors> {
    let path = path.as_ref();
    let bytes = read_bytes(path)?;
    parse(path, &bytes)
}

fn parse(path: &Path, bytes: &[u8]) -> Result<Tensors> {
    let Some((length, rest)) = bytes.split_first_chunk::<8>() else {
        let message = "too short to be safetensors, which begin with 8 bytes of header length";
        return Err(fault(path, message));
    };
    let length = usize::try_from(u64::from_le_bytes(*length))
        .ok()
        .filter(|&n| n <= MAX_HEADER && n <= rest.len());
    let Some(length) = length else {
        let message = "the header is said to be longer than the file: not safetensors, or cut off";
        return Err(fault_at(path, 0, message));
    };
    let (header, data) = rest.split_at(length);
    // The reference implementation's own checks: offsets without gaps, sizes that fit the shapes.
    let header: Metadata = serde_json::from_slice(header).map_err(|e| {
        let message = format!("the header is damaged ({e}); fetch or save the file again");
        fault_at(path, 8, message)
    })?;
    if header.data_len() != data.len() {
        let message = format!(
            "the header describes {} bytes of numbers, the file has {}: it was cut off or appended to",
            header.data_len(),
            data.len()
        );
        return Err(fault_at(path, 8 + length, message));
    }
    let mut tensors = Tensors::default();
    for (name, info) in header.tensors() {
        let Some(format) = format(info.dtype) else {
            let message = format!(
                "tensor {name} is {:?}, which toygrad has no dtype for; convert it to F32",
                info.dtype
            );
            return Err(fault(path, message));
        };
        let (start, end) = info.data_offsets;
        let value = match data.get(start..end) {
            Some(bytes) => decode(format, bytes, &info.shape, false),
            None => Err("it lies outside the file".into()),
        };
        let value = value.map_err(|e| fault(path, format!("tensor {name}: {e}")))?;
        tensors.values.insert(name, value);
    }
    if let Some(texts) = header.metadata() {
        let texts = texts.iter().map(|(k, v)| (k.clone(), v.clone()));
        tensors.metadata = texts.collect();
    }
    Ok(tensors)
}

fn format(dtype: Dtype) -> Option<Format> {
    Some(match dtype {
        Dtype::BOOL => Format::Bool,
        Dtype::U8 => Format::U8,
        Dtype::I8 => Format::I8,
        Dtype::U16 => Format::U16,
        Dtype::I16 => Format::I16,
        Dtype::U32 => Format::U32,
        Dtype::I32 => Format::I32,
        Dtype::U64 => Format::U64,
        Dtype::I64 => Format::I64,
        Dtype::F16 => Format::F16,
        Dtype::BF16 => Format::Bf16,
        Dtype::F32 => Format::F32,
        Dtype::F64 => Format::F64,
        _ => return None,
    })
}

/// One array to be written.
struct Array {
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl View for Array {
    fn dtype(&self) -> Dtype {
        self.dtype
    }
    fn shape(&self) -> &[usize] {
        &self.shape
    }
    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.bytes)
    }
    fn data_len(&self) -> usize {
        self.bytes.len()
    }
}

/// Writes named arrays, and texts about them, atomically. Of one name given twice the last counts.
///
/// With at most one text the same arrays give the same bytes.
///
/// # Errors
/// What computing the Values gives; what the system says.
#[track_caller]
pub fn write_safetensors<'a>(
    path: impl AsRef<Path>,
    tensors: impl IntoIterator<Item = (&'a str, Value)>,
    metadata: &[(&str, &str)],
) -> Result<()> {
    let path = path.as_ref();
    let mut arrays = BTreeMap::new();
    for (name, value) in tensors {
        if name == "__metadata__" {
            return Err(fault(path, "no tensor can be named __metadata__"));
        }
        let dtype = match value.dtype() {
            DType::Bool => Dtype::BOOL,
            DType::U8 => Dtype::U8,
            DType::I64 => Dtype::I64,
            DType::F32 => Dtype::F32,
            DType::F64 => Dtype::F64,
        };
        let (shape, bytes) = (value.shape().to_vec(), encode(&value)?);
        let array = Array {
            dtype,
            shape,
            bytes,
        };
        arrays.insert(name, array);
    }
    let texts = metadata.iter().map(|(k, v)| (k.to_string(), v.to_string()));
    let texts = (!metadata.is_empty()).then(|| texts.collect());
    let bytes = safetensors::serialize(arrays, texts)
        .map_err(|e| fault(path, format!("cannot be written: {e}")))?;
    write_atomically(path, |file| file.write_all(&bytes))
}
