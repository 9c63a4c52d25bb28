//! Neural networks: what a model is, layers, initial weights, losses.
//!
//! ```
//! use toygrad::prelude::*;
//!
//! #[derive(Module)]
//! struct Net {
//!     hidden: Linear,
//!     output: Linear,
//! }
//! impl Net {
//!     fn forward(&self, x: &Value) -> Value {
//!         self.output.forward(&self.hidden.forward(x).relu())
//!     }
//! }
//! let net = Net { hidden: Linear::new(2, 8), output: Linear::new(8, 1) };
//! assert_eq!(net.parameter_count(), 2 * 8 + 8 + 8 + 1);
//! assert_eq!(net.named_parameters()[0].0, "hidden.weight");
//! assert_eq!(net.forward(&Value::ones([5, 2])).shape()[..], [5, 1]);
//! ```

mod activation;
mod dropout;
pub mod init;
mod linear;
pub mod loss;
mod mlp;
mod module;
mod sequential;

pub use activation::Activation;
pub use dropout::Dropout;
pub use linear::Linear;
pub use mlp::Mlp;
pub use module::{Layer, Module, eval, is_training, path};
pub use sequential::{Lambda, Sequential};
/// Implements [`Module`] for a struct or an enum, field by field.
pub use toygrad_derive::Module;
