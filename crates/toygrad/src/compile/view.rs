//! Strided views: how movement reads memory without moving it.

use crate::Shape;
use crate::graph::Movement;
use smallvec::{SmallVec, smallvec};

/// A stride or a length for each axis.
pub(crate) type PerAxis<T> = SmallVec<[T; 4]>;

/// Where the elements of an array lie, in elements from the start of a base array.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct View {
    pub offset: isize,
    pub strides: PerAxis<isize>,
}

impl View {
    /// Row after row.
    pub fn contiguous(shape: &Shape) -> View {
        View {
            offset: 0,
            strides: shape.strides(),
        }
    }

    /// Whether an array of `shape` lies row after row (axes of length 1 have any stride).
    pub fn is_contiguous(&self, shape: &Shape) -> bool {
        let plain = shape.strides();
        let fits = |a: usize| shape[a] == 1 || self.strides[a] == plain[a];
        shape.contains(&0) || (0..shape.rank()).all(fits)
    }

    /// The view of what a movement makes of an array of shape `from` under this view; `None` where
    /// elements must be moved.
    pub fn moved(&self, movement: &Movement, from: &Shape, to: &Shape) -> Option<View> {
        let View {
            mut offset,
            mut strides,
        } = self.clone();
        match movement {
            Movement::Reshape => return self.reshaped(from, to),
            Movement::Permute(p) => strides = p.iter().map(|&a| self.strides[a]).collect(),
            Movement::Expand => {
                for a in 0..from.rank() {
                    if from[a] != to[a] {
                        strides[a] = 0;
                    }
                }
            }
            Movement::Slice { start, step } => {
                for a in 0..from.rank() {
                    offset += start[a] as isize * self.strides[a];
                    strides[a] *= step[a];
                }
            }
            Movement::Window {
                axis,
                step,
                dilation,
                ..
            } => {
                strides.push(self.strides[*axis] * *dilation as isize);
                strides[*axis] *= *step as isize;
            }
            Movement::Embed { .. } | Movement::Fold { .. } => return None,
        }
        Some(View { offset, strides })
    }

    /// Axes of `from` that lie one in the other may be joined and split anew; others may not.
    fn reshaped(&self, from: &Shape, to: &Shape) -> Option<View> {
        if from.contains(&0) {
            return Some(View {
                offset: 0,
                strides: to.strides(),
            });
        }
        // Axes that lie one in the other, joined: (length, stride), the last first.
        let mut joined: SmallVec<[(usize, isize); 4]> = SmallVec::new();
        for a in (0..from.rank()).rev().filter(|&a| from[a] != 1) {
            match joined.last_mut() {
                Some((len, stride)) if self.strides[a] == *stride * *len as isize => {
                    *len *= from[a]
                }
                _ => joined.push((from[a], self.strides[a])),
            }
        }
        let mut strides: PerAxis<isize> = smallvec![0; to.rank()];
        let mut blocks = joined.into_iter();
        let (mut left, mut step) = (1usize, 1isize);
        for a in (0..to.rank()).rev().filter(|&a| to[a] != 1) {
            if left == 1 {
                (left, step) = blocks.next()?;
            }
            if !left.is_multiple_of(to[a]) {
                return None;
            }
            strides[a] = step;
            step *= to[a] as isize;
            left /= to[a];
        }
        (left == 1).then_some(View {
            offset: self.offset,
            strides,
        })
    }
}

/// Drops axes of length 1 and joins neighbours that every view steps through as one. `strides[v]`
/// belongs to view `v`; all are changed alike.
pub(crate) fn collapse(dims: &mut PerAxis<usize>, strides: &mut [&mut PerAxis<isize>]) {
    let mut a = 0;
    while a < dims.len() {
        if dims[a] == 1 {
            dims.remove(a);
            for s in strides.iter_mut() {
                s.remove(a);
            }
            continue;
        }
        let n = dims[a] as isize;
        if a > 0 && strides.iter().all(|s| s[a - 1] == s[a] * n) {
            dims[a - 1] *= dims[a];
            dims.remove(a);
            for s in strides.iter_mut() {
                s[a - 1] = s[a];
                s.remove(a);
            }
            continue;
        }
        a += 1;
    }
}

/// The way of one view through an index space: axes that it steps through as one are joined.
#[derive(Clone, Debug, Default)]
pub(crate) struct Walk {
    pub offset: isize,
    pub dims: PerAxis<usize>,
    pub strides: PerAxis<isize>,
}

impl Walk {
    pub fn new(view: &View, dims: &[usize]) -> Walk {
        let (mut dims, mut strides) = (PerAxis::from_slice(dims), view.strides.clone());
        if !dims.contains(&0) {
            collapse(&mut dims, &mut [&mut strides]);
        }
        Walk {
            offset: view.offset,
            dims,
            strides,
        }
    }

    /// The offset of element `start`, if those from there to `start + n` lie side by side.
    #[inline]
    pub fn stretch(&self, start: usize, n: usize) -> Option<isize> {
        let (&[.., step], &[ref outer @ .., inner]) = (&self.strides[..], &self.dims[..]) else {
            return Some(self.offset);
        };
        // (What lies in one piece needs no division.)
        let (mut row, first) = match outer {
            [] => (0, start),
            _ => (start / inner, start % inner),
        };
        if step != 1 || first + n > inner {
            return None;
        }
        let mut offset = self.offset + first as isize;
        for (&len, &stride) in outer.iter().zip(&self.strides).rev() {
            offset += (row % len) as isize * stride;
            row /= len;
        }
        Some(offset)
    }

    /// How far apart neighbours are.
    pub fn step(&self) -> isize {
        self.strides.last().copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reshaping_joins_and_splits() {
        let s = |d: &[usize]| Shape::from(d);
        let v = View::contiguous(&s(&[2, 3, 4]));
        assert!(v.reshaped(&s(&[2, 3, 4]), &s(&[6, 2, 2])).is_some());
        let t = View {
            offset: 0,
            strides: smallvec![1, 3],
        };
        assert_eq!(t.reshaped(&s(&[3, 4]), &s(&[12])), None);
        let split = t.reshaped(&s(&[3, 4]), &s(&[3, 2, 2]));
        assert_eq!(split.map(|v| v.strides.to_vec()), Some(vec![1, 6, 3]));
    }

    #[test]
    fn collapsing_keeps_broadcast_axes_apart() {
        let mut dims: PerAxis<usize> = smallvec![4, 1, 3, 2];
        let (mut a, mut b): (PerAxis<isize>, PerAxis<isize>) =
            (smallvec![6, 6, 2, 1], smallvec![0, 0, 2, 1]);
        collapse(&mut dims, &mut [&mut a, &mut b]);
        assert_eq!(
            (&dims[..], &a[..], &b[..]),
            (&[4, 6][..], &[6, 1][..], &[0, 1][..])
        );
    }
}
