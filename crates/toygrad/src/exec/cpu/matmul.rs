//! Matrix products: how they are cut into parts, which threads share out.

use super::gemm::{Matrix, Product, Real, Stack};
use super::{Line, Memory, amx, gemv, rows, small, with_scratch};
use crate::compile::program::{MatMul, Operand};
use crate::dtype::DType;
use std::cell::RefCell;
use std::ops::Range;

/// Multiplications from which threads pay.
const LARGE: usize = 200_000;
/// How many of them take as long as one by a vector, for which a number comes from memory.
const FETCHED: usize = 4;
/// How many take as long as what surrounds those of a small product.
const AROUND: usize = 256;
/// Multiplications of a part, at least.
const PART: usize = 250_000;
/// Multiplications of a thread that are long: half a millisecond.
const LONG: usize = 50_000_000;
/// Columns of a part, at least.
const NARROW: usize = 32;

thread_local! {
    /// Packed operands.
    static PACKED: RefCell<Vec<Line>> = const { RefCell::new(Vec::new()) };
}

pub(super) fn is_large(m: &MatMul) -> bool {
    multiplications(m) >= LARGE
}

pub(super) fn multiplications(m: &MatMul) -> usize {
    work(m) * m.stack()
}

fn by_vector(m: &MatMul) -> bool {
    !is_small(m) && gemv::is_faster([m.m, m.k, m.n])
}

fn is_small(m: &MatMul) -> bool {
    small::is_faster([m.m, m.k, m.n], m.dtype.size())
}

fn work(m: &MatMul) -> usize {
    let work = m.m * m.k * m.n;
    match is_small(m) {
        true => AROUND + work,
        false if by_vector(m) => FETCHED * work,
        false => work,
    }
}

pub(super) fn run(m: &MatMul, memory: &Memory) {
    run_parts(m, memory, &(0..1), 1);
}

/// Parts of `extent` of a stack of products: some of these, or of their rows.
pub(super) fn run_parts(m: &MatMul, memory: &Memory, parts: &Range<usize>, extent: usize) {
    let batches = m.stack();
    if batches.is_multiple_of(extent) {
        let part = batches / extent;
        return run_some(m, memory, parts.start * part..parts.end * part, 0..m.m);
    }
    let part = batches * m.m / extent;
    let mut rows = parts.start * part..parts.end * part;
    while !rows.is_empty() {
        let (batch, from) = (rows.start / m.m, rows.start % m.m);
        let until = m.m.min(from + rows.len());
        run_some(m, memory, batch..batch + 1, from..until);
        rows.start += until - from;
    }
}

/// Some rows of some products.
fn run_some(m: &MatMul, memory: &Memory, batches: Range<usize>, rows: Range<usize>) {
    match m.dtype {
        DType::F32 if is_small(m) => stack::<f32>(m, memory, batches, rows, Unit::SMALL),
        _ if is_small(m) => stack::<f64>(m, memory, batches, rows, Unit::SMALL),
        DType::F32 if by_vector(m) => stack::<f32>(m, memory, batches, rows, Unit::BY_VECTOR),
        _ if by_vector(m) => stack::<f64>(m, memory, batches, rows, Unit::BY_VECTOR),
        DType::F32 if amx::is_faster([m.m, m.k, m.n]) => {
            let (scratch, run) = (amx::scratch, amx::run);
            stack(m, memory, batches, rows, Unit { scratch, run });
        }
        DType::F32 => stack::<f32>(m, memory, batches, rows, Unit::VECTORS),
        _ => stack::<f64>(m, memory, batches, rows, Unit::VECTORS),
    }
}

/// What computes products on one thread, in how many bytes of scratch.
struct Unit<T> {
    scratch: fn(&Product<T>) -> usize,
    run: unsafe fn(&Stack<T>, *mut u8),
}

impl<T: gemv::ByVector> Unit<T> {
    const BY_VECTOR: Unit<T> = Unit {
        scratch: gemv::scratch,
        run: gemv::run,
    };
}

impl<T: small::Small> Unit<T> {
    const SMALL: Unit<T> = Unit {
        scratch: small::scratch,
        run: small::run,
    };
}

impl<T: Real> Unit<T> {
    const VECTORS: Unit<T> = Unit {
        scratch: Product::scratch,
        run: Stack::run,
    };
}

/// Products of a stack, some of their rows.
fn stack<T: Real>(
    m: &MatMul,
    memory: &Memory,
    range: Range<usize>,
    some: Range<usize>,
    unit: Unit<T>,
) {
    let (first, batches) = (range.start, range.len());
    if some.len() * m.n * batches == 0 {
        return;
    }
    if m.k == 0 {
        for batch in range.filter(|_| m.first) {
            let out = matrix::<T>(m, &m.out, batch, memory);
            for i in some.clone() {
                // SAFETY: a row of the result has n elements; zeros are all bits 0.
                unsafe { std::ptr::write_bytes(out.offset(i, 0).at, 0, m.n) };
            }
        }
        return;
    }
    // Few rows are taken for few columns, of the transposed product.
    let in_rows = m.right.view.strides[m.batch.len() + 1] == 1;
    let turn = by_vector(m) && m.m < m.n || is_small(m) && m.m == 1 && !in_rows;
    let (rows, columns) = match turn {
        true => (m.n, some.len()),
        false => (some.len(), m.n),
    };
    // Together go products that lie along the last axis of the stack.
    let next = [&m.left, &m.right, &m.out].map(|operand| match m.batch.len() {
        0 => 0,
        r => operand.view.strides[r - 1],
    });
    let some_of = |batch: usize, count: usize| {
        let p = Product {
            a: matrix::<T>(m, &m.left, batch, memory).offset(some.start, 0),
            b: matrix::<T>(m, &m.right, batch, memory),
            c: matrix::<T>(m, &m.out, batch, memory).offset(some.start, 0),
            rows: some.len(),
            depth: m.k,
            columns: m.n,
            add: !m.first,
        };
        let s = Stack {
            first: p,
            count,
            next,
        };
        if turn { s.transposed() } else { s }
    };
    // Few parts, as each packs anew what it shares with others; but of long work two for each thread,
    // so that one that is held up does less. An element is summed in the same order whatever its part.
    let threads = memory.threads();
    let all = match threads > 1 && work(m) * batches / threads >= LONG {
        true => 2 * threads,
        false => threads,
    };
    let most = all.div_ceil(batches);
    let parts = (work(m) / PART).clamp(1, most);
    // What one part reads of a factor, all others read, and pack, as well: rather the smaller one.
    let by_rows = rows > columns || columns < parts * NARROW;
    let side = if by_rows { rows } else { columns };
    let parts = parts.min(side.div_ceil(NARROW));
    let length = side.div_ceil(parts).next_multiple_of(NARROW);
    let parts = side.div_ceil(length);
    let run = |s: &Stack<T>| {
        // SAFETY: views stay inside their buffers; parts are different elements of the result.
        with_scratch(&PACKED, (unit.scratch)(&s.first), |scratch| unsafe {
            (unit.run)(s, scratch)
        });
    };
    if parts > 1 {
        return memory.each(batches * parts, &|i| {
            let p = some_of(first + i / parts, 1).first;
            let from = i % parts * length;
            let length = length.min(side - from);
            let p = match by_rows {
                true => Product {
                    a: p.a.offset(from, 0),
                    c: p.c.offset(from, 0),
                    rows: length,
                    ..p
                },
                false => Product {
                    b: p.b.offset(0, from),
                    c: p.c.offset(0, from),
                    columns: length,
                    ..p
                },
            };
            run(&p.alone());
        });
    }
    let along = m.batch.last().copied().unwrap_or(1);
    let tasks = match is_large(m) {
        true => (work(m) * batches / PART).clamp(1, batches),
        false => 1,
    };
    memory.each(tasks, &|i| {
        let [mut batch, end] = [i, i + 1].map(|i| first + batches * i / tasks);
        while batch < end {
            let count = (along - batch % along).min(end - batch);
            run(&some_of(batch, count));
            batch += count;
        }
    });
}

/// One matrix of a stack.
fn matrix<T>(m: &MatMul, operand: &Operand, batch: usize, memory: &Memory) -> Matrix<T> {
    let (view, r) = (&operand.view, m.batch.len());
    let offset = view.offset + rows::offset(batch, &m.batch, &view.strides[..r]);
    Matrix {
        at: memory.at(operand.buffer, offset, size_of::<T>()).cast(),
        row: view.strides[r],
        column: view.strides[r + 1],
    }
}
