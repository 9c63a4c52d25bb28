//! Circular functions and their inverses.

use super::{Isa, Real, fast_two_sum, pick, poly};

/// `sin(r + low)` for `|r| <= pi/4`.
#[inline(always)]
pub(super) fn sin_kernel<T: Real, I: Isa>(r: T, low: T) -> T {
    let z = r * r;
    (z * r).fma::<I>(poly::<T, I>(z, T::SIN), low) + r
}

/// `cos(r + low)` for `|r| <= pi/4`.
#[inline(always)]
pub(super) fn cos_kernel<T: Real, I: Isa>(r: T, low: T) -> T {
    let z = r * r;
    let h = z.fma::<I>(poly::<T, I>(z, T::COS), T::of(-0.5));
    h.fma::<I>(z, T::of(1.0) - r * low)
}

#[inline(always)]
fn quadrant<T: Real, I: Isa>(q: T::Quadrant, r: T, low: T) -> T {
    let s = sin_kernel::<T, I>(r, low);
    let c = cos_kernel::<T, I>(r, low);
    pick(T::is_odd(q), c, s).signed(q)
}

#[inline(always)]
pub(super) fn sin<T: Real, I: Isa>(x: T) -> T {
    let (q, r, low) = x.reduce::<I>();
    let v = quadrant::<T, I>(q, r, low);
    pick(x.abs() < T::TINY, x, v)
}

#[inline(always)]
pub(super) fn cos<T: Real, I: Isa>(x: T) -> T {
    let (q, r, low) = x.reduce::<I>();
    quadrant::<T, I>(T::next(q), r, low)
}

/// The quotient of sine and cosine, or minus its inverse in odd quadrants.
#[inline(always)]
pub(super) fn tan<T: Real, I: Isa>(x: T) -> T {
    let (q, r, low) = x.reduce::<I>();
    let s = sin_kernel::<T, I>(r, low);
    let c = cos_kernel::<T, I>(r, low);
    let odd = T::is_odd(q);
    let v = pick(odd, -c, s) / pick(odd, s, c);
    pick(x.abs() < T::TINY, x, v)
}

/// `(big, s, t)` for `a = |x|`: `asin a = s + t`, or `acos a = s + t` if
/// `a > 1/2`, where `acos a = 2 asin sqrt((1 - a)/2)`.
#[inline(always)]
fn asin_parts<T: Real, I: Isa>(a: T) -> (bool, T, T) {
    let half = T::of(0.5);
    let big = a > half;
    let z = pick(big, (T::of(1.0) - a) * half, a * a);
    let s = pick(big, z.sqrt(), a);
    let s = pick(big, s + s, s);
    (big, s, s * z * poly::<T, I>(z, T::ASIN))
}

#[inline(always)]
pub(super) fn asin<T: Real, I: Isa>(x: T) -> T {
    let half = T::of(0.5);
    let (big, s, t) = asin_parts::<T, I>(x.abs());
    let (h, low) = fast_two_sum(T::PI_HI * half, -s);
    pick(big, h + (low + (T::PI_LO * half - t)), s + t).copysign(x)
}

#[inline(always)]
pub(super) fn acos<T: Real, I: Isa>(x: T) -> T {
    let (zero, half, one) = (T::of(0.0), T::of(0.5), T::of(1.0));
    let (big, s, t) = asin_parts::<T, I>(x.abs());
    // pi/2 - asin x, acos x, or pi - acos |x|.
    let turn = pick(big, pick(x < zero, one, zero), half);
    let sign = pick(big, x, -x);
    let (h, low) = fast_two_sum(T::PI_HI * turn, s.copysign(sign));
    h + (low + T::PI_LO.fma::<I>(turn, t.copysign(sign)))
}

/// The angle of the point `(b, a)` of the first quadrant, from
/// `atan(a/b) = pi/4 + atan((a - b)/(a + b)) = pi/2 + atan(-b/a)`, whichever
/// argument is below tan(pi/8). With `left`, that of the point `(-b, a)`.
#[inline(always)]
fn angle<T: Real, I: Isa>(a: T, b: T, left: bool) -> T {
    let steep = a > T::of(2.414213562373095) * b;
    let middle = a > T::of(0.41421356237309503) * b;
    let num = pick(steep, -b, pick(middle, a - b, a));
    let den = pick(steep, a, pick(middle, a + b, b));
    let turn = pick(steep, T::of(0.5), pick(middle, T::of(0.25), T::of(0.0)));
    // Both are zero at the origin alone, where the angle is that of the axis; not so 0 beside NaN.
    let origin = (num == T::of(0.0)) & (den == T::of(0.0));
    let t = pick(origin, num, num / den);
    let turn = pick(left, T::of(1.0) - turn, turn);
    let t = pick(left, -t, t);
    let z = t * t;
    let tail = (t * z).fma::<I>(poly::<T, I>(z, T::ATAN), T::PI_LO * turn);
    let base = T::PI_HI * turn;
    let s = base + t;
    s + ((base - s) + t + tail)
}

#[inline(always)]
pub(super) fn atan<T: Real, I: Isa>(x: T) -> T {
    angle::<T, I>(x.abs(), T::of(1.0), false).copysign(x)
}

#[inline(always)]
pub(super) fn atan2<T: Real, I: Isa>(y: T, x: T) -> T {
    let one = T::of(1.0);
    let (a, b) = (y.abs(), x.abs());
    // Keep the sum of the two finite, and two infinities a number.
    let large = T::of(1e30);
    let shrink = pick((a > large) | (b > large), T::of(0.25), one);
    let both = (a == T::INFINITY) & (b == T::INFINITY);
    let (a, b) = (pick(both, one, a * shrink), pick(both, one, b * shrink));
    angle::<T, I>(a, b, one.copysign(x) < T::of(0.0)).copysign(y)
}
