//! Straight-line code on single numbers.

use super::loops::{self, TILE};
use super::{Line, Memory, with_scratch};
use crate::compile::program::{Element, Group, Lined, Number, Operation, Scalars};
use crate::dtype::DType;
use crate::lanes::BLOCK;
use std::cell::RefCell;

/// Up to so many instructions are quicker one by one than as a vector.
const FEW: u32 = 3;

/// Bytes of the operands of a tile that had to be brought together.
const GATHERED: usize = TILE * 8;

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
            loops::fill(r.wrapping_add(to as usize), x, dtype, 1);
        }
        for l in &s.loads {
            // SAFETY: registers are inside the scratch memory.
            unsafe { copy(l, element(l, memory), r.add(l.register as usize)) };
        }
        for g in &s.code {
            match g.n <= FEW {
                true => one_by_one(g, &s.positions, r),
                false => together(g, &s.positions, r, scratch),
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

/// The vector loop over the group, in tiles.
fn together(g: &Group, positions: &[u32], r: *mut u8, gathered: *mut u8) {
    let n = g.n as usize;
    for start in (0..n).step_by(TILE) {
        let len = TILE.min(n - start);
        let mut from = [std::ptr::null(); 3];
        for (k, from) in from.iter_mut().enumerate().take(g.arity as usize) {
            let size = g.dtypes[k].size();
            *from = match g.from[k] {
                Lined::Run(first) => r.wrapping_add(first as usize + start * size),
                Lined::Listed(first) => {
                    let to = gathered.wrapping_add(k * GATHERED);
                    let list = &positions[first as usize + start..][..len];
                    // SAFETY: positions are those of registers of this size; a tile fits.
                    unsafe {
                        match size {
                            1 => gather::<u8>(list, r, to),
                            4 => gather::<u32>(list, r, to),
                            _ => gather::<u64>(list, r, to),
                        }
                    }
                    to
                }
            }
            .cast_const();
        }
        let to = r.wrapping_add(g.to as usize + start * g.dtype.size());
        // SAFETY: results have room for whole blocks, and so many can be read behind every operand;
        // lanes past the last are computed for nothing.
        unsafe { (g.lanes)(&from, to, len.next_multiple_of(BLOCK)) };
    }
}

/// # Safety
/// Positions are those of elements of T; `to` has room for all.
unsafe fn gather<T: Copy>(positions: &[u32], r: *const u8, to: *mut u8) {
    for (i, &at) in positions.iter().enumerate() {
        // SAFETY: the caller's promise.
        unsafe { *to.cast::<T>().add(i) = *r.add(at as usize).cast::<T>() };
    }
}

/// By the exact formula.
fn one_by_one(g: &Group, positions: &[u32], r: *mut u8) {
    for i in 0..g.n as usize {
        let mut x = [0.0; 3];
        for (k, x) in x.iter_mut().enumerate().take(g.arity as usize) {
            let at = match g.from[k] {
                Lined::Run(first) => first as usize + i * g.dtypes[k].size(),
                Lined::Listed(first) => positions[first as usize + i] as usize,
            };
            // SAFETY: registers are inside the scratch memory.
            *x = unsafe {
                match g.dtypes[k] {
                    DType::F64 => *r.add(at).cast::<f64>(),
                    DType::F32 => f64::from(*r.add(at).cast::<f32>()),
                    DType::I64 => *r.add(at).cast::<i64>() as f64,
                    DType::U8 | DType::Bool => f64::from(*r.add(at)),
                }
            };
        }
        let y = match g.what {
            Operation::Row(row) => (row.0.exact)(&x[..g.arity as usize]),
            Operation::Cast(_) => x[0],
        };
        loops::fill(
            r.wrapping_add(g.to as usize + i * g.dtype.size()),
            y,
            g.dtype,
            1,
        );
    }
}
