//! Training: a loop with its parts, each of use alone.
//!
//! [`Fit`] goes through epochs of batches, calls your step on each, your validation after each
//! epoch, and [`Callback`]s in between: logs, a progress bar, early stopping. A [`Checkpoint`]
//! makes a run that was killed go on as if it had not been.
//!
//! ```
//! use toygrad::prelude::*;
//! use toygrad::data::{self, Arrays, Loader};
//! use toygrad::train::{Fit, metrics};
//!
//! let (x, y) = data::moons(60, 0.1, 1);
//! let loader = Loader::new(Arrays::new(&x, &y)?, 20).shuffle(1);
//! let model = Mlp::new(&[2, 8, 2], Activation::Tanh);
//! let optimizer = Adam::new(&model, 0.05);
//!
//! let history = Fit::new(3).run(
//!     &loader,
//!     |(x, y)| optimizer.minimize(&cross_entropy(model.forward(&x), &y)).item(),
//!     || Ok(vec![("accuracy", metrics::accuracy(&model.forward(&x), &y)?)]),
//! )?;
//! assert_eq!(history.records.len(), 3);
//! assert!(history.records[2].train_loss < history.records[0].train_loss);
//! # Ok::<(), toygrad::Error>(())
//! ```

#[cfg(feature = "files")]
mod checkpoint;
mod early;
mod fit;
#[cfg(feature = "files")]
mod logs;
pub mod metrics;
#[cfg(feature = "plots")]
pub mod plots;
#[cfg(feature = "progress")]
mod progress;
#[cfg(feature = "files")]
mod tensorboard;

#[cfg(feature = "files")]
pub use checkpoint::{Checkpoint, State};
pub use early::{EarlyStopping, Goal};
pub use fit::{Callback, Ended, Fit, History, Next, Plan, Record, Step};
#[cfg(feature = "files")]
pub use logs::{CsvLog, JsonLines};
#[cfg(feature = "progress")]
pub use progress::ProgressBar;
#[cfg(feature = "files")]
pub use tensorboard::TensorBoard;
