//! Products of small matrices, mostly many of them, on one thread. What surrounds the few
//! multiplications of each has to cost as little: nothing but a B that lies in columns is packed, and
//! what can be decided for all of them is decided once.
//!
//! An element is summed as in `gemm.rs`, in the order of k, and has the same bits; but that of a single
//! column, if A lies in rows, over lanes as in `gemv.rs`. How C's rows are cut into parts does not change them.

use super::gemm::{Matrix, Product, Real, Run, Stack};
#[cfg(any(test, not(target_arch = "x86_64")))]
use super::vectors::Portable;
use super::vectors::{Lanes, ROWS, Vector};
use crate::lanes::Level;

/// Depth, at most.
const DEPTH: usize = 16;

/// Bytes of a row or column of C, at most: two registers.
const WIDE: usize = 64;

/// Whether products of `[rows, depth] x [depth, columns]`, of numbers of so many bytes, are faster here; those
/// of one row whose B does not lie in rows turned. Whoever cuts one into parts, of rows, asks for the whole.
pub(super) fn is_faster([rows, depth, columns]: [usize; 3], size: usize) -> bool {
    let wide = WIDE / size;
    // A tall A passes by a B that stays in registers. (One column fills none.)
    let tall = columns > 1 && columns <= wide / 2;
    depth <= DEPTH && (tall || rows.max(columns) <= wide)
}

/// Bytes of memory that [`run`] needs.
pub(super) fn scratch<T: Real>(p: &Product<T>) -> usize {
    // Packed rows are whole registers.
    p.scratch().max(WIDE * p.depth)
}

/// Computes each C, of the sizes above.
///
/// # Safety
/// As for [`Stack::run`], with `scratch` as large as [`scratch`] says.
pub(super) unsafe fn run<T: Small>(s: &Stack<T>, scratch: *mut u8) {
    // SAFETY: the caller's promise; the machine has this level.
    unsafe { run_on(Level::detect(), s, scratch) }
}

/// # Safety
/// As above, and the machine has this level.
unsafe fn run_on<T: Small>(level: Level, s: &Stack<T>, scratch: *mut u8) {
    let in_rows = |p: &Product<T>| p.c.column == 1 || p.columns == 1;
    let p = &s.first;
    // (A row that is a part of C is not turned: as a column it might be summed in another order.)
    let turn = !in_rows(p) && p.rows > 1 || p.columns == 1 && p.a.row == 1;
    let narrow = p.rows <= WIDE / size_of::<T>();
    let turned = s.transposed();
    let s = match turn && narrow && in_rows(&turned.first) {
        true => &turned,
        false => s,
    };
    // SAFETY: the caller's promise.
    unsafe {
        match in_rows(&s.first) {
            true => T::small(level)(s, scratch.cast()),
            false => s.run_on(level, scratch),
        }
    }
}

/// A number type that small products are computed in.
pub(super) trait Small: Real {
    fn small(level: Level) -> Run<Self>;
}

/// Products of at most `N` registers' columns, which more than `N - 1` have room for.
#[inline(always)]
unsafe fn products<T: Real, V: Lanes<T>, const N: usize>(s: &Stack<T>, scratch: *mut T) {
    let reads_b = s.first.b.column == 1;
    for p in s.each() {
        // SAFETY: the caller's promise; the scratch has room for rows of two registers.
        unsafe {
            let b = match reads_b {
                true => p.b,
                false => pack::<T, V, N>(&p, scratch),
            };
            let mut i = 0;
            while i + ROWS <= p.rows {
                rows::<T, V, ROWS, N>(&p, b, i);
                i += ROWS;
            }
            match p.rows - i {
                0 => {}
                1 => rows::<T, V, 1, N>(&p, b, i),
                2 => rows::<T, V, 2, N>(&p, b, i),
                _ => rows::<T, V, 3, N>(&p, b, i),
            }
        }
    }
}

/// Products with one column, of A's whose rows lie side by side and fit into `N` registers.
#[allow(clippy::needless_range_loop)]
#[inline(always)]
unsafe fn columns<T: Real, V: Lanes<T>, const N: usize>(s: &Stack<T>) {
    for p in s.each() {
        // SAFETY: the caller's promise; of the last register only what is left of the depth is read.
        unsafe {
            let load = |from: *const T, j: usize| match j == N - 1 {
                true => V::load_first(from.add(j * V::LANES), p.depth - j * V::LANES),
                false => V::load(from.add(j * V::LANES)),
            };
            let mut x = [V::splat(T::ZERO); N];
            for j in 0..N {
                x[j] = load(p.b.at, j);
            }
            for i in (0..p.rows).step_by(ROWS) {
                let mut sum = [V::splat(T::ZERO); ROWS];
                for r in 0..ROWS {
                    // (The last row again, if there are fewer.)
                    let row = p.a.offset((i + r).min(p.rows - 1), 0).at;
                    for j in 0..N {
                        sum[r] = sum[r].plus_product(load(row, j), x[j]);
                    }
                }
                let sum = V::sums(sum);
                for r in 0..ROWS.min(p.rows - i) {
                    let to = p.c.offset(i + r, 0).at;
                    *to = if p.add { *to + sum[r] } else { sum[r] };
                }
            }
        }
    }
}

/// Packs a B whose rows do not lie side by side.
#[inline(always)]
unsafe fn pack<T: Real, V: Vector<T>, const N: usize>(p: &Product<T>, to: *mut T) -> Matrix<T> {
    let width = N * V::LANES;
    for j in 0..p.columns {
        for k in 0..p.depth {
            // SAFETY: the scratch has room for `depth` rows of `width`.
            unsafe { *to.add(k * width + j) = *p.b.offset(k, j).at };
        }
    }
    Matrix {
        at: to,
        row: width as isize,
        column: 1,
    }
}

/// `R` rows of C, from row `i` on.
#[allow(clippy::needless_range_loop)]
#[inline(always)]
unsafe fn rows<T: Real, V: Lanes<T>, const R: usize, const N: usize>(
    p: &Product<T>,
    b: Matrix<T>,
    i: usize,
) {
    let (last, n) = ((N - 1) * V::LANES, p.columns - (N - 1) * V::LANES);
    // SAFETY: the caller's promise: C has these rows; of B's last register only `n` numbers are read.
    unsafe {
        let mut sum = [[V::splat(T::ZERO); N]; R];
        for k in 0..p.depth {
            let from = b.offset(k, 0).at;
            let mut right = [V::load_first(from.add(last), n); N];
            for j in 0..N - 1 {
                right[j] = V::load(from.add(j * V::LANES));
            }
            for r in 0..R {
                let left = V::splat(*p.a.offset(i + r, k).at);
                for j in 0..N {
                    sum[r][j] = sum[r][j].plus_product(left, right[j]);
                }
            }
        }
        for r in 0..R {
            let to = p.c.offset(i + r, 0).at;
            for j in 0..N - 1 {
                let to = to.add(j * V::LANES);
                match p.add {
                    true => V::load(to).plus(sum[r][j]).store(to),
                    false => sum[r][j].store(to),
                }
            }
            let to = to.add(last);
            match p.add {
                true => V::load_first(to, n).plus(sum[r][N - 1]).store_first(to, n),
                false => sum[r][N - 1].store_first(to, n),
            }
        }
    }
}

/// The loop of one vector type, compiled for its instruction set. (What is called here is not gathered in a
/// function: the compiler makes more instructions of that.)
macro_rules! compiled {
    ($t:ident, $v:ty $(, $features:literal)?) => {{
        $(#[target_feature(enable = $features)])?
        unsafe fn compiled(s: &Stack<$t>, scratch: *mut $t) {
            // SAFETY: the caller's promise.
            unsafe {
                let registers = |n: usize| n.div_ceil(<$v as Vector<$t>>::LANES);
                let p = &s.first;
                let column = p.columns == 1 && p.a.column == 1 && p.b.row == 1;
                match (registers(p.columns), registers(p.depth)) {
                    (_, 1) if column => columns::<$t, $v, 1>(s),
                    (_, 2) if column => columns::<$t, $v, 2>(s),
                    (1, _) => products::<$t, $v, 1>(s, scratch),
                    _ => products::<$t, $v, 2>(s, scratch),
                }
            }
        }
        compiled
    }};
}

macro_rules! small {
    ($($t:ident: $avx2:ident $portable:ty;)*) => {$(
        impl Small for $t {
            fn small(level: Level) -> Run<$t> {
                match level {
                    // Wider registers would be filled by less.
                    #[cfg(target_arch = "x86_64")]
                    Level::Avx2 | Level::Avx512 => {
                        compiled!($t, std::arch::x86_64::$avx2, "avx2,fma")
                    }
                    // As in `gemm.rs`: machines without AVX2 are few and old.
                    #[cfg(all(target_arch = "x86_64", not(test)))]
                    Level::Portable => $t::product(level),
                    #[cfg(any(test, not(target_arch = "x86_64")))]
                    _ => compiled!($t, $portable),
                }
            }
        }
    )*};
}
small! {
    f32: __m256 Portable<f32, 8>;
    f64: __m256d Portable<f64, 4>;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exec::cpu::gemm::tests::{check, check_parts};

    /// As in `gemm.rs`: all sizes around edges, all ways in which matrices lie, exact sums.
    #[test]
    fn small_products_are_exact_at_every_edge() {
        let sides = [1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 15, 16, 33];
        let depths = [1, 2, 3, 7, 16];
        for (case, level) in Level::here().into_iter().cycle().take(4000).enumerate() {
            let any = |by: usize, n: usize| case / by % n;
            let sizes = [sides[any(2, 15)], depths[any(7, 5)], sides[any(30, 15)]];
            let lies = [any(3, 5), any(11, 5), any(13, 5)];
            if is_faster(sizes, 4) {
                check::<f32>(sizes, lies, case as i64, scratch, |p, s| unsafe {
                    // SAFETY: the machine has the level.
                    run_on(level, &p.alone(), s)
                });
            }
            if is_faster(sizes, 8) {
                check::<f64>(sizes, lies, case as i64, scratch, |p, s| unsafe {
                    // SAFETY: the machine has the level.
                    run_on(level, &p.alone(), s)
                });
            }
        }
    }

    #[test]
    fn parts_of_c_have_the_bits_of_the_whole() {
        for sizes in [[33, 3, 3], [13, 16, 1], [16, 7, 16], [9, 5, 12]] {
            assert!(is_faster(sizes, 4));
            for (level, lies) in Level::here()
                .into_iter()
                .flat_map(|l| (0..8).map(move |i| (l, i)))
            {
                let turned = [1, 2, 4].map(|bit| lies & bit > 0);
                check_parts(sizes, turned, scratch, |s, memory| unsafe {
                    // SAFETY: the machine has the level.
                    run_on(level, s, memory)
                });
            }
        }
    }
}
