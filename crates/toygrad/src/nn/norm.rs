//! Normalisation.

use super::{Layer, Module, init, is_training};
use crate::{DType, Parameter, Shape, Value};

/// [`BatchNorm`] of `[n, channels]` or `[n, channels, length]`.
pub type BatchNorm1d = BatchNorm;
/// [`BatchNorm`] of `[n, channels, height, width]`.
pub type BatchNorm2d = BatchNorm;

/// Batch normalisation of the channels, axis 1 (Ioffe & Szegedy 2015), with PyTorch's names.
///
/// In training, each channel is normalised by its mean and variance over the batch and all
/// positions, and running averages of them move on; inside [`eval`](super::eval), it is normalised
/// by those. Outside of a compiled function, training computes the input at once.
///
/// ```
/// use toygrad::prelude::*;
/// use toygrad::nn::BatchNorm2d;
/// let layer = BatchNorm2d::new(3);
/// let x = Value::randn([4, 3, 5, 5]) + 2.0;
/// let y = layer.forward(&x);
/// assert!(y.mean().item()?.abs() < 1e-5);
/// assert!(layer.running_mean.value().mean().item()? > 0.1);
/// assert!(eval(|| layer.forward(&x)).mean().item()? > 1.0);
/// # Ok::<(), toygrad::Error>(())
/// ```
#[derive(Module, Clone, Debug)]
pub struct BatchNorm {
    /// `[channels]`, ones at first.
    pub weight: Parameter,
    /// `[channels]`, zeros at first.
    pub bias: Parameter,
    /// `[channels]`: the average of means, zeros at first.
    pub running_mean: Parameter,
    /// `[channels]`: the average of unbiased variances, ones at first.
    pub running_var: Parameter,
    /// How many batches the averages have seen.
    pub num_batches_tracked: Parameter,
    /// The share of a new batch in the averages.
    pub momentum: f64,
    /// Added to the variance.
    pub eps: f64,
}

impl BatchNorm {
    /// Of so many channels, with momentum 0.1 and eps 1e-5.
    #[track_caller]
    pub fn new(channels: usize) -> BatchNorm {
        BatchNorm {
            weight: Parameter::new(init::constant([channels], 1.0)),
            bias: Parameter::new(init::constant([channels], 0.0)),
            running_mean: Parameter::buffer(init::constant([channels], 0.0)),
            running_var: Parameter::buffer(init::constant([channels], 1.0)),
            num_batches_tracked: Parameter::buffer(Value::from(0i64).cast(DType::I64)),
            momentum: 0.1,
            eps: 1e-5,
        }
    }
}

impl Layer for BatchNorm {
    /// `[n, channels, ..]`; the same comes out. A batch of one element per channel has no variance:
    /// a mistake in training.
    #[track_caller]
    fn forward(&self, x: &Value) -> Value {
        let channels = self.weight.shape().elements();
        if x.error().is_some() {
            return x.clone();
        }
        if x.shape().get(1) != Some(&channels) {
            return init::mistake(format!(
                "batch normalisation of {channels} channels takes [n, {channels}, ..], not {}",
                x.shape()
            ));
        }
        let behind = std::iter::repeat_n(1, x.rank() - 2);
        let shape: Shape = [channels].into_iter().chain(behind).collect();
        let wide = |p: &Parameter| p.value().reshape(&shape);
        let y = match is_training() {
            false => {
                let variance = wide(&self.running_var) + self.eps;
                (x - wide(&self.running_mean)) * variance.rsqrt()
            }
            true => {
                let axes: Vec<usize> = (0..x.rank()).filter(|&a| a != 1).collect();
                let count = x.elements() / channels.max(1);
                if count < 2 {
                    return init::mistake(format!(
                        "batch normalisation of {} in training: a channel needs two values for a \
                         variance",
                        x.shape()
                    ));
                }
                let mean = x.mean_keepdim(&axes[..]);
                let variance = (x - &mean).square().mean_keepdim(&axes[..]);
                if let Err(e) = self.track(x, &mean, &variance, count) {
                    return Value::from(e);
                }
                x.standardize(&axes[..], self.eps)
            }
        };
        y * wide(&self.weight) + wide(&self.bias)
    }
}

impl BatchNorm {
    /// Moves the running averages. The input is computed with them, so that the layers before are
    /// not computed again for each normalisation after them.
    #[track_caller]
    fn track(&self, x: &Value, mean: &Value, variance: &Value, count: usize) -> crate::Result<()> {
        let unbiased = variance * (count as f64 / (count as f64 - 1.0));
        let moved = |average: &Parameter, new: &Value| {
            let new = new.flatten().detach().cast(average.dtype());
            (1.0 - self.momentum) * average.value() + self.momentum * new
        };
        let updates = [
            (&self.running_mean, moved(&self.running_mean, mean)),
            (&self.running_var, moved(&self.running_var, &unbiased)),
            (
                &self.num_batches_tracked,
                self.num_batches_tracked.value() + 1,
            ),
        ];
        Parameter::set_all(updates, &[x])
    }
}

/// Layer normalisation over the last axes (Ba et al. 2016), with PyTorch's names.
///
/// ```
/// use toygrad::prelude::*;
/// use toygrad::nn::LayerNorm;
/// let y = LayerNorm::new(4).forward(&Value::from([[1.0f32, 2.0, 3.0, 4.0]]));
/// assert!((y.to_vec::<f32>()?[3] - 1.3416).abs() < 1e-4);
/// # Ok::<(), toygrad::Error>(())
/// ```
#[derive(Module, Clone, Debug)]
pub struct LayerNorm {
    /// Of the shape that is normalised, ones at first.
    pub weight: Parameter,
    /// Of the same shape, zeros at first.
    pub bias: Option<Parameter>,
    /// Added to the variance.
    pub eps: f64,
}

impl LayerNorm {
    /// Over last axes of this shape, with eps 1e-5.
    #[track_caller]
    pub fn new(shape: impl Into<Shape>) -> LayerNorm {
        let shape = shape.into();
        LayerNorm {
            weight: Parameter::new(init::constant(&shape, 1.0)),
            bias: Some(Parameter::new(init::constant(&shape, 0.0))),
            eps: 1e-5,
        }
    }

    /// With another number added to the variance.
    pub fn eps(self, eps: f64) -> LayerNorm {
        LayerNorm { eps, ..self }
    }

    /// The same without a bias.
    pub fn without_bias(self) -> LayerNorm {
        LayerNorm { bias: None, ..self }
    }
}

impl Layer for LayerNorm {
    /// `[.., shape]`; the same comes out.
    #[track_caller]
    fn forward(&self, x: &Value) -> Value {
        let axes = match last_axes("layer normalisation", x, &self.weight) {
            Ok(axes) => axes,
            Err(mistake) => return mistake,
        };
        let y = x.standardize(&axes[..], self.eps) * &self.weight;
        match &self.bias {
            Some(bias) => y + bias,
            None => y,
        }
    }
}

/// Normalisation by the root of the mean square over the last axes (Zhang & Sennrich 2019):
/// `x / √(mean(x²) + eps) · weight`.
#[derive(Module, Clone, Debug)]
pub struct RmsNorm {
    /// Of the shape that is normalised, ones at first.
    pub weight: Parameter,
    /// Added to the mean square.
    pub eps: f64,
}

impl RmsNorm {
    /// Over last axes of this shape, with eps 1e-6.
    #[track_caller]
    pub fn new(shape: impl Into<Shape>) -> RmsNorm {
        RmsNorm {
            weight: Parameter::new(init::constant(shape, 1.0)),
            eps: 1e-6,
        }
    }

    /// With another number added to the mean square.
    pub fn eps(self, eps: f64) -> RmsNorm {
        RmsNorm { eps, ..self }
    }
}

impl Layer for RmsNorm {
    /// `[.., shape]`; the same comes out.
    #[track_caller]
    fn forward(&self, x: &Value) -> Value {
        match last_axes("RMS normalisation", x, &self.weight) {
            Ok(axes) => {
                let square = x.square().mean_keepdim(&axes[..]);
                x * (square + self.eps).rsqrt() * &self.weight
            }
            Err(mistake) => mistake,
        }
    }
}

/// The last axes of x, if they have the shape of the weight.
#[track_caller]
fn last_axes(name: &str, x: &Value, weight: &Parameter) -> Result<Vec<isize>, Value> {
    let shape = weight.shape();
    if x.error().is_some() {
        return Err(x.clone());
    }
    match x.shape().ends_with(&shape) && shape.rank() > 0 {
        true => Ok((-(shape.rank() as isize)..0).collect()),
        false => Err(init::mistake(format!(
            "{name} over {shape} takes [.., {shape}], not {}",
            x.shape()
        ))),
    }
}

/// Normalisation of groups of channels, axis 1, over the group and all positions (Wu & He 2018).
/// One group is layer normalisation, as many as channels instance normalisation.
#[derive(Module, Clone, Debug)]
pub struct GroupNorm {
    /// `[channels]`, ones at first.
    pub weight: Parameter,
    /// `[channels]`, zeros at first.
    pub bias: Parameter,
    /// How many groups; they divide the channels.
    pub groups: usize,
    /// Added to the variance.
    pub eps: f64,
}

impl GroupNorm {
    /// Of so many channels in groups, with eps 1e-5.
    #[track_caller]
    pub fn new(groups: usize, channels: usize) -> GroupNorm {
        GroupNorm {
            weight: Parameter::new(init::constant([channels], 1.0)),
            bias: Parameter::new(init::constant([channels], 0.0)),
            groups,
            eps: 1e-5,
        }
    }
}

impl Layer for GroupNorm {
    /// `[n, channels, ..]`; the same comes out.
    #[track_caller]
    fn forward(&self, x: &Value) -> Value {
        let (channels, groups) = (self.weight.shape().elements(), self.groups);
        if x.error().is_some() {
            return x.clone();
        }
        let divides = groups > 0 && channels.is_multiple_of(groups);
        if x.shape().get(1) != Some(&channels) || !divides {
            return init::mistake(format!(
                "normalisation of {channels} channels in {groups} groups takes [n, {channels}, ..] \
                 and groups that divide them, not {}",
                x.shape()
            ));
        }
        let grouped = x.reshape(Shape::from([
            x.shape()[0],
            groups,
            x.elements() / (x.shape()[0] * groups).max(1),
        ]));
        let y = grouped.standardize(-1, self.eps).reshape(x.shape());
        let behind = std::iter::repeat_n(1, x.rank() - 2);
        let shape: Shape = [channels].into_iter().chain(behind).collect();
        y * self.weight.value().reshape(&shape) + self.bias.value().reshape(&shape)
    }
}
