//! `compile(f)`: a function recorded once and replayed with nothing left but its kernels.

use super::parameter::Parameter;
use super::{first_mistake, new_program, out_of_range};
use crate::buffer::Buffer;
use crate::compile::graph::{Stream, canonical};
use crate::compile::program::{Output, Program};
use crate::exec::cpu::{self, Bound, Slot};
use crate::graph::build::Origin;
use crate::graph::{Alias, CellContent, Kind, Leaf, Op};
use crate::ops::random::{self, RandomState};
use crate::{Caller, DType, Error, Result, Shape, Value};
use smallvec::SmallVec;
use std::cell::RefCell;
use std::collections::HashMap;
use std::panic::Location;
use std::sync::{Arc, Mutex, MutexGuard};

/// What a compiled function takes and gives: a Value, and tuples, arrays and vectors of them.
pub trait Tree: Sized {
    /// Hands over its Values, in order.
    fn leaves(self, out: &mut Vec<Value>);
    /// Builds the like of `self` from as many Values.
    #[doc(hidden)]
    fn pattern(&self) -> Self::Pattern;
    #[doc(hidden)]
    fn build(pattern: &Self::Pattern, values: &mut dyn Iterator<Item = Value>) -> Self;
    #[doc(hidden)]
    type Pattern: Send;
}

/// A Value that was not given: cannot happen where leaves and build agree.
#[track_caller]
fn next(values: &mut dyn Iterator<Item = Value>) -> Value {
    let missing = || Value::failed(Error::read("a Value is missing"), Location::caller());
    values.next().unwrap_or_else(missing)
}

impl Tree for Value {
    type Pattern = ();
    fn leaves(self, out: &mut Vec<Value>) {
        out.push(self);
    }
    fn pattern(&self) -> Self::Pattern {}
    fn build(_: &(), values: &mut dyn Iterator<Item = Value>) -> Value {
        next(values)
    }
}

impl<T: Tree> Tree for Vec<T> {
    type Pattern = Vec<T::Pattern>;
    fn leaves(self, out: &mut Vec<Value>) {
        self.into_iter().for_each(|t| t.leaves(out));
    }
    fn pattern(&self) -> Self::Pattern {
        self.iter().map(T::pattern).collect()
    }
    fn build(pattern: &Self::Pattern, values: &mut dyn Iterator<Item = Value>) -> Self {
        pattern.iter().map(|p| T::build(p, values)).collect()
    }
}

impl<T: Tree, const N: usize> Tree for [T; N] {
    type Pattern = [T::Pattern; N];
    fn leaves(self, out: &mut Vec<Value>) {
        self.into_iter().for_each(|t| t.leaves(out));
    }
    fn pattern(&self) -> Self::Pattern {
        std::array::from_fn(|i| self[i].pattern())
    }
    fn build(pattern: &Self::Pattern, values: &mut dyn Iterator<Item = Value>) -> Self {
        std::array::from_fn(|i| T::build(&pattern[i], values))
    }
}

impl<T: Tree> Tree for Result<T> {
    type Pattern = Option<T::Pattern>;
    fn leaves(self, out: &mut Vec<Value>) {
        match self {
            Ok(tree) => tree.leaves(out),
            Err(e) => out.push(Value::failed(e, Location::caller())),
        }
    }
    fn pattern(&self) -> Self::Pattern {
        self.as_ref().ok().map(T::pattern)
    }
    fn build(pattern: &Self::Pattern, values: &mut dyn Iterator<Item = Value>) -> Self {
        match pattern {
            Some(pattern) => Ok(T::build(pattern, values)),
            None => Err(next(values)
                .error()
                .cloned()
                .unwrap_or_else(|| Error::read("an error"))),
        }
    }
}

macro_rules! tuples {
    ($($($t:ident $i:tt),*;)*) => {$(
        impl<$($t: Tree),*> Tree for ($($t,)*) {
            type Pattern = ($($t::Pattern,)*);
            #[allow(unused_variables)]
            fn leaves(self, out: &mut Vec<Value>) {
                $(self.$i.leaves(out);)*
            }
            #[allow(clippy::unused_unit)]
            fn pattern(&self) -> Self::Pattern {
                ($(self.$i.pattern(),)*)
            }
            #[allow(unused_variables, clippy::unused_unit)]
            fn build(pattern: &Self::Pattern, values: &mut dyn Iterator<Item = Value>) -> Self {
                ($($t::build(&pattern.$i, values),)*)
            }
        }
    )*};
}
tuples! {
    ;
    A 0;
    A 0, B 1;
    A 0, B 1, C 2;
    A 0, B 1, C 2, D 3;
    A 0, B 1, C 2, D 3, E 4;
    A 0, B 1, C 2, D 3, E 4, F 5;
}

/// Cells as they were before recording began.
#[derive(Default)]
struct Recording {
    touched: Vec<(Parameter, CellContent)>,
}

thread_local! {
    static RECORDING: RefCell<Option<Recording>> = const { RefCell::new(None) };
}

/// Whether a function is being recorded on this thread.
pub(crate) fn is_recording() -> bool {
    RECORDING.with_borrow(Option::is_some)
}

/// Notes what a cell holds before it changes for the first time while recording.
pub(super) fn touch(parameter: &Parameter, content: &CellContent) {
    RECORDING.with_borrow_mut(|r| {
        if let Some(r) = r
            && !r.touched.iter().any(|(p, _)| p.id() == parameter.id())
        {
            r.touched.push((parameter.clone(), content.clone()));
        }
    });
}

/// Ends recording and puts the cells back, whatever happens.
struct Restore {
    random: RandomState,
}

impl Restore {
    /// Begins recording.
    fn begin() -> Result<Restore> {
        if is_recording() {
            return Err(Error::read(
                "a compiled function cannot be called while another is being recorded",
            ));
        }
        RECORDING.set(Some(Recording::default()));
        Ok(Restore {
            random: random::random_state(),
        })
    }

    /// What was recorded on the way to `results`. The random generator is put back as well.
    fn finish(self, results: Vec<Value>) -> Trace {
        let recording = RECORDING.with_borrow_mut(Option::take).unwrap_or_default();
        let put_back = |(p, before): (Parameter, CellContent)| {
            let now = p.restore(before);
            (p, now)
        };
        let touched = recording.touched.into_iter().map(put_back).collect();
        let after = random::random_state();
        random::set_random_state(self.random);
        Trace {
            results,
            touched,
            random: self.random,
            draws: after.position.wrapping_sub(self.random.position),
        }
    }
}

impl Drop for Restore {
    fn drop(&mut self) {
        if let Some(r) = RECORDING.with_borrow_mut(Option::take) {
            r.touched
                .into_iter()
                .for_each(|(p, before)| drop(p.restore(before)));
        }
    }
}

/// A function of Values that is recorded at its first call, and again for arguments of other
/// shapes or dtypes; other calls replay the program. Made by [`compile`].
pub struct Compiled<A, R: Tree, F> {
    f: F,
    at: Caller,
    /// With the patterns of results.
    recorded: Mutex<Vec<(Recorded, R::Pattern)>>,
    arguments: std::marker::PhantomData<fn(A)>,
}

/// A recording for one set of argument shapes. (Knows no types of arguments and results: a user's
/// program is to compile only what differs between functions.)
struct Recorded {
    arguments: Vec<(Shape, DType)>,
    program: Program,
    numbers: Vec<f64>,
    streams: Vec<Stream>,
    /// Where look-ups were written, by what their faults name.
    lookups: HashMap<u32, Origin>,
    /// What each input slot is.
    inputs: Vec<Source>,
    /// For each root of the program: what becomes of it.
    roots: Vec<Target>,
    /// Cells that are written, with a buffer slot of theirs to write over.
    cells: Vec<Parameter>,
    /// Random arrays drawn by a call, and where the generator stood when it was recorded.
    draws: u64,
    random: RandomState,
}

enum Source {
    Argument(usize),
    /// The current value of a cell; the index is that among the written cells, if it is one.
    Cell(Parameter, Option<usize>),
    Constant(Value),
}

struct Target {
    shape: Shape,
    dtype: DType,
    at: Caller,
    /// The cell that it is the new value of; else it is a result.
    cell: Option<usize>,
}

/// Records `f` as one program: forward, backward and update of a training step become kernels
/// over planned memory, parameters are updated in place, and a call costs nothing but them.
///
/// Parameters are read and written through their cells at each call; anything else that `f` uses
/// is recorded as it is at the first call. Asking for a number inside `f` that depends on
/// parameters or arguments is an error.
///
/// ```
/// use toygrad::prelude::*;
/// let w = Parameter::new(0.0);
/// let step = compile(|x: Value| {
///     let loss = (&w - x).square();
///     let g = gradients(&loss, [&w]).remove(0);
///     w.set(&w - 0.25 * g)?;
///     Ok(loss)
/// });
/// for _ in 0..20 {
///     step.call(Value::from(3.0))??;
/// }
/// assert!((w.value().item()? - 3.0).abs() < 1e-5);
/// # Ok::<(), toygrad::Error>(())
/// ```
#[track_caller]
pub fn compile<A: Tree, R: Tree, F: Fn(A) -> R>(f: F) -> Compiled<A, R, F> {
    Compiled {
        f,
        at: Location::caller(),
        recorded: Mutex::new(Vec::new()),
        arguments: std::marker::PhantomData,
    }
}

impl<A: Tree, R: Tree, F: Fn(A) -> R> Compiled<A, R, F> {
    /// Runs it.
    ///
    /// # Errors
    /// A mistake in the arguments or in what `f` records; a position out of range.
    #[track_caller]
    pub fn call(&self, arguments: A) -> Result<R> {
        let pattern = arguments.pattern();
        let mut values = Vec::new();
        arguments.leaves(&mut values);
        let arguments = super::buffers(&values)?;
        if super::is_debugging() && !is_recording() {
            // Step by step: each operation is looked at.
            let result = (self.f)(A::build(&pattern, &mut values.into_iter()));
            let (pattern, mut leaves) = (result.pattern(), Vec::new());
            result.leaves(&mut leaves);
            super::buffers(&leaves)?;
            return Ok(R::build(&pattern, &mut leaves.into_iter()));
        }
        let mut all = self.recorded.lock().unwrap_or_else(|e| e.into_inner());
        let found = match all.iter().position(|(r, _)| r.fits(&values)) {
            Some(i) => i,
            None => {
                all.push(self.record(&pattern, &values)?);
                all.len() - 1
            }
        };
        let (recorded, pattern) = &all[found];
        let results = recorded.replay(&arguments)?;
        Ok(R::build(pattern, &mut results.into_iter()))
    }

    /// The program for arguments of these shapes, as text.
    ///
    /// # Errors
    /// As [`call`](Compiled::call); nothing is computed.
    pub fn listing(&self, arguments: A) -> Result<String> {
        let pattern = arguments.pattern();
        let mut values = Vec::new();
        arguments.leaves(&mut values);
        let (recorded, _) = self.record(&pattern, &values)?;
        Ok(recorded.program.to_string())
    }

    fn record(&self, pattern: &A::Pattern, values: &[Value]) -> Result<(Recorded, R::Pattern)> {
        if let Some(e) = first_mistake(values) {
            return Err(e);
        }
        let signature = |v: &Value| (v.shape().clone(), v.dtype());
        let arguments: Vec<(Shape, DType)> = values.iter().map(signature).collect();
        let (trace, pattern) = trace(&self.f, pattern, &arguments, self.at)?;
        Ok((Recorded::new(trace, arguments)?, pattern))
    }
}

impl Recorded {
    fn new(trace: Trace, arguments: Vec<(Shape, DType)>) -> Result<Recorded> {
        let mut roots = trace.results;
        let target = |v: &Value, cell| {
            let (shape, dtype, at) = (v.shape().clone(), v.dtype(), v.0.at);
            Target {
                shape,
                dtype,
                at,
                cell,
            }
        };
        let mut targets: Vec<Target> = roots.iter().map(|v| target(v, None)).collect();
        let mut cells = Vec::new();
        for (parameter, value) in trace.touched {
            if !value.is(&parameter.value()) {
                targets.push(target(&value, Some(cells.len())));
                cells.push(parameter);
                roots.push(value);
            }
        }
        if let Some(e) = first_mistake(&roots) {
            return Err(e);
        }
        let c = canonical(&roots, false, is_input);
        let source = |v: &Value| match &v.0.op {
            Op::Leaf(Leaf::Argument(i)) => Source::Argument(*i),
            Op::Alias(Alias::Cell(cell)) => match cell.upgrade().map(Parameter) {
                Some(p) if p.value().is(v) => {
                    let written = cells.iter().position(|c| c.id() == p.id());
                    Source::Cell(p, written)
                }
                _ => Source::Constant(v.clone()),
            },
            _ => Source::Constant(v.clone()),
        };
        let inputs: Vec<Source> = c.bindings.inputs.iter().map(source).collect();
        let pairs: Vec<(usize, u32)> = inputs
            .iter()
            .zip(0..)
            .filter_map(|(s, slot)| {
                let Source::Cell(_, Some(cell)) = s else {
                    return None;
                };
                let root = targets.iter().position(|t| t.cell == Some(*cell))?;
                Some((root, slot))
            })
            .collect();
        let program = new_program(&c.graph(is_input), &pairs);
        // Only what replays need: the graph goes, and with it its hold on the parameters.
        let is_lookup = |v: &Value| matches!(v.kind(), Some(Kind::Gather(_) | Kind::ScatterAdd(_)));
        let lookups = (0..).zip(&c.order.nodes).filter(|(_, v)| is_lookup(v));
        Ok(Recorded {
            arguments,
            program,
            lookups: lookups.map(|(i, v)| (i, Origin::of(v))).collect(),
            numbers: c.bindings.numbers,
            streams: c.bindings.streams,
            inputs,
            roots: targets,
            cells,
            draws: trace.draws,
            random: trace.random,
        })
    }

    /// Whether it is the recording for such arguments.
    fn fits(&self, values: &[Value]) -> bool {
        let fits = |(a, v): (&(Shape, DType), &Value)| a.0 == *v.shape() && a.1 == v.dtype();
        self.arguments.len() == values.len() && self.arguments.iter().zip(values).all(fits)
    }

    fn replay(&self, arguments: &[Buffer]) -> Result<Vec<Value>> {
        // Cells that are only read, and constants.
        let mut held: Vec<Option<Buffer>> = Vec::with_capacity(self.inputs.len());
        for source in &self.inputs {
            held.push(match source {
                Source::Argument(i) => Some(arguments[*i].clone()),
                Source::Cell(_, Some(_)) => None,
                Source::Cell(p, None) => Some(super::buffer(&p.value())?),
                Source::Constant(v) => Some(super::buffer(v)?),
            });
        }
        // Cells that are written stay locked until they hold their new values.
        let mut cells: Vec<MutexGuard<CellContent>> = Vec::with_capacity(self.cells.len());
        for parameter in &self.cells {
            let mut cell = parameter.lock();
            while cell.value.known().is_none() {
                let value = cell.value.clone();
                drop(cell);
                value.evaluate()?;
                cell = parameter.lock();
            }
            // Written in place it would keep what it was made from.
            if !cell.value.inputs().is_empty() {
                cell.value = parameter.version_of(cell.value.clone());
            }
            cells.push(cell);
        }
        let drawn = random::draw(self.draws);
        let streams: SmallVec<[_; 4]> = self
            .streams
            .iter()
            .map(|s| match s.position.wrapping_sub(self.random.position) {
                // Drawn while recording: now from where the generator stands.
                ahead if ahead < self.draws && s.key == self.random.seed => Stream {
                    key: drawn.seed,
                    position: drawn.position.wrapping_add(ahead),
                },
                _ => *s,
            })
            .collect();
        let bound = Bound {
            numbers: &self.numbers,
            streams: &streams,
        };

        let run = {
            let mut own: Vec<Option<Slot>> = cells.iter_mut().map(|c| slot(c)).collect();
            let mut slots: Vec<Slot> = Vec::with_capacity(self.inputs.len());
            for (source, held) in self.inputs.iter().zip(&held) {
                let slot = match (source, held) {
                    (_, Some(buffer)) => Some(Slot::Read(buffer)),
                    (Source::Cell(_, Some(i)), None) => own[*i].take(),
                    _ => None,
                };
                slots.push(slot.ok_or_else(|| Error::read("an input has no elements"))?);
            }
            cpu::run(&self.program, &mut slots, &bound)
        };
        let made = run.map_err(|fault| out_of_range(fault, self.lookups.get(&fault.origin)))?;
        // All of them before any cell changes: one cell may get what another one held.
        let buffer = |output: &Output| match *output {
            Output::Made { n, .. } => made[n as usize].clone(),
            Output::Input(slot) => match (&held[slot as usize], &self.inputs[slot as usize]) {
                (Some(buffer), _) => Some(buffer.clone()),
                (None, Source::Cell(_, Some(i))) => cells[*i].value.known().cloned(),
                _ => None,
            },
        };
        let outputs = self.program.outputs.iter();
        let buffers: SmallVec<[Option<Buffer>; 4]> = outputs.map(buffer).collect();
        let mut results = Vec::new();
        for (buffer, target) in buffers.into_iter().zip(&self.roots) {
            let value =
                |buffer| Value::from_buffer(buffer, target.shape.clone(), target.dtype, target.at);
            match (target.cell, buffer) {
                (None, Some(buffer)) => results.push(value(buffer)),
                (None, None) => return Err(Error::read("nothing was computed")),
                (Some(i), buffer) => {
                    // Without a buffer it was written in place: a new generation all the same.
                    if let Some(buffer) = buffer {
                        cells[i].value = self.cells[i].version_of(value(buffer));
                    }
                    cells[i].grad = None;
                }
            }
        }
        Ok(results)
    }
}

/// What a function made of placeholders.
pub(crate) struct Trace {
    pub results: Vec<Value>,
    /// The cells that were touched, with what they came to hold; they hold again what they did.
    pub touched: Vec<(Parameter, Value)>,
    /// Where the random generator stood and stands again, and how often it was asked.
    random: RandomState,
    draws: u64,
}

/// Calls `f` once, with placeholders of these shapes and dtypes; nothing is computed. Gives the
/// pattern of its results, too.
#[track_caller]
pub(crate) fn trace<A: Tree, R: Tree>(
    f: impl Fn(A) -> R,
    pattern: &A::Pattern,
    arguments: &[(Shape, DType)],
    at: Caller,
) -> Result<(Trace, R::Pattern)> {
    let restore = Restore::begin()?;
    let placeholder = |(i, (shape, dtype)): (usize, &(Shape, DType))| {
        Value::leaf(Leaf::Argument(i), shape.clone(), *dtype, at)
    };
    let mut placeholders = arguments.iter().enumerate().map(placeholder);
    let result = f(A::build(pattern, &mut placeholders));
    let (pattern, mut results) = (result.pattern(), Vec::new());
    result.leaves(&mut results);
    Ok((restore.finish(results), pattern))
}

/// Where a recorded graph begins: arguments, current values of cells, whatever is known.
pub(crate) fn is_input(v: &Value) -> bool {
    match &v.0.op {
        Op::Leaf(Leaf::Argument(_)) => true,
        Op::Alias(Alias::Cell(cell)) => {
            v.known().is_some() || cell.upgrade().is_some_and(|c| Parameter(c).value().is(v))
        }
        _ => v.known().is_some(),
    }
}

/// The elements of a cell during a run: its own, if nothing else holds them.
fn slot(cell: &mut CellContent) -> Option<Slot<'_>> {
    // The gradient's note of its version would keep the node.
    cell.grad = None;
    let alone = |buffer: &Buffer| Arc::strong_count(buffer) == 1;
    if Arc::strong_count(&cell.value.0) == 1 && cell.value.known().is_some_and(alone) {
        let node = Arc::get_mut(&mut cell.value.0)?;
        return Some(Slot::Own(Arc::get_mut(node.data.get_mut()?)?));
    }
    cell.value.known().map(|buffer| Slot::Read(buffer))
}
