//! Layers that arrange others: flattening and short cuts.

use super::{Layer, Module};
use crate::Value;

/// All axes from one on (1, after the batch, by default) made one.
///
/// ```
/// use toygrad::prelude::*;
/// use toygrad::nn::Flatten;
/// assert_eq!(Flatten::default().forward(&Value::ones([2, 3, 4])).shape()[..], [2, 12]);
/// ```
#[derive(Module, Clone, Copy, Debug)]
pub struct Flatten {
    /// The first axis of those that become one.
    pub start: isize,
}

impl Default for Flatten {
    fn default() -> Self {
        Flatten { start: 1 }
    }
}

impl Layer for Flatten {
    /// `[a, b, c, ..] -> [a, b · c · ..]`.
    #[track_caller]
    fn forward(&self, x: &Value) -> Value {
        x.flatten_from(self.start)
    }
}

/// What a layer gives, added to its input: `x + f(x)` (He et al. 2015). Its parameters have the
/// names that the layer gives them.
///
/// ```
/// use toygrad::prelude::*;
/// use toygrad::nn::Residual;
/// let y = Residual(Activation::Relu).forward(&Value::from([-1.0, 2.0]));
/// assert_eq!(y.to_vec::<f64>()?, [-1.0, 4.0]);
/// # Ok::<(), toygrad::Error>(())
/// ```
#[derive(Module, Clone, Debug)]
pub struct Residual<L>(#[module(name = "")] pub L);

impl<L: Layer> Layer for Residual<L> {
    /// The shape that the layer gives must fit its input.
    #[track_caller]
    fn forward(&self, x: &Value) -> Value {
        x + self.0.forward(x)
    }
}
