//! ONNX: a function of Values as a model that other runtimes run.
//!
//! The function is recorded with placeholders, as [`compile`](crate::compile) does, and its graph
//! lowered kind by kind (`lower.rs`); what a row of the table becomes, the row says.

mod lower;
mod model;
mod patterns;

use crate::api::parameter::Parameter;
use crate::api::trace::{Trace, Tree, trace};
use crate::graph::build::failed;
use crate::{Caller, DType, Error, Result, Shape, Value};
use lower::Lowering;
use model::{Attribute, Constant, Content, Model, Node, Port};
use std::collections::{HashMap, HashSet};
use std::panic::Location;

/// How a function is exported to ONNX.
#[derive(Clone, Debug, Default)]
pub struct OnnxOptions {
    /// Names of the inputs, in order; one that has none is `input`, or `input_0`, `input_1`, ...
    /// of several.
    pub inputs: Vec<String>,
    /// Names of the outputs; one that has none is `output`, or `output_0`, `output_1`, ...
    pub outputs: Vec<String>,
    /// Whether the extent of the first axis of all inputs, the batch, is left open. The function
    /// is recorded with two extents; it is an error where it depends on them in another way than
    /// through lengths of axes that are multiples of them.
    pub dynamic_batch: bool,
    /// Texts about the model, each with a key.
    pub metadata: Vec<(String, String)>,
}

/// A function of Values as the bytes of an ONNX file (operators of version 18), for runtimes that
/// have no toygrad. The arguments say the shapes and dtypes of the inputs; their elements are not
/// looked at. Parameters that `state` has (a module's `state_dict`) keep their names. What does not
/// depend on arguments or parameters is computed and becomes constants.
///
/// `io::export_onnx` writes a file, of a model in evaluation mode.
///
/// ```
/// use toygrad::prelude::*;
/// use toygrad::{OnnxOptions, to_onnx};
/// let w = Parameter::new([1.0, 2.0]);
/// let state = [(String::from("w"), w.clone())];
/// let f = |x: Value| (x * &w).sin();
/// let bytes = to_onnx(f, Value::from([0.5, 0.5]), &state, &OnnxOptions::default())?;
/// assert!(!bytes.is_empty());
/// # Ok::<(), toygrad::Error>(())
/// ```
///
/// # Errors
/// The first mistake in the arguments or in what the function records; an operation that ONNX does
/// not have (random numbers, a few special functions), with the line that wrote it; a function that
/// updates parameters; two things of one name.
#[track_caller]
pub fn to_onnx<A: Tree, R: Tree>(
    forward: impl Fn(A) -> R,
    arguments: A,
    state: &[(String, Parameter)],
    options: &OnnxOptions,
) -> Result<Vec<u8>> {
    let at = Location::caller();
    let pattern = arguments.pattern();
    let mut values = Vec::new();
    arguments.leaves(&mut values);
    if let Some(e) = failed(&values).as_ref().and_then(Value::error) {
        return Err(e.clone());
    }
    // A parameter of two names has the first.
    let mut names = HashMap::new();
    for (name, p) in state {
        names.entry(p.id()).or_insert_with(|| name.clone());
    }
    let build = |batch: Option<usize>| {
        let signature = |v: &Value| {
            let fixed = v.shape().clone();
            let shape = match (batch, v.rank()) {
                (Some(n), 1..) => fixed.with(0, n),
                _ => fixed,
            };
            (shape, v.dtype())
        };
        let arguments: Vec<(Shape, DType)> = values.iter().map(signature).collect();
        let (traced, _) = trace(&forward, &pattern, &arguments, at)?;
        lowered(traced, &arguments, &names, options)
    };
    let model = match options.dynamic_batch {
        false => build(None)?,
        true => {
            let extents = values.iter().filter_map(|v| v.shape().first());
            let extents: HashSet<&usize> = extents.collect();
            if extents.len() != 1 {
                return Err(Error::argument(format!(
                    "a batch is the first axis of all inputs, not {extents:?}"
                )));
            }
            // Two that are no usual length of another axis.
            let [few, many] = [17, 19];
            open(build(Some(few))?, build(Some(many))?, [few, many])?
        }
    };
    let bytes = model.bytes(&options.metadata);
    match bytes.len() < 1 << 31 {
        true => Ok(bytes),
        false => Err(Error::argument(format!(
            "an ONNX file holds less than 2 GiB, not {} bytes",
            bytes.len()
        ))),
    }
}

/// The names of so many inputs or outputs.
fn ports(given: &[String], word: &str, count: usize) -> Vec<String> {
    let name = |i: usize| match given.get(i) {
        Some(name) => name.clone(),
        None if count == 1 => word.to_string(),
        None => format!("{word}_{i}"),
    };
    (0..count).map(name).collect()
}

/// The model of what was recorded.
#[track_caller]
fn lowered(
    traced: Trace,
    arguments: &[(Shape, DType)],
    state: &HashMap<u64, String>,
    options: &OnnxOptions,
) -> Result<Model> {
    for (parameter, value) in &traced.touched {
        if !value.is(&parameter.value()) {
            return Err(Error::argument(format!(
                "an ONNX model has no state, but the function updates {}; `eval` keeps layers \
                 from doing so",
                parameter.name()
            )));
        }
    }
    let roots = traced.results;
    if let Some(e) = failed(&roots).as_ref().and_then(Value::error) {
        return Err(e.clone());
    }
    let inputs = ports(&options.inputs, "input", arguments.len());
    let outputs = ports(&options.outputs, "output", roots.len());
    let mut reserved = HashSet::new();
    for name in inputs.iter().chain(&outputs).chain(state.values()) {
        if name.is_empty() || !reserved.insert(name.clone()) {
            return Err(Error::argument(format!(
                "{name:?} cannot name several inputs, outputs or parameters, or nothing"
            )));
        }
    }
    let port = |name: String, shape: &Shape, dtype| {
        let shape = shape.iter().map(|&n| Some(n)).collect();
        Port { name, dtype, shape }
    };
    let all = inputs.into_iter().zip(arguments);
    let inputs = all
        .map(|(name, (shape, dtype))| port(name, shape, *dtype))
        .collect();
    let mut lowering = Lowering::new(inputs, reserved, state);
    lowering.graph(&roots)?;
    let mut renamed: HashMap<String, String> = HashMap::new();
    for (root, output) in roots.iter().zip(outputs) {
        let name = lowering.name(root)?;
        let made = |n: &Node| n.outputs.contains(&name);
        match lowering.model.nodes.iter().any(made) && !renamed.contains_key(&name) {
            true => drop(renamed.insert(name, output.clone())),
            // An input or a constant, or the same once more.
            false => lowering.identity(name, output.clone(), root.0.at),
        }
        lowering
            .model
            .outputs
            .push(port(output, root.shape(), root.dtype()));
    }
    let mut model = lowering.model;
    model.rename(&renamed);
    model.prune();
    Ok(model)
}

/// One model of two that were recorded with different extents of the batch.
#[track_caller]
fn open(few: Model, many: Model, extents: [usize; 2]) -> Result<Model> {
    let [n, m] = extents.map(|n| n as i64);
    let depends = |at: Caller| {
        Error::argument(format!(
            "the batch cannot be left open: what {at} records depends on its extent; export with \
             a fixed one"
        ))
    };
    let alike = |(a, b): (&Node, &Node)| {
        a.operator == b.operator
            && a.inputs == b.inputs
            && a.outputs == b.outputs
            && a.attributes == b.attributes
    };
    let mut pairs = few.nodes.iter().zip(&many.nodes);
    if let Some((a, _)) = pairs.find(|&pair| !alike(pair)) {
        return Err(depends(a.at));
    }
    if few.nodes.len() != many.nodes.len() || few.constants.len() != many.constants.len() {
        return Err(Error::argument(
            "the batch cannot be left open: the function records other operations for another one",
        ));
    }
    let mut model = Model {
        inputs: joined(few.inputs, &many.inputs),
        outputs: joined(few.outputs, &many.outputs),
        ..Model::default()
    };
    let first = model.inputs.iter().find(|i| i.shape.first() == Some(&None));
    let first = first.map(|input| input.name.clone()).unwrap_or_default();
    let mut shapes = Shapes {
        first,
        nodes: Vec::new(),
        constants: Vec::new(),
    };
    for (a, b) in few.constants.into_iter().zip(many.constants) {
        let (at, fault) = (a.at, depends(a.at));
        let lengths = match (a.content, b.content) {
            (Content::Array(x), Content::Array(y)) if a.name == b.name && equal(&x, &y) => {
                let content = Content::Array(x);
                model.constants.push(Constant {
                    name: a.name,
                    content,
                    at,
                });
                continue;
            }
            (Content::Lengths(x), Content::Lengths(y))
                if a.name == b.name && x.len() == y.len() =>
            {
                x.into_iter().zip(y)
            }
            _ => return Err(fault),
        };
        let length = |(x, y): (i64, i64)| match x == y {
            true => Some(Length::Fixed(x)),
            false => (x % n == 0 && x / n * m == y).then_some(Length::Batches(x / n)),
        };
        let lengths: Vec<Length> = lengths.map(length).collect::<Option<_>>().ok_or(fault)?;
        // One length of a reshape may be left to be found out.
        let inferred = |n: &Node| n.operator == "Reshape" && n.attributes.is_empty();
        let mut users = few.nodes.iter().filter(|n| n.inputs.contains(&a.name));
        let inferred = users.all(inferred);
        shapes.add(a.name, lengths, inferred, at);
    }
    model.constants.extend(shapes.constants);
    model.nodes = shapes.nodes.into_iter().chain(few.nodes).collect();
    model.prune();
    Ok(model)
}

/// Ports whose extents are open where they differ.
fn joined(few: Vec<Port>, many: &[Port]) -> Vec<Port> {
    let mut ports = few;
    for (a, b) in ports.iter_mut().zip(many) {
        for (n, m) in a.shape.iter_mut().zip(&b.shape) {
            *n = n.filter(|_| n == m);
        }
    }
    ports
}

/// Whether two constants have the same elements, to the bit.
fn equal(x: &Value, y: &Value) -> bool {
    let bits = |v: &Value| {
        let data = v.known().cloned()?;
        Some((0..data.len()).map(move |i| data.get(i).to_bits()))
    };
    let same = || match (bits(x), bits(y)) {
        (Some(x), Some(y)) => x.eq(y),
        _ => false,
    };
    x.is(y) || (x.shape() == y.shape() && x.dtype() == y.dtype() && same())
}

/// A length of an axis.
#[derive(Clone, Copy, PartialEq)]
enum Length {
    Fixed(i64),
    /// So many times the extent of the batch.
    Batches(i64),
}

/// Lists of lengths, made by nodes where they depend on the batch.
struct Shapes {
    /// An input whose first axis is the batch.
    first: String,
    nodes: Vec<Node>,
    constants: Vec<Constant>,
}

impl Shapes {
    fn node(
        &mut self,
        operator: &'static str,
        inputs: Vec<String>,
        output: String,
        attributes: &[(&'static str, i64)],
        at: Caller,
    ) {
        let attributes = attributes
            .iter()
            .map(|&(name, n)| (name, Attribute::Int(n)));
        self.nodes.push(Node {
            operator,
            inputs,
            outputs: vec![output],
            attributes: attributes.collect(),
            at,
        });
    }

    fn constant(&mut self, name: String, n: Vec<i64>, at: Caller) {
        let content = Content::Lengths(n);
        self.constants.push(Constant { name, content, at });
    }

    /// A list of this name; `inferred` says whether one of them may be left to be found out.
    fn add(&mut self, name: String, lengths: Vec<Length>, inferred: bool, at: Caller) {
        let open = lengths
            .iter()
            .filter(|l| matches!(l, Length::Batches(_)))
            .count();
        let plain = |l: &Length| match l {
            Length::Fixed(n) => *n,
            Length::Batches(_) => -1,
        };
        if open == 0 || (open == 1 && inferred) {
            return self.constant(name, lengths.iter().map(plain).collect(), at);
        }
        let mut parts = Vec::new();
        for (i, length) in lengths.iter().enumerate() {
            let part = format!("{name}/{i}");
            match *length {
                Length::Fixed(n) => self.constant(part.clone(), vec![n], at),
                Length::Batches(times) => {
                    let (extent, factor) = (format!("{part}/batch"), format!("{part}/times"));
                    let ends = [("start", 0), ("end", 1)];
                    self.node("Shape", vec![self.first.clone()], extent.clone(), &ends, at);
                    self.constant(factor.clone(), vec![times], at);
                    self.node("Mul", vec![extent, factor], part.clone(), &[], at);
                }
            }
            parts.push(part);
        }
        self.node("Concat", parts, name, &[("axis", 0)], at);
    }
}
