//! Straight-line code on single numbers.

use super::loops;
use super::{Line, Memory, with_scratch};
use crate::compile::program::{Element, Group, LONGEST, Lined, Number, Operation, Piece, Scalars};
use crate::dtype::DType;
use crate::lanes::BLOCK;
use std::cell::RefCell;

/// Up to so many instructions are quicker one by one than as a vector.
const FEW: u32 = 3;

/// Bytes of the operands of a piece that have to be brought together.
const GATHERED: usize = LONGEST * 8;

thread_local! {
    static REGISTERS: RefCell<Vec<Line>> = const { RefCell::new(Vec::new()) };
}

pub(super) fn run(s: &Scalars, memory: &Memory) {
    // Loops over whole blocks may read past the last register.
    let bytes = 3 * GATHERED + s.bytes as usize + BLOCK * 8;
    with_scratch(&REGISTERS, bytes, |scratch| {
        let r = scratch.wrapping_add(3 * GATHERED);
        for &(number, dtype, to) in &s.numbers {
            let x = match number {
                Number::Known(x) => x,
                Number::Bound(slot) => memory.bound.numbers[slot as usize],
            };
            // SAFETY: registers are inside the scratch memory.
            unsafe { put(r.add(to as usize), x, dtype) };
        }
        for l in &s.loads {
            // SAFETY: registers are inside the scratch memory.
            unsafe { copy(l, element(l, memory), r.add(l.register as usize)) };
        }
        for g in &s.code {
            for p in &g.pieces {
                match p.n <= FEW {
                    true => one_by_one(g, p, &s.positions, r),
                    false => together(g, p, &s.positions, r, scratch),
                }
            }
        }
        for l in &s.stores {
            // SAFETY: as above.
            unsafe { copy(l, r.add(l.register as usize), element(l, memory)) };
        }
    });
}

fn element(l: &Element, memory: &Memory) -> *mut u8 {
    memory.at(l.buffer, l.offset, l.dtype.size())
}

/// # Safety
/// Both are places for an element of the dtype.
unsafe fn copy(l: &Element, from: *const u8, to: *mut u8) {
    // SAFETY: the caller's promise.
    unsafe {
        match l.dtype.size() {
            1 => *to = *from,
            4 => *to.cast::<u32>() = *from.cast::<u32>(),
            _ => *to.cast::<u64>() = *from.cast::<u64>(),
        }
    }
}

/// The vector loop over the piece.
fn together(g: &Group, p: &Piece, positions: &[u32], r: *mut u8, gathered: *mut u8) {
    let n = p.n as usize;
    let blocks = n.next_multiple_of(BLOCK);
    let mut from = [std::ptr::null(); 3];
    for (k, from) in from.iter_mut().enumerate().take(g.arity as usize) {
        let to = gathered.wrapping_add(k * GATHERED);
        let (repeat, gather) = g.together[k];
        // SAFETY: operands are registers of the loop's type; there is room for the longest piece.
        *from = unsafe {
            match p.from[k] {
                Lined::Run(first) => r.add(first as usize),
                Lined::Same(register) => {
                    repeat(
                        &[r.add(register as usize); 3].map(<*mut u8>::cast_const),
                        to,
                        blocks,
                    );
                    to
                }
                Lined::Listed(first) => {
                    let list = positions[first as usize..][..n].as_ptr().cast();
                    gather(&[r, list, list], to, n);
                    to
                }
            }
        };
    }
    // SAFETY: so many can be read behind every operand, and written behind every result: there is
    // nothing, or what later pieces write. Lanes past the last are computed for nothing.
    unsafe { (g.lanes)(&from, r.add(p.to as usize), blocks) };
}

/// By the exact formula. (Inlined: most operations on single numbers come here alone.)
#[inline]
fn one_by_one(g: &Group, p: &Piece, positions: &[u32], r: *mut u8) {
    for i in 0..p.n as usize {
        let mut x = [0.0; 3];
        macro_rules! operands {
            ($($k:literal)*) => {$(
                if $k < g.arity {
                    let at = p.from[$k].at(i, g.dtypes[$k].size(), positions);
                    // SAFETY: registers are inside the scratch memory.
                    x[$k] = unsafe { take(r.add(at), g.dtypes[$k]) };
                }
            )*};
        }
        operands!(0 1 2);
        let y = match g.what {
            Operation::Row(row) => (row.0.exact)(&x[..g.arity as usize]),
            Operation::Cast(_) => x[0],
        };
        let to = p.to as usize + i * g.dtype.size();
        // SAFETY: as above.
        unsafe { put(r.add(to), y, g.dtype) };
    }
}

/// # Safety
/// `from` is an element of the dtype.
#[inline(always)]
unsafe fn take(from: *const u8, dtype: DType) -> f64 {
    // SAFETY: the caller's promise.
    unsafe {
        match dtype {
            DType::F64 => *from.cast::<f64>(),
            DType::F32 => f64::from(*from.cast::<f32>()),
            DType::I64 => *from.cast::<i64>() as f64,
            DType::U8 | DType::Bool => f64::from(*from),
        }
    }
}

/// # Safety
/// `to` has room for an element of the dtype.
#[inline(always)]
unsafe fn put(to: *mut u8, x: f64, dtype: DType) {
    match dtype {
        // SAFETY: the caller's promise.
        DType::F64 => unsafe { *to.cast::<f64>() = x },
        _ => loops::fill(to, x, dtype, 1),
    }
}
