//! Values from numbers, arrays, slices, iterators; filled, counted and random ones.

use crate::dtype::Element;
use crate::error::Caller;
use crate::graph::build::mistake;
use crate::{DType, Error, Shape, Value};
use std::ops::Range;
use std::panic::Location;

/// Numbers, and arrays and vectors of them, however deep: what a Value is made from.
pub trait Nested {
    #[doc(hidden)]
    type Element: Element;
    /// Appends the elements; `dims[depth..]` are set at the first visit and compared afterwards.
    #[doc(hidden)]
    fn collect(self, depth: usize, dims: &mut Vec<usize>, out: &mut Vec<Self::Element>) -> bool;
}

macro_rules! nested_number {
    ($($t:ty),*) => {$(
        impl Nested for $t {
            type Element = $t;
            fn collect(self, _: usize, _: &mut Vec<usize>, out: &mut Vec<$t>) -> bool {
                out.push(self);
                true
            }
        }
    )*};
}
nested_number!(f32, f64, i64, i32, u32, u8, usize, bool);

/// Notes the length of an axis, or compares it with that of the rows before.
fn axis(depth: usize, len: usize, dims: &mut Vec<usize>) -> bool {
    if dims.len() == depth {
        dims.push(len);
    }
    dims[depth] == len
}

impl<T: Nested, const N: usize> Nested for [T; N] {
    type Element = T::Element;
    fn collect(self, depth: usize, dims: &mut Vec<usize>, out: &mut Vec<T::Element>) -> bool {
        axis(depth, N, dims) && self.into_iter().all(|x| x.collect(depth + 1, dims, out))
    }
}

impl<T: Nested> Nested for Vec<T> {
    type Element = T::Element;
    fn collect(self, depth: usize, dims: &mut Vec<usize>, out: &mut Vec<T::Element>) -> bool {
        axis(depth, self.len(), dims) && self.into_iter().all(|x| x.collect(depth + 1, dims, out))
    }
}

impl<T: Nested + Clone> Nested for &[T] {
    type Element = T::Element;
    fn collect(self, depth: usize, dims: &mut Vec<usize>, out: &mut Vec<T::Element>) -> bool {
        axis(depth, self.len(), dims)
            && self.iter().all(|x| x.clone().collect(depth + 1, dims, out))
    }
}

impl<N: Nested> From<N> for Value {
    /// A plain number gives a scalar that takes the dtype of what it meets; anything else keeps
    /// the dtype of its elements. Rows of different lengths are a mistake.
    #[track_caller]
    fn from(nested: N) -> Value {
        let at = Location::caller();
        let (mut dims, mut elements) = (Vec::new(), Vec::new());
        if !nested.collect(0, &mut dims, &mut elements) {
            let message = "cannot make an array of rows of different lengths".to_string();
            return mistake(at, message, &[], None);
        }
        let value = Value::pack(elements, dims.into(), at);
        match value.rank() {
            0 => value.into_number(at),
            _ => value,
        }
    }
}

impl<T: Element> FromIterator<T> for Value {
    /// One axis, as long as the iterator.
    #[track_caller]
    fn from_iter<I: IntoIterator<Item = T>>(iter: I) -> Value {
        let elements: Vec<T> = iter.into_iter().collect();
        let shape = Shape::from([elements.len()]);
        Value::pack(elements, shape, Location::caller())
    }
}

impl From<Error> for Value {
    /// A Value that carries the mistake: how a function of Values reports one of its own.
    #[track_caller]
    fn from(error: Error) -> Value {
        Value::failed(error, Location::caller())
    }
}

/// A range of numbers for [`Value::arange`].
pub trait Count {
    #[doc(hidden)]
    fn count(self, step: f64, at: Caller) -> Value;
}

macro_rules! count {
    ($($t:ty: $whole:expr),*) => {$(
        impl Count for Range<$t> {
            fn count(self, step: f64, at: Caller) -> Value {
                arange(self.start as f64, self.end as f64, step, $whole, at)
            }
        }
    )*};
}
count!(i32: true, i64: true, usize: true, f32: false, f64: false);

fn arange(start: f64, end: f64, step: f64, whole: bool, at: Caller) -> Value {
    let n = ((end - start) / step).ceil();
    if step == 0.0 || !n.is_finite() {
        let message = format!("cannot count from {start} to {end} in steps of {step}");
        return mistake(at, message, &[], None);
    }
    let number = |i: usize| start + i as f64 * step;
    match whole && step.fract() == 0.0 {
        true => line("arange", n as usize, |i| number(i) as i64, at),
        false => line("arange", n as usize, |i| number(i) as f32, at),
    }
}

/// `n` elements along one axis; a mistake where there is no memory for them.
fn line<T: Element>(name: &str, n: usize, element: impl Fn(usize) -> T, at: Caller) -> Value {
    let mut elements = Vec::new();
    if elements.try_reserve_exact(n).is_err() {
        return mistake(
            at,
            format!("`{name}` of {n} elements: too large"),
            &[],
            None,
        );
    }
    elements.extend((0..n).map(element));
    Value::pack(elements, Shape::from([n]), at)
}

/// `Some` where the elements of `shape` can be counted, else the mistake.
fn sized(name: &str, shape: Shape, at: Caller) -> Result<Shape, Value> {
    match shape.checked_len() {
        Some(_) => Ok(shape),
        None => Err(mistake(
            at,
            format!("`{name}` of shape {shape}: too large"),
            &[],
            None,
        )),
    }
}

impl Value {
    /// A scalar with known elements as a plain number.
    fn into_number(self, at: Caller) -> Value {
        match self.known().map(|d| d.get(0)) {
            // A whole number that f64 cannot hold stays an array of rank 0.
            Some(x) if self.dtype() != DType::I64 || x.abs() < 9e15 => {
                Value::number(x, self.dtype(), at)
            }
            _ => self,
        }
    }

    /// Elements in row-major order, with a shape.
    ///
    /// ```
    /// use toygrad::prelude::*;
    /// let x = Value::from_slice(&[1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0], [2, 3]);
    /// assert_eq!(x.sum_axis(0).to_vec::<f32>()?, [5.0, 7.0, 9.0]);
    /// # Ok::<(), toygrad::Error>(())
    /// ```
    #[track_caller]
    pub fn from_slice<T: Element>(elements: &[T], shape: impl Into<Shape>) -> Value {
        Value::from_vec(elements.to_vec(), shape)
    }

    /// As [`from_slice`](Value::from_slice), without copying.
    #[track_caller]
    pub fn from_vec<T: Element>(elements: Vec<T>, shape: impl Into<Shape>) -> Value {
        let (at, shape) = (Location::caller(), shape.into());
        if shape.checked_len() != Some(elements.len()) {
            let message = format!("cannot make shape {shape} of {} elements", elements.len());
            return mistake(at, message, &[], None);
        }
        Value::pack(elements, shape, at)
    }

    /// The same number everywhere; it takes the dtype of what it meets (f32 by itself).
    #[track_caller]
    pub fn full(shape: impl Into<Shape>, x: f64) -> Value {
        let at = Location::caller();
        match sized("full", shape.into(), at) {
            Ok(shape) => Value::full_at(shape, x, DType::F32, at).weak(),
            Err(mistake) => mistake,
        }
    }

    /// Zeros; they take the dtype of what they meet (f32 by themselves).
    #[track_caller]
    pub fn zeros(shape: impl Into<Shape>) -> Value {
        Value::full(shape, 0.0)
    }

    /// Ones; they take the dtype of what they meet (f32 by themselves).
    #[track_caller]
    pub fn ones(shape: impl Into<Shape>) -> Value {
        Value::full(shape, 1.0)
    }

    /// The numbers of a range: i64 of a range of whole numbers, f32 else.
    #[track_caller]
    pub fn arange(range: impl Count) -> Value {
        range.count(1.0, Location::caller())
    }

    /// The numbers of a range in steps.
    #[track_caller]
    pub fn arange_step(range: impl Count, step: f64) -> Value {
        range.count(step, Location::caller())
    }

    /// `n` f32 numbers evenly spaced from `start` to `end`, both included.
    #[track_caller]
    pub fn linspace(start: f64, end: f64, n: usize) -> Value {
        let last = n.saturating_sub(1).max(1) as f64;
        let number = |i: usize| {
            let t = i as f64 / last;
            (start * (1.0 - t) + end * t) as f32
        };
        line("linspace", n, number, Location::caller())
    }

    /// The identity matrix, `[n, n]`; it takes the dtype of what it meets (f32 by itself).
    #[track_caller]
    pub fn eye(n: usize) -> Value {
        let i = Value::arange(0..n);
        i.unsqueeze(-1)
            .eq(i)
            .cast_at(DType::F32, Location::caller())
            .weak()
    }

    /// In another dtype: whole numbers are truncated and clamped, what is not zero is true.
    ///
    /// Gradients pass between floats, and are converted back.
    #[track_caller]
    pub fn cast(&self, dtype: DType) -> Value {
        let at = Location::caller();
        match self.0.weak && self.dtype() == dtype {
            // A cast is a decision: the number is weak no more.
            true => match self.as_full() {
                Some(x) => Value::full_at(self.shape().clone(), x, dtype, at),
                None => self.clone(),
            },
            false => self.cast_at(dtype, at),
        }
    }
}
