//! Access: which parts of its arrays a kernel touches when it runs a part at a time.

use super::program::{Kernel, MatMul, Operand, Program};
use super::view::{PerAxis, View, collapse};

/// Bytes of a second cache, as most machines have one.
pub(super) const CACHE: usize = 512 * 1024;

/// Rows or columns, at most, of matrices of which each tile may pack a copy.
const NARROW: usize = 64;

/// Of which lengths the outer axis of a kernel may be taken to be.
pub(super) fn outer_extents(kernel: &Kernel) -> Vec<usize> {
    let dims = match kernel {
        Kernel::Loop(l) => &l.dims[..l.dims.len().saturating_sub(1)],
        Kernel::MatMul(m) => &m.batch[..],
        _ => &[],
    };
    let products = dims.iter().scan(1, |all, &d| {
        *all *= d;
        Some(*all)
    });
    products.filter(|&n| n > 1).collect()
}

/// What a kernel does with a buffer; folds meet in its elements.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Use {
    Read,
    Write,
    Fold,
}

/// How a kernel uses a buffer.
pub(super) struct Access {
    pub buffer: u32,
    pub what: Use,
    /// Whether tile `i` of `n` touches only the `i`-th of `n` equal parts of the buffer.
    pub apart: bool,
}

/// What a kernel touches, if it can be cut into `extent` parts.
pub(super) fn accesses(program: &Program, kernel: &Kernel, extent: usize) -> Option<Vec<Access>> {
    let access = |o: &Operand, dims: &[usize], what| Access {
        buffer: o.buffer,
        what,
        apart: is_apart(
            &o.view,
            dims,
            extent,
            program.buffers[o.buffer as usize].len,
        ),
    };
    let elements = |dims: &[usize]| dims.iter().product::<usize>();
    match kernel {
        Kernel::Loop(l) if elements(&l.dims).is_multiple_of(extent) => {
            let loads = l.loads.iter().map(|x| (&x.from, Use::Read));
            let stores = l.stores.iter().map(|x| (&x.to, Use::Write));
            let folds = l.folds.iter().map(|x| (&x.to, Use::Fold));
            let all = loads.chain(stores).chain(folds);
            Some(all.map(|(o, what)| access(o, &l.dims, what)).collect())
        }
        Kernel::MatMul(m) if may_be_cut(m, extent) => {
            let side = |o: &Operand, rows: usize, columns: usize, what| {
                let mut dims = m.batch.clone();
                dims.extend([rows, columns]);
                access(o, &dims, what)
            };
            let mut right = side(&m.right, m.k, m.n, Use::Read);
            // All rows of the left want it.
            right.apart &= m.stack().is_multiple_of(extent);
            let left = side(&m.left, m.m, m.k, Use::Read);
            Some(vec![left, right, side(&m.out, m.m, m.n, Use::Write)])
        }
        _ => None,
    }
}

/// Whether a stack of products can be cut into equal parts: between products, or between rows. Each
/// part of a product packs the right matrix anew, which pays where that is narrow and near.
fn may_be_cut(m: &MatMul, extent: usize) -> bool {
    let (stack, right) = (m.stack(), m.k * m.n * m.dtype.size());
    let by_rows = || extent.is_multiple_of(stack) && m.m.is_multiple_of(extent / stack);
    let narrow = m.k.min(m.n) <= NARROW && right <= CACHE;
    stack.is_multiple_of(extent) || stack > 0 && narrow && by_rows()
}

/// Whether part `i` of `extent` of an index space lies in part `i` of `extent` of the buffer.
pub(super) fn is_apart(view: &View, dims: &[usize], extent: usize, len: usize) -> bool {
    let forward = view.offset >= 0 && view.strides.iter().all(|&s| s >= 0);
    if !forward || !len.is_multiple_of(extent) || dims.contains(&0) {
        return false;
    }
    let part = len / extent;
    // The outer axes up to the extent; one of them may have to be split.
    let (mut outer, mut steps): (PerAxis<usize>, PerAxis<isize>) = Default::default();
    let mut left = extent;
    let mut span = view.offset as usize;
    for (&n, &stride) in dims.iter().zip(&view.strides) {
        let (out, inner) = match left {
            1 => (1, n),
            _ if left.is_multiple_of(n) => (n, 1),
            _ if n.is_multiple_of(left) => (left, n / left),
            _ => return false,
        };
        left /= out;
        outer.push(out);
        steps.push(stride * inner as isize);
        span += stride as usize * (inner - 1);
    }
    collapse(&mut outer, &mut [&mut steps]);
    let apart = (&outer[..], &steps[..]) == (&[extent], &[part as isize]);
    left == 1 && apart && span < part
}
