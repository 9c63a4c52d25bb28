//! Fused loops: a vector interpreter. The index space is cut into tiles of [`TILE`] elements; for
//! each tile every instruction runs over registers of as many lanes, which stay in cache.

use super::{Line, Memory, threads, with_scratch};
use crate::compile::program::{Fold, Kernel, Load, Loop, Number, Operand, Program};
use crate::compile::view::PerAxis;
use crate::dtype::DType;
use crate::graph::Reduction;
use smallvec::SmallVec;
use std::cell::RefCell;

/// Lanes of a register.
pub(crate) const TILE: usize = 512;

/// Bytes between registers. Not a power of two: registers must not meet in the same cache sets.
const REGISTER: usize = TILE * 8 + 64;

/// Elements of a chunk, the unit that threads share out.
const CHUNK: usize = 32 * 1024;

/// Instructions times elements from which threads pay.
const LARGE: usize = 400_000;

thread_local! {
    static REGISTERS: RefCell<Vec<Line>> = const { RefCell::new(Vec::new()) };
}

impl Kernel {
    /// Whether it is worth several threads.
    pub(crate) fn is_large(&self) -> bool {
        match self {
            Kernel::Loop(l) => l.is_large(),
            Kernel::Scalars(_) => false,
            Kernel::MatMul(m) => super::matmul::is_large(m),
            Kernel::Single(s) => super::index::is_large(s),
        }
    }
}

impl Loop {
    fn elements(&self) -> usize {
        self.dims.iter().product()
    }

    fn is_large(&self) -> bool {
        self.elements()
            .saturating_mul(self.code.len() + self.loads.len() + 1)
            >= LARGE
    }
}

/// How a loop is cut: by its sizes alone.
struct Cut {
    /// Elements of a chunk.
    chunk: usize,
    chunks: usize,
    /// For each fold: whether chunks meet in its elements.
    meets: SmallVec<[bool; 4]>,
}

fn cut(l: &Loop, program: &Program) -> Cut {
    let total = l.elements();
    let row = l
        .dims
        .get(1..)
        .map_or(1, |d| d.iter().product::<usize>())
        .max(1);
    let round = |n: usize| {
        if row <= n {
            n / row * row
        } else {
            n.next_multiple_of(TILE)
        }
    };
    let whole_rows = row <= CHUNK;
    let mut chunk = round(CHUNK);
    let meets: SmallVec<[bool; 4]> = l
        .folds
        .iter()
        .map(|f| !(whole_rows && apart(&f.to.view.strides, &l.dims)))
        .collect();
    let folds = l.folds.iter().zip(&meets).filter(|(_, meets)| **meets);
    let partial: usize = folds
        .map(|(f, _)| program.buffers[f.to.buffer as usize].len)
        .sum();
    if partial > 0 {
        // Partial results must stay small beside the work.
        let most = (total / (4 * partial)).clamp(1, 256);
        chunk = round(chunk.max(total.div_ceil(most))).max(chunk);
    }
    Cut {
        chunk,
        chunks: total.div_ceil(chunk),
        meets,
    }
}

/// Whether different positions of the first axis write different elements.
fn apart(strides: &[isize], dims: &[usize]) -> bool {
    let Some((first, rest)) = strides.split_first() else {
        return false;
    };
    let span: usize = rest
        .iter()
        .zip(&dims[1..])
        .map(|(s, &n)| s.unsigned_abs() * (n - 1))
        .sum();
    first.unsigned_abs() > span
}

pub(super) fn run(l: &Loop, program: &Program, memory: &Memory) {
    let targets: SmallVec<[*mut u8; 4]> = l
        .folds
        .iter()
        .map(|f| memory.at(f.to.buffer, 0, 1))
        .collect();
    let len = |f: &Fold| program.buffers[f.to.buffer as usize].len;
    for (f, &target) in l.folds.iter().zip(&targets) {
        fill(target, identity(f), f.dtype, len(f));
    }
    let total = l.elements();
    if total == 0 {
        return;
    }
    let cut = cut(l, program);
    if cut.chunks == 1 {
        return chunk(l, memory, 0, total, &targets);
    }
    // Each chunk gets its own copy of what chunks meet in.
    let bytes: SmallVec<[usize; 4]> = l
        .folds
        .iter()
        .zip(&cut.meets)
        .map(|(f, meets)| {
            if *meets {
                (len(f) * f.dtype.size()).next_multiple_of(64)
            } else {
                0
            }
        })
        .collect();
    let per_chunk: usize = bytes.iter().sum();
    let mut partial = vec![Line([0; 64]); per_chunk * cut.chunks / 64];
    struct Shared(*mut u8, SmallVec<[*mut u8; 4]>);
    // SAFETY: chunks write to different stretches of the partial results, and to different
    // elements of the others.
    unsafe impl Sync for Shared {}
    let shared = Shared(partial.as_mut_ptr().cast(), targets);
    let shared = &shared;
    let own = |c: usize| -> SmallVec<[*mut u8; 4]> {
        let mut at = shared.0.wrapping_add(c * per_chunk);
        let mut targets = shared.1.clone();
        for (k, &bytes) in bytes.iter().enumerate().filter(|(_, b)| **b > 0) {
            targets[k] = at;
            at = at.wrapping_add(bytes);
        }
        targets
    };
    let work = |c: usize| {
        let targets = own(c);
        for (k, f) in l.folds.iter().enumerate().filter(|(k, _)| cut.meets[*k]) {
            fill(targets[k], identity(f), f.dtype, len(f));
        }
        chunk(
            l,
            memory,
            c * cut.chunk,
            total.min((c + 1) * cut.chunk),
            &targets,
        );
    };
    match l.is_large() {
        true => threads::each(cut.chunks, &work),
        false => (0..cut.chunks).for_each(work),
    }
    for c in 0..cut.chunks {
        let targets = own(c);
        for (k, f) in l.folds.iter().enumerate().filter(|(k, _)| cut.meets[*k]) {
            let from = [targets[k].cast_const(), std::ptr::null(), std::ptr::null()];
            // SAFETY: both have as many elements as the fold's buffer.
            unsafe { (f.across)(&from, shared.1[k], len(f)) };
        }
    }
}

/// Elements `start..end` of the index space.
fn chunk(l: &Loop, memory: &Memory, start: usize, end: usize, targets: &[*mut u8]) {
    with_scratch(&REGISTERS, l.registers as usize * REGISTER, |scratch| {
        let mut at: SmallVec<[*mut u8; 32]> = (0..l.registers as usize)
            .map(|r| scratch.wrapping_add(r * REGISTER))
            .collect();
        let at = &mut at[..];
        for &(number, dtype, r) in &l.numbers {
            let x = match number {
                Number::Known(x) => x,
                Number::Bound(slot) => memory.bound.numbers[slot as usize],
            };
            fill(at[r as usize], x, dtype, TILE.min(end - start));
        }
        let flat = |o: &Operand| is_flat(&o.view.strides, &l.dims);
        // What repeats along the outer axes (a bias, a number in memory) is loaded once, if tiles
        // hold it a whole number of times.
        let periods = l
            .loads
            .iter()
            .map(|x| period(&x.from.view.strides, &l.dims));
        let unit = periods.clone().filter(|&p| p <= TILE).max().unwrap_or(1);
        let size = TILE / unit * unit;
        let mut loads: SmallVec<[Way; 16]> = SmallVec::new();
        for (load, period) in l.loads.iter().zip(periods) {
            let once = period <= unit && unit.is_multiple_of(period) && start.is_multiple_of(unit);
            loads.push(match once {
                _ if flat(&load.from) => Way::Flat,
                true => Way::Once,
                false => Way::Gathered,
            });
            if once {
                let n = size.min(end - start);
                gather(load, &l.dims, memory, start, n, at[load.register as usize]);
            }
        }
        // A register that code writes and one store takes is written straight to memory.
        let direct: SmallVec<[bool; 8]> = l
            .stores
            .iter()
            .map(|s| {
                let once = l.stores.iter().filter(|t| t.register == s.register).count() == 1;
                let code = l.code.iter().any(|i| i.to == s.register);
                !s.deferred && once && code && flat(&s.to)
            })
            .collect();
        let mut tile = start;
        while tile < end {
            let n = size.min(end - tile);
            for (load, way) in l.loads.iter().zip(&loads) {
                let r = load.register as usize;
                match way {
                    Way::Once => {}
                    Way::Flat => {
                        let offset = load.from.view.offset + tile as isize;
                        at[r] = memory.at(load.from.buffer, offset, load.dtype.size());
                    }
                    Way::Gathered => gather(load, &l.dims, memory, tile, n, at[r]),
                }
            }
            for (s, _) in l.stores.iter().zip(&direct).filter(|(_, d)| **d) {
                let offset = s.to.view.offset + tile as isize;
                at[s.register as usize] = memory.at(s.to.buffer, offset, s.dtype.size());
            }
            for i in &l.code {
                let from = i.from.map(|r| at[r as usize].cast_const());
                // SAFETY: registers have TILE lanes of any dtype; arrays have n more elements at
                // this tile. The destination is a register or an array of its own.
                unsafe { (i.lanes)(&from, at[i.to as usize], n) };
            }
            for (s, _) in l.stores.iter().zip(&direct).filter(|(_, d)| !**d) {
                scatter(
                    at[s.register as usize],
                    s.dtype,
                    &s.to,
                    &l.dims,
                    memory,
                    tile,
                    n,
                );
            }
            for (f, &target) in l.folds.iter().zip(targets) {
                fold(f, at[f.register as usize], target, &l.dims, tile, n);
            }
            tile += n;
        }
    });
}

/// How a register is loaded.
enum Way {
    /// It is the memory itself.
    Flat,
    /// Before the first tile: all tiles see the same.
    Once,
    Gathered,
}

/// After how many elements of the index space a view begins anew.
fn period(strides: &[isize], dims: &[usize]) -> usize {
    let outer = strides.iter().take_while(|s| **s == 0).count();
    dims[outer..].iter().product()
}

/// Whether a view steps through the index space one element at a time.
fn is_flat(strides: &[isize], dims: &[usize]) -> bool {
    match (strides, dims) {
        ([], []) => true,
        ([1], _) => true,
        _ => {
            let mut step = 1;
            strides.iter().zip(dims).rev().all(|(&s, &n)| {
                let fits = s == step;
                step *= n as isize;
                fits
            })
        }
    }
}

/// Visits elements `start..start + n` of the index space in stretches along its last axis:
/// (position from `start`, offset under the strides, length).
#[inline]
fn stretches(
    dims: &[usize],
    strides: &[isize],
    start: usize,
    n: usize,
    mut visit: impl FnMut(usize, isize, usize),
) {
    let Some((&inner, outer)) = dims.split_last() else {
        return visit(0, 0, n);
    };
    let step = strides[dims.len() - 1];
    let mut index: PerAxis<usize> = PerAxis::from_elem(0, outer.len());
    let (mut rest, mut first) = (start / inner, start % inner);
    let mut offset = 0;
    for a in (0..outer.len()).rev() {
        index[a] = rest % outer[a];
        rest /= outer[a];
        offset += index[a] as isize * strides[a];
    }
    let mut done = 0;
    while done < n {
        let len = (inner - first).min(n - done);
        visit(done, offset + first as isize * step, len);
        done += len;
        first = 0;
        for a in (0..outer.len()).rev() {
            index[a] += 1;
            offset += strides[a];
            if index[a] < outer[a] {
                break;
            }
            offset -= strides[a] * outer[a] as isize;
            index[a] = 0;
        }
    }
}

/// Runs the body with `T` as a number type of the dtype's size.
macro_rules! by_size {
    ($dtype:expr, $t:ident => $body:expr) => {
        match $dtype.size() {
            1 => {
                type $t = u8;
                $body
            }
            4 => {
                type $t = u32;
                $body
            }
            _ => {
                type $t = u64;
                $body
            }
        }
    };
}

/// Loads elements of a strided view into a register.
fn gather(load: &Load, dims: &[usize], memory: &Memory, start: usize, n: usize, to: *mut u8) {
    let view = &load.from.view;
    let step = view.strides.last().copied().unwrap_or(0);
    by_size!(load.dtype, T => {
        let from = memory.at(load.from.buffer, view.offset, load.dtype.size()).cast::<T>();
        let to = to.cast::<T>();
        stretches(dims, &view.strides, start, n, |at, offset, len| {
            // SAFETY: views stay inside their buffers, and at + len <= n <= TILE.
            unsafe {
                let (from, to) = (from.offset(offset), to.add(at));
                match step {
                    1 => std::ptr::copy_nonoverlapping(from, to, len),
                    0 => std::slice::from_raw_parts_mut(to, len).fill(*from),
                    _ => (0..len).for_each(|k| *to.add(k) = *from.offset(k as isize * step)),
                }
            }
        });
    });
}

/// Stores a register into a strided view.
fn scatter(
    from: *mut u8,
    dtype: DType,
    to: &Operand,
    dims: &[usize],
    memory: &Memory,
    start: usize,
    n: usize,
) {
    let view = &to.view;
    let step = view.strides.last().copied().unwrap_or(0);
    by_size!(dtype, T => {
        let to = memory.at(to.buffer, view.offset, dtype.size()).cast::<T>();
        let from = from.cast::<T>();
        stretches(dims, &view.strides, start, n, |at, offset, len| {
            // SAFETY: as above. The register may be an input's memory, and this its own element:
            // `copy` allows both to be the same.
            unsafe {
                let (from, to) = (from.add(at), to.offset(offset));
                match step {
                    1 => std::ptr::copy(from, to, len),
                    _ => (0..len).for_each(|k| *to.offset(k as isize * step) = *from.add(k)),
                }
            }
        });
    });
}

/// Combines a register into the elements that a view names.
fn fold(f: &Fold, from: *mut u8, target: *mut u8, dims: &[usize], start: usize, n: usize) {
    let view = &f.to.view;
    let size = f.dtype.size();
    let step = view.strides.last().copied().unwrap_or(0);
    stretches(dims, &view.strides, start, n, |at, offset, len| {
        let from = from.wrapping_add(at * size).cast_const();
        let to = target.wrapping_offset((view.offset + offset) * size as isize);
        let source = |p| [p, std::ptr::null(), std::ptr::null()];
        // SAFETY: views stay inside their buffers, and at + len <= n <= TILE.
        unsafe {
            match step {
                0 => (f.along)(&source(from), to, len),
                1 => (f.across)(&source(from), to, len),
                _ => (0..len).for_each(|k| {
                    let to = to.wrapping_offset(k as isize * step * size as isize);
                    (f.across)(&source(from.add(k * size)), to, 1);
                }),
            }
        }
    });
}

/// What a reduction starts from.
fn identity(f: &Fold) -> f64 {
    match f.reduction {
        Reduction::Sum => 0.0,
        // Infinities of both signs are true.
        Reduction::Max if f.dtype == DType::Bool => 0.0,
        Reduction::Max => f64::NEG_INFINITY,
        Reduction::Min => f64::INFINITY,
    }
}

/// `n` elements of the same number, converted as a cast does it.
pub(super) fn fill(to: *mut u8, x: f64, dtype: DType, n: usize) {
    // SAFETY: the caller's buffer or register has n elements of the dtype.
    unsafe {
        match dtype {
            DType::Bool => std::slice::from_raw_parts_mut(to, n).fill((x != 0.0) as u8),
            DType::U8 => std::slice::from_raw_parts_mut(to, n).fill(x as u8),
            DType::I64 => std::slice::from_raw_parts_mut(to.cast(), n).fill(x as i64),
            DType::F32 => std::slice::from_raw_parts_mut(to.cast(), n).fill(x as f32),
            DType::F64 => std::slice::from_raw_parts_mut(to.cast(), n).fill(x),
        }
    }
}
