//! Matrix products of f32 in the matrix unit of newer x86-64 processors (AMX), on one thread.
//!
//! The unit multiplies tiles of bfloat16, 14 times as fast as AVX-512 multiplies f32. An f32 is
//! exactly the sum of three bfloat16 (`split`); of the nine products of the parts of two numbers the
//! six larger ones are added up, in f32 (Henry, Tang & Heinecke, "Leveraging the bfloat16 artificial
//! intelligence datatype for higher-precision computations", 2019). What is left out, less than
//! 2^-22 of a product and mostly about 2^-25, is less than sums of f32 lose by rounding.
//!
//! As in `gemm.rs`, an element of C is summed in the order of k, in stretches that depend on the
//! depth alone. The unit takes subnormal numbers for zeros: blocks of C for which that matters, and
//! those with an infinity or NaN among their factors, are computed in vector registers.

use super::gemm::{Matrix, Product, Stack};

/// Rows and columns of a block of C, which stays in four tiles of the unit.
const SIDE: usize = 32;

/// Depth of a tile.
const STEP: usize = 32;

/// Depth of strips and panels, at most: one of each is to stay in the first cache.
const DEPTH: usize = 64;

/// Rows, or columns, that are packed at a time: they are to stay in the second cache.
const WIDE: usize = 512;

/// Bytes of a tile: 16 rows of 16 pairs of bfloat16.
const TILE: usize = 1024;

/// Bytes of `SIDE` rows or columns, one step deep: for each of the three parts, two tiles.
const SPLIT: usize = 6 * TILE;

/// Whether a product of `[rows, depth] x [depth, columns]` is faster here. Whoever cuts it into
/// parts asks for the whole: the unit rounds otherwise than vector registers. Parts begin at
/// multiples of 32.
pub(super) fn is_faster([rows, depth, columns]: [usize; 3]) -> bool {
    let filled = [rows, depth, columns].map(|n| n.next_multiple_of(SIDE));
    let work = |[rows, depth, columns]: [usize; 3]| rows * depth * columns;
    // (Of few rows: B is not packed for vector registers.)
    rows >= 2 * SIDE
        && columns.min(depth) >= SIDE
        && work(filled) <= work([rows, depth, columns]) / 2 * 3
        && unit::is_there()
}

/// Bytes of memory that [`run`] needs.
pub(super) fn scratch(p: &Product<f32>) -> usize {
    let packed = p.rows.min(p.columns).min(WIDE).div_ceil(SIDE);
    let depth = p.depth.min(DEPTH);
    let block = Product {
        rows: SIDE,
        depth,
        columns: SIDE,
        ..*p
    };
    (1 + packed) * depth.div_ceil(STEP) * SPLIT + BLOCK + block.scratch()
}

/// Bytes of a block of C.
const BLOCK: usize = SIDE * SIDE * size_of::<f32>();

/// Computes each C.
///
/// # Safety
/// As for [`Stack::run`]; the machine has the unit ([`is_faster`] said so); `scratch` is aligned to
/// 64 bytes and as large as [`scratch`] says.
pub(super) unsafe fn run(s: &Stack<f32>, scratch: *mut u8) {
    // SAFETY: the caller's promise.
    s.each().for_each(|p| unsafe { unit::run(&p, scratch) });
}

/// Whether the unit computes products of strip and panel as well as vector registers do, by the
/// largest magnitude in each: nothing overflows, and what is lost below the least normal number,
/// 2^-126, is not seen beside the largest product.
fn fits(left: f32, right: f32) -> bool {
    const MOST: f32 = (1u64 << 60) as f32;
    const LEAST: f32 = 1.0 / (1u128 << 90) as f32;
    let normal = left > LEAST && right > LEAST && left * right > LEAST;
    // (Not so for NaN.)
    left < MOST && right < MOST && (normal || left == 0.0 || right == 0.0)
}

#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
mod unit {
    pub fn is_there() -> bool {
        false
    }
    pub unsafe fn run(_: &super::Product<f32>, _: *mut u8) {}
}

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod unit {
    use super::*;
    use crate::exec::cpu::gemm::edge;
    use crate::exec::cpu::vectors::x86;
    use std::arch::asm;
    use std::arch::x86_64::*;
    use std::mem::MaybeUninit;
    use std::sync::LazyLock;

    /// The unit's shape: of tiles, `TILE` bytes each.
    #[repr(C, align(64))]
    struct Config {
        palette: u8,
        start_row: u8,
        reserved: [u8; 14],
        bytes_of_row: [u16; 16],
        rows: [u8; 16],
    }

    static CONFIG: Config = Config {
        palette: 1,
        start_row: 0,
        reserved: [0; 14],
        bytes_of_row: [64, 64, 64, 64, 64, 64, 64, 64, 0, 0, 0, 0, 0, 0, 0, 0],
        rows: [16, 16, 16, 16, 16, 16, 16, 16, 0, 0, 0, 0, 0, 0, 0, 0],
    };

    /// Whether processor and system have the unit, and let this process use it.
    pub fn is_there() -> bool {
        static IS_THERE: LazyLock<bool> = LazyLock::new(|| {
            const TILES_AND_BFLOAT16: u32 = 1 << 24 | 1 << 22;
            // SAFETY: what has AVX-512 has leaf 7. (Newer compilers know this to be safe.)
            #[allow(unused_unsafe)]
            let features = || unsafe { __cpuid_count(7, 0) }.edx;
            is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && features() & TILES_AND_BFLOAT16 == TILES_AND_BFLOAT16
                && is_permitted()
        });
        *IS_THERE
    }

    /// Asks Linux for tiles: threads keep them over a switch only if a process has asked
    /// (`arch_prctl`, in the kernel's Documentation/arch/x86/xstate.rst).
    fn is_permitted() -> bool {
        const ARCH_PRCTL: i64 = 158;
        const REQUEST: u64 = 0x1023;
        const TILE_DATA: u64 = 18;
        let result: i64;
        // SAFETY: a system call that reads and writes no memory.
        unsafe {
            asm!(
                "syscall",
                inlateout("rax") ARCH_PRCTL => result,
                in("rdi") REQUEST,
                in("rsi") TILE_DATA,
                lateout("rcx") _,
                lateout("r11") _,
                options(nostack),
            );
        }
        result == 0
    }

    /// # Safety
    /// As for [`super::run`].
    #[target_feature(enable = "avx512f,avx512bw")]
    pub unsafe fn run(p: &Product<f32>, scratch: *mut u8) {
        // Of the longer side of C a strip is packed at a time, of the shorter one all panels.
        let by_rows = p.rows >= p.columns;
        let (a, b) = (p.a, p.b.transposed());
        let (long, short) = if by_rows { (a, b) } else { (b, a) };
        let (longer, shorter) = (p.rows.max(p.columns), p.rows.min(p.columns));
        // What is (along the longer side, along the shorter one), as (of rows, of columns).
        let turned = |(long, short)| match by_rows {
            true => (long, short),
            false => (short, long),
        };
        let parts = p.depth.div_ceil(DEPTH);
        let deep = p.depth.div_ceil(parts).next_multiple_of(STEP);
        // SAFETY: the caller's promise: the unit is there; the scratch has room for a strip, for
        // WIDE packed lines, and for a block or what its product needs in vector registers; all
        // that is read and written is inside the matrices.
        unsafe {
            asm!("ldtilecfg [{}]", in(reg) &CONFIG, options(nostack, readonly));
            for first in (0..p.depth).step_by(deep) {
                let depth = deep.min(p.depth - first);
                let steps = depth.div_ceil(STEP);
                for begin in (0..shorter).step_by(WIDE) {
                    let wide = WIDE.min(shorter - begin);
                    let panels = wide.div_ceil(SIDE);
                    let strip = scratch;
                    let packed = strip.add(steps * SPLIT);
                    let spare = packed.add(panels * steps * SPLIT);
                    let from = short.offset(begin, first);
                    let mut largest = [0.0; WIDE / SIDE];
                    let largest = &mut largest[..panels];
                    pack(from, wide, depth, by_rows, packed, largest);
                    for top in (0..longer).step_by(SIDE) {
                        let high = SIDE.min(longer - top);
                        let from = long.offset(top, first);
                        let mut most = [0.0];
                        pack(from, high, depth, !by_rows, strip, &mut most);
                        for (j, &other) in largest.iter().enumerate() {
                            let at = begin + j * SIDE;
                            let (row, column) = turned((top, at));
                            let (rows, columns) = turned((high, SIDE.min(shorter - at)));
                            let panel = packed.add(j * steps * SPLIT);
                            let (left, right) = match by_rows {
                                true => (strip, panel),
                                false => (panel, strip),
                            };
                            let part = Product {
                                a: p.a.offset(row, first),
                                b: p.b.offset(first, column),
                                c: p.c.offset(row, column),
                                rows,
                                depth,
                                columns,
                                add: p.add || first > 0,
                            };
                            if !super::fits(most[0], other) {
                                part.alone().run(spare);
                                continue;
                            }
                            // Of the next strip, with each block a step.
                            let (line, k) = match top + SIDE < longer {
                                true => (top + SIDE, first),
                                false => (0, first + deep),
                            };
                            let read = long.offset(line, k + j.min(steps) * STEP);
                            let (row, column) = turned(match j + 1 < panels {
                                true => (top, at + SIDE),
                                false => (top + SIDE, begin),
                            });
                            let next = Next {
                                read: read.at,
                                apart: match read.column {
                                    1 => read.row,
                                    apart => apart,
                                },
                                written: p.c.offset(row, column).at,
                            };
                            block(&part, [left, right], spare.cast(), next);
                        }
                    }
                }
            }
            asm!("tilerelease", options(nostack, nomem));
        }
    }

    /// What is called for while the unit multiplies; memory would take as long again. (All at once
    /// it would keep the unit from loading tiles.) Addresses need not be valid.
    #[derive(Clone, Copy)]
    struct Next {
        /// Rows of two lines, so many numbers apart, which will be packed.
        read: *const f32,
        apart: isize,
        /// The block of C after this one; its rows lie as those of this one.
        written: *const f32,
    }

    /// A block of C, of packed factors; `spare` has room for one.
    ///
    /// # Safety
    /// As for [`super::run`], and the unit has its shape.
    #[inline(always)]
    unsafe fn block(p: &Product<f32>, factors: [*mut u8; 2], spare: *mut f32, next: Next) {
        let steps = p.depth.div_ceil(STEP);
        // SAFETY: the caller's promise.
        unsafe {
            if p.rows == SIDE && p.columns == SIDE && p.c.column == 1 {
                tiles(factors, steps, p.c.at, p.c.row, p.add, next);
            } else {
                tiles(factors, steps, spare, SIDE as isize, false, next);
                let block = std::slice::from_raw_parts(spare, p.rows * SIDE);
                edge(block, SIDE, p.c, p.columns, p.add);
            }
        }
    }

    /// Adds the product of two tiles to a third one.
    macro_rules! product {
        ($c:literal, $a:literal, $b:literal) => {
            concat!("tdpbf16ps tmm", $c, ", tmm", $a, ", tmm", $b)
        };
    }

    /// And meanwhile calls for two lines of what will be read, and two of what will be written.
    macro_rules! calling {
        ($c:literal, $a:literal, $b:literal) => {
            concat!(
                product!($c, $a, $b),
                "\nprefetcht0 [{read}]\nprefetcht0 [{read} + 64]\nadd {read}, {apart}",
                "\nprefetchw [{written}]\nprefetchw [{written} + 64]\nadd {written}, {row}",
            )
        };
    }

    /// A whole block of C, whose rows lie `row` numbers apart: four tiles, of two of A and two of B at
    /// a time. Small products come first. (One piece of assembly, as the compiler knows of no
    /// tiles: loads stand as early as their tile is free.)
    ///
    /// # Safety
    /// As for [`block`].
    #[inline(always)]
    unsafe fn tiles(
        [a, b]: [*mut u8; 2],
        steps: usize,
        c: *mut f32,
        row: isize,
        add: bool,
        next: Next,
    ) {
        // SAFETY: the caller's promise.
        unsafe {
            asm!(
                "test {add:e}, {add:e}",
                "jnz 2f",
                "tilezero tmm0",
                "tilezero tmm1",
                "tilezero tmm2",
                "tilezero tmm3",
                "jmp 3f",
                "2:",
                "tileloadd tmm0, [{c} + {row}]",
                "tileloadd tmm1, [{c} + {row} + 64]",
                "tileloadd tmm2, [{lower} + {row}]",
                "tileloadd tmm3, [{lower} + {row} + 64]",
                "3:",
                // The last part of A, the first of B.
                "tileloadd tmm4, [{a} + {line} + 4096]",
                "tileloadd tmm6, [{b} + {line}]",
                "tileloadd tmm7, [{b} + {line} + 1024]",
                "tileloadd tmm5, [{a} + {line} + 5120]",
                calling!(0, 4, 6),
                calling!(1, 4, 7),
                "tileloadd tmm4, [{a} + {line} + 2048]",
                calling!(2, 5, 6),
                calling!(3, 5, 7),
                // Second and first.
                "tileloadd tmm5, [{a} + {line} + 3072]",
                calling!(0, 4, 6),
                calling!(1, 4, 7),
                calling!(2, 5, 6),
                "tileloadd tmm6, [{b} + {line} + 2048]",
                calling!(3, 5, 7),
                // Second and second.
                "tileloadd tmm7, [{b} + {line} + 3072]",
                calling!(0, 4, 6),
                calling!(1, 4, 7),
                "tileloadd tmm4, [{a} + {line}]",
                calling!(2, 5, 6),
                calling!(3, 5, 7),
                // First and second.
                "tileloadd tmm5, [{a} + {line} + 1024]",
                calling!(0, 4, 6),
                calling!(1, 4, 7),
                calling!(2, 5, 6),
                "tileloadd tmm6, [{b} + {line} + 4096]",
                calling!(3, 5, 7),
                // First and last.
                "tileloadd tmm7, [{b} + {line} + 5120]",
                product!(0, 4, 6),
                product!(1, 4, 7),
                product!(2, 5, 6),
                "tileloadd tmm6, [{b} + {line}]",
                product!(3, 5, 7),
                // First and first.
                "tileloadd tmm7, [{b} + {line} + 1024]",
                product!(0, 4, 6),
                product!(1, 4, 7),
                product!(2, 5, 6),
                product!(3, 5, 7),
                "add {a}, 6144",
                "add {b}, 6144",
                "dec {steps}",
                "jnz 3b",
                "tilestored [{c} + {row}], tmm0",
                "tilestored [{c} + {row} + 64], tmm1",
                "tilestored [{lower} + {row}], tmm2",
                "tilestored [{lower} + {row} + 64], tmm3",
                add = in(reg) u32::from(add),
                c = in(reg) c,
                lower = in(reg) c.offset(SIDE as isize / 2 * row),
                row = in(reg) row * size_of::<f32>() as isize,
                line = in(reg) 64usize,
                a = inout(reg) a => _,
                b = inout(reg) b => _,
                steps = inout(reg) steps => _,
                read = inout(reg) next.read => _,
                apart = in(reg) next.apart * size_of::<f32>() as isize,
                written = inout(reg) next.written => _,
                out("tmm0") _,
                out("tmm1") _,
                out("tmm2") _,
                out("tmm3") _,
                out("tmm4") _,
                out("tmm5") _,
                out("tmm6") _,
                out("tmm7") _,
                options(nostack),
            );
        }
    }

    /// Splits and packs lines (rows of A, or columns of B) of `depth` numbers: of each `SIDE` of them,
    /// step by step, the tiles of their first, second and last parts. In each pair of a tile stand
    /// two numbers 16 apart in k. Of each `SIDE` gives the largest magnitude.
    ///
    /// # Safety
    /// As for [`super::run`]. `from` has `lines` rows and `depth` columns; `to` has room.
    #[inline(always)]
    unsafe fn pack(
        from: Matrix<f32>,
        lines: usize,
        depth: usize,
        across: bool,
        to: *mut u8,
        largest: &mut [f32],
    ) {
        let size = depth.div_ceil(STEP) * SPLIT;
        // SAFETY: the caller's promise.
        unsafe {
            let mut most = [_mm512_setzero_si512(); WIDE / SIDE];
            // All lines together: where they lie side by side, rows of memory are read whole.
            for k in (0..depth).step_by(STEP) {
                for line in (0..lines).step_by(16) {
                    let to =
                        to.add(line / SIDE * size + k / STEP * SPLIT + line % SIDE / 16 * TILE);
                    let (lines, depth) = (16.min(lines - line), STEP.min(depth - k));
                    let most = &mut most[line / SIDE];
                    let from = from.offset(line, k);
                    *most = match across {
                        true => tile::<true>(from, lines, depth, to, *most),
                        false => tile::<false>(from, lines, depth, to, *most),
                    };
                }
            }
            for (largest, most) in largest.iter_mut().zip(most) {
                *largest = f32::from_bits(_mm512_reduce_max_epu32(most));
            }
        }
    }

    /// Packs a tile of each part: with a row for each of at most 16 lines, or `ACROSS`, with a row
    /// for each pair of them. Gives the largest magnitudes, of these and of `most`.
    ///
    /// # Safety
    /// As for [`pack`].
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    unsafe fn tile<const ACROSS: bool>(
        from: Matrix<f32>,
        lines: usize,
        depth: usize,
        to: *mut u8,
        most: __m512i,
    ) -> __m512i {
        let whole = lines == 16 && depth == STEP;
        let (near, far) = (depth.min(16), depth.saturating_sub(16));
        let lies = match ACROSS {
            true => from.row == 1,
            false => from.column == 1,
        };
        // SAFETY: the caller's promise; of rows that are not whole, only what there is is read.
        unsafe {
            if lies {
                let (apart, second) = match ACROSS {
                    true => (from.column, 16 * from.column),
                    false => (from.row, 16),
                };
                let at = from.at;
                return match (whole, ACROSS) {
                    (true, _) => split(at, apart, second, [16; 2], [16; 2], to, most),
                    (_, true) => split(at, apart, second, [near, far], [lines; 2], to, most),
                    (_, false) => split(at, apart, second, [lines; 2], [near, far], to, most),
                };
            }
            let mut turned = MaybeUninit::<[f32; 16 * STEP]>::uninit();
            let turned = turned.as_mut_ptr().cast::<f32>();
            let (by_line, by_k, second) = if ACROSS { (1, 16, 256) } else { (STEP, 1, 16) };
            if whole && (from.row == 1 || from.column == 1) {
                for line in [0, 8] {
                    for k in [0, 8, 16, 24] {
                        let from = from.offset(line, k);
                        let to = turned.add(line * by_line + k * by_k);
                        match ACROSS {
                            true => x86::transpose(from.at, from.row, to, by_k),
                            false => x86::transpose(from.at, from.column, to, by_line),
                        }
                    }
                }
            } else {
                turned.write_bytes(0, 16 * STEP);
                for line in 0..lines {
                    for k in 0..depth {
                        *turned.add(line * by_line + k * by_k) = *from.offset(line, k).at;
                    }
                }
            }
            let apart = by_line.max(by_k) as isize;
            split(turned, apart, second, [16; 2], [16; 2], to, most)
        }
    }

    /// Splits 16 pairs of rows, which lie `apart`, the second of a pair `second` from the first. Of
    /// first and second ones there are so many `rows`, of so many `columns`; the rest are zeros.
    ///
    /// The first part is a number's first eight digits: its upper half. What is left is exact, and has
    /// 16 digits; the second part is that rounded to eight; so the last one has no more than eight.
    ///
    /// # Safety
    /// As for [`pack`].
    #[inline(always)]
    unsafe fn split(
        at: *const f32,
        apart: isize,
        second: isize,
        rows: [usize; 2],
        columns: [usize; 2],
        to: *mut u8,
        mut most: __m512i,
    ) -> __m512i {
        // SAFETY: the caller's promise.
        unsafe {
            let upper = _mm512_set1_epi32(0xffff_0000_u32 as i32);
            let half = _mm512_set1_epi32(0x8000);
            let magnitude = _mm512_set1_epi32(i32::MAX);
            let mask = |n: usize| ((1u32 << n) - 1) as u16;
            for i in 0..16 {
                let at = at.wrapping_offset(i as isize * apart);
                let to = to.add(i * 64).cast::<__m512i>();
                let load = |which: usize, at: *const f32| {
                    let there = i < rows[which];
                    _mm512_maskz_loadu_ps(if there { mask(columns[which]) } else { 0 }, at)
                };
                let [x, y] = [load(0, at), load(1, at.wrapping_offset(second))];
                for x in [x, y] {
                    let x = _mm512_and_si512(_mm512_castps_si512(x), magnitude);
                    most = _mm512_max_epu32(most, x);
                }
                // The upper halves of both: a row of pairs.
                let pair = |x: __m512, y: __m512| {
                    let x = _mm512_srli_epi32::<16>(_mm512_castps_si512(x));
                    _mm512_mask_blend_epi16(0xaaaa_aaaa, x, _mm512_castps_si512(y))
                };
                let cut = |x: __m512i| _mm512_castsi512_ps(_mm512_and_si512(x, upper));
                let rounded = |x: __m512| cut(_mm512_add_epi32(_mm512_castps_si512(x), half));
                let rest = |x: __m512| _mm512_sub_ps(x, cut(_mm512_castps_si512(x)));
                _mm512_store_si512(to, pair(x, y));
                let (x, y) = (rest(x), rest(y));
                let (x_2, y_2) = (rounded(x), rounded(y));
                _mm512_store_si512(to.add(2 * TILE / 64), pair(x_2, y_2));
                let (x, y) = (_mm512_sub_ps(x, x_2), _mm512_sub_ps(y, y_2));
                _mm512_store_si512(to.add(4 * TILE / 64), pair(x, y));
            }
            most
        }
    }
}

/// (On a machine without the unit there is nothing to test.)
#[cfg(test)]
mod tests {
    use super::*;
    use crate::exec::cpu::Line;
    use crate::exec::cpu::gemm::tests::check;
    use crate::philox::uniform_f32;

    /// As in `gemm.rs`: sizes around edges, all ways in which matrices lie, exact sums.
    #[test]
    fn products_are_exact_at_every_edge() {
        let sizes = [
            1, 2, 15, 16, 17, 31, 32, 33, 48, 64, 65, 95, 96, 97, 130, 600,
        ];
        for case in 0..if unit::is_there() { 1000 } else { 0 } {
            let [a, b, c, _] = uniform_f32(1, case, 0);
            let [d, e, f, _] = uniform_f32(1, case, 1);
            let any = |x: f32, n: usize| (x * n as f32) as usize;
            let sizes = [a, b, c].map(|x| sizes[any(x, sizes.len())]);
            let lies = [any(d, 5), any(e, 5), any(f, 2)];
            // SAFETY: the unit is there.
            check::<f32>(sizes, lies, case as i64, scratch, |p, s| unsafe {
                run(&p.alone(), s)
            });
        }
    }

    type Run = unsafe fn(&Stack<f32>, *mut u8);

    /// A product of rows, which begins with `from` and has so many rows and columns.
    fn product(
        run: Run,
        [a, b]: [&[f32]; 2],
        [rows, depth, columns]: [usize; 3],
        from: [usize; 2],
        part: [usize; 2],
    ) -> Vec<f32> {
        let matrix = |at: *const f32, columns: usize| Matrix {
            at: at.cast_mut(),
            row: columns as isize,
            column: 1,
        };
        assert_eq!([a.len(), b.len()], [rows * depth, depth * columns]);
        let mut c = vec![f32::NAN; part[0] * part[1]];
        let p = Product {
            a: matrix(a.as_ptr(), depth).offset(from[0], 0),
            b: matrix(b.as_ptr(), columns).offset(0, from[1]),
            c: matrix(c.as_mut_ptr(), part[1]),
            rows: part[0],
            depth,
            columns: part[1],
            add: false,
        };
        let room = scratch(&p).max(p.scratch());
        let mut scratch = vec![Line([0; 64]); room.div_ceil(64)];
        // SAFETY: the arrays hold the matrices, the scratch is large enough, the unit is there.
        unsafe { run(&p.alone(), scratch.as_mut_ptr().cast()) };
        c
    }

    fn random(seed: u64, n: usize, scale: f32) -> Vec<f32> {
        let blocks = (0..n.div_ceil(4) as u64).flat_map(|i| uniform_f32(seed, 0, i));
        blocks.take(n).map(|x| (2.0 * x - 1.0) * scale).collect()
    }

    /// What a sum lost by rounding, of the sum of magnitudes, in units of 2^-24: the root of the mean square,
    /// and the most.
    fn error(c: &[f32], [a, b]: [&[f32]; 2], [_, depth, columns]: [usize; 3]) -> (f64, f64) {
        let errors: Vec<f64> = (0..c.len())
            .map(|at| {
                let (i, j) = (at / columns, at % columns);
                let products =
                    (0..depth).map(|k| f64::from(a[i * depth + k]) * f64::from(b[k * columns + j]));
                let (sum, size) = products.fold((0.0, 0.0), |(s, m), x| (s + x, m + x.abs()));
                (f64::from(c[at]) - sum).abs() / size * f64::from(1 << 24)
            })
            .collect();
        let square = errors.iter().map(|e| e * e).sum::<f64>() / errors.len() as f64;
        (square.sqrt(), errors.iter().fold(0.0, |a, &b| a.max(b)))
    }

    #[test]
    fn products_are_as_accurate_as_in_vector_registers() {
        if !unit::is_there() {
            return;
        }
        for sizes in [[64, 32, 64], [65, 100, 70], [128, 784, 96]] {
            for (left, right) in [(1.0, 1.0), (1e12, 1e-12), (1e-24, 3e15), (1e-13, 1e-13)] {
                let a = random(1, sizes[0] * sizes[1], left);
                let b = random(2, sizes[1] * sizes[2], right);
                let whole = [sizes[0], sizes[2]];
                let of = |run: Run| product(run, [&a, &b], sizes, [0, 0], whole);
                let (unit, registers) = (of(run), of(Stack::run));
                assert_ne!(unit, registers, "both by the same way");
                let [unit, registers] = [unit, registers].map(|c| error(&c, [&a, &b], sizes));
                assert!(
                    unit.0 <= registers.0 && unit.1 <= 3.0,
                    "{sizes:?} {unit:?} {registers:?}"
                );
            }
        }
    }

    /// What does not fit into bfloat16, or not into what the unit takes for numbers: alone, in a row of its
    /// own, or everywhere.
    #[test]
    fn extremes_are_computed_in_vector_registers() {
        if !unit::is_there() {
            return;
        }
        let sizes = [96, DEPTH, 64];
        let extremes = [
            f32::NAN,
            f32::INFINITY,
            f32::NEG_INFINITY,
            f32::MAX,
            -1e30,
            1e-38,
        ];
        for x in extremes
            .into_iter()
            .chain([f32::from_bits(1), f32::from_bits(i32::MAX as u32)])
        {
            for which in 0..4 {
                let mut a = random(3, sizes[0] * sizes[1], 1.0);
                let mut b = random(4, sizes[1] * sizes[2], 1.0);
                match which {
                    0 => a[40 * sizes[1] + 7] = x,
                    1 => b[(DEPTH - 2) * sizes[2] + 33] = x,
                    2 => a[32 * sizes[1]..64 * sizes[1]].fill(x),
                    _ => b.fill(x),
                }
                let of = |run: Run| product(run, [&a, &b], sizes, [0, 0], [96, 64]);
                let small = x.abs() < 1.0;
                for (at, (c, d)) in of(run).into_iter().zip(of(Stack::run)).enumerate() {
                    let (i, j) = (at / 64, at % 64);
                    let same = match which {
                        0 => (32..64).contains(&i) && !small,
                        1 => j >= 32 && !small,
                        2 => (32..64).contains(&i),
                        _ => true,
                    };
                    assert!(
                        c.to_bits() == d.to_bits() || !same && (c - d).abs() < 1e-5,
                        "{x:e} {which}: {c:e} for {d:e} at {i}, {j}"
                    );
                }
            }
        }
    }

    #[test]
    fn parts_have_the_bits_of_the_whole() {
        if !unit::is_there() {
            return;
        }
        let sizes = [200, 300, 130];
        let (mut a, b) = (random(5, 200 * 300, 1.0), random(6, 300 * 130, 1.0));
        a[70 * 300 + 5] = f32::INFINITY;
        let of = |from, part| product(run, [&a, &b], sizes, from, part);
        let whole = of([0, 0], [200, 130]);
        for from in [[0, 0], [32, 0], [0, 32], [64, 96], [192, 128]] {
            let part = of(from, [200 - from[0], 130 - from[1]]);
            for (i, line) in part.chunks(130 - from[1]).enumerate() {
                let same = &whole[(from[0] + i) * 130 + from[1]..][..line.len()];
                let bits = |line: &[f32]| line.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
                assert_eq!(bits(line), bits(same), "row {i} of a part from {from:?}");
            }
        }
    }
}
