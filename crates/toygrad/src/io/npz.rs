//! NPZ: several arrays of NumPy, a zip archive of NPY files.

use super::file::{MAX_UNPACKED, fault, read_bytes, unpack, write_atomically};
use super::npy;
use crate::{Error, Result, Value};
use flate2::Compression;
use flate2::bufread::DeflateDecoder;
use flate2::write::DeflateEncoder;
use rawzip::{CompressionMethod, ZipArchive, ZipArchiveWriter};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

/// Reads arrays that `numpy.savez` or `numpy.savez_compressed` wrote; up to 1 GiB unpacked.
///
/// # Errors
/// An archive that is damaged, lies about its lengths or unpacks to too much; arrays that are no
/// numbers.
pub fn read_npz(path: impl AsRef<Path>) -> Result<BTreeMap<String, Value>> {
    let path = path.as_ref();
    let bytes = read_bytes(path)?;
    let damaged = |e: rawzip::Error| {
        let message = format!("not a whole zip archive ({e}); save it with numpy.savez");
        fault(path, message)
    };
    let archive = ZipArchive::from_slice(&bytes).map_err(damaged)?;
    let mut arrays = BTreeMap::new();
    let mut room = MAX_UNPACKED;
    let mut entries = archive.entries();
    while let Some(entry) = entries.next_entry().map_err(damaged)? {
        if entry.is_dir() {
            continue;
        }
        let name = String::from_utf8_lossy(entry.file_path().as_ref()).into_owned();
        let in_entry = |message: String| fault(path, format!("entry {name}: {message}"));
        let content = archive.get_entry(entry.wayfinder()).map_err(damaged)?;
        // The checksum and the length are checked at the end of the data.
        let unpacked = match entry.compression_method() {
            CompressionMethod::STORE => {
                unpack(path, content.verifying_reader(content.data()), room)
            }
            CompressionMethod::DEFLATE => {
                let decoder = DeflateDecoder::new(content.data());
                unpack(path, content.verifying_reader(decoder), room)
            }
            method => Err(in_entry(format!(
                "compression {method} is not used by NumPy; save it with numpy.savez"
            ))),
        }?;
        room = room.saturating_sub(unpacked.len() as u64);
        let value = npy::parse(&unpacked, &|byte, message| {
            Error::file(path, Some(format!("entry {name}, byte {byte}")), message)
        })?;
        let name = name.strip_suffix(".npy").unwrap_or(&name).to_string();
        if arrays.insert(name.clone(), value).is_some() {
            return Err(fault(path, format!("entry {name} is there twice")));
        }
    }
    Ok(arrays)
}

/// Writes named arrays as `numpy.savez_compressed` does, atomically.
///
/// # Errors
/// What computing the Values gives; what the system says.
#[track_caller]
pub fn write_npz(path: impl AsRef<Path>, arrays: &[(&str, Value)]) -> Result<()> {
    let path = path.as_ref();
    let mut files = BTreeMap::new();
    for (name, value) in arrays {
        files.insert(format!("{name}.npy"), npy::to_bytes(value)?);
    }
    write_atomically(path, |file| {
        let other = std::io::Error::other::<rawzip::Error>;
        let mut archive = ZipArchiveWriter::new(file);
        for (name, bytes) in &files {
            let entry = archive.new_file(name.as_str());
            let entry = entry.compression_method(CompressionMethod::DEFLATE);
            let (mut entry, config) = entry.start().map_err(other)?;
            let encoder = DeflateEncoder::new(&mut entry, Compression::default());
            let mut writer = config.wrap(encoder);
            writer.write_all(bytes)?;
            let (encoder, descriptor) = writer.finish().map_err(other)?;
            encoder.finish()?;
            entry.finish(descriptor).map_err(other)?;
        }
        archive.finish().map_err(other)?;
        Ok(())
    })
}
