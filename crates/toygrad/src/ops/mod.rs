//! The operations: the table of pointwise rows, and beside it what reduces, moves, multiplies,
//! indexes and makes arrays. Knows no pass, no compiler, no executor.

pub mod composed;
pub mod create;
pub mod index;
pub mod matmul;
pub mod movement;
pub mod normalize;
pub(crate) mod operators;
pub mod pointwise;
pub mod random;
pub mod reduce;
mod rows;
pub mod slice;
pub(crate) mod special;
