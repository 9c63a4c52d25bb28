//! The multi-layer perceptron.

use super::{Activation, Layer, Linear, Module};
use crate::Value;

/// Linear layers with an activation between them, none after the last.
///
/// ```
/// use toygrad::prelude::*;
/// let model = Mlp::new(&[2, 16, 16, 1], Activation::Tanh);
/// assert_eq!(model.forward(&Value::ones([5, 2])).shape()[..], [5, 1]);
/// assert_eq!(model.parameter_count(), (2 + 1) * 16 + (16 + 1) * 16 + 16 + 1);
/// ```
#[derive(Module, Clone, Debug)]
pub struct Mlp {
    /// One fewer than the sizes.
    pub layers: Vec<Linear>,
    /// What comes between them.
    pub activation: Activation,
}

impl Mlp {
    /// From `sizes[0]` features over `sizes[1]`, ... to the last of the sizes.
    #[track_caller]
    pub fn new(sizes: &[usize], activation: Activation) -> Mlp {
        let layer = |pair: &[usize]| match *pair {
            [inputs, outputs] => Some(Linear::new(inputs, outputs)),
            _ => None,
        };
        let layers = sizes.windows(2).filter_map(layer).collect();
        Mlp { layers, activation }
    }
}

impl Layer for Mlp {
    /// `[.., first size] -> [.., last size]`.
    #[track_caller]
    fn forward(&self, x: &Value) -> Value {
        let mut x = x.clone();
        for (i, layer) in self.layers.iter().enumerate() {
            if i > 0 {
                x = self.activation.forward(&x);
            }
            x = layer.forward(&x);
        }
        x
    }
}
