//! Simplify: Graph → Graph with the same meaning. The only pass but `pairs.rs` that names individual operations.
//!
//! One walk in topological order. Each node is rewritten by the rules below, then merged with an
//! equal one that was met before (common subexpressions). What no root needs is dropped.
//! `x * 0 -> 0` is not among the rules: it is wrong for infinities.

use super::cache::{Identity, Mixer};
use super::graph::{Graph, GraphNode, GraphOp};
use crate::graph::{Kind, Movement, RowRef};
use crate::ops::pointwise as row;
use crate::{DType, Shape};
use smallvec::SmallVec;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hash, Hasher};

/// A graph with the same roots, simplified.
pub(crate) fn simplify(graph: &Graph) -> Graph {
    let uses = uses(&graph.nodes, &graph.roots);
    let mut out = Builder::default();
    let mut new: Vec<u32> = Vec::with_capacity(graph.nodes.len());
    for node in &graph.nodes {
        let mut node = node.clone();
        node.inputs.iter_mut().for_each(|i| *i = new[*i as usize]);
        let once = node
            .inputs
            .first()
            .zip(graph.nodes[new.len()].inputs.first());
        out.only_use = once
            .filter(|(_, old)| uses[**old as usize] == 1)
            .map(|(new, _)| *new);
        new.push(out.add(node));
    }
    let roots: Vec<u32> = graph.roots.iter().map(|&r| new[r as usize]).collect();
    let keep = graph
        .keep
        .iter()
        .map(|&(i, value)| (new[i as usize], value))
        .collect();
    prune(out.nodes, roots, keep)
}

/// Only what the roots need, numbered again in the same order.
fn prune(nodes: Vec<GraphNode>, roots: Vec<u32>, mut keep: Vec<(u32, u32)>) -> Graph {
    let mut needed = vec![false; nodes.len()];
    roots.iter().for_each(|&r| needed[r as usize] = true);
    for i in (0..nodes.len()).rev() {
        if needed[i] {
            nodes[i]
                .inputs
                .iter()
                .for_each(|&k| needed[k as usize] = true);
        }
    }
    let mut new = vec![0u32; nodes.len()];
    let mut kept: Vec<GraphNode> = Vec::new();
    for (i, mut node) in nodes.into_iter().enumerate().filter(|(i, _)| needed[*i]) {
        node.inputs.iter_mut().for_each(|k| *k = new[*k as usize]);
        new[i] = kept.len() as u32;
        kept.push(node);
    }
    keep.retain(|&(i, _)| needed[i as usize]);
    keep.iter_mut().for_each(|(i, _)| *i = new[*i as usize]);
    let roots: Vec<u32> = roots.iter().map(|&r| new[r as usize]).collect();
    Graph {
        sum: sums(&kept, &roots),
        nodes: kept,
        keep,
        roots,
    }
}

/// How often each node is an input or a root.
fn uses(nodes: &[GraphNode], roots: &[u32]) -> Vec<u32> {
    let mut uses = vec![0u32; nodes.len()];
    let inputs = nodes.iter().flat_map(|n| &n.inputs);
    inputs.chain(roots).for_each(|&i| uses[i as usize] += 1);
    uses
}

#[derive(Default)]
struct Builder {
    nodes: Vec<GraphNode>,
    /// Nodes by the hash of what they are.
    seen: HashMap<u64, SmallVec<[u32; 4]>, BuildHasherDefault<Identity>>,
    /// The first operand of the node being added, if nothing else uses it.
    only_use: Option<u32>,
}

impl Builder {
    /// Adds a node, or finds what it comes to.
    fn add(&mut self, node: GraphNode) -> u32 {
        if let Some(same) = self.rewrite(&node) {
            return same;
        }
        let mut h = Mixer::default();
        match &node.op {
            GraphOp::Input(s) | GraphOp::Number(s) | GraphOp::Random(s) => s.hash(&mut h),
            GraphOp::Full(x) => x.to_bits().hash(&mut h),
            GraphOp::Apply(kind) => kind.hash(&mut h),
        }
        std::mem::discriminant(&node.op).hash(&mut h);
        node.inputs.hash(&mut h);
        node.shape.hash(&mut h);
        node.dtype.hash(&mut h);
        let slot = self.seen.entry(h.finish()).or_default();
        let equal = |k: &&u32| {
            let other = &self.nodes[**k as usize];
            other.op == node.op
                && other.inputs == node.inputs
                && other.shape == node.shape
                && other.dtype == node.dtype
        };
        if let Some(&same) = slot.iter().find(equal) {
            return same;
        }
        let at = self.nodes.len() as u32;
        slot.push(at);
        self.nodes.push(node);
        at
    }

    fn full(&self, i: u32) -> Option<f64> {
        match self.nodes[i as usize].op {
            GraphOp::Full(x) => Some(x),
            _ => None,
        }
    }

    fn is_leaf_number(&self, i: u32) -> bool {
        matches!(
            self.nodes[i as usize].op,
            GraphOp::Full(_) | GraphOp::Number(_)
        )
    }

    fn make(&mut self, like: &GraphNode, op: GraphOp, inputs: &[u32]) -> u32 {
        let inputs = SmallVec::from_slice(inputs);
        self.add(GraphNode {
            op,
            inputs,
            ..like.clone()
        })
    }

    fn map(&mut self, like: &GraphNode, row: &'static crate::Row, inputs: &[u32]) -> u32 {
        self.make(like, GraphOp::Apply(Kind::Map(RowRef(row))), inputs)
    }

    /// The rules, one a line where they fit.
    fn rewrite(&mut self, node: &GraphNode) -> Option<u32> {
        let GraphOp::Apply(kind) = &node.op else {
            return None;
        };
        let i = &node.inputs;
        match kind {
            Kind::Map(r) => self.rewrite_row(r.0, node),
            Kind::Cast => match &self.nodes[i[0] as usize].op {
                // A cast of a number is that number in the other dtype (constructors cast it).
                _ if self.nodes[i[0] as usize].dtype == node.dtype => Some(i[0]),
                _ => None,
            },
            Kind::Move(m) => self.rewrite_movement(m, node),
            Kind::MatMul => self.rewrite_product(node),
            _ => None,
        }
    }

    /// A product over a depth of 1 with single numbers, or with the same number everywhere, is elementwise.
    /// (Gradients of sums come so.)
    fn rewrite_product(&mut self, node: &GraphNode) -> Option<u32> {
        let column = node.shape.rank() - 1;
        let depth = self.nodes[node.inputs[0] as usize].shape[column];
        let single = node.shape[column].min(node.shape[column - 1]) == 1;
        let number = node.inputs.iter().any(|&i| self.is_leaf_number(i));
        if depth != 1 || !single && !number {
            return None;
        }
        let expand = GraphOp::Apply(Movement::Expand.into());
        let factors: SmallVec<[u32; 2]> = node
            .inputs
            .iter()
            .map(|&i| self.make(node, expand.clone(), &[i]))
            .collect();
        Some(self.map(node, &row::mul::ROW, &factors))
    }

    /// The node that `i` is the negative of.
    fn negated(&self, i: u32) -> Option<u32> {
        let node = &self.nodes[i as usize];
        matches!(&node.op, GraphOp::Apply(Kind::Map(r)) if std::ptr::eq(r.0, &row::neg::ROW))
            .then(|| node.inputs[0])
    }

    fn rewrite_row(&mut self, r: &'static crate::Row, node: &GraphNode) -> Option<u32> {
        let is = |other: &'static crate::Row| std::ptr::eq(r, other);
        let i = node.inputs.clone();
        let value = |k: usize| i.get(k).and_then(|&n| self.full(n));
        let (a, b) = (value(0), value(1));
        // f(numbers) -> number, where it is again one of the structural ones.
        let numbers: Option<Vec<f64>> = i.iter().map(|&n| self.full(n)).collect();
        if let Some(numbers) = numbers {
            let y = r.exact(&numbers);
            if node.dtype.is_float() && (y.fract() == 0.0 && y.abs() < 1e6) {
                return Some(self.make(node, GraphOp::Full(y), &[]));
            }
        }
        if node.shape.elements() > 1 && i.iter().all(|&n| self.is_leaf_number(n)) {
            return Some(self.number_row(node));
        }
        let whole_number = node.dtype == DType::U8;
        match () {
            _ if is(&row::add::ROW) && b == Some(0.0) => Some(i[0]), // x + 0 -> x
            _ if is(&row::add::ROW) && a == Some(0.0) => Some(i[1]), // 0 + x -> x
            _ if is(&row::sub::ROW) && b == Some(0.0) => Some(i[0]), // x - 0 -> x
            _ if is(&row::sub::ROW) && a == Some(0.0) => {
                Some(self.map(node, &row::neg::ROW, &i[1..]))
            } // 0 - x -> -x
            _ if is(&row::mul::ROW) && b == Some(1.0) => Some(i[0]), // x * 1 -> x
            _ if is(&row::mul::ROW) && a == Some(1.0) => Some(i[1]), // 1 * x -> x
            _ if is(&row::mul::ROW) && b == Some(-1.0) && !whole_number => {
                Some(self.map(node, &row::neg::ROW, &i[..1])) // x * -1 -> -x
            }
            _ if is(&row::mul::ROW) && a == Some(-1.0) && !whole_number => {
                Some(self.map(node, &row::neg::ROW, &i[1..])) // -1 * x -> -x
            }
            _ if is(&row::div::ROW) && b == Some(1.0) => Some(i[0]), // x / 1 -> x
            _ if is(&row::neg::ROW) => self.negated(i[0]),           // -(-x) -> x
            _ if is(&row::pow::ROW) && b == Some(1.0) => Some(i[0]), // x^1 -> x
            _ if is(&row::pow::ROW) && b == Some(0.0) => {
                Some(self.make(node, GraphOp::Full(1.0), &[]))
            } // x^0 -> 1
            _ if is(&row::pow::ROW) && b == Some(2.0) => {
                Some(self.map(node, &row::mul::ROW, &[i[0], i[0]])) // x^2 -> x * x
            }
            _ if is(&row::pow::ROW) && b == Some(3.0) => {
                let square = self.map(node, &row::mul::ROW, &[i[0], i[0]]);
                Some(self.map(node, &row::mul::ROW, &[square, i[0]])) // x^3 -> x * x * x
            }
            _ if is(&row::pow::ROW) && b == Some(-1.0) => {
                let one = self.make(node, GraphOp::Full(1.0), &[]);
                Some(self.map(node, &row::div::ROW, &[one, i[0]])) // x^-1 -> 1 / x
            }
            _ if is(&row::select::ROW) && i[1] == i[2] => Some(i[1]), // c ? x : x -> x
            _ if is(&row::sub::ROW) => {
                let y = self.negated(i[1])?;
                Some(self.map(node, &row::add::ROW, &[i[0], y])) // x - -y -> x + y
            }
            _ if is(&row::add::ROW) => match (self.negated(i[0]), self.negated(i[1])) {
                (_, Some(y)) => Some(self.map(node, &row::sub::ROW, &[i[0], y])), // x + -y -> x - y
                (Some(x), _) => Some(self.map(node, &row::sub::ROW, &[i[1], x])), // -x + y -> y - x
                _ => self.side_by_side(i[0], i[1]),
            },
            _ => None,
        }
    }

    /// A function of numbers is computed once, whatever its shape.
    fn number_row(&mut self, node: &GraphNode) -> u32 {
        let numbers: SmallVec<[u32; 4]> = node
            .inputs
            .iter()
            .map(|&n| {
                let number = self.nodes[n as usize].clone();
                self.at_shape(&number, Shape::scalar(), number.op.clone(), &[])
            })
            .collect();
        let y = self.at_shape(node, Shape::scalar(), node.op.clone(), &numbers);
        let ones = node.shape.iter().map(|_| 1).collect();
        let moved = |m: Movement| GraphOp::Apply(m.into());
        let y = self.at_shape(node, ones, moved(Movement::Reshape), &[y]);
        self.at_shape(node, node.shape.clone(), moved(Movement::Expand), &[y])
    }

    fn at_shape(&mut self, like: &GraphNode, shape: Shape, op: GraphOp, inputs: &[u32]) -> u32 {
        let inputs = SmallVec::from_slice(inputs);
        self.add(GraphNode {
            op,
            inputs,
            shape,
            ..like.clone()
        })
    }

    /// Zeros with x in one stretch of an axis, and zeros with y in the next: x and y end to end.
    /// (Gradients of the parts of an array come so.)
    fn side_by_side(&mut self, a: u32, b: u32) -> Option<u32> {
        let (first, second) = (self.stretch(a)?, self.stretch(b)?);
        let (first, second) = match first.start < second.start {
            true => (first, second),
            false => (second, first),
        };
        if first.axis != second.axis || first.start + first.len != second.start {
            return None;
        }
        let (axis, whole) = (first.axis, self.nodes[a as usize].clone());
        let parts: SmallVec<[u32; 4]> = [first.source, second.source]
            .into_iter()
            .flat_map(|k| match &self.nodes[k as usize] {
                n if n.op == GraphOp::Apply(Kind::Concat(axis)) => n.inputs.to_vec(),
                _ => vec![k],
            })
            .collect();
        let len = first.len + second.len;
        let shape = whole.shape.with(axis, len);
        let joined = self.at_shape(&whole, shape, GraphOp::Apply(Kind::Concat(axis)), &parts);
        if len == whole.shape[axis] {
            return Some(joined);
        }
        let mut start: SmallVec<[usize; 4]> = SmallVec::from_elem(0, whole.shape.rank());
        start[axis] = first.start;
        let step = SmallVec::from_elem(1, whole.shape.rank());
        let embed = GraphOp::Apply(Movement::Embed { start, step }.into());
        Some(self.at_shape(&whole, whole.shape.clone(), embed, &[joined]))
    }

    /// Where a node is zeros with another one in a stretch of one axis.
    fn stretch(&self, i: u32) -> Option<Stretch> {
        let node = &self.nodes[i as usize];
        let GraphOp::Apply(Kind::Move(movement)) = &node.op else {
            return None;
        };
        let Movement::Embed { start, step } = &**movement else {
            return None;
        };
        let source = node.inputs[0];
        let part = &self.nodes[source as usize].shape;
        let differs = |a: &usize| part[*a] != node.shape[*a];
        let mut axes = (0..part.rank()).filter(differs);
        let (axis, None) = (axes.next()?, axes.next()) else {
            return None;
        };
        step.iter().all(|&s| s == 1).then_some(Stretch {
            source,
            axis,
            start: start[axis],
            len: part[axis],
        })
    }

    fn rewrite_movement(&mut self, m: &Movement, node: &GraphNode) -> Option<u32> {
        let from = node.inputs[0];
        let source = self.nodes[from as usize].clone();
        if self.is_leaf_number(from) && !matches!(m, Movement::Embed { .. } | Movement::Fold { .. })
        {
            // The same number everywhere, in another shape.
            return Some(self.make(node, source.op, &[]));
        }
        if source.shape == node.shape && matches!(m, Movement::Reshape | Movement::Expand) {
            return Some(from);
        }
        if let (Movement::Permute(p), GraphOp::Apply(Kind::MatMul)) = (m, &source.op)
            && is_transpose(p)
            && self.only_use == Some(from)
        {
            return Some(self.transposed_product(p, &source));
        }
        let GraphOp::Apply(Kind::Move(inner)) = &source.op else {
            return None;
        };
        let once =
            |b: &mut Builder, m: Movement| b.make(node, GraphOp::Apply(m.into()), &source.inputs);
        match (m, &**inner) {
            (Movement::Reshape, Movement::Reshape) => Some(once(self, Movement::Reshape)),
            (Movement::Expand, Movement::Expand) => Some(once(self, Movement::Expand)),
            (Movement::Permute(p), Movement::Permute(q)) => {
                let both: SmallVec<[usize; 4]> = p.iter().map(|&a| q[a]).collect();
                match both.iter().enumerate().all(|(i, &a)| i == a) {
                    true => Some(source.inputs[0]),
                    false => Some(once(self, Movement::Permute(both))),
                }
            }
            _ => None,
        }
    }

    /// (a b)ᵀ -> bᵀ aᵀ: the product is written as it will be read.
    fn transposed_product(&mut self, p: &SmallVec<[usize; 4]>, product: &GraphNode) -> u32 {
        let mut transposed = |i: u32| {
            let factor = self.nodes[i as usize].clone();
            let shape = p.iter().map(|&a| factor.shape[a]).collect();
            let op = GraphOp::Apply(Movement::Permute(p.clone()).into());
            self.add(GraphNode {
                op,
                inputs: SmallVec::from_slice(&[i]),
                shape,
                ..factor
            })
        };
        let inputs = [transposed(product.inputs[1]), transposed(product.inputs[0])];
        let shape = p.iter().map(|&a| product.shape[a]).collect();
        self.add(GraphNode {
            inputs: SmallVec::from_slice(&inputs),
            shape,
            ..product.clone()
        })
    }
}

/// Sums of products, and of arrays that are zero but for some places (gradients of slices and
/// windows), are written term after term into one array. For each such term, and each sum: the
/// outermost sum.
fn sums(nodes: &[GraphNode], roots: &[u32]) -> Vec<Option<u32>> {
    let uses = uses(nodes, roots);
    let mut is_term = vec![false; nodes.len()];
    let mut sum = vec![None; nodes.len()];
    for (i, node) in nodes.iter().enumerate() {
        is_term[i] = match &node.op {
            GraphOp::Apply(Kind::Move(m)) => m.writes(),
            GraphOp::Apply(Kind::MatMul) => true,
            GraphOp::Apply(Kind::Map(r)) if std::ptr::eq(r.0, &row::add::ROW) => {
                let mut terms = node.inputs.iter().map(|&k| k as usize);
                terms.all(|k| is_term[k] && uses[k] == 1)
            }
            _ => false,
        };
    }
    for (i, node) in nodes.iter().enumerate().rev() {
        if is_term[i] && matches!(node.op, GraphOp::Apply(Kind::Map(_))) {
            let outermost = *sum[i].get_or_insert(i as u32);
            node.inputs
                .iter()
                .for_each(|&k| sum[k as usize] = Some(outermost));
        }
    }
    sum
}

/// A stretch of an axis that holds another array.
struct Stretch {
    source: u32,
    axis: usize,
    start: usize,
    len: usize,
}

/// Whether a permutation exchanges the last two axes and nothing else.
fn is_transpose(p: &[usize]) -> bool {
    let n = p.len();
    n >= 2 && p[n - 2..] == [n - 1, n - 2] && p[..n - 2].iter().enumerate().all(|(i, &a)| i == a)
}
