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
mod attention;
mod conv;
mod dropout;
mod embedding;
mod gpt;
pub mod init;
mod linear;
pub mod loss;
mod mlp;
mod module;
mod norm;
mod pool;
mod recurrent;
mod sequential;
mod shape;
mod transformer;

pub use activation::Activation;
pub use attention::{
    KvCache, MultiheadAttention, causal_attention, causal_mask, padding_mask, rotary,
    scaled_dot_product_attention,
};
pub use conv::{
    Conv, Conv1d, Conv2d, Conv3d, ConvTranspose, ConvTranspose1d, ConvTranspose2d, Each,
    PaddingMode,
};
pub use dropout::Dropout;
pub use embedding::Embedding;
pub use gpt::Gpt;
pub use linear::Linear;
pub use mlp::Mlp;
pub use module::{Layer, Module, Selection, eval, is_training, path};
pub use norm::{BatchNorm, BatchNorm1d, BatchNorm2d, GroupNorm, LayerNorm, RmsNorm};
pub use pool::{
    AdaptiveAvgPool, AdaptiveAvgPool1d, AdaptiveAvgPool2d, AdaptiveMaxPool, AdaptiveMaxPool2d,
    AvgPool, AvgPool1d, AvgPool2d, MaxPool, MaxPool1d, MaxPool2d,
};
pub use recurrent::{Gru, GruCell, Lstm, LstmCell, Recurrent, RecurrentCell, Rnn, RnnCell};
pub use sequential::{Lambda, Sequential};
pub use shape::{Flatten, Residual};
/// Implements [`Module`] for a struct or an enum, field by field.
pub use toygrad_derive::Module;
pub use transformer::{TransformerDecoderLayer, TransformerEncoderLayer};
