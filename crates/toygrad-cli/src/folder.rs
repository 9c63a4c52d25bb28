//! The folder of a run.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use toygrad::{Error, Result};

/// A new folder for a run: `out`, which must be empty or not there, else the first free one of
/// `runs/NAME-1`, `runs/NAME-2`, ...
pub fn create(out: Option<&Path>, name: &str) -> Result<PathBuf> {
    let fault = |path: &Path, message: String| Error::file(path, None, message);
    if let Some(out) = out {
        fs::create_dir_all(out).map_err(|e| fault(out, format!("cannot make this folder: {e}")))?;
        let mut files =
            fs::read_dir(out).map_err(|e| fault(out, format!("cannot read this folder: {e}")))?;
        if files.next().is_some() {
            let message = "is not empty; name a new folder, or go on with a run by --resume";
            return Err(fault(out, message.into()));
        }
        return Ok(out.to_path_buf());
    }
    let runs = Path::new("runs");
    fs::create_dir_all(runs).map_err(|e| fault(runs, format!("cannot make this folder: {e}")))?;
    let mut number = 1u64;
    loop {
        let folder = runs.join(format!("{name}-{number}"));
        match fs::create_dir(&folder) {
            Ok(()) => return Ok(folder),
            Err(e) if e.kind() == ErrorKind::AlreadyExists => number += 1,
            Err(e) => return Err(fault(&folder, format!("cannot make this folder: {e}"))),
        }
    }
}
