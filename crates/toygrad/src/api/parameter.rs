//! Parameters: cells that hold the current Value of a weight, and its gradient.

use super::trace;
use crate::graph::{Alias, CellContent, CellState, Op};
use crate::ops::operators::{number_operators, operators};
use crate::{DType, Error, Result, Shape, Value};
use smallvec::{SmallVec, smallvec};
use std::fmt;
use std::panic::Location;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard};

/// A weight: a cell with a current [`Value`]. Clones are the same cell.
///
/// An update puts a new Value into the cell; graphs recorded earlier go on reading the old one.
/// Gradients belong to a version of the parameter, so that a new generation starts clean.
///
/// ```
/// use toygrad::prelude::*;
/// let w = Parameter::new([1.0, 2.0]);
/// (&w * &w).sum().backward()?;
/// assert_eq!(w.grad()?.to_vec::<f64>()?, [2.0, 4.0]);
/// w.set(w.value() - 0.5 * w.grad()?)?;
/// assert_eq!(w.value().to_vec::<f64>()?, [0.0, 0.0]);
/// # Ok::<(), toygrad::Error>(())
/// ```
#[derive(Clone)]
pub struct Parameter(pub(crate) Arc<CellState>);

static IDS: AtomicU64 = AtomicU64::new(0);

impl Parameter {
    /// A parameter that is trained. Plain numbers become f64, as their type says; networks are
    /// trained in f32 (`Value::randn`, `cast`). The value is computed when it is first read; one
    /// that carries a mistake gives it to all that reads the parameter.
    #[track_caller]
    pub fn new(value: impl Into<Value>) -> Parameter {
        Parameter::cell(value.into(), true, Location::caller())
    }

    /// State that is saved with the parameters but not trained: running statistics, moments of an
    /// optimiser. (PyTorch calls it a buffer.)
    #[track_caller]
    pub fn buffer(value: impl Into<Value>) -> Parameter {
        Parameter::cell(value.into(), false, Location::caller())
    }

    fn cell(value: Value, trainable: bool, at: &'static Location<'static>) -> Parameter {
        Parameter(Arc::new_cyclic(|cell| {
            let value = version(value, cell.clone(), at);
            CellState {
                id: IDS.fetch_add(1, Relaxed),
                trainable: trainable && value.dtype().is_float(),
                at,
                content: Mutex::new(CellContent {
                    name: None,
                    value,
                    grad: None,
                }),
            }
        }))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, CellContent> {
        // Nothing panics while it is locked, and the content is whole at any time.
        self.0.content.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Its current Value.
    pub fn value(&self) -> Value {
        self.lock().value.clone()
    }

    /// Its shape.
    pub fn shape(&self) -> Shape {
        self.value().shape().clone()
    }

    /// The type of its elements.
    pub fn dtype(&self) -> DType {
        self.value().dtype()
    }

    /// A number that no other parameter has: the identity of the cell.
    pub fn id(&self) -> u64 {
        self.0.id
    }

    /// Whether it is trained: made by [`new`](Parameter::new), of floats.
    pub fn is_trainable(&self) -> bool {
        self.0.trainable
    }

    /// The name that messages use: the dotted path in a module, else the line that made it.
    pub fn name(&self) -> String {
        let name = self.lock().name.clone();
        name.unwrap_or_else(|| format!("the parameter made at {}", self.0.at))
    }

    /// Gives it a name for messages.
    pub fn set_name(&self, name: impl Into<String>) {
        self.lock().name = Some(name.into());
    }

    /// Puts a new Value of the same shape and dtype into the cell; it is computed now (or, while a
    /// function is being recorded, when that runs).
    ///
    /// # Errors
    /// Another shape or dtype; what computing the Value gives.
    #[track_caller]
    pub fn set(&self, value: impl Into<Value>) -> Result<()> {
        Parameter::set_all([(self, value.into())], &[])
    }

    /// [`set`](Parameter::set) of many, computed in one program together with the Values `with`:
    /// what the step of an optimiser is.
    ///
    /// # Errors
    /// As [`set`](Parameter::set); then no parameter has changed.
    #[track_caller]
    pub fn set_all<'a>(
        updates: impl IntoIterator<Item = (&'a Parameter, Value)>,
        with: &[&Value],
    ) -> Result<()> {
        Parameter::update(updates.into_iter().collect(), with)
    }

    /// [`set_all`](Parameter::set_all), once for all kinds of iterators.
    #[track_caller]
    fn update(updates: Vec<(&Parameter, Value)>, with: &[&Value]) -> Result<()> {
        let at = Location::caller();
        let (mut cells, mut values) = (Vec::new(), Vec::new());
        for (parameter, value) in updates {
            let old = parameter.value();
            let value = if value.0.weak {
                value.cast_at(old.dtype(), at)
            } else {
                value
            };
            if let Some(e) = value.error() {
                return Err(e.clone());
            }
            if value.shape() != old.shape() || value.dtype() != old.dtype() {
                return Err(Error::argument(format!(
                    "{} is {} {}, not {} {}",
                    parameter.name(),
                    old.shape(),
                    old.dtype(),
                    value.shape(),
                    value.dtype()
                )));
            }
            cells.push(parameter);
            values.push(value);
        }
        let n = values.len();
        values.extend(with.iter().map(|v| (*v).clone()));
        // While a function is being recorded, cells hold what will be computed.
        if !trace::is_recording() {
            super::buffers_of(&values, false)?;
        }
        for (parameter, value) in cells.into_iter().zip(&values[..n]) {
            let version = version(value.clone(), Arc::downgrade(&parameter.0), at);
            let mut content = parameter.lock();
            trace::touch(parameter, &content);
            content.value = version;
        }
        Ok(())
    }

    /// The gradient that the last [`backward`](Value::backward) calls left here.
    ///
    /// # Errors
    /// There is none: no backward has reached this parameter.
    #[track_caller]
    pub fn grad(&self) -> Result<Value> {
        let grad = self.lock().grad.clone();
        match grad {
            Some((_, g)) => Ok(g),
            None => Err(Error::gradient(format!(
                "no backward has reached {}",
                self.name()
            ))),
        }
    }

    /// The gradient of the current version, if backward has reached it: what an optimiser's step
    /// uses. ([`grad`](Parameter::grad) shows the last generation's until then.)
    pub fn fresh_grad(&self) -> Option<Value> {
        let content = self.lock();
        let (version, g) = content.grad.as_ref()?;
        version.is(&content.value).then(|| g.clone())
    }

    /// Forgets the gradient.
    pub fn zero_grad(&self) {
        let mut content = self.lock();
        trace::touch(self, &content);
        content.grad = None;
    }

    /// Puts back what it held; gives the value that it held meanwhile.
    pub(super) fn restore(&self, before: CellContent) -> Value {
        std::mem::replace(&mut *self.lock(), before).value
    }

    /// A version of this cell with elements that have just been computed.
    pub(super) fn version_of(&self, value: Value) -> Value {
        let at = value.0.at;
        version(value, Arc::downgrade(&self.0), at)
    }

    /// Adds to the gradient of a version of this parameter.
    pub(crate) fn accumulate(&self, version: Value, g: Value) {
        let mut content = self.lock();
        trace::touch(self, &content);
        content.grad = Some(match content.grad.take() {
            Some((old, sum)) if old.is(&version) => (version, sum + g),
            _ => (version, g),
        });
    }
}

/// A version of a cell: an alias of `value` that knows where it belongs.
fn version(
    value: Value,
    cell: std::sync::Weak<CellState>,
    at: &'static Location<'static>,
) -> Value {
    if value.error().is_some() {
        return value;
    }
    let (shape, dtype) = (value.shape().clone(), value.dtype());
    let data = value.known().filter(|_| !super::changes(&value)).cloned();
    // What is computed needs no inputs, and must not keep their graph.
    let inputs: SmallVec<[Value; 2]> = if data.is_some() {
        smallvec![]
    } else {
        smallvec![value.detach()]
    };
    let op = Op::Alias(Alias::Cell(cell));
    let node = Value::node(op, inputs, shape, dtype, at).strong();
    if let Some(data) = data {
        let _ = node.0.data.set(data);
    }
    node
}

impl From<&Parameter> for Value {
    fn from(p: &Parameter) -> Value {
        p.value()
    }
}

impl From<Parameter> for Value {
    fn from(p: Parameter) -> Value {
        p.value()
    }
}

operators!(Parameter);
operators!(&Parameter);
number_operators!(Parameter: f64, i64);
number_operators!(&Parameter: f64, i64);

impl fmt::Debug for Parameter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Parameter({:?})", self.value())
    }
}

impl fmt::Display for Parameter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.value(), f)
    }
}
