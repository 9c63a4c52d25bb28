//! The fully connected layer.

use super::{Layer, Module, init};
use crate::{Parameter, Value};

/// `y = x Wᵀ + b`, with PyTorch's names, layout and initial weights.
///
/// ```
/// use toygrad::prelude::*;
/// let layer = Linear::new(3, 2);
/// assert_eq!(layer.weight.shape()[..], [2, 3]);
/// assert_eq!(layer.forward(&Value::ones([5, 3])).shape()[..], [5, 2]);
/// ```
#[derive(Module, Clone, Debug)]
pub struct Linear {
    /// `[outputs, inputs]`, drawn from U(-1/√inputs, 1/√inputs).
    pub weight: Parameter,
    /// `[outputs]`, drawn from the same.
    pub bias: Option<Parameter>,
}

impl Linear {
    /// A layer of `inputs` to `outputs` features.
    #[track_caller]
    pub fn new(inputs: usize, outputs: usize) -> Linear {
        let weight = init::torch_default([outputs, inputs], inputs);
        let bias = init::torch_default([outputs], inputs);
        Linear::from_weights(weight, Some(bias))
    }

    /// The layer with these weights: `[outputs, inputs]` and `[outputs]`.
    #[track_caller]
    pub fn from_weights(weight: impl Into<Value>, bias: Option<Value>) -> Linear {
        Linear {
            weight: Parameter::new(weight),
            bias: bias.map(Parameter::new),
        }
    }

    /// The same without a bias.
    pub fn without_bias(self) -> Linear {
        Linear { bias: None, ..self }
    }
}

impl Layer for Linear {
    /// `[.., inputs] -> [.., outputs]`.
    #[track_caller]
    fn forward(&self, x: &Value) -> Value {
        let y = x.matmul(self.weight.value().t());
        match &self.bias {
            Some(bias) => y + bias,
            None => y,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn computes_x_times_w_transposed_plus_b() -> crate::Result<()> {
        let w = [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]];
        let layer = Linear::from_weights(w, Some(Value::from([0.5, -0.5])));
        let x = Value::from([[1.0, 0.0, -1.0], [2.0, 1.0, 0.0]]);
        let y = layer.forward(&x);
        assert_eq!(y.to_vec::<f64>()?, [-1.5, -2.5, 4.5, 12.5]);
        assert_eq!(
            layer
                .forward(&Value::from([0.0, 1.0, 0.0]))
                .to_vec::<f64>()?,
            [2.5, 4.5]
        );
        assert_eq!(
            layer.without_bias().forward(&x).to_vec::<f64>()?,
            [-2.0, -2.0, 4.0, 13.0]
        );
        Ok(())
    }

    #[test]
    fn a_wrong_width_is_an_error() {
        let y = Linear::new(3, 2).forward(&Value::ones([4, 5]));
        assert!(y.error().is_some());
    }
}
