//! Features brought to one scale, by numbers found on the training part alone.

use crate::{Error, Result, Value};

/// How a [`Scaler`] scales.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// To mean 0 and standard deviation 1.
    Standard,
    /// To the range 0..1.
    MinMax,
}

/// Brings each feature (a position on axis 1) to one scale: `(x - shift) * factor`.
///
/// Fit it on the training part only, and keep it with the model: what it learned is two arrays.
///
/// ```
/// use toygrad::prelude::*;
/// use toygrad::data::{Method, Scaler};
/// let train = Value::from([[0.0, 10.0], [2.0, 30.0]]);
/// let scaler = Scaler::fit(&train, Method::Standard)?;
/// assert_eq!(scaler.apply(&train).to_vec::<f64>()?, [-1.0, -1.0, 1.0, 1.0]);
/// assert_eq!(scaler.undo(&scaler.apply(&train)).to_vec::<f64>()?, [0.0, 10.0, 2.0, 30.0]);
/// # Ok::<(), toygrad::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Scaler {
    shift: Vec<f64>,
    factor: Vec<f64>,
}

impl Scaler {
    /// Learns shift and factor of each feature from `train`, `[samples, features]`. A constant
    /// feature becomes 0.
    ///
    /// # Errors
    /// A mistake that the Value carries; another rank; no sample; a number that is not finite.
    #[track_caller]
    pub fn fit(train: &Value, method: Method) -> Result<Scaler> {
        let x = train.to_vec::<f64>()?;
        let [samples, features] = train.shape()[..] else {
            let message = format!("a scaler wants [samples, features], not {}", train.shape());
            return Err(Error::argument(message));
        };
        if samples == 0 {
            return Err(Error::argument("a scaler cannot be fitted on no sample"));
        }
        let (mut shift, mut factor) = (Vec::new(), Vec::new());
        for j in 0..features {
            let column = || x.iter().skip(j).step_by(features).copied();
            if let Some(i) = column().position(|x| !x.is_finite()) {
                let message = format!("feature {j} of sample {i} is not a finite number");
                return Err(Error::argument(message));
            }
            let n = samples as f64;
            let (from, width) = match method {
                Method::Standard => {
                    let mean = column().sum::<f64>() / n;
                    let square = column().map(|x| (x - mean).powi(2)).sum::<f64>();
                    (mean, (square / n).sqrt())
                }
                Method::MinMax => {
                    let min = column().fold(f64::INFINITY, f64::min);
                    (min, column().fold(f64::NEG_INFINITY, f64::max) - min)
                }
            };
            shift.push(from);
            factor.push(if width > 0.0 { width.recip() } else { 1.0 });
        }
        Ok(Scaler { shift, factor })
    }

    /// One that was saved: `shift` and `factor` for each feature.
    ///
    /// # Errors
    /// Arrays of different lengths; a factor of 0 or one that is not finite.
    #[track_caller]
    pub fn from_parts(shift: Vec<f64>, factor: Vec<f64>) -> Result<Scaler> {
        let finite = |x: &[f64]| x.iter().all(|x| x.is_finite());
        if shift.len() != factor.len()
            || !finite(&shift)
            || !finite(&factor)
            || factor.contains(&0.0)
        {
            return Err(Error::argument(
                "a scaler wants a finite shift and a factor other than 0 for each feature",
            ));
        }
        Ok(Scaler { shift, factor })
    }

    /// What is subtracted, for each feature.
    pub fn shift(&self) -> &[f64] {
        &self.shift
    }

    /// What the difference is multiplied by, for each feature.
    pub fn factor(&self) -> &[f64] {
        &self.factor
    }

    /// Scales `[.., features]`.
    pub fn apply(&self, x: &Value) -> Value {
        (x - self.part(&self.shift, x)) * self.part(&self.factor, x)
    }

    /// The way back.
    pub fn undo(&self, x: &Value) -> Value {
        x / self.part(&self.factor, x) + self.part(&self.shift, x)
    }

    fn part(&self, numbers: &[f64], x: &Value) -> Value {
        Value::from_slice(numbers, [numbers.len()]).cast(x.dtype().to_float())
    }
}
