//! Whole files: read with a bound, written atomically.

use crate::{Error, Result};
use flate2::read::MultiGzDecoder;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The most that a compressed file, or one without a length (a pipe), may hold: 1 GiB.
pub(crate) const MAX_UNPACKED: u64 = 1 << 30;

/// A fault of the whole file.
pub(crate) fn fault(path: &Path, message: impl Into<String>) -> Error {
    Error::file(path, None, message)
}

/// A fault at a byte of the file.
pub(crate) fn fault_at(path: &Path, byte: usize, message: impl Into<String>) -> Error {
    Error::file(path, Some(format!("byte {byte}")), message)
}

/// What the system says about a file, in words.
fn explain(path: &Path, doing: &str, e: &io::Error) -> Error {
    let hint = match e.kind() {
        io::ErrorKind::NotFound => "; check the path",
        io::ErrorKind::PermissionDenied => "; check the permissions of the file and its folder",
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            "; make room on the disk (what was there before is kept)"
        }
        _ => "",
    };
    fault(path, format!("cannot {doing}: {e}{hint}"))
}

/// The whole file.
pub(crate) fn read_bytes(path: &Path) -> Result<Vec<u8>> {
    let unreadable = |e| explain(path, "read it", &e);
    let file = File::open(path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    if metadata.is_dir() {
        return Err(fault(path, "is a folder, not a file"));
    }
    // A regular file may be as large as it is; a pipe or a device does not say.
    let limit = match metadata.is_file() {
        true => metadata.len(),
        false => MAX_UNPACKED,
    };
    let mut bytes = Vec::new();
    if metadata.is_file() {
        let room = usize::try_from(limit).unwrap_or(usize::MAX);
        bytes
            .try_reserve_exact(room)
            .map_err(|_| fault(path, format!("its {limit} bytes do not fit into memory")))?;
    }
    file.take(limit.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    if bytes.len() as u64 > limit && !metadata.is_file() {
        return Err(too_long(path));
    }
    Ok(bytes)
}

fn too_long(path: &Path) -> Error {
    let message = format!("holds more than {MAX_UNPACKED} bytes; unpack it to a plain file first");
    fault(path, message)
}

/// The whole file; unpacked where it is gzip, by its first two bytes.
pub(crate) fn read_unpacked(path: &Path) -> Result<Vec<u8>> {
    let bytes = read_bytes(path)?;
    if !bytes.starts_with(&[0x1f, 0x8b]) {
        return Ok(bytes);
    }
    unpack(path, MultiGzDecoder::new(&bytes[..]), MAX_UNPACKED)
}

/// What a decoder gives, up to a limit.
pub(crate) fn unpack(path: &Path, decoder: impl Read, limit: u64) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    decoder
        .take(limit.saturating_add(1))
        .read_to_end(&mut out)
        .map_err(|e| {
            let message = format!("its compressed data is damaged ({e}); fetch the file again");
            fault(path, message)
        })?;
    if out.len() as u64 > limit {
        return Err(too_long(path));
    }
    Ok(out)
}

/// Writes a file so that it is there whole or not at all: under a temporary name in the same
/// folder, synced to the disk, then renamed. Whatever was at `path` stays until then.
///
/// ```
/// # let path = std::env::temp_dir().join(format!("toygrad-{}.txt", std::process::id()));
/// toygrad::io::write_atomically(&path, |file| file.write_all(b"all of it"))?;
/// assert_eq!(std::fs::read(&path).unwrap(), b"all of it");
/// # std::fs::remove_file(&path).unwrap();
/// # Ok::<(), toygrad::Error>(())
/// ```
///
/// # Errors
/// What the system says: no folder, no permission, disk full. The file at `path` is then as it was.
pub fn write_atomically(
    path: impl AsRef<Path>,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<()> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let path = path.as_ref();
    let Some(name) = path.file_name() else {
        return Err(fault(path, "is no name of a file"));
    };
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    let number = COUNT.fetch_add(1, Relaxed);
    let mut temporary = std::ffi::OsString::from(".");
    temporary.push(name);
    temporary.push(format!(".{}-{number}.tmp", std::process::id()));
    let temporary: PathBuf = folder.join(temporary);

    let written = (|| {
        let mut options = OpenOptions::new();
        let file = options.write(true).create(true).truncate(true);
        let mut file = BufWriter::with_capacity(1 << 16, file.open(&temporary)?);
        write(&mut file)?;
        file.flush()?;
        file.get_ref().sync_all()?;
        drop(file);
        fs::rename(&temporary, path)?;
        // The new name is on the disk once its folder is.
        #[cfg(unix)]
        File::open(folder)?.sync_all()?;
        Ok(())
    })();
    written.map_err(|e: io::Error| {
        let _ = fs::remove_file(&temporary);
        explain(path, "write it", &e)
    })
}

/// Writes text; see [`write_atomically`].
///
/// # Errors
/// As [`write_atomically`].
pub fn write_text(path: impl AsRef<Path>, text: &str) -> Result<()> {
    write_atomically(path, |file| file.write_all(text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bomb_is_not_unpacked() {
        let limit = 1000;
        let bomb = || io::repeat(0).take(1 << 40);
        let message = unpack(Path::new("bomb"), bomb(), limit).unwrap_err();
        assert!(message.to_string().contains("holds more than"));
        let whole = unpack(Path::new("whole"), bomb().take(limit), limit).unwrap();
        assert_eq!(whole.len(), 1000);
    }
}
