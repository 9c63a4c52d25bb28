//! Vectors for the members of a vocabulary.

use super::{Layer, Module, init};
use crate::{Parameter, Value};

/// A table of vectors, looked up by number.
///
/// ```
/// use toygrad::prelude::*;
/// use toygrad::nn::Embedding;
/// let layer = Embedding::new(100, 8);
/// assert_eq!(layer.forward(&Value::from([[1, 5, 5], [0, 2, 99]])).shape()[..], [2, 3, 8]);
/// ```
#[derive(Module, Clone, Debug)]
pub struct Embedding {
    /// `[count, size]`, standard normal at first.
    pub weight: Parameter,
    padding_idx: Option<usize>,
}

impl Embedding {
    /// So many vectors of this size.
    #[track_caller]
    pub fn new(count: usize, size: usize) -> Embedding {
        Embedding::from_weights(init::normal([count, size], 0.0, 1.0))
    }

    /// The table with these vectors, `[count, size]`.
    #[track_caller]
    pub fn from_weights(weight: impl Into<Value>) -> Embedding {
        Embedding {
            weight: Parameter::new(weight),
            padding_idx: None,
        }
    }

    /// With a number that stands for nothing, as at the ends of sequences that are shorter than
    /// others: its vector becomes zeros, and has no gradient, so it stays as it is.
    ///
    /// ```
    /// use toygrad::prelude::*;
    /// use toygrad::nn::Embedding;
    /// let layer = Embedding::new(10, 2).padding_idx(0);
    /// let y = layer.forward(&Value::from([3, 0]));
    /// assert_eq!(y.to_vec::<f32>()?[2..], [0.0, 0.0]);
    /// y.sum().backward()?;
    /// assert_eq!(layer.weight.grad()?.to_vec::<f32>()?[..8], [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0]);
    /// # Ok::<(), toygrad::Error>(())
    /// ```
    #[track_caller]
    pub fn padding_idx(self, padding_idx: usize) -> Embedding {
        let weight = self.weight.value();
        let weight = match weight.shape().first() {
            Some(&count) if padding_idx < count => {
                let padding = Value::arange(0..count).eq(padding_idx as i64).unsqueeze(1);
                padding.select(0.0, weight)
            }
            Some(count) => init::mistake(format!("padding_idx {padding_idx} of {count} vectors")),
            None => weight,
        };
        Embedding {
            weight: Parameter::new(weight),
            padding_idx: Some(padding_idx),
        }
    }
}

impl Layer for Embedding {
    /// `[..]` of whole numbers to `[.., size]`. A number out of range is an error when the result
    /// is read.
    #[track_caller]
    fn forward(&self, x: &Value) -> Value {
        let weight = self.weight.value();
        let y = weight.index_select(0, x);
        let Some(padding_idx) = self.padding_idx else {
            return y;
        };
        // Numbers below 0 count from the end.
        let below = padding_idx as i64 - weight.shape().first().map_or(0, |&n| n as i64);
        let padding = x.eq(padding_idx as i64) | x.eq(below);
        padding.unsqueeze(-1).select(y.detach(), y)
    }
}
