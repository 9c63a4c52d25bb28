//! THE TABLE: every pointwise primitive in one place.
//!
//! A row states what the operation means (`exact`, in f64), how a lane computes it, its
//! derivative written as Values, and what it is in ONNX. Nothing else in the library knows an
//! individual row but `compile/simplify.rs` and `compile/pairs.rs`. What these rows express is composed
//! in `composed.rs`.

use super::rows::rows;
use crate::graph::RowRef;
use crate::graph::row::{Family, Onnx, Partial, Row, Slope};
use crate::lanes::{self, Lane, Number};
use crate::math::{Float, Isa};
use crate::{DType, Value};
use smallvec::smallvec;
use std::f64::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI, FRAC_PI_2, LN_2, LN_10, PI};
use std::panic::Location;

const ANY: (f64, f64) = (-3.0, 3.0);

/// 1/√(2π), the normal density at 0.
const DENSITY_AT_0: f64 = FRAC_2_SQRT_PI * FRAC_1_SQRT_2 / 2.0;

/// A number for use in the Values below.
#[track_caller]
fn number(x: f64) -> Value {
    Value::number(x, DType::F64, Location::caller())
}

rows! {
    // ---- arithmetic ----

    /// Sum.
    Numeric add(a, b) -> y {
        exact: a + b,
        lanes: a.add(b),
        slope: constant [1.0, 1.0],
        domain: [ANY, ANY],
        onnx: operator "Add",
    }
    /// Difference.
    Numeric sub(a, b) -> y {
        exact: a - b,
        lanes: a.sub(b),
        slope: constant [1.0, -1.0],
        domain: [ANY, ANY],
        onnx: operator "Sub",
    }
    /// Product, element by element.
    Numeric mul(a, b) -> y {
        exact: a * b,
        lanes: a.mul(b),
        slope: partials [b.clone(), a.clone()],
        domain: [ANY, ANY],
        onnx: operator "Mul",
    }
    /// Quotient; of whole numbers it is f32.
    Float div(a, b) -> y {
        exact: a / b,
        lanes: a / b,
        slope: partials [b.recip(), -(y / b)],
        domain: [ANY, (0.5, 3.0)],
        onnx: operator "Div",
    }
    /// The negative.
    Numeric neg(x) -> y {
        exact: -x,
        lanes: x.neg(),
        slope: constant [-1.0],
        domain: [ANY],
        onnx: operator "Neg",
    }
    /// Remainder with the sign of the divisor, as `%` in Python and `torch.remainder`:
    /// `a - floor(a / b) * b`. A whole remainder by 0 is 0.
    Numeric rem(a, b) -> y {
        exact: {
            let q = (a / b).trunc();
            let r = a - if q == 0.0 { 0.0 } else { q * b };
            let r = if q.is_infinite() && a.is_finite() && b != 0.0 { 0.0 } else { r };
            if r != 0.0 && (r < 0.0) != (b < 0.0) { r + b } else { r }
        },
        lanes: a.rem::<I>(b),
        slope: partials [number(1.0), -(a / b).floor()],
        domain: [(3.1, 3.9), (1.1, 1.5)],
        onnx: operator "Mod",
    }
    /// Power. `0^0` is 1, a negative base with a fractional exponent NaN. The derivative by the
    /// base is 0 where the exponent is 0, and that by the exponent is 0 where the base is 0.
    Float pow(a, b) -> y {
        exact: a.powf(b),
        lanes: a.pow::<I>(b),
        slope: partials [
            b.ne(0.0).select(b * a.pow(b - 1.0), 0.0),
            a.ne(0.0).select(y * a.ln(), 0.0),
        ],
        domain: [(0.3, 3.0), (-2.0, 3.0)],
        onnx: operator "Pow",
    }
    /// Absolute value; its derivative at 0 is 0.
    Numeric abs(x) -> y {
        exact: x.abs(),
        lanes: x.abs(),
        slope: partials [x.sign()],
        domain: [ANY],
        onnx: operator "Abs",
    }
    /// -1, 0 or 1. Locally constant.
    Numeric sign(x) -> y {
        exact: if x == 0.0 || x.is_nan() { x } else { x.signum() },
        lanes: x.sign(),
        slope: zero,
        domain: [ANY],
        onnx: operator "Sign",
    }
    /// The larger of two; NaN if either is. Where they are equal, the gradient goes to the first.
    Numeric maximum(a, b) -> y {
        exact: if a > b || a.is_nan() { a } else { b },
        lanes: a.maximum(b),
        slope: route [a.ge(b), a.lt(b)],
        domain: [ANY, ANY],
        onnx: operator "Max",
    }
    /// The smaller of two; NaN if either is. Where they are equal, the gradient goes to the first.
    Numeric minimum(a, b) -> y {
        exact: if a < b || a.is_nan() { a } else { b },
        lanes: a.minimum(b),
        slope: route [a.le(b), a.gt(b)],
        domain: [ANY, ANY],
        onnx: operator "Min",
    }
    /// The largest whole number that is not greater. Locally constant.
    Float floor(x) -> y {
        exact: x.floor(),
        lanes: Float::floor(x),
        slope: zero,
        domain: [(0.1, 0.9)],
        onnx: operator "Floor",
    }
    /// The smallest whole number that is not less. Locally constant.
    Float ceil(x) -> y {
        exact: x.ceil(),
        lanes: Float::ceil(x),
        slope: zero,
        domain: [(0.1, 0.9)],
        onnx: operator "Ceil",
    }
    /// The nearest whole number; halves go to the even one. Locally constant.
    Float round(x) -> y {
        exact: x.round_ties_even(),
        lanes: x.round_ties_even(),
        slope: zero,
        domain: [(0.6, 1.4)],
        onnx: operator "Round",
    }

    // ---- exponentials, logarithms, roots ----

    /// Square root.
    Float sqrt(x) -> y {
        exact: x.sqrt(),
        lanes: Float::sqrt(x),
        slope: partials [0.5 / y],
        domain: [(0.2, 3.0)],
        onnx: operator "Sqrt",
    }
    /// e to the power of x.
    Float exp(x) -> y {
        exact: x.exp(),
        lanes: x.exp::<I>(),
        slope: partials [y.clone()],
        domain: [ANY],
        onnx: operator "Exp",
    }
    /// 2 to the power of x.
    Float exp2(x) -> y {
        exact: x.exp2(),
        lanes: x.exp2::<I>(),
        slope: partials [y * LN_2],
        domain: [ANY],
        onnx: rows number(2.0).pow(x),
    }
    /// `exp(x) - 1`, accurate near 0.
    Float expm1(x) -> y {
        exact: x.exp_m1(),
        lanes: x.expm1::<I>(),
        slope: partials [x.exp()],
        domain: [ANY],
        onnx: rows (0.5 * x).tanh() * (x.exp() + 1.0),
    }
    /// Natural logarithm.
    Float ln(x) -> y {
        exact: x.ln(),
        lanes: x.ln::<I>(),
        slope: partials [x.recip()],
        domain: [(0.2, 3.0)],
        onnx: operator "Log",
    }
    /// Logarithm to base 2.
    Float log2(x) -> y {
        exact: x.log2(),
        lanes: x.log2::<I>(),
        slope: partials [(x * LN_2).recip()],
        domain: [(0.2, 3.0)],
        onnx: rows x.ln() / LN_2,
    }
    /// Logarithm to base 10.
    Float log10(x) -> y {
        exact: x.log10(),
        lanes: x.log10::<I>(),
        slope: partials [(x * LN_10).recip()],
        domain: [(0.2, 3.0)],
        onnx: rows x.ln() / LN_10,
    }
    /// `ln(1 + x)`, accurate near 0.
    Float log1p(x) -> y {
        exact: x.ln_1p(),
        lanes: x.log1p::<I>(),
        slope: partials [(1.0 + x).recip()],
        domain: [(-0.7, 3.0)],
        onnx: rows {
            let y = 1.0 + x;
            let near = y.eq(1.0).select(x, y.ln() * x / (&y - 1.0));
            x.lt(1.0).select(near, y.ln())
        },
    }

    // ---- trigonometry and its hyperbolic kin ----

    /// Sine of an angle in radians.
    Float sin(x) -> y {
        exact: x.sin(),
        lanes: x.sin::<I>(),
        ends: LARGEST_ANGLE,
        slope: partials [x.cos()],
        domain: [ANY],
        onnx: operator "Sin",
    }
    /// Cosine of an angle in radians.
    Float cos(x) -> y {
        exact: x.cos(),
        lanes: x.cos::<I>(),
        ends: LARGEST_ANGLE,
        slope: partials [-x.sin()],
        domain: [ANY],
        onnx: operator "Cos",
    }
    /// Tangent of an angle in radians.
    Float tan(x) -> y {
        exact: x.tan(),
        lanes: x.tan::<I>(),
        ends: LARGEST_ANGLE,
        slope: partials [1.0 + y * y],
        domain: [(-1.2, 1.2)],
        onnx: operator "Tan",
    }
    /// Arc sine, in radians.
    Float asin(x) -> y {
        exact: x.asin(),
        lanes: x.asin::<I>(),
        slope: partials [((1.0 - x) * (1.0 + x)).rsqrt()],
        domain: [(-0.9, 0.9)],
        onnx: operator "Asin",
    }
    /// Arc cosine, in radians.
    Float acos(x) -> y {
        exact: x.acos(),
        lanes: x.acos::<I>(),
        slope: partials [-((1.0 - x) * (1.0 + x)).rsqrt()],
        domain: [(-0.9, 0.9)],
        onnx: operator "Acos",
    }
    /// Arc tangent, in radians.
    Float atan(x) -> y {
        exact: x.atan(),
        lanes: x.atan::<I>(),
        slope: partials [(1.0 + x * x).recip()],
        domain: [ANY],
        onnx: operator "Atan",
    }
    /// The angle of the point (b, a), in radians: `a` is its ordinate.
    Float atan2(a, b) -> y {
        exact: a.atan2(b),
        lanes: a.atan2::<I>(b),
        slope: partials [b / (a * a + b * b), -a / (a * a + b * b)],
        domain: [(0.3, 3.0), ANY],
        onnx: rows {
            // But for the signs of zeros.
            let angle = (a / b).atan();
            let behind = &angle + a.lt(0.0).select(-PI, PI);
            b.eq(0.0).select(a.sign() * FRAC_PI_2, b.lt(0.0).select(behind, angle))
        },
    }
    /// Hyperbolic sine.
    Float sinh(x) -> y {
        exact: x.sinh(),
        lanes: x.sinh::<I>(),
        slope: partials [x.cosh()],
        domain: [ANY],
        onnx: operator "Sinh",
    }
    /// Hyperbolic cosine.
    Float cosh(x) -> y {
        exact: x.cosh(),
        lanes: x.cosh::<I>(),
        slope: partials [x.sinh()],
        domain: [ANY],
        onnx: operator "Cosh",
    }
    /// Hyperbolic tangent.
    Float tanh(x) -> y {
        exact: x.tanh(),
        lanes: x.tanh::<I>(),
        slope: partials [1.0 - y * y],
        domain: [ANY],
        onnx: operator "Tanh",
    }
    /// Inverse hyperbolic sine.
    Float asinh(x) -> y {
        exact: x.asinh(),
        lanes: x.asinh::<I>(),
        slope: partials [(1.0 + x * x).rsqrt()],
        domain: [ANY],
        onnx: operator "Asinh",
    }
    /// Inverse hyperbolic cosine.
    Float acosh(x) -> y {
        exact: x.acosh(),
        lanes: x.acosh::<I>(),
        slope: partials [((x - 1.0) * (x + 1.0)).rsqrt()],
        domain: [(1.2, 3.0)],
        onnx: operator "Acosh",
    }
    /// Inverse hyperbolic tangent.
    Float atanh(x) -> y {
        exact: x.atanh(),
        lanes: x.atanh::<I>(),
        slope: partials [((1.0 - x) * (1.0 + x)).recip()],
        domain: [(-0.9, 0.9)],
        onnx: operator "Atanh",
    }

    // ---- activations ----

    /// The logistic function, `1 / (1 + exp(-x))`.
    Float sigmoid(x) -> y {
        exact: if x >= 0.0 { 1.0 / (1.0 + (-x).exp()) } else { x.exp() / (1.0 + x.exp()) },
        lanes: x.sigmoid::<I>(),
        slope: partials [y * (1.0 - y)],
        domain: [ANY],
        onnx: operator "Sigmoid",
    }
    /// `ln(1 + exp(x))`, without overflow.
    Float softplus(x) -> y {
        exact: if x.is_nan() { x } else { x.max(0.0) + (-x.abs()).exp().ln_1p() },
        lanes: x.softplus::<I>(),
        slope: partials [x.sigmoid()],
        domain: [ANY],
        onnx: operator "Softplus",
    }
    /// The positive part, `max(x, 0)`; its derivative at 0 is 0.
    Numeric relu(x) -> y {
        exact: if x > 0.0 || x.is_nan() { x } else { 0.0 },
        lanes: x.relu(),
        slope: route [x.gt(0.0)],
        domain: [ANY],
        onnx: operator "Relu",
    }

    // ---- special functions ----

    /// The error function, 2/√π ∫₀ˣ exp(-t²) dt.
    Float erf(x) -> y {
        exact: libm::erf(x),
        lanes: x.erf::<I>(),
        slope: partials [(-(x * x)).exp() * FRAC_2_SQRT_PI],
        domain: [ANY],
        onnx: operator "Erf",
    }
    /// `x Φ(x)`, with the normal distribution function in its exact form (Hendrycks & Gimpel 2016).
    Float gelu(x) -> y {
        exact: 0.5 * x * libm::erfc(-x * FRAC_1_SQRT_2),
        lanes: T::of(0.5) * x * (T::of(1.0) + (T::of(FRAC_1_SQRT_2) * x).erf::<I>()),
        slope: partials [x.gelu_grad()],
        domain: [ANY],
        onnx: rows 0.5 * x * (1.0 + (x * FRAC_1_SQRT_2).erf()),
    }
    /// The derivative of `gelu`, `Φ(x) + x φ(x)`, with the normal density φ.
    Float gelu_grad(x) -> y {
        exact: 0.5 * libm::erfc(-x * FRAC_1_SQRT_2) + x * (-0.5 * x * x).exp() * DENSITY_AT_0,
        lanes: {
            let density = T::of(DENSITY_AT_0) * (T::of(-0.5) * x * x).exp::<I>();
            T::of(0.5) + T::of(0.5) * (T::of(FRAC_1_SQRT_2) * x).erf::<I>() + x * density
        },
        slope: partials [(2.0 - x * x) * (-0.5 * x * x).exp() * DENSITY_AT_0],
        domain: [ANY],
        onnx: rows 0.5 + 0.5 * (x * FRAC_1_SQRT_2).erf() + x * (-0.5 * x * x).exp() * DENSITY_AT_0,
    }
    /// `1 - erf(x)`, accurate for large x.
    Float erfc(x) -> y {
        exact: libm::erfc(x),
        lanes: x.erfc::<I>(),
        slope: partials [(-(x * x)).exp() * -FRAC_2_SQRT_PI],
        domain: [ANY],
        onnx: none,
    }
    /// The logarithm of the absolute value of the gamma function.
    Float lgamma(x) -> y {
        exact: libm::lgamma(x),
        lanes: x.lgamma::<I>(),
        slope: partials [x.digamma()],
        domain: [(0.3, 5.0)],
        onnx: none,
    }
    /// The derivative of `lgamma`.
    Float digamma(x) -> y {
        exact: crate::ops::special::polygamma(0.0, x),
        lanes: x.digamma::<I>(),
        slope: partials [number(1.0).polygamma(x)],
        domain: [(0.3, 5.0)],
        onnx: none,
    }
    /// The derivative of order n of `digamma` at x; n is a whole number, by which it has no
    /// derivative (0 is given). Of negative x it is NaN for orders above 1.
    Float polygamma(n, x) -> y {
        exact: crate::ops::special::polygamma(n, x),
        lanes: T::polygamma::<I>(n, x),
        slope: partials [number(0.0), (n + 1.0).polygamma(x)],
        domain: [(1.0, 1.0), (0.5, 5.0)],
        onnx: none,
    }

    // ---- comparison and logic ----

    /// Whether the left is less. Locally constant.
    Compare lt(a, b) -> y {
        exact: f64::from(a < b),
        lanes: a.lt(b),
        slope: zero,
        domain: [ANY, ANY],
        onnx: operator "Less",
    }
    /// Whether the left is less or equal. Locally constant.
    Compare le(a, b) -> y {
        exact: f64::from(a <= b),
        lanes: a.le(b),
        slope: zero,
        domain: [ANY, ANY],
        onnx: operator "LessOrEqual",
    }
    /// Whether both are equal. Locally constant.
    Compare eq(a, b) -> y {
        exact: f64::from(a == b),
        lanes: a.eq(b),
        slope: zero,
        domain: [ANY, ANY],
        onnx: operator "Equal",
    }
    /// Whether they differ. Locally constant.
    Compare ne(a, b) -> y {
        exact: f64::from(a != b),
        lanes: a.ne(b),
        slope: zero,
        domain: [ANY, ANY],
        onnx: rows a.eq(b).logical_not(),
    }
    /// Whether both are true.
    Logic logical_and(a, b) -> y {
        exact: f64::from(a != 0.0 && b != 0.0),
        lanes: a & b,
        slope: zero,
        domain: [ANY, ANY],
        onnx: operator "And",
    }
    /// Whether one or both are true.
    Logic logical_or(a, b) -> y {
        exact: f64::from(a != 0.0 || b != 0.0),
        lanes: a | b,
        slope: zero,
        domain: [ANY, ANY],
        onnx: operator "Or",
    }
    /// Whether just one is true.
    Logic logical_xor(a, b) -> y {
        exact: f64::from((a != 0.0) != (b != 0.0)),
        lanes: a ^ b,
        slope: zero,
        domain: [ANY, ANY],
        onnx: operator "Xor",
    }
    /// Whether it is not true.
    Logic logical_not(x) -> y {
        exact: f64::from(x == 0.0),
        lanes: x ^ 1,
        slope: zero,
        domain: [ANY],
        onnx: operator "Not",
    }
    /// `a` where the condition holds, else `b` (`torch.where`). The gradient goes where the value
    /// came from.
    Select select(c, a, b) -> y {
        exact: if c != 0.0 { a } else { b },
        lanes: (),
        slope: route [Value::from(false), c.clone(), c.logical_not()],
        domain: [(-1.0, 1.0), ANY, ANY],
        onnx: operator "Where",
    }
}

impl RowRef {
    /// What the row means of these numbers, of which it looks at no more than it takes. Arithmetic
    /// is computed here, without a call: a processor foresees branches better than where pointers
    /// lead, and code on single numbers is quick only if it does.
    #[inline(always)]
    pub(crate) fn evaluate(self, [a, b, c]: [f64; 3]) -> f64 {
        let is = |row: &Row| std::ptr::eq(self.0, row);
        match () {
            () if is(&mul::ROW) => a * b,
            () if is(&add::ROW) => a + b,
            () if is(&sub::ROW) => a - b,
            () if is(&div::ROW) => a / b,
            () => (self.0.exact)(a, b, c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_evaluated_as_they_say() {
        for row in ROWS {
            for x in [[1.5, -0.25, 3.0], [-2.0, 0.5, 0.0], [0.0, 4.0, f64::NAN]] {
                let y = RowRef(row).evaluate(x);
                let exact = row.exact(&x[..row.arity()]);
                assert_eq!(y.to_bits(), exact.to_bits(), "{} {x:?}", row.name);
            }
        }
    }
}
