//! Reading and adding at positions given by other Values, and sorting.

use crate::error::Caller;
use crate::graph::Kind;
use crate::graph::build::{failed, mistake};
use crate::{DType, Shape, Value};
use smallvec::smallvec;
use std::panic::Location;

impl Value {
    /// `out[.., i, ..] = self[.., index[.., i, ..], ..]` along `axis` (`torch.gather`, NumPy's
    /// `take_along_axis`). The index has as many axes; its other axes are equal or broadcast.
    /// Negative positions count from the end; one that is out of range is an error when the
    /// result is read.
    #[track_caller]
    pub fn gather(&self, axis: isize, index: impl Into<Value>) -> Value {
        let (at, index) = (Location::caller(), index.into());
        let (axis, index) = match self.indexed("gather", axis, &index, at) {
            Ok(both) => both,
            Err(mistake) => return mistake,
        };
        let n = index.shape()[axis];
        let along = |v: &Value, n: usize| v.shape().with(axis, n);
        let Some(shape) = along(self, 1)
            .broadcast(&along(&index, 1))
            .map(|s| s.with(axis, n))
        else {
            return self.misfit("gather", &index, at);
        };
        let x = self.expand_at(&shape.with(axis, self.shape()[axis]), at);
        x.gather_at(axis, &index.expand_at(&shape, at), at)
    }

    pub(crate) fn gather_at(&self, axis: usize, index: &Value, at: Caller) -> Value {
        let inputs = smallvec![self.clone(), index.clone()];
        Value::apply(
            Kind::Gather(axis),
            inputs,
            index.shape().clone(),
            self.dtype(),
            at,
        )
    }

    /// Whole slices along `axis`: `out[.., i.., ..] = self[.., index[i..], ..]`; the axes of the
    /// index take the place of `axis` (NumPy's `take`, the look-up of an embedding).
    ///
    /// ```
    /// use toygrad::prelude::*;
    /// let table = Value::from([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]);
    /// assert_eq!(table.index_select(0, [2, 0]).to_vec::<f64>()?, [5.0, 6.0, 1.0, 2.0]);
    /// # Ok::<(), toygrad::Error>(())
    /// ```
    #[track_caller]
    pub fn index_select(&self, axis: isize, index: impl Into<Value>) -> Value {
        let (at, index) = (Location::caller(), index.into());
        let axis = match (
            failed([self, &index]),
            self.axis_at("index_select", axis, at),
        ) {
            (Some(mistake), _) | (None, Err(mistake)) => return mistake,
            (None, Ok(axis)) => axis,
        };
        let index = match index.whole("index_select", at) {
            Ok(index) => index,
            Err(mistake) => return mistake,
        };
        let n = index.elements();
        let line: Shape = (0..self.rank())
            .map(|a| if a == axis { n } else { 1 })
            .collect();
        let wide = self.shape().with(axis, n);
        let (before, after) = (&self.shape()[..axis], &self.shape()[axis + 1..]);
        let shape: Shape = before
            .iter()
            .chain(index.shape().iter())
            .chain(after)
            .copied()
            .collect();
        if shape.checked_len().is_none() {
            return self.misfit("index_select", &index, at);
        }
        let index = index.reshape_at(&line, at).expand_at(&wide, at);
        self.gather_at(axis, &index, at).reshape_at(&shape, at)
    }

    /// `self` with `source` added at the positions that `index` names along `axis`:
    /// `out[.., index[.., i, ..], ..] += source[.., i, ..]`. Index and source have one shape,
    /// which is that of `self` but for `axis`.
    #[track_caller]
    pub fn scatter_add(
        &self,
        axis: isize,
        index: impl Into<Value>,
        source: impl Into<Value>,
    ) -> Value {
        let (at, index, source) = (Location::caller(), index.into(), source.into());
        if let Some(mistake) = failed([self, &index, &source]) {
            return mistake;
        }
        let (axis, index) = match self.indexed("scatter_add", axis, &index, at) {
            Ok(both) => both,
            Err(mistake) => return mistake,
        };
        let fits = source.shape().broadcast(index.shape()).as_ref() == Some(index.shape());
        if !fits || index.shape().with(axis, 1) != self.shape().with(axis, 1) {
            return self.misfit("scatter_add", &index, at);
        }
        let dtype = if source.0.weak {
            self.dtype()
        } else {
            self.dtype().promote(source.dtype())
        };
        let source = source.cast_at(dtype, at).expand_at(index.shape(), at);
        self + index.scatter_at(axis, &source, self.shape(), at)
    }

    /// Zeros of `shape` with `source` added at the positions that `self` names.
    pub(crate) fn scatter_at(
        &self,
        axis: usize,
        source: &Value,
        shape: &Shape,
        at: Caller,
    ) -> Value {
        let inputs = smallvec![self.clone(), source.clone()];
        Value::apply(
            Kind::ScatterAdd(axis),
            inputs,
            shape.clone(),
            source.dtype(),
            at,
        )
    }

    /// 1 at the position that each element names, else 0, along a new last axis of length
    /// `classes`; it takes the dtype of what it meets (f32 by itself). Positions outside give 0.
    #[track_caller]
    pub fn one_hot(&self, classes: usize) -> Value {
        let at = Location::caller();
        match self.whole("one_hot", at) {
            Ok(index) => {
                let hot = index.unsqueeze(-1).eq(Value::arange(0..classes));
                if hot.error().is_some() {
                    hot
                } else {
                    hot.cast_at(DType::F32, at).weak()
                }
            }
            Err(mistake) => mistake,
        }
    }

    /// The positions (i64) that sort `axis`; equal elements keep their order, NaN comes last.
    #[track_caller]
    pub fn argsort(&self, axis: isize, descending: bool) -> Value {
        let at = Location::caller();
        match self.axis_at("argsort", axis, at) {
            Ok(axis) => {
                let kind = Kind::ArgSort { axis, descending };
                Value::apply(
                    kind,
                    smallvec![self.clone()],
                    self.shape().clone(),
                    DType::I64,
                    at,
                )
            }
            Err(mistake) => mistake,
        }
    }

    /// The elements along `axis` in order, and where they were. Differentiable in the elements.
    #[track_caller]
    pub fn sort(&self, axis: isize, descending: bool) -> (Value, Value) {
        let index = self.argsort(axis, descending);
        (self.gather(axis, &index), index)
    }

    /// The `k` largest elements along `axis`, largest first, and where they were. Differentiable
    /// in the elements.
    #[track_caller]
    pub fn topk(&self, k: usize, axis: isize) -> (Value, Value) {
        let index = self.argsort(axis, true).narrow(axis, 0, k);
        (self.gather(axis, &index), index)
    }

    /// As whole numbers, if it is of them.
    fn whole(&self, name: &str, at: Caller) -> Result<Value, Value> {
        match self.dtype() {
            _ if self.error().is_some() => Err(self.clone()),
            DType::I64 => Ok(self.clone()),
            DType::U8 | DType::Bool => Ok(self.cast_at(DType::I64, at)),
            DType::F32 | DType::F64 => {
                let message = format!(
                    "`{name}` needs whole numbers as positions, not {}",
                    self.dtype()
                );
                let hint = Some("`cast(DType::I64)` makes them".to_string());
                Err(mistake(at, message, &[("index", self)], hint))
            }
        }
    }

    fn indexed(
        &self,
        name: &str,
        axis: isize,
        index: &Value,
        at: Caller,
    ) -> Result<(usize, Value), Value> {
        if let Some(mistake) = failed([self, index]) {
            return Err(mistake);
        }
        let axis = self.axis_at(name, axis, at)?;
        let index = index.whole(name, at)?;
        match index.rank() == self.rank() {
            true => Ok((axis, index)),
            false => Err(self.misfit(name, &index, at)),
        }
    }

    fn misfit(&self, name: &str, index: &Value, at: Caller) -> Value {
        let message = format!(
            "cannot `{name}` shape {} by an index of shape {}",
            self.shape(),
            index.shape()
        );
        let hint =
            Some("both have as many axes, equal but for the axis that is indexed".to_string());
        mistake(at, message, &[("input", self), ("index", index)], hint)
    }
}
