//! The compiler: Values → Program, in a few separate passes over plain data.
//!
//! canonicalise (number the graph, look up the kept Program) → simplify → fuse → recompute → elide copies →
//! tile (→ share, within groups) → plan memory → pair.

mod access;
pub(crate) mod backward;
pub(crate) mod cache;
mod copies;
mod emit;
mod fuse;
pub(crate) mod graph;
mod group;
mod pairs;
mod plan;
pub(crate) mod program;
mod recompute;
mod registers;
mod share;
mod simplify;
mod tiling;
pub(crate) mod view;

use crate::lanes::Level;
use graph::Graph;
use program::Program;

/// The program of a graph, for an instruction set. Root `r` may be written over input slot `slot`
/// for each pair (r, slot) where that is safe.
pub(crate) fn compile(graph: &Graph, over: &[(usize, u32)], level: Level) -> Program {
    let graph = simplify::simplify(graph);
    let mut program = fuse::fuse(graph, level);
    copies::elide(&mut program);
    plan::write_over(&mut program, over);
    tiling::tile(&mut program);
    plan::plan(&mut program);
    pairs::pair_up(&mut program, level);
    program
}
