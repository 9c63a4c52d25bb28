//! Share: what several loops of a group compute, the first of them computes for all.
//!
//! Loops compute again what is cheaper to compute than to keep in memory (`recompute.rs`). In a group
//! that runs tile by tile, what is kept is a tile, and stays in the cache: there less pays.

use super::program::*;
use super::registers;
use super::view::{PerAxis, View, Walk};
use crate::graph::RowRef;
use crate::graph::row::Family;
use crate::{DType, Shape};
use std::collections::HashMap;

/// What an instruction costs, in passes over a tile: a load, a store or simple arithmetic is one.
/// Rows for floats alone (exponentials, quotients, roots) take several times as long.
fn cost(i: &Instruction) -> usize {
    match i.what {
        Operation::Row(RowRef(row)) if row.family == Family::Float => 4,
        _ => 1,
    }
}

/// What a value is: where two are equal, so are their elements.
#[derive(PartialEq, Eq, Hash)]
enum What {
    /// After so many kernels that write to the buffer.
    Load(Operand, usize),
    Known(u64, DType),
    Bound(u32, DType),
    /// Of these values.
    Code(Operation, DType, [usize; 3]),
}

/// Values of all loops of a group, by number.
#[derive(Default)]
struct Values {
    numbers: HashMap<(PerAxis<usize>, What), usize>,
    /// How many kernels have written to each buffer.
    writes: HashMap<u32, usize>,
    /// Which loop computes each value first, and in which of its registers.
    made: HashMap<usize, (usize, u16)>,
}

impl Values {
    fn number(&mut self, dims: &[usize], what: What) -> usize {
        let next = self.numbers.len();
        let key = (PerAxis::from_slice(dims), what);
        *self.numbers.entry(key).or_insert(next)
    }

    fn load(&self, from: &Operand) -> What {
        let writes = self.writes.get(&from.buffer).copied();
        What::Load(from.clone(), writes.unwrap_or(0))
    }

    /// The number of what is in each register of a loop, where each has one value.
    fn of(&mut self, l: &Loop) -> Vec<usize> {
        let mut found = vec![0; l.registers as usize];
        for x in &l.loads {
            let what = self.load(&x.from);
            found[x.register as usize] = self.number(&l.dims, what);
        }
        for &(number, dtype, r) in &l.numbers {
            let what = match number {
                Number::Known(x) => What::Known(x.to_bits(), dtype),
                Number::Bound(slot) => What::Bound(slot, dtype),
            };
            found[r as usize] = self.number(&l.dims, what);
        }
        for i in &l.code {
            let mut from = [0; 3];
            let operands = from.iter_mut().zip(i.operands());
            operands.for_each(|(value, &r)| *value = found[r as usize]);
            let what = What::Code(i.what, i.dtype, from);
            found[i.to as usize] = self.number(&l.dims, what);
        }
        found
    }

    /// What it costs to load a value that a loop has made: 1, and 1 for storing it.
    fn price(&self, kernels: &[Kernel], value: usize) -> Option<usize> {
        let &(k, register) = self.made.get(&value)?;
        match &kernels[k] {
            Kernel::Loop(maker) => Some(1 + usize::from(self.stored(maker, register).is_none())),
            _ => None,
        }
    }

    /// Where a register of a loop is stored, and still is.
    fn stored<'a>(&self, maker: &'a Loop, register: u16) -> Option<&'a Operand> {
        let kept = |s: &&Store| {
            let writes = self.writes.get(&s.to.buffer);
            s.register == register && writes.is_none_or(|&n| n == 1)
        };
        maker.stores.iter().find(kept).map(|s| &s.to)
    }

    /// Notes what a kernel has written; and, of a loop, what that and its other values are.
    fn note(&mut self, at: usize, kernel: &Kernel, found: &[usize]) {
        for b in kernel.writes() {
            *self.writes.entry(b).or_default() += 1;
        }
        if let Kernel::Loop(l) = kernel {
            for i in &l.code {
                let value = found[i.to as usize];
                self.made.entry(value).or_insert((at, i.to));
            }
            for s in &l.stores {
                let key = (l.dims.clone(), self.load(&s.to));
                self.numbers.insert(key, found[s.register as usize]);
            }
        }
    }
}

/// Lets loops among the kernels of a group load what earlier ones compute, where that saves more than
/// it costs. The loops that it changed, as they were.
pub(super) fn share(kernels: &mut [Kernel], buffers: &mut Vec<BufferSpec>) -> Vec<(usize, Loop)> {
    let mut old: Vec<Option<Loop>> = Vec::new();
    for kernel in &mut *kernels {
        old.push(match kernel {
            Kernel::Loop(l) => {
                let before = l.clone();
                registers::spread(l);
                Some(before)
            }
            _ => None,
        });
    }
    let mut values = Values::default();
    let mut changed = vec![false; kernels.len()];
    for at in 0..kernels.len() {
        let (before, rest) = kernels.split_at_mut(at);
        let mut found = Vec::new();
        if let Kernel::Loop(l) = &mut rest[0] {
            found = values.of(l);
            for i in worth_loading(l, |i| values.price(before, found[i.to as usize])) {
                let (register, dtype) = (l.code[i].to, l.code[i].result());
                let (k, made) = values.made[&found[register as usize]];
                let Kernel::Loop(maker) = &mut before[k] else {
                    unreachable!("only loops are noted as makers")
                };
                let from = match values.stored(maker, made) {
                    Some(from) => from.clone(),
                    None => store(maker, made, dtype, buffers),
                };
                l.loads.push(Load {
                    walk: Walk::new(&from.view, &l.dims),
                    from,
                    dtype,
                    register,
                });
                (changed[k], changed[at]) = (true, true);
            }
            drop_unused(l);
        }
        values.note(at, &rest[0], &found);
    }
    let mut was = Vec::new();
    for (at, (kernel, before)) in kernels.iter_mut().zip(old).enumerate() {
        if let (Kernel::Loop(l), Some(before)) = (kernel, before) {
            match changed[at] {
                true => {
                    registers::spread(l);
                    registers::allocate(l);
                    was.push((at, before));
                }
                false => *l = before,
            }
        }
    }
    was
}

/// Makes a loop store what it has in a register; where.
fn store(l: &mut Loop, register: u16, dtype: DType, buffers: &mut Vec<BufferSpec>) -> Operand {
    let shape: Shape = l.dims.iter().copied().collect();
    let to = Operand {
        buffer: buffers.len() as u32,
        view: View::contiguous(&shape),
    };
    buffers.push(BufferSpec {
        dtype,
        len: shape.elements(),
        place: Place::Arena(0),
    });
    l.stores.push(Store {
        to: to.clone(),
        walk: Walk::new(&to.view, &l.dims),
        dtype,
        register,
        deferred: false,
    });
    to
}

/// Instructions of a loop with results that are better loaded than computed; `price` says what that
/// costs, where it can be done.
fn worth_loading(l: &Loop, price: impl Fn(&Instruction) -> Option<usize>) -> Vec<usize> {
    let mut loaded = vec![false; l.code.len()];
    // What others are made of comes later: it may no longer be needed then.
    for i in (0..l.code.len()).rev() {
        if let Some(price) = price(&l.code[i]) {
            let before = work(l, &loaded);
            loaded[i] = true;
            loaded[i] = work(l, &loaded) + price < before;
        }
    }
    (0..l.code.len()).filter(|&i| loaded[i]).collect()
}

/// What a loop costs, but for its stores and folds, if some results are not computed.
fn work(l: &Loop, loaded: &[bool]) -> usize {
    let needed = needed(l, loaded);
    let code = l.code.iter().zip(loaded);
    let code = code.filter(|(i, loaded)| needed[i.to as usize] && !**loaded);
    let loads = l.loads.iter().filter(|x| needed[x.register as usize]);
    code.map(|(i, _)| cost(i)).sum::<usize>() + loads.count()
}

/// The registers that are read, if some results are not computed.
fn needed(l: &Loop, loaded: &[bool]) -> Vec<bool> {
    let mut needed = vec![false; l.registers as usize];
    let stores = l.stores.iter().map(|s| s.register);
    let ends = stores.chain(l.folds.iter().map(|f| f.register));
    ends.for_each(|r| needed[r as usize] = true);
    for (i, loaded) in l.code.iter().zip(loaded).rev() {
        if needed[i.to as usize] && !loaded {
            i.operands().iter().for_each(|&r| needed[r as usize] = true);
        }
    }
    needed
}

/// Drops instructions with results that are loaded, and all that is needed only for these.
fn drop_unused(l: &mut Loop) {
    let is_loaded = |i: &Instruction| l.loads.iter().any(|x| x.register == i.to);
    let loaded: Vec<bool> = l.code.iter().map(is_loaded).collect();
    let needed = needed(l, &loaded);
    let mut loaded = loaded.into_iter();
    l.code
        .retain(|i| loaded.next() == Some(false) && needed[i.to as usize]);
    l.loads.retain(|x| needed[x.register as usize]);
    l.numbers.retain(|x| needed[x.2 as usize]);
}
