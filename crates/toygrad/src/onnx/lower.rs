//! Values → ONNX operators, kind by kind.

use super::model::{Attribute, Constant, Content, Model, Node, Port, number};
use super::patterns::{
    convolution, factors, max_pool, narrow, of_channels, padded, reshaped, transposed,
};
use crate::api::buffers;
use crate::api::parameter::Parameter;
use crate::api::trace::is_input;
use crate::buffer::Array;
use crate::dtype::Data;
use crate::graph::build::mistake;
use crate::graph::row::{Family, Onnx, Row};
use crate::graph::walk::Order;
use crate::graph::{Alias, Extreme, Kind, Leaf, Movement, Op, Reduction};
use crate::{Caller, DType, Error, Result, Shape, Value};
use Attribute::{Int, Ints, Text};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// The model under construction, and what each Value is called in it.
pub(super) struct Lowering<'a> {
    pub model: Model,
    /// Names of parameters, by their identity.
    state: &'a HashMap<u64, String>,
    known: HashMap<usize, Known>,
    /// Addresses are keys as long as their Values live.
    held: Vec<Value>,
    /// Constants of one number.
    numbers: HashMap<(DType, u64), String>,
    taken: HashSet<String>,
}

/// What is known of a Value.
#[derive(Default)]
struct Known {
    name: Option<String>,
    /// Whether it depends on an argument or a parameter: if not, it is computed now.
    varies: bool,
    users: usize,
}

fn address(v: &Value) -> usize {
    Arc::as_ptr(&v.0) as usize
}

/// The parameter whose current value this is.
fn parameter(v: &Value) -> Option<Parameter> {
    match &v.0.op {
        Op::Alias(Alias::Cell(cell)) => cell.upgrade().map(Parameter).filter(|p| p.value().is(v)),
        _ => None,
    }
}

/// The error of a Value that cannot be said in ONNX.
pub(super) fn refused(v: &Value, message: &str, hint: Option<&str>) -> Error {
    let message = format!("`{}` cannot be exported: {message}", v.0.op.name());
    let inputs: Vec<(&'static str, &Value)> = ["input", "input", "input"]
        .into_iter()
        .zip(v.inputs())
        .collect();
    let mistake = mistake(v.0.at, message, &inputs, hint.map(String::from));
    mistake
        .error()
        .cloned()
        .unwrap_or_else(|| Error::read("cannot be exported"))
}

fn ints(all: &[usize]) -> Vec<i64> {
    all.iter().map(|&n| n as i64).collect()
}

impl<'a> Lowering<'a> {
    /// With these inputs; `reserved` are names that nodes must not take.
    pub fn new(
        inputs: Vec<Port>,
        reserved: HashSet<String>,
        state: &'a HashMap<u64, String>,
    ) -> Lowering<'a> {
        let model = Model {
            inputs,
            ..Model::default()
        };
        let mut taken = reserved;
        taken.extend(state.values().cloned());
        Lowering {
            model,
            state,
            known: HashMap::new(),
            held: Vec::new(),
            numbers: HashMap::new(),
            taken,
        }
    }

    /// Lowers all that these depend on, as far as it is not there yet.
    pub fn graph(&mut self, roots: &[Value]) -> Result<()> {
        let order = Order::new(roots, |v| is_input(v) || self.named(v));
        let fresh = order.nodes.iter().filter(|v| !self.named(v));
        let fresh: Vec<Value> = fresh.map(|v| (*v).clone()).collect();
        for v in &fresh {
            self.held.push(v.clone());
            let begins = matches!(v.0.op, Op::Leaf(Leaf::Argument(_) | Leaf::Random { .. }));
            let stops = is_input(v);
            let mut varies = begins || parameter(v).is_some();
            for x in v.inputs().iter().filter(|_| !stops) {
                let x = self.known.entry(address(x)).or_default();
                x.users += 1;
                varies |= x.varies;
            }
            self.known.entry(address(v)).or_default().varies = varies;
        }
        for v in &fresh {
            if self.varies(v) {
                let name = self.lower(v)?;
                self.call(v, name);
            }
        }
        Ok(())
    }

    fn named(&self, v: &Value) -> bool {
        self.known
            .get(&address(v))
            .is_some_and(|k| k.name.is_some())
    }

    fn varies(&self, v: &Value) -> bool {
        self.known.get(&address(v)).is_some_and(|k| k.varies)
    }

    /// Whether nothing but one node needs it.
    fn used_once(&self, v: &Value) -> bool {
        self.known.get(&address(v)).is_some_and(|k| k.users == 1)
    }

    fn call(&mut self, v: &Value, name: String) {
        self.held.push(v.clone());
        self.known.entry(address(v)).or_default().name = Some(name);
    }

    /// What a Value is called, whose elements are there in full.
    pub fn name(&mut self, v: &Value) -> Result<String> {
        if let Some(name) = self.known.get(&address(v)).and_then(|k| k.name.clone()) {
            return Ok(name);
        }
        let name = match v.as_full() {
            Some(x) => self.filled(x, v.dtype(), v.shape(), v.0.at)?,
            None => self.array("constant", v)?,
        };
        self.call(v, name.clone());
        Ok(name)
    }

    /// What a Value is called that may be broadcast.
    fn operand(&mut self, v: &Value) -> Result<String> {
        match v.as_full() {
            Some(x) => self.scalar(x, v.dtype(), v.0.at),
            None => self.name(v),
        }
    }

    /// A name that nothing else has.
    fn fresh(&mut self, name: &str) -> String {
        let count = self.model.nodes.len() + self.model.constants.len();
        let mut all = (count..).map(|i| format!("{name}_{i}"));
        let name = all
            .find(|name| !self.taken.contains(name))
            .unwrap_or_default();
        self.taken.insert(name.clone());
        name
    }

    /// A constant with the elements of `v`, which are computed if they are not known.
    fn array(&mut self, name: &str, v: &Value) -> Result<String> {
        let name = self.fresh(name);
        self.constant(name.clone(), v)?;
        Ok(name)
    }

    fn constant(&mut self, name: String, v: &Value) -> Result<()> {
        buffers(std::slice::from_ref(v))?;
        let content = Content::Array(v.clone());
        self.model.constants.push(Constant {
            name,
            content,
            at: v.0.at,
        });
        Ok(())
    }

    fn scalar(&mut self, x: f64, dtype: DType, at: Caller) -> Result<String> {
        let key = (dtype, x.to_bits());
        if let Some(name) = self.numbers.get(&key) {
            return Ok(name.clone());
        }
        let data = Arc::new(Array::given(Data::of_number(dtype, x)));
        let value = Value::from_buffer(data, Shape::scalar(), dtype, at);
        let name = self.array("number", &value)?;
        self.numbers.insert(key, name.clone());
        Ok(name)
    }

    fn lengths(&mut self, all: Vec<i64>, at: Caller) -> String {
        let name = self.fresh("lengths");
        let content = Content::Lengths(all);
        self.model.constants.push(Constant {
            name: name.clone(),
            content,
            at,
        });
        name
    }

    /// Positions as an array.
    fn positions(
        &mut self,
        all: Vec<usize>,
        shape: impl Into<Shape>,
        at: Caller,
    ) -> Result<String> {
        let value = Value::pack(all, shape.into(), at);
        self.array("positions", &value)
    }

    fn filled(&mut self, x: f64, dtype: DType, shape: &Shape, at: Caller) -> Result<String> {
        let one = self.scalar(x, dtype, at)?;
        match shape.rank() {
            0 => Ok(one),
            _ => Ok(self.expand(one, shape, at)),
        }
    }

    /// An operator with one output.
    pub(super) fn emit(
        &mut self,
        operator: &'static str,
        inputs: impl Into<Vec<String>>,
        attributes: Vec<(&'static str, Attribute)>,
        at: Caller,
    ) -> String {
        let output = self.fresh(&operator.to_lowercase());
        self.model.nodes.push(Node {
            operator,
            inputs: inputs.into(),
            outputs: vec![output.clone()],
            attributes,
            at,
        });
        output
    }

    /// What has a name under another.
    pub fn identity(&mut self, x: String, output: String, at: Caller) {
        self.model.nodes.push(Node {
            operator: "Identity",
            inputs: vec![x],
            outputs: vec![output],
            attributes: Vec::new(),
            at,
        });
    }

    fn cast(&mut self, x: String, to: DType, at: Caller) -> String {
        self.emit("Cast", [x], vec![("to", Int(number(to)))], at)
    }

    fn expand(&mut self, x: String, shape: &Shape, at: Caller) -> String {
        let lengths = self.lengths(ints(shape), at);
        self.emit("Expand", [x, lengths], vec![], at)
    }

    fn reshape(&mut self, x: String, shape: &Shape, at: Caller) -> String {
        let lengths = self.lengths(ints(shape), at);
        // Else a length of 0 would mean that of the input.
        let zero = vec![("allowzero", Int(1))];
        let attributes = if shape.contains(&0) { zero } else { vec![] };
        self.emit("Reshape", [x, lengths], attributes, at)
    }

    fn permute(&mut self, x: String, order: Vec<i64>, at: Caller) -> String {
        self.emit("Transpose", [x], vec![("perm", Ints(order))], at)
    }

    fn lower(&mut self, v: &Value) -> Result<String> {
        let at = v.0.at;
        match &v.0.op {
            Op::Leaf(Leaf::Argument(i)) => Ok(self.model.inputs[*i].name.clone()),
            Op::Leaf(Leaf::Random { .. }) => Err(refused(
                v,
                "ONNX has no generator that draws the same numbers",
                Some("draw outside of the function, or export it under `eval`"),
            )),
            Op::Leaf(_) => self.name(v),
            Op::Alias(_) => match (parameter(v), v.inputs()) {
                (Some(p), _) => {
                    let name = match self.state.get(&p.id()) {
                        Some(name) => name.clone(),
                        None => self.fresh("parameter"),
                    };
                    self.constant(name.clone(), v)?;
                    Ok(name)
                }
                (None, [x, ..]) => self.name(x),
                (None, []) => self.name(v),
            },
            Op::Apply(kind) => match (kind, v.inputs()) {
                (Kind::Map(row), _) => self.map(v, row.0),
                (Kind::Cast, [x]) => {
                    let mut name = self.name(x)?;
                    if v.dtype() == DType::U8 && x.dtype() != DType::Bool {
                        // ONNX leaves open what numbers that do not fit become.
                        let low = self.scalar(0.0, x.dtype(), at)?;
                        let high = self.scalar(255.0, x.dtype(), at)?;
                        name = self.emit("Clip", [name, low, high], vec![], at);
                    }
                    Ok(self.cast(name, v.dtype(), at))
                }
                (Kind::Reduce(reduction, axes), [x]) => {
                    let operator = match reduction {
                        Reduction::Sum => "ReduceSum",
                        Reduction::Max => "ReduceMax",
                        Reduction::Min => "ReduceMin",
                    };
                    let axes = (0..64).filter(|a| axes >> a & 1 == 1).collect();
                    let axes = self.lengths(axes, at);
                    let x = self.name(x)?;
                    Ok(match v.dtype() {
                        DType::Bool => {
                            let x = self.cast(x, DType::U8, at);
                            let y = self.emit(operator, [x, axes], vec![], at);
                            self.cast(y, DType::Bool, at)
                        }
                        _ => self.emit(operator, [x, axes], vec![], at),
                    })
                }
                (Kind::ArgReduce(extreme, axis), [x]) => {
                    let operator = match extreme {
                        Extreme::Max => "ArgMax",
                        Extreme::Min => "ArgMin",
                    };
                    let x = self.whole(x)?;
                    Ok(self.emit(operator, [x], vec![("axis", Int(*axis as i64))], at))
                }
                (Kind::MatMul, [a, b]) => self.product(v, a, b, None),
                (Kind::Gather(axis), [x, index]) => self.gather(*axis, x, index, at),
                (Kind::ScatterAdd(axis), [index, source]) => {
                    let (index, source) = (self.name(index)?, self.name(source)?);
                    self.scatter(*axis, index, source, v)
                }
                (Kind::CumSum { axis, reverse }, [x]) => {
                    let x = self.name(x)?;
                    let axis = self.scalar(*axis as f64, DType::I64, at)?;
                    let reverse = vec![("reverse", Int(i64::from(*reverse)))];
                    Ok(self.emit("CumSum", [x, axis], reverse, at))
                }
                (Kind::ArgSort { axis, descending }, [x]) => {
                    let attributes = vec![
                        ("axis", Int(*axis as i64)),
                        ("largest", Int(i64::from(*descending))),
                    ];
                    let count = self.lengths(vec![x.shape()[*axis] as i64], at);
                    let x = self.whole(x)?;
                    // Its first output is the elements; of equal ones the first comes first.
                    let elements = self.fresh("topk");
                    let positions = self.emit("TopK", [x, count], attributes, at);
                    if let Some(node) = self.model.nodes.last_mut() {
                        node.outputs.insert(0, elements);
                    }
                    Ok(positions)
                }
                (Kind::Concat(axis), parts) => {
                    let parts: Result<Vec<String>> = parts.iter().map(|p| self.name(p)).collect();
                    Ok(self.emit("Concat", parts?, vec![("axis", Int(*axis as i64))], at))
                }
                (Kind::Move(movement), [x]) => self.moved(v, movement, x),
                (kind, inputs) => {
                    let message = format!("`{}` has {} inputs", kind.name(), inputs.len());
                    Err(refused(v, &message, None))
                }
            },
        }
    }

    /// Numbers that operators of whole numbers take: truth values and bytes as i64.
    fn whole(&mut self, x: &Value) -> Result<String> {
        let name = self.name(x)?;
        Ok(match x.dtype() {
            DType::Bool | DType::U8 => self.cast(name, DType::I64, x.0.at),
            _ => name,
        })
    }

    fn map(&mut self, v: &Value, row: &'static Row) -> Result<String> {
        let at = v.0.at;
        let operator = match row.onnx {
            Onnx::Operator(name) => name,
            Onnx::Rows(f) => {
                let y = crate::graph::located(at, || f(v.inputs())).cast_at(v.dtype(), at);
                self.graph(std::slice::from_ref(&y))?;
                return self.name(&y);
            }
            Onnx::None => {
                let message = "ONNX has no operator for it, nor some that are as accurate";
                return Err(refused(v, message, None));
            }
        };
        if let Some(name) = self.affine(v, operator)? {
            return Ok(name);
        }
        if let Some(pool) = max_pool(v) {
            let attributes = vec![
                ("kernel_shape", Ints(ints(&pool.kernel))),
                ("strides", Ints(ints(&pool.strides))),
                ("pads", Ints(ints(&pool.pads))),
            ];
            let x = self.name(pool.x)?;
            return Ok(self.emit("MaxPool", [x], attributes, at));
        }
        if let Some((x, start, around)) = padded(v) {
            return self.pad(v, x, start, around);
        }
        let mut inputs: Vec<&Value> = v.inputs().iter().map(|x| narrow(x, 0)).collect();
        let shape = |x: &&Value| match x.as_full() {
            Some(_) => Shape::scalar(),
            None => x.shape().clone(),
        };
        let joint = inputs
            .iter()
            .map(shape)
            .try_fold(Shape::scalar(), |a, b| a.broadcast(&b));
        let full = joint.as_ref() != Some(v.shape());
        if full {
            inputs[0] = &v.inputs()[0];
        }
        let mut names = Vec::new();
        for (i, x) in inputs.iter().enumerate() {
            names.push(match full && i == 0 {
                true => self.name(x)?,
                false => self.operand(x)?,
            });
        }
        let dtype = v.inputs().last().map_or(v.dtype(), Value::dtype);
        // Runtimes have few operators on bytes: these are computed as i64, and wrap around.
        let bytes = row.family == Family::Numeric && dtype == DType::U8;
        let small = row.family == Family::Compare && matches!(dtype, DType::U8 | DType::Bool);
        if bytes || small {
            names = names
                .into_iter()
                .map(|x| self.cast(x, DType::I64, at))
                .collect();
        }
        let work = if bytes { DType::I64 } else { dtype };
        let y = match operator {
            "Mod" => self.remainder(names, work, at)?,
            "Where" if dtype == DType::Bool => self.choice(names, at),
            "Relu" if !work.is_float() => {
                names.push(self.scalar(0.0, work, at)?);
                self.emit("Max", names, vec![], at)
            }
            _ => self.emit(operator, names, vec![], at),
        };
        if !bytes {
            return Ok(y);
        }
        let modulus = self.scalar(256.0, DType::I64, at)?;
        let y = self.emit("Mod", [y, modulus], vec![], at);
        Ok(self.cast(y, DType::U8, at))
    }

    /// One of two truth values, which runtimes have no `Where` for.
    fn choice(&mut self, names: Vec<String>, at: Caller) -> String {
        let [c, a, b] = [0, 1, 2].map(|i| names[i].clone());
        let first = self.emit("And", [c.clone(), a], vec![], at);
        let not = self.emit("Not", [c], vec![], at);
        let second = self.emit("And", [not, b], vec![], at);
        self.emit("Or", [first, second], vec![], at)
    }

    /// The remainder with the sign of the divisor. ONNX has it for whole numbers, but not by 0; for
    /// floats it has the one with the sign of the dividend.
    fn remainder(&mut self, names: Vec<String>, dtype: DType, at: Caller) -> Result<String> {
        let [a, b] = [0, 1].map(|i| names[i].clone());
        let zero = self.scalar(0.0, dtype, at)?;
        if !dtype.is_float() {
            let one = self.scalar(1.0, dtype, at)?;
            let none = self.emit("Equal", [b.clone(), zero], vec![], at);
            let divisor = self.emit("Where", [none, one, b], vec![], at);
            return Ok(self.emit("Mod", [a, divisor], vec![], at));
        }
        let r = self.emit("Mod", [a, b.clone()], vec![("fmod", Int(1))], at);
        let [r_below, b_below] =
            [&r, &b].map(|x| self.emit("Less", [x.clone(), zero.clone()], vec![], at));
        let differ = self.emit("Xor", [r_below, b_below], vec![], at);
        let exact = self.emit("Equal", [r.clone(), zero], vec![], at);
        let inexact = self.emit("Not", [exact], vec![], at);
        let off = self.emit("And", [differ, inexact], vec![], at);
        let moved = self.emit("Add", [r.clone(), b], vec![], at);
        Ok(self.emit("Where", [off, moved, r], vec![], at))
    }

    /// A product of matrices or a convolution, and a bias, as one operator.
    fn affine(&mut self, v: &Value, operator: &str) -> Result<Option<String>> {
        let [a, b] = v.inputs() else {
            return Ok(None);
        };
        if operator != "Add" {
            return Ok(None);
        }
        for (product, bias) in [(a, b), (b, a)] {
            if !self.used_once(product) {
                continue;
            }
            if let (Some((x, w)), 2) = (factors(product), v.rank()) {
                return self.product(v, x, w, Some(bias)).map(Some);
            }
            if let Some(bias) = of_channels(bias, v)
                && let Some(name) = self.convolution(product, Some(bias))?
            {
                return Ok(Some(name));
            }
        }
        Ok(None)
    }

    fn convolution(&mut self, v: &Value, bias: Option<&Value>) -> Result<Option<String>> {
        let Some(c) = convolution(v) else {
            return Ok(None);
        };
        let mut names = vec![self.name(c.x)?];
        names.push(
            match reshaped(c.weight).find(|w| *w.shape() == c.weight_shape) {
                Some(weight) => self.name(weight)?,
                None => {
                    let weight = self.name(c.weight)?;
                    self.reshape(weight, &c.weight_shape, v.0.at)
                }
            },
        );
        if let Some(bias) = bias {
            names.push(self.name(bias)?);
        }
        let attributes = vec![
            ("kernel_shape", Ints(ints(&c.weight_shape[2..]))),
            ("strides", Ints(ints(&c.strides))),
            ("pads", Ints(ints(&c.pads))),
            ("dilations", Ints(ints(&c.dilations))),
            ("group", Int(c.groups as i64)),
        ];
        Ok(Some(self.emit("Conv", names, attributes, v.0.at)))
    }

    fn product(&mut self, v: &Value, a: &Value, b: &Value, bias: Option<&Value>) -> Result<String> {
        let flip = |x| transposed(x).map_or((x, 0), |x| (x, 1));
        let ((left, flip_left), (right, flip_right)) = (flip(a), flip(b));
        if v.rank() == 2 && (bias.is_some() || flip_left + flip_right > 0) {
            let mut names = vec![self.name(left)?, self.name(right)?];
            if let Some(bias) = bias {
                names.push(self.operand(narrow(bias, 0))?);
            }
            let flips = [("transA", flip_left), ("transB", flip_right)];
            let flips = flips.into_iter().filter(|f| f.1 > 0);
            let attributes = flips.map(|(name, n)| (name, Int(n))).collect();
            return Ok(self.emit("Gemm", names, attributes, v.0.at));
        }
        let (mut left, right) = (narrow(a, 2), narrow(b, 2));
        let leading = |x: &Value| Shape::from(&x.shape()[..x.rank() - 2]);
        if leading(left).broadcast(&leading(right)) != Some(leading(v)) {
            left = a;
        }
        let names = [self.name(left)?, self.name(right)?];
        Ok(self.emit("MatMul", names, vec![], v.0.at))
    }

    fn gather(&mut self, axis: usize, x: &Value, index: &Value, at: Caller) -> Result<String> {
        let attributes = vec![("axis", Int(axis as i64))];
        // Whole slices: the index is the same along all other axes.
        let line = narrow(index, 0);
        let repeated = (0..index.rank()).all(|a| {
            let lead = index.rank() - line.rank();
            a == axis || a < lead || line.shape()[a - lead] == 1
        });
        let same = (0..x.rank()).all(|a| a == axis || x.shape()[a] == index.shape()[a]);
        if repeated && same && line.elements() == index.shape()[axis] && line.as_full().is_none() {
            let x = self.name(x)?;
            let line = match reshaped(line).find(|v| v.rank() == 1) {
                Some(flat) => self.name(flat)?,
                None => {
                    let name = self.name(line)?;
                    self.reshape(name, &Shape::from([line.elements()]), at)
                }
            };
            return Ok(self.emit("Gather", [x, line], attributes, at));
        }
        let names = [self.name(x)?, self.name(index)?];
        Ok(self.emit("GatherElements", names, attributes, at))
    }

    /// Adds to zeros of the shape of `v`.
    fn scatter(&mut self, axis: usize, index: String, source: String, v: &Value) -> Result<String> {
        let at = v.0.at;
        let zeros = self.filled(0.0, v.dtype(), v.shape(), at)?;
        let attributes = vec![("axis", Int(axis as i64)), ("reduction", Text("add"))];
        Ok(self.emit("ScatterElements", [zeros, index, source], attributes, at))
    }

    fn moved(&mut self, v: &Value, movement: &Movement, x: &Value) -> Result<String> {
        let at = v.0.at;
        match movement {
            Movement::Reshape => {
                if let Some(name) = self.convolution(v, None)? {
                    return Ok(name);
                }
                if let Some((a, b)) = factors(x)
                    && v.rank() > 2
                    && let Some(a) = reshaped(a).find(|a| {
                        a.rank() == v.rank()
                            && a.shape()[..a.rank() - 1] == v.shape()[..v.rank() - 1]
                    })
                {
                    // Rows of several axes, times a matrix.
                    let names = [self.name(a)?, self.name(b)?];
                    return Ok(self.emit("MatMul", names, vec![], at));
                }
                let source = reshaped(v).last().unwrap_or(x);
                let name = self.name(source)?;
                Ok(match source.shape() == v.shape() {
                    true => name,
                    false => self.reshape(name, v.shape(), at),
                })
            }
            Movement::Permute(order) => {
                let x = self.name(x)?;
                Ok(self.permute(x, ints(order), at))
            }
            Movement::Expand => {
                let x = self.name(x)?;
                Ok(self.expand(x, v.shape(), at))
            }
            Movement::Slice { start, step } => {
                let cut = |&a: &usize| x.shape()[a] != v.shape()[a] || step[a] != 1;
                let axes: Vec<usize> = (0..v.rank()).filter(cut).collect();
                let starts = axes.iter().map(|&a| start[a] as i64);
                let ends = axes.iter().map(|&a| {
                    let (first, by, n) = (start[a] as i64, step[a] as i64, v.shape()[a] as i64);
                    let last = first + (n - 1) * by;
                    match n {
                        0 => first,
                        // A negative end counts from the back; this one is before the front.
                        _ if by < 0 && last == 0 => i64::MIN,
                        _ => last + by.signum(),
                    }
                });
                let steps = axes.iter().map(|&a| step[a] as i64);
                let lists = [
                    starts.collect(),
                    ends.collect(),
                    ints(&axes),
                    steps.collect(),
                ];
                let mut names = vec![self.name(x)?];
                names.extend(lists.map(|list| self.lengths(list, at)));
                Ok(self.emit("Slice", names, vec![], at))
            }
            Movement::Embed { start, step } => self.embed(v, x, start, step),
            Movement::Window {
                axis,
                size,
                step,
                dilation,
            } => {
                let index = windows(v.shape()[*axis], *size, *step, *dilation);
                let index = self.positions(index, [v.shape()[*axis], *size], at)?;
                let x = self.name(x)?;
                let y = self.emit("Gather", [x, index], vec![("axis", Int(*axis as i64))], at);
                // The window's own axis is put last.
                let inside = |&a: &usize| a != axis + 1;
                let order: Vec<usize> = (0..v.rank()).filter(inside).chain([axis + 1]).collect();
                Ok(self.permute(y, ints(&order), at))
            }
            Movement::Fold {
                axis,
                size,
                step,
                dilation,
            } => {
                let count = x.shape()[*axis];
                let last = x.rank() - 1;
                let before = 0..axis + 1;
                let order: Vec<usize> = before.chain([last]).chain(axis + 1..last).collect();
                let name = self.name(x)?;
                let name = self.permute(name, ints(&order), at);
                let wide = v.shape().with(*axis, count * size);
                let source = self.reshape(name, &wide, at);
                let index = windows(count, *size, *step, *dilation);
                let line: Shape = (0..v.rank())
                    .map(|a| if a == *axis { count * size } else { 1 })
                    .collect();
                let index = self.positions(index, line, at)?;
                let index = self.expand(index, &wide, at);
                self.scatter(*axis, index, source, v)
            }
        }
    }

    /// A number around each axis.
    fn pad(&mut self, v: &Value, x: &Value, start: &[usize], around: f64) -> Result<String> {
        let back = (0..v.rank()).map(|a| v.shape()[a].saturating_sub(start[a] + x.shape()[a]));
        let pads: Vec<usize> = start.iter().copied().chain(back).collect();
        let pads = self.lengths(ints(&pads), v.0.at);
        let (x, around) = (self.name(x)?, self.scalar(around, v.dtype(), v.0.at)?);
        Ok(self.emit("Pad", [x, pads, around], vec![], v.0.at))
    }

    /// Zeros around each axis; where elements come apart or in reverse, they are fetched by
    /// position, and zeros from one put behind them.
    fn embed(&mut self, v: &Value, x: &Value, start: &[usize], step: &[isize]) -> Result<String> {
        let at = v.0.at;
        let apart = |a: usize| step[a] != 1;
        let mut name = self.name(x)?;
        let end = |a: usize| match apart(a) {
            true => (0, 1),
            false => (
                start[a],
                v.shape()[a].saturating_sub(start[a] + x.shape()[a]),
            ),
        };
        let (front, back): (Vec<usize>, Vec<usize>) = (0..v.rank()).map(end).unzip();
        if front.iter().chain(&back).any(|&n| n > 0) {
            let pads = self.lengths(ints(&[front, back].concat()), at);
            name = self.emit("Pad", [name, pads], vec![], at);
        }
        for a in (0..v.rank()).filter(|&a| apart(a)) {
            let n = x.shape()[a];
            let mut index = vec![n; v.shape()[a]];
            for i in 0..n {
                let place = start[a] as isize + i as isize * step[a];
                if let Some(place) = usize::try_from(place).ok().and_then(|p| index.get_mut(p)) {
                    *place = i;
                }
            }
            let index = self.positions(index, [v.shape()[a]], at)?;
            name = self.emit("Gather", [name, index], vec![("axis", Int(a as i64))], at);
        }
        Ok(name)
    }
}

/// The positions that windows see, one window after another.
fn windows(count: usize, size: usize, step: usize, dilation: usize) -> Vec<usize> {
    (0..count)
        .flat_map(|i| (0..size).map(move |k| i * step + k * dilation))
        .collect()
}
