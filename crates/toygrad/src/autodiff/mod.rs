//! Automatic differentiation: functions from Values to Values. Knows no compiler.
//!
//! Reverse mode walks the graph from the results, multiplies each node's cotangent by its local
//! derivatives, and adds what arrives at each input over all its users. Forward mode walks from
//! the inputs with tangents. Both match on the closed set of kinds; derivatives themselves stand
//! beside the operations.

mod batch;
pub mod derived;

use crate::graph::row::{Partial, Slope};
use crate::graph::walk::Order;
use crate::graph::{Alias, CustomRule, Kind, Op, located};
use crate::ops::{matmul, random};
use crate::{Error, Result, Value};
use smallvec::{SmallVec, smallvec};
use std::panic::Location;
use std::sync::Arc;

/// What reverse mode has found: nodes with their cotangents.
pub(crate) struct Cotangents {
    pub order: Order,
    pub of: Vec<Option<Value>>,
}

impl Cotangents {
    /// The cotangent of `value`, if the results depend on it.
    pub fn get(&self, value: &Value) -> Option<&Value> {
        self.of[self.order.position(value)?].as_ref()
    }
}

/// Cotangents of all nodes between `results` and those that `wanted` holds for, from the
/// cotangents `seeds` of the results.
pub(crate) fn reverse(
    results: &[Value],
    seeds: &[Value],
    wanted: &dyn Fn(&Value) -> bool,
) -> Cotangents {
    let order = Order::new(results, |_| false);
    let n = order.nodes.len();
    let inputs = |i: usize| order.nodes[i].inputs().iter().map(|x| order.position(x));
    // Does it lead to something wanted?
    let mut leads = vec![false; n];
    for i in 0..n {
        let node = &order.nodes[i];
        let passes = !node.0.frozen && node.dtype().is_float();
        leads[i] = wanted(node) || (passes && inputs(i).any(|k| k.is_some_and(|k| leads[k])));
    }
    let mut of: Vec<Option<Value>> = vec![None; n];
    let add = |slot: &mut Option<Value>, g: Value| {
        *slot = Some(match slot.take() {
            Some(sum) => sum + g,
            None => g,
        });
    };
    for (y, seed) in results.iter().zip(seeds) {
        if let Some(i) = order.position(y) {
            add(&mut of[i], seed.clone());
        }
    }
    for i in (0..n).rev() {
        let y = &order.nodes[i];
        if y.0.frozen || !leads[i] || y.inputs().is_empty() {
            continue;
        }
        let Some(g) = of[i].clone() else { continue };
        let place = |k: usize| order.position(&y.inputs()[k]).filter(|&at| leads[at]);
        located(y.0.at, || {
            pull(y, &g, &|k| place(k).is_some(), &mut |k, share| {
                if let Some(at) = place(k) {
                    add(&mut of[at], share);
                }
            });
        });
    }
    let order = order.owned();
    Cotangents { order, of }
}

/// Hands to `add` each input's share of the cotangent `g` of `y`.
fn pull(y: &Value, g: &Value, needs: &dyn Fn(usize) -> bool, add: &mut dyn FnMut(usize, Value)) {
    let x = y.inputs();
    let at = y.0.at;
    match &y.0.op {
        Op::Leaf(_) => {}
        Op::Alias(Alias::Detach) => {}
        Op::Alias(Alias::Cell(_)) => add(0, g.clone()),
        Op::Alias(Alias::Normalized(n, axes)) => add(1, n.jacobian(*axes, y, &x[2..], g)),
        Op::Alias(Alias::Custom(rule)) => {
            for (k, share) in custom_pull(&**rule, y, g).into_iter().enumerate() {
                if needs(k + 1) {
                    add(k + 1, share);
                }
            }
        }
        Op::Apply(kind) => match kind {
            Kind::Map(row) => {
                for k in (0..x.len()).filter(|&k| needs(k)) {
                    if let Some(share) = through(&row.0.slope, k, x, y, g) {
                        add(k, share);
                    }
                }
            }
            Kind::Cast => add(0, g.cast_at(x[0].dtype(), at)),
            Kind::Reduce(reduction, _) => add(0, reduction.adjoint(g, &x[0], y)),
            Kind::Move(movement) => add(0, movement.adjoint(g, &x[0])),
            Kind::MatMul => {
                for k in (0..2).filter(|&k| needs(k)) {
                    add(k, matmul::adjoint(k, g, x));
                }
            }
            Kind::Gather(axis) => add(0, x[1].scatter_at(*axis, g, x[0].shape(), at)),
            Kind::ScatterAdd(axis) => add(1, g.gather_at(*axis, &x[0], at)),
            Kind::CumSum { axis, reverse } => add(0, g.cumsum_at(*axis, !reverse, at)),
            Kind::ArgReduce(..) | Kind::ArgSort { .. } => {}
            Kind::Concat(axis) => {
                let mut start = 0;
                for (k, part) in x.iter().enumerate() {
                    let len = part.shape()[*axis];
                    if needs(k) {
                        add(k, g.narrow_at(*axis, start, len, at));
                    }
                    start += len;
                }
            }
        },
    }
}

/// `g` (a cotangent or a tangent) through the local derivative of a row by argument `k`; `None`
/// where that is zero.
fn through(slope: &Slope, k: usize, x: &[Value], y: &Value, g: &Value) -> Option<Value> {
    let known = |partial: &Partial| {
        let d = partial(x, y);
        (d.as_full() != Some(0.0)).then_some(d)
    };
    match slope {
        Slope::Zero => None,
        Slope::Constant(d) => match d[k] {
            0.0 => None,
            1.0 => Some(g.clone()),
            -1.0 => Some(-g),
            d => Some(d * g),
        },
        Slope::Each(partials) => known(&partials[k]).map(|d| match d.as_full() {
            Some(1.0) => g.clone(),
            _ => g * d,
        }),
        Slope::Route(routes) => known(&routes[k]).map(|here| here.select(g, 0.0)),
    }
}

/// Cotangents of a custom operation's inputs, each of its input's shape, or a mistake.
fn custom_pull(rule: &CustomRule, y: &Value, g: &Value) -> Vec<Value> {
    let x = &y.inputs()[1..];
    let shares = rule(x, y, g);
    let at = y.0.at;
    if shares.len() != x.len() {
        let message = format!(
            "the backward rule of a custom operation gave {} cotangents for {} inputs",
            shares.len(),
            x.len()
        );
        let mistake = crate::graph::build::mistake(at, message, &[("output", y)], None);
        return vec![mistake; x.len()];
    }
    let checked = |(share, x): (&Value, &Value)| {
        if share.error().is_some() {
            return share.clone();
        }
        if share.shape().broadcast(x.shape()).as_ref() != Some(x.shape()) {
            let message = format!(
                "the backward rule of a custom operation gave shape {} for an input of shape {}",
                share.shape(),
                x.shape()
            );
            return crate::graph::build::mistake(
                at,
                message,
                &[("input", x), ("cotangent", share)],
                None,
            );
        }
        share.cast_at(x.dtype(), at).expand_at(x.shape(), at)
    };
    shares.iter().zip(x).map(checked).collect()
}

/// Tangents of `results`, from those of `inputs`; `None` where a result does not depend on them.
pub(crate) fn forward(
    results: &[Value],
    inputs: &[Value],
    tangents: &[Value],
) -> Vec<Option<Value>> {
    let order = Order::new(results, |_| false);
    let mut of: Vec<Option<Value>> = vec![None; order.nodes.len()];
    for i in 0..order.nodes.len() {
        let y = &order.nodes[i];
        let passes = !y.0.frozen && y.dtype().is_float();
        let t: SmallVec<[Option<Value>; 4]> = match passes {
            true => y
                .inputs()
                .iter()
                .map(|x| of[order.position(x)?].clone())
                .collect(),
            false => SmallVec::new(),
        };
        let moved = match t.iter().all(Option::is_none) {
            true => None,
            false => located(y.0.at, || push(y, &t)),
        };
        // An input may depend on another one: its own tangent adds to what that one brings.
        let given = inputs
            .iter()
            .zip(tangents)
            .filter(|(x, _)| x.is(y))
            .map(|(_, t)| t.clone());
        of[i] = moved.into_iter().chain(given).reduce(|a, b| a + b);
    }
    results
        .iter()
        .map(|y| of[order.position(y)?].clone())
        .collect()
}

/// The tangent of `y` from those of its inputs.
fn push(y: &Value, t: &[Option<Value>]) -> Option<Value> {
    let x = y.inputs();
    let at = y.0.at;
    let zero = |k: usize| Value::full_at(x[k].shape().clone(), 0.0, x[k].dtype(), at);
    let or_zero = |k: usize| t[k].clone().unwrap_or_else(|| zero(k));
    match &y.0.op {
        Op::Leaf(_) | Op::Alias(Alias::Detach) => None,
        Op::Alias(Alias::Cell(_)) => t[0].clone(),
        // A symmetric Jacobian: both directions are one.
        Op::Alias(Alias::Normalized(n, axes)) => {
            t[1].as_ref().map(|t| n.jacobian(*axes, y, &x[2..], t))
        }
        Op::Alias(Alias::Custom(rule)) => Some(custom_push(&**rule, y, t)),
        Op::Apply(kind) => match kind {
            Kind::Map(row) => {
                let parts = t
                    .iter()
                    .enumerate()
                    .filter_map(|(k, t)| through(&row.0.slope, k, x, y, t.as_ref()?));
                parts.reduce(|a, b| a + b)
            }
            Kind::Cast => t[0].as_ref().map(|t| t.cast_at(y.dtype(), at)),
            Kind::Reduce(reduction, _) => t[0].as_ref().map(|t| reduction.tangent(t, &x[0], y)),
            Kind::Move(movement) => t[0].as_ref().map(|t| movement.again(t, y)),
            Kind::MatMul => {
                let left = t[0].as_ref().map(|t| matmul::product(t, &x[1], at));
                let right = t[1].as_ref().map(|t| matmul::product(&x[0], t, at));
                left.into_iter().chain(right).reduce(|a, b| a + b)
            }
            Kind::Gather(axis) => t[0].as_ref().map(|t| t.gather_at(*axis, &x[1], at)),
            Kind::ScatterAdd(axis) => t[1]
                .as_ref()
                .map(|t| x[0].scatter_at(*axis, t, y.shape(), at)),
            Kind::CumSum { axis, reverse } => {
                t[0].as_ref().map(|t| t.cumsum_at(*axis, *reverse, at))
            }
            Kind::ArgReduce(..) | Kind::ArgSort { .. } => None,
            Kind::Concat(axis) => {
                let parts: Vec<Value> = (0..x.len()).map(or_zero).collect();
                Some(Value::concat(parts, *axis as isize))
            }
        },
    }
}

/// The tangent of a custom operation, from its backward rule alone: that is linear in the
/// cotangent c, so the tangent is the gradient by c of the sum of (rule(c) x tangents).
fn custom_push(rule: &CustomRule, y: &Value, t: &[Option<Value>]) -> Value {
    let at = y.0.at;
    let c = random::placeholder(y.shape(), y.dtype(), at);
    let shares = custom_pull(rule, y, &c);
    let products = shares
        .iter()
        .zip(&t[1..])
        .filter_map(|(s, t)| Some((s * t.as_ref()?).sum()));
    match products.reduce(|a, b| a + b) {
        Some(sum) => {
            let seed = Value::full_at(sum.shape().clone(), 1.0, sum.dtype(), at);
            let found = reverse(&[sum], &[seed], &|v| v.is(&c));
            let zero = || Value::full_at(y.shape().clone(), 0.0, y.dtype(), at);
            found.get(&c).cloned().unwrap_or_else(zero)
        }
        None => Value::full_at(y.shape().clone(), 0.0, y.dtype(), at),
    }
}

/// Whether gradients of a result reach a Value; see [`Value::reach`].
#[derive(Clone, Debug)]
pub enum Reach {
    /// They do.
    Reached,
    /// The result is computed from it, but no gradient passes this operation on the way.
    Blocked {
        /// The operation: `detach`, `floor`, `argmax`, a cast to whole numbers, ...
        operation: &'static str,
        /// The line that wrote it.
        at: crate::Caller,
    },
    /// The result is not computed from it.
    Independent,
}

impl std::fmt::Display for Reach {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Reach::Reached => f.write_str("gradients reach it"),
            Reach::Blocked { operation, at } => {
                write!(f, "no gradient passes `{operation}` at {at}")
            }
            Reach::Independent => f.write_str("the result does not depend on it"),
        }
    }
}

impl Value {
    /// Whether gradients of this Value reach `target`, a parameter or any other Value; and if
    /// not, which operation is in the way.
    ///
    /// ```
    /// use toygrad::prelude::*;
    /// let w = Parameter::new(2.0);
    /// let y = (&w * 3.0).floor() + 1.0;
    /// let toygrad::Reach::Blocked { operation, .. } = y.reach(&w) else { panic!() };
    /// assert_eq!(operation, "floor");
    /// ```
    pub fn reach(&self, target: impl Into<Value>) -> Reach {
        let target = target.into();
        let seed = Value::full_at(self.shape().clone(), 1.0, self.dtype(), self.0.at);
        let found = reverse(std::slice::from_ref(self), &[seed], &|v| v.is(&target));
        if found.get(&target).is_some() {
            return Reach::Reached;
        }
        let order = &found.order;
        let mut depends = vec![false; order.nodes.len()];
        for (i, node) in order.nodes.iter().enumerate() {
            let mut inputs = node.inputs().iter().filter_map(|x| order.position(x));
            depends[i] = node.is(&target) || inputs.any(|k| depends[k]);
        }
        // Down from the result, to the first node that hands nothing on.
        let mut here = self.clone();
        loop {
            let leads = |x: &&Value| order.position(x).is_some_and(|k| depends[k]);
            let Some(next) = here.inputs().iter().find(leads).cloned() else {
                return match here.is(&target) {
                    true => Reach::Blocked {
                        operation: here.0.op.name(),
                        at: here.0.at,
                    },
                    false => Reach::Independent,
                };
            };
            let constant =
                matches!(here.kind(), Some(Kind::Map(row)) if matches!(row.0.slope, Slope::Zero));
            // Whole numbers have no gradient: what made them of floats is in the way.
            let whole = !here.dtype().is_float() && next.dtype().is_float();
            if here.0.frozen || constant || whole {
                return Reach::Blocked {
                    operation: here.0.op.name(),
                    at: here.0.at,
                };
            }
            here = next;
        }
    }
}

/// 1 of the shape and dtype of `y`, which must be a float scalar.
#[track_caller]
pub(crate) fn unit(y: &Value) -> Result<Value> {
    if let Some(e) = y.error() {
        return Err(e.clone());
    }
    if !y.dtype().is_float() {
        return Err(Error::gradient(format!(
            "{} has no gradient: only f32 and f64 have",
            y.dtype()
        )));
    }
    if y.elements() != 1 {
        return Err(Error::gradient(format!(
            "a gradient is that of a scalar, not of shape {}: reduce it, or give a cotangent (`vjp`)",
            y.shape()
        )));
    }
    Ok(Value::full_at(
        y.shape().clone(),
        1.0,
        y.dtype(),
        Location::caller(),
    ))
}

/// The gradients of the scalar `y` by any nodes, leaves or not: Values that can be differentiated
/// again. A node that `y` does not depend on has gradient 0.
///
/// ```
/// use toygrad::prelude::*;
/// let x = Value::from(2.0);
/// let y = (&x * &x).sin();
/// let dx = gradients(&y, [&x]).remove(0);
/// let d2x = gradients(&dx, [&x]).remove(0);
/// assert!((dx.item()? - 4.0f64.cos() * 4.0).abs() < 1e-12);
/// assert!((d2x.item()? - (2.0 * 4.0f64.cos() - 16.0 * 4.0f64.sin())).abs() < 1e-12);
/// # Ok::<(), toygrad::Error>(())
/// ```
#[track_caller]
pub fn gradients<V: Into<Value>>(y: &Value, wrt: impl IntoIterator<Item = V>) -> Vec<Value> {
    gradients_of(y, values(wrt))
}

/// What a caller gives, as Values: what comes after it is compiled once, not for each type given.
fn values<V: Into<Value>>(given: impl IntoIterator<Item = V>) -> Vec<Value> {
    given.into_iter().map(Into::into).collect()
}

#[track_caller]
fn gradients_of(y: &Value, wrt: Vec<Value>) -> Vec<Value> {
    match unit(y) {
        Ok(one) => vjp_of(std::slice::from_ref(y), &[one], wrt),
        Err(e) => vec![Value::failed(e, Location::caller()); wrt.len()],
    }
}

/// Vector-Jacobian product: cotangents of `wrt`, from those of the results `y`, each of its
/// result's shape.
#[track_caller]
pub fn vjp<V: Into<Value>>(
    y: &[Value],
    cotangents: &[Value],
    wrt: impl IntoIterator<Item = V>,
) -> Vec<Value> {
    vjp_of(y, cotangents, values(wrt))
}

#[track_caller]
fn vjp_of(y: &[Value], cotangents: &[Value], wrt: Vec<Value>) -> Vec<Value> {
    let at = Location::caller();
    let seeds = match matching("cotangent", y, cotangents) {
        Ok(seeds) => seeds,
        Err(mistake) => return vec![mistake; wrt.len()],
    };
    // Sorted, as a network written neuron by neuron has thousands.
    let address = |v: &Value| Arc::as_ptr(&v.0) as u64;
    let mut nodes: Vec<u64> = wrt.iter().map(address).collect();
    nodes.sort_unstable();
    let wanted = |v: &Value| nodes.binary_search(&address(v)).is_ok();
    let found = reverse(y, &seeds, &wanted);
    let zero = |w: &Value| match w.error() {
        Some(_) => w.clone(),
        None => Value::full_at(w.shape().clone(), 0.0, w.dtype().to_float(), at),
    };
    wrt.iter()
        .map(|w| found.get(w).cloned().unwrap_or_else(|| zero(w)))
        .collect()
}

/// Jacobian-vector product, in true forward mode: tangents of the results `y`, from those of
/// `wrt`.
///
/// ```
/// use toygrad::prelude::*;
/// let x = Value::from([1.0, 2.0]);
/// let y = x.square();
/// let t = jvp(&[y], [&x], &[Value::from([1.0, 10.0])]);
/// assert_eq!(t[0].to_vec::<f64>()?, [2.0, 40.0]);
/// # Ok::<(), toygrad::Error>(())
/// ```
#[track_caller]
pub fn jvp<V: Into<Value>>(
    y: &[Value],
    wrt: impl IntoIterator<Item = V>,
    tangents: &[Value],
) -> Vec<Value> {
    jvp_of(y, values(wrt), tangents)
}

#[track_caller]
fn jvp_of(y: &[Value], wrt: Vec<Value>, tangents: &[Value]) -> Vec<Value> {
    let at = Location::caller();
    if let Some(e) = crate::graph::build::failed(y) {
        return vec![e; y.len()];
    }
    let tangents = match matching("tangent", &wrt, tangents) {
        Ok(tangents) => tangents,
        Err(mistake) => return vec![mistake; y.len()],
    };
    let zero = |y: &Value| Value::full_at(y.shape().clone(), 0.0, y.dtype().to_float(), at);
    let found = forward(y, &wrt, &tangents);
    found
        .into_iter()
        .zip(y)
        .map(|(t, y)| t.unwrap_or_else(|| zero(y)))
        .collect()
}

/// `given` broadcast and cast to the shapes and dtypes of `values`.
#[track_caller]
fn matching(what: &'static str, values: &[Value], given: &[Value]) -> Result<Vec<Value>, Value> {
    let at = Location::caller();
    if let Some(e) = crate::graph::build::failed(values.iter().chain(given)) {
        return Err(e);
    }
    if values.len() != given.len() {
        let message = format!("{} {what}s came for {} Values", given.len(), values.len());
        return Err(crate::graph::build::mistake(at, message, &[], None));
    }
    let fit = |(v, t): (&Value, &Value)| match t.shape().broadcast(v.shape()).as_ref()
        == Some(v.shape())
    {
        true if v.dtype().is_float() => Ok(t.cast_at(v.dtype(), at).expand_at(v.shape(), at)),
        true => {
            let message = format!("{} has no {what}: only f32 and f64 have", v.dtype());
            Err(crate::graph::build::mistake(
                at,
                message,
                &[("value", v)],
                None,
            ))
        }
        false => {
            let message = format!(
                "a {what} of shape {} came for shape {}",
                t.shape(),
                v.shape()
            );
            Err(crate::graph::build::mistake(
                at,
                message,
                &[("value", v), (what, t)],
                None,
            ))
        }
    };
    values.iter().zip(given).map(fit).collect()
}

/// An operation with a backward rule of its own.
///
/// `forward` computes the result from the inputs; gradients do not pass through it. `backward`
/// gets the inputs, the result and its cotangent, and gives the cotangents of the inputs, as
/// Values, so that they can be differentiated again. Forward mode uses the same rule.
///
/// ```
/// use toygrad::prelude::*;
/// // The straight-through estimator: rounds, but lets the gradient pass.
/// let x = Value::from([0.2, 1.7]);
/// let y = custom([&x], |x| x[0].round(), |_, _, g| vec![g.clone()]);
/// assert_eq!(y.to_vec::<f64>()?, [0.0, 2.0]);
/// assert_eq!(gradients(&y.sum(), [&x])[0].to_vec::<f64>()?, [1.0, 1.0]);
/// # Ok::<(), toygrad::Error>(())
/// ```
#[track_caller]
pub fn custom<V: Into<Value>>(
    inputs: impl IntoIterator<Item = V>,
    forward: impl FnOnce(&[Value]) -> Value,
    backward: impl Fn(&[Value], &Value, &Value) -> Vec<Value> + Send + Sync + 'static,
) -> Value {
    let at = Location::caller();
    let inputs = values(inputs);
    let y = forward(&inputs);
    if let Some(e) = crate::graph::build::failed(inputs.iter().chain([&y])) {
        return e;
    }
    let (shape, dtype) = (y.shape().clone(), y.dtype());
    let mut all: SmallVec<[Value; 2]> = smallvec![y.detach()];
    all.extend(inputs);
    Value::node(
        Op::Alias(Alias::Custom(Arc::new(backward))),
        all,
        shape,
        dtype,
        at,
    )
}
