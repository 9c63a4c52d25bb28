//! Batching: a graph for many values of its leaves at once, as a graph again. So the rows of a Jacobian
//! are recorded once, and each operation computes all of them.

use super::custom_pull;
use crate::Value;
use crate::error::Caller;
use crate::graph::walk::Order;
use crate::graph::{Alias, CustomRule, Kind, Movement, Op, located, no_grad};
use crate::ops::{matmul, random};
use smallvec::SmallVec;
use std::sync::Arc;

/// Elements of an array, about, up to which it is computed for several values at once.
const MOST: usize = 1 << 22;

/// `results` for each of many values of `leaves`: `values` have a first axis that their leaves do not
/// have, and so has what comes out.
pub(super) fn batched(results: &[Value], leaves: &[Value], values: &[Value]) -> Vec<Value> {
    let order = Order::new(results, |_| false);
    let mut depends = vec![false; order.nodes.len()];
    let mut largest = 1;
    for (i, y) in order.nodes.iter().enumerate() {
        let mut inputs = y.inputs().iter().filter_map(|x| order.position(x));
        depends[i] = leaves.iter().any(|leaf| leaf.is(y)) || inputs.any(|k| depends[k]);
        if depends[i] {
            largest = largest.max(y.elements());
        }
    }
    let some = |start: usize, n: usize| {
        let mut of: Vec<Option<Value>> = vec![None; order.nodes.len()];
        for (i, y) in order.nodes.iter().enumerate().filter(|(i, _)| depends[*i]) {
            let inputs = y.inputs().iter().map(|x| of[order.position(x)?].clone());
            let inputs: SmallVec<[Option<Value>; 4]> = inputs.collect();
            let record = || match leaves.iter().position(|leaf| leaf.is(y)) {
                Some(k) => values[k].narrow_at(0, start, n, y.0.at),
                None => again(y, n, &inputs),
            };
            of[i] = Some(located(y.0.at, || match y.0.frozen {
                true => no_grad(record),
                false => record(),
            }));
        }
        let found = |y: &Value| of[order.position(y)?].clone();
        let result = |y: &Value| found(y).unwrap_or_else(|| same(y, n));
        results.iter().map(result).collect::<Vec<Value>>()
    };
    let (n, most) = (values[0].shape()[0], (MOST / largest).max(1));
    let parts: Vec<Vec<Value>> = (0..n)
        .step_by(most)
        .map(|start| some(start, most.min(n - start)))
        .collect();
    (0..results.len())
        .map(|k| Value::concat(parts.iter().map(|part| &part[k]), 0))
        .collect()
}

/// A Value that is the same `n` times.
fn same(x: &Value, n: usize) -> Value {
    x.expand_at(&x.shape().insert(0, n), x.0.at)
}

/// The operation of `y` on inputs of which some have a first axis of length `n` besides.
fn again(y: &Value, n: usize, inputs: &[Option<Value>]) -> Value {
    let (x, at) = (y.inputs(), y.0.at);
    let input = |k: usize| inputs[k].clone().unwrap_or_else(|| same(&x[k], n));
    let op = match &y.0.op {
        // What these are other names of is composed of operations that have derivatives too.
        Op::Leaf(_) | Op::Alias(Alias::Cell(_) | Alias::Normalized(..)) => return input(0),
        Op::Alias(Alias::Detach) => Op::Alias(Alias::Detach),
        Op::Alias(Alias::Custom(rule)) => Op::Alias(Alias::Custom(batched_rule(rule.clone(), y))),
        Op::Apply(Kind::MatMul) => return product(y, inputs, &input, at),
        Op::Apply(kind) => Op::Apply(behind_an_axis(kind)),
    };
    let inputs = (0..x.len()).map(input).collect();
    Value::node(op, inputs, y.shape().insert(0, n), y.dtype(), at)
}

/// A product of matrices. If one factor is the same for all, the others are one tall matrix.
fn product(
    y: &Value,
    inputs: &[Option<Value>],
    input: &dyn Fn(usize) -> Value,
    at: Caller,
) -> Value {
    let x = y.inputs();
    match inputs {
        [Some(a), None] if y.rank() == 2 => a.matmul(&x[1]),
        [None, Some(b)] if y.rank() == 2 && y.shape()[1] == 1 => {
            b.squeeze(-1).matmul(x[0].t()).unsqueeze(-1)
        }
        _ => matmul::product(&input(0), &input(1), at),
    }
}

/// The rule of the custom operation `y`, for inputs, result and cotangent with a first axis each.
fn batched_rule(rule: Arc<CustomRule>, y: &Value) -> Arc<CustomRule> {
    let placeholder = |v: &Value| random::placeholder(v.shape(), v.dtype(), v.0.at);
    let inputs: SmallVec<[Value; 2]> = y.inputs().iter().map(placeholder).collect();
    let g = placeholder(y);
    let (shape, dtype, at) = (y.shape().clone(), y.dtype(), y.0.at);
    Arc::new(move |xs: &[Value], ys: &Value, gs: &Value| {
        let custom = Op::Alias(Alias::Custom(rule.clone()));
        let y = Value::node(custom, inputs.clone(), shape.clone(), dtype, at);
        let shares = custom_pull(&*rule, &y, &g);
        let leaves = [&inputs[1..], &[y, g.clone()]].concat();
        batched(&shares, &leaves, &[xs, &[ys.clone(), gs.clone()]].concat())
    })
}

/// The same of axes that stand one further on.
fn behind_an_axis(kind: &Kind) -> Kind {
    match kind.clone() {
        Kind::Reduce(reduction, axes) => Kind::Reduce(reduction, axes << 1),
        Kind::ArgReduce(which, axis) => Kind::ArgReduce(which, axis + 1),
        Kind::Move(movement) => Kind::Move(Box::new(moved_behind_an_axis(*movement))),
        Kind::Gather(axis) => Kind::Gather(axis + 1),
        Kind::ScatterAdd(axis) => Kind::ScatterAdd(axis + 1),
        Kind::CumSum { axis, reverse } => Kind::CumSum {
            axis: axis + 1,
            reverse,
        },
        Kind::ArgSort { axis, descending } => Kind::ArgSort {
            axis: axis + 1,
            descending,
        },
        Kind::Concat(axis) => Kind::Concat(axis + 1),
        kind @ (Kind::Map(_) | Kind::Cast | Kind::MatMul) => kind,
    }
}

fn moved_behind_an_axis(movement: Movement) -> Movement {
    match movement {
        Movement::Permute(p) => Movement::Permute(
            [0].into_iter()
                .chain(p.into_iter().map(|a| a + 1))
                .collect(),
        ),
        Movement::Slice {
            mut start,
            mut step,
        } => {
            start.insert(0, 0);
            step.insert(0, 1);
            Movement::Slice { start, step }
        }
        Movement::Window {
            axis,
            size,
            step,
            dilation,
        } => Movement::Window {
            axis: axis + 1,
            size,
            step,
            dilation,
        },
        Movement::Embed { .. } | Movement::Fold { .. } => {
            moved_behind_an_axis(movement.opposite()).opposite()
        }
        Movement::Reshape | Movement::Expand => movement,
    }
}
