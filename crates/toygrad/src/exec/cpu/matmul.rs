//! Matrix products: how they are cut into blocks and shared out.

use super::gemm::{Block, DEPTH, Matrix, Real};
use super::{Line, Memory, threads, with_scratch};
use crate::compile::program::{MatMul, Operand};
use crate::dtype::DType;
use crate::lanes::Level;
use std::cell::RefCell;

/// Multiplications from which threads pay.
const LARGE: usize = 500_000;
/// Elements of B that are packed at a time, at most: they are to stay in the last cache.
const PACKED: usize = 1 << 20;

thread_local! {
    /// Panels of B, which all threads of a product read.
    static PANELS: RefCell<Vec<Line>> = const { RefCell::new(Vec::new()) };
    /// A strip of A.
    static STRIP: RefCell<Vec<Line>> = const { RefCell::new(Vec::new()) };
}

pub(super) fn is_large(m: &MatMul) -> bool {
    work(m) * m.batch.iter().product::<usize>() >= LARGE
}

fn work(m: &MatMul) -> usize {
    m.m * m.k * m.n
}

pub(super) fn run(m: &MatMul, memory: &Memory) {
    match m.dtype {
        DType::F32 => stack::<f32>(m, memory),
        _ => stack::<f64>(m, memory),
    }
}

/// All products of a stack.
fn stack<T: Real>(m: &MatMul, memory: &Memory) {
    let batches: usize = m.batch.iter().product();
    if m.m * m.n * batches == 0 {
        return;
    }
    let size = size_of::<T>();
    if m.k == 0 {
        // SAFETY: the result has batches * m * n elements; zeros are all bits 0.
        unsafe { std::ptr::write_bytes(memory.at(m.out, 0, 1), 0, batches * m.m * m.n * size) };
        return;
    }
    let r = m.batch.len();
    let matrix = |o: &Operand, batch: usize| {
        let (mut rest, mut offset) = (batch, o.view.offset);
        for a in (0..r).rev() {
            offset += (rest % m.batch[a]) as isize * o.view.strides[a];
            rest /= m.batch[a];
        }
        Matrix::<T> {
            at: memory.at(o.buffer, offset, size).cast(),
            strides: [o.view.strides[r], o.view.strides[r + 1]],
        }
    };
    let product = |batch: usize, shared: bool| {
        let (a, b) = (matrix(&m.left, batch), matrix(&m.right, batch));
        let out = (batch * m.m * m.n) as isize;
        let c = Matrix::<T> {
            at: memory.at(m.out, out, size).cast(),
            strides: [m.n as isize, 1],
        };
        // The longer side of the result fills the panels.
        match m.n >= m.m.min(16) {
            true => one(a, b, c, [m.m, m.k, m.n], shared),
            false => one(
                b.transposed(),
                a.transposed(),
                c.transposed(),
                [m.n, m.k, m.m],
                shared,
            ),
        }
    };
    match (is_large(m), batches) {
        (true, 1) => product(0, true),
        (true, _) => threads::each(batches, &|batch| product(batch, false)),
        _ => (0..batches).for_each(|batch| product(batch, false)),
    }
}

/// `C = A B`, of `[rows, depth] x [depth, columns]`; by several threads if `shared`.
fn one<T: Real>(
    a: Matrix<T>,
    b: Matrix<T>,
    c: Matrix<T>,
    [rows, depth, columns]: [usize; 3],
    shared: bool,
) {
    let loops = T::loops(Level::detect());
    let panels = columns.div_ceil(loops.width);
    let width = panels * loops.width;
    let stage = (PACKED / width / DEPTH).max(1) * DEPTH;
    let each = |n: usize, f: &(dyn Fn(usize) + Sync)| match shared {
        true => threads::each(n, &f),
        false => (0..n).for_each(f),
    };
    // Tasks are stretches of the side with more tiles; how many does not change the result.
    let strips = rows.div_ceil(loops.height);
    let tasks = if shared {
        2 * threads::num_threads()
    } else {
        1
    };
    let by_rows = strips >= panels;
    let per_task = if by_rows { strips } else { panels }.div_ceil(tasks);
    let tasks = if by_rows { strips } else { panels }.div_ceil(per_task);
    with_scratch(
        &PANELS,
        stage.min(depth) * width * size_of::<T>(),
        |scratch| {
            let packed = Matrix::<T> {
                at: scratch.cast(),
                strides: [1, 1],
            };
            for first in (0..depth).step_by(stage) {
                let end = depth.min(first + stage);
                let layers = (first..end).step_by(DEPTH);
                // A layer of panels starts where those above it end.
                let panel = |k: usize, p: usize| {
                    let deep = DEPTH.min(end - k);
                    (
                        packed
                            .offset(0, (k - first) * width + p * loops.width * deep)
                            .at,
                        deep,
                    )
                };
                let pack = |p: usize| {
                    for k in layers.clone() {
                        let (to, deep) = panel(k, p);
                        let from = b.offset(k, p * loops.width);
                        let columns = loops.width.min(columns - p * loops.width);
                        // SAFETY: the scratch has room for all panels of the stage.
                        unsafe { (loops.pack)(from, deep, columns, to) };
                    }
                };
                each(panels, &pack);
                let compute = |task: usize| {
                    let (from, to) = (task * per_task, (task + 1) * per_task);
                    let strip = loops.height * DEPTH * size_of::<T>();
                    with_scratch(&STRIP, strip, |strip| {
                        for k in layers.clone() {
                            let (row, column, rows, columns) = match by_rows {
                                true => {
                                    let row = from * loops.height;
                                    (row, 0, rows.min(to * loops.height) - row, columns)
                                }
                                false => {
                                    let column = from * loops.width;
                                    (0, column, rows, columns.min(to * loops.width) - column)
                                }
                            };
                            let (panels, deep) = panel(k, column / loops.width);
                            let block = Block {
                                a: a.offset(row, k),
                                panels,
                                c: c.offset(row, column),
                                rows,
                                depth: deep,
                                columns,
                                add: k > 0,
                            };
                            // SAFETY: tasks write to different parts of C; the panels are packed.
                            unsafe { (loops.block)(&block, strip.cast()) };
                        }
                    });
                };
                each(tasks, &compute);
            }
        },
    );
}
