//! What a dataset is, and those that lie in memory.

use crate::{DType, Error, Result, Shape, Value};
use std::sync::Arc;

/// Samples that can be had in any order, several at a time.
///
/// ```
/// use toygrad::prelude::*;
/// use toygrad::data::{Dataset, Loader};
///
/// /// Pairs (n, n squared), computed when they are asked for.
/// struct Squares(usize);
///
/// impl Dataset for Squares {
///     type Batch = (Value, Value);
///     fn len(&self) -> usize {
///         self.0
///     }
///     fn batch(&self, indices: &[usize]) -> Result<(Value, Value)> {
///         let n: Value = indices.iter().map(|&i| i as f32).collect();
///         Ok((n.clone(), n.square()))
///     }
/// }
/// assert_eq!(Loader::new(Squares(10), 4).epoch(0).count(), 3);
/// ```
pub trait Dataset: Send + Sync {
    /// Several samples together: one Value for each array, the samples along axis 0.
    type Batch: Send + 'static;

    /// How many samples there are.
    fn len(&self) -> usize;

    /// The samples at these positions, in this order.
    ///
    /// # Errors
    /// A position out of range; whatever reading a sample gives.
    fn batch(&self, indices: &[usize]) -> Result<Self::Batch>;

    /// Whether there is no sample.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<D: Dataset + ?Sized> Dataset for Arc<D> {
    type Batch = D::Batch;
    fn len(&self) -> usize {
        (**self).len()
    }
    fn batch(&self, indices: &[usize]) -> Result<D::Batch> {
        (**self).batch(indices)
    }
}

impl<D: Dataset + ?Sized> Dataset for &D {
    type Batch = D::Batch;
    fn len(&self) -> usize {
        (**self).len()
    }
    fn batch(&self, indices: &[usize]) -> Result<D::Batch> {
        (**self).batch(indices)
    }
}

#[derive(Clone, Debug)]
enum Elements {
    Bool(Vec<bool>),
    U8(Vec<u8>),
    I64(Vec<i64>),
    F32(Vec<f32>),
    F64(Vec<f64>),
}

/// One array of samples: `[samples, ...]`, read once and kept in memory.
#[derive(Clone, Debug)]
pub struct Rows {
    elements: Arc<Elements>,
    /// The shape of the whole.
    shape: Shape,
}

impl Rows {
    /// Reads the elements; samples lie along axis 0.
    ///
    /// # Errors
    /// A mistake that the Value carries; a scalar, which has no samples.
    #[track_caller]
    pub fn new(value: impl Into<Value>) -> Result<Rows> {
        let value = value.into();
        let elements = match value.dtype() {
            DType::Bool => Elements::Bool(value.to_vec()?),
            DType::U8 => Elements::U8(value.to_vec()?),
            DType::I64 => Elements::I64(value.to_vec()?),
            DType::F32 => Elements::F32(value.to_vec()?),
            DType::F64 => Elements::F64(value.to_vec()?),
        };
        let shape = value.shape().clone();
        if shape.rank() == 0 {
            return Err(Error::argument(
                "a single number is no array of samples: samples lie along axis 0",
            ));
        }
        let elements = Arc::new(elements);
        Ok(Rows { elements, shape })
    }

    /// The shape of the whole, samples first.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }
}

impl Dataset for Rows {
    type Batch = Value;

    fn len(&self) -> usize {
        self.shape[0]
    }

    fn batch(&self, indices: &[usize]) -> Result<Value> {
        if let Some(i) = indices.iter().find(|&&i| i >= self.len()) {
            let message = format!("sample {i} of {}: positions begin at 0", self.len());
            return Err(Error::argument(message));
        }
        let size: usize = self.shape[1..].iter().product();
        let shape: Shape = [indices.len()]
            .into_iter()
            .chain(self.shape[1..].iter().copied())
            .collect();
        fn gather<T: Copy>(all: &[T], indices: &[usize], size: usize) -> Vec<T> {
            let mut out = Vec::with_capacity(indices.len() * size);
            for &i in indices {
                out.extend_from_slice(&all[i * size..(i + 1) * size]);
            }
            out
        }
        Ok(match &*self.elements {
            Elements::Bool(all) => Value::from_vec(gather(all, indices, size), shape),
            Elements::U8(all) => Value::from_vec(gather(all, indices, size), shape),
            Elements::I64(all) => Value::from_vec(gather(all, indices, size), shape),
            Elements::F32(all) => Value::from_vec(gather(all, indices, size), shape),
            Elements::F64(all) => Value::from_vec(gather(all, indices, size), shape),
        })
    }
}

/// Inputs and targets in memory: `[samples, ...]` each. A batch is the pair.
///
/// ```
/// use toygrad::prelude::*;
/// use toygrad::data::{Arrays, Dataset};
/// let data = Arrays::new([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], [0, 1, 0])?;
/// let (x, y) = data.batch(&[2, 0])?;
/// assert_eq!(x.to_vec::<f64>()?, [5.0, 6.0, 1.0, 2.0]);
/// assert_eq!(y.to_vec::<i64>()?, [0, 0]);
/// # Ok::<(), toygrad::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Arrays {
    inputs: Rows,
    targets: Rows,
}

impl Arrays {
    /// Reads both.
    ///
    /// # Errors
    /// A mistake that one carries; different numbers of samples.
    #[track_caller]
    pub fn new(inputs: impl Into<Value>, targets: impl Into<Value>) -> Result<Arrays> {
        let (inputs, targets) = (Rows::new(inputs)?, Rows::new(targets)?);
        if inputs.len() != targets.len() {
            return Err(Error::argument(format!(
                "{} samples of inputs {}, but {} of targets {}",
                inputs.len(),
                inputs.shape,
                targets.len(),
                targets.shape
            )));
        }
        Ok(Arrays { inputs, targets })
    }

    /// The samples at these positions, as a dataset.
    ///
    /// # Errors
    /// A position out of range.
    pub fn select(&self, indices: &[usize]) -> Result<Arrays> {
        let (inputs, targets) = self.batch(indices)?;
        Arrays::new(inputs, targets)
    }

    /// All inputs, as one Value.
    ///
    /// # Errors
    /// None today; reading data may fail.
    pub fn inputs(&self) -> Result<Value> {
        self.inputs.batch(&self.all())
    }

    /// All targets, as one Value.
    ///
    /// # Errors
    /// None today; reading data may fail.
    pub fn targets(&self) -> Result<Value> {
        self.targets.batch(&self.all())
    }

    fn all(&self) -> Vec<usize> {
        (0..self.len()).collect()
    }
}

impl Dataset for Arrays {
    type Batch = (Value, Value);

    fn len(&self) -> usize {
        self.inputs.len()
    }

    fn batch(&self, indices: &[usize]) -> Result<(Value, Value)> {
        Ok((self.inputs.batch(indices)?, self.targets.batch(indices)?))
    }
}

/// Text by tokens (characters), cut into windows: the inputs are `context` tokens, the targets
/// the same one token later, i64 `[batch, context]` both.
///
/// ```
/// use toygrad::data::{Dataset, Text};
/// let text = Text::new(vec![3, 1, 4, 1, 5], 2);
/// assert_eq!(text.len(), 3);
/// let (x, y) = text.batch(&[1])?;
/// assert_eq!(x.to_vec::<i64>()?, [1, 4]);
/// assert_eq!(y.to_vec::<i64>()?, [4, 1]);
/// # Ok::<(), toygrad::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Text {
    tokens: Arc<Vec<i64>>,
    context: usize,
}

impl Text {
    /// Windows of `context` tokens, one beginning at each token; none where the text is shorter.
    pub fn new(tokens: Vec<i64>, context: usize) -> Text {
        let tokens = Arc::new(tokens);
        Text { tokens, context }
    }
}

impl Dataset for Text {
    type Batch = (Value, Value);

    fn len(&self) -> usize {
        match self.context {
            0 => 0,
            context => self.tokens.len().saturating_sub(context),
        }
    }

    fn batch(&self, indices: &[usize]) -> Result<(Value, Value)> {
        let windows = |shift: usize| {
            let mut out = Vec::with_capacity(indices.len() * self.context);
            for &i in indices {
                let window = i
                    .checked_add(shift)
                    .and_then(|start| self.tokens.get(start..start.checked_add(self.context)?));
                match window {
                    Some(window) => out.extend_from_slice(window),
                    None => {
                        let message = format!("window {i} of {}", self.len());
                        return Err(Error::argument(message));
                    }
                }
            }
            Ok(Value::from_vec(out, [indices.len(), self.context]))
        };
        Ok((windows(0)?, windows(1)?))
    }
}
