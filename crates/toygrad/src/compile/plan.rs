//! Plan: lifetimes of buffers → offsets in one arena, and which results may be written over inputs.

use super::program::{Instruction, Kernel, Load, Loop, Output, Place, Program, SingleKind};
use super::view::View;
use crate::Shape;

/// Arena offsets are multiples of a cache line.
const ALIGN: usize = 64;

/// Gives every intermediate buffer a place in the arena, in the order of the kernels: that of one
/// which a loop reads for the last time while it writes this one, or what fits best of what is free.
pub(crate) fn plan(program: &mut Program) {
    let n = program.buffers.len();
    let (mut first, mut last) = (vec![usize::MAX; n], vec![0; n]);
    for (i, kernel) in program.kernels.iter().enumerate() {
        for b in kernel.writes().into_iter().chain(kernel.reads()) {
            first[b as usize] = first[b as usize].min(i);
            last[b as usize] = i;
        }
    }
    let mut ends: Vec<Vec<u32>> = vec![Vec::new(); program.kernels.len()];
    let mut starts: Vec<Vec<u32>> = vec![Vec::new(); program.kernels.len()];
    for b in 0..n {
        if matches!(program.buffers[b].place, Place::Arena(_)) && first[b] != usize::MAX {
            starts[first[b]].push(b as u32);
            ends[last[b]].push(b as u32);
        }
    }
    let mut free = Free::default();
    for i in 0..program.kernels.len() {
        for &b in &starts[i] {
            let spec = program.buffers[b as usize];
            let over = ends[i].iter().position(|&a| {
                let old = program.buffers[a as usize];
                let alike = (old.len, old.dtype.size()) == (spec.len, spec.dtype.size());
                match &mut program.kernels[i] {
                    Kernel::Loop(l) if alike => write_in_place(l, b, a),
                    _ => false,
                }
            });
            program.buffers[b as usize].place = match over {
                Some(at) => program.buffers[ends[i].swap_remove(at) as usize].place,
                None => Place::Arena(free.take(size(spec.len, spec.dtype.size()))),
            };
        }
        for &b in &ends[i] {
            let spec = &program.buffers[b as usize];
            if let Place::Arena(offset) = spec.place {
                free.give(offset, size(spec.len, spec.dtype.size()));
            }
        }
    }
    program.arena = free.end;
}

pub(super) fn size(len: usize, bytes: usize) -> usize {
    (len * bytes).next_multiple_of(ALIGN).max(ALIGN)
}

/// Free stretches of the arena.
#[derive(Default)]
pub(super) struct Free {
    /// Offset and length of each, in the order of offsets; none touches the next.
    gaps: Vec<(usize, usize)>,
    pub end: usize,
}

impl Free {
    pub fn take(&mut self, size: usize) -> usize {
        // The tightest gap wastes least; the search is short, as neighbours are joined.
        let gaps = self.gaps.iter_mut().enumerate();
        let fit = gaps
            .filter(|(_, gap)| gap.1 >= size)
            .min_by_key(|(_, gap)| gap.1);
        match fit {
            Some((i, gap)) => {
                let offset = gap.0;
                *gap = (offset + size, gap.1 - size);
                if gap.1 == 0 {
                    self.gaps.remove(i);
                }
                offset
            }
            None => {
                self.end += size;
                self.end - size
            }
        }
    }

    pub fn give(&mut self, offset: usize, size: usize) {
        let at = self.gaps.partition_point(|gap| gap.0 < offset);
        self.gaps.insert(at, (offset, size));
        for i in [at + 1, at] {
            let joins = i > 0 && i < self.gaps.len() && {
                let (before, len) = self.gaps[i - 1];
                before + len == self.gaps[i].0
            };
            if joins {
                self.gaps[i - 1].1 += self.gaps.remove(i).1;
            }
        }
    }
}

/// Lets root `r` be written over input slot `slot` for each pair (r, slot), where nothing reads
/// the input after the root is written, and a fault can no longer come up.
pub(crate) fn write_over(program: &mut Program, pairs: &[(usize, u32)]) {
    let fails = |k: &Kernel| match k {
        Kernel::Single(s) => matches!(
            s.what,
            SingleKind::Gather { .. } | SingleKind::ScatterAdd { .. }
        ),
        _ => false,
    };
    let last_fault = program.kernels.iter().rposition(fails);
    // For each buffer: the kernels that write it, and the last that reads it.
    let n = program.buffers.len();
    let (mut writers, mut last_read) = (vec![Vec::new(); n], vec![None; n]);
    for (i, kernel) in program.kernels.iter().enumerate() {
        for b in kernel.writes() {
            let writers: &mut Vec<usize> = &mut writers[b as usize];
            if writers.last() != Some(&i) {
                writers.push(i);
            }
        }
        let reads = kernel.reads().into_iter();
        reads.for_each(|b| last_read[b as usize] = Some(i));
    }
    for &(r, slot) in pairs {
        let Output::Made { n, in_place: None } = program.outputs[r] else {
            continue;
        };
        let shared = program.outputs.iter().enumerate().any(|(i, o)| {
            i != r
                && (*o == Output::Input(slot)
                    || matches!(o, Output::Made { n: m, in_place } if *m == n || *in_place == Some(slot)))
        });
        let find = |place| program.buffers.iter().position(|b| b.place == place);
        let (Some(made), Some(over)) = (find(Place::Output(n)), find(Place::Input(slot))) else {
            continue;
        };
        let (out, input) = (&program.buffers[made], &program.buffers[over]);
        let [writer] = writers[made][..] else {
            continue;
        };
        let last_read = last_read[over];
        let in_time =
            last_read.is_none_or(|i| i <= writer) && last_fault.is_none_or(|i| i < writer);
        if shared || !in_time || out.len != input.len || out.dtype != input.dtype {
            continue;
        }
        if last_read == Some(writer) {
            let safe = match &mut program.kernels[writer] {
                Kernel::Loop(l) => write_in_place(l, made as u32, over as u32),
                // It reads all that it reads first.
                Kernel::Scalars(_) => true,
                _ => false,
            };
            if !safe {
                continue;
            }
        }
        program.outputs[r] = Output::Made {
            n,
            in_place: Some(slot),
        };
    }
}

/// Makes a loop write buffer `made` over buffer `over`, which it reads. False if it reads elements
/// elsewhere, or again after its last instruction: in a fold, or as what another store writes.
pub(super) fn write_in_place(l: &mut Loop, made: u32, over: u32) -> bool {
    let shape: Shape = l.dims.iter().copied().collect();
    let alike = |v: &View| v.offset == 0 && v.is_contiguous(&shape);
    let reads: Vec<&Load> = l.loads.iter().filter(|x| x.from.buffer == over).collect();
    let is_read = |register: &u16| reads.iter().any(|x| x.register == *register);
    let mut stores = l.stores.iter().filter(|s| s.to.buffer == made);
    let folded = l.folds.iter().any(|f| [made, over].contains(&f.to.buffer));
    let written = l.stores.iter().any(|s| s.to.buffer == over);
    let folds = l.folds.iter().map(|f| f.register);
    let mut late = l.stores.iter().map(|s| s.register).chain(folds);
    let alike = reads.iter().all(|x| alike(&x.from.view)) && stores.all(|s| alike(&s.to.view));
    if folded || written || late.any(|r| is_read(&r)) || !alike {
        return false;
    }
    let reads = |i: &Instruction| i.operands().iter().any(is_read);
    let last = l.code.iter().rposition(reads);
    for s in l.stores.iter_mut().filter(|s| s.to.buffer == made) {
        // Each element is computed when the last instruction has read what it is written over.
        s.deferred = l.code.iter().position(|i| i.to == s.register) < last;
    }
    true
}
