//! The matrix product on one thread: `C = A B`, with packed operands and a tile of C in registers,
//! in the manner of BLIS (Van Zee & van de Geijn, 2015).
//!
//! B is packed into panels of two vector registers' width, A into strips of as many rows as tiles
//! have, both [`DEPTH`] deep at most; each strip then passes by all panels. What tiles can read as
//! it lies is not packed. An element of C is the sum of its products in the order of k, in stretches
//! that depend on the depth alone: how a product is cut into parts of C does not change its bits.

use super::vectors::{Portable, Vector};
use super::{Line, prefetch};
use crate::lanes::Level;
use std::ops::Range;

/// Depth of strips and panels, at most.
const DEPTH: usize = 256;

/// Rows of A that are packed at a time.
const NEAR: usize = 48;

/// Bytes of a row of B that are packed at a time: all panels are to stay in the second cache.
const WIDE: usize = 2048;

/// Bytes of a line of cache.
const LINE: usize = size_of::<Line>();

/// Rows up to which B is read as it lies, where it can be: packing would cost more.
const FEW: usize = 32;

/// A strided matrix.
#[derive(Clone, Copy)]
pub(super) struct Matrix<T> {
    pub at: *mut T,
    /// Elements between rows, and between columns.
    pub row: isize,
    pub column: isize,
}

impl<T> Matrix<T> {
    #[inline(always)]
    pub fn offset(self, row: usize, column: usize) -> Matrix<T> {
        let by = row as isize * self.row + column as isize * self.column;
        Matrix {
            at: self.at.wrapping_offset(by),
            ..self
        }
    }

    pub fn transposed(self) -> Matrix<T> {
        Matrix {
            at: self.at,
            row: self.column,
            column: self.row,
        }
    }
}

/// `C = A B` or `C += A B`, of `[rows, depth] x [depth, columns]`; none of them 0.
#[derive(Clone, Copy)]
pub(super) struct Product<T> {
    pub a: Matrix<T>,
    pub b: Matrix<T>,
    pub c: Matrix<T>,
    pub rows: usize,
    pub depth: usize,
    pub columns: usize,
    pub add: bool,
}

impl<T: Real> Product<T> {
    /// The product whose result is C transposed.
    pub fn transposed(self) -> Product<T> {
        Product {
            a: self.b.transposed(),
            b: self.a.transposed(),
            c: self.c.transposed(),
            rows: self.columns,
            columns: self.rows,
            ..self
        }
    }

    /// Bytes of memory that [`Stack::run`] needs.
    pub fn scratch(&self) -> usize {
        let most = WIDE / size_of::<T>();
        // Strips and panels are filled up: by less than a strip's height, or a panel's width.
        let lines = self.rows.min(NEAR) + self.columns.min(most) + 64;
        lines * self.depth.min(DEPTH) * size_of::<T>()
    }

    /// As a stack of one.
    pub fn alone(self) -> Stack<T> {
        Stack {
            first: self,
            count: 1,
            next: [0; 3],
        }
    }

    /// Whether tiles read A as it lies: along its rows, or if what they read of it stays in cache.
    fn reads_a(&self) -> bool {
        self.a.column == 1 || self.a.row == 1 && self.a.column.unsigned_abs() <= 64
    }
}

/// Products of one shape.
#[derive(Clone, Copy)]
pub(super) struct Stack<T> {
    pub first: Product<T>,
    pub count: usize,
    /// Elements from one A, B and C to the next.
    pub next: [isize; 3],
}

impl<T: Real> Stack<T> {
    /// The products.
    #[inline(always)]
    pub fn each(&self) -> impl Iterator<Item = Product<T>> {
        let Stack { first, next, .. } = *self;
        let mut following = first;
        (0..self.count).map(move |_| {
            let p = following;
            let Product { a, b, c, .. } = &mut following;
            for (matrix, by) in [a, b, c].into_iter().zip(next) {
                // (Or the compiler would keep the address of each row, for all products.)
                matrix.at = opaque(matrix.at.wrapping_offset(by)).cast_mut();
            }
            p
        })
    }

    /// The products whose results are C transposed.
    pub fn transposed(&self) -> Stack<T> {
        let [a, b, c] = self.next;
        Stack {
            first: self.first.transposed(),
            next: [b, a, c],
            ..*self
        }
    }

    /// Computes each C.
    ///
    /// # Safety
    /// The matrices are valid for reading and, C, for writing; a C overlaps nothing. `scratch` is as
    /// large as [`Product::scratch`] says.
    pub unsafe fn run(&self, scratch: *mut u8) {
        // SAFETY: the caller's promise; the machine has this level.
        unsafe { self.run_on(Level::detect(), scratch) }
    }

    /// # Safety
    /// As above, and the machine has this level.
    pub unsafe fn run_on(&self, level: Level, scratch: *mut u8) {
        // Few rows: the transposed product reads B as it lies.
        let p = &self.first;
        let run = T::product(level);
        // SAFETY: the caller's promise.
        unsafe {
            match p.rows < 4 && p.b.row == 1 && p.b.column != 1 {
                true => run(&self.transposed(), scratch.cast()),
                false => run(self, scratch.cast()),
            }
        }
    }
}

/// A loop for whole products.
pub(super) type Run<T> = unsafe fn(&Stack<T>, *mut T);
/// A loop for strips of one height.
type OfHeight<T> = unsafe fn(&Strips<T>);

/// A number type that products are computed in.
pub(super) trait Real: Copy + Send + Sync + std::ops::Add<Output = Self> + 'static {
    const ZERO: Self;
    fn product(level: Level) -> Run<Self>;
}

/// The pointer, of which the compiler does not know where it came from. (`black_box` would take it
/// through memory. The address alone is passed: nothing is read or written through it.)
#[allow(clippy::pointers_in_nomem_asm_block)]
#[inline(always)]
fn opaque<T>(at: *const T) -> *const T {
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    let at = {
        let mut at = at;
        // SAFETY: not an instruction, only a register named.
        unsafe {
            std::arch::asm!("/* {0} */", inout(reg) at, options(pure, nomem, nostack, preserves_flags));
        }
        at
    };
    at
}

/// Almost equal parts of `len` elements, at most `most` long, the longer ones first: where each starts,
/// and its length.
#[inline(always)]
fn parts(len: usize, most: usize) -> impl Iterator<Item = (usize, usize)> {
    let count = len.div_ceil(most);
    let (short, longer) = (len / count, len % count);
    (0..count).map(move |i| (i * short + i.min(longer), short + usize::from(i < longer)))
}

/// Strips of A, which pass by panels of B.
#[derive(Clone, Copy)]
struct Strips<T> {
    /// The first strip; the next one lies `next` elements further.
    a: Matrix<T>,
    next: isize,
    count: usize,
    depth: usize,
    /// The first panel; the next one is `apart`, the next row of a panel `step` elements further.
    panels: *const T,
    apart: usize,
    step: usize,
    c: Matrix<T>,
    columns: usize,
    /// Whether C is added to, not overwritten.
    add: bool,
}

/// Calls for some lines of each of the rows. (Not inlined: there are many loops for strips.)
#[inline(never)]
fn prefetch_rows<T>(at: *const T, row: isize, rows: usize, lines: Range<usize>) {
    for line in lines {
        let at = at.wrapping_add(line * (LINE / size_of::<T>()));
        for i in 0..rows as isize {
            prefetch(at.wrapping_offset(i * row));
        }
    }
}

/// Strips of `H` rows.
#[inline(always)]
unsafe fn strips<T: Real, V: Vector<T>, const H: usize>(s: &Strips<T>) {
    let width = 2 * V::LANES;
    let panels = s.columns.div_ceil(width);
    let lines = (s.depth * size_of::<T>()).div_ceil(LINE);
    let mut left = s.a.at.cast_const();
    for i in 0..s.count {
        let next = left.wrapping_offset(s.next);
        for j in 0..panels {
            // Rows read as they lie may come from afar: on the way along the panels, those of the
            // next strip are called for.
            if s.a.column == 1 && panels > 2 {
                let some = lines * j / panels..lines * (j + 1) / panels;
                prefetch_rows(next, s.a.row, H, some);
            }
            let columns = s.columns - j * width;
            let c = s.c.offset(i * H, j * width);
            // SAFETY: the caller's promise.
            unsafe {
                let panel = s.panels.add(j * s.apart);
                match columns > V::LANES {
                    true => tile::<T, V, H, 2>(s, left, panel, c, columns.min(width)),
                    false => tile::<T, V, H, 1>(s, left, panel, c, columns),
                }
            }
        }
        left = next;
    }
}

/// A tile of C, of `H` rows and at most `N` registers' columns, which stay in registers.
// There are eighty of these loops: with indices they take a sixth less to compile than with iterators.
#[allow(clippy::needless_range_loop)]
#[inline(always)]
unsafe fn tile<T: Real, V: Vector<T>, const H: usize, const N: usize>(
    s: &Strips<T>,
    left: *const T,
    panel: *const T,
    c: Matrix<T>,
    columns: usize,
) {
    // SAFETY: the strip has H rows, the panel N * LANES columns, both `depth` deep; C has H rows
    // and `columns` columns.
    unsafe {
        let mut sum = [[V::splat(T::ZERO); N]; H];
        if c.column == 1 {
            for i in 0..H {
                for j in (0..N * V::LANES).step_by(LINE / size_of::<T>()) {
                    prefetch(c.offset(i, j).at);
                }
            }
        }
        let (mut panel, mut upper) = (panel, left);
        let mut lower = upper.wrapping_offset(H.div_ceil(2) as isize * s.a.row);
        for _ in 0..s.depth {
            // Of pointers that it knows to be apart by a row, the compiler would find each by adding
            // to the one above: a chain as long as the products of a step.
            (upper, lower) = (opaque(upper), opaque(lower));
            let mut right = [V::splat(T::ZERO); N];
            for j in 0..N {
                right[j] = V::load(panel.add(j * V::LANES));
            }
            for i in 0..H {
                let left = match i < H.div_ceil(2) {
                    true => upper.offset(i as isize * s.a.row),
                    false => lower.offset((i - H.div_ceil(2)) as isize * s.a.row),
                };
                let left = V::splat(*left);
                for j in 0..N {
                    sum[i][j] = sum[i][j].plus_product(left, right[j]);
                }
            }
            panel = panel.wrapping_add(s.step);
            upper = upper.wrapping_offset(s.a.column);
            lower = lower.wrapping_offset(s.a.column);
        }
        if columns == N * V::LANES && c.column == 1 {
            for i in 0..H {
                for j in 0..N {
                    let to = c.offset(i, j * V::LANES).at;
                    let sum = match s.add {
                        true => V::load(to).plus(sum[i][j]),
                        false => sum[i][j],
                    };
                    sum.store(to);
                }
            }
            return;
        }
        // A copy, so that the sums themselves need no address.
        let block = sum;
        let block = std::slice::from_raw_parts(block.as_ptr().cast(), H * N * V::LANES);
        edge(block, N * V::LANES, c, columns, s.add);
    }
}

/// Writes a tile at an edge of C, or where its rows do not lie side by side: the first `columns` of
/// a block's `width`. (Not inlined: there are many loops for tiles.)
///
/// # Safety
/// C has as many rows as the block, and as many columns.
#[inline(never)]
pub(super) unsafe fn edge<T: Real>(
    block: &[T],
    width: usize,
    c: Matrix<T>,
    columns: usize,
    add: bool,
) {
    for (i, line) in block.chunks_exact(width).enumerate() {
        let to = |j: usize| c.offset(i, j).at;
        let mut next = 0;
        // SAFETY: the caller's promise.
        unsafe {
            if c.column == 1 {
                for four in line[..columns].as_chunks::<4>().0 {
                    let to = to(next).cast::<[T; 4]>();
                    let old = || to.read_unaligned();
                    to.write_unaligned(match add {
                        true => std::array::from_fn(|j| old()[j] + four[j]),
                        false => *four,
                    });
                    next += 4;
                }
            }
            for (j, &x) in line[..columns].iter().enumerate().skip(next) {
                *to(j) = if add { *to(j) + x } else { x };
            }
        }
    }
}

/// Whether a line of each of `count` rows, which lie so many numbers apart, fits into the first cache:
/// of rows that are a power of two apart, many fall into the same few of its sets.
fn stay_near<T>(apart: isize, count: usize) -> bool {
    // Sets repeat after a page; with eight ways or more, half of them hold what else is in use.
    const SETS: usize = 64;
    const WAYS: usize = 4;
    let bytes = apart.unsigned_abs() * size_of::<T>();
    let shared = (bytes / LINE).trailing_zeros().min(SETS.ilog2());
    let sets = match bytes.is_multiple_of(LINE) {
        true => SETS >> shared,
        false => SETS,
    };
    count <= WAYS * sets
}

/// A whole product, with strips of at most `H` rows.
#[inline(always)]
unsafe fn product<T: Real, V: Vector<T>, const H: usize>(
    p: &Product<T>,
    scratch: *mut T,
    of_height: [OfHeight<T>; H],
) {
    if p.depth == 1 {
        let rows = match p.c.column {
            1 => *p,
            _ => p.transposed(),
        };
        if rows.b.column == 1 && rows.c.column == 1 && rows.columns >= V::LANES {
            // SAFETY: the caller's promise.
            return unsafe { outer::<T, V>(&rows) };
        }
    }
    let width = 2 * V::LANES;
    let most = WIDE / size_of::<T>();
    let reads_a = p.reads_a();
    for (first, depth) in parts(p.depth, DEPTH) {
        for left in (0..p.columns).step_by(most) {
            let columns = most.min(p.columns - left);
            let b = p.b.offset(first, left);
            // Tiles read whole registers; in the last panel there may be one alone.
            let whole = b.column == 1 && columns.is_multiple_of(V::LANES);
            let narrow = columns <= width && b.row == columns as isize;
            let few = p.rows <= H || p.rows <= FEW && stay_near::<T>(b.row, depth);
            let reads_b = whole && (narrow || few);
            // SAFETY: the caller's promise; offsets stay inside the matrices, the scratch has room
            // for NEAR rows and `most` columns, filled up to whole strips and panels.
            unsafe {
                let packed = scratch.add(p.rows.min(NEAR).next_multiple_of(H) * depth);
                if !reads_b {
                    pack_panels::<T, V>(b, depth, columns, packed);
                }
                for top in (0..p.rows).step_by(NEAR) {
                    let rows = NEAR.min(p.rows - top);
                    let a = p.a.offset(top, first);
                    if !reads_a {
                        pack_strips::<T, H>(a, rows, depth, scratch);
                    }
                    // Strips are `parts`: first the higher ones, then those with a row less.
                    let strips = rows.div_ceil(H);
                    let (short, longer) = (rows / strips, rows % strips);
                    let (panels, apart, step) = match reads_b {
                        true => (b.at, width, b.row as usize),
                        false => (packed, width * depth, width),
                    };
                    for (strip, count, rows) in
                        [(0, longer, short + 1), (longer, strips - longer, short)]
                    {
                        let row = strip * (short + 1);
                        let (a, next) = match reads_a {
                            true => (a.offset(row, 0), rows as isize * a.row),
                            false => {
                                let at = scratch.add(strip * H * depth);
                                let (row, column) = (1, H as isize);
                                (Matrix { at, row, column }, (H * depth) as isize)
                            }
                        };
                        let s = Strips {
                            a,
                            next,
                            count,
                            depth,
                            panels,
                            apart,
                            step,
                            c: p.c.offset(top + row, left),
                            columns,
                            add: p.add || first > 0,
                        };
                        if count > 0 {
                            of_height[rows - 1](&s);
                        }
                    }
                }
            }
        }
    }
}

/// A product over a depth of 1, of which B and C lie in rows, of a register or more: C's rows are B's,
/// scaled.
#[inline(always)]
unsafe fn outer<T: Real, V: Vector<T>>(p: &Product<T>) {
    for i in 0..p.rows {
        // SAFETY: the caller's promise; positions stay below `rows` and `columns`.
        unsafe {
            let (x, c) = (V::splat(*p.a.offset(i, 0).at), p.c.offset(i, 0).at);
            let element = |j: usize| {
                let y = V::splat(T::ZERO).plus_product(x, V::load(p.b.at.add(j)));
                if p.add { V::load(c.add(j)).plus(y) } else { y }
            };
            // The last register may overlap the one before, so it is computed before that is stored.
            let end = p.columns - V::LANES;
            let last = element(end);
            for j in (0..end).step_by(V::LANES) {
                element(j).store(c.add(j));
            }
            last.store(c.add(end));
        }
    }
}

/// Packs panels of B, the last one filled up with zeros to whole registers.
#[inline(always)]
unsafe fn pack_panels<T: Real, V: Vector<T>>(
    b: Matrix<T>,
    depth: usize,
    columns: usize,
    to: *mut T,
) {
    let width = 2 * V::LANES;
    let whole = match b.column == 1 {
        true => columns / width * width,
        false => 0,
    };
    // SAFETY: `to` has room for whole panels; B has `depth` rows and `columns` columns.
    unsafe {
        // All panels together, for lines come fastest one after the other.
        for k in 0..depth {
            for j in (0..whole).step_by(width) {
                let (from, to) = (b.offset(k, j).at, to.add(j * depth + k * width));
                V::load(from).store(to);
                V::load(from.add(V::LANES)).store(to.add(V::LANES));
            }
        }
        for j in (whole..columns).step_by(width) {
            let columns = width.min(columns - j);
            pack_panel::<T, V>(b.offset(0, j), depth, columns, to.add(j * depth));
        }
    }
}

/// Packs a panel of B that is not whole or whose rows do not lie side by side. Its last register is
/// filled up with zeros.
#[inline(always)]
unsafe fn pack_panel<T: Real, V: Vector<T>>(
    b: Matrix<T>,
    depth: usize,
    columns: usize,
    to: *mut T,
) {
    let width = 2 * V::LANES;
    let (whole, left) = (columns / V::LANES * V::LANES, columns % V::LANES);
    // SAFETY: `to` has room for depth x width; B has `depth` rows and `columns` columns.
    unsafe {
        if b.column == 1 {
            for k in 0..depth {
                let (from, to) = (b.offset(k, 0).at, to.add(k * width));
                if whole > 0 {
                    V::load(from).store(to);
                }
                if left > 0 {
                    V::load_first(from.add(whole), left).store(to.add(whole));
                }
            }
            return;
        }
        if left > 0 {
            for k in 0..depth {
                V::splat(T::ZERO).store(to.add(k * width + whole));
            }
        }
        // Squares of eight are turned around; then what is left below and beside them.
        let (deep, wide) = match b.row == 1 && width.is_multiple_of(8) {
            true => (depth / 8 * 8, columns / 8 * 8),
            false => (0, 0),
        };
        for k in (0..deep).step_by(8) {
            for j in (0..wide).step_by(8) {
                V::transpose(b.offset(k, j).at, b.column, to.add(k * width + j), width);
            }
        }
        for j in 0..columns {
            let first = if j < wide { deep } else { 0 };
            for k in first..depth {
                *to.add(k * width + j) = *b.offset(k, j).at;
            }
        }
    }
}

/// Packs strips of A: of each, the rows' first elements, then their second ones, and so on.
#[inline(always)]
unsafe fn pack_strips<T: Real, const H: usize>(
    a: Matrix<T>,
    rows: usize,
    depth: usize,
    to: *mut T,
) {
    // All strips share the lines of a few columns, which stay in the first cache.
    for first in (0..depth).step_by(8) {
        for (strip, (row, height)) in parts(rows, H).enumerate() {
            let places = (first..depth.min(first + 8)).map(|k| {
                let to = to.wrapping_add((strip * depth + k) * H);
                (a.offset(row, k).at.cast_const(), to)
            });
            // SAFETY: `to` has room for strips of H x depth; A has `rows` rows and `depth` columns.
            unsafe {
                if a.row == 1 && row + H <= rows {
                    for (from, to) in places {
                        prefetch(from.wrapping_offset(16 * a.column));
                        let line = from.cast::<[T; H]>().read_unaligned();
                        to.cast::<[T; H]>().write_unaligned(line);
                    }
                } else {
                    for (from, to) in places {
                        for i in 0..height {
                            *to.add(i) = *from.offset(i as isize * a.row);
                        }
                    }
                }
            }
        }
    }
}

/// The loop of one vector type, compiled for its instruction set, with loops for strips of these
/// heights. (Functions of their own: all in one take the compiler half as long again.)
macro_rules! compiled {
    ($t:ident, $v:ty, [$($height:literal)*] $(, $features:literal)?) => {{
        $(#[target_feature(enable = $features)])?
        unsafe fn of_height<const H: usize>(s: &Strips<$t>) {
            // SAFETY: the caller's promise.
            unsafe { strips::<$t, $v, H>(s) }
        }
        $(#[target_feature(enable = $features)])?
        unsafe fn compiled(s: &Stack<$t>, scratch: *mut $t) {
            for p in s.each() {
                // SAFETY: the caller's promise.
                unsafe { product::<$t, $v, _>(&p, scratch, [$(of_height::<$height>),*]) }
            }
        }
        compiled
    }};
}

macro_rules! real {
    ($($t:ident: $avx2:ident $avx512:ident $portable:ty;)*) => {$(
        impl Real for $t {
            const ZERO: Self = 0.0;
            fn product(level: Level) -> Run<$t> {
                match level {
                    #[cfg(target_arch = "x86_64")]
                    Level::Avx2 => {
                        compiled!($t, std::arch::x86_64::$avx2, [1 2 3 4 5 6], "avx2,fma")
                    }
                    #[cfg(target_arch = "x86_64")]
                    Level::Avx512 => {
                        compiled!($t, std::arch::x86_64::$avx512,
                            [1 2 3 4 5 6 7 8 9 10 11 12], "avx512f,avx2,fma")
                    }
                    // Machines of x86-64 without AVX2 are few and old: less code for them.
                    #[cfg(target_arch = "x86_64")]
                    Level::Portable => compiled!($t, $portable, [1 2]),
                    #[cfg(not(target_arch = "x86_64"))]
                    _ => compiled!($t, $portable, [1 2 3 4 5 6]),
                }
            }
        }
    )*};
}
real! {
    f32: __m256 __m512 Portable<f32, 4>;
    f64: __m256d __m512d Portable<f64, 2>;
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::philox::uniform_f32;

    /// Every loop that this machine can run, over sizes around the edges of registers, strips and
    /// blocks and over all ways in which matrices lie, against a plain sum. Of small whole
    /// numbers each sum is exact.
    #[test]
    fn products_are_exact_at_every_edge() {
        let sizes = [1, 2, 3, 4, 5, 7, 8, 9, 13, 16, 17, 33, 49, 97];
        let mut seed = 1u64;
        let mut random = |n: usize| {
            seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1);
            (seed >> 33) as usize % n
        };
        for level in Level::here() {
            for case in 0..1500 {
                let mut size = || match random(12) {
                    0 => 250 + random(300),
                    _ => sizes[random(sizes.len())],
                };
                let [rows, depth, columns] = [size(), size(), size()];
                let lies = [random(5), random(5), random(2)];
                // SAFETY: the machine has the level.
                check::<f32>(
                    [rows, depth, columns],
                    lies,
                    case,
                    Product::scratch,
                    |p, s| unsafe { p.alone().run_on(level, s) },
                );
                // SAFETY: as above.
                check::<f64>(
                    [rows, depth, columns],
                    lies,
                    case,
                    Product::scratch,
                    |p, s| unsafe { p.alone().run_on(level, s) },
                );
            }
        }
    }

    pub trait Exact: Real + std::ops::Mul<Output = Self> + PartialEq + std::fmt::Debug {
        fn of(x: i16) -> Self;
    }
    impl Exact for f32 {
        fn of(x: i16) -> f32 {
            x.into()
        }
    }
    impl Exact for f64 {
        fn of(x: i16) -> f64 {
            x.into()
        }
    }

    /// Row-major, column-major, with gaps, backwards, or row-major with gaps between the rows.
    fn lie<T>(at: *mut T, rows: usize, columns: usize, how: usize) -> Matrix<T> {
        let (row, column, first) = match how {
            0 => (columns, 1, 0),
            1 => (1, rows, 0),
            2 => (2 * columns + 3, 2, 1),
            4 => (columns + 3, 1, 2),
            _ => (columns, 1, rows * columns - 1),
        };
        let sign = if how == 3 { -1 } else { 1 };
        Matrix {
            at: at.wrapping_add(first),
            row: sign * row as isize,
            column: sign * column as isize,
        }
    }

    /// A product of matrices of small whole numbers, which lie as `lies` says.
    pub fn check<T: Exact>(
        sizes: [usize; 3],
        lies: [usize; 3],
        case: i64,
        scratch: fn(&Product<T>) -> usize,
        run: impl FnOnce(Product<T>, *mut u8),
    ) {
        let [rows, depth, columns] = sizes;
        let memory = |rows: usize, columns: usize, by: i64| -> Vec<T> {
            let numbers = 0..(rows * (2 * columns + 3) + 1) as i64;
            numbers
                .map(|i| T::of(((i * by + case) % 15 - 7) as i16))
                .collect()
        };
        let (mut a, mut b) = (memory(rows, depth, 7), memory(depth, columns, 11));
        let mut c = memory(rows, columns, 1);
        let p = Product {
            a: lie(a.as_mut_ptr(), rows, depth, lies[0]),
            b: lie(b.as_mut_ptr(), depth, columns, lies[1]),
            c: lie(c.as_mut_ptr(), rows, columns, lies[2]),
            rows,
            depth,
            columns,
            add: case % 3 == 0,
        };
        let before: Vec<T> = c.clone();
        let (left, right, to, add) = (p.a, p.b, p.c, p.add);
        let p_c = c.as_ptr();
        // Memory behind the scratch must stay as it is.
        let room = scratch(&p);
        let mut scratch = vec![Line([85; 64]); room / 64 + 2];
        run(p, scratch.as_mut_ptr().cast());
        let mut expected = before;
        // SAFETY: the arrays hold the matrices.
        unsafe {
            for i in 0..rows {
                for j in 0..columns {
                    let at = to.offset(i, j).at.offset_from(p_c) as usize;
                    let first = if add { expected[at] } else { T::ZERO };
                    expected[at] = (0..depth).fold(first, |sum, k| {
                        sum + *left.offset(i, k).at * *right.offset(k, j).at
                    });
                }
            }
        }
        // What lies between and behind C's numbers is as it was.
        let wrong = (0..c.len()).find(|&i| c[i] != expected[i]);
        assert_eq!(wrong, None, "{sizes:?} {lies:?}: a position in memory");
        let bytes = scratch.iter().flat_map(|line| line.0);
        assert!(bytes.skip(room).all(|x| x == 85), "{sizes:?}");
    }

    /// An element has the same bits in whatever part of C's rows it is summed. Each matrix lies in rows, or,
    /// turned, in columns.
    pub fn check_parts(
        sizes: [usize; 3],
        turned: [bool; 3],
        scratch: fn(&Product<f32>) -> usize,
        run: impl Fn(&Stack<f32>, *mut u8),
    ) {
        let [rows, depth, columns] = sizes;
        let random = |seed: u64, n: usize| -> Vec<f32> {
            let blocks = (0..n.div_ceil(4) as u64).flat_map(|i| uniform_f32(seed, 0, i));
            blocks.take(n).map(|x| x - 0.5).collect()
        };
        let matrix = |v: &mut [f32], rows: usize, columns: usize, turned: bool| Matrix {
            at: v.as_mut_ptr(),
            row: if turned { 1 } else { columns as isize },
            column: if turned { rows as isize } else { 1 },
        };
        let mut a = random(1, rows * depth);
        let mut b = random(2, depth * columns);
        let mut product = |part: usize| {
            let mut c = vec![f32::NAN; rows * columns];
            for from in (0..rows).step_by(part) {
                let p = Product {
                    a: matrix(&mut a, rows, depth, turned[0]).offset(from, 0),
                    b: matrix(&mut b, depth, columns, turned[1]),
                    c: matrix(&mut c, rows, columns, turned[2]).offset(from, 0),
                    rows: part.min(rows - from),
                    depth,
                    columns,
                    add: false,
                };
                let mut memory = vec![Line([0; 64]); scratch(&p).div_ceil(64)];
                run(&p.alone(), memory.as_mut_ptr().cast());
            }
            c.into_iter().map(f32::to_bits).collect::<Vec<_>>()
        };
        let whole = product(rows);
        for part in [1, 3, 4, 32] {
            assert!(
                product(part) == whole,
                "{sizes:?} {turned:?}, parts of {part}"
            );
        }
    }
}
