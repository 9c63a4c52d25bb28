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
        }
    }
}

impl Layer for Embedding {
    /// `[..]` of whole numbers to `[.., size]`. A number out of range is an error when the result
    /// is read.
    #[track_caller]
    fn forward(&self, x: &Value) -> Value {
        self.weight.value().index_select(0, x)
    }
}
