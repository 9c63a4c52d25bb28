//! Rows of strided arrays, to registers of loops and back: loaded, stored, combined.

use super::Memory;
use crate::compile::program::{Fold, Load, Store};
use crate::compile::view::Walk;
use std::mem::MaybeUninit;

/// Lanes of a register, at most.
pub(super) const TILE: usize = 1024;

/// Elements of a strided view that lie in equal rows, one after the other in the index space.
struct Rows {
    /// Of the first element: its position in the tile, and its offset under the strides.
    at: usize,
    offset: isize,
    /// How many rows, how far apart, and how long.
    count: usize,
    apart: isize,
    len: usize,
}

/// Visits elements `start..start + n` of the index space, in rows along its last axis.
#[inline]
fn rows(walk: &Walk, start: usize, n: usize, mut visit: impl FnMut(Rows)) {
    let (&[ref outer @ .., inner], &[ref strides @ .., step]) = (&walk.dims[..], &walk.strides[..])
    else {
        return visit(Rows {
            at: 0,
            offset: 0,
            count: 1,
            apart: 0,
            len: n,
        });
    };
    let (mut row, mut first) = (start / inner, start % inner);
    // Rows along the next axis lie equally far apart; those along the others are blocks.
    let (rows, apart, outer) = match outer {
        &[ref outer @ .., rows] => (rows, strides[outer.len()], outer),
        [] => (1, 0, outer),
    };
    let mut block = 0;
    if !outer.is_empty() {
        (block, row) = (row / rows, row % rows);
    }
    let mut done = 0;
    while done < n {
        let offset = offset(block, outer, &strides[..outer.len()]) + row as isize * apart;
        let (ahead, left) = (rows - row, n - done);
        let (count, len) = match first {
            0 if ahead * inner <= left => (ahead, inner),
            0 if inner <= left => (left / inner, inner),
            _ => (1, (inner - first).min(left)),
        };
        visit(Rows {
            at: done,
            offset: offset + first as isize * step,
            count,
            apart,
            len,
        });
        done += count * len;
        first = 0;
        row += count;
        if row == rows {
            (block, row) = (block + 1, 0);
        }
    }
}

/// Where the `i`-th index of some axes is.
#[inline]
pub(super) fn offset(mut i: usize, dims: &[usize], strides: &[isize]) -> isize {
    let Some((_, inner)) = dims.split_first() else {
        return 0;
    };
    let mut offset = 0;
    for (&len, &stride) in inner.iter().zip(&strides[1..]).rev() {
        offset += (i % len) as isize * stride;
        i /= len;
    }
    offset + i as isize * strides[0]
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

/// Rows of up to so many elements are not worth a call of `memcpy`.
const SHORT: usize = 32;

/// Calls `part(i)` for stretches of `N` elements that cover `n`, of which the last two may overlap.
#[inline(always)]
fn parts<const N: usize>(n: usize, mut part: impl FnMut(usize)) {
    let mut i = 0;
    while i + N < n {
        part(i);
        i += N;
    }
    part(n - N);
}

/// A function over rows, compiled for AVX2 too, where the machine has that. (Functions of their own:
/// all that they need fits into registers.)
macro_rules! over_rows {
    ($(#[$doc:meta])* $name:ident = $rows:ident($($x:ident: $t:ty),*)) => {
        $(#[$doc])*
        #[inline(never)]
        unsafe fn $name<T: Copy>($($x: $t),*) {
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx2")]
                unsafe fn wide<T: Copy>($($x: $t),*) {
                    // SAFETY: the caller's promise.
                    unsafe { $rows($($x),*) }
                }
                if is_x86_feature_detected!("avx2") {
                    // SAFETY: the machine has AVX2; the rest is the caller's promise.
                    return unsafe { wide($($x),*) };
                }
            }
            // SAFETY: the caller's promise.
            unsafe { $rows($($x),*) }
        }
    };
}

over_rows! {
    /// Copies rows; where source and destination are the same, nothing changes.
    ///
    /// # Safety
    /// Both have `count` rows of `len` elements, so far apart; they are the same or do not overlap.
    copy = copy_rows(
        from: *const T, from_apart: isize, to: *mut T, to_apart: isize, len: usize, count: usize
    )
}

over_rows! {
    /// Fills rows, which lie one after the other, with one number each; these are `apart`.
    ///
    /// # Safety
    /// There are `count` numbers, and room for as many rows of `len` elements.
    repeat = repeat_rows(from: *const T, apart: isize, to: *mut T, len: usize, count: usize)
}

/// # Safety
/// As for [`copy`].
#[inline(always)]
unsafe fn copy_rows<T: Copy>(
    mut from: *const T,
    from_apart: isize,
    mut to: *mut T,
    to_apart: isize,
    len: usize,
    count: usize,
) {
    macro_rules! each_row {
        ($body:expr) => {
            for _ in 0..count {
                // SAFETY: the caller's promise.
                unsafe { $body };
                from = from.wrapping_offset(from_apart);
                to = to.wrapping_offset(to_apart);
            }
        };
    }
    // A part is read before it is written.
    macro_rules! in_parts {
        ($n:literal) => {
            each_row!(parts::<$n>(len, |i| {
                let part = from.add(i).cast::<[T; $n]>().read_unaligned();
                to.add(i).cast::<[T; $n]>().write_unaligned(part);
            }))
        };
    }
    match len {
        0 => {}
        1 => each_row!(*to = *from),
        2..4 => in_parts!(2),
        4..8 => in_parts!(4),
        8..=SHORT => in_parts!(8),
        _ => each_row!(std::ptr::copy(from, to, len)),
    }
}

/// # Safety
/// As for [`repeat`].
#[inline(always)]
unsafe fn repeat_rows<T: Copy>(
    mut from: *const T,
    apart: isize,
    mut to: *mut T,
    len: usize,
    count: usize,
) {
    macro_rules! each_row {
        (|$x:ident| $body:expr) => {
            for _ in 0..count {
                // SAFETY: the caller's promise.
                unsafe {
                    let $x = *from;
                    $body
                };
                from = from.wrapping_offset(apart);
                to = to.wrapping_add(len);
            }
        };
    }
    macro_rules! in_parts {
        ($n:literal) => {
            each_row!(|x| parts::<$n>(len, |i| {
                to.add(i).cast::<[T; $n]>().write_unaligned([x; $n])
            }))
        };
    }
    match len {
        2..4 => in_parts!(2),
        4..8 => in_parts!(4),
        8..=SHORT => in_parts!(8),
        _ => each_row!(|x| (0..len).for_each(|i| *to.add(i) = x)),
    }
}

/// Copies elements that lie `step` apart, next to each other. (Two apart, as in pooling and in pairs
/// of numbers, whole registers can be loaded.)
///
/// # Safety
/// `n` elements can be read and written so; they do not overlap.
#[inline]
unsafe fn pick<T: Copy>(from: *const T, step: isize, to: *mut T, n: usize) {
    // SAFETY: the caller's promise: of the last pair the second element may not exist.
    unsafe {
        let mut i = 0;
        if step == 2 {
            while i + 8 < n {
                let pairs = from.add(2 * i).cast::<[[T; 2]; 8]>().read_unaligned();
                to.add(i)
                    .cast::<[T; 8]>()
                    .write_unaligned(pairs.map(|x| x[0]));
                i += 8;
            }
        }
        (i..n).for_each(|k| *to.add(k) = *from.offset(k as isize * step));
    }
}

/// Loads elements of a strided view into a register.
pub(super) fn gather(load: &Load, memory: &Memory, start: usize, n: usize, to: *mut u8) {
    let (walk, step) = (&load.walk, load.walk.step());
    by_size!(load.dtype, T => {
        let from = memory.at(load.from.buffer, walk.offset, load.dtype.size()).cast::<T>();
        let to = to.cast::<T>();
        rows(walk, start, n, |r| {
            // SAFETY: views stay inside their buffers, and positions in the tile stay below TILE.
            unsafe {
                let (from, to) = (from.offset(r.offset).cast_const(), to.add(r.at));
                match step {
                    1 => copy(from, r.apart, to, r.len as isize, r.len, r.count),
                    0 => repeat(from, r.apart, to, r.len, r.count),
                    _ => (0..r.count).for_each(|row| {
                        let from = from.offset(row as isize * r.apart);
                        pick(from, step, to.add(row * r.len), r.len);
                    }),
                }
            }
        });
    });
}

/// Stores a register into a strided view.
pub(super) fn scatter(from: *mut u8, s: &Store, memory: &Memory, start: usize, n: usize) {
    let (walk, step) = (&s.walk, s.walk.step());
    by_size!(s.dtype, T => {
        let to = memory.at(s.to.buffer, walk.offset, s.dtype.size()).cast::<T>();
        let from = from.cast::<T>().cast_const();
        rows(walk, start, n, |r| {
            // SAFETY: as above. The register may be an input's memory, and this its own element:
            // `copy` allows both to be the same.
            unsafe {
                let (from, to) = (from.add(r.at), to.offset(r.offset));
                match step {
                    1 => copy(from, r.len as isize, to, r.apart, r.len, r.count),
                    _ => (0..r.count).for_each(|row| {
                        let (from, to) = (from.add(row * r.len), to.offset(row as isize * r.apart));
                        (0..r.len).for_each(|k| *to.offset(k as isize * step) = *from.add(k));
                    }),
                }
            }
        });
    });
}

/// Combines a register into the elements that a view names.
pub(super) fn fold(f: &Fold, from: *mut u8, target: *mut u8, start: usize, n: usize) {
    let size = f.dtype.size();
    let (walk, step) = (&f.walk, f.walk.step());
    rows(walk, start, n, |r| {
        let from = from.wrapping_add(r.at * size);
        let to = target.wrapping_offset((walk.offset + r.offset) * size as isize);
        // SAFETY: views stay inside their buffers, and positions in the tile stay below TILE.
        unsafe {
            match step {
                0 => (f.along)(from, to, r.len, r.count, r.apart),
                1 => (f.across)(from, to, r.len, r.count, r.apart),
                _ => (0..r.count).for_each(|row| {
                    let from = from.wrapping_add(row * r.len * size);
                    let to = to.wrapping_offset(row as isize * r.apart * size as isize);
                    apart_across(f, from, to, step, r.len);
                }),
            }
        }
    });
}

/// Combines elements with those that lie `step` apart: these are brought together and taken back.
///
/// # Safety
/// `from` has `n` elements, at most [`TILE`]; so have the places from `to` on, all different.
unsafe fn apart_across(f: &Fold, from: *mut u8, to: *mut u8, step: isize, n: usize) {
    let mut together = MaybeUninit::<[u64; TILE]>::uninit();
    by_size!(f.dtype, T => {
        let (t, to) = (together.as_mut_ptr().cast::<T>(), to.cast::<T>());
        // SAFETY: the caller's promise.
        unsafe {
            pick(to.cast_const(), step, t, n);
            (f.across)(from, t.cast(), n, 1, 0);
            (0..n).for_each(|k| *to.offset(k as isize * step) = *t.add(k));
        }
    });
}
