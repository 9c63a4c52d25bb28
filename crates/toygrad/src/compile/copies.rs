//! Copies: what is made only to be copied is made where the copy would bring it.

use super::program::{Instruction, Kernel, Load, Operand, Place, Program};
use super::view::{PerAxis, View, Walk};
use crate::Shape;
use crate::graph::Movement;

/// Drops the copies of arrays that nothing else reads: who makes one, writes where the copy would.
pub(crate) fn elide(program: &mut Program) {
    let mut uses = vec![Uses::default(); program.buffers.len()];
    for (i, kernel) in program.kernels.iter().enumerate() {
        let (reads, writes) = (kernel.reads(), kernel.writes());
        reads.iter().for_each(|&b| uses[b as usize].reads.push(i));
        writes.iter().for_each(|&b| uses[b as usize].writes.push(i));
    }
    for i in 0..program.kernels.len() {
        for copy in Copy::of(&program.kernels[i]) {
            let (from, to) = (copy.from as usize, copy.to.buffer as usize);
            let spec = program.buffers[from];
            let [maker] = uses[from].writes[..] else {
                continue;
            };
            let alone = uses[from].reads == [i] && matches!(spec.place, Place::Arena(_));
            let whole = copy.rows.elements() == spec.len;
            // Who writes to the copy's place writes each element once, and who reads it does so later.
            let once = |&k: &usize| program.kernels[k].stores_to(copy.to.buffer);
            let later = uses[to].reads.iter().all(|&k| k > i);
            let fits = alone && whole && later && uses[to].writes.iter().all(once);
            if fits && copy.move_to(&mut program.kernels[maker]).is_some() {
                copy.remove(&mut program.kernels[i]);
                let writes = uses[to].writes.iter_mut();
                writes.filter(|k| **k == i).take(1).for_each(|k| *k = maker);
            }
        }
    }
    let works =
        |k: &Kernel| !matches!(k, Kernel::Loop(l) if l.stores.is_empty() && l.folds.is_empty());
    program.kernels.retain(works);
}

/// The kernels that use a buffer.
#[derive(Clone, Default)]
struct Uses {
    reads: Vec<usize>,
    writes: Vec<usize>,
}

/// A part of a loop that only copies.
struct Copy {
    register: u16,
    /// The buffer that it reads, and that in axes which lie one in the other.
    from: u32,
    rows: Shape,
    /// Where these axes go.
    to: Operand,
}

impl Copy {
    /// The copies of a kernel.
    fn of(kernel: &Kernel) -> Vec<Copy> {
        let Kernel::Loop(l) = kernel else {
            return Vec::new();
        };
        let copy = |load: &Load| {
            let register = load.register;
            let operands = l.code.iter().flat_map(Instruction::operands);
            let mut reads = operands.copied().chain(l.folds.iter().map(|f| f.register));
            let mut stores = l.stores.iter().filter(|s| s.register == register);
            let (Some(store), None, false) =
                (stores.next(), stores.next(), reads.any(|r| r == register))
            else {
                return None;
            };
            let (axes, rows) = in_order(&l.dims, &load.from.view)?;
            let mut to = store.to.clone();
            to.view.strides = axes.iter().map(|&a| store.to.view.strides[a]).collect();
            let from = load.from.buffer;
            Some(Copy {
                register,
                from,
                rows,
                to,
            })
        };
        l.loads.iter().filter_map(copy).collect()
    }

    fn remove(&self, kernel: &mut Kernel) {
        if let Kernel::Loop(l) = kernel {
            l.loads.retain(|x| x.register != self.register);
            l.stores.retain(|s| s.register != self.register);
        }
    }

    /// Makes the kernel that writes what this copies write it to its place. `None` if it cannot.
    fn move_to(&self, kernel: &mut Kernel) -> Option<()> {
        match kernel {
            Kernel::MatMul(m) => {
                let mut dims = m.batch.clone();
                dims.extend([m.m, m.n]);
                m.out = self.place(&dims, &m.out.view)?;
            }
            Kernel::Loop(l) => {
                let mut made = l.stores.iter_mut().filter(|s| s.to.buffer == self.from);
                let (Some(store), None) = (made.next(), made.next()) else {
                    return None;
                };
                store.to = self.place(&l.dims, &store.to.view)?;
                store.walk = Walk::new(&store.to.view, &l.dims);
            }
            _ => return None,
        }
        Some(())
    }

    /// Where an index space goes that a kernel writes by the view `made`: in whole rows as before.
    fn place(&self, dims: &[usize], made: &View) -> Option<Operand> {
        let (axes, shape) = in_order(dims, made)?;
        let mut view = self.to.view.moved(&Movement::Reshape, &self.rows, &shape)?;
        let sorted = view.strides.clone();
        axes.iter()
            .zip(sorted)
            .for_each(|(&a, stride)| view.strides[a] = stride);
        let buffer = self.to.buffer;
        let row = |v: &View| v.strides.last() == Some(&1);
        (row(&view) && row(made)).then_some(Operand { buffer, view })
    }
}

/// The axes of an index space from the slowest to the fastest under a view, and their lengths, if
/// it goes through an array from its beginning without a gap.
fn in_order(dims: &[usize], view: &View) -> Option<(PerAxis<usize>, Shape)> {
    if view.offset != 0 || dims.contains(&0) {
        return None;
    }
    let mut axes: PerAxis<usize> = (0..dims.len()).filter(|&a| dims[a] == 1).collect();
    let mut step = 1;
    while axes.len() < dims.len() {
        let next = |a: &usize| dims[*a] != 1 && view.strides[*a] == step;
        let axis = (0..dims.len()).find(next)?;
        axes.push(axis);
        step *= dims[axis] as isize;
    }
    axes.reverse();
    let shape = axes.iter().map(|&a| dims[a]).collect();
    Some((axes, shape))
}
