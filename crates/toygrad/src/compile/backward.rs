//! Programs of backward passes, found by the structure of the forward graph alone: a graph like one
//! that was differentiated before is not differentiated again.

use super::graph::{Bindings, Canonical, encode, positions, stream};
use super::program::Program;
use crate::Shape;
use crate::graph::walk::Order;
use crate::graph::{Alias, Leaf, Op, Value, structural};

/// A graph that is to be differentiated.
pub(crate) struct Forward<'a> {
    pub order: Order<&'a Value>,
    /// All that gradients depend on, but for the numbers.
    pub key: Vec<u64>,
}

impl<'a> Forward<'a> {
    /// The graph of `roots`, down to its leaves; gradients are collected where `trained` holds.
    /// `None` where its structure does not say what its gradients are: it has a rule of the
    /// user's, or a mistake.
    pub fn new(roots: &'a [Value], trained: impl Fn(&Value) -> bool) -> Option<Forward<'a>> {
        let mut key = Vec::new();
        let mut last: Option<(u64, &Shape)> = None;
        let mut says = true;
        let order = Order::visiting(
            roots,
            |_| false,
            |node, inputs| {
                match &node.0.op {
                    Op::Leaf(Leaf::Data) => key.push(1),
                    Op::Leaf(Leaf::Full(x)) if structural(*x) => key.extend([2, x.to_bits()]),
                    Op::Leaf(Leaf::Full(_)) => key.push(3),
                    Op::Leaf(Leaf::Random { .. }) => key.push(4),
                    Op::Leaf(Leaf::Argument(_) | Leaf::Failed(_)) => says = false,
                    Op::Alias(Alias::Detach) => key.push(5),
                    Op::Alias(Alias::Cell(_)) => key.push(6),
                    Op::Alias(Alias::Normalized(n, axes)) => key.extend([7, *n as u64, *axes]),
                    Op::Alias(Alias::Custom(_)) => says = false,
                    Op::Apply(kind) => encode(kind, &mut key),
                }
                positions(inputs, &mut key);
                let flags = [
                    node.known().is_some(),
                    node.0.weak,
                    node.0.frozen,
                    trained(node),
                ];
                let flags = flags
                    .iter()
                    .fold(0, |all, &flag| all << 1 | u64::from(flag));
                let words = [node.rank() as u64, flags, node.dtype() as u64, 0xfe];
                let head = words.iter().fold(0, |all, word| all << 8 | word);
                let same = |(h, shape): (u64, &Shape)| {
                    h == head && (node.rank() == 0 || shape == node.shape())
                };
                if !last.is_some_and(same) {
                    key.push(head);
                    key.extend(node.shape().iter().map(|&d| d as u64));
                    last = Some((head, node.shape()));
                }
            },
        );
        if !says {
            return None;
        }
        for root in roots {
            let at = order.position(root)?;
            key.push((at as u64) << 8 | 0xfd);
        }
        Some(Forward { order, key })
    }
}

/// The Program of a result and its gradients, and where in the forward graph is what it binds.
pub(crate) struct Backward {
    pub program: Program,
    /// The nodes whose gradients are the outputs after the first.
    pub leaves: Vec<u32>,
    inputs: Vec<u32>,
    numbers: Vec<Number>,
    streams: Vec<u32>,
}

/// A number that a Program binds.
enum Number {
    /// Of a node of the forward graph.
    Of(u32),
    /// From a derivative.
    Constant(f64),
}

impl AsRef<Program> for Backward {
    fn as_ref(&self) -> &Program {
        &self.program
    }
}

impl Backward {
    /// `program` computes what `c` numbered. `None` if it binds what is not in the forward graph.
    pub fn new(
        program: Program,
        leaves: Vec<u32>,
        c: &Canonical,
        forward: &Forward,
        input: impl Fn(&Value) -> bool,
    ) -> Option<Backward> {
        let place = |v: &Value| forward.order.position(v).map(|i| i as u32);
        let inputs = c.bindings.inputs.iter().map(place).collect::<Option<_>>()?;
        let (mut numbers, mut streams) = (Vec::new(), Vec::new());
        for node in c.order.nodes.iter().filter(|v| !input(v)) {
            match &node.0.op {
                Op::Leaf(Leaf::Full(x)) if !structural(*x) => {
                    numbers.push(place(node).map_or(Number::Constant(*x), Number::Of));
                }
                Op::Leaf(Leaf::Random { .. }) => streams.push(place(node)?),
                _ => {}
            }
        }
        Some(Backward {
            program,
            leaves,
            inputs,
            numbers,
            streams,
        })
    }

    /// What a run for this graph binds.
    pub fn bindings(&self, forward: &Forward) -> Bindings {
        let node = |i: &u32| forward.order.nodes[*i as usize];
        let number = |n: &Number| match n {
            Number::Of(i) => node(i).as_full().unwrap_or(0.0),
            Number::Constant(x) => *x,
        };
        Bindings {
            inputs: self.inputs.iter().map(|i| node(i).clone()).collect(),
            numbers: self.numbers.iter().map(number).collect(),
            streams: self
                .streams
                .iter()
                .filter_map(|i| stream(node(i)))
                .collect(),
        }
    }
}
