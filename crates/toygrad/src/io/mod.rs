//! Files: tensors (safetensors, NPY, NPZ, IDX), tables (CSV), text, images (feature `images`: PNG,
//! JPEG), and models for other runtimes (feature `onnx`).
//!
//! What is read is checked before memory is asked for; a fault names the file, the place and what
//! to do. What is written appears whole or not at all: it goes to a temporary name beside the
//! file, is synced to the disk, and renamed.
//!
//! ```
//! use toygrad::prelude::*;
//! use toygrad::io;
//! # let folder = std::env::temp_dir().join(format!("toygrad-io-{}", std::process::id()));
//! # std::fs::create_dir_all(&folder).unwrap();
//! # let path = folder.join("weights.npz");
//! io::write_npz(&path, &[("w", Value::from([[1.0, 2.0]])), ("b", Value::from([3]))])?;
//! let arrays = io::read_npz(&path)?;
//! assert_eq!(arrays["w"].to_vec::<f64>()?, [1.0, 2.0]);
//! # std::fs::remove_dir_all(&folder).unwrap();
//! # Ok::<(), toygrad::Error>(())
//! ```

mod csv;
mod file;
mod idx;
#[cfg(feature = "images")]
mod image;
mod model;
mod npy;
mod npz;
#[cfg(feature = "onnx")]
mod onnx;
mod raw;
mod schema;
mod tensors;
mod text;

pub use csv::{Column, Content, CsvOptions, Table, read_csv, read_csv_with};
pub use file::{write_atomically, write_text};
pub use idx::read_idx;
#[cfg(feature = "images")]
pub use image::{ImageOptions, read_image};
pub use model::{Report, load, load_with, save, save_with};
pub use npy::{read_npy, write_npy};
pub use npz::{read_npz, write_npz};
#[cfg(feature = "onnx")]
pub use onnx::{export_onnx, export_onnx_with};
pub use schema::{Features, Target, Task};
pub use tensors::{Tensors, read_safetensors, write_safetensors};
pub use text::{Characters, read_text};
