//! The product of a matrix and a vector, or a few of them, on one thread. A number of the matrix is
//! used so rarely that packing it would cost more than it gains: it is read as it lies, as fast as
//! memory gives it.
//!
//! Where the numbers of A's rows lie side by side, elements of C are sums over lanes ([`dots`]);
//! where those of its columns do, C is a sum of scaled columns ([`columns`]). In which order an
//! element is summed depends on the depth alone: how C is cut into parts does not change its bits.

use super::gemm::{Matrix, Product, Real, Run, Stack};
use super::vectors::{Lanes, Portable, ROWS};
use crate::lanes::Level;

/// Columns that are added up in registers, and then to sums in memory.
const COLUMNS: usize = 8;

/// Columns after which the sums are added to C, a multiple of the above. (One long sum would lose
/// digits.)
const DEPTH: usize = 256;

/// Bytes of a matrix from which on it is read in several streams.
const STREAMS: usize = 32 * 1024;

/// Bytes of such sums: they are to stay in the first cache.
const NEAR: usize = 8192;

/// Whether a product of `[rows, depth] x [depth, columns]` is faster here, turned so that its columns are
/// the few. Whoever cuts it into parts asks for the whole: sums have another order than in `gemm.rs`.
pub(super) fn is_faster([rows, depth, columns]: [usize; 3]) -> bool {
    let few = rows.min(columns);
    few == 1 || few < 4 && depth >= 32
}

/// Bytes of memory that [`run`] needs.
pub(super) fn scratch<T: Real>(p: &Product<T>) -> usize {
    match p.a.column == 1 {
        // Sums, filled up to whole registers.
        _ if by_columns(p) => p.columns * (NEAR.min(p.rows * size_of::<T>()) + 64),
        true if p.b.row == 1 => 0,
        true => p.columns * p.depth * size_of::<T>(),
        false => p.scratch(),
    }
}

/// Whether the numbers of A's columns lie side by side. (Where those of rows do as well, there mostly is
/// one row, or one column.)
fn by_columns<T>(p: &Product<T>) -> bool {
    p.a.row == 1 && (p.a.column != 1 || p.depth == 1)
}

/// Computes each C, of few columns.
///
/// # Safety
/// As for [`Stack::run`], with `scratch` as large as [`scratch`] says.
pub(super) unsafe fn run<T: ByVector>(s: &Stack<T>, scratch: *mut u8) {
    // SAFETY: the caller's promise; the machine has this level.
    unsafe { run_on(Level::detect(), s, scratch) }
}

/// # Safety
/// As above, and the machine has this level.
unsafe fn run_on<T: ByVector>(level: Level, s: &Stack<T>, scratch: *mut u8) {
    // SAFETY: the caller's promise.
    unsafe {
        match by_columns(&s.first) || s.first.a.column == 1 {
            true => T::by_vector(level)(s, scratch.cast()),
            false => s.run_on(level, scratch),
        }
    }
}

/// A number type that products with vectors are computed in.
pub(super) trait ByVector: Real {
    fn by_vector(level: Level) -> Run<Self>;
}

/// A whole product, whose A lies in one of these two ways.
#[inline(always)]
unsafe fn product<T: Real, V: Lanes<T>>(p: &Product<T>, scratch: *mut T) {
    // SAFETY: the caller's promise; the scratch has room for B, or for sums.
    unsafe {
        match by_columns(p) {
            true => columns::<T, V>(p, scratch),
            // (The compiler makes less of the loop over columns.)
            false if p.columns == 1 => dots::<T, V>(p, 1, scratch),
            false => dots::<T, V>(p, p.columns, scratch),
        }
    }
}

/// Elements of C as sums over lanes, several rows at a time.
#[inline(always)]
unsafe fn dots<T: Real, V: Lanes<T>>(p: &Product<T>, columns: usize, scratch: *mut T) {
    // SAFETY: the caller's promise; offsets stay inside of the matrices, the scratch has room for B.
    unsafe {
        let (mut b, mut column) = (p.b.at.cast_const(), p.b.column);
        if p.b.row != 1 {
            for (j, k) in (0..p.columns).flat_map(|j| (0..p.depth).map(move |k| (j, k))) {
                *scratch.add(j * p.depth + k) = *p.b.offset(k, j).at;
            }
            (b, column) = (scratch, p.depth as isize);
        }
        // Rows far from each other: memory comes faster in several streams than in one. But streams
        // that soon end are not foreseen.
        let groups = p.rows.div_ceil(ROWS);
        let (step, apart) = match p.rows * p.depth * size_of::<T>() < STREAMS {
            true => (ROWS, 1),
            false => (1, groups),
        };
        for first in (0..groups).map(|i| i * step) {
            let rows = match first + (ROWS - 1) * apart < p.rows {
                true => ROWS,
                false => (p.rows - first).div_ceil(apart),
            };
            // If there are fewer, the last one is summed again.
            let a: [*const T; ROWS] = std::array::from_fn(|i| {
                let row = first + i.min(rows - 1) * apart;
                p.a.offset(row, 0).at.cast_const()
            });
            for j in 0..columns {
                let sums = dot::<T, V>(a, b.offset(j as isize * column), p.depth);
                let mut c = p.c.offset(first, j);
                c.row *= apart as isize;
                match rows == ROWS {
                    true => write(&sums, c, p.add),
                    false => write(&sums[..rows], c, p.add),
                }
            }
        }
    }
}

/// The products of rows with one column.
#[allow(clippy::needless_range_loop)]
#[inline(always)]
unsafe fn dot<T: Real, V: Lanes<T>>(a: [*const T; ROWS], x: *const T, depth: usize) -> [T; ROWS] {
    /// Sums of each row: a product does not wait for the one before.
    const SUMS: usize = 2;
    // SAFETY: rows and column have `depth` numbers.
    unsafe {
        let mut sum = [[V::splat(T::ZERO); SUMS]; ROWS];
        let whole = depth - depth % (SUMS * V::LANES);
        for k in (0..whole).step_by(SUMS * V::LANES) {
            for s in 0..SUMS {
                let k = k + s * V::LANES;
                let x = V::load(x.add(k));
                for i in 0..ROWS {
                    sum[i][s] = sum[i][s].plus_product(V::load(a[i].add(k)), x);
                }
            }
        }
        for s in 0..SUMS {
            let k = whole + s * V::LANES;
            if k + V::LANES <= depth {
                let x = V::load(x.add(k));
                for i in 0..ROWS {
                    sum[i][s] = sum[i][s].plus_product(V::load(a[i].add(k)), x);
                }
            } else if k < depth {
                let n = depth - k;
                let x = V::load_first(x.add(k), n);
                for i in 0..ROWS {
                    sum[i][s] = sum[i][s].plus_product(V::load_first(a[i].add(k), n), x);
                }
            }
        }
        V::sums(sum.map(|[even, odd]| even.plus(odd)))
    }
}

/// C as a sum of scaled columns, stretch by stretch of C.
#[inline(always)]
unsafe fn columns<T: Real, V: Lanes<T>>(p: &Product<T>, scratch: *mut T) {
    let most = NEAR / size_of::<T>();
    // Together go columns that are far from each other, as above: but which, the depth says.
    let apart = p.depth / COLUMNS;
    for first in (0..apart.max(1)).step_by(DEPTH / COLUMNS) {
        let next = apart.min(first + DEPTH / COLUMNS);
        // What is left of the depth.
        let left = match next == apart {
            true => COLUMNS * apart..p.depth,
            false => 0..0,
        };
        for top in (0..p.rows).step_by(most) {
            let rows = most.min(p.rows - top);
            let room = rows.next_multiple_of(V::LANES);
            // SAFETY: the caller's promise; the scratch has room for sums of `rows`, filled up to
            // whole registers, for each column of C.
            unsafe {
                let sums = std::slice::from_raw_parts_mut(scratch, p.columns * room);
                sums.fill(T::ZERO);
                for k in first..next {
                    for (j, sums) in sums.chunks_exact_mut(room).enumerate() {
                        let (a, x) = (p.a.offset(top, k), p.b.offset(k, j));
                        scaled::<T, V, COLUMNS>(a, x, apart, sums, rows);
                    }
                }
                for k in left.clone() {
                    for (j, sums) in sums.chunks_exact_mut(room).enumerate() {
                        let (a, x) = (p.a.offset(top, k), p.b.offset(k, j));
                        scaled::<T, V, 1>(a, x, 0, sums, rows);
                    }
                }
                for (j, sums) in sums.chunks_exact(room).enumerate() {
                    write(&sums[..rows], p.c.offset(top, j), p.add || first > 0);
                }
            }
        }
    }
}

/// Adds `N` scaled columns, each `apart` behind the one before, to sums of `rows` elements.
#[inline(always)]
unsafe fn scaled<T: Real, V: Lanes<T>, const N: usize>(
    a: Matrix<T>,
    x: Matrix<T>,
    apart: usize,
    sums: &mut [T],
    rows: usize,
) {
    // SAFETY: A has `rows` rows and these columns, the vector as many numbers; sums are whole registers.
    unsafe {
        let column: [*const T; N] = std::array::from_fn(|k| a.offset(0, k * apart).at.cast_const());
        let x: [V; N] = std::array::from_fn(|k| V::splat(*x.offset(k * apart, 0).at));
        let whole = rows - rows % V::LANES;
        for i in (0..whole).step_by(V::LANES) {
            // Not onto the sum: of few rows, one column would wait for the other.
            let mut sum = V::splat(T::ZERO);
            for k in 0..N {
                sum = sum.plus_product(V::load(column[k].add(i)), x[k]);
            }
            let to = sums.as_mut_ptr().add(i);
            V::load(to).plus(sum).store(to);
        }
        if whole < rows {
            let mut sum = V::splat(T::ZERO);
            for k in 0..N {
                let part = V::load_first(column[k].add(whole), rows - whole);
                sum = sum.plus_product(part, x[k]);
            }
            let to = sums.as_mut_ptr().add(whole);
            V::load(to).plus(sum).store(to);
        }
    }
}

/// Writes or adds sums to a column of C.
#[inline(always)]
unsafe fn write<T: Real>(sums: &[T], c: Matrix<T>, add: bool) {
    let to = |i: usize| c.offset(i, 0).at;
    // SAFETY: the caller's promise: C has as many rows.
    unsafe {
        match add {
            true => (0..sums.len()).for_each(|i| *to(i) = *to(i) + sums[i]),
            false if c.row == 1 => c.at.copy_from_nonoverlapping(sums.as_ptr(), sums.len()),
            false => (0..sums.len()).for_each(|i| *to(i) = sums[i]),
        }
    }
}

/// The loop of one vector type, compiled for its instruction set.
macro_rules! compiled {
    ($t:ident, $v:ty $(, $features:literal)?) => {{
        $(#[target_feature(enable = $features)])?
        unsafe fn compiled(s: &Stack<$t>, scratch: *mut $t) {
            for p in s.each() {
                // SAFETY: the caller's promise.
                unsafe { product::<$t, $v>(&p, scratch) }
            }
        }
        compiled
    }};
}

macro_rules! by_vector {
    ($($t:ident: $avx2:ident $portable:ty;)*) => {$(
        impl ByVector for $t {
            fn by_vector(level: Level) -> Run<$t> {
                match level {
                    // Wider registers would wait for memory as well.
                    #[cfg(target_arch = "x86_64")]
                    Level::Avx2 | Level::Avx512 => {
                        compiled!($t, std::arch::x86_64::$avx2, "avx2,fma")
                    }
                    _ => compiled!($t, $portable),
                }
            }
        }
    )*};
}
by_vector! {
    f32: __m256 Portable<f32, 4>;
    f64: __m256d Portable<f64, 2>;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exec::cpu::gemm::tests::{check, check_parts};
    use crate::philox::uniform_f32;

    /// As in `gemm.rs`: sizes around edges, all ways in which matrices lie, exact sums.
    #[test]
    fn products_with_vectors_are_exact_at_every_edge() {
        let sizes = [
            1, 2, 3, 4, 5, 7, 8, 9, 10, 15, 16, 17, 31, 33, 50, 63, 97, 255, 257, 264, 530, 2100,
        ];
        for level in Level::here() {
            for case in 0..1500 {
                let [a, b, c, d] = uniform_f32(1, case, 0);
                let [e, f, ..] = uniform_f32(1, case, 1);
                let any = |x: f32, n: usize| (x * n as f32) as usize;
                let [rows, depth] = [a, b].map(|x| sizes[any(x, sizes.len())]);
                let columns = 1 + any(f, 6).saturating_sub(3);
                let (sizes, lies) = ([rows, depth, columns], [c, d, e].map(|x| any(x, 5)));
                // SAFETY: the machine has the level.
                check::<f32>(sizes, lies, case as i64, scratch, |p, s| unsafe {
                    run_on(level, &p.alone(), s)
                });
                // SAFETY: as above.
                check::<f64>(sizes, lies, case as i64, scratch, |p, s| unsafe {
                    run_on(level, &p.alone(), s)
                });
            }
        }
    }

    #[test]
    fn parts_of_c_have_the_bits_of_the_whole() {
        for (rows, depth) in [(37, 10), (101, 777), (4100, 300)] {
            for (level, turned) in Level::here()
                .into_iter()
                .flat_map(|l| [(l, false), (l, true)])
            {
                let turned = [turned, false, false];
                check_parts([rows, depth, 1], turned, scratch, |s, memory| unsafe {
                    // SAFETY: the machine has the level.
                    run_on(level, s, memory)
                });
            }
        }
    }
}
