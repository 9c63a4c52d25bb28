//! Pooling: the largest or the mean of windows.

use super::conv::{Each, MOST_SLICES, every, positions};
use super::{Layer, Module, init};
use crate::{Shape, Value};

/// The largest element of windows of `[n, channels, length]`.
pub type MaxPool1d = MaxPool<1>;
/// The largest element of windows of `[n, channels, height, width]`.
pub type MaxPool2d = MaxPool<2>;
/// The mean of windows of `[n, channels, length]`.
pub type AvgPool1d = AvgPool<1>;
/// The mean of windows of `[n, channels, height, width]`.
pub type AvgPool2d = AvgPool<2>;
/// The means of a given number of windows of `[n, channels, length]`.
pub type AdaptiveAvgPool1d = AdaptiveAvgPool<1>;
/// The means of a given number of windows of `[n, channels, height, width]`.
pub type AdaptiveAvgPool2d = AdaptiveAvgPool<2>;
/// The largest elements of a given number of windows of `[n, channels, height, width]`.
pub type AdaptiveMaxPool2d = AdaptiveMaxPool<2>;

/// Where windows lie.
#[derive(Clone, Copy, Debug)]
struct Windows<const N: usize> {
    size: [usize; N],
    stride: [usize; N],
    padding: [usize; N],
}

impl<const N: usize> Windows<N> {
    fn new(size: Each<N>) -> Self {
        Windows {
            size: size.0,
            stride: size.0,
            padding: [0; N],
        }
    }

    /// Each window of x, with `outside` around it, made one element.
    #[track_caller]
    fn pool(&self, x: &Value, outside: f64, how: Pool) -> Value {
        if x.error().is_some() {
            return x.clone();
        }
        let half = self
            .padding
            .iter()
            .zip(self.size)
            .all(|(&p, size)| p <= size / 2);
        if x.rank() != N + 2 || !half {
            return init::mistake(format!(
                "pooling takes [n, channels, {N} spatial axes], not {}, and padding {:?} of at \
                 most half the window {:?}",
                x.shape(),
                self.padding,
                self.size
            ));
        }
        let widths = [&[(0, 0), (0, 0)], &self.padding.map(|p| (p, p))[..]].concat();
        let x = match self.padding.iter().all(|&p| p == 0) {
            true => x.clone(),
            false if outside == 0.0 => x.pad(widths),
            false => x.pad_with(widths, outside),
        };
        // The last axis first, so that the first of equal elements in reading order wins.
        (0..N)
            .rev()
            .fold(x, |x, i| how.along(&x, 2 + i, self.size[i], self.stride[i]))
    }
}

/// What becomes of a window.
#[derive(Clone, Copy)]
enum Pool {
    Max,
    Mean,
}

impl Pool {
    /// Windows along one axis. Maxima and means of boxes are those of rows of columns; a small
    /// window is taken apart into slices, whose gradient is faster.
    #[track_caller]
    fn along(self, x: &Value, axis: usize, size: usize, stride: usize) -> Value {
        let length = x.shape().get(axis).copied().unwrap_or(0);
        match positions(length, size, stride, 1) {
            Some(count) if size <= MOST_SLICES && count > 1 => {
                let slices = (0..size).map(|k| every(x, axis, k, stride, count));
                match self {
                    Pool::Max => slices
                        .reduce(|a, b| a.maximum(b))
                        .unwrap_or_else(|| x.clone()),
                    Pool::Mean => slices.sum::<Value>() / size as f64,
                }
            }
            Some(_) => {
                let windows = x.windows(axis as isize, size, stride, 1);
                match self {
                    Pool::Max => windows.max_axis(-1),
                    Pool::Mean => windows.mean_axis(-1),
                }
            }
            None => init::mistake(format!(
                "windows of {size}, {stride} apart, do not fit into axis {axis} of {} (padding \
                 included)",
                x.shape()
            )),
        }
    }
}

/// Pooling by windows of a size: the struct, its setters, and the layer.
macro_rules! pool {
    ($(#[$doc:meta])* $name:ident, $how:expr, outside: $outside:expr, padding: $padding:literal) => {
        $(#[$doc])*
        #[derive(Module, Clone, Copy, Debug)]
        pub struct $name<const N: usize>(#[module(skip)] Windows<N>);

        impl<const N: usize> $name<N> {
            /// Windows of this size, side by side.
            pub fn new(size: impl Into<Each<N>>) -> Self {
                $name(Windows::new(size.into()))
            }

            /// With windows this far apart.
            pub fn stride(mut self, stride: impl Into<Each<N>>) -> Self {
                self.0.stride = stride.into().0;
                self
            }

            #[doc = $padding]
            pub fn padding(mut self, padding: impl Into<Each<N>>) -> Self {
                self.0.padding = padding.into().0;
                self
            }
        }

        impl<const N: usize> Layer for $name<N> {
            /// `[n, c, l..] -> [n, c, m..]` with `m = (l + 2 padding - size) / stride + 1`.
            #[track_caller]
            fn forward(&self, x: &Value) -> Value {
                self.0.pool(x, $outside, $how)
            }
        }
    };
}

pool!(
    /// The largest element of each window. Of equal ones, the first in reading order has the
    /// gradient.
    ///
    /// ```
    /// use toygrad::prelude::*;
    /// use toygrad::nn::MaxPool2d;
    /// let x = Value::arange(0..16).cast(DType::F32).reshape([1, 1, 4, 4]);
    /// assert_eq!(MaxPool2d::new(2).forward(&x).to_vec::<f32>()?, [5.0, 7.0, 13.0, 15.0]);
    /// # Ok::<(), toygrad::Error>(())
    /// ```
    MaxPool,
    Pool::Max,
    outside: f64::NEG_INFINITY,
    padding: "With so many positions on both sides that are never the largest."
);

pool!(
    /// The mean of each window; padding counts as zeros.
    ///
    /// ```
    /// use toygrad::prelude::*;
    /// use toygrad::nn::AvgPool2d;
    /// let x = Value::arange(0..16).cast(DType::F32).reshape([1, 1, 4, 4]);
    /// assert_eq!(AvgPool2d::new(2).forward(&x).to_vec::<f32>()?, [2.5, 4.5, 10.5, 12.5]);
    /// # Ok::<(), toygrad::Error>(())
    /// ```
    AvgPool,
    Pool::Mean,
    outside: 0.0,
    padding: "With so many zeros on both sides."
);

/// Pooling to a number of windows: the struct, and the layer, with what becomes of a cut.
macro_rules! adaptive_pool {
    ($(#[$doc:meta])* $name:ident, $pool:expr) => {
        $(#[$doc])*
        #[derive(Module, Clone, Copy, Debug)]
        pub struct $name<const N: usize>(#[module(skip)] [usize; N]);

        impl<const N: usize> $name<N> {
            /// Outputs of this size.
            pub fn new(size: impl Into<Each<N>>) -> Self {
                $name(size.into().0)
            }
        }

        impl<const N: usize> Layer for $name<N> {
            /// `[n, c, l..] -> [n, c, size..]`.
            #[track_caller]
            fn forward(&self, x: &Value) -> Value {
                adapt(x, self.0, $pool)
            }
        }
    };
}

adaptive_pool!(
    /// The means of as many windows as are wanted, whatever the length of the input: window i of m
    /// goes from `floor(i l / m)` to `ceil((i + 1) l / m)`, as in PyTorch.
    ///
    /// ```
    /// use toygrad::prelude::*;
    /// use toygrad::nn::AdaptiveAvgPool2d;
    /// let y = AdaptiveAvgPool2d::new(1).forward(&Value::ones([2, 8, 5, 7]));
    /// assert_eq!(y.shape()[..], [2, 8, 1, 1]);
    /// ```
    AdaptiveAvgPool,
    |x, axis, windows| match windows {
        Cut::Even(size) => Pool::Mean.along(x, axis, size, size),
        Cut::Uneven { index, shares } => {
            let behind = std::iter::repeat_n(1, x.rank() - 1 - axis);
            let shape: Shape = shares.shape().iter().copied().chain(behind).collect();
            let shares = shares.cast(x.dtype().to_float()).reshape(shape);
            (x.index_select(axis as isize, index) * shares).sum_axis(axis + 1)
        }
    }
);

adaptive_pool!(
    /// The largest elements of as many windows as are wanted; see [`AdaptiveAvgPool`].
    AdaptiveMaxPool,
    |x, axis, windows| match windows {
        Cut::Even(size) => Pool::Max.along(x, axis, size, size),
        // Windows that are shorter repeat their last element: no harm to the maximum.
        Cut::Uneven { index, .. } => x.index_select(axis as isize, index).max_axis(axis + 1),
    }
);

/// How an axis is cut.
enum Cut {
    /// Into windows of this size.
    Even(usize),
    /// Into windows of several lengths: `index` (`[windows, size]`) holds their positions, the last
    /// of a window repeated up to `size`, and `shares` what each counts in the mean.
    Uneven { index: Value, shares: Value },
}

/// Pools each spatial axis in turn; means and maxima of boxes are those of rows of columns.
#[track_caller]
fn adapt<const N: usize>(
    x: &Value,
    sizes: [usize; N],
    pool: impl Fn(&Value, usize, Cut) -> Value,
) -> Value {
    if x.error().is_some() {
        return x.clone();
    }
    let spatial = x.shape().get(2..).unwrap_or_default();
    if x.rank() != N + 2 || spatial.contains(&0) || sizes.contains(&0) {
        return init::mistake(format!(
            "pooling to {sizes:?} takes [n, channels, {N} spatial axes], not {}",
            x.shape()
        ));
    }
    let lengths: Vec<usize> = spatial.to_vec();
    let mut x = x.clone();
    for (i, (l, m)) in lengths.into_iter().zip(sizes).enumerate() {
        let cut = match l.is_multiple_of(m) {
            true => Cut::Even(l / m),
            false => {
                let bounds = |i: usize| (i * l / m, ((i + 1) * l).div_ceil(m));
                let size = (0..m).map(|i| bounds(i).1 - bounds(i).0).max().unwrap_or(1);
                let each = (0..m).flat_map(|i| (0..size).map(move |k| (i, k)));
                let at = |(i, k): (usize, usize)| (bounds(i).0 + k).min(bounds(i).1 - 1);
                let share = |(i, k): (usize, usize)| {
                    let count = bounds(i).1 - bounds(i).0;
                    if k < count { 1.0 / count as f64 } else { 0.0 }
                };
                Cut::Uneven {
                    index: Value::from_vec(each.clone().map(at).collect(), [m, size]),
                    shares: Value::from_vec(each.map(share).collect(), [m, size]),
                }
            }
        };
        x = pool(&x, 2 + i, cut);
    }
    x
}
