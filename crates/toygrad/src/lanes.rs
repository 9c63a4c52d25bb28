//! From a scalar formula to vector loops: one for each dtype and instruction set.

#![allow(unsafe_code)]

use crate::DType;
use crate::math::{Float, Fused, Isa, Plain};

/// A loop over `n` elements, whole blocks of 16: reads the sources, writes the destination, which
/// may be one of them. (What is left of an array is for the caller to fill up: there are more than
/// two thousand such loops to build.)
///
/// # Safety
/// The pointers are valid for `n` elements of the row's types.
pub type Lanes = unsafe fn(src: &[*const u8; 3], dst: *mut u8, n: usize);

/// The instruction sets that loops are compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// What every machine of the architecture has (SSE2, NEON).
    Portable,
    /// x86-64-v3: AVX2 and FMA.
    Avx2,
    /// x86-64-v4: AVX-512.
    Avx512,
}

/// A number that lanes are made of.
pub(crate) trait Lane: Copy + Send + Sync + 'static {
    const ZERO: Self;
}

/// Arithmetic of numeric rows. Whole numbers wrap around.
pub(crate) trait Number: Lane {
    fn add(self, b: Self) -> Self;
    fn sub(self, b: Self) -> Self;
    fn mul(self, b: Self) -> Self;
    fn neg(self) -> Self;
    fn abs(self) -> Self;
    fn sign(self) -> Self;
    fn maximum(self, b: Self) -> Self;
    fn minimum(self, b: Self) -> Self;
    /// Remainder with the divisor's sign; 0 where a whole divisor is 0.
    fn rem<I: Isa>(self, b: Self) -> Self;
    fn relu(self) -> Self;
    fn lt(self, b: Self) -> u8;
    fn le(self, b: Self) -> u8;
    fn eq(self, b: Self) -> u8;
    fn ne(self, b: Self) -> u8;
}

macro_rules! float_number {
    ($($t:ty),*) => {$(
        impl Lane for $t { const ZERO: Self = 0.0; }
        impl Number for $t {
            #[inline(always)] fn add(self, b: Self) -> Self { self + b }
            #[inline(always)] fn sub(self, b: Self) -> Self { self - b }
            #[inline(always)] fn mul(self, b: Self) -> Self { self * b }
            #[inline(always)] fn neg(self) -> Self { -self }
            #[inline(always)] fn abs(self) -> Self { <$t>::abs(self) }
            #[inline(always)] fn sign(self) -> Self {
                let s = if self > 0.0 { 1.0 } else { 0.0 };
                let s = if self < 0.0 { -1.0 } else { s };
                if self.is_nan() { self } else { s }
            }
            // NaN in either gives NaN, as in NumPy and PyTorch. (With `||` reductions would be
            // compiled to registers of two numbers.)
            #[inline(always)] fn maximum(self, b: Self) -> Self {
                if (self <= b) | b.is_nan() { b } else { self }
            }
            #[inline(always)] fn minimum(self, b: Self) -> Self {
                if (self >= b) | b.is_nan() { b } else { self }
            }
            #[inline(always)] fn rem<I: Isa>(self, b: Self) -> Self {
                let q = Float::trunc(self / b);
                // An infinite divisor goes 0 times; 0 times infinity would be NaN.
                let r = self - if q == 0.0 { 0.0 } else { q * b };
                // A quotient too large for its type leaves no digits of the remainder.
                let r = if q.is_infinite() && self.is_finite() && b != 0.0 { 0.0 } else { r };
                if r != 0.0 && (r < 0.0) != (b < 0.0) { r + b } else { r }
            }
            #[inline(always)] fn relu(self) -> Self {
                if self > 0.0 || self.is_nan() { self } else { 0.0 }
            }
            #[inline(always)] fn lt(self, b: Self) -> u8 { (self < b) as u8 }
            #[inline(always)] fn le(self, b: Self) -> u8 { (self <= b) as u8 }
            #[inline(always)] fn eq(self, b: Self) -> u8 { (self == b) as u8 }
            #[inline(always)] fn ne(self, b: Self) -> u8 { (self != b) as u8 }
        }
    )*};
}
float_number!(f32, f64);

macro_rules! whole_number {
    ($($t:ty, $sign:expr;)*) => {$(
        impl Lane for $t { const ZERO: Self = 0; }
        #[allow(unused_comparisons, clippy::absurd_extreme_comparisons)]
        impl Number for $t {
            #[inline(always)] fn add(self, b: Self) -> Self { self.wrapping_add(b) }
            #[inline(always)] fn sub(self, b: Self) -> Self { self.wrapping_sub(b) }
            #[inline(always)] fn mul(self, b: Self) -> Self { self.wrapping_mul(b) }
            #[inline(always)] fn neg(self) -> Self { self.wrapping_neg() }
            #[inline(always)] fn abs(self) -> Self { if self < 0 { self.wrapping_neg() } else { self } }
            #[inline(always)] fn sign(self) -> Self { $sign(self) }
            #[inline(always)] fn maximum(self, b: Self) -> Self { if self >= b { self } else { b } }
            #[inline(always)] fn minimum(self, b: Self) -> Self { if self <= b { self } else { b } }
            #[inline(always)] fn rem<I: Isa>(self, b: Self) -> Self {
                if b == 0 { return 0; }
                let r = self.wrapping_rem(b);
                if r != 0 && (r < 0) != (b < 0) { r.wrapping_add(b) } else { r }
            }
            #[inline(always)] fn relu(self) -> Self { if self > 0 { self } else { 0 } }
            #[inline(always)] fn lt(self, b: Self) -> u8 { (self < b) as u8 }
            #[inline(always)] fn le(self, b: Self) -> u8 { (self <= b) as u8 }
            #[inline(always)] fn eq(self, b: Self) -> u8 { (self == b) as u8 }
            #[inline(always)] fn ne(self, b: Self) -> u8 { (self != b) as u8 }
        }
    )*};
}
whole_number! {
    i64, |x: i64| x.signum();
    u8, |x: u8| (x > 0) as u8;
}

/// A row's formula for one lane.
pub(crate) trait Formula<T: Lane> {
    type Out: Lane;
    const ARITY: usize;
    fn eval<I: Isa>(x: [T; 3]) -> Self::Out;
    /// Whether the formula ends somewhere: [`exact`](Formula::exact) goes on from there.
    const ENDS: bool = false;
    fn is_beyond(_: T) -> bool {
        false
    }
    fn exact(_: T) -> Self::Out {
        Self::Out::ZERO
    }
}

/// Lanes that are loaded, computed and stored together. A block is read whole before it is
/// written, so that the destination may be one of the sources and the loop still vectorises.
pub(crate) const BLOCK: usize = 16;

/// Keeps the compiler from vectorising over blocks, with lanes gathered from one block after the
/// other by shuffles: the lanes of one block are to become vectors. Costs no instruction.
#[inline(always)]
fn block_apart() {
    std::sync::atomic::compiler_fence(std::sync::atomic::Ordering::SeqCst);
}

/// Machines of x86-64 without AVX2 are few and old: their lanes are computed one by one, which
/// is less code to build for everybody.
#[inline(always)]
unsafe fn run<F: Formula<T>, T: Lane, I: Isa>(src: &[*const u8; 3], dst: *mut u8, n: usize) {
    // SAFETY: the caller's promise.
    match cfg!(target_arch = "x86_64") && !I::FMA {
        true => unsafe { run_blocks::<F, T, I, 1>(src, dst, n) },
        false => unsafe { run_blocks::<F, T, I, BLOCK>(src, dst, n) },
    }
}

/// Every line is compiled for each formula, dtype and level, and so are closures and the adaptors of
/// iterators: where lanes are loaded and computed there are none.
#[inline(always)]
unsafe fn run_blocks<F: Formula<T>, T: Lane, I: Isa, const N: usize>(
    src: &[*const u8; 3],
    dst: *mut u8,
    n: usize,
) {
    let src: [*const T; 3] = [src[0].cast(), src[1].cast(), src[2].cast()];
    let dst = dst.cast::<F::Out>();
    let mut x = [[T::ZERO; N]; 3];
    let mut y = [F::Out::ZERO; N];
    let mut i = 0;
    while i + N <= n {
        block_apart();
        let mut k = 0;
        while k < F::ARITY {
            // SAFETY: the sources have n elements and i + N <= n.
            x[k] = unsafe { src[k].add(i).cast::<[T; N]>().read_unaligned() };
            k += 1;
        }
        k = 0;
        while k < N {
            y[k] = F::eval::<I>([x[0][k], x[1][k], x[2][k]]);
            k += 1;
        }
        if F::ENDS {
            let mut beyond = false;
            for &x in &x[0] {
                beyond |= F::is_beyond(x);
            }
            if beyond {
                // Copies, as what has an address does not stay in registers.
                let (from, mut to) = (x[0], y);
                go_beyond::<F, T, N>(&from, &mut to);
                y = to;
            }
        }
        // SAFETY: so does the destination.
        unsafe { dst.add(i).cast::<[F::Out; N]>().write_unaligned(y) };
        i += N;
    }
}

/// What the formula leaves to [`Formula::exact`]. (Inlined, it would take registers from the loop.)
#[cold]
#[inline(never)]
fn go_beyond<F: Formula<T>, T: Lane, const N: usize>(x: &[T; N], y: &mut [F::Out; N]) {
    for (y, &x) in y.iter_mut().zip(x) {
        if F::is_beyond(x) {
            *y = F::exact(x);
        }
    }
}

/// Makes the compilations of a loop up to an instruction set, and picks one. (Reductions, copies
/// and whole numbers gain little from AVX-512, and every loop costs our users time to build.)
macro_rules! levels {
    ($(#[$doc:meta])* $name:ident<$($p:ident: $b:path),*> = $run:ident up to $widest:ident) => {
        levels! {
            $(#[$doc])*
            $name<$($p: $b),*> -> Lanes = $run(src: &[*const u8; 3], dst: *mut u8, n: usize)
                up to $widest
        }
    };
    ($(#[$doc:meta])* $name:ident<$($p:ident: $b:path),*> -> $type:ident
        = $run:ident($($x:ident: $t:ty),*) up to $widest:ident) => {
        $(#[$doc])*
        pub(crate) fn $name<$($p: $b),*>(level: Level) -> $type {
            unsafe fn portable<$($p: $b),*>($($x: $t),*) {
                #[cfg(target_arch = "aarch64")]
                // SAFETY: the caller's promise.
                unsafe { $run::<$($p,)* Fused>($($x),*) };
                #[cfg(not(target_arch = "aarch64"))]
                // SAFETY: the caller's promise.
                unsafe { $run::<$($p,)* Plain>($($x),*) };
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma,bmi1,bmi2")]
            unsafe fn avx2<$($p: $b),*>($($x: $t),*) {
                // SAFETY: the caller's promise.
                unsafe { $run::<$($p,)* Fused>($($x),*) }
            }
            // Compiled only where it is the widest.
            #[allow(dead_code)]
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,bmi1,bmi2")]
            unsafe fn avx512<$($p: $b),*>($($x: $t),*) {
                // SAFETY: the caller's promise.
                unsafe { $run::<$($p,)* Fused>($($x),*) }
            }
            match level {
                Level::Portable => portable::<$($p),*>,
                // A level is only ever made where the machine has it.
                #[cfg(target_arch = "x86_64")]
                Level::Avx2 => avx2::<$($p),*>,
                #[cfg(target_arch = "x86_64")]
                Level::Avx512 => $widest::<$($p),*>,
                #[cfg(not(target_arch = "x86_64"))]
                Level::Avx2 | Level::Avx512 => portable::<$($p),*>,
            }
        }
    };
}

mod pairs;
mod reduction;
pub(crate) use pairs::{First, Then, pair};
pub(crate) use reduction::{Combining, Reduction, reduction};

levels! {
    /// The loop of a formula.
    formula<F: Formula<T>, T: Lane> = run up to avx512
}

levels! {
    /// The same for whole numbers.
    whole_formula<F: Formula<T>, T: Lane> = run up to avx2
}

levels! {
    /// `select`: bytes decide between two numbers.
    select<T: Lane> = run_select up to avx512
}

levels! {
    /// Conversion between dtypes.
    cast<A: CastTo<B>, B: Lane> = run_cast up to avx2
}

#[inline(always)]
unsafe fn run_select<T: Lane, I: Isa>(src: &[*const u8; 3], dst: *mut u8, n: usize) {
    let (c, a, b, dst) = (
        src[0],
        src[1].cast::<T>(),
        src[2].cast::<T>(),
        dst.cast::<T>(),
    );
    let mut i = 0;
    while i + BLOCK <= n {
        block_apart();
        // SAFETY: all have n elements and i + BLOCK <= n.
        unsafe {
            let c = c.add(i).cast::<[u8; BLOCK]>().read_unaligned();
            let a = a.add(i).cast::<[T; BLOCK]>().read_unaligned();
            let mut y = b.add(i).cast::<[T; BLOCK]>().read_unaligned();
            for k in 0..BLOCK {
                y[k] = if c[k] != 0 { a[k] } else { y[k] };
            }
            dst.add(i).cast::<[T; BLOCK]>().write_unaligned(y);
        }
        i += BLOCK;
    }
}

/// Conversion: what a whole number dtype cannot hold is truncated and clamped.
pub(crate) trait CastTo<B: Lane>: Lane {
    fn cast(self) -> B;
}

macro_rules! casts {
    ($($a:ty => $($b:ty),*;)*) => {$($(
        impl CastTo<$b> for $a {
            #[inline(always)] fn cast(self) -> $b { self as $b }
        }
    )*)*};
}
casts! {
    f32 => f32, f64, i64, u8;
    f64 => f32, f64, i64, u8;
    i64 => f32, f64, i64;
    u8 => f32, f64, i64, u8;
}

// Of whole numbers, `as` keeps the lowest bits instead.
impl CastTo<u8> for i64 {
    #[inline(always)]
    fn cast(self) -> u8 {
        self.clamp(0, 255) as u8
    }
}

/// Is it not zero: the conversion to truth values. A type of its own, as bytes have two.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(crate) struct Truth(pub u8);

impl Lane for Truth {
    const ZERO: Self = Truth(0);
}

macro_rules! truths {
    ($($a:ty),*) => {$(
        impl CastTo<Truth> for $a {
            #[inline(always)] fn cast(self) -> Truth { Truth((self != <$a as Lane>::ZERO) as u8) }
        }
    )*};
}
truths!(f32, f64, i64, u8);

#[inline(always)]
unsafe fn run_cast<A: CastTo<B>, B: Lane, I: Isa>(src: &[*const u8; 3], dst: *mut u8, n: usize) {
    let (src, dst) = (src[0].cast::<A>(), dst.cast::<B>());
    for i in 0..n {
        // SAFETY: both have n elements, and do not overlap: a cast changes the element type.
        unsafe { *dst.add(i) = (*src.add(i)).cast() };
    }
}

/// The loop that converts between two different dtypes.
pub(crate) fn conversion(from: DType, to: DType, level: Level) -> Lanes {
    macro_rules! to {
        ($a:ty) => {
            match to {
                DType::Bool => cast::<$a, Truth>(level),
                DType::U8 => cast::<$a, u8>(level),
                DType::I64 => cast::<$a, i64>(level),
                DType::F32 => cast::<$a, f32>(level),
                DType::F64 => cast::<$a, f64>(level),
            }
        };
    }
    match from {
        DType::Bool | DType::U8 => to!(u8),
        DType::I64 => to!(i64),
        DType::F32 => to!(f32),
        DType::F64 => to!(f64),
    }
}

levels! {
    /// The element at the source, `n` times.
    repeat<T: Lane> = run_repeat up to avx2
}

levels! {
    /// Elements of the first source: those at the byte offsets (u32) in the second.
    gather<T: Lane> = run_gather up to avx2
}

#[inline(always)]
unsafe fn run_repeat<T: Lane, I: Isa>(src: &[*const u8; 3], dst: *mut u8, n: usize) {
    // SAFETY: the source is one element, the destination has n.
    unsafe {
        let x = *src[0].cast::<T>();
        (0..n).for_each(|i| *dst.cast::<T>().add(i) = x);
    }
}

#[inline(always)]
unsafe fn run_gather<T: Lane, I: Isa>(src: &[*const u8; 3], dst: *mut u8, n: usize) {
    let dst = dst.cast::<T>();
    let mut i = 0;
    // SAFETY: there are n offsets, of elements, and the destination has room for n.
    unsafe {
        let at = src[1].cast::<u32>();
        let x = |i: usize| *src[0].add(*at.add(i) as usize).cast::<T>();
        // Whole vectors are stored: a load of a vector would wait for stores of its elements.
        while i + 4 <= n {
            let x = [x(i), x(i + 1), x(i + 2), x(i + 3)];
            dst.add(i).cast::<[T; 4]>().write_unaligned(x);
            i += 4;
        }
        while i < n {
            *dst.add(i) = x(i);
            i += 1;
        }
    }
}

/// The loops that bring operands together: one repeated, several gathered.
pub(crate) fn together(dtype: DType, level: Level) -> (Lanes, Lanes) {
    match dtype {
        DType::Bool | DType::U8 => (repeat::<u8>(level), gather::<u8>(level)),
        DType::F32 => (repeat::<f32>(level), gather::<f32>(level)),
        DType::I64 | DType::F64 => (repeat::<f64>(level), gather::<f64>(level)),
    }
}

impl Level {
    /// The best that this machine has.
    pub fn detect() -> Level {
        #[cfg(target_arch = "x86_64")]
        {
            let avx2 = is_x86_feature_detected!("avx2")
                && is_x86_feature_detected!("fma")
                && is_x86_feature_detected!("bmi1")
                && is_x86_feature_detected!("bmi2");
            let avx512 = is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512vl");
            match (avx2, avx512) {
                (true, true) => return Level::Avx512,
                (true, false) => return Level::Avx2,
                _ => {}
            }
        }
        Level::Portable
    }

    /// All that this machine has.
    #[cfg(test)]
    pub(crate) fn here() -> Vec<Level> {
        let all = [Level::Portable, Level::Avx2, Level::Avx512];
        all.into_iter().filter(|&l| l <= Level::detect()).collect()
    }
}
