//! Exponentials, logarithms, hyperbolic functions and powers.

use super::coefficients::ATANH5;
use super::{Float, Isa, Real, fast_two_sum, nearest, pick, poly, trunc, two_product};

/// `e^(x + low)` as `(p, n)`, to be `p * 2^n`.
#[inline(always)]
pub(super) fn exp_parts<T: Real, I: Isa>(x: T, low: T) -> (T, T) {
    let (q, n) = expm1_parts::<T, I>(x, low);
    (q + T::of(1.0), n)
}

/// `(r, n)` with `x = r + n ln 2`, `n` the nearest integer to `x / ln 2`. The
/// high piece of ln 2 is short enough for its product with `n` to be exact.
#[inline(always)]
fn exp_reduce<T: Real, I: Isa>(x: T) -> (T, T) {
    let n = x.fma::<I>(T::LOG2_E_HI, T::MAGIC) - T::MAGIC;
    (n.fma::<I>(-T::LN2_LO, n.fma::<I>(-T::LN2_HI, x)), n)
}

/// `e^x` for `x` in `EXP_RANGE`.
#[inline(always)]
fn exp_clamped<T: Real, I: Isa>(x: T) -> T {
    let (r, n) = exp_reduce::<T, I>(x);
    exp_scaled::<T, I>(exp_rest::<T, I>(r), n)
}

/// `e^r - 1` for `|r| <= ln 2 / 2`, good beside one; the terms are grouped for
/// the shortest latency.
#[inline(always)]
fn exp_rest<T: Real, I: Isa>(r: T) -> T {
    let c = T::EXP;
    let r2 = r * r;
    let head = c[1].fma::<I>(r, c[0]).fma::<I>(r2, r);
    poly::<T, I>(r, &c[2..]).fma::<I>(r2 * r2, head)
}

/// `(q + 1) * 2^n`, as `scale`.
#[inline(always)]
fn exp_scaled<T: Real, I: Isa>(q: T, n: T) -> T {
    let (a, b) = T::pow2_factors(n);
    q.fma::<I>(a, a) * b
}

/// `exp_parts` with `p - 1` in the place of `p`. A constant `low` should be -0,
/// the zero that the compiler may leave out of a sum.
#[inline(always)]
fn expm1_parts<T: Real, I: Isa>(x: T, low: T) -> (T, T) {
    let (r, n) = exp_reduce::<T, I>(x);
    let r = r + low;
    ((r * r).fma::<I>(poly::<T, I>(r, T::EXP), r), n)
}

/// `p * 2^n` in two steps, so that neither factor overflows and a subnormal
/// result is rounded once.
#[inline(always)]
pub(super) fn scale<T: Real>(p: T, n: T) -> T {
    let (a, b) = T::pow2_factors(n);
    p * a * b
}

/// `x` inside the range where `exp` is neither zero nor infinite.
#[inline(always)]
fn clamp_exp<T: Real>(x: T) -> T {
    let (lo, hi) = T::EXP_RANGE;
    let x = pick(x < lo, lo, x);
    pick(x > hi, hi, x)
}

#[inline(always)]
pub(super) fn exp<T: Real, I: Isa>(x: T) -> T {
    exp_clamped::<T, I>(clamp_exp(x))
}

/// `e^x` for `x <= 0` or NaN.
#[inline(always)]
fn exp_negative<T: Real, I: Isa>(x: T) -> T {
    let x = pick(x < T::EXP_RANGE.0, T::EXP_RANGE.0, x);
    exp_clamped::<T, I>(x)
}

#[inline(always)]
pub(super) fn exp2<T: Real, I: Isa>(x: T) -> T {
    let lo = T::MIN_EXP - T::DIGITS - T::of(2.0);
    let hi = T::BIAS + T::of(1.0);
    let x = pick(x < lo, lo, x);
    let x = pick(x > hi, hi, x);
    let n = nearest(x);
    let t = x - n;
    let r = t.fma::<I>(T::LN2_HI, t * T::LN2_LO);
    exp_scaled::<T, I>(exp_rest::<T, I>(r), n)
}

/// `(e^x - 1) / 2^j`: with `j > 0` for an `e^x` that overflows.
#[inline(always)]
fn expm1_over<T: Real, I: Isa>(x: T, j: i32) -> T {
    let (q, n) = expm1_parts::<T, I>(x, T::of(-0.0));
    let s = T::pow2(n - T::of(f64::from(j)));
    q.fma::<I>(s, s - T::of(2f64.powi(-j)))
}

#[inline(always)]
pub(super) fn expm1<T: Real, I: Isa>(x: T) -> T {
    // Below, the result is -1 in rounding.
    let lo = -T::DIGITS;
    let hi = T::EXP_RANGE.1;
    let y = pick(x < lo, lo, x);
    let y = pick(y > hi, hi, y);
    let h = expm1_over::<T, I>(y, 1);
    pick(x.abs() < T::TINY, x, h + h)
}

/// `(k, f)` with `x = 2^k (1 + f)` and `1 + f` in `[sqrt(1/2), sqrt(2))`.
#[inline(always)]
fn log_parts<T: Real>(x: T) -> (T, T) {
    let small = x < T::MIN_NORMAL;
    let (k, m, _) = pick(small, x * T::TWO_DIGITS, x).split();
    let shift = T::DIGITS;
    (k - pick(small, shift, T::of(0.0)), m - T::of(1.0))
}

/// `value`, but for the arguments `x` of a logarithm that are no positive
/// finite numbers.
#[inline(always)]
fn log_edges<T: Real>(x: T, value: T) -> T {
    let zero = T::of(0.0);
    let edge = pick(x == zero, -T::INFINITY, pick(x > zero, x, T::NAN));
    pick((x > zero) & (x < T::INFINITY), value, edge)
}

#[inline(always)]
pub(super) fn ln<T: Real, I: Isa>(x: T) -> T {
    let (k, f) = log_parts(x);
    let low = T::log_tail::<I>(f, k * T::LN2_LO);
    log_edges(x, k.fma::<I>(T::LN2_HI, f + low))
}

/// `ln(1 + f) * (hi + lo)` as a sum of two numbers.
#[inline(always)]
fn log_scaled<T: Real, I: Isa>(f: T, hi: T, lo: T) -> (T, T) {
    let (y, low) = fast_two_sum(f, T::log_tail::<I>(f, T::of(0.0)));
    let (p, e) = two_product::<T, I>(y, hi);
    (p, y.fma::<I>(lo, low.fma::<I>(hi, e)))
}

#[inline(always)]
pub(super) fn log2<T: Real, I: Isa>(x: T) -> T {
    let (k, f) = log_parts(x);
    let (p, e) = log_scaled::<T, I>(f, T::LOG2_E_HI, T::LOG2_E_LO);
    let (s, t) = fast_two_sum(k, p);
    log_edges(x, s + (t + e))
}

#[inline(always)]
pub(super) fn log10<T: Real, I: Isa>(x: T) -> T {
    let (k, f) = log_parts(x);
    let (p, e) = log_scaled::<T, I>(f, T::LOG10_E_HI, T::LOG10_E_LO);
    let (s, t) = fast_two_sum(k * T::LOG10_2_HI, p);
    log_edges(x, s + (t + k.fma::<I>(T::LOG10_2_LO, e)))
}

/// `ln(1 + x) + j ln 2` for `x > -1`: with the `k` of `1 + x`, `f = 2^-k x + (2^-k - 1)` is rounded
/// once, as its second part has few bits where it counts. With `k = 0` it is `x` itself.
#[inline(always)]
fn log1p_plus<T: Real, I: Isa>(x: T, j: T) -> T {
    let one = T::of(1.0);
    let quarter = T::of(0.25);
    let (k, _, down) = (x + one).split();
    let f = (x * quarter).fma::<I>(down, down.fma::<I>(quarter, -one));
    let k = k + j;
    let low = T::log_tail::<I>(f, k * T::LN2_LO);
    pick(
        (x.abs() < T::TINY) & (j == T::of(0.0)),
        x,
        k.fma::<I>(T::LN2_HI, f + low),
    )
}

#[inline(always)]
pub(super) fn log1p<T: Real, I: Isa>(x: T) -> T {
    let v = pick(x < T::INFINITY, log1p_plus::<T, I>(x, T::of(0.0)), x);
    let v = pick(x > T::of(-1.0), v, T::NAN);
    pick(x == T::of(-1.0), -T::INFINITY, v)
}

/// With `h = (e^|x| - 1)/2`, `sinh |x| = h + h / (2h + 1)`.
#[inline(always)]
pub(super) fn sinh<T: Real, I: Isa>(x: T) -> T {
    // Infinite from here on, while `n - 2` is still an exponent.
    let hi = T::EXP_RANGE.1 + T::of(0.5);
    let a = x.abs();
    let q = expm1_over::<T, I>(pick(a > hi, hi, a), 2);
    let h = q + q;
    let rest = pick(h > T::HUGE, T::of(0.5), h / (h + h + T::of(1.0)));
    pick(a < T::TINY, a, h + rest).copysign(x)
}

/// With `h = e^|x| / 2`, `cosh x = h + 1 / (4h)`.
#[inline(always)]
pub(super) fn cosh<T: Real, I: Isa>(x: T) -> T {
    // Infinite from here on, while `n - 2` is still an exponent.
    let hi = T::EXP_RANGE.1 + T::of(0.5);
    let a = x.abs();
    let (p, n) = exp_parts::<T, I>(pick(a > hi, hi, a), T::of(-0.0));
    let q = p * T::pow2(n - T::of(2.0));
    let h = q + q;
    h + T::of(0.25) / h
}

/// With `h = e^2|x| - 1`, `tanh |x| = h / (h + 2)`.
#[inline(always)]
pub(super) fn tanh<T: Real, I: Isa>(x: T) -> T {
    let a = x.abs();
    let a = pick(a > T::TANH_MAX, T::TANH_MAX, a);
    let h = expm1_over::<T, I>(a + a, 0);
    pick(a < T::TINY, a, h / (h + T::of(2.0))).copysign(x)
}

/// `ln(a + sqrt(a^2 + 1))` with the one taken out of the logarithm; for huge
/// `a` it is `ln a + ln 2`.
#[inline(always)]
pub(super) fn asinh<T: Real, I: Isa>(x: T) -> T {
    let one = T::of(1.0);
    let a = x.abs();
    let huge = a > T::HUGE;
    let b = pick(huge, one, a);
    let q = b * b;
    let t = q / (one + (q + one).sqrt()) + a;
    let v = log1p_plus::<T, I>(pick(huge, a, t), pick(huge, one, T::of(0.0)));
    pick(a < T::INFINITY, v, a).copysign(x)
}

/// `ln(x + sqrt(x^2 - 1))` in `x - 1`, as `asinh`.
#[inline(always)]
pub(super) fn acosh<T: Real, I: Isa>(x: T) -> T {
    let one = T::of(1.0);
    let huge = x > T::HUGE;
    let d = pick(huge, one, x - one);
    let t = d + d.fma::<I>(d, d + d).sqrt();
    let v = log1p_plus::<T, I>(pick(huge, x, t), pick(huge, one, T::of(0.0)));
    let v = pick(x >= one, v, T::NAN);
    pick(x == T::INFINITY, x, v)
}

#[inline(always)]
pub(super) fn atanh<T: Real, I: Isa>(x: T) -> T {
    let one = T::of(1.0);
    let a = x.abs();
    let v = log1p_plus::<T, I>((a + a) / (one - a), T::of(0.0)) * T::of(0.5);
    let v = pick(a < T::TINY, a, v);
    let v = pick(a < one, v, T::NAN);
    pick(a == one, T::INFINITY, v).copysign(x)
}

/// `1 / (1 + e^-x)`, with the exponential of `-|x|` so that nothing overflows.
#[inline(always)]
pub(super) fn sigmoid<T: Real, I: Isa>(x: T) -> T {
    let one = T::of(1.0);
    let e = exp_negative::<T, I>(-x.abs());
    pick(x < T::of(0.0), e, one) / (e + one)
}

/// `ln(1 + e^x) = max(x, 0) + ln(1 + e^-|x|)`.
#[inline(always)]
pub(super) fn softplus<T: Real, I: Isa>(x: T) -> T {
    let e = exp_negative::<T, I>(-x.abs());
    pick(x > T::of(0.0), x, T::of(0.0)) + log1p_plus::<T, I>(e, T::of(0.0))
}

/// `ln x` to about 2^-64 of itself, as an unevaluated sum, for positive `x`.
///
/// `2 atanh(s)`, `s = f / (2 + f)`, with the first two terms of the series in
/// pairs of numbers: `s (2 + z (2/3 + z (2/5 + ...)))`, `z = s^2`.
#[inline(always)]
pub(super) fn ln_pair<I: Isa>(x: f64) -> (f64, f64) {
    let (k, f) = log_parts(x);
    let (d, dl) = fast_two_sum(2.0, f);
    let inverse = 1.0 / d;
    let s = f * inverse;
    let (p, pe) = two_product::<f64, I>(s, d);
    let sl = (((f - p) - pe) - s * dl) * inverse;
    let (z, ze) = two_product::<f64, I>(s, s);
    let zl = (2.0 * s).fma::<I>(sl, ze);
    // 2/3 = c + cl.
    let c = 2.0 / 3.0;
    let cl = 3.700743415417188e-17;
    let (b, bl) = fast_two_sum(c, z * poly::<f64, I>(z, ATANH5));
    let bl = bl + cl;
    // w = z (b + bl), then v = s w: all small beside 2 s.
    let (w, we) = two_product::<f64, I>(z, b);
    let wl = z.fma::<I>(bl, zl.fma::<I>(b, we));
    let (v, ve) = two_product::<f64, I>(s, w);
    let vl = s.fma::<I>(wl, sl.fma::<I>(w, ve));
    let (h, hl) = fast_two_sum(2.0 * s, v);
    let hl = hl + 2.0f64.fma::<I>(sl, vl);
    let (g, gl) = fast_two_sum(k * <f64 as super::Table>::LN2_HI, h);
    let low = k.fma::<I>(<f64 as super::Table>::LN2_LO, hl);
    fast_two_sum(g, gl + low)
}

/// `e^(hi + lo)` over the whole range.
#[inline(always)]
pub(super) fn exp_pair<I: Isa>(hi: f64, lo: f64) -> f64 {
    let x = clamp_exp(hi);
    let (q, n) = expm1_parts::<f64, I>(x, pick(x == hi, lo, 0.0));
    exp_scaled::<f64, I>(q, n)
}

/// `|x|^e` by logarithm and exponential, then the cases of C's `pow`. `PAIR`
/// tells whether the logarithm needs more digits than f64 has, as it does for an
/// f64 result: its error is multiplied by up to 709.
#[inline(always)]
pub(super) fn pow<I: Isa, const PAIR: bool>(x: f64, e: f64) -> f64 {
    let a = x.abs();
    let v = if PAIR {
        let (hi, lo) = ln_pair::<I>(a);
        let (p, rest) = two_product::<f64, I>(hi, e);
        exp_pair::<I>(p, lo.fma::<I>(e, rest))
    } else {
        exp::<f64, I>(ln::<f64, I>(a) * e)
    };
    // Where the result is a limit: |x| at 0 or infinity, or e infinite.
    let up = (a > 1.0) == (e > 0.0);
    let limit = (a == 0.0) | (a == f64::INFINITY) | (e.abs() == f64::INFINITY);
    let v = pick(limit, pick(up, f64::INFINITY, 0.0), v);
    let integer = trunc(e) == e;
    let odd = integer & (trunc(e * 0.5) != e * 0.5);
    let v = pick((x < 0.0) & !integer & (a < f64::INFINITY), f64::NAN, v);
    let v = pick(odd, v.copysign(x), v);
    let numbers = (a <= f64::INFINITY) & (e.abs() <= f64::INFINITY);
    let v = pick(numbers, v, f64::NAN);
    let one = (x == 1.0) | (e == 0.0) | ((x == -1.0) & (e.abs() == f64::INFINITY));
    pick(one, 1.0, v)
}
