//! Pooling: the largest or the mean of windows.

use super::conv::{Each, spread};
use super::{Layer, Module, init};
use crate::Value;

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

    /// The windows of x, with `outside` around it: `[n, c, positions.., sizes..]`.
    #[track_caller]
    fn of(&self, x: &Value, outside: f64) -> Value {
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
        spread(x, self.size, self.stride, [1; N])
    }
}

/// The axes of the windows themselves: the last N.
fn last<const N: usize>() -> Vec<isize> {
    (-(N as isize)..0).collect()
}

/// The largest element of each window. Equal ones share the gradient (PyTorch gives it to the
/// first).
///
/// ```
/// use toygrad::prelude::*;
/// use toygrad::nn::MaxPool2d;
/// let x = Value::arange(0..16).cast(DType::F32).reshape([1, 1, 4, 4]);
/// assert_eq!(MaxPool2d::new(2).forward(&x).to_vec::<f32>()?, [5.0, 7.0, 13.0, 15.0]);
/// # Ok::<(), toygrad::Error>(())
/// ```
#[derive(Module, Clone, Copy, Debug)]
pub struct MaxPool<const N: usize>(#[module(skip)] Windows<N>);

impl<const N: usize> MaxPool<N> {
    /// Windows of this size, side by side.
    pub fn new(size: impl Into<Each<N>>) -> Self {
        MaxPool(Windows::new(size.into()))
    }

    /// With windows this far apart.
    pub fn stride(mut self, stride: impl Into<Each<N>>) -> Self {
        self.0.stride = stride.into().0;
        self
    }

    /// With so many positions on both sides that are never the largest.
    pub fn padding(mut self, padding: impl Into<Each<N>>) -> Self {
        self.0.padding = padding.into().0;
        self
    }
}

impl<const N: usize> Layer for MaxPool<N> {
    /// `[n, c, l..] -> [n, c, m..]` with `m = (l + 2 padding - size) / stride + 1`.
    #[track_caller]
    fn forward(&self, x: &Value) -> Value {
        self.0.of(x, f64::NEG_INFINITY).max_axis(last::<N>())
    }
}

/// The mean of each window; padding counts as zeros.
#[derive(Module, Clone, Copy, Debug)]
pub struct AvgPool<const N: usize>(#[module(skip)] Windows<N>);

impl<const N: usize> AvgPool<N> {
    /// Windows of this size, side by side.
    pub fn new(size: impl Into<Each<N>>) -> Self {
        AvgPool(Windows::new(size.into()))
    }

    /// With windows this far apart.
    pub fn stride(mut self, stride: impl Into<Each<N>>) -> Self {
        self.0.stride = stride.into().0;
        self
    }

    /// With so many zeros on both sides.
    pub fn padding(mut self, padding: impl Into<Each<N>>) -> Self {
        self.0.padding = padding.into().0;
        self
    }
}

impl<const N: usize> Layer for AvgPool<N> {
    /// `[n, c, l..] -> [n, c, m..]` with `m = (l + 2 padding - size) / stride + 1`.
    #[track_caller]
    fn forward(&self, x: &Value) -> Value {
        self.0.of(x, 0.0).mean_axis(last::<N>())
    }
}

/// The means of as many windows as are wanted, whatever the length of the input: window i of m goes
/// from `floor(i l / m)` to `ceil((i + 1) l / m)`, as in PyTorch.
///
/// ```
/// use toygrad::prelude::*;
/// use toygrad::nn::AdaptiveAvgPool2d;
/// let y = AdaptiveAvgPool2d::new(1).forward(&Value::ones([2, 8, 5, 7]));
/// assert_eq!(y.shape()[..], [2, 8, 1, 1]);
/// ```
#[derive(Module, Clone, Copy, Debug)]
pub struct AdaptiveAvgPool<const N: usize>(#[module(skip)] [usize; N]);

impl<const N: usize> AdaptiveAvgPool<N> {
    /// Outputs of this size.
    pub fn new(size: impl Into<Each<N>>) -> Self {
        AdaptiveAvgPool(size.into().0)
    }
}

impl<const N: usize> Layer for AdaptiveAvgPool<N> {
    /// `[n, c, l..] -> [n, c, size..]`.
    #[track_caller]
    fn forward(&self, x: &Value) -> Value {
        adapt(x, self.0, |x, axis, windows| match windows {
            Cut::Even(size) => x.windows(axis, size, size, 1).mean_axis(-1),
            Cut::Uneven {
                index,
                counts,
                size,
            } => {
                let sums = x.index_select(axis, index) * inside(&counts, size, x, axis);
                sums.sum_axis(axis + 1) / along(&counts, x, axis)
            }
        })
    }
}

/// The largest elements of as many windows as are wanted; see [`AdaptiveAvgPool`].
#[derive(Module, Clone, Copy, Debug)]
pub struct AdaptiveMaxPool<const N: usize>(#[module(skip)] [usize; N]);

impl<const N: usize> AdaptiveMaxPool<N> {
    /// Outputs of this size.
    pub fn new(size: impl Into<Each<N>>) -> Self {
        AdaptiveMaxPool(size.into().0)
    }
}

impl<const N: usize> Layer for AdaptiveMaxPool<N> {
    /// `[n, c, l..] -> [n, c, size..]`.
    #[track_caller]
    fn forward(&self, x: &Value) -> Value {
        adapt(x, self.0, |x, axis, windows| match windows {
            Cut::Even(size) => x.windows(axis, size, size, 1).max_axis(-1),
            // Windows that are shorter repeat their last element: no harm to the maximum.
            Cut::Uneven { index, .. } => x.index_select(axis, index).max_axis(axis + 1),
        })
    }
}

/// How an axis is cut.
enum Cut {
    /// Into windows of this size.
    Even(usize),
    /// Into windows of these lengths (f32); `index` (`[windows, size]`) holds their positions, the
    /// last of a window repeated up to `size`.
    Uneven {
        index: Value,
        counts: Value,
        size: usize,
    },
}

/// Pools each spatial axis in turn; means and maxima of boxes are those of rows of columns.
#[track_caller]
fn adapt<const N: usize>(
    x: &Value,
    sizes: [usize; N],
    pool: impl Fn(&Value, isize, Cut) -> Value,
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
                let bounds: Vec<(usize, usize)> = (0..m)
                    .map(|i| (i * l / m, ((i + 1) * l).div_ceil(m)))
                    .collect();
                let size = bounds.iter().map(|(a, b)| b - a).max().unwrap_or(1);
                let row = |&(a, b): &(usize, usize)| (0..size).map(move |k| (a + k).min(b - 1));
                Cut::Uneven {
                    index: Value::from_vec(bounds.iter().flat_map(row).collect(), [m, size]),
                    counts: bounds.iter().map(|(a, b)| (b - a) as f32).collect(),
                    size,
                }
            }
        };
        x = pool(&x, 2 + i as isize, cut);
    }
    x
}

/// 1 where a position of a window is one of its own, 0 where it is repeated: `[windows, size]`
/// along `axis` of what `index_select` gives.
fn inside(counts: &Value, size: usize, x: &Value, axis: isize) -> Value {
    let own = Value::arange(0..size).lt(counts.unsqueeze(1));
    let behind = (x.rank() as isize - 1 - axis).max(0) as usize;
    let shape = [counts.elements(), size]
        .into_iter()
        .chain(std::iter::repeat_n(1, behind));
    own.cast(x.dtype()).reshape(shape.collect::<crate::Shape>())
}

/// A vector along `axis` of x.
fn along(vector: &Value, x: &Value, axis: isize) -> Value {
    let behind = (x.rank() as isize - 1 - axis).max(0) as usize;
    let shape = [vector.elements()]
        .into_iter()
        .chain(std::iter::repeat_n(1, behind));
    vector
        .cast(x.dtype())
        .reshape(shape.collect::<crate::Shape>())
}
