//! Temporary: replaced by the vector functions.
#![allow(missing_docs)]
use core::ops::{Add, Div, Mul, Neg, Sub};
pub trait Isa: Copy + 'static {
    const FMA: bool;
}
#[derive(Clone, Copy)]
pub struct Fused;
impl Isa for Fused {
    const FMA: bool = true;
}
#[derive(Clone, Copy)]
pub struct Plain;
impl Isa for Plain {
    const FMA: bool = false;
}
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
{
    fn of(x: f64) -> Self;
    fn fma<I: Isa>(self, b: Self, c: Self) -> Self;
    fn abs(self) -> Self;
    fn sqrt(self) -> Self;
    fn floor(self) -> Self;
    fn ceil(self) -> Self;
    fn round_ties_even(self) -> Self;
    fn trunc(self) -> Self;
    fn copysign(self, s: Self) -> Self;
    fn exp<I: Isa>(self) -> Self;
    fn exp2<I: Isa>(self) -> Self;
    fn expm1<I: Isa>(self) -> Self;
    fn ln<I: Isa>(self) -> Self;
    fn log2<I: Isa>(self) -> Self;
    fn log10<I: Isa>(self) -> Self;
    fn log1p<I: Isa>(self) -> Self;
    fn sin<I: Isa>(self) -> Self;
    fn cos<I: Isa>(self) -> Self;
    fn tan<I: Isa>(self) -> Self;
    fn asin<I: Isa>(self) -> Self;
    fn acos<I: Isa>(self) -> Self;
    fn atan<I: Isa>(self) -> Self;
    fn atan2<I: Isa>(self, x: Self) -> Self;
    fn sinh<I: Isa>(self) -> Self;
    fn cosh<I: Isa>(self) -> Self;
    fn tanh<I: Isa>(self) -> Self;
    fn asinh<I: Isa>(self) -> Self;
    fn acosh<I: Isa>(self) -> Self;
    fn atanh<I: Isa>(self) -> Self;
    fn sigmoid<I: Isa>(self) -> Self;
    fn softplus<I: Isa>(self) -> Self;
    fn erf<I: Isa>(self) -> Self;
    fn erfc<I: Isa>(self) -> Self;
    fn lgamma<I: Isa>(self) -> Self;
    fn digamma<I: Isa>(self) -> Self;
    fn polygamma<I: Isa>(n: Self, x: Self) -> Self;
    fn pow<I: Isa>(self, e: Self) -> Self;
}
macro_rules! imp { ($($t:ty),*) => {$(impl Float for $t {
    fn of(x: f64) -> Self { x as $t }
    fn fma<I: Isa>(self, b: Self, c: Self) -> Self { self * b + c }
    fn abs(self) -> Self { self.abs() } fn sqrt(self) -> Self { self.sqrt() } fn floor(self) -> Self { self.floor() } fn ceil(self) -> Self { self.ceil() } fn round_ties_even(self) -> Self { self.round_ties_even() } fn trunc(self) -> Self { self.trunc() } fn copysign(self, s: Self) -> Self { self.copysign(s) }
    fn exp<I: Isa>(self) -> Self { self.exp() } fn exp2<I: Isa>(self) -> Self { self.exp2() } fn expm1<I: Isa>(self) -> Self { self.exp_m1() } fn ln<I: Isa>(self) -> Self { self.ln() } fn log2<I: Isa>(self) -> Self { self.log2() } fn log10<I: Isa>(self) -> Self { self.log10() } fn log1p<I: Isa>(self) -> Self { self.ln_1p() }
    fn sin<I: Isa>(self) -> Self { self.sin() } fn cos<I: Isa>(self) -> Self { self.cos() } fn tan<I: Isa>(self) -> Self { self.tan() } fn asin<I: Isa>(self) -> Self { self.asin() } fn acos<I: Isa>(self) -> Self { self.acos() } fn atan<I: Isa>(self) -> Self { self.atan() } fn atan2<I: Isa>(self, x: Self) -> Self { self.atan2(x) }
    fn sinh<I: Isa>(self) -> Self { self.sinh() } fn cosh<I: Isa>(self) -> Self { self.cosh() } fn tanh<I: Isa>(self) -> Self { self.tanh() } fn asinh<I: Isa>(self) -> Self { self.asinh() } fn acosh<I: Isa>(self) -> Self { self.acosh() } fn atanh<I: Isa>(self) -> Self { self.atanh() }
    fn sigmoid<I: Isa>(self) -> Self { 1.0 / (1.0 + (-self).exp()) } fn softplus<I: Isa>(self) -> Self { (if self > 0.0 { self } else { 0.0 }) + (-self.abs()).exp().ln_1p() } fn erf<I: Isa>(self) -> Self { libm::erf(self as f64) as $t } fn erfc<I: Isa>(self) -> Self { libm::erfc(self as f64) as $t } fn lgamma<I: Isa>(self) -> Self { libm::lgamma(self as f64) as $t }
    fn digamma<I: Isa>(self) -> Self { let x = self as f64; ((libm::lgamma(x + 1e-6) - libm::lgamma(x - 1e-6)) / 2e-6) as $t }
    fn polygamma<I: Isa>(n: Self, x: Self) -> Self { let _ = n; x } fn pow<I: Isa>(self, e: Self) -> Self { self.powf(e) }
})*} }
imp!(f32, f64);
