//! Pointwise functions that rows of the table express. Their derivatives come with them.

use crate::Value;
use crate::graph::{Alias, Op};
use smallvec::smallvec;
use std::f64::consts::PI;
use std::panic::Location;

/// Methods whose nodes belong to the caller's line.
macro_rules! composed {
    ($($(#[doc = $doc:literal])* $name:ident(&$x:ident $(, $p:ident: $t:ty)*) = $f:expr;)*) => {
        impl Value {$(
            $(#[doc = $doc])*
            #[track_caller]
            pub fn $name(&self $(, $p: $t)*) -> Value {
                let $x = self;
                crate::graph::located(Location::caller(), || $f)
            }
        )*}
    };
}

composed! {
    /// `1 / x`.
    recip(&x) = 1.0 / x;
    /// `x * x`.
    square(&x) = x * x;
    /// `1 / sqrt(x)`.
    rsqrt(&x) = 1.0 / x.sqrt();
    /// The cube root; that of a negative number is negative.
    cbrt(&x) = x.sign() * x.abs().pow(1.0 / 3.0);
    /// Whether the left is greater.
    gt(&x, other: impl Into<Value>) = other.into().lt(x);
    /// Whether the left is greater or equal.
    ge(&x, other: impl Into<Value>) = other.into().le(x);
    /// Whether it is not a number.
    is_nan(&x) = x.ne(x);
    /// Whether it is neither infinite nor NaN.
    is_finite(&x) = x.abs().lt(f64::INFINITY);
    /// At least `low`, at most `high`; the gradient is 0 outside.
    clamp(&x, low: impl Into<Value>, high: impl Into<Value>) = x.maximum(low).minimum(high);
    /// x where positive, else `slope * x`; its derivative at 0 is `slope`.
    leaky_relu(&x, slope: f64) = x.gt(0.0).select(x, slope * x);
    /// x where positive, else `alpha * (exp(x) - 1)`.
    elu(&x, alpha: f64) = x.gt(0.0).select(x, alpha * x.minimum(0.0).expm1());
    /// `x * sigmoid(x)`, also called swish.
    silu(&x) = x * x.sigmoid();
    /// `x * tanh(softplus(x))`.
    mish(&x) = x * x.softplus().tanh();
    /// The approximation of `gelu` with tanh (Hendrycks & Gimpel 2016).
    gelu_tanh(&x) = 0.5 * x * (1.0 + ((2.0 / PI).sqrt() * (x + 0.044715 * x * x * x)).tanh());
    /// The logarithm of the sigmoid, without overflow.
    log_sigmoid(&x) = -(-x).softplus();
}

impl Value {
    /// The same elements; gradients stop here.
    #[track_caller]
    pub fn detach(&self) -> Value {
        if self.error().is_some() || self.as_full().is_some() {
            return self.clone();
        }
        let (shape, dtype) = (self.shape().clone(), self.dtype());
        let at = Location::caller();
        let value = Value::node(
            Op::Alias(Alias::Detach),
            smallvec![self.clone()],
            shape,
            dtype,
            at,
        );
        match (self.known(), &self.0.op) {
            // A recorded function is to read what the parameter holds when it runs.
            (_, Op::Alias(Alias::Cell(_))) | (None, _) => value,
            // Nothing to wait for, so nothing to hold on to.
            (Some(data), _) => Value::from_buffer(data.clone(), self.shape().clone(), dtype, at),
        }
    }
}
