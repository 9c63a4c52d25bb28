//! Matrix products: a library's kernel, called for tiles of the result.

use super::{Memory, num_threads};
use crate::compile::program::MatMul;
use crate::dtype::DType;

/// Multiplications from which threads pay.
const LARGE: usize = 500_000;
/// Multiplications of a tile, at least: smaller ones pack the same operand too often.
const TILE: usize = 500_000;

pub(super) fn is_large(m: &MatMul) -> bool {
    multiplications(m) >= LARGE
}

pub(super) fn multiplications(m: &MatMul) -> usize {
    work(m) * m.batch.iter().product::<usize>()
}

fn work(m: &MatMul) -> usize {
    m.m * m.k * m.n
}

pub(super) fn run(m: &MatMul, memory: &Memory) {
    let batches: usize = m.batch.iter().product();
    let size = m.dtype.size();
    if m.m * m.n * batches == 0 {
        return;
    }
    if m.k == 0 {
        // SAFETY: the result has batches * m * n elements; zeros are all bits 0.
        unsafe { std::ptr::write_bytes(memory.at(m.out, 0, 1), 0, batches * m.m * m.n * size) };
        return;
    }
    // Tiles along the longer side of the result, as few as keep all threads busy: each of them packs
    // the other operand anew. An element is summed in the same order whatever its tile.
    let by_rows = m.m >= m.n;
    let side = if by_rows { m.m } else { m.n };
    let most = num_threads().div_ceil(batches);
    let tiles = (work(m) / TILE).clamp(1, most).min(side.div_ceil(64));
    let width = side.div_ceil(tiles).next_multiple_of(8);
    let tiles = side.div_ceil(width);
    let r = m.batch.len();
    let tile = |i: usize| {
        let (mut rest, tile) = (i / tiles, i % tiles);
        let out = rest * m.m * m.n;
        let (mut left, mut right) = (m.left.view.offset, m.right.view.offset);
        for a in (0..r).rev() {
            let k = (rest % m.batch[a]) as isize;
            rest /= m.batch[a];
            left += k * m.left.view.strides[a];
            right += k * m.right.view.strides[a];
        }
        let (rsa, csa) = (m.left.view.strides[r], m.left.view.strides[r + 1]);
        let (rsb, csb) = (m.right.view.strides[r], m.right.view.strides[r + 1]);
        let (start, end) = (tile * width, side.min((tile + 1) * width));
        let (rows, columns, out) = match by_rows {
            true => {
                left += start as isize * rsa;
                (end - start, m.n, out + start * m.n)
            }
            false => {
                right += start as isize * csb;
                (m.m, end - start, out + start)
            }
        };
        let left = memory.at(m.left.buffer, left, size);
        let right = memory.at(m.right.buffer, right, size);
        let out = memory.at(m.out, out as isize, size);
        macro_rules! product {
            ($gemm:path) => {
                $gemm(
                    rows,
                    m.k,
                    columns,
                    1.0,
                    left.cast(),
                    rsa,
                    csa,
                    right.cast(),
                    rsb,
                    csb,
                    0.0,
                    out.cast(),
                    m.n as isize,
                    1,
                )
            };
        }
        // SAFETY: views stay inside their buffers; tiles are different parts of the result.
        unsafe {
            match m.dtype {
                DType::F32 => product!(matrixmultiply::sgemm),
                _ => product!(matrixmultiply::dgemm),
            }
        }
    };
    match is_large(m) {
        true => memory.each(batches * tiles, &tile),
        false => (0..batches * tiles).for_each(tile),
    }
}
