//! Canonicalise: Values → [`Graph`], numbered and free of names, locations and data; and the key
//! under which its Program is kept.

use crate::buffer::Buffer;
use crate::graph::walk::Order;
use crate::graph::{Alias, Kind, Leaf, Movement, Op, Value, structural};
use crate::{DType, Error, Result, Shape};
use smallvec::SmallVec;

/// What is to be computed, as plain data.
#[derive(Clone)]
pub(crate) struct Graph {
    pub nodes: Vec<GraphNode>,
    /// The nodes that are wanted.
    pub roots: Vec<u32>,
    /// Nodes whose arrays are given back too, if they must be in memory anyway: each with the
    /// position of the Value that it stands for.
    pub keep: Vec<(u32, u32)>,
    /// For each term of a sum that is written into one array, and for the sum itself: the sum.
    pub sum: Vec<Option<u32>>,
}

#[derive(Clone)]
pub(crate) struct GraphNode {
    pub op: GraphOp,
    pub inputs: SmallVec<[u32; 4]>,
    pub shape: Shape,
    pub dtype: DType,
    /// The position in the order of Values that it stands for: for error messages.
    pub origin: u32,
}

#[derive(Clone, PartialEq)]
pub(crate) enum GraphOp {
    /// The buffer in an input slot.
    Input(u32),
    /// A number that is part of the structure.
    Full(f64),
    /// A number that each run brings: so that graphs that differ in numbers share a Program.
    Number(u32),
    /// Uniform numbers; each run brings key and position.
    Random(u32),
    Apply(Kind),
}

/// Key and position of an array of random numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stream {
    pub key: u64,
    pub position: u64,
}

/// Of a node of random numbers.
pub(super) fn stream(node: &Value) -> Option<Stream> {
    match node.0.op {
        Op::Leaf(Leaf::Random { key, position }) => Some(Stream { key, position }),
        _ => None,
    }
}

/// What differs between runs of one Program.
#[derive(Default)]
pub(crate) struct Bindings {
    /// The Value behind each input slot.
    pub inputs: Vec<Value>,
    pub numbers: Vec<f64>,
    pub streams: Vec<Stream>,
}

impl Bindings {
    /// The buffers of inputs that are all known.
    pub fn buffers(&self) -> Result<Vec<Buffer>> {
        let known = |v: &Value| {
            v.known().cloned().ok_or_else(|| {
                Error::read(format!(
                    "a number of `{}` was asked for while recording",
                    v.0.op.name()
                ))
            })
        };
        self.inputs.iter().map(known).collect()
    }
}

/// Values numbered for a run.
pub(crate) struct Canonical<'a> {
    pub order: Order<&'a Value>,
    pub bindings: Bindings,
    /// Structure, shapes, dtypes and sharing as words: equal where the Program is.
    pub key: Vec<u64>,
    /// For each position in the order: the position that it is another name of, or itself.
    same: Vec<u32>,
    roots: Vec<u32>,
    /// Positions of nodes that a backward pass may want to read again.
    keep: Vec<u32>,
}

/// Numbers the graph of `roots`; `input` says where it begins. With `keep`, arrays that gradients
/// of trained parameters may need stay with their Values.
pub(crate) fn canonical(
    roots: &[Value],
    keep: bool,
    input: impl Fn(&Value) -> bool,
) -> Canonical<'_> {
    let order = Order::new(roots, &input);
    let n = order.nodes.len();
    let mut c = Canonical {
        bindings: Bindings::default(),
        key: Vec::with_capacity(4 * n + roots.len()),
        same: Vec::with_capacity(n),
        roots: Vec::new(),
        keep: Vec::new(),
        order,
    };
    if keep {
        c.keep = differentiable(&c.order, &input);
    }
    let mut last: Option<(&Shape, DType)> = None;
    for (i, node) in c.order.nodes.iter().enumerate() {
        let key = &mut c.key;
        c.same.push(i as u32);
        if input(node) {
            key.push(1);
            c.bindings.inputs.push((*node).clone());
        } else {
            match &node.0.op {
                Op::Leaf(Leaf::Full(x)) if structural(*x) => key.extend([2, x.to_bits()]),
                Op::Leaf(Leaf::Full(x)) => {
                    key.push(3);
                    c.bindings.numbers.push(*x);
                }
                Op::Leaf(Leaf::Random { .. }) => {
                    key.push(4);
                    c.bindings.streams.extend(stream(node));
                }
                Op::Leaf(_) => {
                    key.push(1);
                    c.bindings.inputs.push((*node).clone());
                }
                Op::Alias(_) => {
                    // Another name of its first input; it computes nothing.
                    let of = node
                        .inputs()
                        .first()
                        .and_then(|x| c.order.position(x))
                        .unwrap_or(i);
                    c.same[i] = c.same[of];
                    continue;
                }
                Op::Apply(kind) => {
                    encode(kind, key);
                    let at = |x: &Value| c.same[c.order.position(x).unwrap_or(i)];
                    positions(node.inputs().iter().map(at), key);
                }
            }
        }
        let same = |(shape, dtype): (&Shape, DType)| {
            dtype == node.dtype()
                && shape.rank() == node.rank()
                && (node.rank() == 0 || shape == node.shape())
        };
        if !last.is_some_and(same) {
            key.push((node.rank() as u64) << 16 | (node.dtype() as u64) << 8 | 0xfe);
            key.extend(node.shape().iter().map(|&d| d as u64));
            last = Some((node.shape(), node.dtype()));
        }
    }
    for root in roots {
        let at = c.order.position(root).map_or(0, |i| c.same[i]);
        c.key.push(u64::from(at) << 8 | 0xfd);
        c.roots.push(at);
    }
    if !c.keep.is_empty() {
        c.key.push(0xfc);
        c.key.extend(c.keep.iter().map(|&i| u64::from(i)));
    }
    c
}

/// Positions of the nodes through which gradients reach a trained parameter.
fn differentiable(order: &Order<&Value>, input: impl Fn(&Value) -> bool) -> Vec<u32> {
    let mut reaches = vec![false; order.nodes.len()];
    let mut kept = Vec::new();
    for (i, node) in order.nodes.iter().enumerate() {
        let trained = match &node.0.op {
            Op::Alias(Alias::Cell(cell)) => cell.upgrade().is_some_and(|c| c.trainable),
            // Computed before: what it was computed from is not looked at again.
            _ => input(node) && !node.inputs().is_empty(),
        };
        let mut inputs = node.inputs().iter().filter_map(|x| order.position(x));
        let passes = node.dtype().is_float() && !node.0.frozen;
        reaches[i] = passes && (trained || inputs.any(|k| reaches[k]));
        if reaches[i] && matches!(node.0.op, Op::Apply(_)) && !input(node) {
            kept.push(i as u32);
        }
    }
    kept
}

/// A kind as words; the lowest byte of the first one names it.
pub(super) fn encode(kind: &Kind, key: &mut Vec<u64>) {
    match kind {
        // In one word, as most nodes of most graphs: addresses have less than 56 bits.
        Kind::Map(row) => key.push((row.0 as *const _ as u64) << 8 | 16),
        Kind::Cast => key.push(17),
        Kind::Reduce(r, axes) => key.extend([18, *r as u64, *axes]),
        Kind::ArgReduce(e, axis) => key.extend([19, *e as u64, *axis as u64]),
        Kind::MatMul => key.push(20),
        Kind::Gather(axis) => key.extend([21, *axis as u64]),
        Kind::ScatterAdd(axis) => key.extend([22, *axis as u64]),
        Kind::CumSum { axis, reverse } => key.extend([23, *axis as u64, u64::from(*reverse)]),
        Kind::ArgSort { axis, descending } => {
            key.extend([24, *axis as u64, u64::from(*descending)])
        }
        Kind::Concat(axis) => key.extend([25, *axis as u64]),
        Kind::Move(m) => match &**m {
            Movement::Reshape => key.push(26),
            Movement::Expand => key.push(27),
            Movement::Permute(p) => {
                key.push(28);
                key.extend(p.iter().map(|&a| a as u64));
            }
            Movement::Slice { start, step } | Movement::Embed { start, step } => {
                key.push(if matches!(**m, Movement::Slice { .. }) {
                    29
                } else {
                    30
                });
                key.extend(start.iter().map(|&a| a as u64));
                key.extend(step.iter().map(|&a| a as u64));
            }
            Movement::Window {
                axis,
                size,
                step,
                dilation,
            }
            | Movement::Fold {
                axis,
                size,
                step,
                dilation,
            } => {
                key.push(if matches!(**m, Movement::Window { .. }) {
                    31
                } else {
                    32
                });
                key.extend([*axis as u64, *size as u64, *step as u64, *dilation as u64]);
            }
        },
    }
}

/// The positions of a node's inputs as words of a key: those of two in one word, if it has room.
pub(super) fn positions(mut inputs: impl Iterator<Item = u32>, key: &mut Vec<u64>) {
    let one = |at: u32| u64::from(at) << 8 | 0xff;
    while let Some(a) = inputs.next() {
        match inputs.next() {
            Some(b) if (a | b) >> 28 == 0 => {
                key.push(u64::from(a) << 36 | u64::from(b) << 8 | 0xfb);
            }
            Some(b) => key.extend([one(a), one(b)]),
            None => key.push(one(a)),
        }
    }
}

impl Canonical<'_> {
    /// The graph as plain data; made only when no Program is kept under the key.
    pub fn graph(&self, input: impl Fn(&Value) -> bool) -> Graph {
        let (mut slots, mut numbers, mut streams) = (0u32, 0u32, 0u32);
        let mut number = vec![0u32; self.order.nodes.len()];
        let mut nodes: Vec<GraphNode> = Vec::with_capacity(self.order.nodes.len());
        for (i, node) in self.order.nodes.iter().enumerate() {
            let next = |counter: &mut u32| {
                *counter += 1;
                *counter - 1
            };
            let op = match &node.0.op {
                _ if input(node) => GraphOp::Input(next(&mut slots)),
                Op::Leaf(Leaf::Full(x)) if structural(*x) => GraphOp::Full(*x),
                Op::Leaf(Leaf::Full(_)) => GraphOp::Number(next(&mut numbers)),
                Op::Leaf(Leaf::Random { .. }) => GraphOp::Random(next(&mut streams)),
                Op::Leaf(_) => GraphOp::Input(next(&mut slots)),
                Op::Alias(_) => {
                    number[i] = number[self.same[i] as usize];
                    continue;
                }
                Op::Apply(kind) => GraphOp::Apply(kind.clone()),
            };
            let position = |x: &Value| self.order.position(x).map_or(0, |k| number[k]);
            let inputs = match op {
                GraphOp::Apply(_) => node.inputs().iter().map(position).collect(),
                _ => SmallVec::new(),
            };
            number[i] = nodes.len() as u32;
            let (shape, dtype) = (node.shape().clone(), node.dtype());
            nodes.push(GraphNode {
                op,
                inputs,
                shape,
                dtype,
                origin: i as u32,
            });
        }
        let roots = self.roots.iter().map(|&r| number[r as usize]).collect();
        let keep = self.keep.iter().map(|&i| (number[i as usize], i)).collect();
        let sum = vec![None; nodes.len()];
        Graph {
            nodes,
            roots,
            keep,
            sum,
        }
    }
}
