//! Kernels that are not fused: random numbers, look-ups, sorting, running sums.

use super::{Fault, Memory, prefetch};
use crate::compile::program::{Operand, Single, SingleKind};
use crate::compile::view::PerAxis;
use crate::dtype::DType;
use crate::graph::Extreme;
use crate::philox::{uniform_f32, uniform_f64};
use std::ops::Range;
use std::sync::Mutex;

/// Elements of a chunk, the unit that threads share out.
const CHUNK: usize = 16 * 1024;

pub(super) fn is_large(s: &Single) -> bool {
    s.dims.iter().product::<usize>() >= 4 * CHUNK
}

/// Runs the body with `T` as the dtype's number type.
macro_rules! by_dtype {
    ($dtype:expr, $t:ident => $body:expr) => {
        match $dtype {
            DType::Bool | DType::U8 => {
                type $t = u8;
                $body
            }
            DType::I64 => {
                type $t = i64;
                $body
            }
            DType::F32 => {
                type $t = f32;
                $body
            }
            DType::F64 => {
                type $t = f64;
                $body
            }
        }
    };
}

pub(super) fn run(s: &Single, memory: &Memory) -> Result<(), Fault> {
    match s.what {
        SingleKind::Random { stream } => random(s, stream, memory),
        SingleKind::Gather { axis, len } => {
            return by_dtype!(s.dtype, T => gather::<T>(s, axis, len, memory));
        }
        SingleKind::ScatterAdd { axis, len } => {
            return by_dtype!(s.dtype, T => scatter_add::<T>(s, axis, len, memory));
        }
        SingleKind::CumSum { axis, reverse } => {
            by_dtype!(s.dtype, T => cumsum::<T>(s, axis, reverse, memory))
        }
        SingleKind::ArgSort { axis, descending } => {
            by_dtype!(s.dtype, T => argsort::<T>(s, axis, descending, memory))
        }
        SingleKind::ArgReduce { which, axis } => {
            by_dtype!(s.dtype, T => argreduce::<T>(s, which, axis, memory))
        }
    }
    Ok(())
}

/// A number of any dtype, for the generic loops below.
trait Scalar: Copy + PartialOrd {
    fn plus(self, other: Self) -> Self;
    fn is_nan(self) -> bool;
    /// In the order of the numbers; that of equal ones is equal.
    fn key(self) -> u64;
}
macro_rules! scalars {
    ($($t:ty, $plus:expr, $nan:expr, $key:expr;)*) => {$(
        impl Scalar for $t {
            fn plus(self, other: Self) -> Self { $plus(self, other) }
            fn is_nan(self) -> bool { $nan(self) }
            fn key(self) -> u64 { $key(self) }
        }
    )*};
}
scalars! {
    u8, u8::wrapping_add, |_| false, u64::from;
    i64, i64::wrapping_add, |_| false, |x| x as u64 ^ 1 << 63;
    f32, |a, b| a + b, f32::is_nan, |x| float_key(f64::from(x));
    f64, |a, b| a + b, f64::is_nan, float_key;
}

fn float_key(x: f64) -> u64 {
    // Adding zero makes both zeros one.
    let bits = (x + 0.0).to_bits();
    if x < 0.0 { !bits } else { bits | 1 << 63 }
}

/// A strided array under an index space.
#[derive(Clone, Copy)]
struct Strided<'a, T> {
    at: *mut T,
    strides: &'a [isize],
}

impl<'a, T: Copy> Strided<'a, T> {
    fn new(o: &'a Operand, memory: &Memory) -> Strided<'a, T> {
        let at = memory.at(o.buffer, o.view.offset, size_of::<T>()).cast();
        Strided {
            at,
            strides: &o.view.strides,
        }
    }

    fn offset(&self, index: &[usize]) -> isize {
        index
            .iter()
            .zip(self.strides)
            .map(|(&i, s)| i as isize * s)
            .sum()
    }

    /// # Safety
    /// `offset` is that of an element.
    unsafe fn get(&self, offset: isize) -> T {
        // SAFETY: the caller's promise.
        unsafe { *self.at.offset(offset) }
    }
}

/// Row-major strides.
fn strides(dims: &[usize]) -> PerAxis<isize> {
    let mut strides = PerAxis::from_elem(0, dims.len());
    let mut step = 1;
    for a in (0..dims.len()).rev() {
        strides[a] = step;
        step *= dims[a] as isize;
    }
    strides
}

/// Visits a range of the indices of `dims` with axis `skip` held at 0, in order. (One function for all
/// that it calls: there are many.)
fn each_index(
    dims: &[usize],
    skip: usize,
    range: Range<usize>,
    visit: &mut dyn FnMut(&[usize]) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let mut index: PerAxis<usize> = PerAxis::from_elem(0, dims.len());
    let mut rest = range.start;
    for a in (0..dims.len()).rev().filter(|&a| a != skip) {
        index[a] = rest % dims[a].max(1);
        rest /= dims[a].max(1);
    }
    for _ in range {
        visit(&index)?;
        for a in (0..dims.len()).rev().filter(|&a| a != skip) {
            index[a] += 1;
            if index[a] < dims[a] {
                break;
            }
            index[a] = 0;
        }
    }
    Ok(())
}

/// Calls `part(0)`, ..., `part(n - 1)` on all threads. Of several faults the first one counts. (One function
/// for all that it calls, as above.)
fn each_part(
    n: usize,
    memory: &Memory,
    part: &(dyn Fn(usize) -> Result<(), Fault> + Sync),
) -> Result<(), Fault> {
    let fault: Mutex<Option<(usize, Fault)>> = Mutex::new(None);
    memory.each(n, &|i| {
        if let Err(found) = part(i) {
            let mut first = fault.lock().unwrap_or_else(|e| e.into_inner());
            if first.is_none_or(|(k, _)| i < k) {
                *first = Some((i, found));
            }
        }
    });
    let fault = fault.into_inner().unwrap_or_else(|e| e.into_inner());
    fault.map_or(Ok(()), |(_, fault)| Err(fault))
}

/// Calls `part` for ranges of the indices without axis `skip`, several where there are many elements.
fn in_parts(
    s: &Single,
    skip: usize,
    memory: &Memory,
    part: &(dyn Fn(Range<usize>) -> Result<(), Fault> + Sync),
) -> Result<(), Fault> {
    let elements: usize = s.dims.iter().product();
    if elements == 0 {
        return Ok(());
    }
    let count = elements / s.dims[skip];
    let chunk = match is_large(s) {
        true => CHUNK.div_ceil(s.dims[skip]),
        false => count,
    };
    each_part(count.div_ceil(chunk), memory, &|i| {
        part(i * chunk..count.min((i + 1) * chunk))
    })
}

/// A position that may count from the end.
fn resolve(position: i64, len: usize, origin: u32) -> Result<isize, Fault> {
    let at = if position < 0 {
        position.wrapping_add(len as i64)
    } else {
        position
    };
    match (0..len as i64).contains(&at) {
        true => Ok(at as isize),
        false => Err(Fault {
            origin,
            position,
            len,
        }),
    }
}

fn random(s: &Single, stream: u32, memory: &Memory) {
    let n: usize = s.dims.iter().product();
    let stream = memory.bound.streams[stream as usize];
    struct Out(*mut u8);
    // SAFETY: chunks write to different elements.
    unsafe impl Sync for Out {}
    let out = Out(memory.at(s.out, 0, 1));
    let out = &out;
    memory.each(n.div_ceil(CHUNK), &|c| {
        let (start, end) = (c * CHUNK, n.min((c + 1) * CHUNK));
        // SAFETY: the result has n elements of the dtype.
        unsafe {
            if s.dtype == DType::F64 {
                let part =
                    std::slice::from_raw_parts_mut(out.0.cast::<f64>().add(start), end - start);
                for (b, two) in part.chunks_mut(2).enumerate() {
                    let x = uniform_f64(stream.key, stream.position, (start / 2 + b) as u64);
                    two.copy_from_slice(&x[..two.len()]);
                }
            } else {
                let part =
                    std::slice::from_raw_parts_mut(out.0.cast::<f32>().add(start), end - start);
                for (b, four) in part.chunks_mut(4).enumerate() {
                    let x = uniform_f32(stream.key, stream.position, (start / 4 + b) as u64);
                    four.copy_from_slice(&x[..four.len()]);
                }
            }
        }
    });
}

/// Rows that are looked up may lie anywhere in memory: they are called for so many rows ahead.
const AHEAD: usize = 8;
/// Lines of a row that are called for, at most; the machine sees where it goes on.
const LINES: usize = 4;

/// The position that an index names so many rows ahead of `row`, along its last axis but one.
fn ahead(index: &Strided<i64>, dims: &[usize], row: &[usize], len: usize) -> Option<isize> {
    let axis = dims.len().checked_sub(2)?;
    if row[axis] + AHEAD >= dims[axis] {
        return None;
    }
    let later = index.offset(row) + AHEAD as isize * index.strides[axis];
    // SAFETY: this index is in range as well.
    resolve(unsafe { index.get(later) }, len, 0).ok()
}

fn prefetch_row<T>(at: *const T, n: usize) {
    for line in 0..(n * size_of::<T>()).div_ceil(64).min(LINES) {
        prefetch(at.cast::<u8>().wrapping_add(line * 64));
    }
}

fn gather<T: Scalar>(s: &Single, axis: usize, len: usize, memory: &Memory) -> Result<(), Fault> {
    let last = s.dims.len() - 1;
    let n = s.dims[last];
    in_parts(s, last, memory, &|range| {
        let x = Strided::<T>::new(&s.operands[0], memory);
        let index = Strided::<i64>::new(&s.operands[1], memory);
        let out = memory.at(s.out, 0, 1).cast::<T>();
        let mut base: PerAxis<isize> = x.strides.iter().copied().collect();
        base[axis] = 0;
        let from = Strided {
            at: x.at,
            strides: &base,
        };
        let mut done = range.start * n;
        each_index(&s.dims, last, range, &mut |row| {
            let (at, start) = (from.offset(row), index.offset(row));
            // SAFETY: positions are checked; views stay inside their buffers; rows come in order.
            unsafe {
                let out = out.add(done);
                if axis != last && index.strides[last] == 0 {
                    // A whole row from one position.
                    if let Some(p) = ahead(&index, &s.dims, row, len) {
                        prefetch_row(x.at.wrapping_offset(at + p * x.strides[axis]), n);
                    }
                    let position = resolve(index.get(start), len, s.origin)?;
                    let at = at + position * x.strides[axis];
                    match x.strides[last] {
                        1 => std::ptr::copy_nonoverlapping(x.at.offset(at), out, n),
                        step => (0..n).for_each(|k| *out.add(k) = x.get(at + k as isize * step)),
                    }
                } else {
                    for k in 0..n {
                        let position = index.get(start + k as isize * index.strides[last]);
                        let position = resolve(position, len, s.origin)?;
                        *out.add(k) =
                            x.get(at + k as isize * base[last] + position * x.strides[axis]);
                    }
                }
            }
            done += n;
            Ok(())
        })
    })
}

/// Elements that lie next to each other along the last axis, which one thread adds, at least.
const NARROW: usize = 32;

fn scatter_add<T: Scalar>(
    s: &Single,
    axis: usize,
    len: usize,
    memory: &Memory,
) -> Result<(), Fault> {
    let mut shape: PerAxis<usize> = s.dims.clone();
    shape[axis] = len;
    let total: usize = shape.iter().product();
    // SAFETY: the result has as many elements; zeros of all dtypes are all bits 0.
    unsafe { std::ptr::write_bytes(memory.at(s.out, 0, 1).cast::<T>(), 0, total) };
    let to = strides(&shape);
    let mut base = to.clone();
    base[axis] = 0;
    let last = s.dims.len() - 1;
    let part = |rows: Range<usize>, columns: Range<usize>| {
        let index = Strided::<i64>::new(&s.operands[0], memory);
        let source = Strided::<T>::new(&s.operands[1], memory);
        let out = memory.at(s.out, 0, 1).cast::<T>();
        let place = Strided {
            at: out,
            strides: &base,
        };
        each_index(&s.dims, last, rows, &mut |row| {
            let (from, start, at) = (source.offset(row), index.offset(row), place.offset(row));
            // SAFETY: positions are checked; views stay inside their buffers.
            unsafe {
                if axis != last && index.strides[last] == 0 && source.strides[last] == 1 {
                    // A whole row to one position, which lies side by side there too.
                    let first = at + columns.start as isize;
                    if let Some(p) = ahead(&index, &s.dims, row, len) {
                        prefetch_row(out.wrapping_offset(first + p * to[axis]), columns.len());
                    }
                    let position = resolve(index.get(start), len, s.origin)?;
                    let out = out.offset(first + position * to[axis]);
                    let out = std::slice::from_raw_parts_mut(out, columns.len());
                    let from = source.at.offset(from).add(columns.start);
                    let from = std::slice::from_raw_parts(from, columns.len());
                    out.iter_mut().zip(from).for_each(|(y, &x)| *y = y.plus(x));
                    return Ok(());
                }
                for k in columns.start as isize..columns.end as isize {
                    let position = index.get(start + k * index.strides[last]);
                    let position = resolve(position, len, s.origin)?;
                    let out = out.offset(at + k * base[last] + position * to[axis]);
                    *out = (*out).plus(source.get(from + k * source.strides[last]));
                }
            }
            Ok(())
        })
    };
    let n = s.dims[last];
    if axis == last {
        // Rows are added to different elements.
        return in_parts(s, last, memory, &|rows| part(rows, 0..n));
    }
    // So are columns; an element is summed in the order of the rows.
    let elements: usize = s.dims.iter().product();
    let rows = elements.checked_div(n).unwrap_or(0);
    let wide = match is_large(s) {
        true => n.div_ceil(memory.threads()).next_multiple_of(NARROW),
        false => n.max(1),
    };
    let done = each_part(n.div_ceil(wide), memory, &|i| {
        part(0..rows, i * wide..n.min((i + 1) * wide))
    });
    // Which fault comes first is a matter of rows, whatever the number of threads.
    done.or_else(|_| part(0..rows, 0..n))
}

/// Visits every line along `axis`: (the operand, offset in it, offset in the result, whose strides are
/// given). Each thread visits with what `visitor` makes.
fn lines<T: Copy, V: FnMut(Strided<T>, isize, isize)>(
    s: &Single,
    axis: usize,
    out: &[isize],
    memory: &Memory,
    visitor: impl Fn() -> V + Sync,
) {
    let done = in_parts(s, axis, memory, &|range| {
        let x = Strided::<T>::new(&s.operands[0], memory);
        let place = Strided {
            at: x.at,
            strides: out,
        };
        let mut visit = visitor();
        each_index(&s.dims, axis, range, &mut |index| {
            visit(x, x.offset(index), place.offset(index));
            Ok(())
        })
    });
    debug_assert!(done.is_ok());
}

fn cumsum<T: Scalar>(s: &Single, axis: usize, reverse: bool, memory: &Memory) {
    let to = strides(&s.dims);
    lines(s, axis, &to, memory, || {
        let out = memory.at(s.out, 0, 1).cast::<T>();
        let to = &to;
        move |x: Strided<T>, from, at| {
            let n = s.dims[axis];
            let mut sum: Option<T> = None;
            for k in 0..n {
                let k = if reverse { n - 1 - k } else { k } as isize;
                // SAFETY: k is a position on the axis.
                unsafe {
                    let term = x.get(from + k * x.strides[axis]);
                    let total = sum.map_or(term, |sum| sum.plus(term));
                    *out.offset(at + k * to[axis]) = total;
                    sum = Some(total);
                }
            }
        }
    });
}

fn argsort<T: Scalar>(s: &Single, axis: usize, descending: bool, memory: &Memory) {
    let to = strides(&s.dims);
    lines(s, axis, &to, memory, || {
        let out = memory.at(s.out, 0, 1).cast::<i64>();
        let to = &to;
        let mut order: Vec<(u64, i64)> = Vec::new();
        move |x: Strided<T>, from, at| {
            order.clear();
            let element = |k: i64| {
                // SAFETY: k is a position on the axis.
                let x = unsafe { x.get(from + k as isize * x.strides[axis]) };
                let key = if descending { !x.key() } else { x.key() };
                (if x.is_nan() { u64::MAX } else { key }, k)
            };
            order.extend((0..s.dims[axis] as i64).map(element));
            order.sort_unstable();
            for (k, (_, position)) in order.iter().enumerate() {
                // SAFETY: k is a position on the axis.
                unsafe { *out.offset(at + k as isize * to[axis]) = *position };
            }
        }
    });
}

fn argreduce<T: Scalar>(s: &Single, which: Extreme, axis: usize, memory: &Memory) {
    let mut shape = s.dims.clone();
    shape[axis] = 1;
    let to = strides(&shape);
    lines(s, axis, &to, memory, || {
        let out = memory.at(s.out, 0, 1).cast::<i64>();
        move |x: Strided<T>, from, at| {
            // SAFETY: k is a position on the axis, which is not empty.
            let element = |k: usize| unsafe { x.get(from + k as isize * x.strides[axis]) };
            let (mut best, mut top) = (0, element(0));
            for k in 1..s.dims[axis] {
                let y = element(k);
                let better = match which {
                    Extreme::Max => y > top,
                    Extreme::Min => y < top,
                };
                if (better || y.is_nan()) && !top.is_nan() {
                    (best, top) = (k, y);
                }
            }
            // SAFETY: the result has an element for each line.
            unsafe { *out.offset(at) = best as i64 };
        }
    });
}
