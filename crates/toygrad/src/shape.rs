//! Shapes, axes, and the rules of NumPy broadcasting.

use smallvec::SmallVec;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

/// The lengths of a [`Value`](crate::Value)'s axes; `[]` is a scalar.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Shape(
    /// `None` for a scalar. (Shared, as most nodes have the shape of their input, and are to be small.)
    Option<Arc<[usize]>>,
);

impl Shape {
    /// The shape of a scalar.
    pub fn scalar() -> Shape {
        Shape::default()
    }

    /// The most axes that a [`Value`](crate::Value) can have.
    pub const MAX_RANK: usize = 32;

    /// More than any machine can address, and few enough that the bytes of thousands of arrays
    /// can be added up.
    pub(crate) const MAX_ELEMENTS: usize = 1 << 48;

    /// How many elements an array of this shape has, if there can be one: it has at most
    /// [`MAX_RANK`](Shape::MAX_RANK) axes, and the product of its lengths is one that a machine
    /// can count (axes of length 0 left out, so that this holds for any part of it too).
    pub fn checked_len(&self) -> Option<usize> {
        let fits = |n: usize, &d: &usize| {
            n.checked_mul(d.max(1))
                .filter(|&n| n <= Shape::MAX_ELEMENTS)
        };
        let n = self.iter().try_fold(1usize, fits)?;
        match self.contains(&0) {
            _ if self.rank() > Shape::MAX_RANK => None,
            true => Some(0),
            false => Some(n),
        }
    }

    /// How many elements an array of this shape has (1 for a scalar).
    ///
    /// Every shape inside a [`Value`](crate::Value) has been checked, so the product fits.
    pub fn elements(&self) -> usize {
        self.iter().product()
    }

    /// The number of axes.
    pub fn rank(&self) -> usize {
        self.len()
    }

    /// Row-major strides, in elements.
    pub(crate) fn strides(&self) -> SmallVec<[isize; 4]> {
        let mut strides: SmallVec<[isize; 4]> = SmallVec::from_elem(0, self.rank());
        let mut step = 1isize;
        for axis in (0..self.rank()).rev() {
            strides[axis] = step;
            step = step.wrapping_mul(self[axis].max(1) as isize);
        }
        strides
    }

    /// A copy with `axis` set to `len`.
    pub(crate) fn with(&self, axis: usize, len: usize) -> Shape {
        self.changed(|dims| dims[axis] = len)
    }

    /// A copy with an axis of length `len` put in before `axis`.
    pub(crate) fn insert(&self, axis: usize, len: usize) -> Shape {
        self.changed(|dims| dims.insert(axis, len))
    }

    /// A copy without `axis`.
    pub(crate) fn remove(&self, axis: usize) -> Shape {
        self.changed(|dims| _ = dims.remove(axis))
    }

    fn changed(&self, change: impl FnOnce(&mut SmallVec<[usize; 4]>)) -> Shape {
        let mut dims = SmallVec::from_slice(self);
        change(&mut dims);
        Shape::from(&dims[..])
    }

    /// The shape that both broadcast to: axes are aligned at the end, and equal or 1.
    pub fn broadcast(&self, other: &Shape) -> Option<Shape> {
        let rank = self.rank().max(other.rank());
        (0..rank)
            .map(|i| {
                let a = (i + self.rank()).checked_sub(rank).map_or(1, |k| self[k]);
                let b = (i + other.rank()).checked_sub(rank).map_or(1, |k| other[k]);
                match (a, b) {
                    _ if a == b => Some(a),
                    (1, n) | (n, 1) => Some(n),
                    _ => None,
                }
            })
            .collect()
    }

    /// Turns an axis that may count from the end (-1 is the last) into a position.
    pub fn axis(&self, axis: isize) -> Option<usize> {
        resolve(axis, self.rank())
    }
}

/// `axis` in `0..rank`, where negative ones count from the end.
pub(crate) fn resolve(axis: isize, rank: usize) -> Option<usize> {
    let at = if axis < 0 {
        axis.checked_add(rank as isize)?
    } else {
        axis
    };
    (0..rank as isize).contains(&at).then_some(at as usize)
}

impl Deref for Shape {
    type Target = [usize];
    fn deref(&self) -> &[usize] {
        self.0.as_deref().unwrap_or_default()
    }
}

impl FromIterator<usize> for Shape {
    fn from_iter<I: IntoIterator<Item = usize>>(iter: I) -> Self {
        let mut dims: SmallVec<[usize; 4]> = SmallVec::new();
        // Less code than SmallVec's own way, of which every caller has a copy.
        iter.into_iter().for_each(|n| dims.push(n));
        Shape::from(&dims[..])
    }
}

impl From<&[usize]> for Shape {
    fn from(dims: &[usize]) -> Self {
        Shape((!dims.is_empty()).then(|| Arc::from(dims)))
    }
}

impl From<Vec<usize>> for Shape {
    fn from(dims: Vec<usize>) -> Self {
        Shape::from(&dims[..])
    }
}

impl From<&Shape> for Shape {
    fn from(shape: &Shape) -> Self {
        shape.clone()
    }
}

impl<const N: usize> From<[usize; N]> for Shape {
    fn from(dims: [usize; N]) -> Self {
        Shape::from(&dims[..])
    }
}

impl From<usize> for Shape {
    fn from(len: usize) -> Self {
        Shape::from([len])
    }
}

impl From<()> for Shape {
    fn from(_: ()) -> Self {
        Shape::scalar()
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &self[..])
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// One or several axes; negative ones count from the end. Made from `1`, `-1`, `[0, -1]`,
/// a slice or a vector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Axes(pub(crate) SmallVec<[isize; 4]>);

impl Axes {
    /// The axes as positions in an array of `rank` axes, ascending; `None` where one is out of
    /// range or named twice.
    pub(crate) fn resolve(&self, rank: usize) -> Option<SmallVec<[usize; 4]>> {
        let named = |a: &usize| self.0.iter().any(|&b| resolve(b, rank) == Some(*a));
        let axes: SmallVec<_> = (0..rank).filter(named).collect();
        (axes.len() == self.0.len()).then_some(axes)
    }
}

macro_rules! axes {
    ($($t:ty),*) => {$(
        impl From<$t> for Axes {
            fn from(axis: $t) -> Self {
                Axes::from(&[axis][..])
            }
        }
        impl<const N: usize> From<[$t; N]> for Axes {
            fn from(axes: [$t; N]) -> Self {
                Axes::from(&axes[..])
            }
        }
        impl From<&[$t]> for Axes {
            fn from(axes: &[$t]) -> Self {
                // What does not fit an isize is out of range for any array.
                Axes(axes.iter().map(|&a| isize::try_from(a).unwrap_or(isize::MAX)).collect())
            }
        }
        impl From<Vec<$t>> for Axes {
            fn from(axes: Vec<$t>) -> Self {
                Axes::from(&axes[..])
            }
        }
    )*};
}
axes!(i32, isize, usize);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broadcasting_follows_numpy() {
        let s = |d: &[usize]| Shape::from(d);
        assert_eq!(s(&[3, 1]).broadcast(&s(&[4])), Some(s(&[3, 4])));
        assert_eq!(s(&[]).broadcast(&s(&[2, 0])), Some(s(&[2, 0])));
        assert_eq!(s(&[0]).broadcast(&s(&[1])), Some(s(&[0])));
        assert_eq!(s(&[3, 4]).broadcast(&s(&[5])), None);
        assert_eq!(s(&[2]).broadcast(&s(&[0])), None);
    }

    #[test]
    fn only_shapes_that_can_be_counted_have_a_length() {
        let s = |d: &[usize]| Shape::from(d).checked_len();
        assert_eq!(s(&[3, 0, 2]), Some(0));
        assert_eq!(s(&[]), Some(1));
        assert_eq!(s(&[usize::MAX]), None);
        assert_eq!(s(&[1 << 40, 1 << 40, 0]), None);
        assert_eq!(s(&[1; Shape::MAX_RANK + 1]), None);
    }

    #[test]
    fn axes_resolve() {
        assert_eq!(
            Axes::from([0, -1]).resolve(3).as_deref(),
            Some(&[0usize, 2][..])
        );
        assert_eq!(Axes::from([1, -2]).resolve(3), None);
        assert_eq!(Axes::from(isize::MIN).resolve(3), None);
    }
}
