//! Activations as layers.

use super::Layer;
use crate::Value;

/// A function applied to each element, as a layer. All of them are methods of
/// [`Value`] too.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
#[non_exhaustive]
pub enum Activation {
    /// The input itself.
    Identity,
    /// `max(x, 0)`.
    #[default]
    Relu,
    /// `min(max(x, 0), 6)`.
    Relu6,
    /// x where positive, else the slope times x.
    LeakyRelu(f64),
    /// x where positive, else `alpha * (exp(x) - 1)`.
    Elu(f64),
    /// `x * Φ(x)`.
    Gelu,
    /// The approximation of `Gelu` with tanh.
    GeluTanh,
    /// `x * sigmoid(x)`, also called swish.
    Silu,
    /// `x * tanh(softplus(x))`.
    Mish,
    /// The hyperbolic tangent.
    Tanh,
    /// `1 / (1 + exp(-x))`.
    Sigmoid,
    /// `ln(1 + exp(x))`.
    Softplus,
    /// `exp(x)` over its sum along an axis.
    Softmax(isize),
    /// The logarithm of `Softmax`.
    LogSoftmax(isize),
}

impl Layer for Activation {
    /// Any shape; the same comes out.
    #[track_caller]
    fn forward(&self, x: &Value) -> Value {
        match *self {
            Activation::Identity => x.clone(),
            Activation::Relu => x.relu(),
            Activation::Relu6 => x.clamp(0.0, 6.0),
            Activation::LeakyRelu(slope) => x.leaky_relu(slope),
            Activation::Elu(alpha) => x.elu(alpha),
            Activation::Gelu => x.gelu(),
            Activation::GeluTanh => x.gelu_tanh(),
            Activation::Silu => x.silu(),
            Activation::Mish => x.mish(),
            Activation::Tanh => x.tanh(),
            Activation::Sigmoid => x.sigmoid(),
            Activation::Softplus => x.softplus(),
            Activation::Softmax(axis) => x.softmax(axis),
            Activation::LogSoftmax(axis) => x.log_softmax(axis),
        }
    }
}
