//! The graph: [`Value`]s, the closed set of operation kinds, and what a row of the table is.
//! Knows no individual operation.

pub mod build;
pub mod print;
pub mod row;
pub mod walk;

use crate::buffer::{Array, Buffer};
use crate::dtype::Element;
use crate::error::{Caller, Error, OperationError};
pub(crate) use crate::lanes::Reduction;
use crate::{DType, Shape};
use row::Row;
use smallvec::SmallVec;
use std::cell::Cell;
use std::hash::{Hash, Hasher};
use std::panic::Location;
use std::sync::atomic::{AtomicU32, AtomicU64};
use std::sync::{Arc, OnceLock, Weak};

/// A number or an array of numbers: a node of the graph of operations that computes it.
///
/// A `Value` never changes and is cheap to clone. Operations on Values record the graph and
/// compute nothing; numbers appear when they are asked for ([`item`](Value::item),
/// [`to_vec`](Value::to_vec), [`backward`](Value::backward), printing). A mistake (shapes that do
/// not fit) makes a Value that carries the error; it comes out where the Value is read.
///
/// ```
/// use toygrad::prelude::*;
/// let x = Value::from([1.0, 2.0, 3.0]);
/// let y = (2.0 * &x + 1.0).square().sum();
/// assert_eq!(y.item()?, 9.0 + 25.0 + 49.0);
/// # Ok::<(), toygrad::Error>(())
/// ```
#[derive(Clone)]
pub struct Value(pub(crate) Arc<Node>);

/// What a [`Value`] points to.
pub(crate) struct Node {
    pub op: Op,
    pub inputs: SmallVec<[Value; 2]>,
    pub shape: Shape,
    pub dtype: DType,
    /// A plain number, which takes the dtype of what it meets.
    pub weak: bool,
    /// Made under [`no_grad`](crate::no_grad) or by `detach`: gradients do not pass.
    pub frozen: bool,
    /// The line that made it.
    pub at: Caller,
    /// Its elements, once computed.
    pub data: OnceLock<Buffer>,
    /// What walks note: the newest one that met it, and its position there. (Not a struct of its
    /// own, whose padding would make nodes larger.)
    pub walk: AtomicU64,
    pub position: AtomicU32,
}

/// What a node is: the beginning of data, an operation on its inputs, or another name of its input.
pub(crate) enum Op {
    Leaf(Leaf),
    Apply(Kind),
    Alias(Alias),
}

/// Nodes that compute nothing from inputs.
pub(crate) enum Leaf {
    /// Elements given by the user, in `Node::data`.
    Data,
    /// The same number everywhere.
    Full(f64),
    /// Uniform numbers in [0, 1) from the counter-based generator.
    Random { key: u64, position: u64 },
    /// An argument of a function that is being recorded.
    Argument(usize),
    /// A mistake.
    Failed(Error),
}

/// Nodes with the elements of their first input and a meaning of their own.
pub(crate) enum Alias {
    /// The value of a cell: a parameter, optimiser state, running statistics.
    Cell(Weak<CellState>),
    /// Gradients stop here.
    Detach,
    /// Made of the second input, along axes, with a Jacobian of its own.
    Normalized(Normalization, AxisSet),
    /// Gradients go through a rule of the user's; inputs after the first are the rule's.
    Custom(Arc<CustomRule>),
}

/// Operations composed of others whose Jacobian is symmetric and a formula of their result: those of
/// what they consist of would keep more arrays and pass over them more often. The formulas stand in
/// `ops/normalize.rs`.
#[derive(Clone, Copy)]
pub(crate) enum Normalization {
    Softmax,
    /// Its third input is the inverse of the standard deviation.
    Standardize,
}

/// Backward rule of a custom operation: (inputs, output, cotangent) to cotangents of the inputs.
pub(crate) type CustomRule = dyn Fn(&[Value], &Value, &Value) -> Vec<Value> + Send + Sync;

/// The closed set of operations. Passes match on it exhaustively.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    /// A row of the table, element by element; inputs have the shape of the result.
    Map(RowRef),
    /// To the node's dtype.
    Cast,
    /// Over axes, which stay with length 1.
    Reduce(Reduction, AxisSet),
    /// Position (i64) of the first extreme along an axis, which stays with length 1.
    ArgReduce(Extreme, usize),
    /// (Boxed: nodes are to be small.)
    Move(Box<Movement>),
    /// `[.., m, k] x [.., k, n]` with equal leading axes.
    MatMul,
    /// `out[.., i, ..] = x[.., index[.., i, ..], ..]` along an axis: inputs are x and index.
    Gather(usize),
    /// Adds the second input's elements to zeros at the positions that the first one names: the
    /// adjoint of `Gather`.
    ScatterAdd(usize),
    /// Running sum along an axis, from its end where `reverse`.
    CumSum { axis: usize, reverse: bool },
    /// The positions that sort an axis, stably; NaN last.
    ArgSort { axis: usize, descending: bool },
    /// Inputs end to end along an axis.
    Concat(usize),
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Extreme {
    Max,
    Min,
}

/// Linear operations that only move elements. Each stands beside its adjoint in `ops/movement.rs`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) enum Movement {
    Reshape,
    /// Axis `i` of the result is axis `p[i]` of the input.
    Permute(SmallVec<[usize; 4]>),
    /// Axes of length 1 repeated to the node's shape.
    Expand,
    /// `out[i] = x[start + i * step]` for each axis.
    Slice {
        start: SmallVec<[usize; 4]>,
        step: SmallVec<[isize; 4]>,
    },
    /// Zeros with the input written where `Slice` would read: its adjoint.
    Embed {
        start: SmallVec<[usize; 4]>,
        step: SmallVec<[isize; 4]>,
    },
    /// Windows along an axis: `out[.., i, .., k] = x[.., i * step + k * dilation, ..]`, with the
    /// window's own axis last.
    Window {
        axis: usize,
        size: usize,
        step: usize,
        dilation: usize,
    },
    /// Overlapping windows added back in place: the adjoint of `Window`.
    Fold {
        axis: usize,
        size: usize,
        step: usize,
        dilation: usize,
    },
}

/// Axes as a bit set.
pub(crate) type AxisSet = u64;

/// A row of the table; equal where the row is the same.
#[derive(Clone, Copy)]
pub(crate) struct RowRef(pub &'static Row);

impl PartialEq for RowRef {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.0, other.0)
    }
}
impl Eq for RowRef {}
impl Hash for RowRef {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.0 as *const Row).hash(state)
    }
}

impl Kind {
    /// The name that messages and listings use.
    pub fn name(&self) -> &'static str {
        match self {
            Kind::Map(row) => row.0.name,
            Kind::Cast => "cast",
            Kind::Reduce(Reduction::Sum, _) => "sum",
            Kind::Reduce(Reduction::Max, _) => "max",
            Kind::Reduce(Reduction::Min, _) => "min",
            Kind::ArgReduce(Extreme::Max, _) => "argmax",
            Kind::ArgReduce(Extreme::Min, _) => "argmin",
            Kind::Move(movement) => movement.name(),
            Kind::MatMul => "matmul",
            Kind::Gather(_) => "gather",
            Kind::ScatterAdd(_) => "scatter_add",
            Kind::CumSum { .. } => "cumsum",
            Kind::ArgSort { .. } => "argsort",
            Kind::Concat(_) => "concat",
        }
    }
}

impl Movement {
    fn name(&self) -> &'static str {
        match self {
            Movement::Reshape => "reshape",
            Movement::Permute(_) => "permute",
            Movement::Expand => "expand",
            Movement::Slice { .. } => "slice",
            Movement::Embed { .. } => "embed",
            Movement::Window { .. } => "window",
            Movement::Fold { .. } => "fold",
        }
    }

    /// Whether it writes into some places of zeros: the others pick elements, or all of them.
    pub(crate) fn writes(&self) -> bool {
        matches!(self, Movement::Embed { .. } | Movement::Fold { .. })
    }
}

impl From<Movement> for Kind {
    fn from(movement: Movement) -> Kind {
        Kind::Move(Box::new(movement))
    }
}

impl Op {
    pub fn name(&self) -> &'static str {
        match self {
            Op::Leaf(Leaf::Data) => "data",
            Op::Leaf(Leaf::Full(_)) => "number",
            Op::Leaf(Leaf::Random { .. }) => "rand",
            Op::Leaf(Leaf::Argument(_)) => "argument",
            Op::Leaf(Leaf::Failed(_)) => "error",
            Op::Apply(kind) => kind.name(),
            Op::Alias(Alias::Cell(_)) => "parameter",
            Op::Alias(Alias::Detach) => "detach",
            Op::Alias(Alias::Normalized(Normalization::Softmax, _)) => "softmax",
            Op::Alias(Alias::Normalized(Normalization::Standardize, _)) => "standardize",
            Op::Alias(Alias::Custom(_)) => "custom",
        }
    }
}

/// The state behind a [`Parameter`](crate::Parameter).
pub(crate) struct CellState {
    pub id: u64,
    pub trainable: bool,
    pub at: Caller,
    pub content: std::sync::Mutex<CellContent>,
}

/// What changes in a cell.
#[derive(Clone)]
pub(crate) struct CellContent {
    pub name: Option<String>,
    /// The current version: an alias node that knows its cell.
    pub value: Value,
    /// The gradient, and the version that it belongs to.
    pub grad: Option<(Value, Value)>,
}

/// How nodes are being recorded on this thread.
#[derive(Clone, Copy)]
struct Recording {
    /// Inside [`no_grad`].
    frozen: bool,
    /// The line that nodes are said to come from, where it is not the caller's: nodes of a
    /// derivative belong to the line of the operation that they are the derivative of.
    at: Option<Caller>,
    /// Inside [`symbolic`].
    symbolic: bool,
}

thread_local! {
    static RECORDING: Cell<Recording> = const {
        Cell::new(Recording { frozen: false, at: None, symbolic: false })
    };
}

fn recording<T>(change: impl FnOnce(&mut Recording), f: impl FnOnce() -> T) -> T {
    struct Restore(Recording);
    impl Drop for Restore {
        fn drop(&mut self) {
            RECORDING.set(self.0);
        }
    }
    let before = RECORDING.get();
    let _restore = Restore(before);
    let mut now = before;
    change(&mut now);
    RECORDING.set(now);
    f()
}

/// Runs `f`; what it records is said to come from the line `at` (the outermost one counts).
pub(crate) fn located<T>(at: Caller, f: impl FnOnce() -> T) -> T {
    recording(|r| r.at = r.at.or(Some(at)), f)
}

/// Runs `f`; what it records depends on the structure of its inputs alone, not on their numbers
/// (but for those that are [`structural`]).
pub(crate) fn symbolic<T>(f: impl FnOnce() -> T) -> T {
    recording(|r| r.symbolic = true, f)
}

/// Numbers that operations and simplification know about: they are part of a graph's structure.
/// Others are bound at each run, so that graphs which differ in them share a Program.
pub(crate) fn structural(x: f64) -> bool {
    [0.0, 1.0, -1.0, 2.0, 3.0, 0.5].contains(&x) || !x.is_finite()
}

/// Runs `f`; gradients do not pass through what it records.
///
/// ```
/// use toygrad::prelude::*;
/// let w = Parameter::new(2.0);
/// let y = no_grad(|| &w * 3.0);
/// assert!(gradients(&y, [&w.value()]).pop().unwrap().item()? == 0.0);
/// # Ok::<(), toygrad::Error>(())
/// ```
pub fn no_grad<T>(f: impl FnOnce() -> T) -> T {
    recording(|r| r.frozen = true, f)
}

impl Value {
    /// Its shape; `[]` for a scalar, also of a Value that carries an error.
    pub fn shape(&self) -> &Shape {
        &self.0.shape
    }

    /// The type of its elements.
    pub fn dtype(&self) -> DType {
        self.0.dtype
    }

    /// The number of axes.
    pub fn rank(&self) -> usize {
        self.0.shape.rank()
    }

    /// The number of elements.
    pub fn elements(&self) -> usize {
        self.0.shape.elements()
    }

    /// The mistake that it carries, if any.
    pub fn error(&self) -> Option<&Error> {
        match &self.0.op {
            Op::Leaf(Leaf::Failed(e)) => Some(e),
            _ => None,
        }
    }

    /// The line that made it.
    pub fn location(&self) -> &'static Location<'static> {
        self.0.at
    }

    pub(crate) fn inputs(&self) -> &[Value] {
        &self.0.inputs
    }

    pub(crate) fn kind(&self) -> Option<&Kind> {
        match &self.0.op {
            Op::Apply(kind) => Some(kind),
            _ => None,
        }
    }

    /// The number, where it is the same everywhere and known without computing.
    pub(crate) fn as_full(&self) -> Option<f64> {
        match self.0.op {
            Op::Leaf(Leaf::Full(x)) => (structural(x) || !RECORDING.get().symbolic).then_some(x),
            _ => None,
        }
    }

    pub(crate) fn is(&self, other: &Value) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    pub(crate) fn node(
        op: Op,
        inputs: SmallVec<[Value; 2]>,
        shape: Shape,
        dtype: DType,
        at: Caller,
    ) -> Value {
        let weak = !inputs.is_empty() && inputs.iter().all(|i| i.0.weak);
        let recording = RECORDING.get();
        let frozen = recording.frozen || matches!(op, Op::Alias(Alias::Detach));
        let at = recording.at.unwrap_or(at);
        Value(Arc::new(Node {
            op,
            inputs,
            shape,
            dtype,
            weak,
            frozen,
            at,
            data: OnceLock::new(),
            walk: AtomicU64::new(0),
            position: AtomicU32::new(0),
        }))
    }

    pub(crate) fn leaf(leaf: Leaf, shape: Shape, dtype: DType, at: Caller) -> Value {
        Value::node(Op::Leaf(leaf), SmallVec::new(), shape, dtype, at)
    }

    /// A leaf with elements; `data` has `shape.elements()` of them.
    pub(crate) fn from_buffer(data: Buffer, shape: Shape, dtype: DType, at: Caller) -> Value {
        debug_assert_eq!(data.len(), shape.elements());
        let value = Value::leaf(Leaf::Data, shape, dtype, at);
        let _ = value.0.data.set(data);
        value
    }

    pub(crate) fn pack<T: Element>(elements: Vec<T>, shape: Shape, at: Caller) -> Value {
        let data = Arc::new(Array::given(T::pack(elements)));
        Value::from_buffer(data, shape, T::DTYPE, at)
    }

    /// The same, but it takes the dtype of what it meets, as a plain number does.
    pub(crate) fn weak(mut self) -> Value {
        if let Some(node) = Arc::get_mut(&mut self.0) {
            node.weak = true;
        }
        self
    }

    /// With a dtype of its own.
    pub(crate) fn strong(mut self) -> Value {
        if let Some(node) = Arc::get_mut(&mut self.0) {
            node.weak = false;
        }
        self
    }

    /// A plain number: takes the dtype of the Values that it meets.
    pub(crate) fn number(x: f64, dtype: DType, at: Caller) -> Value {
        Value::full_at(Shape::scalar(), x, dtype, at).weak()
    }

    pub(crate) fn full_at(shape: Shape, x: f64, dtype: DType, at: Caller) -> Value {
        Value::leaf(Leaf::Full(x), shape, dtype, at)
    }

    pub(crate) fn failed(error: Error, at: Caller) -> Value {
        Value::leaf(Leaf::Failed(error), Shape::scalar(), DType::F32, at)
    }

    /// Elements that are there already, without computing.
    pub(crate) fn known(&self) -> Option<&Buffer> {
        self.0.data.get()
    }
}

impl OperationError {
    /// An error Value.
    pub(crate) fn into_value(self) -> Value {
        let at = self.at;
        Value::failed(Error::Operation(Box::new(self)), at)
    }
}

/// Long chains are freed in a loop: recursion would overflow the stack.
impl Drop for Node {
    fn drop(&mut self) {
        let goes_on = |node: &Node| node.inputs.iter().any(|i| Arc::strong_count(&i.0) == 1);
        if !goes_on(self) {
            return;
        }
        let mut stack: Vec<Value> = self.inputs.drain(..).collect();
        while let Some(mut value) = stack.pop() {
            if !goes_on(&value.0) {
                continue;
            }
            // Emptied where it is (its own drop finds nothing to do then), not moved out.
            if let Some(node) = Arc::get_mut(&mut value.0) {
                stack.extend(node.inputs.drain(..));
            }
        }
    }
}
