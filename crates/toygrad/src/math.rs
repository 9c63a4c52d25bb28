//! Elementary and special functions for f32 and f64, written so that a loop
//! over them vectorises.

mod coefficients;
mod exp;
mod special;
mod trig;
#[cfg(test)]
mod ulp;

use coefficients::Table;
use core::ops::{Add, Div, Mul, Neg, Sub};

/// What the instruction set that a loop is compiled for can do.
pub trait Isa: Copy + 'static {
    /// Whether a fused multiply-add is one instruction rather than a call.
    const FMA: bool;
}

/// An instruction set with fused multiply-add.
#[derive(Clone, Copy)]
pub struct Fused;

/// An instruction set without fused multiply-add.
#[derive(Clone, Copy)]
pub struct Plain;

impl Isa for Fused {
    const FMA: bool = true;
}

impl Isa for Plain {
    const FMA: bool = false;
}

/// f32 and f64.
///
/// Every function is a straight line: selects, no calls, no branches, loops or
/// tables that depend on the data. A loop over one vectorises where it is inlined
/// into a function that enables the instruction set which `I` promises.
///
/// The errors stated are the largest measured by `math/ulp.rs` at either level,
/// in units in the last place, f32 first: f32 against f64 arithmetic (0.5 is
/// perfect), f64 as the distance to the correctly rounded number (0 is perfect).
/// NaN gives NaN, as does an argument outside the domain; results overflow to
/// infinity and underflow gradually.
pub trait Float:
    Copy
    + PartialOrd
    + Send
    + Sync
    + 'static
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + Into<f64>
{
    /// How large an angle `sin`, `cos` and `tan` take: 1e5 and 1e9. The reduction to a
    /// quadrant has so many digits of pi.
    const LARGEST_ANGLE: Self;
    /// The nearest number to `x`.
    fn of(x: f64) -> Self;
    /// `self * b + c`, rounded once if `I::FMA`, else twice.
    fn fma<I: Isa>(self, b: Self, c: Self) -> Self;
    /// Exact.
    fn abs(self) -> Self;
    /// Correctly rounded.
    fn sqrt(self) -> Self;
    /// Exact, on any instruction set.
    fn floor(self) -> Self;
    /// Exact, on any instruction set.
    fn ceil(self) -> Self;
    /// To the nearest integer, ties to even. Exact, on any instruction set.
    fn round_ties_even(self) -> Self;
    /// Towards zero. Exact, on any instruction set.
    fn trunc(self) -> Self;
    /// The magnitude of `self` with the sign of `sign`.
    fn copysign(self, sign: Self) -> Self;
    /// 1.3 and 1 ulp. A multiple of ln 2 taken away, then a polynomial.
    fn exp<I: Isa>(self) -> Self;
    /// 1.3 and 1 ulp. As `exp`, after an exact reduction.
    fn exp2<I: Isa>(self) -> Self;
    /// 1.5 and 2 ulp. `2^n (e^r - 1) + (2^n - 1)`, so nothing cancels near zero.
    fn expm1<I: Isa>(self) -> Self;
    /// 0.8 and 1 ulp; at zero minus infinity. The exponent times ln 2 plus the
    /// logarithm of the significand: a polynomial in f32, `2 atanh` in f64.
    fn ln<I: Isa>(self) -> Self;
    /// 1 and 1 ulp. As `ln`, with the logarithm of the significand scaled in
    /// twice the precision; exact at powers of two.
    fn log2<I: Isa>(self) -> Self;
    /// 0.8 and 1 ulp. As `log2`.
    fn log10<I: Isa>(self) -> Self;
    /// 1.4 and 1 ulp, from -1. As `ln`, with the exponent of the sum taken out of both terms.
    fn log1p<I: Isa>(self) -> Self;
    /// 1.4 and 1 ulp up to [`LARGEST_ANGLE`](Float::LARGEST_ANGLE); beyond, the sine
    /// of zero. Cody and Waite's reduction to a quadrant, then a polynomial.
    fn sin<I: Isa>(self) -> Self;
    /// 1.5 and 1 ulp. As `sin`, beyond the range as well.
    fn cos<I: Isa>(self) -> Self;
    /// 3.3 and 2 ulp. The quotient of the two; the same range.
    fn tan<I: Isa>(self) -> Self;
    /// 1.2 and 1 ulp on [-1, 1]. A polynomial to 1/2, then the half-angle
    /// formula.
    fn asin<I: Isa>(self) -> Self;
    /// 1.1 and 1 ulp on [-1, 1]. As `asin`; near one nothing cancels.
    fn acos<I: Isa>(self) -> Self;
    /// 1.8 and 1 ulp. One quotient brings the argument below tan(pi/8).
    fn atan<I: Isa>(self) -> Self;
    /// The angle of the point (x, self): 1.6 and 1 ulp, C's special cases. As
    /// `atan`, the same quotient being the only division.
    fn atan2<I: Isa>(self, x: Self) -> Self;
    /// 2.1 and 2 ulp. From `expm1`.
    fn sinh<I: Isa>(self) -> Self;
    /// 1.3 and 1 ulp. From `exp`.
    fn cosh<I: Isa>(self) -> Self;
    /// 2.5 and 2 ulp. From `expm1`.
    fn tanh<I: Isa>(self) -> Self;
    /// 1.6 and 1 ulp. From `log1p`.
    fn asinh<I: Isa>(self) -> Self;
    /// 2 and 1 ulp, from 1. From `log1p`.
    fn acosh<I: Isa>(self) -> Self;
    /// 1.9 and 1 ulp on [-1, 1]. From `log1p`.
    fn atanh<I: Isa>(self) -> Self;
    /// `1 / (1 + e^-x)`: 2.3 and 2 ulp.
    fn sigmoid<I: Isa>(self) -> Self;
    /// `ln(1 + e^x)`: 1.6 and 2 ulp. From `exp` and `log1p`.
    fn softplus<I: Isa>(self) -> Self;
    /// 5.7 and 3 ulp. A quotient of two polynomials.
    fn erf<I: Isa>(self) -> Self;
    /// 3.9 and 3 ulp. A power of e, its argument in twice the precision, times a
    /// polynomial.
    fn erfc<I: Isa>(self) -> Self;
    /// `ln |gamma(x)|`: 0.51 (in f64, then rounded) and 3 ulp, or an error of 4e-15
    /// beside the zeros at 1, 2 and below zero. Stirling's series,
    /// the recurrence to about 2, reflection below zero.
    fn lgamma<I: Isa>(self) -> Self;
    /// The derivative of `lgamma`: 0.51 (in f64, then rounded) and 5 ulp, or an
    /// error of 4e-15 beside the zeros. At the zeros of either sign an infinity of
    /// the other, at negative integers NaN. Ten steps of the recurrence,
    /// the asymptotic series, reflection below zero.
    fn digamma<I: Isa>(self) -> Self;
    /// The `n`-th derivative of `digamma` at `x`, for integers `n` from 0: 0.51 (in
    /// f64, then rounded) and 3 ulp, measured to n = 30. For `x` below zero
    /// `n` is at most 1. Hurwitz's zeta function by the Euler-Maclaurin formula.
    fn polygamma<I: Isa>(n: Self, x: Self) -> Self;
    /// `self^e` with C's special cases: 0.51 (in f64, then rounded) and 1 ulp.
    /// `e^(e ln x)`, in f64 with the logarithm in twice the precision.
    fn pow<I: Isa>(self, e: Self) -> Self;
}

/// The parts of the representation that the methods need, and the choices
/// that differ between the two types.
pub(crate) trait Real: Float + Table {
    /// The quadrant of an angle, in its two low bits.
    type Quadrant: Copy;
    /// Adding this leaves an integer in the low bits of the significand.
    const MAGIC: Self;
    /// The bias of the exponent.
    const BIAS: Self;
    /// The smallest exponent of a normal number.
    const MIN_EXP: Self;
    const MIN_NORMAL: Self;
    const INFINITY: Self;
    const NAN: Self;
    /// `2^DIGITS` brings every subnormal number into the normal range.
    const DIGITS: Self;
    const TWO_DIGITS: Self;
    /// `exp` is zero at the first, at which `2^n` is a quarter of the smallest number, and infinite
    /// at the second.
    const EXP_RANGE: (Self, Self);
    /// `tanh` rounds to one from here on.
    const TANH_MAX: Self;
    /// `erf` rounds to one from here on.
    const ERF_MAX: Self;
    /// `erfc` rounds to zero from here on.
    const ERFC_MAX: Self;
    /// Below this, `x*x` is lost beside `x`.
    const TINY: Self;
    /// Above this, `x + 1` is `x`; its square is finite.
    const HUGE: Self;

    /// `2^n` for an integer `n` in the normal range.
    fn pow2(n: Self) -> Self;
    /// Two powers of two whose product is `2^n`, for an integer `n` from that of an eighth of the
    /// smallest number, to a little above the normal range. Up to a quarter of the smallest number
    /// the second one is zero: a product that underflows would take many times longer.
    fn pow2_factors(n: Self) -> (Self, Self);
    /// `(k, m, 2^(2 - k))` with `self = 2^k m` and `m` in `[sqrt(1/2), sqrt(2))`, for a
    /// normal positive number. (All these powers of two are normal.)
    fn split(self) -> (Self, Self, Self);
    /// `self` with the lower half of its significand cleared.
    fn head(self) -> Self;
    /// `ln(1 + f) - f + low` for `1 + f` in `[sqrt(1/2), sqrt(2))`.
    fn log_tail<I: Isa>(f: Self, low: Self) -> Self;
    /// The quadrant and the remainder, as a sum, after taking away the nearest
    /// multiple of pi/2.
    fn reduce<I: Isa>(self) -> (Self::Quadrant, Self, Self);
    /// The next quadrant.
    fn next(q: Self::Quadrant) -> Self::Quadrant;
    /// Whether the quadrant is odd.
    fn is_odd(q: Self::Quadrant) -> bool;
    /// `self` negated in the quadrants 2 and 3.
    fn signed(self, q: Self::Quadrant) -> Self;
}

/// `a` if `c`, else `b`. With `if`, the compiler may move the computation of
/// one value under the condition, and a loop with a branch does not vectorise.
#[inline(always)]
fn pick<T: Copy>(c: bool, a: T, b: T) -> T {
    core::hint::select_unpredictable(c, a, b)
}

/// The polynomial with coefficients `c`, constant first, at `x`: Horner's rule
/// in `x^4` over groups of four, a third of the latency of Horner's in `x`.
#[inline(always)]
fn poly<T: Float, I: Isa>(x: T, c: &[T]) -> T {
    let x2 = x * x;
    let x4 = x2 * x2;
    let mut i = (c.len() - 1) / 4 * 4;
    let line = |i: usize| c[i + 1].fma::<I>(x, c[i]);
    let mut p = match c.len() - i {
        1 => c[i],
        2 => line(i),
        3 => c[i + 2].fma::<I>(x2, line(i)),
        _ => line(i + 2).fma::<I>(x2, line(i)),
    };
    while i > 0 {
        i -= 4;
        p = p.fma::<I>(x4, line(i + 2).fma::<I>(x2, line(i)));
    }
    p
}

/// The integer nearest to `x`, ties to even, for `x` well inside the range
/// of the significand.
#[inline(always)]
fn nearest<T: Real>(x: T) -> T {
    (x + T::MAGIC) - T::MAGIC
}

/// `a * b` as an unevaluated sum (Dekker's product without a fused
/// multiply-add).
#[inline(always)]
fn two_product<T: Real, I: Isa>(a: T, b: T) -> (T, T) {
    let p = a * b;
    if I::FMA {
        return (p, a.fma::<I>(b, -p));
    }
    let (ah, bh) = (a.head(), b.head());
    let (al, bl) = (a - ah, b - bh);
    (p, ((ah * bh - p) + ah * bl + al * bh) + al * bl)
}

/// `a + b` as an unevaluated sum, for `|a| >= |b|` (Dekker).
#[inline(always)]
fn fast_two_sum<T: Float>(a: T, b: T) -> (T, T) {
    let s = a + b;
    (s, (a - s) + b)
}

/// Rounds to an integer by adding and taking away the first power of two
/// whose neighbours are integers: SSE2 has no instruction for it.
#[inline(always)]
fn round<T: Real>(x: T) -> T {
    let a = x.abs();
    let big = T::TWO_DIGITS * T::of(0.5);
    pick(a < big, (a + big) - big, a).copysign(x)
}

#[inline(always)]
fn floor<T: Real>(x: T) -> T {
    let r = round(x);
    (r - pick(r > x, T::of(1.0), T::of(0.0))).copysign(x)
}

#[inline(always)]
fn ceil<T: Real>(x: T) -> T {
    let r = round(x);
    (r + pick(r < x, T::of(1.0), T::of(0.0))).copysign(x)
}

#[inline(always)]
fn trunc<T: Real>(x: T) -> T {
    floor(x.abs()).copysign(x)
}

macro_rules! generic {
    ($($f:ident: $path:path;)*) => {
        $(
            #[inline(always)]
            fn $f<I: Isa>(self) -> Self {
                $path(self)
            }
        )*
    };
}

macro_rules! float {
    ($t:ident, $largest_angle:literal) => {
        impl Float for $t {
            const LARGEST_ANGLE: Self = $largest_angle;
            #[inline(always)]
            fn of(x: f64) -> Self {
                x as $t
            }
            #[inline(always)]
            fn fma<I: Isa>(self, b: Self, c: Self) -> Self {
                if I::FMA {
                    self.mul_add(b, c)
                } else {
                    self * b + c
                }
            }
            #[inline(always)]
            fn abs(self) -> Self {
                self.abs()
            }
            #[inline(always)]
            fn sqrt(self) -> Self {
                self.sqrt()
            }
            #[inline(always)]
            fn floor(self) -> Self {
                floor(self)
            }
            #[inline(always)]
            fn ceil(self) -> Self {
                ceil(self)
            }
            #[inline(always)]
            fn round_ties_even(self) -> Self {
                round(self)
            }
            #[inline(always)]
            fn trunc(self) -> Self {
                trunc(self)
            }
            #[inline(always)]
            fn copysign(self, sign: Self) -> Self {
                self.copysign(sign)
            }
            generic! {
                exp: exp::exp::<Self, I>;
                exp2: exp::exp2::<Self, I>;
                expm1: exp::expm1::<Self, I>;
                ln: exp::ln::<Self, I>;
                log2: exp::log2::<Self, I>;
                log10: exp::log10::<Self, I>;
                log1p: exp::log1p::<Self, I>;
                sinh: exp::sinh::<Self, I>;
                cosh: exp::cosh::<Self, I>;
                tanh: exp::tanh::<Self, I>;
                asinh: exp::asinh::<Self, I>;
                acosh: exp::acosh::<Self, I>;
                atanh: exp::atanh::<Self, I>;
                sigmoid: exp::sigmoid::<Self, I>;
                softplus: exp::softplus::<Self, I>;
                sin: trig::sin::<Self, I>;
                cos: trig::cos::<Self, I>;
                tan: trig::tan::<Self, I>;
                asin: trig::asin::<Self, I>;
                acos: trig::acos::<Self, I>;
                atan: trig::atan::<Self, I>;
                erf: special::erf::<Self, I>;
                erfc: special::erfc::<Self, I>;
            }
            #[inline(always)]
            fn atan2<I: Isa>(self, x: Self) -> Self {
                trig::atan2::<Self, I>(self, x)
            }
            #[inline(always)]
            fn lgamma<I: Isa>(self) -> Self {
                special::lgamma::<I>(self as f64) as $t
            }
            #[inline(always)]
            fn digamma<I: Isa>(self) -> Self {
                special::digamma::<I>(self as f64) as $t
            }
            #[inline(always)]
            fn polygamma<I: Isa>(n: Self, x: Self) -> Self {
                special::polygamma::<I>(n as f64, x as f64) as $t
            }
            #[inline(always)]
            fn pow<I: Isa>(self, e: Self) -> Self {
                exp::pow::<I, { $t::MANTISSA_DIGITS > 24 }>(self as f64, e as f64) as $t
            }
        }
    };
}

float!(f32, 1e5);
float!(f64, 1e9);

/// The members of `Real` that differ in widths only.
macro_rules! layout {
    ($t:ident, $bits:ident, $quadrant:ident) => {
        type Quadrant = $quadrant;
        const MAGIC: Self = 1.5 / Self::EPSILON;
        const BIAS: Self = (Self::MAX_EXP - 1) as $t;
        const MIN_EXP: Self = (Self::MIN_EXP - 1) as $t;
        const MIN_NORMAL: Self = Self::MIN_POSITIVE;
        const INFINITY: Self = Self::INFINITY;
        const NAN: Self = Self::NAN;
        const DIGITS: Self = Self::MANTISSA_DIGITS as $t;
        const TWO_DIGITS: Self = 2.0 / Self::EPSILON;

        #[inline(always)]
        fn pow2(n: Self) -> Self {
            Self::from_bits(
                (n + (Self::MAGIC + Self::BIAS)).to_bits() << (Self::MANTISSA_DIGITS - 1),
            )
        }
        #[inline(always)]
        fn pow2_factors(n: Self) -> (Self, Self) {
            const SHIFT: u32 = $t::MANTISSA_DIGITS - 1;
            // For a quarter of the smallest number, of which the second exponent is that of zero.
            const ZERO: $bits = {
                let n = <$t as Real>::MIN_EXP - <$t as Real>::DIGITS - 1.0;
                (n + 2.0 * <$t as Real>::BIAS) as $bits
            };
            let both = (n + (Self::MAGIC + 2.0 * Self::BIAS)).to_bits();
            // (NaN and numbers that nobody asks for wrap around.)
            let first = both.wrapping_add(ZERO) >> 1;
            (
                Self::from_bits(first << SHIFT),
                Self::from_bits(both.wrapping_sub(first) << SHIFT),
            )
        }
        #[inline(always)]
        fn split(self) -> (Self, Self, Self) {
            const SHIFT: u32 = $t::MANTISSA_DIGITS - 1;
            const ONE: $bits = (1.0 as $t).to_bits();
            const LOW: $bits = (core::f64::consts::FRAC_1_SQRT_2 as $t).to_bits();
            // The integer `k + BIAS` becomes a float in the low bits of 2^SHIFT.
            const OFFSET: $t = 1.0 / $t::EPSILON;
            let b = self.to_bits().wrapping_add(ONE - LOW);
            let k = $t::from_bits((b >> SHIFT) | OFFSET.to_bits());
            let m = $t::from_bits((b & ((1 << SHIFT) - 1)) + LOW);
            // The exponents of `2^k` and `2^(2 - k)` add up to this.
            const BOTH: $bits = (2 * $t::MAX_EXP as $bits) << SHIFT;
            let down = $t::from_bits(BOTH.wrapping_sub(b >> SHIFT << SHIFT));
            (k - (OFFSET + Self::BIAS), m, down)
        }
        #[inline(always)]
        fn head(self) -> Self {
            Self::from_bits(self.to_bits() & ($bits::MAX << ($t::MANTISSA_DIGITS.div_ceil(2))))
        }
        #[inline(always)]
        fn next(q: $quadrant) -> $quadrant {
            q.wrapping_add(1)
        }
        #[inline(always)]
        fn is_odd(q: $quadrant) -> bool {
            q & 1 != 0
        }
        #[inline(always)]
        fn signed(self, q: $quadrant) -> Self {
            Self::from_bits(self.to_bits() ^ ((q >> 1) << ($bits::BITS - 1)))
        }
    };
}

impl Real for f32 {
    layout!(f32, u32, u32);
    const EXP_RANGE: (f32, f32) = (-104.7, 89.0);
    const TANH_MAX: f32 = 9.5;
    const ERF_MAX: f32 = 3.9;
    const ERFC_MAX: f32 = 10.2;
    const TINY: f32 = 1e-8;
    const HUGE: f32 = 1e10;

    #[inline(always)]
    fn log_tail<I: Isa>(f: f32, low: f32) -> f32 {
        let p = poly::<f32, I>(f, coefficients::LOG32);
        (f * f).fma::<I>(f.fma::<I>(p, -0.5), low)
    }
    /// Cody and Waite's three pieces where the products are not rounded;
    /// otherwise in f64, since pieces short enough for f32 would be too many.
    #[inline(always)]
    fn reduce<I: Isa>(self) -> (u32, f32, f32) {
        let x = pick(self.abs() <= f32::LARGEST_ANGLE, self, self * 0.0);
        if I::FMA {
            let m = x.fma::<I>(f32::TWO_OVER_PI, f32::MAGIC);
            let n = m - f32::MAGIC;
            let [hi, mid, lo] = coefficients::PIO2_SINGLE;
            let r = n.fma::<I>(-mid, n.fma::<I>(-hi, x));
            return (m.to_bits(), n.fma::<I>(-lo, r), 0.0);
        }
        let x = f64::from(x);
        let m = x.fma::<I>(f64::TWO_OVER_PI, f64::MAGIC);
        let n = m - f64::MAGIC;
        let [hi, lo] = coefficients::PIO2_SHORT;
        let r = n.fma::<I>(-lo, n.fma::<I>(-hi, x));
        (m.to_bits() as u32, r as f32, 0.0)
    }
}

impl Real for f64 {
    layout!(f64, u64, u64);
    const EXP_RANGE: (f64, f64) = (-746.0, 710.0);
    const TANH_MAX: f64 = 19.5;
    const ERF_MAX: f64 = 5.925;
    const ERFC_MAX: f64 = 27.3;
    const TINY: f64 = 1e-17;
    const HUGE: f64 = 1e100;

    /// Through `2 atanh(s)`, `s = f / (2 + f)`, whose series needs a third of
    /// the terms.
    #[inline(always)]
    fn log_tail<I: Isa>(f: f64, low: f64) -> f64 {
        let s = f / (2.0 + f);
        let z = s * s;
        let p = poly::<f64, I>(z, coefficients::ATANH);
        s.fma::<I>(z.fma::<I>(p, -f), low)
    }
    /// Cody and Waite's three pieces, with the rounding error of the last
    /// difference.
    #[inline(always)]
    fn reduce<I: Isa>(self) -> (u64, f64, f64) {
        let x = pick(self.abs() <= f64::LARGEST_ANGLE, self, self * 0.0);
        let m = x.fma::<I>(f64::TWO_OVER_PI, f64::MAGIC);
        let n = m - f64::MAGIC;
        let [hi, mid, lo] = coefficients::PIO2;
        let a = n.fma::<I>(-mid, n.fma::<I>(-hi, x));
        let w = n * lo;
        let r = a - w;
        (m.to_bits(), r, (a - r) - w)
    }
}
