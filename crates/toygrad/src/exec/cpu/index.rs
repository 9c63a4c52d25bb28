//! Kernels that are not fused: random numbers, look-ups, sorting, running sums.

use super::{Fault, Memory};
use crate::compile::program::{Operand, Single, SingleKind};
use crate::compile::view::PerAxis;
use crate::dtype::DType;
use crate::graph::Extreme;
use crate::philox::{uniform_f32, uniform_f64};

/// Random elements of a chunk, the unit that threads share out.
const CHUNK: usize = 16 * 1024;

pub(super) fn is_large(s: &Single) -> bool {
    matches!(s.what, SingleKind::Random { .. }) && s.dims.iter().product::<usize>() >= 4 * CHUNK
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

/// Visits every index of `dims`, with axis `skip` (if any) held at 0. (One function for all that it
/// calls: there are many.)
fn each_index(
    dims: &[usize],
    skip: usize,
    visit: &mut dyn FnMut(&[usize]) -> Result<(), Fault>,
) -> Result<(), Fault> {
    if dims.contains(&0) {
        return Ok(());
    }
    let mut index: PerAxis<usize> = PerAxis::from_elem(0, dims.len());
    loop {
        visit(&index)?;
        let mut a = dims.len();
        loop {
            if a == 0 {
                return Ok(());
            }
            a -= 1;
            if a == skip {
                continue;
            }
            index[a] += 1;
            if index[a] < dims[a] {
                break;
            }
            index[a] = 0;
        }
    }
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

fn gather<T: Scalar>(s: &Single, axis: usize, len: usize, memory: &Memory) -> Result<(), Fault> {
    let x = Strided::<T>::new(&s.operands[0], memory);
    let index = Strided::<i64>::new(&s.operands[1], memory);
    let out = memory.at(s.out, 0, 1).cast::<T>();
    let last = s.dims.len() - 1;
    let n = s.dims[last];
    let mut base: PerAxis<isize> = x.strides.iter().copied().collect();
    base[axis] = 0;
    let from = Strided {
        at: x.at,
        strides: &base,
    };
    let mut done = 0;
    each_index(&s.dims, last, &mut |row| {
        let (at, start) = (from.offset(row), index.offset(row));
        // SAFETY: positions are checked; views stay inside their buffers; rows come in order.
        unsafe {
            let out = out.add(done);
            if axis != last && index.strides[last] == 0 {
                // A whole row from one position.
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
                    *out.add(k) = x.get(at + k as isize * base[last] + position * x.strides[axis]);
                }
            }
        }
        done += n;
        Ok(())
    })
}

fn scatter_add<T: Scalar>(
    s: &Single,
    axis: usize,
    len: usize,
    memory: &Memory,
) -> Result<(), Fault> {
    let index = Strided::<i64>::new(&s.operands[0], memory);
    let source = Strided::<T>::new(&s.operands[1], memory);
    let mut shape: PerAxis<usize> = s.dims.clone();
    shape[axis] = len;
    let out = memory.at(s.out, 0, 1).cast::<T>();
    let total: usize = shape.iter().product();
    // SAFETY: the result has as many elements; zeros of all dtypes are all bits 0.
    unsafe { std::ptr::write_bytes(out, 0, total) };
    let to = strides(&shape);
    let mut base = to.clone();
    base[axis] = 0;
    let place = Strided {
        at: out,
        strides: &base,
    };
    let last = s.dims.len() - 1;
    let n = s.dims[last];
    each_index(&s.dims, last, &mut |row| {
        let (from, start, at) = (source.offset(row), index.offset(row), place.offset(row));
        // SAFETY: positions are checked; views stay inside their buffers.
        unsafe {
            if axis != last && index.strides[last] == 0 && source.strides[last] == 1 {
                // A whole row to one position, which lies side by side there too.
                let position = resolve(index.get(start), len, s.origin)?;
                let out = std::slice::from_raw_parts_mut(out.offset(at + position * to[axis]), n);
                let from = std::slice::from_raw_parts(source.at.offset(from), n);
                out.iter_mut().zip(from).for_each(|(y, &x)| *y = y.plus(x));
                return Ok(());
            }
            for k in 0..n as isize {
                let position = index.get(start + k * index.strides[last]);
                let position = resolve(position, len, s.origin)?;
                let out = out.offset(at + k * base[last] + position * to[axis]);
                *out = (*out).plus(source.get(from + k * source.strides[last]));
            }
        }
        Ok(())
    })
}

/// Visits every line along `axis`: (offset in the operand, offset in the result, whose strides
/// are given).
fn lines<T: Copy>(
    s: &Single,
    axis: usize,
    out: &[isize],
    memory: &Memory,
    mut visit: impl FnMut(Strided<T>, isize, isize),
) {
    let x = Strided::<T>::new(&s.operands[0], memory);
    let place = Strided {
        at: x.at,
        strides: out,
    };
    let never = each_index(&s.dims, axis, &mut |index| {
        visit(x, x.offset(index), place.offset(index));
        Ok(())
    });
    debug_assert!(never.is_ok());
}

fn cumsum<T: Scalar>(s: &Single, axis: usize, reverse: bool, memory: &Memory) {
    let out = memory.at(s.out, 0, 1).cast::<T>();
    let to = strides(&s.dims);
    lines::<T>(s, axis, &to, memory, |x, from, at| {
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
    });
}

fn argsort<T: Scalar>(s: &Single, axis: usize, descending: bool, memory: &Memory) {
    let out = memory.at(s.out, 0, 1).cast::<i64>();
    let to = strides(&s.dims);
    let mut order: Vec<(u64, i64)> = Vec::new();
    lines::<T>(s, axis, &to, memory, |x, from, at| {
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
    });
}

fn argreduce<T: Scalar>(s: &Single, which: Extreme, axis: usize, memory: &Memory) {
    let out = memory.at(s.out, 0, 1).cast::<i64>();
    let mut shape = s.dims.clone();
    shape[axis] = 1;
    let to = strides(&shape);
    lines::<T>(s, axis, &to, memory, |x, from, at| {
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
    });
}
