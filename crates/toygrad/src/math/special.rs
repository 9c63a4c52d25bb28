//! The error function and the gamma family.

use super::coefficients::{EULER_MACLAURIN, LGAMMA2, PSI, STIRLING};
use super::exp::{exp, exp_pair, exp_parts, ln, ln_pair, log1p, scale};
use super::trig::{cos_kernel, sin_kernel};
use super::{Float, Isa, Real, Table, fast_two_sum, pick, poly, round, trunc, two_product};
use core::f64::consts::PI;

#[inline(always)]
fn erf_near<T: Real, I: Isa>(x: T) -> T {
    x.fma::<I>(poly::<T, I>(x * x, T::ERF_NEAR), x)
}

/// `x p(x^2) / q(x^2)`: all coefficients are positive, so nothing cancels.
#[inline(always)]
pub(super) fn erf<T: Real, I: Isa>(x: T) -> T {
    let (a, one) = (x.abs(), T::of(1.0));
    let z = a * a;
    let v = a * poly::<T, I>(z, T::ERF) / poly::<T, I>(z, T::ERF_OVER);
    pick((a >= T::ERF_MAX) | (v > one), one, v).copysign(x)
}

/// `erfc(a) = e^(-a^2) erfcx(a)` for `a >= 0`. `erfcx(a) (1 + 2a)` is smooth
/// enough in `(a - c)/(a + c)` for one polynomial over the whole half line
/// (Schonfelder 1978). `a^2` is taken with its rounding error.
#[inline(always)]
pub(super) fn erfc_positive<T: Real, I: Isa>(a: T) -> T {
    let a = pick(a > T::ERFC_MAX, T::ERFC_MAX, a);
    let t = (a - T::ERFC_CENTRE) / (a + T::ERFC_CENTRE);
    let g = poly::<T, I>(t, T::ERFC) / (a + a + T::of(1.0));
    let (sq, lo) = two_product::<T, I>(a, a);
    let (p, n) = exp_parts::<T, I>(-sq, -lo);
    scale(p * g, n)
}

#[inline(always)]
pub(super) fn erfc<T: Real, I: Isa>(x: T) -> T {
    let a = x.abs();
    let v = erfc_positive::<T, I>(a);
    let v = pick(x < T::of(0.0), T::of(2.0) - v, v);
    pick(a < T::of(0.5), T::of(1.0) - erf_near::<T, I>(x), v)
}

/// `(|sin(pi x)|, cos(pi x))` up to a common sign, that of `sin` moved to `cos`
/// so that the quotient is `tan`.
#[inline(always)]
fn sin_cos_pi<I: Isa>(x: f64) -> (f64, f64) {
    let r = x - round(x);
    let a = r.abs();
    let swap = a > 0.25;
    let u = pick(swap, 0.5 - a, a);
    let low = u * f64::PI_LO;
    let (v, e) = two_product::<f64, I>(u, PI);
    let s = sin_kernel::<f64, I>(v, low + e);
    let c = cos_kernel::<f64, I>(v, low + e);
    (pick(swap, c, s), pick(swap, s, c).copysign(r))
}

/// `ln |gamma(x)|`. From 8 up, Stirling's series; below, the recurrence brings
/// the argument to within 1/2 of 2, where a polynomial with the zero at 2 taken
/// out serves; negative arguments go through the reflection formula.
#[inline(always)]
pub(super) fn lgamma<I: Isa>(x: f64) -> f64 {
    let w = pick(x < 0.0, 1.0 - x, x);
    let large = w >= 8.0;
    let mut y = w;
    let mut product = 1.0;
    let mut i = 0;
    while i < 6 {
        let down = y > 2.5;
        let z = y - 1.0;
        product = pick(down, product * z, product);
        y = pick(down, z, y);
        i += 1;
    }
    let (tiny, low) = (w < 0.5, w < 1.5);
    let f = pick(tiny, w, pick(low, w - 1.0, y - 2.0));
    let product = pick(tiny, w * (w + 1.0), pick(low, w, product));
    let log = ln::<f64, I>(pick(large, w, product));
    let near = f.fma::<I>(poly::<f64, I>(f, LGAMMA2), pick(low, -log, log));
    let inverse = 1.0 / w;
    let tail = inverse.fma::<I>(
        poly::<f64, I>(inverse * inverse, STIRLING),
        // (ln(2 pi) - 1) / 2
        0.4189385332046727,
    );
    let far = (w - 0.5).fma::<I>(log - 1.0, tail);
    let v = pick(large, far, near);
    let (s, _) = sin_cos_pi::<I>(x);
    let v = pick(x < 0.0, -ln::<f64, I>(s * (1.0 / PI)) - v, v);
    let v = pick(x.abs() == f64::INFINITY, f64::INFINITY, v);
    pick(x == 0.0, f64::INFINITY, v)
}

/// The derivative of `lgamma`: the asymptotic series, after ten steps of the
/// recurrence below 10, whose sum of inverses is kept as one fraction.
#[inline(always)]
pub(super) fn digamma<I: Isa>(x: f64) -> f64 {
    let w = pick(x < 0.0, 1.0 - x, x);
    let small = w < 10.0;
    let (mut num, mut den) = (0.0, 1.0);
    let mut i = 0;
    while i < 10 {
        let v = w + i as f64;
        num = v.fma::<I>(num, den);
        den *= v;
        i += 1;
    }
    let y = pick(small, w + 10.0, w);
    let inverse = 1.0 / y;
    let z = inverse * inverse;
    let tail = z.fma::<I>(poly::<f64, I>(z, PSI), 0.5 * inverse);
    let v = ln::<f64, I>(y) - tail - pick(small, num / den, 0.0);
    let (s, c) = sin_cos_pi::<I>(x);
    let v = pick(x < 0.0, v - PI * c / s, v);
    // A pole is a jump between the infinities, but for the signed zero.
    let v = pick((x < 0.0) & (s == 0.0), f64::NAN, v);
    let v = pick(x == f64::INFINITY, x, v);
    let v = pick(x == -f64::INFINITY, f64::NAN, v);
    pick(x == 0.0, f64::INFINITY.copysign(-x), v)
}

/// `(x / (x + i))^s`, by the logarithm of `1 + i/x`: the quotient itself would
/// be rounded before it is raised.
#[inline(always)]
fn ratio_power<I: Isa>(x: f64, i: f64, s: f64) -> f64 {
    exp::<f64, I>(-s * log1p::<f64, I>(i / x))
}

/// `(-1)^(n+1) n! zeta(n+1, x)`, the zeta function by twelve terms and the
/// Euler-Maclaurin formula for the rest, all divided by `x^-s`, `s = n + 1`.
/// `gamma(s) x^-s` is one exponential, so that neither factor overflows alone.
#[inline(always)]
pub(super) fn polygamma<I: Isa>(n: f64, x: f64) -> f64 {
    let w = pick(x < 0.0, 1.0 - x, x);
    let s = n + 1.0;
    // A loop that vectorises over the terms instead of the elements: written out, they would be a
    // fiftieth of all that there is to compile.
    let mut terms = [0.0; 12];
    let mut k = 0;
    while k < terms.len() {
        terms[k] = ratio_power::<I>(w, (k + 1) as f64, s);
        k += 1;
    }
    let [near @ .., last] = terms;
    let mut sum = 0.0;
    k = near.len();
    while k > 0 {
        k -= 1;
        sum += near[k];
    }
    let sum = sum + 1.0;
    let y = w + 12.0;
    let inverse = 1.0 / y;
    let z = inverse * inverse;
    // s (s+1) ... (s+2k-2) y^(1-2k) B(2k)/(2k)!
    let mut rest = 0.0;
    let mut factor = s * inverse;
    k = 0;
    while k < EULER_MACLAURIN.len() {
        rest = factor.fma::<I>(EULER_MACLAURIN[k], rest);
        let t = s + (2 * k) as f64;
        factor = factor * z * (t + 1.0) * (t + 2.0);
        k += 1;
    }
    let rest = rest + 0.5 + y / n;
    let sum = rest.fma::<I>(last, sum);
    // gamma(s) = gamma(v) / (s (s+1) ... (s+7)), with Stirling's series for v.
    let v = s + 8.0;
    let mut steps = s;
    let mut i = 1;
    while i < 8 {
        steps *= s + i as f64;
        i += 1;
    }
    let iv = 1.0 / v;
    let series = iv * poly::<f64, I>(iv * iv, STIRLING);
    let (lv, lve) = ln_pair::<I>(v);
    let (lw, lwe) = ln_pair::<I>(w);
    let (g, ge) = fast_two_sum(lv, -1.0);
    let (a, ae) = two_product::<f64, I>(v, g);
    let (b, be) = two_product::<f64, I>(s, lw);
    let c = a - b;
    let bb = c - a;
    let ce = (a - (c - bb)) + (-b - bb);
    let low = ce + (ae - be) + (v * (ge + lve) - s * lwe) + series;
    // sqrt(2 pi / v)
    let root = (2.0 * PI * iv).sqrt();
    let value = exp_pair::<I>(c, low) * (root / steps) * sum;
    let even = trunc(n * 0.5) == n * 0.5;
    let value = pick(even, -value, value);
    let value = pick(w == 0.0, pick(even, -f64::INFINITY, f64::INFINITY), value);
    let value = pick(w == f64::INFINITY, pick(even, -0.0, 0.0), value);
    // Trigamma's reflection; the higher orders have no simple one.
    let (sine, _) = sin_cos_pi::<I>(x);
    let q = PI / sine;
    let reflected = pick(n == 1.0, q * q - value, f64::NAN);
    let value = pick(x < 0.0, reflected, value);
    let value = pick((n >= 1.0) & (trunc(n) == n), value, f64::NAN);
    pick(n == 0.0, digamma::<I>(x), value)
}
