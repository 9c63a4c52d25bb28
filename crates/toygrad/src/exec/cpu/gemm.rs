//! The matrix product of one stack of memory: `C = A B` with packed panels and a register tile, in
//! the manner of BLIS (Van Zee & van de Geijn 2015).
//!
//! B is packed into panels of as many columns as the register tile has, [`DEPTH`] rows deep, so
//! that a panel stays in the first cache while strips of A pass by. A is read where it lies if its
//! rows are contiguous, else packed strip by strip. An element of C is the sum of its products in
//! the order of k, whatever the tiles: results do not depend on how work is shared out.

use crate::lanes::Level;

/// Rows of a panel of B.
pub(super) const DEPTH: usize = 256;

/// Strips of A between which a panel stays in the first cache.
const NEAR: usize = 32;

/// A strided matrix.
#[derive(Clone, Copy)]
pub(super) struct Matrix<T> {
    pub at: *mut T,
    /// Elements between rows, and between columns.
    pub strides: [isize; 2],
}

// SAFETY: what threads do with it is the concern of those who read and write through it.
unsafe impl<T> Send for Matrix<T> {}
unsafe impl<T> Sync for Matrix<T> {}

impl<T> Matrix<T> {
    pub fn offset(self, row: usize, column: usize) -> Matrix<T> {
        let at = row as isize * self.strides[0] + column as isize * self.strides[1];
        Matrix {
            at: self.at.wrapping_offset(at),
            ..self
        }
    }

    pub fn transposed(self) -> Matrix<T> {
        let [rows, columns] = self.strides;
        Matrix {
            strides: [columns, rows],
            ..self
        }
    }
}

/// A product of `rows` x `depth` and `depth` x `columns`, where `depth` is at most [`DEPTH`] and B
/// is packed.
pub(super) struct Block<T> {
    pub a: Matrix<T>,
    /// Panels of B, one after the other.
    pub panels: *const T,
    pub c: Matrix<T>,
    pub rows: usize,
    pub depth: usize,
    pub columns: usize,
    /// Whether C is added to, not overwritten.
    pub add: bool,
}

/// The loops for one number type and instruction set.
pub(super) struct Loops<T> {
    /// Columns of a panel.
    pub width: usize,
    /// Rows of a strip.
    pub height: usize,
    /// `block(what, strip)`: `strip` has room for [`DEPTH`] x `height`, for strips of A whose rows
    /// are not contiguous.
    pub block: unsafe fn(&Block<T>, *mut T),
    /// `pack(b, depth, columns, to)`: one panel, filled up with zeros.
    pub pack: unsafe fn(Matrix<T>, usize, usize, *mut T),
}

/// A number type that products are computed in.
pub(super) trait Real: Copy + Send + Sync + std::ops::Add<Output = Self> + 'static {
    const ZERO: Self;
    fn loops(level: Level) -> Loops<Self>;
}

/// A vector register.
trait Vector<T>: Copy {
    const LANES: usize;
    unsafe fn splat(x: T) -> Self;
    unsafe fn load(from: *const T) -> Self;
    unsafe fn store(self, to: *mut T);
    /// `self + a * b`
    unsafe fn plus_product(self, a: Self, b: Self) -> Self;
    unsafe fn plus(self, other: Self) -> Self;
}

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;

#[cfg(target_arch = "x86_64")]
macro_rules! vectors {
    ($($v:ident of $lanes:literal $t:ident: $splat:ident $load:ident $store:ident $fma:ident $add:ident;)*) => {$(
        impl Vector<$t> for $v {
            const LANES: usize = $lanes;
            // SAFETY of all: the caller's promise (the instruction set, and valid addresses).
            #[inline(always)] unsafe fn splat(x: $t) -> Self { unsafe { $splat(x) } }
            #[inline(always)] unsafe fn load(from: *const $t) -> Self { unsafe { $load(from) } }
            #[inline(always)] unsafe fn store(self, to: *mut $t) { unsafe { $store(to, self) } }
            #[inline(always)] unsafe fn plus_product(self, a: Self, b: Self) -> Self { unsafe { $fma(a, b, self) } }
            #[inline(always)] unsafe fn plus(self, other: Self) -> Self { unsafe { $add(self, other) } }
        }
    )*};
}

#[cfg(target_arch = "x86_64")]
vectors! {
    __m256 of 8 f32: _mm256_set1_ps _mm256_loadu_ps _mm256_storeu_ps _mm256_fmadd_ps _mm256_add_ps;
    __m256d of 4 f64: _mm256_set1_pd _mm256_loadu_pd _mm256_storeu_pd _mm256_fmadd_pd _mm256_add_pd;
    __m512 of 16 f32: _mm512_set1_ps _mm512_loadu_ps _mm512_storeu_ps _mm512_fmadd_ps _mm512_add_ps;
    __m512d of 8 f64: _mm512_set1_pd _mm512_loadu_pd _mm512_storeu_pd _mm512_fmadd_pd _mm512_add_pd;
}

/// The register of machines that we have no intrinsics for: the compiler finds one.
#[derive(Clone, Copy)]
struct Portable<T, const N: usize>([T; N]);

macro_rules! portable {
    ($($t:ident $n:literal;)*) => {$(
        impl Vector<$t> for Portable<$t, $n> {
            const LANES: usize = $n;
            #[inline(always)] unsafe fn splat(x: $t) -> Self { Portable([x; $n]) }
            #[inline(always)] unsafe fn load(from: *const $t) -> Self {
                // SAFETY: the caller's promise.
                Portable(unsafe { from.cast::<[$t; $n]>().read_unaligned() })
            }
            #[inline(always)] unsafe fn store(self, to: *mut $t) {
                // SAFETY: the caller's promise.
                unsafe { to.cast::<[$t; $n]>().write_unaligned(self.0) }
            }
            #[inline(always)] unsafe fn plus_product(self, a: Self, b: Self) -> Self {
                Portable(std::array::from_fn(|i| match cfg!(target_arch = "aarch64") {
                    true => a.0[i].mul_add(b.0[i], self.0[i]),
                    // Without the instruction it would be a call.
                    false => self.0[i] + a.0[i] * b.0[i],
                }))
            }
            #[inline(always)] unsafe fn plus(self, other: Self) -> Self {
                Portable(std::array::from_fn(|i| self.0[i] + other.0[i]))
            }
        }
    )*};
}
portable! { f32 4; f64 2; }

/// `H` rows of a strip times one panel: the tile of C stays in registers.
#[inline(always)]
unsafe fn tile<T: Real, V: Vector<T>, const H: usize>(
    b: &Block<T>,
    a: Matrix<T>,
    panel: *const T,
    c: Matrix<T>,
    columns: usize,
) {
    // SAFETY: the strip has H rows, the panel 2 * LANES columns, both `depth` deep; C has H rows
    // and `columns` columns.
    unsafe {
        let mut sum = [[V::splat(T::ZERO); 2]; H];
        let [row, column] = a.strides;
        for k in 0..b.depth {
            let panel = panel.add(k * 2 * V::LANES);
            let right = [V::load(panel), V::load(panel.add(V::LANES))];
            let left = a.at.offset(k as isize * column);
            for (i, sum) in sum.iter_mut().enumerate() {
                let left = V::splat(*left.offset(i as isize * row));
                sum[0] = sum[0].plus_product(left, right[0]);
                sum[1] = sum[1].plus_product(left, right[1]);
            }
        }
        if columns == 2 * V::LANES && c.strides[1] == 1 {
            for (i, sum) in sum.iter().enumerate() {
                for (half, sum) in sum.iter().enumerate() {
                    let to = c.offset(i, half * V::LANES).at;
                    let sum = if b.add { V::load(to).plus(*sum) } else { *sum };
                    sum.store(to);
                }
            }
            return;
        }
        let mut line = [T::ZERO; 32];
        for (i, sum) in sum.iter().enumerate() {
            sum[0].store(line.as_mut_ptr());
            sum[1].store(line.as_mut_ptr().add(V::LANES));
            for (j, &x) in line[..columns].iter().enumerate() {
                let to = c.offset(i, j).at;
                *to = if b.add { *to + x } else { x };
            }
        }
    }
}

/// A strip of A, from row `first`, times one panel. (Not a closure: those do not inherit the
/// instruction set.)
#[inline(always)]
unsafe fn strip<T: Real, V: Vector<T>, const H: usize>(
    b: &Block<T>,
    first: usize,
    a: Matrix<T>,
    panel: usize,
) {
    let width = 2 * V::LANES;
    let columns = width.min(b.columns - panel * width);
    let c = b.c.offset(first, panel * width);
    // SAFETY: the caller's promise; panels follow each other.
    unsafe {
        let from = b.panels.add(panel * width * b.depth);
        match b.rows - first {
            rows if rows >= H => tile::<T, V, H>(b, a, from, c, columns),
            1 => tile::<T, V, 1>(b, a, from, c, columns),
            2 => tile::<T, V, 2>(b, a, from, c, columns),
            3 => tile::<T, V, 3>(b, a, from, c, columns),
            4 => tile::<T, V, 4>(b, a, from, c, columns),
            5 => tile::<T, V, 5>(b, a, from, c, columns),
            6 => tile::<T, V, 6>(b, a, from, c, columns),
            _ => tile::<T, V, 7>(b, a, from, c, columns),
        }
    }
}

#[inline(always)]
unsafe fn block<T: Real, V: Vector<T>, const H: usize>(b: &Block<T>, scratch: *mut T) {
    let panels = b.columns.div_ceil(2 * V::LANES);
    let [row, column] = b.a.strides;
    // SAFETY: the caller's promise; the scratch has room for DEPTH x H.
    unsafe {
        if column == 1 {
            // As many rows at a time as stay in the second cache.
            for from in (0..b.rows).step_by(NEAR * H) {
                for panel in 0..panels {
                    for first in (from..b.rows.min(from + NEAR * H)).step_by(H) {
                        strip::<T, V, H>(b, first, b.a.offset(first, 0), panel);
                    }
                }
            }
            return;
        }
        // Strips are the outer loop, so that each is packed once.
        for first in (0..b.rows).step_by(H) {
            let rows = H.min(b.rows - first);
            let a = b.a.offset(first, 0);
            for k in 0..b.depth {
                let (from, to) = (a.at.offset(k as isize * column), scratch.add(k * H));
                if rows == H && row == 1 {
                    let line = from.cast::<[T; H]>().read_unaligned();
                    to.cast::<[T; H]>().write_unaligned(line);
                } else {
                    for i in 0..rows {
                        *to.add(i) = *from.offset(i as isize * row);
                    }
                }
            }
            let packed = Matrix {
                at: scratch,
                strides: [1, H as isize],
            };
            for panel in 0..panels {
                strip::<T, V, H>(b, first, packed, panel);
            }
        }
    }
}

#[inline(always)]
unsafe fn pack<T: Real, const W: usize>(b: Matrix<T>, depth: usize, columns: usize, to: *mut T) {
    const SQUARE: usize = 8;
    let [row, column] = b.strides;
    // SAFETY: `to` has room for depth x W; B has `depth` rows and `columns` columns.
    unsafe {
        match (row, column) {
            (_, 1) if columns == W => {
                for k in 0..depth {
                    let line = b.at.offset(k as isize * row).cast::<[T; W]>();
                    to.add(k * W)
                        .cast::<[T; W]>()
                        .write_unaligned(line.read_unaligned());
                }
            }
            (1, _) if columns == W && W.is_multiple_of(SQUARE) => {
                // Squares are turned around in registers.
                let mut k = 0;
                while k + SQUARE <= depth {
                    for j in (0..W).step_by(SQUARE) {
                        let from = b.at.add(k).wrapping_offset(j as isize * column);
                        let square: [[T; SQUARE]; SQUARE] = std::array::from_fn(|j| {
                            let line = from.offset(j as isize * column);
                            line.cast::<[T; SQUARE]>().read_unaligned()
                        });
                        for i in 0..SQUARE {
                            let line: [T; SQUARE] = square.map(|line| line[i]);
                            let to = to.add((k + i) * W + j);
                            to.cast::<[T; SQUARE]>().write_unaligned(line);
                        }
                    }
                    k += SQUARE;
                }
                for k in k..depth {
                    for j in 0..W {
                        *to.add(k * W + j) = *b.offset(k, j).at;
                    }
                }
            }
            _ => {
                for k in 0..depth {
                    let line = std::slice::from_raw_parts_mut(to.add(k * W), W);
                    for (j, x) in line.iter_mut().enumerate() {
                        *x = if j < columns {
                            *b.offset(k, j).at
                        } else {
                            T::ZERO
                        };
                    }
                }
            }
        }
    }
}

/// The loops of one vector type, compiled for its instruction set.
macro_rules! loops {
    ($name:ident, $t:ident, $v:ty, $height:literal, $width:literal $(, $features:literal)?) => {{
        $(#[target_feature(enable = $features)])?
        unsafe fn whole(b: &Block<$t>, strip: *mut $t) {
            // SAFETY: the caller's promise.
            unsafe { block::<$t, $v, $height>(b, strip) }
        }
        $(#[target_feature(enable = $features)])?
        unsafe fn panel(b: Matrix<$t>, depth: usize, columns: usize, to: *mut $t) {
            // SAFETY: the caller's promise.
            unsafe { pack::<$t, $width>(b, depth, columns, to) }
        }
        Loops { width: $width, height: $height, block: whole, pack: panel }
    }};
}

macro_rules! real {
    ($t:ident: $avx2:ty, $avx512:ty, $portable:ty; $w2:literal $w5:literal $wp:literal) => {
        impl Real for $t {
            const ZERO: Self = 0.0;
            fn loops(level: Level) -> Loops<$t> {
                match level {
                    // A level is only ever made where the machine has it.
                    #[cfg(target_arch = "x86_64")]
                    Level::Avx2 => loops!(avx2, $t, $avx2, 6, $w2, "avx2,fma"),
                    #[cfg(target_arch = "x86_64")]
                    Level::Avx512 => loops!(avx512, $t, $avx512, 8, $w5, "avx512f,avx2,fma"),
                    _ => loops!(portable, $t, $portable, 6, $wp),
                }
            }
        }
    };
}
#[cfg(target_arch = "x86_64")]
real! { f32: __m256, __m512, Portable<f32, 4>; 16 32 8 }
#[cfg(target_arch = "x86_64")]
real! { f64: __m256d, __m512d, Portable<f64, 2>; 8 16 4 }
#[cfg(not(target_arch = "x86_64"))]
real! { f32: (), (), Portable<f32, 4>; 0 0 8 }
#[cfg(not(target_arch = "x86_64"))]
real! { f64: (), (), Portable<f64, 2>; 0 0 4 }
