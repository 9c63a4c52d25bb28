//! Reductions over axes: the primitive ones (sum, max, min and their positions, running sums),
//! and what they express. `x.sum()` reduces all axes, `x.sum_axis(a)` those named, and
//! `x.sum_keepdim(a)` leaves them with length 1.

use crate::error::Caller;
use crate::graph::build::mistake;
use crate::graph::{AxisSet, Extreme, Kind, Reduction};
use crate::shape::Axes;
use crate::{DType, Shape, Value};
use smallvec::{SmallVec, smallvec};
use std::panic::Location;

impl Reduction {
    /// The cotangent of `x`, where `y` is its reduction with axes kept.
    pub(crate) fn adjoint(self, g: &Value, x: &Value, y: &Value) -> Value {
        let wide = |v: &Value| v.expand_at(x.shape(), g.0.at);
        match self {
            Reduction::Sum => wide(g),
            // Equal extremes share the gradient equally, as in `torch.amax` and JAX.
            Reduction::Max | Reduction::Min => {
                let here = x.eq(wide(y));
                let set = axes_reduced(x.shape(), y.shape());
                let count = here.cast_at(g.dtype(), g.0.at).sum_over(set, g.0.at);
                here.select(wide(&(g / count)), 0.0)
            }
        }
    }

    /// The tangent of `y`.
    pub(crate) fn tangent(self, t: &Value, x: &Value, y: &Value) -> Value {
        let set = axes_reduced(x.shape(), y.shape());
        match self {
            Reduction::Sum => t.sum_over(set, y.0.at),
            Reduction::Max | Reduction::Min => {
                let here = x.eq(y.expand_at(x.shape(), y.0.at));
                let count = here.cast_at(t.dtype(), y.0.at).sum_over(set, y.0.at);
                here.select(t, 0.0).sum_over(set, y.0.at) / count
            }
        }
    }
}

/// The axes that differ, as a set.
fn axes_reduced(x: &Shape, y: &Shape) -> AxisSet {
    (0..x.rank())
        .filter(|&a| x[a] != y[a])
        .fold(0, |set, a| set | 1 << a)
}

/// Whether the reduced axes stay with length 1.
#[derive(Clone, Copy, PartialEq)]
enum Keep {
    Yes,
    No,
}

/// A reduction in its three forms.
macro_rules! reductions {
    ($($(#[doc = $doc:literal])* $all:ident $axis:ident $keep:ident ($($p:ident: $t:ty),*) = $f:expr;)*) => {
        impl Value {$(
            $(#[doc = $doc])*
            #[track_caller]
            pub fn $all(&self $(, $p: $t)*) -> Value {
                let axes = Axes((0..self.rank() as isize).collect());
                reduce(self, stringify!($all), axes, Keep::No, Location::caller(), &|x, axes, at| $f(x, axes, at $(, $p)*))
            }
            #[doc = concat!("[`", stringify!($all), "`](Value::", stringify!($all), ") over the axes named, which go away.")]
            #[track_caller]
            pub fn $axis(&self, axes: impl Into<Axes> $(, $p: $t)*) -> Value {
                reduce(self, stringify!($axis), axes.into(), Keep::No, Location::caller(), &|x, axes, at| $f(x, axes, at $(, $p)*))
            }
            #[doc = concat!("[`", stringify!($all), "`](Value::", stringify!($all), ") over the axes named, which stay with length 1.")]
            #[track_caller]
            pub fn $keep(&self, axes: impl Into<Axes> $(, $p: $t)*) -> Value {
                reduce(self, stringify!($keep), axes.into(), Keep::Yes, Location::caller(), &|x, axes, at| $f(x, axes, at $(, $p)*))
            }
        )*}
    };
}

type Positions = SmallVec<[usize; 4]>;

/// Resolves the axes, reduces with them kept, then drops them if they are not wanted.
fn reduce(
    x: &Value,
    name: &str,
    axes: Axes,
    keep: Keep,
    at: Caller,
    f: &dyn Fn(&Value, &Positions, Caller) -> Value,
) -> Value {
    let axes = match x.axes_at(name, &axes, at) {
        Ok(axes) => axes,
        Err(mistake) => return mistake,
    };
    let y = crate::graph::located(at, || f(x, &axes, at));
    if keep == Keep::Yes || y.error().is_some() {
        return y;
    }
    let kept = (0..x.rank()).filter(|a| !axes.contains(a));
    y.reshape_at(&kept.map(|a| x.shape()[a]).collect(), at)
}

/// Axes as a bit set.
pub(super) fn set(axes: &Positions) -> AxisSet {
    axes.iter().fold(0, |set, &a| set | 1 << a)
}

/// As axes for the public methods.
fn named(axes: &Positions) -> Axes {
    Axes::from(&axes[..])
}

fn count(x: &Value, axes: &Positions) -> f64 {
    axes.iter().map(|&a| x.shape()[a] as f64).product()
}

reductions! {
    /// The sum; whole numbers and truth values are added as i64. 0 of nothing.
    sum sum_axis sum_keepdim() = |x: &Value, axes: &Positions, at| {
        let x = if x.dtype().is_float() { x.clone() } else { x.cast_at(DType::I64, at) };
        x.sum_over(set(axes), at)
    };
    /// The product, by pairs, so that its derivatives of any order are right at zeros too.
    /// 1 of nothing.
    prod prod_axis prod_keepdim() = |x: &Value, axes: &Positions, at| {
        let x = if x.dtype().is_float() { x.clone() } else { x.cast_at(DType::I64, at) };
        axes.iter().fold(x, |x, &a| product_of(x, a, at))
    };
    /// The mean; of whole numbers it is f32. NaN of nothing.
    mean mean_axis mean_keepdim() = |x: &Value, axes: &Positions, _| {
        x.to_float().sum_keepdim(named(axes)) / count(x, axes)
    };
    /// The largest element; NaN if one is. Equal ones share the gradient. Nothing has no maximum:
    /// a mistake.
    max max_axis max_keepdim() = |x: &Value, axes: &Positions, at| x.extreme(Reduction::Max, axes, at);
    /// The smallest element; NaN if one is. Equal ones share the gradient. Nothing has no minimum:
    /// a mistake.
    min min_axis min_keepdim() = |x: &Value, axes: &Positions, at| x.extreme(Reduction::Min, axes, at);
    /// The variance, with n - `correction` in the denominator: 1 as PyTorch, 0 as NumPy.
    var var_axis var_keepdim(correction: usize) = |x: &Value, axes: &Positions, _, correction: usize| {
        let x = x.to_float();
        let centred = &x - x.mean_keepdim(named(axes));
        let n = (count(&x, axes) - correction as f64).max(0.0);
        centred.square().sum_keepdim(named(axes)) / n
    };
    /// The standard deviation, with n - `correction` in the denominator: 1 as PyTorch, 0 as NumPy.
    std std_axis std_keepdim(correction: usize) = |x: &Value, axes: &Positions, _, correction: usize| {
        x.var_keepdim(named(axes), correction).sqrt()
    };
    /// The Euclidean norm; its gradient where all elements are 0 is 0.
    norm norm_axis norm_keepdim() = |x: &Value, axes: &Positions, _| {
        let squares = x.to_float().square().sum_keepdim(named(axes));
        let zero = squares.eq(0.0);
        zero.select(0.0, zero.select(1.0, &squares).sqrt())
    };
    /// `ln(sum(exp(x)))`, without overflow. Of nothing it is -inf.
    logsumexp logsumexp_axis logsumexp_keepdim() = |x: &Value, axes: &Positions, at| {
        let x = x.to_float();
        if count(&x, axes) == 0.0 {
            return x.exp().sum_keepdim(named(axes)).ln();
        }
        // The shift cancels, so it needs no gradient; an infinite one must not meet itself.
        let top = x.extreme(Reduction::Max, axes, at).detach();
        let finite = top.abs().lt(f64::INFINITY);
        let shift = finite.select(&top, 0.0);
        (&x - &shift).exp().sum_keepdim(named(axes)).ln() + shift
    };
    /// Whether one element or more is true (not zero).
    any any_axis any_keepdim() = |x: &Value, axes: &Positions, at| {
        let truth = x.cast_at(DType::Bool, at);
        truth.cast_at(DType::I64, at).sum_over(set(axes), at).cast_at(DType::Bool, at)
    };
    /// Whether every element is true (not zero).
    all all_axis all_keepdim() = |x: &Value, axes: &Positions, at| {
        let lie = x.cast_at(DType::Bool, at).logical_not();
        lie.cast_at(DType::I64, at).sum_over(set(axes), at).eq(0)
    };
}

/// Halves multiplied until one position is left: log2(n) multiplications.
fn product_of(x: Value, axis: usize, at: Caller) -> Value {
    let mut x = x;
    loop {
        let n = x.shape()[axis];
        match n {
            0 => return Value::full_at(x.shape().with(axis, 1), 1.0, x.dtype(), at),
            1 => return x,
            _ => {
                let half = n / 2;
                let y = x.narrow_at(axis, 0, half, at) * x.narrow_at(axis, half, half, at);
                x = match n % 2 {
                    0 => y,
                    _ => Value::concat([y, x.narrow_at(axis, n - 1, 1, at)], axis as isize),
                };
            }
        }
    }
}

impl Value {
    /// As f32 if it is of whole numbers.
    #[track_caller]
    pub(crate) fn to_float(&self) -> Value {
        self.cast_at(self.dtype().to_float(), Location::caller())
    }

    /// The sum over a set of axes, which stay with length 1.
    pub(crate) fn sum_over(&self, axes: AxisSet, at: Caller) -> Value {
        if axes == 0 {
            return self.clone();
        }
        let n: usize = (0..self.rank())
            .filter(|a| axes >> a & 1 == 1)
            .map(|a| self.shape()[a])
            .product();
        let one = |(a, &d): (usize, &usize)| if axes >> a & 1 == 1 { 1 } else { d };
        let shape: Shape = self.shape().iter().enumerate().map(one).collect();
        match self.as_full() {
            Some(x) if n < 1 << 24 => Value::full_at(shape, x * n as f64, self.dtype(), at),
            _ if n == 1 => self.clone(),
            _ => {
                let kind = Kind::Reduce(Reduction::Sum, axes);
                Value::apply(kind, smallvec![self.clone()], shape, self.dtype(), at)
            }
        }
    }

    fn extreme(&self, which: Reduction, axes: &Positions, at: Caller) -> Value {
        if axes.is_empty() {
            return self.clone();
        }
        if axes.iter().any(|&a| self.shape()[a] == 0) {
            return self.nothing(at);
        }
        let one = |a: usize| {
            if axes.contains(&a) {
                1
            } else {
                self.shape()[a]
            }
        };
        let shape = (0..self.rank()).map(one).collect();
        let kind = Kind::Reduce(which, set(axes));
        Value::apply(kind, smallvec![self.clone()], shape, self.dtype(), at)
    }

    fn nothing(&self, at: Caller) -> Value {
        let message = format!("nothing has no extreme: shape {}", self.shape());
        mistake(at, message, &[("input", self)], None)
    }

    /// Where the largest element along `axis` is, as i64: the first of equal ones, or of NaN.
    #[track_caller]
    pub fn argmax(&self, axis: isize) -> Value {
        self.position(Extreme::Max, axis, Location::caller())
    }

    /// Where the smallest element along `axis` is, as i64: the first of equal ones, or of NaN.
    #[track_caller]
    pub fn argmin(&self, axis: isize) -> Value {
        self.position(Extreme::Min, axis, Location::caller())
    }

    fn position(&self, which: Extreme, axis: isize, at: Caller) -> Value {
        let axis = match self.axis_at("argmax", axis, at) {
            Ok(axis) if self.shape()[axis] == 0 => return self.nothing(at),
            Ok(axis) => axis,
            Err(mistake) => return mistake,
        };
        let shape = self.shape().with(axis, 1);
        let kind = Kind::ArgReduce(which, axis);
        let kept = Value::apply(kind, smallvec![self.clone()], shape, DType::I64, at);
        kept.reshape_at(&self.shape().remove(axis), at)
    }

    /// Running sum along `axis`; whole numbers are added as i64.
    #[track_caller]
    pub fn cumsum(&self, axis: isize) -> Value {
        let at = Location::caller();
        match self.axis_at("cumsum", axis, at) {
            Ok(axis) => {
                let x = if self.dtype().is_float() {
                    self.clone()
                } else {
                    self.cast_at(DType::I64, at)
                };
                x.cumsum_at(axis, false, at)
            }
            Err(mistake) => mistake,
        }
    }

    pub(crate) fn cumsum_at(&self, axis: usize, reverse: bool, at: Caller) -> Value {
        let kind = Kind::CumSum { axis, reverse };
        Value::apply(
            kind,
            smallvec![self.clone()],
            self.shape().clone(),
            self.dtype(),
            at,
        )
    }
}
