//! What an ONNX file holds, and its bytes. Fields and numbers are those of `onnx.proto`
//! (<https://github.com/onnx/onnx>).

use crate::dtype::Data;
use crate::protobuf::Message;
use crate::{Caller, DType, Value};
use std::collections::{HashMap, HashSet};

/// Versions of the format and of the operators: those of ONNX 1.13, the first where all reductions
/// take their axes alike.
const IR_VERSION: i64 = 8;
const OPERATORS: i64 = 18;

/// A model: its nodes, in an order in which inputs come before their users.
#[derive(Default)]
pub(super) struct Model {
    pub nodes: Vec<Node>,
    pub constants: Vec<Constant>,
    pub inputs: Vec<Port>,
    pub outputs: Vec<Port>,
}

/// An operator applied.
pub(super) struct Node {
    pub operator: &'static str,
    /// Names; an optional input that is left out is empty.
    pub inputs: Vec<String>,
    pub outputs: Vec<String>,
    pub attributes: Vec<(&'static str, Attribute)>,
    /// The line that wrote it.
    pub at: Caller,
}

#[derive(PartialEq)]
pub(super) enum Attribute {
    Int(i64),
    Ints(Vec<i64>),
    Text(&'static str),
}

/// What ONNX calls an initializer.
pub(super) struct Constant {
    pub name: String,
    pub content: Content,
    pub at: Caller,
}

pub(super) enum Content {
    /// A Value that is computed.
    Array(Value),
    /// Lengths of axes or positions on them: these may depend on the extent of the batch.
    Lengths(Vec<i64>),
}

/// An input or an output of the model.
pub(super) struct Port {
    pub name: String,
    pub dtype: DType,
    /// `None` where an extent is not fixed; then it is the batch's, if it is the first.
    pub shape: Vec<Option<usize>>,
}

/// The extent of the batch, where it is not fixed.
const BATCH: &str = "batch";

/// The number of a dtype (`TensorProto.DataType`).
pub(super) fn number(dtype: DType) -> i64 {
    match dtype {
        DType::F32 => 1,
        DType::U8 => 2,
        DType::I64 => 7,
        DType::Bool => 9,
        DType::F64 => 11,
    }
}

impl Model {
    /// Leaves out what no output needs.
    pub fn prune(&mut self) {
        let mut needed: HashSet<String> = self.outputs.iter().map(|o| o.name.clone()).collect();
        let mut nodes: Vec<Node> = std::mem::take(&mut self.nodes);
        nodes.reverse();
        nodes.retain(|node| {
            let keep = node.outputs.iter().any(|name| needed.contains(name));
            if keep {
                needed.extend(node.inputs.iter().cloned());
            }
            keep
        });
        nodes.reverse();
        self.nodes = nodes;
        self.constants.retain(|c| needed.contains(&c.name));
    }

    /// Gives the values that nodes make other names.
    pub fn rename(&mut self, names: &HashMap<String, String>) {
        let all = |n: &mut Node| {
            n.inputs.iter_mut().chain(&mut n.outputs).for_each(|name| {
                if let Some(new) = names.get(name) {
                    name.clone_from(new);
                }
            })
        };
        self.nodes.iter_mut().for_each(all);
    }

    /// As a file.
    pub fn bytes(&self, metadata: &[(String, String)]) -> Vec<u8> {
        let mut graph = Message::default();
        for node in &self.nodes {
            graph = graph.message(1, &node.message());
        }
        graph = graph.bytes(2, "toygrad");
        for constant in &self.constants {
            graph = graph.message(5, &constant.message());
        }
        for input in &self.inputs {
            graph = graph.message(11, &input.message());
        }
        for output in &self.outputs {
            graph = graph.message(12, &output.message());
        }
        let mut model = Message::default()
            .int(1, IR_VERSION)
            .bytes(2, "toygrad")
            .bytes(3, env!("CARGO_PKG_VERSION"))
            .message(7, &graph)
            .message(8, &Message::default().bytes(1, "").int(2, OPERATORS));
        for (key, text) in metadata {
            model = model.message(14, &Message::default().bytes(1, key).bytes(2, text));
        }
        model.0
    }
}

impl Node {
    fn message(&self) -> Message {
        let mut node = Message::default();
        for name in &self.inputs {
            node = node.bytes(1, name);
        }
        for name in &self.outputs {
            node = node.bytes(2, name);
        }
        // A node is called as what it makes.
        node = node
            .bytes(3, self.outputs.first().map_or("", |name| name))
            .bytes(4, self.operator);
        for (name, attribute) in &self.attributes {
            let message = Message::default().bytes(1, name);
            let message = match attribute {
                Attribute::Int(n) => message.int(3, *n).int(20, 2),
                Attribute::Text(text) => message.bytes(4, text).int(20, 3),
                Attribute::Ints(all) => all.iter().fold(message, |m, &n| m.int(8, n)).int(20, 7),
            };
            node = node.message(5, &message);
        }
        node
    }
}

impl Constant {
    fn message(&self) -> Message {
        let (dims, dtype, bytes) = match &self.content {
            Content::Lengths(all) => (
                vec![all.len()],
                DType::I64,
                raw(&Data::I64(all.clone().into())),
            ),
            Content::Array(value) => {
                let bytes = value.known().map(|data| raw(data)).unwrap_or_default();
                (value.shape().to_vec(), value.dtype(), bytes)
            }
        };
        dims.iter()
            .fold(Message::default(), |m, &d| m.int(1, d as i64))
            .int(2, number(dtype))
            .bytes(8, &self.name)
            .bytes(9, bytes)
    }
}

/// Elements as bytes.
fn raw(data: &Data) -> Vec<u8> {
    match data {
        Data::U8(v) => v.to_vec(),
        Data::I64(v) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
        Data::F32(v) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
        Data::F64(v) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
    }
}

impl Port {
    fn message(&self) -> Message {
        let mut shape = Message::default();
        for (axis, extent) in self.shape.iter().enumerate() {
            let dim = match extent {
                Some(n) => Message::default().int(1, *n as i64),
                None if axis == 0 => Message::default().bytes(2, BATCH),
                None => Message::default(),
            };
            shape = shape.message(1, &dim);
        }
        let tensor = Message::default()
            .int(1, number(self.dtype))
            .message(2, &shape);
        Message::default()
            .bytes(1, &self.name)
            .message(2, &Message::default().message(1, &tensor))
    }
}
