//! Straight-line code on single numbers.

use super::loops;
use super::{Line, Memory, with_scratch};
use crate::compile::program::{
    Element, LONGEST, Lined, Number, One, Operation, Piece, Scalar, Scalars,
};
use crate::dtype::DType;
use crate::lanes::BLOCK;
use std::cell::RefCell;

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
        for code in &s.code {
            match code {
                // SAFETY: registers are inside the scratch memory.
                Scalar::One(one) => unsafe { run_one(one, r) },
                Scalar::Piece(piece) => together(piece, &s.positions, r, scratch),
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
fn together(p: &Piece, positions: &[u32], r: *mut u8, gathered: *mut u8) {
    let n = p.n as usize;
    let blocks = n.next_multiple_of(BLOCK);
    let mut from = [std::ptr::null(); 3];
    for (k, from) in from.iter_mut().enumerate().take(p.first.arity as usize) {
        let to = gathered.wrapping_add(k * GATHERED);
        let (repeat, gather) = p.together[k];
        let first = r.wrapping_add(p.first.from[k] as usize);
        // SAFETY: operands are registers of the loop's type; there is room for the longest piece.
        *from = unsafe {
            match p.lined[k] {
                Lined::Run => first,
                Lined::Same => {
                    repeat(&[first.cast_const(); 3], to, blocks);
                    to
                }
                Lined::Listed(list) => {
                    let list = positions[list as usize..][..n].as_ptr().cast();
                    gather(&[r, list, list], to, n);
                    to
                }
            }
        };
    }
    // SAFETY: so many can be read behind every operand, and written behind every result: there is
    // nothing, or what later pieces write. Lanes past the last are computed for nothing.
    unsafe { (p.lanes)(&from, r.add(p.first.to as usize), blocks) };
}

/// By the exact formula. (Inlined: most operations on single numbers come here alone.)
///
/// # Safety
/// The registers are at `r`. (So is the first one, which stands for operands that there are not.)
#[inline]
unsafe fn run_one(one: &One, r: *mut u8) {
    use DType::{F32, F64};
    // SAFETY: the caller's promise.
    let at = |register: u32| unsafe { r.add(register as usize) };
    let evaluate = |x: [f64; 3]| match one.what {
        Operation::Row(row) => row.evaluate(x),
        Operation::Cast(_) => x[0],
    };
    // SAFETY: elements of these dtypes are there.
    unsafe {
        match one.dtypes {
            [F64, F64, F64, F64] => {
                *at(one.to).cast::<f64>() = evaluate(one.from.map(|x| *at(x).cast::<f64>()));
            }
            [F32, F32, F32, F32] => {
                let y = evaluate(one.from.map(|x| f64::from(*at(x).cast::<f32>())));
                *at(one.to).cast::<f32>() = y as f32;
            }
            [a, b, c, to] => {
                let mut x = [0.0; 3];
                let operands = one.from.into_iter().zip([a, b, c]);
                for (x, (from, dtype)) in x.iter_mut().zip(operands).take(one.arity as usize) {
                    *x = take(at(from), dtype);
                }
                put(at(one.to), evaluate(x), to);
            }
        }
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
