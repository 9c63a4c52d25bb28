//! Layers one after another.

use super::{Layer, Module};
use crate::{Parameter, Value};

/// Layers applied one after another; their names are their numbers, as in `torch.nn.Sequential`.
///
/// ```
/// use toygrad::prelude::*;
/// let model = Sequential::new()
///     .then(Linear::new(4, 8))
///     .then(Activation::Tanh)
///     .then_fn(|x| x * 2.0)
///     .then(Linear::new(8, 3));
/// assert_eq!(model.forward(&Value::ones([2, 4])).shape()[..], [2, 3]);
/// assert_eq!(model.named_parameters()[3].0, "3.bias");
/// ```
#[derive(Module, Default)]
pub struct Sequential {
    #[module(name = "")]
    layers: Vec<Box<dyn Layer>>,
}

impl Sequential {
    /// No layers: the output is the input.
    pub fn new() -> Sequential {
        Sequential::default()
    }

    /// With one more layer at the end.
    pub fn then(mut self, layer: impl Layer + 'static) -> Sequential {
        self.layers.push(Box::new(layer));
        self
    }

    /// With a function without parameters at the end.
    pub fn then_fn(self, f: impl Fn(&Value) -> Value + Send + Sync + 'static) -> Sequential {
        self.then(Lambda(f))
    }

    /// The layers in order.
    pub fn layers(&self) -> &[Box<dyn Layer>] {
        &self.layers
    }
}

impl Layer for Sequential {
    /// What goes through all layers.
    fn forward(&self, x: &Value) -> Value {
        self.layers
            .iter()
            .fold(x.clone(), |x, layer| layer.forward(&x))
    }
}

impl<L: Layer> Layer for Vec<L> {
    /// What goes through all of them, in order.
    fn forward(&self, x: &Value) -> Value {
        self.iter().fold(x.clone(), |x, layer| layer.forward(&x))
    }
}

impl<L: Layer + ?Sized> Layer for Box<L> {
    fn forward(&self, x: &Value) -> Value {
        (**self).forward(x)
    }
}

/// A function as a layer without parameters.
#[derive(Clone, Copy, Debug)]
pub struct Lambda<F>(pub F);

impl<F> Module for Lambda<F> {
    fn visit(&self, _: &str, _: &mut dyn FnMut(&str, &Parameter)) {}
}

impl<F: Fn(&Value) -> Value + Send + Sync> Layer for Lambda<F> {
    fn forward(&self, x: &Value) -> Value {
        (self.0)(x)
    }
}
