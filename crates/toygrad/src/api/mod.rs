//! The reading boundary: where Values become numbers, and gradients land in parameters.

pub mod backward;
pub mod display;
pub mod parameter;
pub mod trace;

use crate::buffer::Buffer;
use crate::compile;
use crate::compile::cache::Cache;
use crate::compile::graph::{Bindings, Graph, canonical};
use crate::compile::program::{Output, Place, Program};
use crate::dtype::{Element, read};
use crate::exec::cpu::{self, Bound, Fault, Slot};
use crate::graph::build::Origin;
use crate::graph::walk::Order;
use crate::graph::{Alias, Op};
use crate::lanes::Level;
use crate::{Error, Result, Value};
use std::cell::Cell;
use std::convert::Infallible;
use std::sync::OnceLock;

/// Computes all of them in one program. Reading them afterwards costs nothing more.
///
/// # Errors
/// The first mistake among the operations that made them; a position out of range.
#[track_caller]
pub fn evaluate(values: &[Value]) -> Result<()> {
    buffers(values).map(|_| ())
}

thread_local! {
    static DEBUG_NAN: Cell<bool> = const { Cell::new(false) };
}

/// Runs `f`; what it evaluates is computed an operation at a time, and the first one that makes
/// a number that is not finite out of finite ones is an [`Error::NotFinite`] with its line and
/// its operands. NaN in data counts; infinities there are taken for meant. Slow.
///
/// ```
/// use toygrad::prelude::*;
/// let x = Value::from([1.0, 0.0]);
/// let y = (&x - 1.0).ln().sum();
/// let error = toygrad::debug_nan(|| y.item()).unwrap_err();
/// assert!(error.to_string().starts_with("`ln` gave -inf, from finite numbers"), "{error}");
/// ```
pub fn debug_nan<T>(f: impl FnOnce() -> T) -> T {
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            DEBUG_NAN.set(self.0);
        }
    }
    let _restore = Restore(DEBUG_NAN.replace(true));
    f()
}

/// Whether [`debug_nan`] is on.
fn is_debugging() -> bool {
    DEBUG_NAN.get()
}

/// Computes node after node, and stops at the first number that is not finite.
#[track_caller]
fn compute_checked(values: &[Value]) -> Result<()> {
    let order = Order::new(values, is_known);
    for node in &order.nodes {
        if node.known().is_none() && node.as_full().is_none() {
            compute(std::slice::from_ref(node), false)?;
        }
        let Some(data) = node.known().filter(|_| node.dtype().is_float()) else {
            continue;
        };
        let first = |bad: fn(f64) -> bool| (0..data.len()).find(|&i| bad(data.get(i)));
        let finite = |x: &Value| match (x.known(), x.as_full()) {
            (Some(data), _) => (0..data.len()).all(|i| data.get(i).is_finite()),
            (None, Some(x)) => x.is_finite(),
            (None, None) => true,
        };
        let (found, from) = match &node.0.op {
            Op::Apply(_) if node.inputs().iter().all(finite) => {
                (first(|x| !x.is_finite()), ", from finite numbers")
            }
            Op::Leaf(_) => (first(f64::is_nan), ""),
            _ => (None, ""),
        };
        if let Some(i) = found {
            return Err(crate::graph::build::not_finite(node, data.get(i), i, from));
        }
    }
    Ok(())
}

/// The elements of all of them, computed where they are not yet known.
#[track_caller]
pub(crate) fn buffers(values: &[Value]) -> Result<Vec<Buffer>> {
    buffers_of(values, true)
}

/// The elements of one.
#[track_caller]
fn buffer(value: &Value) -> Result<Buffer> {
    match value.known() {
        Some(buffer) if !changes(value) => Ok(buffer.clone()),
        _ => Ok(buffers(std::slice::from_ref(value))?.remove(0)),
    }
}

/// Whether a function is being recorded that will read something else there each time: what a
/// parameter holds then.
fn changes(value: &Value) -> bool {
    trace::is_recording() && matches!(value.0.op, Op::Alias(Alias::Cell(_)))
}

/// [`buffers`]; with `keep`, what the computation must write to memory anyway and a backward pass
/// may read again stays with its Values.
#[track_caller]
fn buffers_of(values: &[Value], keep: bool) -> Result<Vec<Buffer>> {
    let missing: Vec<Value> = values
        .iter()
        .filter(|v| v.known().is_none() || changes(v))
        .cloned()
        .collect();
    if !missing.is_empty() {
        if trace::is_recording() {
            return Err(Error::read(
                "a number was asked for while a function is being recorded",
            ));
        }
        match is_debugging() {
            true => compute_checked(&missing)?,
            false => compute(&missing, keep)?,
        }
    }
    values
        .iter()
        .map(|v| {
            v.known()
                .cloned()
                .ok_or_else(|| Error::read("nothing was computed"))
        })
        .collect()
}

/// Where evaluation begins: what is known already.
fn is_known(v: &Value) -> bool {
    v.known().is_some()
}

/// Computes Values that are not yet known, in one program.
#[track_caller]
fn compute(values: &[Value], keep: bool) -> Result<()> {
    if let Some(e) = first_mistake(values) {
        return Err(e);
    }
    let mut c = canonical(values, keep, is_known);
    if let Some(e) = first_mistake(&c.bindings.inputs) {
        return Err(e);
    }
    let inputs = c.bindings.buffers()?;
    let key = std::mem::take(&mut c.key);
    let make = || Ok::<_, Infallible>(new_program(&c.graph(is_known), &[]));
    let Ok(program) = PROGRAMS.get(key, make);
    affordable(&program)?;
    let made = run(&program, &inputs, &c.bindings).map_err(|fault| {
        let origin = c.order.nodes.get(fault.origin as usize);
        let origin = origin.map(|node| Origin::of(node));
        out_of_range(fault, origin.as_ref())
    })?;
    for (value, output) in values.iter().zip(&program.outputs) {
        if let Some(buffer) = made.get(output, &inputs) {
            let _ = value.0.data.set(buffer);
        }
    }
    for &(value, n) in &program.kept {
        let value = c.order.nodes.get(value as usize);
        if let (Some(value), Some(buffer)) = (value, &made.0[n as usize]) {
            let _ = value.0.data.set(buffer.clone());
        }
    }
    Ok(())
}

/// The Programs of what has been evaluated.
static PROGRAMS: Cache<Program> = Cache::new();

/// The arrays that a run made.
struct Made(Vec<Option<Buffer>>);

impl Made {
    fn get(&self, output: &Output, inputs: &[Buffer]) -> Option<Buffer> {
        match *output {
            Output::Input(slot) => Some(inputs[slot as usize].clone()),
            Output::Made { n, .. } => self.0[n as usize].clone(),
        }
    }
}

fn run(program: &Program, inputs: &[Buffer], bindings: &Bindings) -> Result<Made, Fault> {
    let mut slots: Vec<Slot> = inputs.iter().map(|b| Slot::Read(b)).collect();
    let bound = Bound {
        numbers: &bindings.numbers,
        streams: &bindings.streams,
    };
    cpu::run(program, &mut slots, &bound).map(Made)
}

/// Memory that is not there is an error, not the end of the process. Only large programs ask.
#[track_caller]
fn affordable(program: &Program) -> Result<()> {
    let made = program
        .buffers
        .iter()
        .filter(|b| matches!(b.place, Place::Output(_)));
    let bytes = made.map(|b| b.len.saturating_mul(b.dtype.size()));
    let results = bytes.fold(0, usize::saturating_add);
    let total = results.saturating_add(program.arena);
    match total < 1 << 30 || Vec::<u8>::new().try_reserve_exact(total).is_ok() {
        true => Ok(()),
        false => Err(Error::read(format!(
            "computing this takes {total} bytes of memory"
        ))),
    }
}

fn new_program(graph: &Graph, over: &[(usize, u32)]) -> Program {
    let mut program = compile::compile(graph, over, level());
    cpu::prepare(&mut program);
    program
}

/// The instruction set of this machine.
fn level() -> Level {
    static LEVEL: OnceLock<Level> = OnceLock::new();
    *LEVEL.get_or_init(Level::detect)
}

/// A fault of a run as an error, with the lines of the Value that was being computed.
fn out_of_range(fault: Fault, origin: Option<&Origin>) -> Error {
    match origin {
        Some(origin) => origin.out_of_range(fault.position, fault.len),
        None => Error::read(format!("position {} is out of range", fault.position)),
    }
}

fn first_mistake(values: &[Value]) -> Option<Error> {
    crate::graph::build::failed(values).and_then(|v| v.error().cloned())
}

impl Value {
    /// The number, of a Value with one element.
    ///
    /// # Errors
    /// The first mistake among the operations that made it; more or fewer elements than one; a
    /// number asked for while a function is being recorded.
    #[track_caller]
    pub fn item(&self) -> Result<f64> {
        if self.error().is_none() && self.elements() != 1 {
            let message = format!(
                "`item` reads one number, shape {} has {}",
                self.shape(),
                self.elements()
            );
            return Err(Error::read(message));
        }
        Ok(buffers(std::slice::from_ref(self))?[0].get(0))
    }

    /// The elements in row-major order, converted to `T` as Rust's `as` does.
    ///
    /// # Errors
    /// The first mistake among the operations that made it; a number asked for while a function is
    /// being recorded.
    #[track_caller]
    pub fn to_vec<T: Element>(&self) -> Result<Vec<T>> {
        Ok(read(&buffers(std::slice::from_ref(self))?[0]))
    }

    /// The graph that computes it, a line a node: stable text.
    ///
    /// ```
    /// use toygrad::prelude::*;
    /// let x = Value::from([1.0, 2.0]);
    /// let y = (&x * &x).sum();
    /// assert_eq!(y.graph(), "%0 = data [2] f64\n%1 = mul %0 %0 [2] f64\n%2 = sum [0] %1 [1] f64\n%3 = reshape %2 [] f64\n");
    /// ```
    pub fn graph(&self) -> String {
        crate::graph::print::text(self)
    }

    /// The program that computes it: the kernels, what they load and store, the instructions of
    /// fused loops. Stable text.
    ///
    /// # Errors
    /// The first mistake among the operations that made it.
    pub fn listing(&self) -> Result<String> {
        if let Some(e) = first_mistake(std::slice::from_ref(self)) {
            return Err(e);
        }
        let c = canonical(std::slice::from_ref(self), false, is_known);
        Ok(new_program(&c.graph(is_known), &[]).to_string())
    }

    /// Computes it now; see [`evaluate`].
    ///
    /// # Errors
    /// As [`evaluate`].
    #[track_caller]
    pub fn evaluate(&self) -> Result<&Value> {
        buffers(std::slice::from_ref(self))?;
        Ok(self)
    }
}
