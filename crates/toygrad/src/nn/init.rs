//! Initial weights: Values drawn from this thread's generator (see
//! [`manual_seed`](crate::manual_seed)), to make parameters of. They are f32, but inside
//! [`with_dtype`].
//!
//! Layers use the defaults of PyTorch; another choice is put in with
//! [`Parameter::set`](crate::Parameter::set):
//!
//! ```
//! use toygrad::prelude::*;
//! use toygrad::nn::init::{self, Fan};
//! let layer = Linear::new(64, 32);
//! layer.weight.set(init::kaiming_normal([32, 64], Fan::In, init::gain(Activation::Relu)))?;
//! # Ok::<(), toygrad::Error>(())
//! ```

use super::Activation;
use crate::{DType, Error, Shape, Value};
use std::cell::Cell;
use std::f64::consts::SQRT_2;

thread_local! {
    static DTYPE: Cell<DType> = const { Cell::new(DType::F32) };
}

/// Runs `f`; the layers that it makes have weights of this dtype, not f32.
///
/// ```
/// use toygrad::prelude::*;
/// use toygrad::nn::init::with_dtype;
/// let model = with_dtype(DType::F64, || Mlp::new(&[1, 8, 1], Activation::Tanh));
/// assert_eq!(model.forward(&Value::from([0.5])).dtype(), DType::F64);
/// ```
pub fn with_dtype<T>(dtype: DType, f: impl FnOnce() -> T) -> T {
    struct Restore(DType);
    impl Drop for Restore {
        fn drop(&mut self) {
            DTYPE.set(self.0);
        }
    }
    let _restore = Restore(DTYPE.replace(dtype));
    f()
}

/// The same number everywhere.
#[track_caller]
pub fn constant(shape: impl Into<Shape>, x: f64) -> Value {
    Value::full(shape, x).cast(DTYPE.get())
}

/// Which of the two numbers of connections the spread of the weights is scaled by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fan {
    /// Inputs of each output: keeps the size of activations on the way forward.
    In,
    /// Outputs that each input goes to: keeps the size of gradients on the way back.
    Out,
}

/// Inputs of each output and outputs of each input, of a weight `[outputs, inputs, kernel..]`. A
/// vector counts as one output of each of its elements.
pub fn fans(shape: &Shape) -> (usize, usize) {
    match &shape[..] {
        [] => (1, 1),
        [n] => (*n, *n),
        [outputs, inputs, kernel @ ..] => {
            let field: usize = kernel.iter().product();
            (inputs * field, outputs * field)
        }
    }
}

/// The factor that PyTorch recommends for the weights before an activation
/// (`torch.nn.init.calculate_gain`): √2 for ReLU, 5/3 for tanh, 1 where nothing better is known.
pub fn gain(activation: Activation) -> f64 {
    match activation {
        Activation::Relu | Activation::Relu6 => SQRT_2,
        Activation::LeakyRelu(slope) => (2.0 / (1.0 + slope * slope)).sqrt(),
        Activation::Tanh => 5.0 / 3.0,
        _ => 1.0,
    }
}

/// Uniform in `[low, high)`.
#[track_caller]
pub fn uniform(shape: impl Into<Shape>, low: f64, high: f64) -> Value {
    low + (high - low) * Value::rand_dtype(shape, DTYPE.get())
}

/// Normal.
#[track_caller]
pub fn normal(shape: impl Into<Shape>, mean: f64, std: f64) -> Value {
    mean + std * Value::randn_dtype(shape, DTYPE.get())
}

/// Normal, but only within `[low, high]`: `mean + std * Φ⁻¹(u)` for u uniform between the
/// probabilities of the bounds.
#[track_caller]
pub fn truncated_normal(
    shape: impl Into<Shape>,
    mean: f64,
    std: f64,
    low: f64,
    high: f64,
) -> Value {
    let probability = |x: f64| libm::erf((x - mean) / (std * SQRT_2));
    let (a, b) = (probability(low), probability(high));
    let x = mean + std * SQRT_2 * erfinv(&uniform(shape, a, b));
    x.clamp(low, high)
}

/// The inverse of the error function, in single precision (Giles, "Approximating the erfinv
/// function", 2012).
fn erfinv(x: &Value) -> Value {
    const CENTRE: [f64; 9] = [
        2.81022636e-08,
        3.43273939e-07,
        -3.5233877e-06,
        -4.39150654e-06,
        0.00021858087,
        -0.00125372503,
        -0.00417768164,
        0.246640727,
        1.50140941,
    ];
    const TAIL: [f64; 9] = [
        -0.000200214257,
        0.000100950558,
        0.00134934322,
        -0.00367342844,
        0.00573950773,
        -0.0076224613,
        0.00943887047,
        1.00167406,
        2.83297682,
    ];
    // The f32 next to 1, where the inverse is infinite.
    let x = x.clamp(-1.0 + 6e-8, 1.0 - 6e-8);
    let w = -((1.0 - &x) * (1.0 + &x)).ln();
    let polynomial = |c: [f64; 9], w: Value| {
        let start = Value::from(c[0]);
        c[1..].iter().fold(start, |p, &c| p * &w + c)
    };
    let centre = polynomial(CENTRE, &w - 2.5);
    let tail = polynomial(TAIL, w.maximum(5.0).sqrt() - 3.0);
    w.lt(5.0).select(centre, tail) * x
}

/// Uniform with variance `gain² · 2 / (fan in + fan out)` (Glorot & Bengio 2010).
#[track_caller]
pub fn xavier_uniform(shape: impl Into<Shape>, gain: f64) -> Value {
    let shape = shape.into();
    let bound = 3f64.sqrt() * xavier(&shape, gain);
    uniform(shape, -bound, bound)
}

/// Normal with variance `gain² · 2 / (fan in + fan out)` (Glorot & Bengio 2010).
#[track_caller]
pub fn xavier_normal(shape: impl Into<Shape>, gain: f64) -> Value {
    let shape = shape.into();
    let std = xavier(&shape, gain);
    normal(shape, 0.0, std)
}

fn xavier(shape: &Shape, gain: f64) -> f64 {
    let (fan_in, fan_out) = fans(shape);
    gain * (2.0 / (fan_in + fan_out).max(1) as f64).sqrt()
}

/// Uniform with variance `gain² / fan` (He et al. 2015).
#[track_caller]
pub fn kaiming_uniform(shape: impl Into<Shape>, fan: Fan, gain: f64) -> Value {
    let shape = shape.into();
    let bound = 3f64.sqrt() * kaiming(&shape, fan, gain);
    uniform(shape, -bound, bound)
}

/// Normal with variance `gain² / fan` (He et al. 2015).
#[track_caller]
pub fn kaiming_normal(shape: impl Into<Shape>, fan: Fan, gain: f64) -> Value {
    let shape = shape.into();
    let std = kaiming(&shape, fan, gain);
    normal(shape, 0.0, std)
}

fn kaiming(shape: &Shape, fan: Fan, gain: f64) -> f64 {
    let (fan_in, fan_out) = fans(shape);
    let fan = match fan {
        Fan::In => fan_in,
        Fan::Out => fan_out,
    };
    gain / (fan.max(1) as f64).sqrt()
}

/// `gain` times a matrix with orthonormal rows (or columns, if there are more rows), drawn
/// uniformly; axes after the first count as columns (Saxe et al. 2013). Computed at once.
#[track_caller]
pub fn orthogonal(shape: impl Into<Shape>, gain: f64) -> Value {
    let shape = shape.into();
    let rows = shape.first().copied().unwrap_or(1);
    let columns = shape.iter().skip(1).product::<usize>();
    if rows == 0 || columns == 0 {
        return constant(shape, 0.0);
    }
    let (count, length) = (rows.min(columns), rows.max(columns));
    let drawn = match Value::randn_dtype([count, length], DType::F64).to_vec::<f64>() {
        Ok(drawn) => drawn,
        Err(e) => return Value::from(e),
    };
    // Gram-Schmidt, twice, is orthogonal to rounding (Giraud et al. 2005).
    let mut basis: Vec<Vec<f64>> = Vec::with_capacity(count);
    for vector in drawn.chunks(length) {
        let mut v = vector.to_vec();
        for _ in 0..2 {
            for b in &basis {
                let along: f64 = v.iter().zip(b).map(|(x, y)| x * y).sum();
                v.iter_mut().zip(b).for_each(|(x, y)| *x -= along * y);
            }
        }
        let norm = v.iter().map(|x| x * x).sum::<f64>().sqrt();
        v.iter_mut().for_each(|x| *x /= norm);
        basis.push(v);
    }
    let matrix = Value::from_vec(basis.concat(), [count, length]);
    let matrix = if rows > columns { matrix.t() } else { matrix };
    (gain * matrix).cast(DTYPE.get()).reshape(&shape)
}

/// What PyTorch's layers start from: U(-1/√fan, 1/√fan).
#[track_caller]
pub(crate) fn torch_default(shape: impl Into<Shape>, fan: usize) -> Value {
    let bound = 1.0 / (fan.max(1) as f64).sqrt();
    uniform(shape, -bound, bound)
}

/// A Value that carries a mistake in an argument of a layer.
#[track_caller]
pub(crate) fn mistake(message: String) -> Value {
    Value::from(Error::argument(message))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Result, manual_seed};

    fn moments(x: &Value) -> Result<(f64, f64)> {
        let x: Vec<f64> = x.to_vec()?;
        assert!(x.iter().all(|x| *x != 0.0), "a weight is zero");
        let mean = x.iter().sum::<f64>() / x.len() as f64;
        let var = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / x.len() as f64;
        Ok((mean, var.sqrt()))
    }

    #[test]
    fn spreads_are_as_stated() -> Result<()> {
        manual_seed(1);
        let close = |x: Value, mean: f64, std: f64| -> Result<()> {
            assert_eq!(x.dtype(), DType::F32);
            let (m, s) = moments(&x)?;
            assert!(
                (m - mean).abs() < 0.05 * std && (s / std - 1.0).abs() < 0.05,
                "{m} {s}"
            );
            Ok(())
        };
        close(uniform([90, 90], -1.0, 3.0), 1.0, 4.0 / 12f64.sqrt())?;
        close(normal([90, 90], 2.0, 3.0), 2.0, 3.0)?;
        close(xavier_uniform([60, 140], 2.0), 0.0, 0.2)?;
        close(xavier_normal([60, 140], 2.0), 0.0, 0.2)?;
        close(
            kaiming_uniform([64, 16, 3, 3], Fan::In, SQRT_2),
            0.0,
            SQRT_2 / 12.0,
        )?;
        close(
            kaiming_normal([64, 16, 3, 3], Fan::Out, 1.0),
            0.0,
            1.0 / 24.0,
        )?;
        // Of the standard normal within two deviations (σ² = 1 - 4 φ(2) / (Φ(2) - Φ(-2))).
        close(truncated_normal([90, 90], 0.5, 1.0, -1.5, 2.5), 0.5, 0.8796)?;
        Ok(())
    }

    #[test]
    fn erfinv_inverts_erf() -> Result<()> {
        let x = Value::from([-0.9999, -0.9, -0.3, 1e-3, 0.5, 0.99, 0.999999]);
        let back: Vec<f64> = erfinv(&x).erf().to_vec()?;
        for (a, b) in back.iter().zip(x.to_vec::<f64>()?) {
            assert!((a - b).abs() < 1e-6 * b.abs(), "{a} {b}");
        }
        Ok(())
    }

    #[test]
    fn orthogonal_rows_or_columns() -> Result<()> {
        for shape in [[3, 5], [5, 3], [4, 4]] {
            let q = orthogonal(shape, 2.0);
            let wide = if shape[0] > shape[1] { q.t() } else { q };
            let square = wide.matmul(wide.t());
            let n = shape[0].min(shape[1]);
            let off: f64 = (square - 4.0 * Value::eye(n)).abs().max().item()?;
            assert!(off < 1e-6, "{off}");
        }
        assert_eq!(orthogonal([4, 2, 3], 1.0).shape()[..], [4, 2, 3]);
        Ok(())
    }
}
