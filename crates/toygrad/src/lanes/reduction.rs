//! Reductions: loops that combine the elements of rows, and rows with each other.

use super::{BLOCK, Lane, Level, Number};
use crate::DType;
use crate::math::{Fused, Isa, Plain};
use std::hint::black_box;

/// A loop that combines rows with what is at the destination: `count` rows of `len` elements, which
/// lie one after the other, each `apart` elements further in the destination. (Rows are often short:
/// a call for each would cost more than they do.)
///
/// # Safety
/// The pointers are valid for these elements and do not overlap.
pub(crate) type Combining =
    unsafe fn(src: *const u8, dst: *mut u8, len: usize, count: usize, apart: isize);

/// How elements that meet in a reduction are combined.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Reduction {
    Sum,
    Max,
    Min,
}

/// [`Reduction`] of two elements.
pub(crate) trait Combine<T: Lane> {
    fn combine(a: T, b: T) -> T;
}

struct Sums;
struct Largest;
struct Smallest;

impl<T: Number> Combine<T> for Sums {
    #[inline(always)]
    fn combine(a: T, b: T) -> T {
        a.add(b)
    }
}
impl<T: Number> Combine<T> for Largest {
    #[inline(always)]
    fn combine(a: T, b: T) -> T {
        a.maximum(b)
    }
}
impl<T: Number> Combine<T> for Smallest {
    #[inline(always)]
    fn combine(a: T, b: T) -> T {
        a.minimum(b)
    }
}

levels! {
    /// Combines each row into one element, in a fixed order: [`BLOCK`] running results side by side,
    /// which are then combined by halves; what is left in the same way by 4.
    along<C: Combine<T>, T: Lane> -> Combining
        = run_along(src: *const u8, dst: *mut u8, len: usize, count: usize, apart: isize)
        up to avx2
}

/// [`along`], for long rows by AVX-512 where that is there: comparing, a step waits for the one before,
/// and takes as long with wider registers. (Of short rows the compiler makes less with them.)
fn along_widely<C: Combine<T>, T: Lane>(level: Level) -> Combining {
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,bmi1,bmi2")]
    unsafe fn wide<C: Combine<T>, T: Lane>(
        src: *const u8,
        dst: *mut u8,
        len: usize,
        count: usize,
        apart: isize,
    ) {
        if len <= SHORT {
            // SAFETY: the caller's promise; what has AVX-512 has AVX2.
            return unsafe { along::<C, T>(Level::Avx2)(src, dst, len, count, apart) };
        }
        // SAFETY: as above.
        unsafe { each_row::<C, T>(src.cast(), dst.cast(), len, count, apart) };
    }
    match level {
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 => wide::<C, T>,
        _ => along::<C, T>(level),
    }
}

levels! {
    /// Combines each row with as many elements.
    across<C: Combine<T>, T: Lane> -> Combining
        = run_across(src: *const u8, dst: *mut u8, len: usize, count: usize, apart: isize)
        up to avx2
}

#[inline(always)]
unsafe fn run_along<C: Combine<T>, T: Lane, I: Isa>(
    src: *const u8,
    dst: *mut u8,
    len: usize,
    count: usize,
    apart: isize,
) {
    let (mut src, mut dst) = (src.cast::<T>(), dst.cast::<T>());
    let mut left = count;
    // (Machines of x86-64 without AVX2 are few and old: less code for them.)
    let blocks = len.is_multiple_of(BLOCK) && (BLOCK..=SHORT).contains(&len);
    let fours = len.is_multiple_of(4) && (4..BLOCK).contains(&len);
    while I::FMA && left >= ROWS && (blocks || fours) {
        // SAFETY: there are so many rows of whole blocks, or of whole fours, and as many elements.
        unsafe {
            let rows = match blocks {
                true => {
                    let mut four = [[T::ZERO; 4]; ROWS];
                    for (r, four) in four.iter_mut().enumerate() {
                        *four = along_to_four::<C, T>(src.add(r * len), len);
                    }
                    // The compiler would join the steps by shuffles of single numbers.
                    along_rows::<C, T>(black_box(four).as_ptr().cast(), 4)
                }
                false => along_rows::<C, T>(src, len),
            };
            for row in rows {
                *dst = C::combine(*dst, row);
                dst = dst.wrapping_offset(apart);
            }
        }
        src = src.wrapping_add(ROWS * len);
        left -= ROWS;
    }
    macro_rules! short {
        ($len:literal) => {
            while I::FMA && left >= ROWS {
                // SAFETY: there are so many rows, and as many elements.
                unsafe {
                    let rows = src.cast::<[[T; $len]; ROWS]>().read_unaligned();
                    for row in rows {
                        *dst = row.into_iter().fold(*dst, C::combine);
                        dst = dst.wrapping_offset(apart);
                    }
                }
                src = src.wrapping_add(ROWS * $len);
                left -= ROWS;
            }
        };
    }
    match len {
        2 => short!(2),
        3 => short!(3),
        _ => {}
    }
    // SAFETY: so many rows are left.
    unsafe { each_row::<C, T>(src, dst, len, left, apart) };
}

/// Combines rows one by one.
///
/// # Safety
/// As for [`Combining`].
#[inline(always)]
unsafe fn each_row<C: Combine<T>, T: Lane>(
    mut src: *const T,
    mut dst: *mut T,
    len: usize,
    count: usize,
    apart: isize,
) {
    for _ in 0..count {
        // SAFETY: `dst` is an element, and `src` a row.
        unsafe { *dst = along_row::<C, T>(*dst, src, len) };
        src = src.wrapping_add(len);
        dst = dst.wrapping_offset(apart);
    }
}

/// Elements of a row up to which it is short.
const SHORT: usize = 4 * BLOCK;

/// Short rows that are combined together: what one of them ends with, by halves of halves, would take
/// longer than its elements.
const ROWS: usize = 8;

/// Combines each of [`ROWS`] rows, in the order of [`along_row`].
///
/// # Safety
/// They have `n` elements each, whole fours, and lie one after the other.
#[inline(always)]
unsafe fn along_rows<C: Combine<T>, T: Lane>(src: *const T, n: usize) -> [T; ROWS] {
    let mut runs = [[T::ZERO; 4]; ROWS];
    for (r, run) in runs.iter_mut().enumerate() {
        // SAFETY: r * n + i + 4 <= ROWS * n.
        let load = |i| unsafe { src.add(r * n + i).cast::<[T; 4]>().read_unaligned() };
        *run = load(0);
        let mut i = 4;
        while i < n {
            let x = load(i);
            for k in 0..4 {
                run[k] = C::combine(run[k], x[k]);
            }
            i += 4;
        }
    }
    let mut all = [T::ZERO; ROWS];
    for (all, [a, b, c, d]) in all.iter_mut().zip(runs) {
        *all = C::combine(C::combine(a, c), C::combine(b, d));
    }
    all
}

/// Combines a row of whole blocks, in the order of [`along_row`], until four elements are left.
///
/// # Safety
/// It has `n` elements, at least a block.
#[inline(always)]
unsafe fn along_to_four<C: Combine<T>, T: Lane>(src: *const T, n: usize) -> [T; 4] {
    // SAFETY: i + BLOCK <= n.
    let load = |i| unsafe { src.add(i).cast::<[T; BLOCK]>().read_unaligned() };
    let mut run = load(0);
    let mut i = BLOCK;
    while i < n {
        let x = load(i);
        for k in 0..BLOCK {
            run[k] = C::combine(run[k], x[k]);
        }
        i += BLOCK;
    }
    for half in [BLOCK / 2, BLOCK / 4] {
        for k in 0..half {
            run[k] = C::combine(run[k], run[k + half]);
        }
    }
    [run[0], run[1], run[2], run[3]]
}

/// `all` and the elements of a row combined.
///
/// # Safety
/// The row has `n` elements.
#[inline(always)]
unsafe fn along_row<C: Combine<T>, T: Lane>(mut all: T, src: *const T, n: usize) -> T {
    let mut i = 0;
    macro_rules! side_by_side {
        ($width:expr) => {
            if i + $width <= n {
                // SAFETY: all reads stay under n.
                let load = |i| unsafe { src.add(i).cast::<[T; $width]>().read_unaligned() };
                let mut run = load(i);
                i += $width;
                while i + $width <= n {
                    let x = load(i);
                    for k in 0..$width {
                        run[k] = C::combine(run[k], x[k]);
                    }
                    i += $width;
                }
                // The compiler would begin with the last two numbers, and choose registers of two
                // for all.
                let mut run = black_box(run);
                let mut half = $width / 2;
                while half > 0 {
                    for k in 0..half {
                        run[k] = C::combine(run[k], run[k + half]);
                    }
                    half /= 2;
                }
                all = C::combine(all, run[0]);
            }
        };
    }
    side_by_side!(BLOCK);
    side_by_side!(4);
    while i < n {
        // SAFETY: i < n.
        all = C::combine(all, unsafe { *src.add(i) });
        i += 1;
    }
    all
}

#[inline(always)]
unsafe fn run_across<C: Combine<T>, T: Lane, I: Isa>(
    src: *const u8,
    dst: *mut u8,
    len: usize,
    count: usize,
    apart: isize,
) {
    let (mut src, mut dst) = (src.cast::<T>(), dst.cast::<T>());
    // Rows that meet in the same elements are combined before these are stored.
    let (count, rows) = match apart {
        0 => (1, count),
        _ => (count, 1),
    };
    // Blocks, the last of which may overlap the one before: it is computed before that is stored.
    macro_rules! blocks {
        ($width:expr) => {
            for _ in 0..count {
                // SAFETY: rows and destinations have `len` elements, at least `$width`; they are
                // different memory.
                unsafe {
                    let combined = |i: usize| {
                        let mut y = dst.add(i).cast::<[T; $width]>().read_unaligned();
                        let mut src = src.add(i);
                        for _ in 0..rows {
                            let x = src.cast::<[T; $width]>().read_unaligned();
                            for k in 0..$width {
                                y[k] = C::combine(y[k], x[k]);
                            }
                            src = src.wrapping_add(len);
                        }
                        y
                    };
                    let store = |i, y| dst.add(i).cast::<[T; $width]>().write_unaligned(y);
                    let last = combined(len - $width);
                    let mut i = 0;
                    while i + $width < len {
                        store(i, combined(i));
                        i += $width;
                    }
                    store(len - $width, last);
                }
                src = src.wrapping_add(len * rows);
                dst = dst.wrapping_offset(apart);
            }
        };
    }
    match len {
        0 => {}
        1 => blocks!(1),
        2..4 => blocks!(2),
        4..8 => blocks!(4),
        8..BLOCK => blocks!(8),
        _ => blocks!(BLOCK),
    }
}

/// The loops of a reduction: of elements into one, and of elements each into its own.
pub(crate) fn reduction(
    reduction: Reduction,
    dtype: DType,
    level: Level,
) -> (Combining, Combining) {
    macro_rules! both {
        ($t:ty) => {
            match reduction {
                Reduction::Sum => (along::<Sums, $t>(level), across::<Sums, $t>(level)),
                Reduction::Max => (
                    along_widely::<Largest, $t>(level),
                    across::<Largest, $t>(level),
                ),
                Reduction::Min => (
                    along_widely::<Smallest, $t>(level),
                    across::<Smallest, $t>(level),
                ),
            }
        };
    }
    match dtype {
        DType::Bool | DType::U8 => both!(u8),
        DType::I64 => both!(i64),
        DType::F32 => both!(f32),
        DType::F64 => both!(f64),
    }
}
