//! Operations that only move elements, each beside its adjoint.

use crate::error::Caller;
use crate::graph::build::{common_shape, failed, mistake};
use crate::graph::{Kind, Movement};
use crate::ops::slice::{SliceItem, resolve_slice};
use crate::shape::{Axes, resolve};
use crate::{Shape, Value};
use smallvec::{SmallVec, smallvec};
use std::panic::Location;

impl Movement {
    /// The cotangent of the input `x`, from the cotangent of the result.
    pub(crate) fn adjoint(&self, g: &Value, x: &Value) -> Value {
        let (shape, dtype, at) = (x.shape().clone(), g.dtype(), g.0.at);
        let back =
            |m: Movement| Value::apply(m.into(), smallvec![g.clone()], shape.clone(), dtype, at);
        match self.clone() {
            Movement::Reshape => g.reshape_at(&shape, at),
            Movement::Permute(p) => {
                let mut inverse: SmallVec<[usize; 4]> = smallvec![0; p.len()];
                p.iter().enumerate().for_each(|(i, &a)| inverse[a] = i);
                back(Movement::Permute(inverse))
            }
            Movement::Expand => {
                let axes = (0..shape.rank()).filter(|&a| shape[a] != g.shape()[a]);
                g.sum_over(axes.fold(0, |set, a| set | 1 << a), at)
            }
            slice_or_window => back(slice_or_window.opposite()),
        }
    }

    /// The movement that writes where this one reads, or reads where it writes: the adjoint of
    /// those that pick elements.
    pub(crate) fn opposite(self) -> Movement {
        match self {
            Movement::Slice { start, step } => Movement::Embed { start, step },
            Movement::Embed { start, step } => Movement::Slice { start, step },
            Movement::Window {
                axis,
                size,
                step,
                dilation,
            } => Movement::Fold {
                axis,
                size,
                step,
                dilation,
            },
            Movement::Fold {
                axis,
                size,
                step,
                dilation,
            } => Movement::Window {
                axis,
                size,
                step,
                dilation,
            },
            rearranged => rearranged,
        }
    }

    /// The same movement of another Value of the input's shape: how a tangent moves.
    pub(crate) fn again(&self, t: &Value, y: &Value) -> Value {
        let kind = Kind::from(self.clone());
        Value::apply(
            kind,
            smallvec![t.clone()],
            y.shape().clone(),
            t.dtype(),
            y.0.at,
        )
    }
}

impl Value {
    fn moved(&self, movement: Movement, shape: Shape, at: Caller) -> Value {
        Value::apply(
            movement.into(),
            smallvec![self.clone()],
            shape,
            self.dtype(),
            at,
        )
    }

    fn cannot(&self, at: Caller, what: String, hint: Option<String>) -> Value {
        mistake(
            at,
            format!("cannot {what} shape {}", self.shape()),
            &[("input", self)],
            hint,
        )
    }

    fn no_axis(&self, at: Caller, name: &str, axes: impl std::fmt::Debug) -> Value {
        let hint = match self.rank() {
            0 => "a scalar has no axes".to_string(),
            n => format!(
                "its axes are 0 to {}, or -{n} to -1, each at most once",
                n - 1
            ),
        };
        self.cannot(at, format!("`{name}` along {axes:?} of"), Some(hint))
    }

    /// `axis` as a position, or the mistake.
    pub(crate) fn axis_at(&self, name: &str, axis: isize, at: Caller) -> Result<usize, Value> {
        match self.error() {
            Some(_) => Err(self.clone()),
            None => resolve(axis, self.rank()).ok_or_else(|| self.no_axis(at, name, axis)),
        }
    }

    /// `axes` as positions, or the mistake.
    pub(crate) fn axes_at(
        &self,
        name: &str,
        axes: &Axes,
        at: Caller,
    ) -> Result<SmallVec<[usize; 4]>, Value> {
        match self.error() {
            Some(_) => Err(self.clone()),
            None => axes
                .resolve(self.rank())
                .ok_or_else(|| self.no_axis(at, name, &axes.0[..])),
        }
    }

    /// Another shape for the same elements in the same order; one length may be -1, which is
    /// inferred.
    ///
    /// ```
    /// use toygrad::prelude::*;
    /// let x = Value::arange(0..6).reshape([2, -1]);
    /// assert_eq!(x.shape()[..], [2, 3]);
    /// ```
    #[track_caller]
    pub fn reshape(&self, dims: impl Into<Dims>) -> Value {
        let (at, dims) = (Location::caller(), dims.into().0);
        if self.error().is_some() {
            return self.clone();
        }
        let known = dims
            .iter()
            .filter(|&&d| d != -1)
            .try_fold(1usize, |n, &d| n.checked_mul(usize::try_from(d).ok()?));
        let open = dims.iter().filter(|&&d| d == -1).count();
        let inferred = match (known, open) {
            (Some(n), 0) => (n == self.elements()).then_some(0),
            (Some(n), 1) if n > 0 && self.elements().is_multiple_of(n) => Some(self.elements() / n),
            _ => None,
        };
        let Some(inferred) = inferred else {
            let hint = format!("it has {} elements; one length may be -1", self.elements());
            return self.cannot(at, format!("reshape to {:?} the", &dims[..]), Some(hint));
        };
        let shape: Shape = dims
            .iter()
            .map(|&d| if d == -1 { inferred } else { d as usize })
            .collect();
        if shape.checked_len().is_none() {
            let hint = format!("an array has at most {} axes", Shape::MAX_RANK);
            return self.cannot(at, format!("reshape to {shape} the"), Some(hint));
        }
        self.reshape_at(&shape, at)
    }

    /// All elements along one axis.
    #[track_caller]
    pub fn flatten(&self) -> Value {
        self.reshape([-1isize])
    }

    /// The axes from `axis` on made one.
    #[track_caller]
    pub fn flatten_from(&self, axis: isize) -> Value {
        let at = Location::caller();
        match self.axis_at("flatten_from", axis, at) {
            Ok(axis) => {
                let tail = self.shape()[axis..].iter().product();
                let shape: Shape = self.shape()[..axis].iter().copied().chain([tail]).collect();
                self.reshape_at(&shape, at)
            }
            Err(mistake) => mistake,
        }
    }

    /// Axis `i` of the result is axis `axes[i]`.
    #[track_caller]
    pub fn permute(&self, axes: impl Into<Axes>) -> Value {
        let (at, axes) = (Location::caller(), axes.into());
        if let Err(mistake) = self.axes_at("permute", &axes, at) {
            return mistake;
        }
        if axes.0.len() != self.rank() {
            return self.no_axis(at, "permute", &axes.0[..]);
        }
        let order = axes
            .0
            .iter()
            .filter_map(|&a| resolve(a, self.rank()))
            .collect();
        self.permute_at(order, at)
    }

    pub(crate) fn permute_at(&self, order: SmallVec<[usize; 4]>, at: Caller) -> Value {
        let shape: Shape = order.iter().map(|&a| self.shape()[a]).collect();
        if order.windows(2).all(|w| w[0] < w[1]) {
            return self.clone();
        }
        match self.as_full() {
            Some(x) => Value::full_at(shape, x, self.dtype(), at),
            None => self.moved(Movement::Permute(order), shape, at),
        }
    }

    /// Two axes exchanged.
    #[track_caller]
    pub fn transpose(&self, a: isize, b: isize) -> Value {
        let at = Location::caller();
        match (
            self.axis_at("transpose", a, at),
            self.axis_at("transpose", b, at),
        ) {
            (Ok(a), Ok(b)) => {
                let mut order: SmallVec<[usize; 4]> = (0..self.rank()).collect();
                order.swap(a, b);
                self.permute_at(order, at)
            }
            (Err(mistake), _) | (_, Err(mistake)) => mistake,
        }
    }

    /// The last two axes exchanged: the transpose of a matrix.
    #[track_caller]
    pub fn t(&self) -> Value {
        self.transpose(-2, -1)
    }

    /// Without the axes named, which have length 1.
    #[track_caller]
    pub fn squeeze(&self, axes: impl Into<Axes>) -> Value {
        let (at, axes) = (Location::caller(), axes.into());
        let axes = match self.axes_at("squeeze", &axes, at) {
            Ok(axes) => axes,
            Err(mistake) => return mistake,
        };
        if let Some(&a) = axes.iter().find(|&&a| self.shape()[a] != 1) {
            let hint = format!("its length is {}, not 1", self.shape()[a]);
            return self.cannot(at, format!("squeeze axis {a} of"), Some(hint));
        }
        let kept = (0..self.rank()).filter(|a| !axes.contains(a));
        self.reshape_at(&kept.map(|a| self.shape()[a]).collect(), at)
    }

    /// An axis of length 1 put in before `axis`; -1 puts it last.
    #[track_caller]
    pub fn unsqueeze(&self, axis: isize) -> Value {
        let at = Location::caller();
        if self.error().is_some() {
            return self.clone();
        }
        match resolve(axis, self.rank() + 1) {
            Some(_) if self.rank() == Shape::MAX_RANK => {
                let hint = format!("an array has at most {} axes", Shape::MAX_RANK);
                self.cannot(at, "unsqueeze the".into(), Some(hint))
            }
            Some(axis) => self.reshape_at(&self.shape().insert(axis, 1), at),
            None => self.no_axis(at, "unsqueeze", axis),
        }
    }

    /// Broadcast to a shape, by NumPy's rules.
    #[track_caller]
    pub fn expand(&self, shape: impl Into<Shape>) -> Value {
        let (at, shape) = (Location::caller(), shape.into());
        if self.error().is_some() {
            return self.clone();
        }
        if self.shape().broadcast(&shape).as_ref() != Some(&shape) || shape.checked_len().is_none()
        {
            return self.cannot(at, format!("expand to {shape} the"), None);
        }
        self.expand_at(&shape, at)
    }

    /// A part of each axis; axes that are not named stay whole. See [`s!`](crate::s).
    #[track_caller]
    pub fn slice(&self, items: impl AsRef<[SliceItem]>) -> Value {
        let (at, items) = (Location::caller(), items.as_ref());
        if self.error().is_some() {
            return self.clone();
        }
        if items.len() > self.rank() {
            return self.cannot(at, format!("slice {} axes of", items.len()), None);
        }
        let whole = SliceItem::from(..);
        let all = (0..self.rank()).map(|a| *items.get(a).unwrap_or(&whole));
        let mut parts: SmallVec<[(usize, isize, usize); 4]> = SmallVec::new();
        for (axis, item) in all.enumerate() {
            match resolve_slice(item, self.shape()[axis]) {
                Some(part) => parts.push(part),
                None => {
                    let hint = format!("the length of axis {axis} is {}", self.shape()[axis]);
                    let what = match item {
                        SliceItem::At(i) => format!("take position {i} of axis {axis} of"),
                        SliceItem::Range { .. } => format!("take steps of 0 along axis {axis} of"),
                    };
                    return self.cannot(at, what, Some(hint));
                }
            }
        }
        let sliced = self.slice_at(&parts, at);
        let kept = (0..self.rank()).filter(|&a| !matches!(items.get(a), Some(SliceItem::At(_))));
        let shape: Shape = kept.map(|a| sliced.shape()[a]).collect();
        sliced.reshape_at(&shape, at)
    }

    /// (start, step, length) of each axis.
    fn slice_at(&self, parts: &[(usize, isize, usize)], at: Caller) -> Value {
        let shape: Shape = parts.iter().map(|p| p.2).collect();
        if parts.iter().all(|p| p.0 == 0 && p.1 == 1) && shape == *self.shape() {
            return self.clone();
        }
        if let Some(x) = self.as_full() {
            return Value::full_at(shape, x, self.dtype(), at);
        }
        let start = parts.iter().map(|p| p.0).collect();
        let step = parts.iter().map(|p| p.1).collect();
        self.moved(Movement::Slice { start, step }, shape, at)
    }

    /// `len` positions of `axis`, from `start` on.
    #[track_caller]
    pub fn narrow(&self, axis: isize, start: usize, len: usize) -> Value {
        let at = Location::caller();
        let axis = match self.axis_at("narrow", axis, at) {
            Ok(axis) => axis,
            Err(mistake) => return mistake,
        };
        if start
            .checked_add(len)
            .is_none_or(|end| end > self.shape()[axis])
        {
            return self.cannot(
                at,
                format!("take {len} positions from {start} on of axis {axis} of"),
                None,
            );
        }
        self.narrow_at(axis, start, len, at)
    }

    pub(crate) fn narrow_at(&self, axis: usize, start: usize, len: usize, at: Caller) -> Value {
        let part = |a| {
            if a == axis {
                (start, 1, len)
            } else {
                (0, 1, self.shape()[a])
            }
        };
        let parts: SmallVec<[_; 4]> = (0..self.rank()).map(part).collect();
        self.slice_at(&parts, at)
    }

    /// The axes named in reverse order.
    #[track_caller]
    pub fn flip(&self, axes: impl Into<Axes>) -> Value {
        let (at, axes) = (Location::caller(), axes.into());
        let axes = match self.axes_at("flip", &axes, at) {
            Ok(axes) => axes,
            Err(mistake) => return mistake,
        };
        let part = |a| match self.shape()[a] {
            n if n > 0 && axes.contains(&a) => (n - 1, -1, n),
            n => (0, 1, n),
        };
        let parts: SmallVec<[_; 4]> = (0..self.rank()).map(part).collect();
        self.slice_at(&parts, at)
    }

    /// Zeros before and after each axis: `pad([(0, 0), (1, 2)])`.
    #[track_caller]
    pub fn pad(&self, widths: impl AsRef<[(usize, usize)]>) -> Value {
        let (at, widths) = (Location::caller(), widths.as_ref());
        if self.error().is_some() {
            return self.clone();
        }
        let fits = |(n, &(a, b)): (&usize, &(usize, usize))| n.checked_add(a)?.checked_add(b);
        let shape: Option<Shape> = self.shape().iter().zip(widths).map(fits).collect();
        match shape.filter(|s| widths.len() == self.rank() && s.checked_len().is_some()) {
            Some(shape) if shape == *self.shape() => self.clone(),
            Some(shape) => {
                let start = widths.iter().map(|w| w.0).collect();
                self.moved(
                    Movement::Embed {
                        start,
                        step: smallvec![1; self.rank()],
                    },
                    shape,
                    at,
                )
            }
            None => {
                let hint = format!("one (before, after) for each of {} axes", self.rank());
                self.cannot(at, format!("pad by {widths:?} the"), Some(hint))
            }
        }
    }

    /// The same with another number than 0 around.
    #[track_caller]
    pub fn pad_with(&self, widths: impl AsRef<[(usize, usize)]>, x: f64) -> Value {
        let inside = Value::full(self.shape(), 1.0)
            .cast(crate::DType::Bool)
            .pad(&widths);
        inside.select(self.pad(widths), x)
    }

    /// Moved round by `shift` positions along `axis`; what falls off the end comes in at the front.
    #[track_caller]
    pub fn roll(&self, shift: isize, axis: isize) -> Value {
        let at = Location::caller();
        match self.axis_at("roll", axis, at) {
            Err(mistake) => mistake,
            Ok(axis) if self.shape()[axis] == 0 => self.clone(),
            Ok(axis) => {
                let n = self.shape()[axis];
                let k = shift.rem_euclid(n as isize) as usize;
                let (front, back) = (
                    self.narrow_at(axis, n - k, k, at),
                    self.narrow_at(axis, 0, n - k, at),
                );
                Value::concat([front, back], axis as isize)
            }
        }
    }

    /// End to end along `axis`; the other axes are equal.
    ///
    /// ```
    /// use toygrad::prelude::*;
    /// let x = Value::concat([Value::zeros([2, 1]), Value::ones([2, 2])], -1);
    /// assert_eq!(x.to_vec::<f32>()?, [0.0, 1.0, 1.0, 0.0, 1.0, 1.0]);
    /// # Ok::<(), toygrad::Error>(())
    /// ```
    #[track_caller]
    pub fn concat<V: Into<Value>>(values: impl IntoIterator<Item = V>, axis: isize) -> Value {
        let values: SmallVec<[Value; 2]> = values.into_iter().map(Into::into).collect();
        Value::concat_at(&values, axis, Location::caller())
    }

    fn concat_at(values: &[Value], axis: isize, at: Caller) -> Value {
        if let Some(e) = failed(values) {
            return e;
        }
        let Some(first) = values.first() else {
            return mistake(at, "cannot concatenate nothing".into(), &[], None);
        };
        let axis = match first.axis_at("concat", axis, at) {
            Ok(axis) => axis,
            Err(mistake) => return mistake,
        };
        let rest = |v: &Value| v.shape().with(axis, 0);
        let alike = |v: &&Value| v.rank() == first.rank() && rest(v) == rest(first);
        if let Some(odd) = values.iter().find(|v| !alike(v)) {
            let message = format!(
                "cannot concatenate shapes {} and {} along axis {axis}",
                first.shape(),
                odd.shape()
            );
            let hint = Some("all other axes must be equal".into());
            return mistake(at, message, &[("first", first), ("other", odd)], hint);
        }
        let strong = values.iter().filter(|v| !v.0.weak);
        let dtype = strong
            .map(Value::dtype)
            .reduce(crate::DType::promote)
            .unwrap_or(first.dtype());
        let total = values
            .iter()
            .try_fold(0usize, |n, v| n.checked_add(v.shape()[axis]));
        let shape = total.map(|n| first.shape().with(axis, n));
        let Some(shape) = shape.filter(|s| s.checked_len().is_some()) else {
            return mistake(
                at,
                "cannot concatenate: too large".into(),
                &[("first", first)],
                None,
            );
        };
        let inputs: SmallVec<[Value; 2]> = values.iter().map(|v| v.cast_at(dtype, at)).collect();
        match &inputs[..] {
            [one] => one.clone(),
            _ => Value::apply(Kind::Concat(axis), inputs, shape, dtype, at),
        }
    }

    /// Values of one shape along a new axis, before `axis`.
    #[track_caller]
    pub fn stack<V: Into<Value>>(values: impl IntoIterator<Item = V>, axis: isize) -> Value {
        let values: Vec<Value> = values.into_iter().map(Into::into).collect();
        Value::stacked(&values, axis)
    }

    #[track_caller]
    fn stacked(values: &[Value], axis: isize) -> Value {
        if let Some(e) = failed(values) {
            return e;
        }
        if let Some(odd) = values.iter().find(|v| v.shape() != values[0].shape()) {
            let message = format!(
                "cannot stack shapes {} and {}",
                values[0].shape(),
                odd.shape()
            );
            return mistake(
                Location::caller(),
                message,
                &[("first", &values[0]), ("other", odd)],
                None,
            );
        }
        let column: Vec<Value> = values.iter().map(|v| v.unsqueeze(axis)).collect();
        Value::concat(column, axis)
    }

    /// Parts of the lengths given, along `axis`; their sum is the axis's length. A mistake comes
    /// as one Value that carries it.
    #[track_caller]
    pub fn split(&self, lengths: impl AsRef<[usize]>, axis: isize) -> Vec<Value> {
        let (at, lengths) = (Location::caller(), lengths.as_ref());
        let axis = match self.axis_at("split", axis, at) {
            Ok(axis) => axis,
            Err(mistake) => return vec![mistake; lengths.len().max(1)],
        };
        let total = lengths.iter().try_fold(0usize, |n, &l| n.checked_add(l));
        if total != Some(self.shape()[axis]) {
            let hint = format!("the lengths must add up to {}", self.shape()[axis]);
            let mistake = self.cannot(
                at,
                format!("split into {lengths:?} along axis {axis}"),
                Some(hint),
            );
            return vec![mistake; lengths.len().max(1)];
        }
        let mut start = 0;
        let part = |&len: &usize| {
            start += len;
            self.narrow_at(axis, start - len, len, at)
        };
        lengths.iter().map(part).collect()
    }

    /// `n` equal parts along `axis`.
    #[track_caller]
    pub fn chunk(&self, n: usize, axis: isize) -> Vec<Value> {
        let at = Location::caller();
        // As many mistakes as parts, so that the caller can take it apart; but not any number.
        let copies = n.clamp(1, 1 << 16);
        match self.axis_at("chunk", axis, at) {
            Err(mistake) => vec![mistake; copies],
            Ok(a)
                if (1..=self.shape()[a].max(1)).contains(&n)
                    && self.shape()[a].is_multiple_of(n) =>
            {
                self.split(vec![self.shape()[a] / n; n], axis)
            }
            Ok(a) => {
                let what = format!("split axis {a} into {n} equal parts, of");
                vec![self.cannot(at, what, None); copies]
            }
        }
    }

    /// The whole repeated along each axis (`numpy.tile`): `repeat([2, 1])`.
    #[track_caller]
    pub fn repeat(&self, times: impl AsRef<[usize]>) -> Value {
        let (at, times) = (Location::caller(), times.as_ref());
        if self.error().is_some() {
            return self.clone();
        }
        let lengths = |(n, t): (&usize, &usize)| n.checked_mul(*t);
        let shape: Option<Shape> = self.shape().iter().zip(times).map(lengths).collect();
        let wanted = times.iter().chain(self.shape().iter()).map(|&n| n.max(1));
        let fits = wanted.map(|n| n as f64).product::<f64>() <= Shape::MAX_ELEMENTS as f64;
        let Some(shape) = shape.filter(|_| times.len() == self.rank() && fits) else {
            return self.cannot(at, format!("repeat {times:?} times the"), None);
        };
        let apart: Shape = self.shape().iter().flat_map(|&n| [1, n]).collect();
        let wide: Shape = self
            .shape()
            .iter()
            .zip(times)
            .flat_map(|(&n, &t)| [t, n])
            .collect();
        self.reshape_at(&apart, at)
            .expand_at(&wide, at)
            .reshape_at(&shape, at)
    }

    /// A matrix (or a stack of them) with zeros above diagonal `k`; 0 is the main one.
    #[track_caller]
    pub fn tril(&self, k: isize) -> Value {
        self.triangle(
            k,
            |column, row_and_k| column.le(row_and_k),
            Location::caller(),
        )
    }

    /// A matrix (or a stack of them) with zeros below diagonal `k`; 0 is the main one.
    #[track_caller]
    pub fn triu(&self, k: isize) -> Value {
        self.triangle(
            k,
            |column, row_and_k| column.ge(row_and_k),
            Location::caller(),
        )
    }

    fn triangle(&self, k: isize, keep: fn(&Value, Value) -> Value, at: Caller) -> Value {
        if self.error().is_some() {
            return self.clone();
        }
        let [.., rows, columns] = self.shape()[..] else {
            let hint = Some("a matrix has two axes".to_string());
            return self.cannot(at, "take a triangle of".into(), hint);
        };
        let k = k.clamp(-(rows as isize), columns as isize);
        let row = Value::arange(0..rows).unsqueeze(-1) + k as i64;
        keep(&Value::arange(0..columns), row).select(self, 0.0)
    }

    /// Windows of `size` along `axis`, `step` apart, their positions `dilation` apart; the
    /// window's own axis is put last. What does not fill a window is left out.
    ///
    /// ```
    /// use toygrad::prelude::*;
    /// let x = Value::from([1.0, 2.0, 4.0, 8.0]);
    /// assert_eq!(x.windows(0, 2, 1, 1).sum_axis(-1).to_vec::<f64>()?, [3.0, 6.0, 12.0]);
    /// # Ok::<(), toygrad::Error>(())
    /// ```
    #[track_caller]
    pub fn windows(&self, axis: isize, size: usize, step: usize, dilation: usize) -> Value {
        let at = Location::caller();
        let axis = match self.axis_at("windows", axis, at) {
            Ok(axis) => axis,
            Err(mistake) => return mistake,
        };
        let len = self.shape()[axis];
        let span = size
            .checked_sub(1)
            .and_then(|s| s.checked_mul(dilation))
            .and_then(|s| s.checked_add(1));
        let count = match span {
            Some(span) if step > 0 && dilation > 0 && span <= len => (len - span) / step + 1,
            _ => {
                let what = format!(
                    "take windows of {size} (step {step}, dilation {dilation}) along axis {axis} of"
                );
                return self.cannot(at, what, None);
            }
        };
        // Steps that are never taken are 1: a huge one would overflow strides.
        let step = if count > 1 { step } else { 1 };
        let dilation = if size > 1 { dilation } else { 1 };
        let shape = self.shape().with(axis, count).insert(self.rank(), size);
        match shape.checked_len() {
            Some(_) => self.moved(
                Movement::Window {
                    axis,
                    size,
                    step,
                    dilation,
                },
                shape,
                at,
            ),
            None => self.cannot(at, "take windows of".into(), None),
        }
    }
}

/// All of them broadcast to one shape.
#[track_caller]
pub fn broadcast_all<V: Into<Value>>(values: impl IntoIterator<Item = V>) -> Vec<Value> {
    let at = Location::caller();
    let values: Vec<Value> = values.into_iter().map(Into::into).collect();
    let inputs: Vec<&Value> = values.iter().collect();
    if let Some(e) = failed(&values) {
        return vec![e; values.len()];
    }
    match common_shape("broadcast", &inputs, at) {
        Ok(shape) => values.iter().map(|v| v.expand_at(&shape, at)).collect(),
        Err(mistake) => vec![mistake; values.len()],
    }
}

/// Lengths for [`Value::reshape`], of which one may be -1.
#[derive(Clone, Debug)]
pub struct Dims(SmallVec<[isize; 4]>);

macro_rules! dims {
    ($($t:ty),*) => {$(
        // What does not fit an isize comes out as a mistake of `reshape`.
        impl<const N: usize> From<[$t; N]> for Dims {
            fn from(dims: [$t; N]) -> Self {
                Dims::from(&dims[..])
            }
        }
        impl From<&[$t]> for Dims {
            fn from(dims: &[$t]) -> Self {
                Dims(dims.iter().map(|&d| isize::try_from(d).unwrap_or(-2)).collect())
            }
        }
    )*};
}
dims!(i32, isize, usize);

impl From<&Shape> for Dims {
    fn from(shape: &Shape) -> Self {
        Dims::from(&shape[..])
    }
}

impl From<Shape> for Dims {
    fn from(shape: Shape) -> Self {
        Dims::from(&shape)
    }
}
