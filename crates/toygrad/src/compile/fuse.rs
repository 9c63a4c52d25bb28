//! Fuse: Graph → kernels over virtual buffers.
//!
//! Nodes are taken in topological order, small ones first when they are ready (they hold up large
//! ones). Kernels are numbered as they are begun, and a node may join a kernel if everything that
//! it needs is made in that kernel or an earlier one: so kernels run in number order and there are
//! no cycles. A pointwise node joins the loop that makes one of its operands; reductions, padding
//! and concatenation are ways in which a loop writes its result. Movement becomes views. What is
//! used only inside its loop never reaches memory.

use super::emit::Emitter;
use super::graph::{Graph, GraphNode, GraphOp};
use super::program::{Output, Program};
use super::view::View;
use crate::graph::{Kind, Movement, Reduction};
use crate::lanes::Level;
use crate::{DType, Shape};
use smallvec::{SmallVec, smallvec};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Pointwise nodes in one loop, at most: registers are to stay in cache.
const LOOP_LIMIT: usize = 256;
/// Arrays of up to so many elements cost less to compute than a kernel costs to start.
const SMALL: usize = 4096;

/// Where a node's elements are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum At {
    /// A number.
    Number,
    /// An input.
    Input,
    /// In a register of this loop (and in memory, if someone else needs it).
    Member(u32),
    /// In memory, after this kernel.
    After(u32),
}

/// A kernel in the making.
pub(crate) struct Cluster {
    /// The index space of a loop; for other kernels that of the result.
    pub shape: Shape,
    pub is_loop: bool,
    /// Nodes that it computes, in order.
    pub members: Vec<u32>,
    /// Results that are written otherwise than element by element.
    pub parts: Vec<Part>,
}

/// How a loop contributes to the array of a node.
pub(crate) struct Part {
    pub node: u32,
    /// What is written.
    pub source: u32,
    /// Where, over the loop's index space, in the node's array.
    pub view: View,
    /// How elements that meet are combined; `None` where none do.
    pub reduction: Option<Reduction>,
}

/// A graph and where everything in it is.
pub(crate) struct Placed {
    pub nodes: Vec<GraphNode>,
    /// The node whose array a node is a view of (itself, where it is no view).
    pub base: Vec<u32>,
    pub view: Vec<View>,
    pub at: Vec<At>,
    pub clusters: Vec<Cluster>,
    /// The newest loop over single numbers.
    scalars: Option<u32>,
}

/// The kernels of a graph, over buffers that are not yet planned.
pub(crate) fn fuse(graph: Graph, level: Level) -> Program {
    let order = schedule(&graph);
    let n = graph.nodes.len();
    let mut p = Placed {
        base: (0..n as u32).collect(),
        view: graph
            .nodes
            .iter()
            .map(|n| View::contiguous(&n.shape))
            .collect(),
        at: vec![At::Number; n],
        nodes: graph.nodes,
        clusters: Vec::new(),
        scalars: None,
    };
    order.into_iter().for_each(|i| p.place(i));
    let roots: Vec<u32> = graph.roots.iter().map(|&r| p.whole(r)).collect();
    let mut emitter = Emitter::new(&p, &roots, level);
    for c in 0..p.clusters.len() as u32 {
        emitter.kernel(c);
    }
    let outputs = roots
        .iter()
        .map(|&r| match &p.nodes[p.base[r as usize] as usize].op {
            GraphOp::Input(slot) => Output::Input(*slot),
            _ => Output::Made {
                n: emitter.output(p.base[r as usize]),
                in_place: None,
            },
        });
    let outputs = outputs.collect();
    emitter.finish(outputs)
}

/// A topological order in which small nodes come as soon as they can; else the graph's own order.
fn schedule(graph: &Graph) -> Vec<u32> {
    let n = graph.nodes.len();
    let small = |i: usize| graph.nodes[i].shape.elements() <= 16;
    if (0..n).all(small) {
        return (0..n as u32).collect();
    }
    let mut users: Vec<SmallVec<[u32; 2]>> = vec![SmallVec::new(); n];
    let mut waits = vec![0u32; n];
    for (i, node) in graph.nodes.iter().enumerate() {
        waits[i] = node.inputs.len() as u32;
        node.inputs
            .iter()
            .for_each(|&k| users[k as usize].push(i as u32));
    }
    let entry = |i: usize| Reverse((!small(i), i as u32));
    let mut ready: BinaryHeap<_> = (0..n).filter(|&i| waits[i] == 0).map(entry).collect();
    let mut order = Vec::with_capacity(n);
    while let Some(Reverse((_, i))) = ready.pop() {
        order.push(i);
        for &user in &users[i as usize] {
            waits[user as usize] -= 1;
            if waits[user as usize] == 0 {
                ready.push(entry(user as usize));
            }
        }
    }
    order
}

impl Placed {
    fn place(&mut self, i: u32) {
        let node = self.nodes[i as usize].clone();
        match &node.op {
            GraphOp::Full(_) | GraphOp::Number(_) => {}
            GraphOp::Input(_) => self.at[i as usize] = At::Input,
            GraphOp::Random(_) => self.own_kernel(i, &node),
            GraphOp::Apply(kind) => match kind {
                Kind::Map(_) | Kind::Cast => self.member(i, &node.shape.clone(), &node.inputs),
                Kind::Reduce(reduction, axes) => {
                    let mut view = View::contiguous(&node.shape);
                    (0..node.shape.rank())
                        .filter(|a| axes >> a & 1 == 1)
                        .for_each(|a| view.strides[a] = 0);
                    self.part(i, node.inputs[0], view, Some(*reduction));
                }
                Kind::Move(Movement::Embed { start, step }) => {
                    let whole = View::contiguous(&node.shape);
                    let slice = Movement::Slice {
                        start: start.clone(),
                        step: step.clone(),
                    };
                    let source = &self.nodes[node.inputs[0] as usize].shape;
                    if let Some(view) = whole.moved(&slice, &node.shape, source) {
                        self.part(i, node.inputs[0], view, Some(Reduction::Sum));
                    }
                }
                Kind::Move(Movement::Fold {
                    axis,
                    size,
                    step,
                    dilation,
                }) => {
                    let (axis, size, step, dilation) = (*axis, *size, *step, *dilation);
                    let window = Movement::Window {
                        axis,
                        size,
                        step,
                        dilation,
                    };
                    let source = &self.nodes[node.inputs[0] as usize].shape;
                    if let Some(view) =
                        View::contiguous(&node.shape).moved(&window, &node.shape, source)
                    {
                        self.part(i, node.inputs[0], view, Some(Reduction::Sum));
                    }
                }
                Kind::Move(movement) => self.movement(i, &node, movement),
                Kind::Concat(axis) => {
                    let mut view = View::contiguous(&node.shape);
                    for &source in &node.inputs {
                        self.part(i, source, view.clone(), None);
                        let len = self.nodes[source as usize].shape[*axis];
                        view.offset += len as isize * view.strides[*axis];
                    }
                }
                Kind::MatMul
                | Kind::Gather(_)
                | Kind::ScatterAdd(_)
                | Kind::CumSum { .. }
                | Kind::ArgSort { .. }
                | Kind::ArgReduce(..) => self.own_kernel(i, &node),
            },
        }
    }

    /// A view, or a copy where elements must be moved.
    fn movement(&mut self, i: u32, node: &GraphNode, movement: &Movement) {
        let source = node.inputs[0];
        let shape = self.nodes[source as usize].shape.clone();
        let view = self.view[source as usize].moved(movement, &shape, &node.shape);
        let base = self.base[source as usize];
        match view {
            Some(view) if self.at[base as usize] != At::Number => {
                self.base[i as usize] = base;
                self.view[i as usize] = view;
                self.at[i as usize] = self.at[base as usize];
            }
            _ => {
                self.member(i, &shape, &[source]);
                // Its array has another shape than the loop: others find it in memory.
                if let At::Member(c) = self.at[i as usize] {
                    self.at[i as usize] = At::After(c);
                }
            }
        }
    }

    /// Whether a loop over `shape` in cluster `c` has node `i` in a register.
    pub(crate) fn in_register(&self, i: u32, c: u32) -> bool {
        self.base[i as usize] == i
            && self.at[i as usize] == At::Member(c)
            && self.nodes[i as usize].shape == self.clusters[c as usize].shape
    }

    /// The first kernel in which a loop over `shape` may use node `i`, and whether it is there in
    /// a register.
    fn available(&self, i: u32, shape: &Shape) -> (u32, bool) {
        match self.at[self.base[i as usize] as usize] {
            At::Number | At::Input => (0, false),
            At::After(c) => (c + 1, false),
            At::Member(c) if self.in_register(i, c) && *shape == self.nodes[i as usize].shape => {
                (c, true)
            }
            At::Member(c) => (c + 1, false),
        }
    }

    /// The loop over `shape` that something made from `sources` joins.
    fn join(&mut self, shape: &Shape, sources: &[u32]) -> u32 {
        let (mut first, mut direct) = (0, false);
        for &s in sources {
            let (at, register) = self.available(s, shape);
            (first, direct) = match at.cmp(&first) {
                std::cmp::Ordering::Greater => (at, register),
                std::cmp::Ordering::Equal => (first, direct || register),
                std::cmp::Ordering::Less => (first, direct),
            };
        }
        let elements = shape.elements();
        let fits = |c: &Cluster| {
            c.is_loop && c.shape == *shape && (elements == 1 || c.members.len() < LOOP_LIMIT)
        };
        let n = self.clusters.len() as u32;
        if direct && fits(&self.clusters[first as usize]) {
            return first;
        }
        if elements == 1
            && let Some(c) = self
                .scalars
                .filter(|&c| c >= first && *shape == self.clusters[c as usize].shape)
        {
            return c;
        }
        let near = first..n.min(first.saturating_add(8));
        let small = elements <= SMALL;
        if let Some(c) = near
            .filter(|_| small)
            .find(|&c| fits(&self.clusters[c as usize]))
        {
            return c;
        }
        self.clusters.push(Cluster {
            shape: shape.clone(),
            is_loop: true,
            members: vec![],
            parts: vec![],
        });
        if elements == 1 {
            self.scalars = Some(n);
        }
        n
    }

    fn member(&mut self, i: u32, shape: &Shape, sources: &[u32]) {
        let c = self.join(shape, sources);
        self.clusters[c as usize].members.push(i);
        self.at[i as usize] = At::Member(c);
    }

    fn part(&mut self, node: u32, source: u32, view: View, reduction: Option<Reduction>) {
        let shape = self.nodes[source as usize].shape.clone();
        let c = self.join(&shape, &[source]);
        self.clusters[c as usize].parts.push(Part {
            node,
            source,
            view,
            reduction,
        });
        let after = match self.at[node as usize] {
            At::After(other) => other.max(c),
            _ => c,
        };
        self.at[node as usize] = At::After(after);
    }

    fn own_kernel(&mut self, i: u32, node: &GraphNode) {
        let c = self.clusters.len() as u32;
        let (shape, members) = (node.shape.clone(), vec![i]);
        self.clusters.push(Cluster {
            shape,
            is_loop: false,
            members,
            parts: vec![],
        });
        self.at[i as usize] = At::After(c);
    }

    /// A node with the elements of root `r` in an array of its own (or an input as it is).
    fn whole(&mut self, r: u32) -> u32 {
        let base = self.base[r as usize];
        let (node, origin) = (&self.nodes[r as usize], &self.nodes[base as usize]);
        let same = self.view[r as usize].offset == 0
            && node.shape.elements() == origin.shape.elements()
            && self.view[r as usize].is_contiguous(&node.shape);
        if same && self.at[base as usize] != At::Number {
            return r;
        }
        // A copy: a cast to the dtype that it has.
        let (shape, dtype, origin) = (node.shape.clone(), node.dtype, node.origin);
        let copy = self.nodes.len() as u32;
        let (op, inputs) = (GraphOp::Apply(Kind::Cast), smallvec![r]);
        self.nodes.push(GraphNode {
            op,
            inputs,
            shape: shape.clone(),
            dtype,
            origin,
        });
        self.base.push(copy);
        self.view.push(View::contiguous(&shape));
        self.at.push(At::Number);
        self.member(copy, &shape, &[r]);
        copy
    }
}

/// Whether numbers of this dtype are exact in f64 registers.
pub(crate) fn fits_f64(dtype: DType) -> bool {
    matches!(dtype, DType::F32 | DType::F64 | DType::Bool)
}
