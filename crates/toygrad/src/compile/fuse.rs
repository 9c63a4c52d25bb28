//! Fuse: Graph → kernels over virtual buffers.
//!
//! Nodes are taken in topological order, small ones first when they are ready (they hold up large
//! ones). Kernels are numbered as they are begun, and a node may join a kernel if everything that
//! it needs is made in that kernel or an earlier one: so kernels run in number order and there are
//! no cycles. A pointwise node joins the loop that makes one of its operands; one whose operands
//! all come from memory waits until somebody needs it, and then joins that loop, so that it is
//! never stored just to be read again. Reductions, padding and concatenation are ways in which a
//! loop writes its result. Movement becomes views. What is used only inside its loop never reaches
//! memory.

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
/// Nodes that may wait for each other.
const WAITING_LIMIT: u32 = 128;
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
    /// Nowhere yet: a pointwise node that no one has needed so far.
    Waiting,
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
    /// Arrays that it reads, some of them: loops that read the same belong together.
    reads: SmallVec<[u32; 4]>,
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
    /// For arrays that are written in places: the sum that they are terms of, and for that itself.
    pub sum: Vec<Option<u32>>,
    /// The newest loop over single numbers.
    scalars: Option<u32>,
    /// How many waiting nodes hang on a node, at most.
    pending: Vec<u32>,
    /// The newest walk over waiting nodes that met a node.
    met: Vec<u32>,
    walks: u32,
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
        sum: graph.sum,
        nodes: graph.nodes,
        clusters: Vec::new(),
        scalars: None,
        pending: vec![0; n],
        met: vec![0; n],
        walks: 0,
    };
    let mut is_root = vec![false; n];
    graph.roots.iter().for_each(|&r| is_root[r as usize] = true);
    for i in order {
        p.place(i);
        if is_root[i as usize] {
            p.need(i);
        }
    }
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
    let kept = graph
        .keep
        .iter()
        .filter_map(|&(i, value)| Some((value, emitter.kept(i)?)));
    let kept = kept.collect();
    emitter.finish(outputs, kept)
}

/// A topological order in which nodes come as soon as they can that are views, make little of what
/// they read, or free more than they make; else the graph's own order.
fn schedule(graph: &Graph) -> Vec<u32> {
    let n = graph.nodes.len();
    // A term of a sum makes nothing: it is added to what is there.
    let size = |(i, n): (usize, &GraphNode)| match graph.sum[i] {
        Some(sum) if sum != i as u32 => 0,
        _ => n.shape.elements(),
    };
    let elements: Vec<usize> = graph.nodes.iter().enumerate().map(size).collect();
    let small = |i: usize| {
        let inputs = graph.nodes[i].inputs.iter();
        let read = inputs.map(|&k| elements[k as usize]).max().unwrap_or(0);
        elements[i] <= read / 16 || elements[i] <= 16
    };
    if elements.iter().all(|&n| n <= 16) {
        return (0..n as u32).collect();
    }
    let mut users: Vec<SmallVec<[u32; 4]>> = vec![SmallVec::new(); n];
    let mut waits = vec![0u32; n];
    for (i, node) in graph.nodes.iter().enumerate() {
        waits[i] = node.inputs.len() as u32;
        node.inputs
            .iter()
            .for_each(|&k| users[k as usize].push(i as u32));
    }
    // How many have still to read it; a root is read by whoever asked.
    let mut readers: Vec<usize> = users.iter().map(SmallVec::len).collect();
    graph.roots.iter().for_each(|&r| readers[r as usize] += 1);
    let is_view =
        |i: usize| matches!(&graph.nodes[i].op, GraphOp::Apply(Kind::Move(m)) if !m.writes());
    let made = |k: usize| matches!(graph.nodes[k].op, GraphOp::Apply(_));
    let frees = |i: usize, readers: &[usize]| {
        let inputs = graph.nodes[i].inputs.iter().map(|&k| k as usize);
        let last = inputs.filter(|&k| made(k) && readers[k] == 1);
        last.map(|k| elements[k]).sum::<usize>() > elements[i]
    };
    let entry = |i: usize, readers: &[usize]| {
        let soon = small(i) || is_view(i) || frees(i, readers);
        Reverse((!soon, i as u32))
    };
    let ready = (0..n).filter(|&i| waits[i] == 0);
    let mut ready: BinaryHeap<_> = ready.map(|i| entry(i, &readers)).collect();
    let mut placed = vec![false; n];
    let mut order = Vec::with_capacity(n);
    while let Some(Reverse((_, i))) = ready.pop() {
        if std::mem::replace(&mut placed[i as usize], true) {
            continue;
        }
        order.push(i);
        for &k in &graph.nodes[i as usize].inputs {
            readers[k as usize] -= 1;
            if readers[k as usize] == 1 {
                // Its last reader may have become one that frees it.
                let last = users[k as usize].iter().map(|&u| u as usize);
                for user in last.filter(|&u| !placed[u] && waits[u] == 0) {
                    ready.push(entry(user, &readers));
                }
            }
        }
        for &user in &users[i as usize] {
            waits[user as usize] -= 1;
            if waits[user as usize] == 0 {
                ready.push(entry(user as usize, &readers));
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
                // Its terms have been written.
                Kind::Map(_) if self.sum[i as usize].is_some() => {}
                Kind::Map(_) | Kind::Cast => self.pointwise(i, &node),
                Kind::Reduce(reduction, axes) => {
                    let mut view = View::contiguous(&node.shape);
                    (0..node.shape.rank())
                        .filter(|a| axes >> a & 1 == 1)
                        .for_each(|a| view.strides[a] = 0);
                    self.part(i, node.inputs[0], view, Some(*reduction));
                }
                // Written where its opposite reads; elements that meet are added.
                Kind::Move(movement) if movement.writes() => {
                    let read = Movement::clone(movement).opposite();
                    let source = &self.nodes[node.inputs[0] as usize].shape;
                    let whole = View::contiguous(&node.shape);
                    if let Some(view) = whole.moved(&read, &node.shape, source) {
                        let to = self.sum[i as usize].unwrap_or(i);
                        self.part(to, node.inputs[0], view, Some(Reduction::Sum));
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
                Kind::MatMul => {
                    self.own_kernel(i, &node);
                    if let Some(to) = self.sum[i as usize] {
                        self.at[to as usize] = self.at[i as usize];
                    }
                }
                Kind::Gather(_)
                | Kind::ScatterAdd(_)
                | Kind::CumSum { .. }
                | Kind::ArgSort { .. }
                | Kind::ArgReduce(..) => self.own_kernel(i, &node),
            },
        }
    }

    /// Joins the loop that has an operand in a register, or waits.
    fn pointwise(&mut self, i: u32, node: &GraphNode) {
        let (first, direct) = self.earliest(&node.inputs, &node.shape);
        let waiting = node
            .inputs
            .iter()
            .any(|&k| self.at[self.base[k as usize] as usize] == At::Waiting);
        let single = node.shape.elements() == 1;
        match direct && !waiting && self.fits(first, &node.shape) || single {
            true => {
                node.inputs.iter().for_each(|&k| self.need(k));
                self.member(i, &node.shape, &node.inputs);
            }
            false => {
                self.at[i as usize] = At::Waiting;
                let behind = |k: &u32| match self.base[*k as usize] {
                    b if self.at[b as usize] == At::Waiting => self.pending[b as usize],
                    _ => 0,
                };
                self.pending[i as usize] = node.inputs.iter().map(behind).sum::<u32>() + 1;
                if self.pending[i as usize] >= WAITING_LIMIT {
                    self.need(i);
                }
            }
        }
    }

    /// Makes sure that the array behind `i` is made somewhere.
    fn need(&mut self, i: u32) {
        let base = self.base[i as usize];
        if self.at[base as usize] != At::Waiting {
            return;
        }
        let shape = self.nodes[base as usize].shape.clone();
        let (tree, sources) = self.waiting(base, &shape);
        let c = self.join(&shape, &sources);
        self.admit(&tree, c);
    }

    /// The waiting nodes that `root` needs in a loop over `shape`, operands first; and everything
    /// else that they read.
    fn waiting(&mut self, root: u32, shape: &Shape) -> (Vec<u32>, Vec<u32>) {
        let (mut tree, mut sources): (Vec<u32>, Vec<u32>) = (Vec::new(), Vec::new());
        self.walks += 1;
        let walk = self.walks;
        // (node, how many of its operands have been visited)
        let mut stack: Vec<(u32, usize)> = Vec::new();
        self.visit(root, shape, walk, &mut stack, &mut sources);
        while let Some((node, next)) = stack.last_mut() {
            let node = *node;
            match self.nodes[node as usize].inputs.get(*next).copied() {
                Some(k) => {
                    *next += 1;
                    self.visit(k, shape, walk, &mut stack, &mut sources);
                }
                None => {
                    stack.pop();
                    tree.push(node);
                }
            }
        }
        // What was needed in another shape may itself have needed one of these in memory.
        tree.retain(|&i| {
            let waits = self.at[i as usize] == At::Waiting;
            if !waits {
                sources.push(i);
            }
            waits
        });
        (tree, sources)
    }

    /// Queues a node that waits for the loop, or notes it as one that is read.
    fn visit(
        &mut self,
        i: u32,
        shape: &Shape,
        walk: u32,
        stack: &mut Vec<(u32, usize)>,
        sources: &mut Vec<u32>,
    ) {
        let waits = self.at[i as usize] == At::Waiting && self.base[i as usize] == i;
        if !waits || self.nodes[i as usize].shape != *shape {
            self.need(i);
            sources.push(i);
        } else if self.met[i as usize] != walk {
            self.met[i as usize] = walk;
            stack.push((i, 0));
        }
    }

    /// Puts waiting nodes into a loop.
    fn admit(&mut self, tree: &[u32], c: u32) {
        for &i in tree {
            self.clusters[c as usize].members.push(i);
            self.at[i as usize] = At::Member(c);
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
                // Its own place is never asked for: only that of its base.
                self.base[i as usize] = base;
                self.view[i as usize] = view;
            }
            _ => {
                self.need(source);
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
            At::Number | At::Input | At::Waiting => (0, false),
            At::After(c) => (c + 1, false),
            At::Member(c) if self.in_register(i, c) && *shape == self.nodes[i as usize].shape => {
                (c, true)
            }
            At::Member(c) => (c + 1, false),
        }
    }

    /// The first kernel in which a loop over `shape` may use all of `sources`, and whether one of
    /// them is there in a register.
    fn earliest(&self, sources: &[u32], shape: &Shape) -> (u32, bool) {
        let (mut first, mut direct) = (0, false);
        for &s in sources {
            let (at, register) = self.available(s, shape);
            (first, direct) = match at.cmp(&first) {
                std::cmp::Ordering::Greater => (at, register),
                std::cmp::Ordering::Equal => (first, direct || register),
                std::cmp::Ordering::Less => (first, direct),
            };
        }
        (first, direct)
    }

    fn fits(&self, c: u32, shape: &Shape) -> bool {
        self.clusters.get(c as usize).is_some_and(|c| {
            c.is_loop
                && c.shape == *shape
                && (shape.elements() == 1 || c.members.len() < LOOP_LIMIT)
        })
    }

    /// The loop over `shape` that something made from `sources` joins.
    fn join(&mut self, shape: &Shape, sources: &[u32]) -> u32 {
        let (first, direct) = self.earliest(sources, shape);
        let bases: SmallVec<[u32; 4]> = sources
            .iter()
            .map(|&s| self.base[s as usize])
            .filter(|&b| self.at[b as usize] != At::Number)
            .collect();
        let elements = shape.elements();
        let n = self.clusters.len() as u32;
        let scalars = self
            .scalars
            .filter(|&c| elements == 1 && c >= first && self.fits(c, shape));
        let near = first.max(n.saturating_sub(8))..n;
        let kin = |c: &u32| {
            let reads = &self.clusters[*c as usize].reads;
            self.fits(*c, shape) && (elements <= SMALL || bases.iter().any(|b| reads.contains(b)))
        };
        let c = match scalars {
            _ if direct && self.fits(first, shape) => first,
            Some(c) => c,
            None => near.into_iter().find(kin).unwrap_or(n),
        };
        if c == n {
            let (shape, reads) = (shape.clone(), SmallVec::new());
            self.clusters.push(Cluster {
                shape,
                is_loop: true,
                members: vec![],
                parts: vec![],
                reads,
            });
            if elements == 1 {
                self.scalars = Some(n);
            }
        }
        if elements > 1 {
            let reads = &mut self.clusters[c as usize].reads;
            bases.into_iter().for_each(|b| {
                if reads.len() < 64 && !reads.contains(&b) {
                    reads.push(b)
                }
            });
        }
        c
    }

    fn member(&mut self, i: u32, shape: &Shape, sources: &[u32]) {
        let c = self.join(shape, sources);
        self.clusters[c as usize].members.push(i);
        self.at[i as usize] = At::Member(c);
    }

    fn part(&mut self, node: u32, source: u32, view: View, reduction: Option<Reduction>) {
        let shape = self.nodes[source as usize].shape.clone();
        let (tree, sources) = self.waiting(source, &shape);
        let c = self.join(&shape, &sources);
        self.admit(&tree, c);
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
        node.inputs.iter().for_each(|&k| self.need(k));
        let c = self.clusters.len() as u32;
        let (shape, members, reads) = (node.shape.clone(), vec![i], SmallVec::new());
        self.clusters.push(Cluster {
            shape,
            is_loop: false,
            members,
            parts: vec![],
            reads,
        });
        self.at[i as usize] = At::After(c);
    }

    /// A node with the elements of root `r` in an array of its own (or an input as it is).
    fn whole(&mut self, r: u32) -> u32 {
        let base = self.base[r as usize];
        self.need(r);
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
        self.sum.push(None);
        self.pending.push(0);
        self.met.push(0);
        self.member(copy, &shape, &[r]);
        copy
    }
}

/// Whether numbers of this dtype are exact in f64 registers.
pub(crate) fn fits_f64(dtype: DType) -> bool {
    matches!(dtype, DType::F32 | DType::F64 | DType::Bool)
}
