//! How Values are made from Values: mistakes are passed on, dtypes promoted, shapes broadcast.

use super::row::{Family, Row};
use super::{Kind, Movement, Op, RowRef, Value};
use crate::error::{Caller, Operand, OperationError};
use crate::{DType, Error, Shape};
use smallvec::{SmallVec, smallvec};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

static MISTAKES: AtomicU64 = AtomicU64::new(0);

/// The first mistake among the inputs.
pub(crate) fn failed<'a>(inputs: impl IntoIterator<Item = &'a Value>) -> Option<Value> {
    let number = |v: &Value| match v.error()? {
        Error::Operation(e) | Error::NotFinite(e) => Some(e.sequence),
        _ => Some(0),
    };
    let mistakes = inputs.into_iter().filter_map(|v| Some((number(v)?, v)));
    mistakes.min_by_key(|(n, _)| *n).map(|(_, v)| v.clone())
}

/// A Value that carries a mistake.
pub(crate) fn mistake(
    at: Caller,
    message: String,
    operands: &[(&'static str, &Value)],
    hint: Option<String>,
) -> Value {
    let operands = operands
        .iter()
        .map(|(label, v)| operand(label, v))
        .collect();
    let sequence = MISTAKES.fetch_add(1, Relaxed);
    OperationError {
        message,
        at,
        operands,
        hint,
        sequence,
    }
    .into_value()
}

/// What an error message says of an operand.
pub(crate) fn operand(label: &'static str, v: &Value) -> Operand {
    let (shape, dtype) = (v.shape().clone(), v.dtype());
    Operand {
        label,
        shape,
        dtype,
        made_by: v.0.op.name().into(),
        at: v.0.at,
    }
}

/// The dtype that arithmetic on both is done in. Plain numbers are weak: they take the other's
/// dtype, but a number with a fraction makes whole numbers f32.
fn promoted(a: &Value, b: &Value) -> DType {
    match (a.0.weak, b.0.weak) {
        (true, false) => weak_with(a.dtype(), b.dtype()),
        (false, true) => weak_with(b.dtype(), a.dtype()),
        _ => a.dtype().promote(b.dtype()),
    }
}

fn weak_with(number: DType, other: DType) -> DType {
    match (number.is_float(), other.is_float()) {
        (true, false) => DType::F32,
        _ if other == DType::Bool => number,
        _ => other,
    }
}

impl Value {
    /// A node of a kind whose inputs have been checked.
    pub(crate) fn apply(
        kind: Kind,
        inputs: SmallVec<[Value; 2]>,
        shape: Shape,
        dtype: DType,
        at: Caller,
    ) -> Value {
        Value::node(Op::Apply(kind), inputs, shape, dtype, at)
    }

    /// A row of the table on these inputs.
    pub(crate) fn map(row: &'static Row, inputs: SmallVec<[Value; 2]>, at: Caller) -> Value {
        // Most nodes of most graphs: strong inputs of one shape and dtype.
        let first = &inputs[0];
        let plain = |v: &Value| {
            !v.0.weak
                && v.dtype() == first.dtype()
                && v.shape() == first.shape()
                && v.error().is_none()
        };
        let ready = match row.family {
            Family::Float => first.dtype().is_float(),
            Family::Numeric => first.dtype() != DType::Bool,
            Family::Compare | Family::Logic | Family::Select => false,
        };
        if ready && inputs.iter().all(plain) {
            let (kind, shape, dtype) =
                (Kind::Map(RowRef(row)), first.shape().clone(), first.dtype());
            return Value::apply(kind, inputs, shape, dtype, at);
        }
        Value::map_mixed(row, &inputs.iter().collect::<SmallVec<[_; 3]>>(), at)
    }

    fn map_mixed(row: &'static Row, inputs: &[&Value], at: Caller) -> Value {
        if let Some(e) = failed(inputs.iter().copied()) {
            return e;
        }
        let shape = match common_shape(row.name, inputs, at) {
            Ok(shape) => shape,
            Err(e) => return e,
        };
        let data = if row.family == Family::Select {
            &inputs[1..]
        } else {
            inputs
        };
        let joint = match data {
            [x] => x.dtype(),
            [a, b, ..] => promoted(a, b),
            [] => DType::F32,
        };
        let work = match row.family {
            Family::Float => joint.to_float(),
            Family::Numeric if joint == DType::Bool => DType::I64,
            Family::Logic => DType::Bool,
            Family::Numeric | Family::Compare | Family::Select => joint,
        };
        let cast: SmallVec<[Value; 2]> = inputs
            .iter()
            .enumerate()
            .map(|(i, v)| {
                let condition = row.family == Family::Select && i == 0;
                let dtype = if condition { DType::Bool } else { work };
                v.cast_at(dtype, at).expand_at(&shape, at)
            })
            .collect();
        let dtype = if row.family == Family::Compare {
            DType::Bool
        } else {
            work
        };
        let weak = inputs.iter().all(|v| v.0.weak);
        let value = Value::apply(Kind::Map(RowRef(row)), cast, shape, dtype, at);
        if weak { value.weak() } else { value }
    }

    /// In another dtype; itself where it has it already.
    pub(crate) fn cast_at(&self, dtype: DType, at: Caller) -> Value {
        if self.dtype() == dtype || self.error().is_some() {
            return self.clone();
        }
        if let Some(x) = self.as_full() {
            let x = crate::dtype::Data::of_number(dtype, x).get(0);
            return Value::full_at(self.shape().clone(), x, dtype, at);
        }
        Value::apply(
            Kind::Cast,
            smallvec![self.clone()],
            self.shape().clone(),
            dtype,
            at,
        )
    }

    /// Broadcast to a shape that is known to fit.
    pub(crate) fn expand_at(&self, shape: &Shape, at: Caller) -> Value {
        if self.shape() == shape {
            return self.clone();
        }
        if let Some(x) = self.as_full() {
            return Value::full_at(shape.clone(), x, self.dtype(), at);
        }
        let lead = shape.rank() - self.rank();
        let aligned: Shape = std::iter::repeat_n(1, lead)
            .chain(self.shape().iter().copied())
            .collect();
        let x = self.reshape_at(&aligned, at);
        if x.shape() == shape {
            return x;
        }
        let (kind, dtype) = (Kind::from(Movement::Expand), self.dtype());
        Value::apply(kind, smallvec![x], shape.clone(), dtype, at)
    }

    /// Reshaped to as many elements.
    pub(crate) fn reshape_at(&self, shape: &Shape, at: Caller) -> Value {
        if self.shape() == shape {
            return self.clone();
        }
        if let Some(x) = self.as_full() {
            return Value::full_at(shape.clone(), x, self.dtype(), at);
        }
        let kind = Kind::from(Movement::Reshape);
        Value::apply(
            kind,
            smallvec![self.clone()],
            shape.clone(),
            self.dtype(),
            at,
        )
    }
}

/// The shape that all broadcast to, or the mistake.
pub(crate) fn common_shape(name: &str, inputs: &[&Value], at: Caller) -> Result<Shape, Value> {
    let mut shape = Shape::scalar();
    for v in inputs {
        let Some(both) = shape.broadcast(v.shape()) else {
            let labels: &[&'static str] = match inputs.len() {
                2 => &["left", "right"],
                _ => &["first", "second", "third"],
            };
            let operands: Vec<_> = labels.iter().copied().zip(inputs.iter().copied()).collect();
            let shapes: Vec<String> = inputs.iter().map(|v| v.shape().to_string()).collect();
            let message = format!("cannot {} shapes {}", verb(name), shapes.join(" and "));
            return Err(mistake(at, message, &operands, mismatch(&shape, v.shape())));
        };
        if both.checked_len().is_none() {
            let message = format!("`{name}` would make an array of shape {both}: too large");
            return Err(mistake(at, message, &[("input", v)], None));
        }
        shape = both;
    }
    Ok(shape)
}

/// How a message reads with the name of an operation.
fn verb(name: &str) -> String {
    match name {
        "add" | "multiply" | "divide" | "compare" => name.into(),
        "sub" => "subtract".into(),
        "mul" => "multiply".into(),
        "div" => "divide".into(),
        other => format!("broadcast in `{other}`"),
    }
}

/// Which axes of two shapes do not fit.
fn mismatch(a: &Shape, b: &Shape) -> Option<String> {
    let fits = |x: usize, y: usize| x == y || x == 1 || y == 1;
    let back = (1..=a.rank().min(b.rank())).find(|&k| !fits(a[a.rank() - k], b[b.rank() - k]))?;
    let (x, y) = (a[a.rank() - back], b[b.rank() - back]);
    let which = match back {
        1 => "the last axes".to_string(),
        k => format!("axes {}", -(k as isize)),
    };
    Some(format!(
        "{which} are {x} and {y}; broadcasting needs them equal or 1"
    ))
}

/// What an error message says of where a Value was made.
pub(crate) struct Origin {
    at: Caller,
    operands: Vec<Operand>,
}

impl Origin {
    pub fn of(node: &Value) -> Origin {
        let labels = match node.kind() {
            Some(Kind::ScatterAdd(_)) => ["index", "source"],
            _ => ["input", "index"],
        };
        let operands = labels
            .into_iter()
            .zip(node.inputs())
            .map(|(l, v)| operand(l, v));
        Origin {
            at: node.0.at,
            operands: operands.collect(),
        }
    }

    /// The error of a position that is not one of `len`, found while evaluating.
    pub fn out_of_range(&self, position: i64, len: usize) -> Error {
        Error::Operation(Box::new(OperationError {
            message: format!("position {position} is out of range for an axis of length {len}"),
            at: self.at,
            operands: self.operands.clone(),
            hint: None,
            sequence: MISTAKES.fetch_add(1, Relaxed),
        }))
    }
}

/// The error of a number that is not finite.
pub(crate) fn not_finite(node: &Value, x: f64, element: usize, from: &str) -> Error {
    let labels: &[&'static str] = match node.inputs().len() {
        2 => &["left", "right"],
        1 => &["input"],
        _ => &["first", "second", "third", "fourth"],
    };
    let operands = labels.iter().zip(node.inputs()).map(|(l, v)| operand(l, v));
    Error::NotFinite(Box::new(OperationError {
        message: format!("`{}` gave {x}{from}", node.0.op.name()),
        at: node.0.at,
        operands: operands.collect(),
        hint: Some(format!("element {element} of shape {}", node.shape())),
        sequence: MISTAKES.fetch_add(1, Relaxed),
    }))
}
