//! Emit: clusters → kernels, with registers allocated.

use super::fuse::{At, Placed, fits_f64};
use super::graph::GraphOp;
use super::group::Straight;
use super::program::*;
use super::recompute::Fate;
use super::registers;
use super::view::{PerAxis, View, Walk, collapse};
use crate::graph::row::Family;
use crate::graph::{Kind, RowRef};
use crate::lanes::{Lanes, Level};
use crate::{DType, Shape, lanes};
use std::collections::HashMap;

pub(crate) struct Emitter<'a> {
    p: &'a Placed,
    level: Level,
    fate: Fate,
    /// For each node that is a base: its buffer.
    buffer: Vec<Option<u32>>,
    /// For each node: whether something has been written into its array.
    begun: Vec<bool>,
    kernels: Vec<Kernel>,
    buffers: Vec<BufferSpec>,
    outputs: u32,
}

impl<'a> Emitter<'a> {
    /// For placed nodes, of which `roots` are wanted in memory.
    pub fn new(p: &'a Placed, roots: &[u32], level: Level) -> Emitter<'a> {
        let n = p.nodes.len();
        let buffer = vec![None; n];
        Emitter {
            p,
            level,
            fate: Fate::new(p, roots),
            buffer,
            begun: vec![false; n],
            kernels: vec![],
            buffers: vec![],
            outputs: 0,
        }
    }

    /// The buffer of a base node.
    fn buffer_of(&mut self, base: u32) -> u32 {
        if let Some(b) = self.buffer[base as usize] {
            return b;
        }
        let node = &self.p.nodes[base as usize];
        let place = match node.op {
            GraphOp::Input(slot) => Place::Input(slot),
            _ => Place::Arena(0),
        };
        let b = self.buffers.len() as u32;
        self.buffers.push(BufferSpec {
            dtype: node.dtype,
            len: node.shape.elements(),
            place,
        });
        self.buffer[base as usize] = Some(b);
        b
    }

    /// Makes the array of a base node one that the run gives back; the number of that array.
    pub fn output(&mut self, base: u32) -> u32 {
        let b = self.buffer_of(base) as usize;
        if let Place::Output(n) = self.buffers[b].place {
            return n;
        }
        self.buffers[b].place = Place::Output(self.outputs);
        self.outputs += 1;
        self.outputs - 1
    }

    /// The number of the array of node `i` among those given back, if it is in memory and whole.
    pub fn kept(&mut self, i: u32) -> Option<u32> {
        let own = self.p.base[i as usize] == i;
        let made = matches!(self.p.at[i as usize], At::Member(_) | At::After(_));
        (own && made && self.fate.stored[i as usize]).then(|| self.output(i))
    }

    /// The program of the kernels written so far, with these outputs and arrays given back besides.
    pub fn finish(self, outputs: Vec<Output>, kept: Vec<(u32, u32)>) -> Program {
        Program {
            kernels: self.kernels,
            buffers: self.buffers,
            outputs,
            made: self.outputs,
            kept,
            arena: 0,
            parallel: false,
        }
    }

    fn operand(&mut self, node: u32) -> Operand {
        let buffer = self.buffer_of(self.p.base[node as usize]);
        Operand {
            buffer,
            view: self.p.view[node as usize].clone(),
        }
    }

    pub fn kernel(&mut self, c: u32) {
        let p = self.p;
        let cluster = &p.clusters[c as usize];
        let kernel = match cluster.is_loop {
            false => self.single(cluster.members[0]),
            true if cluster.shape.elements() == 1 && self.is_scalar(c) => self.scalars(c),
            true => Kernel::Loop(self.fused(c)),
        };
        self.kernels.push(kernel);
    }

    fn is_scalar(&self, c: u32) -> bool {
        let cluster = &self.p.clusters[c as usize];
        let fits = |&i: &u32| fits_f64(self.p.nodes[i as usize].dtype);
        let inputs = |&m: &u32| self.p.nodes[m as usize].inputs.iter().all(fits);
        cluster.members.iter().all(|m| fits(m) && inputs(m)) && cluster.parts.is_empty()
    }

    fn single(&mut self, i: u32) -> Kernel {
        let node = &self.p.nodes[i as usize];
        let inputs = node.inputs.clone();
        let mut operands: Vec<Operand> = inputs.iter().map(|&k| self.read(k)).collect();
        // Terms of a sum go into its array.
        let to = self.p.sum[i as usize].unwrap_or(i);
        let out = self.buffer_of(to);
        let shape_of = |k: usize| &self.p.nodes[inputs[k] as usize].shape;
        let (what, dims) = match &node.op {
            GraphOp::Random(stream) => (SingleKind::Random { stream: *stream }, &node.shape),
            GraphOp::Apply(Kind::MatMul) => {
                let [batch @ .., m, n] = &node.shape[..] else {
                    unreachable!("a product has two axes")
                };
                let k = shape_of(0)[node.shape.rank() - 1];
                let right = operands
                    .pop()
                    .unwrap_or_else(|| unreachable!("a product has two factors"));
                let left = operands
                    .pop()
                    .unwrap_or_else(|| unreachable!("a product has two factors"));
                let (m, n) = (*m, *n);
                let batch = batch.iter().copied().collect();
                return Kernel::MatMul(MatMul {
                    dtype: node.dtype,
                    batch,
                    m,
                    k,
                    n,
                    left,
                    right,
                    out: Operand {
                        buffer: out,
                        view: View::contiguous(&node.shape),
                    },
                    first: !std::mem::replace(&mut self.begun[to as usize], true),
                });
            }
            GraphOp::Apply(Kind::Gather(axis)) => (
                SingleKind::Gather {
                    axis: *axis,
                    len: shape_of(0)[*axis],
                },
                &node.shape,
            ),
            GraphOp::Apply(Kind::ScatterAdd(axis)) => (
                SingleKind::ScatterAdd {
                    axis: *axis,
                    len: node.shape[*axis],
                },
                shape_of(0),
            ),
            GraphOp::Apply(Kind::CumSum { axis, reverse }) => (
                SingleKind::CumSum {
                    axis: *axis,
                    reverse: *reverse,
                },
                &node.shape,
            ),
            GraphOp::Apply(Kind::ArgSort { axis, descending }) => (
                SingleKind::ArgSort {
                    axis: *axis,
                    descending: *descending,
                },
                &node.shape,
            ),
            GraphOp::Apply(Kind::ArgReduce(which, axis)) => (
                SingleKind::ArgReduce {
                    which: *which,
                    axis: *axis,
                },
                shape_of(0),
            ),
            _ => unreachable!("only these kinds have kernels of their own"),
        };
        let dims = dims.iter().copied().collect();
        // What orders and positions depend on is the input's dtype.
        let ordering = matches!(
            what,
            SingleKind::ArgSort { .. } | SingleKind::ArgReduce { .. }
        );
        let dtype = if ordering {
            self.p.nodes[inputs[0] as usize].dtype
        } else {
            node.dtype
        };
        Kernel::Single(Single {
            what,
            dtype,
            dims,
            operands,
            out,
            origin: node.origin,
        })
    }

    /// An operand in memory; a number is written there first, by a loop of its own.
    fn read(&mut self, node: u32) -> Operand {
        let base = self.p.base[node as usize];
        let shape = self.p.nodes[node as usize].shape.clone();
        if self.p.at[base as usize] != At::Number {
            return self.operand(node);
        }
        let dtype = self.p.nodes[base as usize].dtype;
        let b = self.buffers.len() as u32;
        self.buffers.push(BufferSpec {
            dtype,
            len: 1,
            place: Place::Arena(0),
        });
        let number = self.number(base);
        let to = Operand {
            buffer: b,
            view: View {
                offset: 0,
                strides: PerAxis::new(),
            },
        };
        self.kernels.push(Kernel::Loop(Loop {
            dims: PerAxis::new(),
            loads: vec![],
            numbers: vec![(number, dtype, 0)],
            code: vec![],
            stores: vec![Store {
                to,
                walk: Walk::default(),
                dtype,
                register: 0,
                deferred: false,
            }],
            folds: vec![],
            registers: 1,
            cut: Cut::default(),
        }));
        Operand {
            buffer: b,
            view: View {
                offset: 0,
                strides: PerAxis::from_elem(0, shape.rank()),
            },
        }
    }

    fn number(&self, node: u32) -> Number {
        match self.p.nodes[node as usize].op {
            GraphOp::Full(x) => Number::Known(x),
            GraphOp::Number(slot) => Number::Bound(slot),
            _ => unreachable!("asked only of numbers"),
        }
    }

    fn fused(&mut self, c: u32) -> Loop {
        let p = self.p;
        let cluster = &p.clusters[c as usize];
        let mut body = Body::new(&cluster.shape);
        for &m in &cluster.members {
            if !self.fate.live[m as usize] {
                continue;
            }

            let node = &p.nodes[m as usize];
            let value = body.compute(self, m, c);
            if self.fate.stored[m as usize] {
                let to = Operand {
                    buffer: self.buffer_of(m),
                    view: View::contiguous(&cluster.shape),
                };
                let (dtype, register) = (node.dtype, value as u16);
                body.stores.push(Store {
                    to,
                    walk: Walk::default(),
                    dtype,
                    register,
                    deferred: false,
                });
            }
        }
        for part in &cluster.parts {
            let register = body.value(self, part.source, c) as u16;
            let to = Operand {
                buffer: self.buffer_of(part.node),
                view: part.view.clone(),
            };
            let dtype = p.nodes[part.node as usize].dtype;
            match part.reduction {
                Some(reduction) => {
                    let (along, across) = lanes::reduction(reduction, dtype, self.level);
                    body.folds.push(Fold {
                        meets: false,
                        first: !std::mem::replace(&mut self.begun[part.node as usize], true),
                        to,
                        walk: Walk::default(),
                        reduction,
                        dtype,
                        register,
                        along,
                        across,
                    });
                }
                None => body.stores.push(Store {
                    to,
                    walk: Walk::default(),
                    dtype,
                    register,
                    deferred: false,
                }),
            }
        }
        body.finish()
    }

    /// What a member computes; `None` for a copy.
    fn instruction(&self, m: u32) -> Option<(Operation, DType, Lanes)> {
        let node = &self.p.nodes[m as usize];
        let input = |k: usize| self.p.nodes[node.inputs[k] as usize].dtype;
        match &node.op {
            GraphOp::Apply(Kind::Map(RowRef(row))) => {
                // `select` works in the dtype of what it selects from.
                let dtype = if row.family == Family::Select {
                    node.dtype
                } else {
                    input(0)
                };
                let lanes = (row.lanes)(dtype, self.level)?;
                Some((Operation::Row(RowRef(row)), dtype, lanes))
            }
            GraphOp::Apply(Kind::Cast) if input(0) != node.dtype => {
                let lanes = lanes::conversion(input(0), node.dtype, self.level);
                Some((Operation::Cast(node.dtype), input(0), lanes))
            }
            _ => None,
        }
    }

    fn scalars(&mut self, c: u32) -> Kernel {
        let p = self.p;
        let cluster = &p.clusters[c as usize];
        let mut s = Straight::new(self.level);
        let (mut loads, mut numbers, mut stores) = (vec![], vec![], vec![]);
        let mut values: HashMap<u32, u32> = HashMap::new();
        for &m in &cluster.members {
            let node = &p.nodes[m as usize];
            let mut from = [0; 3];
            for (slot, &k) in from.iter_mut().zip(&node.inputs) {
                let (base, dtype) = (p.base[k as usize], p.nodes[k as usize].dtype);
                let known = if p.in_register(k, c) {
                    values.get(&k)
                } else {
                    values.get(&base)
                };
                *slot = match (known, p.at[base as usize]) {
                    (Some(&v), _) => v,
                    (None, At::Number) => {
                        let v = s.given(dtype);
                        numbers.push((self.number(base), dtype, v));
                        values.insert(base, v);
                        v
                    }
                    (None, _) => {
                        let v = s.given(dtype);
                        let o = self.operand(k);
                        loads.push(Element {
                            buffer: o.buffer,
                            offset: o.view.offset,
                            dtype,
                            register: v,
                        });
                        // Another element of the same array may be another operand.
                        if o.view.offset == 0 && self.buffers[o.buffer as usize].len == 1 {
                            values.insert(base, v);
                        }
                        v
                    }
                };
            }
            let value = match self.instruction(m) {
                Some((what, _, lanes)) => {
                    s.made(what, lanes, node.dtype, &from[..node.inputs.len()])
                }
                None => from[0],
            };
            values.insert(m, value);
            if self.fate.stored[m as usize] {
                let buffer = self.buffer_of(m);
                stores.push(Element {
                    buffer,
                    offset: 0,
                    dtype: node.dtype,
                    register: value,
                });
            }
        }
        Kernel::Scalars(s.grouped(loads, numbers, stores))
    }
}

/// A loop in the making: values are written once.
struct Body {
    shape: Shape,
    loads: Vec<Load>,
    numbers: Vec<(Number, DType, u16)>,
    code: Vec<Instruction>,
    stores: Vec<Store>,
    folds: Vec<Fold>,
    /// Members of the cluster by node.
    values: HashMap<u32, u32>,
    /// How many values there are.
    count: u16,
}

impl Body {
    fn new(shape: &Shape) -> Body {
        Body {
            shape: shape.clone(),
            loads: vec![],
            numbers: vec![],
            code: vec![],
            stores: vec![],
            folds: vec![],
            values: HashMap::new(),
            count: 0,
        }
    }

    fn new_value(&mut self) -> u32 {
        self.count += 1;
        u32::from(self.count) - 1
    }

    /// The instruction of node `m`, and its value.
    fn compute(&mut self, e: &mut Emitter, m: u32, c: u32) -> u32 {
        let inputs = &e.p.nodes[m as usize].inputs;
        let mut from = [0; 3];
        for (operand, &k) in from.iter_mut().zip(inputs) {
            *operand = self.value(e, k, c) as u16;
        }
        let value = match e.instruction(m) {
            Some((what, dtype, lanes)) => {
                let to = self.new_value();
                let arity = inputs.len() as u8;
                self.code.push(Instruction {
                    what,
                    then: None,
                    dtype,
                    to: to as u16,
                    from,
                    arity,
                    lanes,
                });
                to
            }
            // A copy.
            None => u32::from(from[0]),
        };
        self.values.insert(m, value);
        value
    }

    /// The value of node `k` in this loop.
    fn value(&mut self, e: &mut Emitter, k: u32, c: u32) -> u32 {
        let p = e.p;
        let again = e.fate.again[k as usize];
        match self.values.get(&k) {
            Some(&v) if again || p.in_register(k, c) => return v,
            None if again => return self.compute(e, k, c),
            _ => {}
        }
        let (base, dtype) = (p.base[k as usize], p.nodes[k as usize].dtype);
        if p.at[base as usize] == At::Number {
            let number = e.number(base);
            if let Some(n) = self.numbers.iter().find(|n| n.0 == number && n.1 == dtype) {
                return u32::from(n.2);
            }
            let v = self.new_value();
            self.numbers.push((number, dtype, v as u16));
            return v;
        }
        let from = e.operand(k);
        if let Some(l) = self.loads.iter().find(|l| l.from == from) {
            return u32::from(l.register);
        }
        let v = self.new_value();
        self.loads.push(Load {
            from,
            walk: Walk::default(),
            dtype,
            register: v as u16,
        });
        v
    }

    fn finish(mut self) -> Loop {
        let mut dims: PerAxis<usize> = self.shape.iter().copied().collect();
        let loads = self.loads.iter_mut().map(|l| &mut l.from.view.strides);
        let stores = self.stores.iter_mut().map(|s| &mut s.to.view.strides);
        let folds = self.folds.iter_mut().map(|f| &mut f.to.view.strides);
        let mut strides: Vec<&mut PerAxis<isize>> = loads.chain(stores).chain(folds).collect();
        if !dims.contains(&0) {
            collapse(&mut dims, &mut strides);
        }
        let walk = |o: &Operand| Walk::new(&o.view, &dims);
        self.loads.iter_mut().for_each(|l| l.walk = walk(&l.from));
        self.stores.iter_mut().for_each(|s| s.walk = walk(&s.to));
        self.folds.iter_mut().for_each(|f| f.walk = walk(&f.to));
        let mut made = Loop {
            dims,
            loads: self.loads,
            numbers: self.numbers,
            code: self.code,
            stores: self.stores,
            folds: self.folds,
            registers: self.count,
            cut: Cut::default(),
        };
        registers::allocate(&mut made);
        made
    }
}
