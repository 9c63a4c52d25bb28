//! What a slice takes of an axis: positions and ranges with steps, as Python counts them.

use crate::shape::resolve;
use std::ops::{Range, RangeFrom, RangeFull, RangeTo};

/// What [`Value::slice`](crate::Value::slice) does to one axis. Written with [`s!`](crate::s).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SliceItem {
    /// One position; the axis goes away.
    At(isize),
    /// From `start` to before `end` in steps, as Python slices: negative positions count from the
    /// end, what lies outside is cut off, a negative step goes backwards.
    Range {
        /// First position; by default the first in the direction of `step`.
        start: Option<isize>,
        /// Where to stop.
        end: Option<isize>,
        /// Not 0.
        step: isize,
    },
}

impl SliceItem {
    /// The same with another step; for [`s!`](crate::s).
    pub fn step(self, by: isize) -> SliceItem {
        match self {
            SliceItem::Range { start, end, step } => SliceItem::Range {
                start,
                end,
                step: step.saturating_mul(by),
            },
            at => at,
        }
    }
}

/// What does not fit an isize is past the end of any array.
fn place(at: impl TryInto<isize>) -> isize {
    at.try_into().unwrap_or(isize::MAX)
}

macro_rules! slice_item {
    ($($t:ty),*) => {$(
        slice_item! {
            @range $t,
            Range<$t>, |r| Some(place(r.start)), Some(place(r.end));
            RangeFrom<$t>, |r| Some(place(r.start)), None;
            RangeTo<$t>, |r| None, Some(place(r.end));
        }
        impl From<$t> for SliceItem {
            fn from(at: $t) -> SliceItem {
                SliceItem::At(place(at))
            }
        }
    )*};
    (@range $t:ty, $($range:ty, |$r:ident| $start:expr, $end:expr;)*) => {$(
        impl From<$range> for SliceItem {
            fn from($r: $range) -> SliceItem {
                SliceItem::Range { start: $start, end: $end, step: 1 }
            }
        }
    )*};
}
slice_item!(i32, isize, usize);

impl From<RangeFull> for SliceItem {
    fn from(_: RangeFull) -> SliceItem {
        SliceItem::Range {
            start: None,
            end: None,
            step: 1,
        }
    }
}

/// Positions and ranges for [`Value::slice`](crate::Value::slice), an axis each: `s![0, 1..-1, ..;2, ..;-1]`.
///
/// ```
/// use toygrad::prelude::*;
/// let x = Value::arange(0..12).reshape([3, 4]);
/// assert_eq!(x.slice(s![-1, ..;2]).to_vec::<i64>()?, [8, 10]);
/// assert_eq!(x.slice(s![..;-1, 0]).to_vec::<i64>()?, [8, 4, 0]);
/// # Ok::<(), toygrad::Error>(())
/// ```
#[macro_export]
macro_rules! s {
    (@item $r:expr) => {{
        // `5..1` is a range from 5 down to 1 where the step is negative.
        #[allow(clippy::reversed_empty_ranges)]
        let item = $r;
        $crate::SliceItem::from(item)
    }};
    (@ [$($done:expr),*]) => { [$($done),*] };
    (@ [$($done:expr),*] $r:expr ; $step:expr) => {
        [$($done,)* $crate::s!(@item $r).step($step)]
    };
    (@ [$($done:expr),*] $r:expr ; $step:expr, $($rest:tt)*) => {
        $crate::s!(@ [$($done,)* $crate::s!(@item $r).step($step)] $($rest)*)
    };
    (@ [$($done:expr),*] $r:expr) => { [$($done,)* $crate::s!(@item $r)] };
    (@ [$($done:expr),*] $r:expr, $($rest:tt)*) => {
        $crate::s!(@ [$($done,)* $crate::s!(@item $r)] $($rest)*)
    };
    ($($items:tt)*) => { $crate::s!(@ [] $($items)*) };
}

/// Start, step and length of a slice of an axis of `len`; `None` where a position is outside.
pub(crate) fn resolve_slice(item: SliceItem, len: usize) -> Option<(usize, isize, usize)> {
    let n = len as isize;
    match item {
        SliceItem::At(i) => Some((resolve(i, len)?, 1, 1)),
        SliceItem::Range { step: 0, .. } => None,
        SliceItem::Range { start, end, step } => {
            let clamp = |i: isize, low: isize, high: isize| {
                if i < 0 {
                    (i.saturating_add(n)).max(low)
                } else {
                    i.min(high)
                }
            };
            let (start, end) = match step > 0 {
                true => (
                    start.map_or(0, |i| clamp(i, 0, n)),
                    end.map_or(n, |i| clamp(i, 0, n)),
                ),
                false => (
                    start.map_or(n - 1, |i| clamp(i, -1, n - 1)),
                    end.map_or(-1, |i| clamp(i, -1, n - 1)),
                ),
            };
            let span = if step > 0 { end - start } else { start - end };
            let count = (span.max(0) as usize).div_ceil(step.unsigned_abs());
            let start = if count == 0 { 0 } else { start as usize };
            // Steps that are never taken are 1: a huge one would overflow strides.
            Some((start, if count > 1 { step } else { 1 }, count))
        }
    }
}
