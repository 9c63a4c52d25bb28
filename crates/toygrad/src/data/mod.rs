//! Data to learn from: datasets, batches in seeded order, splits, scalers, synthetic points, and
//! the handwritten digits that come with the crate.
//!
//! ```
//! use toygrad::data::{self, Arrays, Loader};
//! let (x, y) = data::moons(100, 0.1, 7);
//! let (train, test) = data::split(&Arrays::new(&x, &y)?, 0.2, 7)?;
//! let loader = Loader::new(train, 16).shuffle(7);
//! for batch in loader.epoch(0) {
//!     let (x, y) = batch?;
//!     assert_eq!(x.shape()[0], y.shape()[0]);
//! }
//! assert_eq!(loader.samples() + test.len(), 100);
//! # use toygrad::data::Dataset;
//! # Ok::<(), toygrad::Error>(())
//! ```

mod dataset;
#[cfg(feature = "files")]
mod digits;
#[cfg(feature = "images")]
mod images;
mod loader;
pub(crate) mod random;
mod scale;
mod split;
mod synthetic;

pub use dataset::{Arrays, Dataset, Rows, Text};
#[cfg(feature = "files")]
pub use digits::digits;
#[cfg(feature = "images")]
pub use images::ImageFolder;
pub use loader::{Epoch, Loader};
pub use scale::{Method, Scaler};
pub use split::{k_fold, shuffled, split, stratified_split};
pub use synthetic::{blobs, circles, moons, spirals};
