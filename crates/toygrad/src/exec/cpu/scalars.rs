//! Straight-line code on single numbers.

use super::Memory;
use crate::compile::program::{Load2, Number, Operation, Scalars};
use crate::dtype::DType;
use std::cell::RefCell;

thread_local! {
    static REGISTERS: RefCell<Vec<f64>> = const { RefCell::new(Vec::new()) };
}

pub(super) fn run(s: &Scalars, memory: &Memory) {
    REGISTERS.with_borrow_mut(|r| {
        if r.len() < s.registers as usize {
            r.resize(s.registers as usize, 0.0);
        }
        for &(number, dtype, to) in &s.numbers {
            let x = match number {
                Number::Known(x) => x,
                Number::Bound(slot) => memory.bound.numbers[slot as usize],
            };
            r[to as usize] = rounded(x, dtype);
        }
        for l in &s.loads {
            r[l.register as usize] = load(l, memory);
        }
        for i in &s.code {
            let x = i.from.map(|k| r[k as usize]);
            let y = match i.what {
                Operation::Row(row) => (row.0.exact)(&x[..i.arity as usize]),
                Operation::Cast(DType::Bool) => f64::from(x[0] != 0.0),
                Operation::Cast(_) => x[0],
            };
            r[i.to as usize] = rounded(y, i.dtype);
        }
        for l in &s.stores {
            store(l, r[l.register as usize], memory);
        }
    });
}

#[inline(always)]
fn rounded(x: f64, dtype: DType) -> f64 {
    if dtype == DType::F32 {
        f64::from(x as f32)
    } else {
        x
    }
}

fn load(l: &Load2, memory: &Memory) -> f64 {
    let at = memory.at(l.buffer, l.offset, l.dtype.size());
    // SAFETY: the offset is that of an element of the buffer.
    unsafe {
        match l.dtype {
            DType::F64 => *at.cast::<f64>(),
            DType::F32 => f64::from(*at.cast::<f32>()),
            DType::I64 => *at.cast::<i64>() as f64,
            DType::U8 | DType::Bool => f64::from(*at),
        }
    }
}

fn store(l: &Load2, x: f64, memory: &Memory) {
    let at = memory.at(l.buffer, l.offset, l.dtype.size());
    // SAFETY: the offset is that of an element of the buffer.
    unsafe {
        match l.dtype {
            DType::F64 => *at.cast::<f64>() = x,
            DType::F32 => *at.cast::<f32>() = x as f32,
            DType::I64 => *at.cast::<i64>() = x as i64,
            DType::U8 | DType::Bool => *at = x as u8,
        }
    }
}
