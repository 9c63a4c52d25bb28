//! Tiling: kernels that follow each other and share their outer axis (the batch, say) run tile by
//! tile of it. What one kernel leaves, the next finds in its cache, and what nobody else reads needs
//! no more memory than a tile.

use super::plan::Free;
use super::program::{Kernel, Local, Loop, Operand, Output, Place, Program, Tiled};
use super::view::{PerAxis, View, collapse};
use std::collections::{BTreeMap, BTreeSet};

/// Bytes of a second cache, as most machines have one.
const CACHE: usize = 512 * 1024;
/// Bytes that a tile is to touch, if parts are small enough.
const TILE: usize = CACHE / 4;

/// How many kernels further on an outer axis may be found.
const AHEAD: usize = 4;

/// Kernels of a group, at most.
const MOST: usize = 64;

/// Groups kernels into [`Tiled`] ones where that keeps more than a cache's worth of bytes near.
pub(crate) fn tile(program: &mut Program) {
    let uses = Uses::new(program);
    let kernels = std::mem::take(&mut program.kernels);
    let (mut groups, mut at) = (vec![], 0);
    while at < kernels.len() {
        match best(program, &kernels[at..], &uses) {
            Some(group) => {
                groups.push((at, group));
                at += group.kernels;
            }
            None => at += 1,
        }
    }
    let mut rest = kernels.into_iter();
    let mut at = 0;
    for (start, group) in groups {
        program.kernels.extend(rest.by_ref().take(start - at));
        let inside: Vec<Kernel> = rest.by_ref().take(group.kernels).collect();
        let tiled = tiled(program, inside, start, group, &uses);
        program.kernels.push(Kernel::Tiled(tiled));
        at = start + group.kernels;
    }
    program.kernels.extend(rest);
}

/// A group: how many kernels, the extent of the axis that they share, and how much of that is a tile.
#[derive(Clone, Copy)]
struct Group {
    kernels: usize,
    extent: usize,
    length: usize,
}

/// The kernels from which to which each buffer is used, and those that replays write over.
struct Uses {
    span: Vec<(usize, usize)>,
    over: BTreeSet<u32>,
}

impl Uses {
    fn new(program: &Program) -> Uses {
        let mut span = vec![(usize::MAX, 0); program.buffers.len()];
        for (i, kernel) in program.kernels.iter().enumerate() {
            for b in kernel.reads().into_iter().chain(kernel.writes()) {
                let (first, last) = span[b as usize];
                span[b as usize] = (first.min(i), last.max(i));
            }
        }
        let in_place = |o: &Output| match o {
            Output::Made { n, in_place } => in_place.map(|_| *n),
            Output::Input(_) => None,
        };
        let in_place: BTreeSet<u32> = program.outputs.iter().filter_map(in_place).collect();
        let over = |b: &u32| match program.buffers[*b as usize].place {
            Place::Output(n) => in_place.contains(&n),
            _ => false,
        };
        Uses {
            over: (0..program.buffers.len() as u32).filter(over).collect(),
            span,
        }
    }
}

/// The best group of the first kernels, if one is worth it.
fn best(program: &Program, kernels: &[Kernel], uses: &Uses) -> Option<Group> {
    let first = kernels[0].reads().into_iter().chain(kernels[0].writes());
    if first.map(|b| bytes(program, b)).sum::<usize>() < TILE {
        return None;
    }
    let mut extents = BTreeSet::new();
    for kernel in kernels.iter().take(AHEAD) {
        extents.extend(outer_extents(kernel));
    }
    let mut best = None;
    for extent in extents {
        let run = Run::longest(program, kernels, extent, uses);
        // What fits into the cache stays there anyway.
        if run.kernels > 1 && run.touched > CACHE && run.kept > CACHE / 2 {
            let length = (TILE * extent / run.touched).clamp(1, extent);
            // In equal tiles.
            let length = extent.div_ceil(extent.div_ceil(length));
            best = best.max(Some((run.kept, extent, run.kernels, length)));
        }
    }
    best.map(|(_, extent, kernels, length)| Group {
        kernels,
        extent,
        length,
    })
}

fn bytes(program: &Program, buffer: u32) -> usize {
    let spec = &program.buffers[buffer as usize];
    spec.len * spec.dtype.size()
}

/// Of which lengths the outer axis of a kernel may be taken to be.
fn outer_extents(kernel: &Kernel) -> Vec<usize> {
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

/// Kernels from the first one on that can run tile by tile.
#[derive(Default)]
struct Run {
    kernels: usize,
    /// Bytes that one of them reads after another has read or written them.
    kept: usize,
    /// Bytes that they touch, but for what is shared by all tiles.
    touched: usize,
}

impl Run {
    fn longest(program: &Program, kernels: &[Kernel], extent: usize, uses: &Uses) -> Run {
        let bytes = |b: u32| bytes(program, b);
        let mut run = Run::default();
        let mut found = Run::default();
        // Buffers of which tiles touch their own part; that they read otherwise; in which they meet.
        let (mut near, mut shared, mut met) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        // And those that are written.
        let mut made = BTreeSet::new();
        for kernel in kernels.iter().take(MOST) {
            let Some(accesses) = accesses(program, kernel, extent) else {
                break;
            };
            let fits = accesses.iter().all(|a| {
                let b = &a.buffer;
                let alone = || accesses.iter().filter(|a| a.buffer == *b).count() == 1;
                let touched = || near.contains(b) || shared.contains(b);
                !met.contains(b)
                    && match (a.what, a.apart) {
                        (Use::Read, apart) => apart || !made.contains(b),
                        (_, true) => !shared.contains(b) && !uses.over.contains(b),
                        (Use::Write, false) => false,
                        // Each tile has a copy of its own.
                        (Use::Fold, false) => alone() && !touched() && bytes(*b) <= CACHE / 16,
                    }
            });
            if !fits {
                break;
            }
            for a in accesses {
                let b = a.buffer;
                match (a.what, a.apart) {
                    (Use::Fold, false) => _ = met.insert(b),
                    (Use::Read, false) => _ = shared.insert(b),
                    _ => {
                        let first = near.insert(b);
                        run.touched += if first { bytes(b) } else { 0 };
                        let again = !first && a.what == Use::Read;
                        run.kept += if again { bytes(b) } else { 0 };
                    }
                }
                if a.what != Use::Read {
                    made.insert(b);
                }
            }
            if run.touched / extent > CACHE {
                break;
            }
            run.kernels += 1;
            // What comes after the last kernel that finds something near gains nothing.
            if run.kept > found.kept {
                found = Run { ..run };
            }
        }
        found
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Use {
    Read,
    Write,
    Fold,
}

/// How a kernel uses a buffer.
struct Access {
    buffer: u32,
    what: Use,
    /// Whether tile `i` of `n` touches only the `i`-th of `n` equal parts of the buffer.
    apart: bool,
}

/// What a kernel touches, if it can be cut into `extent` parts.
fn accesses(program: &Program, kernel: &Kernel, extent: usize) -> Option<Vec<Access>> {
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
        Kernel::MatMul(m) if elements(&m.batch).is_multiple_of(extent) => {
            let side = |o: &Operand, rows: usize, columns: usize| {
                let mut dims = m.batch.clone();
                dims.extend([rows, columns]);
                access(o, &dims, Use::Read)
            };
            let written = Access {
                buffer: m.out,
                what: Use::Write,
                apart: true,
            };
            Some(vec![
                side(&m.left, m.m, m.k),
                side(&m.right, m.k, m.n),
                written,
            ])
        }
        _ => None,
    }
}

/// Whether part `i` of `extent` of an index space lies in part `i` of `extent` of the buffer.
fn is_apart(view: &View, dims: &[usize], extent: usize, len: usize) -> bool {
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

/// The group of `kernels`, the first of which stands at `start` in the program.
fn tiled(
    program: &mut Program,
    mut kernels: Vec<Kernel>,
    start: usize,
    group: Group,
    uses: &Uses,
) -> Tiled {
    let Group { extent, length, .. } = group;
    for kernel in &mut kernels {
        if let Kernel::Loop(Loop { dims, folds, .. }) = kernel {
            for f in folds {
                let len = program.buffers[f.to.buffer as usize].len;
                f.meets = !is_apart(&f.to.view, dims, extent, len);
            }
        }
    }
    // What is used nowhere else gets a place for one tile.
    let mut life: BTreeMap<u32, (usize, usize)> = BTreeMap::new();
    for (i, kernel) in kernels.iter().enumerate() {
        for b in kernel.writes().into_iter().chain(kernel.reads()) {
            let (first, last) = uses.span[b as usize];
            let inside = start <= first && last < start + kernels.len();
            if inside && matches!(program.buffers[b as usize].place, Place::Arena(_)) {
                life.entry(b).or_insert((i, i)).1 = i;
            }
        }
    }
    let mut free = Free::default();
    let mut local = Vec::new();
    let size = |part: usize| super::plan::size(part * length, 1);
    for i in 0..kernels.len() {
        for (&buffer, _) in life.iter().filter(|(_, (first, _))| *first == i) {
            let spec = &mut program.buffers[buffer as usize];
            spec.place = Place::Tile;
            let part = spec.len / extent * spec.dtype.size();
            let offset = free.take(size(part));
            local.push(Local {
                buffer,
                offset,
                part,
            });
        }
        for (&buffer, _) in life.iter().filter(|(_, (_, last))| *last == i) {
            let l = local.iter().find(|l| l.buffer == buffer);
            l.into_iter()
                .for_each(|l| free.give(l.offset, size(l.part)));
        }
    }
    Tiled {
        kernels,
        extent,
        length,
        local,
        bytes: free.end,
        copies: 0,
    }
}
