//! Groups of kernels, tile by tile of the outer axis that they share.

use super::{Line, Memory, loops, matmul, with_scratch};
use crate::compile::program::{BufferSpec, Kernel, Program, Tiled};
use std::cell::RefCell;

thread_local! {
    /// The addresses of all buffers as a tile sees them, and the arrays that are its own.
    static TILE: RefCell<Vec<Line>> = const { RefCell::new(Vec::new()) };
    /// Copies of what tiles meet in, for all tiles of each loop.
    static COPIES: RefCell<Vec<Line>> = const { RefCell::new(Vec::new()) };
}

/// Memory that each tile uses a part of.
#[derive(Clone, Copy)]
struct Copies(*mut u8);

// SAFETY: tiles use different parts.
unsafe impl Sync for Copies {}

impl Copies {
    fn at(&self, offset: usize) -> *mut u8 {
        self.0.wrapping_add(offset)
    }
}

/// Notes how the loops of a group are cut, and where their copies are.
pub(super) fn cut(t: &mut Tiled, buffers: &[BufferSpec]) {
    t.copies = 0;
    for kernel in &mut t.kernels {
        if let Kernel::Loop(l) = kernel {
            l.cut = loops::cut_tiles(l, buffers, t.extent, t.length);
            l.cut.at = t.copies;
            t.copies += loops::copies(l);
        }
    }
}

pub(super) fn run(t: &Tiled, program: &Program, memory: &Memory) {
    with_scratch(&COPIES, t.copies, |copies| {
        let copies = Copies(copies);
        let tiles = t.extent.div_ceil(t.length);
        memory.each(tiles, &|i| tile(t, program, memory, i, copies));
        for kernel in &t.kernels {
            if let Kernel::Loop(l) = kernel {
                loops::meet_tiles(l, program, memory, copies.at(l.cut.at));
            }
        }
    });
}

/// Runs all kernels for tile `i`.
fn tile(t: &Tiled, program: &Program, memory: &Memory, i: usize, copies: Copies) {
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
        let memory = Memory {
            base,
            bound: memory.bound,
            team: None,
        };
        for kernel in &t.kernels {
            match kernel {
                Kernel::Loop(l) => loops::run_tile(l, program, &memory, i, copies.at(l.cut.at)),
                Kernel::MatMul(m) => matmul::run_parts(m, &memory, &parts, t.extent),
                _ => unreachable!("only loops and products are tiled"),
            }
        }
    });
}
