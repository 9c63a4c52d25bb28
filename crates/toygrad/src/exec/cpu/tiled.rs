//! Groups of kernels, tile by tile of the outer axis that they share.

use super::{Line, Memory, loops, matmul, with_scratch};
use crate::compile::program::{Fold, Kernel, Program, Tiled};
use smallvec::SmallVec;
use std::cell::RefCell;

thread_local! {
    /// The addresses of all buffers as a tile sees them, and the arrays that are its own.
    static TILE: RefCell<Vec<Line>> = const { RefCell::new(Vec::new()) };
    /// Copies of what tiles meet in, one for each tile.
    static COPIES: RefCell<Vec<Line>> = const { RefCell::new(Vec::new()) };
}

/// Memory that each tile has a part of.
#[derive(Clone, Copy)]
struct Copies(*mut u8);

// SAFETY: tiles use different parts.
unsafe impl Sync for Copies {}

impl Copies {
    fn at(&self, offset: usize) -> *mut u8 {
        self.0.wrapping_add(offset)
    }
}

pub(super) fn run(t: &Tiled, program: &Program, memory: &Memory) {
    let tiles = t.extent.div_ceil(t.length);
    let len = |f: &Fold| program.buffers[f.to.buffer as usize].len;
    // Folds whose elements tiles meet in, and where their copies are.
    let mut size = 0;
    let meeting: SmallVec<[(&Fold, usize); 4]> = folds(t)
        .filter(|f| f.meets)
        .map(|f| {
            let offset = size;
            size += (len(f) * f.dtype.size()).next_multiple_of(64);
            (f, offset)
        })
        .collect();
    with_scratch(&COPIES, tiles * size, |copies| {
        let copies = Copies(copies);
        let work = |i: usize| {
            let own = meeting
                .iter()
                .map(|(f, at)| (f.to.buffer, copies.at(i * size + at)));
            tile(t, program, memory, i, own);
        };
        match t.kernels.iter().any(Kernel::is_large) {
            true => memory.each(tiles, &work),
            false => (0..tiles).for_each(work),
        }
        for &(f, at) in &meeting {
            let copies = (0..tiles).map(|i| copies.at(i * size + at));
            loops::meet(f, copies, memory, len(f));
        }
    });
}

fn folds(t: &Tiled) -> impl Iterator<Item = &Fold> {
    t.kernels.iter().flat_map(|kernel| match kernel {
        Kernel::Loop(l) => &l.folds[..],
        _ => &[],
    })
}

/// Runs all kernels for tile `i`, which has some buffers of its own.
fn tile(
    t: &Tiled,
    program: &Program,
    memory: &Memory,
    i: usize,
    own: impl Iterator<Item = (u32, *mut u8)>,
) {
    let parts = i * t.length..t.extent.min((i + 1) * t.length);
    let buffers = program.buffers.len();
    let addresses = (buffers * size_of::<*mut u8>()).next_multiple_of(64);
    with_scratch(&TILE, addresses + t.bytes, |scratch| {
        // SAFETY: the scratch has room for all addresses, and is aligned for them.
        let base = unsafe { std::slice::from_raw_parts_mut(scratch.cast(), buffers) };
        base.copy_from_slice(memory.base);
        for l in &t.local {
            // So that the tile's first part lies at the start of its own memory.
            let own = scratch.wrapping_add(addresses + l.offset);
            base[l.buffer as usize] = own.wrapping_sub(parts.start * l.part);
        }
        own.for_each(|(buffer, at)| base[buffer as usize] = at);
        let memory = Memory {
            base,
            bound: memory.bound,
            team: None,
        };
        for kernel in &t.kernels {
            match kernel {
                Kernel::Loop(l) => loops::run_parts(l, program, &memory, &parts, t.extent),
                Kernel::MatMul(m) => matmul::run_parts(m, &memory, &parts, t.extent),
                _ => unreachable!("only loops and products are tiled"),
            }
        }
    });
}
