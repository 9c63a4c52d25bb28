//! What makes the elements along axes comparable: softmax and standardising. Composed of other
//! operations, but with derivatives of their own.

use super::reduce::set;
use crate::Value;
use crate::graph::{Alias, AxisSet, Normalization, Op, located};
use crate::shape::Axes;
use smallvec::{SmallVec, smallvec};
use std::panic::Location;

impl Normalization {
    /// The Jacobian times `v`, for a result `y` along `axes`, which also knows `more`.
    pub fn jacobian(self, axes: AxisSet, y: &Value, more: &[Value], v: &Value) -> Value {
        let sum = |v: Value| v.sum_over(axes, v.0.at);
        match self {
            Normalization::Softmax => y * (v - sum(y * v)),
            Normalization::Standardize => {
                let mean = |v: Value| {
                    let sum = sum(v);
                    let n = y.elements() / sum.elements();
                    sum / n as f64
                };
                (v - mean(v.clone()) - y * mean(y * v)) * &more[0]
            }
        }
    }

    /// A node for `y`, made of `x`.
    fn of(self, axes: AxisSet, y: Value, x: Value, more: Option<Value>) -> Value {
        if y.error().is_some() {
            return y;
        }
        let (shape, dtype, at) = (y.shape().clone(), y.dtype(), y.0.at);
        let mut inputs: SmallVec<[Value; 2]> = smallvec![y.detach(), x];
        inputs.extend(more);
        Value::node(
            Op::Alias(Alias::Normalized(self, axes)),
            inputs,
            shape,
            dtype,
            at,
        )
    }
}

impl Value {
    /// `exp(x) / sum(exp(x))` along `axis`, without overflow.
    #[track_caller]
    pub fn softmax(&self, axis: isize) -> Value {
        let at = Location::caller();
        let position = match self.axis_at("softmax", axis, at) {
            Ok(a) if self.shape()[a] == 0 => return self.to_float(),
            Ok(a) => a,
            Err(mistake) => return mistake,
        };
        located(at, || {
            let x = self.to_float();
            let e = (&x - x.max_keepdim(axis)).exp();
            let y = &e / e.sum_keepdim(axis);
            Normalization::Softmax.of(1 << position, y, x, None)
        })
    }

    /// `x - logsumexp(x)` along `axis`.
    #[track_caller]
    pub fn log_softmax(&self, axis: isize) -> Value {
        let at = Location::caller();
        match self.axis_at("log_softmax", axis, at) {
            Ok(a) if self.shape()[a] == 0 => return self.to_float(),
            Ok(_) => {}
            Err(mistake) => return mistake,
        };
        located(at, || {
            let x = self.to_float();
            let x = &x - x.max_keepdim(axis).detach();
            &x - x.exp().sum_keepdim(axis).ln()
        })
    }

    /// `(x - mean) / √(variance + eps)`, of the mean and the variance over the axes named.
    ///
    /// ```
    /// use toygrad::prelude::*;
    /// let y = Value::from([1.0, 3.0]).standardize(0, 0.0);
    /// assert_eq!(y.to_vec::<f64>()?, [-1.0, 1.0]);
    /// # Ok::<(), toygrad::Error>(())
    /// ```
    #[track_caller]
    pub fn standardize(&self, axes: impl Into<Axes>, eps: f64) -> Value {
        let (at, axes) = (Location::caller(), axes.into());
        let positions = match self.axes_at("standardize", &axes, at) {
            Ok(positions) => positions,
            Err(mistake) => return mistake,
        };
        if self.elements() == 0 {
            return self.to_float();
        }
        located(at, || {
            let x = self.to_float();
            let centred = &x - x.mean_keepdim(axes.clone());
            let variance = centred.square().mean_keepdim(axes);
            let inverse = (variance + eps).rsqrt();
            let y = centred * &inverse;
            Normalization::Standardize.of(set(&positions), y, x, Some(inverse))
        })
    }
}
