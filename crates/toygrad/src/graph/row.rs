//! What a row of the table of pointwise operations is.

use crate::lanes::{Lanes, Level};
use crate::{DType, Value};
use std::panic::Location;

/// One pointwise primitive: all that the rest of the library knows about it.
///
/// Nobody else can make one: its loops are trusted to be what its formula says.
#[non_exhaustive]
pub struct Row {
    /// The name that listings, messages and the public function use.
    pub name: &'static str,
    /// What it is, with its decisions at ties and kinks.
    pub doc: &'static str,
    /// Which dtypes it takes and gives.
    pub family: Family,
    /// What it means; see [`exact`](Row::exact). It looks at no more numbers than it takes. (Not a
    /// slice: numbers on their own stay in registers.)
    pub(crate) exact: fn(f64, f64, f64) -> f64,
    /// Its derivative.
    pub slope: Slope,
    /// Its vector loop for a dtype of its inputs and an instruction set.
    pub lanes: fn(DType, Level) -> Option<Lanes>,
    /// Per argument: where tests draw, and where `slope` must agree with differences.
    pub domain: &'static [(f64, f64)],
    /// How it is exported.
    pub onnx: Onnx,
}

impl Row {
    /// The number of arguments.
    pub fn arity(&self) -> usize {
        self.domain.len()
    }

    /// What it means, in double precision: the reference evaluator and constant folding use nothing
    /// else. NaN where `x` is not as many numbers as it takes.
    ///
    /// ```
    /// let row = toygrad::ROWS.iter().find(|row| row.name == "sub").unwrap();
    /// assert_eq!(row.exact(&[5.0, 3.0]), 2.0);
    /// ```
    pub fn exact(&self, x: &[f64]) -> f64 {
        match *x {
            _ if x.len() != self.arity() => f64::NAN,
            [a] => (self.exact)(a, a, a),
            [a, b] => (self.exact)(a, b, b),
            [a, b, c] => (self.exact)(a, b, c),
            _ => f64::NAN,
        }
    }

    /// The row on these inputs: what the method of its name does, for code that walks the table.
    ///
    /// ```
    /// use toygrad::{ROWS, Value};
    /// let row = ROWS.iter().find(|row| row.name == "mul").unwrap();
    /// let y = row.apply(&[Value::from([1.0, 2.0]), Value::from(3.0)]);
    /// assert_eq!(y.to_vec::<f64>().unwrap(), [3.0, 6.0]);
    /// ```
    #[track_caller]
    pub fn apply(&'static self, inputs: &[Value]) -> Value {
        let at = Location::caller();
        if inputs.len() != self.arity() {
            let message = format!(
                "`{}` takes {} inputs, {} came",
                self.name,
                self.arity(),
                inputs.len()
            );
            return super::build::mistake(at, message, &[], None);
        }
        Value::map(self, inputs.iter().cloned().collect(), at)
    }
}

/// Which dtypes a row takes and gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// f32 and f64; whole numbers are converted first.
    Float,
    /// Any number; truth values count as 0 and 1.
    Numeric,
    /// Any number in, truth value out.
    Compare,
    /// Truth values; anything else is compared with zero first.
    Logic,
    /// A truth value and two of any dtype.
    Select,
}

/// The derivative of a row.
#[derive(Clone, Copy)]
pub enum Slope {
    /// Locally constant: this must be said, it is not a default.
    Zero,
    /// ∂y/∂xᵢ, where they are numbers.
    Constant(&'static [f64]),
    /// ∂y/∂xᵢ as Values.
    Each(&'static [Partial]),
    /// Truth values: where xᵢ is what the row passes on. The cotangent is routed, not multiplied,
    /// so that infinities elsewhere do not turn into NaN.
    Route(&'static [Partial]),
}

/// What a row is in ONNX (<https://onnx.ai/onnx/operators>).
#[derive(Clone, Copy)]
pub enum Onnx {
    /// The operator of this name.
    Operator(&'static str),
    /// An expression of other rows, from the inputs.
    Rows(fn(x: &[Value]) -> Value),
    /// Nothing that is as accurate: this must be said, it is not a default.
    None,
}

/// A local derivative (or a route), from the inputs and the output.
pub type Partial = fn(x: &[Value], y: &Value) -> Value;
