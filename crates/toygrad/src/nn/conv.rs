//! Convolutions in any number of dimensions: windows of the input, multiplied with the kernels as
//! matrices.

use super::{Layer, Module, init};
use crate::{Parameter, Shape, SliceItem, Value, vjp};

/// A number for each spatial axis: of one number it is the same for all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Each<const N: usize>(pub [usize; N]);

macro_rules! each {
    ($($t:ty),*) => {$(
        impl<const N: usize> From<$t> for Each<N> {
            fn from(n: $t) -> Self {
                Each::from([n; N])
            }
        }
        impl<const N: usize> From<[$t; N]> for Each<N> {
            fn from(n: [$t; N]) -> Self {
                // What is negative does not fit: layers report it as the largest number.
                Each(n.map(|n| usize::try_from(n).unwrap_or(usize::MAX)))
            }
        }
    )*};
}
each!(i32, usize);

/// A convolution (a cross-correlation, as everywhere) over one spatial axis: `[n, channels, length]`.
pub type Conv1d = Conv<1>;
/// A convolution over two spatial axes: `[n, channels, height, width]`.
pub type Conv2d = Conv<2>;
/// A convolution over three spatial axes: `[n, channels, depth, height, width]`.
pub type Conv3d = Conv<3>;
/// A transposed convolution over one spatial axis.
pub type ConvTranspose1d = ConvTranspose<1>;
/// A transposed convolution over two spatial axes.
pub type ConvTranspose2d = ConvTranspose<2>;

/// A convolution over N spatial axes, with the names, layout and initial weights of PyTorch's
/// `Conv1d`, `Conv2d` and `Conv3d`.
///
/// ```
/// use toygrad::prelude::*;
/// use toygrad::nn::Conv2d;
/// let layer = Conv2d::new(3, 8, 5).stride(2).padding(2);
/// assert_eq!(layer.weight.shape()[..], [8, 3, 5, 5]);
/// assert_eq!(layer.forward(&Value::ones([4, 3, 28, 28])).shape()[..], [4, 8, 14, 14]);
/// ```
#[derive(Module, Clone, Debug)]
pub struct Conv<const N: usize> {
    /// `[outputs, inputs / groups, kernel..]`, drawn from U(-1/√fan, 1/√fan), where fan is the
    /// product of all lengths but the first.
    pub weight: Parameter,
    /// `[outputs]`, drawn from the same.
    pub bias: Option<Parameter>,
    #[module(skip)]
    options: Options<N>,
    #[module(skip)]
    padding_mode: PaddingMode,
}

/// What a convolution sees beyond the edges of its input: PyTorch's `padding_mode`. Of `1 2 3`,
/// with two positions on both sides:
///
/// ```
/// use toygrad::prelude::*;
/// use toygrad::nn::{Conv1d, PaddingMode};
/// let x = Value::from([[[1.0f32, 2.0, 3.0]]]);
/// let seen = |mode| -> Result<Vec<f32>> {
///     let layer = Conv1d::new(1, 1, 1).padding(2).padding_mode(mode).without_bias();
///     layer.weight.set(Value::ones([1, 1, 1]))?;
///     layer.forward(&x).to_vec()
/// };
/// assert_eq!(seen(PaddingMode::Zeros)?, [0.0, 0.0, 1.0, 2.0, 3.0, 0.0, 0.0]);
/// assert_eq!(seen(PaddingMode::Reflect)?, [3.0, 2.0, 1.0, 2.0, 3.0, 2.0, 1.0]);
/// assert_eq!(seen(PaddingMode::Replicate)?, [1.0, 1.0, 1.0, 2.0, 3.0, 3.0, 3.0]);
/// assert_eq!(seen(PaddingMode::Circular)?, [2.0, 3.0, 1.0, 2.0, 3.0, 1.0, 2.0]);
/// # Ok::<(), toygrad::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PaddingMode {
    /// Zeros.
    #[default]
    Zeros,
    /// The input mirrored at its first and last positions, which are not repeated: less padding
    /// than the input is long.
    Reflect,
    /// The first and the last position again and again.
    Replicate,
    /// The input from its other end: no more padding than the input is long.
    Circular,
}

impl PaddingMode {
    /// x with so many positions on both sides of each spatial axis.
    #[track_caller]
    fn pad<const N: usize>(self, x: &Value, padding: [usize; N]) -> Value {
        if padding == [0; N] {
            return x.clone();
        }
        if self == PaddingMode::Zeros {
            let widths = padding.map(|p| (p, p));
            return x.pad([&[(0, 0), (0, 0)], &widths[..]].concat());
        }
        let mut x = x.clone();
        for (i, p) in padding.into_iter().enumerate() {
            let n = x.shape()[2 + i];
            let most = match self {
                PaddingMode::Reflect => n.checked_sub(1),
                PaddingMode::Circular => Some(n),
                _ => (n > 0).then_some(usize::MAX),
            };
            if most.is_none_or(|most| p > most) {
                return init::mistake(format!(
                    "{self:?} padding of {padding:?} is more than {:?} has",
                    &x.shape()[2..]
                ));
            }
            let (n, p) = (n as i64, p as i64);
            let position = |i: i64| match self {
                PaddingMode::Circular => i.rem_euclid(n),
                PaddingMode::Reflect => (n - 1) - (n - 1 - i.abs()).abs(),
                _ => i.clamp(0, n - 1),
            };
            if p > 0 {
                let index: Value = (-p..n + p).map(position).collect();
                x = x.index_select(2 + i as isize, index);
            }
        }
        x
    }
}

/// Where windows lie.
#[derive(Clone, Copy, Debug)]
struct Options<const N: usize> {
    inputs: usize,
    outputs: usize,
    kernel: [usize; N],
    stride: [usize; N],
    padding: [usize; N],
    dilation: [usize; N],
    groups: usize,
}

impl<const N: usize> Options<N> {
    fn new(inputs: usize, outputs: usize, kernel: Each<N>) -> Self {
        Options {
            inputs,
            outputs,
            kernel: kernel.0,
            stride: [1; N],
            padding: [0; N],
            dilation: [1; N],
            groups: 1,
        }
    }

    /// A weight of `[first, second / groups, kernel..]` and a bias, or the mistake in both.
    fn weights(&self, first: usize, second: usize) -> (Parameter, Parameter) {
        let g = self.groups;
        let divides = g > 0 && self.inputs.is_multiple_of(g) && self.outputs.is_multiple_of(g);
        let shape: Shape = [first, second / g.max(1)]
            .into_iter()
            .chain(self.kernel)
            .collect();
        if !divides || self.kernel.contains(&0) || shape.checked_len().is_none() {
            let mistake = init::mistake(format!(
                "a convolution of {} to {} channels in {g} groups with kernels {:?}: groups must \
                 divide both, and kernels be at least 1",
                self.inputs, self.outputs, self.kernel
            ));
            return (Parameter::new(mistake.clone()), Parameter::new(mistake));
        }
        let fan = shape[1..].iter().product();
        let bias = init::torch_default([self.outputs], fan);
        (
            Parameter::new(init::torch_default(shape, fan)),
            Parameter::new(bias),
        )
    }

    /// The mistake of an input or options that do not fit; the weight is `[first, second / groups,
    /// kernel..]`.
    #[track_caller]
    fn check(
        &self,
        name: &str,
        x: &Value,
        weight: &Value,
        [first, second]: [usize; 2],
    ) -> Option<Value> {
        if let Some(v) = [x, weight].into_iter().find(|v| v.error().is_some()) {
            return Some(v.clone());
        }
        let expected = [first, second / self.groups.max(1)]
            .into_iter()
            .chain(self.kernel);
        if !weight.shape().iter().copied().eq(expected) || self.groups == 0 {
            return Some(init::mistake(format!(
                "`{name}` of {} to {} channels in {} groups with kernels {:?} has no weight {}",
                self.inputs,
                self.outputs,
                self.groups,
                self.kernel,
                weight.shape()
            )));
        }
        let least = [self.kernel, self.stride, self.dilation];
        let positive = least.iter().flatten().all(|&n| n > 0);
        // Far below where a sum or product of them could overflow.
        let all = [self.kernel, self.stride, self.padding, self.dilation];
        let sane = all.iter().flatten().all(|&n| n < 1 << 20);
        if !positive || !sane {
            return Some(init::mistake(format!(
                "`{name}`: stride {:?} and dilation {:?} must be at least 1, and they and padding \
                 {:?} not negative or huge",
                self.stride, self.dilation, self.padding
            )));
        }
        (x.rank() != N + 2 || x.shape()[1] != self.inputs).then(|| {
            init::mistake(format!(
                "`{name}` takes [n, {}, {N} spatial axes], not {}",
                self.inputs,
                x.shape()
            ))
        })
    }
}

/// The setters that convolutions and transposed convolutions have in common; `first` and `second`
/// are the channels that come first and second in the weight's shape.
macro_rules! setters {
    ($conv:ident, [$first:ident, $second:ident], stride: $stride:literal, padding: $padding:literal) => {
        impl<const N: usize> $conv<N> {
            #[doc = $stride]
            pub fn stride(mut self, stride: impl Into<Each<N>>) -> Self {
                self.options.stride = stride.into().0;
                self
            }

            #[doc = $padding]
            pub fn padding(mut self, padding: impl Into<Each<N>>) -> Self {
                self.options.padding = padding.into().0;
                self
            }

            /// With the positions of a kernel this far apart.
            pub fn dilation(mut self, dilation: impl Into<Each<N>>) -> Self {
                self.options.dilation = dilation.into().0;
                self
            }

            /// With channels in groups that do not see each other; draws new weights. As many
            /// groups as inputs make a depthwise convolution.
            #[track_caller]
            pub fn groups(mut self, groups: usize) -> Self {
                self.options.groups = groups;
                let (weight, bias) = self
                    .options
                    .weights(self.options.$first, self.options.$second);
                self.weight = weight;
                self.bias = self.bias.map(|_| bias);
                self
            }

            /// The same without a bias.
            pub fn without_bias(self) -> Self {
                $conv { bias: None, ..self }
            }
        }
    };
}
setters!(
    Conv,
    [outputs, inputs],
    stride: "With windows this far apart.",
    padding: "With so many positions on both sides of each axis: zeros, or what \
              [`padding_mode`](Conv::padding_mode) says."
);
setters!(
    ConvTranspose,
    [inputs, outputs],
    stride: "With outputs of neighbouring positions this far apart.",
    padding: "With so much cut from both ends of each axis of the output."
);

impl<const N: usize> Conv<N> {
    /// Of `inputs` to `outputs` channels, with stride 1, no padding, dilation 1, one group. Sizes
    /// are one number for all axes or one for each: `3`, `[3, 5]`.
    #[track_caller]
    pub fn new(inputs: usize, outputs: usize, kernel: impl Into<Each<N>>) -> Self {
        let options = Options::new(inputs, outputs, kernel.into());
        let (weight, bias) = options.weights(outputs, inputs);
        Conv {
            weight,
            bias: Some(bias),
            options,
            padding_mode: PaddingMode::Zeros,
        }
    }

    /// With another kind of padding than zeros.
    pub fn padding_mode(mut self, mode: PaddingMode) -> Self {
        self.padding_mode = mode;
        self
    }
}

impl<const N: usize> Layer for Conv<N> {
    /// `[n, inputs, l..] -> [n, outputs, m..]` with `m = (l + 2 padding - dilation (kernel - 1) -
    /// 1) / stride + 1`.
    #[track_caller]
    fn forward(&self, x: &Value) -> Value {
        let weight = self.weight.value();
        let o = &self.options;
        match o.check("convolution", x, &weight, [o.outputs, o.inputs]) {
            Some(mistake) => mistake,
            None => {
                let x = self.padding_mode.pad(x, o.padding);
                with_bias(convolve(&x, &weight, o), &self.bias)
            }
        }
    }
}

/// The convolution of a padded input and weights that fit.
#[track_caller]
fn convolve<const N: usize>(padded: &Value, weight: &Value, o: &Options<N>) -> Value {
    if padded.error().is_some() {
        return padded.clone();
    }
    let (n, groups) = (padded.shape()[0], o.groups);
    // [n, groups, channels of a group, positions of the padded input..]
    let grouped: Shape = [n, groups, o.inputs / groups]
        .into_iter()
        .chain(padded.shape()[2..].iter().copied())
        .collect();
    let columns = columns(&padded.reshape(grouped), o);
    if columns.error().is_some() {
        return columns;
    }
    let positions = columns.shape()[3..].to_vec();
    let depth = o.inputs / groups * o.kernel.iter().product::<usize>();
    let area = positions.iter().product();
    let columns = columns.reshape(Shape::from([n, groups, depth, area]));
    // [groups, outputs of a group, kernel.. x channels of a group]
    let kernels: Shape = [groups, o.outputs / groups, o.inputs / groups]
        .into_iter()
        .chain(o.kernel)
        .collect();
    let order: Vec<usize> = (0..2).chain(3..3 + N).chain([2]).collect();
    let kernels = weight.reshape(kernels).permute(order);
    let kernels = kernels.reshape(Shape::from([groups, o.outputs / groups, depth]));
    let shape: Shape = [n, o.outputs].into_iter().chain(positions).collect();
    kernels.matmul(columns).reshape(shape)
}

/// What each kernel position sees, one after another: `[n, groups, kernel.. x channels,
/// positions..]`.
///
/// Slices end to end and, for kernels of many positions, windows: the same elements. Slices have
/// the faster gradient, as long rows are added to long rows.
#[track_caller]
fn columns<const N: usize>(x: &Value, o: &Options<N>) -> Value {
    if o.kernel.iter().product::<usize>() > MOST_SLICES {
        let windows = (0..N).fold(x.clone(), |x, i| {
            x.windows(3 + i as isize, o.kernel[i], o.stride[i], o.dilation[i])
        });
        let order = (0..2).chain(3 + N..3 + 2 * N).chain(2..3 + N);
        let apart = windows.permute(order.collect::<Vec<usize>>());
        if apart.error().is_some() {
            return apart;
        }
        let (kernel, positions) = apart.shape()[2..].split_at(N);
        let (channels, positions) = positions.split_at(1);
        let stack = kernel.iter().chain(channels).product();
        let shape: Shape = [x.shape()[0], x.shape()[1], stack]
            .into_iter()
            .chain(positions.iter().copied())
            .collect();
        return apart.reshape(shape);
    }
    let mut slices = vec![x.clone()];
    for i in 0..N {
        let Some(count) = positions(x.shape()[3 + i], o.kernel[i], o.stride[i], o.dilation[i])
        else {
            return init::mistake(format!(
                "a kernel of {:?}, {:?} apart, does not fit into {:?} (padding included)",
                o.kernel,
                o.dilation,
                &x.shape()[3..]
            ));
        };
        let shifted = |x: &Value| -> Vec<Value> {
            let from = |k: usize| every(x, 3 + i, k * o.dilation[i], o.stride[i], count);
            (0..o.kernel[i]).map(from).collect()
        };
        slices = slices.iter().flat_map(shifted).collect();
    }
    Value::concat(slices, 2)
}

/// Kernels and windows of at most so many positions are taken apart into slices.
pub(super) const MOST_SLICES: usize = 32;

/// How many windows fit into an axis, if any.
pub(super) fn positions(
    length: usize,
    size: usize,
    stride: usize,
    dilation: usize,
) -> Option<usize> {
    let span = size.checked_sub(1)?.checked_mul(dilation)?.checked_add(1)?;
    Some(length.checked_sub(span)?.checked_div(stride)? + 1)
}

/// `count` positions of an axis from `start` on, `stride` apart.
#[track_caller]
pub(super) fn every(x: &Value, axis: usize, start: usize, stride: usize, count: usize) -> Value {
    let mut items = vec![SliceItem::from(..); axis];
    let end = start + count.saturating_sub(1) * stride + 1;
    items.push(SliceItem::from(start..end).step(stride as isize));
    x.slice(items)
}

#[track_caller]
fn with_bias(y: Value, bias: &Option<Parameter>) -> Value {
    match bias {
        Some(bias) if y.error().is_none() => {
            let ones = std::iter::repeat_n(1, y.rank().saturating_sub(2));
            let shape: Shape = [y.shape()[1]].into_iter().chain(ones).collect();
            y + bias.value().reshape(shape)
        }
        _ => y,
    }
}

/// A transposed convolution over N spatial axes: what the gradient of a convolution by its input
/// is, with the names and layout of PyTorch's `ConvTranspose2d`.
///
/// ```
/// use toygrad::prelude::*;
/// use toygrad::nn::ConvTranspose2d;
/// let layer = ConvTranspose2d::new(8, 3, 4).stride(2).padding(1);
/// assert_eq!(layer.weight.shape()[..], [8, 3, 4, 4]);
/// assert_eq!(layer.forward(&Value::ones([2, 8, 7, 7])).shape()[..], [2, 3, 14, 14]);
/// ```
#[derive(Module, Clone, Debug)]
pub struct ConvTranspose<const N: usize> {
    /// `[inputs, outputs / groups, kernel..]`, drawn from U(-1/√fan, 1/√fan), where fan is the
    /// product of all lengths but the first.
    pub weight: Parameter,
    /// `[outputs]`, drawn from the same.
    pub bias: Option<Parameter>,
    #[module(skip)]
    options: Options<N>,
    #[module(skip)]
    output_padding: [usize; N],
}

impl<const N: usize> ConvTranspose<N> {
    /// Of `inputs` to `outputs` channels, with stride 1, no padding, dilation 1, one group.
    #[track_caller]
    pub fn new(inputs: usize, outputs: usize, kernel: impl Into<Each<N>>) -> Self {
        let options = Options::new(inputs, outputs, kernel.into());
        let (weight, bias) = options.weights(inputs, outputs);
        ConvTranspose {
            weight,
            bias: Some(bias),
            options,
            output_padding: [0; N],
        }
    }

    /// With so much added to the end of each axis of the output, less than the stride: several
    /// lengths of a convolution's input give one output, and this says which.
    pub fn output_padding(mut self, padding: impl Into<Each<N>>) -> Self {
        self.output_padding = padding.into().0;
        self
    }
}

impl<const N: usize> Layer for ConvTranspose<N> {
    /// `[n, inputs, l..] -> [n, outputs, m..]` with `m = (l - 1) stride - 2 padding + dilation
    /// (kernel - 1) + output padding + 1`.
    #[track_caller]
    fn forward(&self, x: &Value) -> Value {
        let (o, weight) = (&self.options, self.weight.value());
        if let Some(mistake) = o.check("transposed convolution", x, &weight, [o.inputs, o.outputs])
        {
            return mistake;
        }
        let length = |i: usize| {
            let l = x.shape()[2 + i];
            let whole = l.saturating_sub(1) * o.stride[i] + o.dilation[i] * (o.kernel[i] - 1) + 1;
            let fits = l > 0 && self.output_padding[i] < o.stride[i].max(o.dilation[i]);
            let m = (whole + self.output_padding[i]).checked_sub(2 * o.padding[i]);
            m.filter(|&m| fits && m > 0)
        };
        let Some(lengths) = (0..N).map(length).collect::<Option<Vec<_>>>() else {
            return init::mistake(format!(
                "`transposed convolution` of {}: output padding {:?} must be less than the stride, \
                 and something be left of the output",
                x.shape(),
                self.output_padding
            ));
        };
        // The convolution that this is the transpose of: from our outputs to our inputs. Its input
        // matters for its shape only, and is never computed.
        let adjoint = Options {
            inputs: o.outputs,
            outputs: o.inputs,
            ..*o
        };
        let shape: Shape = [x.shape()[0], o.outputs]
            .into_iter()
            .chain(lengths)
            .collect();
        let image = x.sum().expand(shape);
        if image.error().is_some() {
            return image;
        }
        let padded = PaddingMode::Zeros.pad(&image, o.padding);
        let y = convolve(&padded, &weight, &adjoint);
        let transposed = vjp(&[y], std::slice::from_ref(x), [&image]).pop();
        with_bias(transposed.unwrap_or(image), &self.bias)
    }
}
