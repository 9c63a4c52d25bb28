//! Jacobians, Hessians, and the check of a derivative against differences.

use super::batch::batched;
use super::{gradients, jvp, vjp};
use crate::graph::build::{failed, mistake};
use crate::ops::random::placeholder;
use crate::{DType, Error, Result, Value};
use std::fmt;
use std::panic::Location;
use std::slice::from_ref;

/// All partial derivatives of `y` by `x`: shape `[y's axes.., x's axes..]`.
///
/// By rows in reverse mode, or by columns in forward mode, whichever are fewer; all of them at once, as
/// far as memory goes.
///
/// ```
/// use toygrad::prelude::*;
/// let x = Value::from([1.0, 2.0]);
/// let y = Value::stack([x.prod(), x.sum()], 0);
/// assert_eq!(jacobian(&y, &x).to_vec::<f64>()?, [2.0, 1.0, 1.0, 1.0]);
/// # Ok::<(), toygrad::Error>(())
/// ```
#[track_caller]
pub fn jacobian(y: &Value, x: &Value) -> Value {
    let at = Location::caller();
    if let Some(e) = failed([y, x]) {
        return e;
    }
    let (rows, columns) = (y.elements(), x.elements());
    let shape: crate::Shape = y.shape().iter().chain(x.shape().iter()).copied().collect();
    if shape.checked_len().is_none() {
        let message = format!("a Jacobian of shape {shape} is too large");
        return mistake(at, message, &[("y", y), ("x", x)], None);
    }
    let dtype = y.dtype().to_float();
    if rows == 0 || columns == 0 {
        return Value::full_at(shape, 0.0, dtype, at);
    }
    let by_rows = rows <= columns;
    let (units_of, n) = if by_rows { (y, rows) } else { (x, columns) };
    let unit = placeholder(units_of.shape(), units_of.dtype(), at);
    let one = match by_rows {
        true => vjp(from_ref(y), from_ref(&unit), [x]).remove(0),
        false => jvp(from_ref(y), [x], from_ref(&unit)).remove(0),
    };
    if one.error().is_some() {
        return one;
    }
    let i = Value::arange(0..n);
    let units = i.unsqueeze(-1).eq(i).cast_at(unit.dtype(), at);
    let units = units.reshape_at(&unit.shape().insert(0, n), at);
    let all = batched(&[one], &[unit], &[units]).remove(0);
    match by_rows {
        true => all.reshape_at(&shape, at),
        false => all.reshape([n, rows]).t().reshape_at(&shape, at),
    }
}

/// All second derivatives of the scalar `y` by `x`: shape `[x's axes.., x's axes..]`.
#[track_caller]
pub fn hessian(y: &Value, x: &Value) -> Value {
    jacobian(&gradients(y, [x]).remove(0), x)
}

/// The Hessian of the scalar `y` by `x` times a vector of x's shape, without the Hessian: forward
/// over reverse.
#[track_caller]
pub fn hvp(y: &Value, x: &Value, vector: impl Into<Value>) -> Value {
    let vector = vector.into();
    if vector.shape() != x.shape() && vector.error().is_none() && x.error().is_none() {
        let message = format!(
            "a vector of shape {} came for shape {}",
            vector.shape(),
            x.shape()
        );
        return mistake(
            Location::caller(),
            message,
            &[("x", x), ("vector", &vector)],
            None,
        );
    }
    jvp(&gradients(y, [x]), [x], &[vector]).remove(0)
}

/// What [`gradcheck`] found.
#[derive(Clone, Debug)]
pub struct GradcheckReport {
    /// Each input's elements, in order.
    pub entries: Vec<GradcheckEntry>,
    /// The tolerance: |difference| <= tolerance x max(1, |numeric|).
    pub tolerance: f64,
}

/// One partial derivative, computed in two ways.
#[derive(Clone, Debug)]
pub struct GradcheckEntry {
    /// Which input.
    pub input: usize,
    /// Which element of it, in row-major order.
    pub element: usize,
    /// By reverse mode.
    pub analytic: f64,
    /// By central differences.
    pub numeric: f64,
}

impl GradcheckEntry {
    fn deviation(&self) -> f64 {
        let d = (self.analytic - self.numeric).abs() / self.numeric.abs().max(1.0);
        if d.is_nan() { f64::INFINITY } else { d }
    }
}

impl GradcheckReport {
    /// Whether all derivatives agree.
    pub fn passed(&self) -> bool {
        self.entries.iter().all(|e| e.deviation() <= self.tolerance)
    }

    /// The largest deviation, relative to max(1, |numeric|).
    pub fn worst(&self) -> f64 {
        self.entries
            .iter()
            .map(GradcheckEntry::deviation)
            .fold(0.0, f64::max)
    }
}

impl fmt::Display for GradcheckReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let wrong: Vec<_> = self
            .entries
            .iter()
            .filter(|e| e.deviation() > self.tolerance)
            .collect();
        let verdict = if wrong.is_empty() { "passed" } else { "FAILED" };
        write!(
            f,
            "gradcheck {verdict}: {} derivatives, largest deviation {:.1e} (tolerance {:.1e})",
            self.entries.len(),
            self.worst(),
            self.tolerance
        )?;
        if !wrong.is_empty() {
            write!(
                f,
                "\n  input  element      analytic       numeric  deviation"
            )?;
        }
        for e in wrong.iter().take(10) {
            write!(
                f,
                "\n  {:>5}  {:>7}  {:>12.6e}  {:>12.6e}  {:>9.1e}",
                e.input,
                e.element,
                e.analytic,
                e.numeric,
                e.deviation()
            )?;
        }
        match wrong.len() {
            0..=10 => Ok(()),
            n => write!(f, "\n  and {} more", n - 10),
        }
    }
}

/// Compares the gradients of `f` with central differences, in f64. `f` may give any shape: its
/// elements are weighted with fixed uneven numbers and summed.
///
/// ```
/// use toygrad::prelude::*;
/// let report = gradcheck(|x| x[0].tanh() * &x[1], &[Value::from([0.3, -1.0]), Value::from(2.0)])?;
/// assert!(report.passed(), "{report}");
/// # Ok::<(), toygrad::Error>(())
/// ```
///
/// # Errors
/// What evaluating `f` gives; inputs that are not floats.
#[track_caller]
pub fn gradcheck(f: impl Fn(&[Value]) -> Value, inputs: &[Value]) -> Result<GradcheckReport> {
    const STEP: f64 = 1e-5;
    let mut numbers: Vec<Vec<f64>> = Vec::new();
    for x in inputs {
        if let Some(e) = x.error() {
            return Err(e.clone());
        }
        if !x.dtype().is_float() {
            return Err(Error::gradient(format!(
                "gradcheck needs floats, not {}",
                x.dtype()
            )));
        }
        numbers.push(x.to_vec()?);
    }
    let scalar = |x: &[Value]| {
        let y = f(x);
        let n = y.elements();
        let weights: Value = (0..n).map(|i| 1.0 + (i as f64 * 0.7).sin() * 0.5).collect();
        (y.flatten().cast(DType::F64) * weights).sum()
    };
    let build = |numbers: &[Vec<f64>]| -> Vec<Value> {
        let one = |(v, x): (&Vec<f64>, &Value)| Value::from_slice(v, x.shape());
        numbers.iter().zip(inputs).map(one).collect()
    };
    let x = build(&numbers);
    let analytic = gradients(&scalar(&x), &x);
    let mut entries = Vec::new();
    for input in 0..inputs.len() {
        let exact: Vec<f64> = analytic[input].to_vec()?;
        for (element, &analytic) in exact.iter().enumerate() {
            let here = numbers[input][element];
            let step = STEP * here.abs().max(1.0);
            let mut at = |x: f64| {
                numbers[input][element] = x;
                scalar(&build(&numbers)).item()
            };
            let numeric = (at(here + step)? - at(here - step)?) / (2.0 * step);
            numbers[input][element] = here;
            entries.push(GradcheckEntry {
                input,
                element,
                analytic,
                numeric,
            });
        }
    }
    Ok(GradcheckReport {
        entries,
        tolerance: 1e-6,
    })
}
