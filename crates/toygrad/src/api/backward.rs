//! `backward`: gradients land in parameters.

use super::parameter::Parameter;
use super::{affordable, buffers_of, is_debugging, is_known, new_program, run, trace};
use crate::autodiff::{Cotangents, reverse, unit};
use crate::compile::backward::{Backward, Forward};
use crate::compile::cache::Cache;
use crate::compile::graph::canonical;
use crate::graph::{Alias, Op, symbolic};
use crate::{Error, Result, Value};
use std::sync::OnceLock;

impl Value {
    /// Reverse accumulation: starts with 1 at this scalar, computes the gradients of all
    /// parameters that it depends on, adds them to those of earlier calls, and returns what knows
    /// the gradient of every intermediate Value.
    ///
    /// # Errors
    /// The first mistake among the operations that made it; a Value that is not a float scalar.
    #[track_caller]
    pub fn backward(&self) -> Result<Gradients> {
        let one = unit(self)?;
        self.backward_with(one)
    }

    /// [`backward`](Value::backward) of a Value of any shape, from its cotangent: what the
    /// gradient of the loss by it is.
    ///
    /// # Errors
    /// As [`backward`](Value::backward); a cotangent that does not have its shape.
    #[track_caller]
    pub fn backward_with(&self, cotangent: impl Into<Value>) -> Result<Gradients> {
        let cotangent = cotangent.into();
        for v in [self, &cotangent] {
            if let Some(e) = v.error() {
                return Err(e.clone());
            }
        }
        if cotangent.shape() != self.shape() || !self.dtype().is_float() {
            return Err(Error::gradient(format!(
                "a cotangent of shape {} came for {} {}",
                cotangent.shape(),
                self.shape(),
                self.dtype()
            )));
        }
        let roots = [self.clone(), cotangent.cast_at(self.dtype(), self.0.at)];
        match trace::is_recording() || is_debugging() {
            true => by_graph(roots),
            false => by_program(roots),
        }
    }
}

/// Records the gradients of a result, from [result, cotangent], and computes them with it.
#[track_caller]
fn by_graph(roots: [Value; 2]) -> Result<Gradients> {
    let found = differentiate(&roots);
    let leaves = leaves(&found);
    let mut wanted = vec![roots[0].clone()];
    wanted.extend(leaves.iter().map(|(_, _, g)| g.clone()));
    if !trace::is_recording() {
        buffers_of(&wanted, false)?;
    }
    for (parameter, version, g) in leaves {
        parameter.accumulate(version, g);
    }
    Ok(Gradients {
        roots,
        leaves: Vec::new(),
        found: OnceLock::from(found),
    })
}

fn differentiate([result, seed]: &[Value; 2]) -> Cotangents {
    let (results, seeds) = (std::slice::from_ref(result), std::slice::from_ref(seed));
    reverse(results, seeds, &is_trainable)
}

/// Trained parameters, the versions that the result depends on, and their gradients.
fn leaves(found: &Cotangents) -> Vec<(Parameter, Value, Value)> {
    let nodes = found.order.nodes.iter().zip(&found.of);
    let leaf = |(node, g): (&Value, &Option<Value>)| Some((cell(node)?, node.clone(), g.clone()?));
    nodes.filter_map(leaf).collect()
}

/// The Programs of backward passes.
static PROGRAMS: Cache<Backward> = Cache::new();

/// The same by the Program of an earlier backward pass, where one had the same structure: the
/// gradients of intermediate Values are recorded only if they are asked for.
#[track_caller]
fn by_program(roots: [Value; 2]) -> Result<Gradients> {
    let Some(mut forward) = Forward::new(&roots, is_trainable) else {
        return by_graph(roots);
    };
    let key = std::mem::take(&mut forward.key);
    let make = || {
        let found = symbolic(|| differentiate(&roots));
        let (mut at, mut wanted) = (Vec::new(), vec![roots[0].clone()]);
        for (_, version, g) in leaves(&found) {
            at.push(forward.order.position(&version).ok_or(())? as u32);
            wanted.push(g);
        }
        let c = canonical(&wanted, false, is_known);
        let program = new_program(&c.graph(is_known), &[]);
        Backward::new(program, at, &c, &forward, is_known).ok_or(())
    };
    let Ok(backward) = PROGRAMS.get(key, make) else {
        return by_graph(roots);
    };
    affordable(&backward.program)?;
    let bindings = backward.bindings(&forward);
    let inputs = bindings.buffers()?;
    // A position out of range: the graph knows the operation and its line.
    let Ok(made) = run(&backward.program, &inputs, &bindings) else {
        return by_graph(roots);
    };
    let mut outputs = backward.program.outputs.iter();
    let mut next = || made.get(outputs.next()?, &inputs);
    if let Some(data) = next() {
        let _ = roots[0].0.data.set(data);
    }
    let mut leaves = Vec::with_capacity(backward.leaves.len());
    for &at in &backward.leaves {
        let version = forward.order.nodes[at as usize].clone();
        if let (Some(data), Some(parameter)) = (next(), cell(&version)) {
            let (shape, dtype) = (version.shape().clone(), version.dtype());
            let g = Value::from_buffer(data, shape, dtype, roots[0].0.at);
            parameter.accumulate(version.clone(), g.clone());
            leaves.push((version, g));
        }
    }
    drop(forward);
    Ok(Gradients {
        roots,
        leaves,
        found: OnceLock::new(),
    })
}

/// Whether gradients are collected there.
fn is_trainable(v: &Value) -> bool {
    cell(v).is_some()
}

/// The trained parameter that it is a version of.
fn cell(v: &Value) -> Option<Parameter> {
    match &v.0.op {
        Op::Alias(Alias::Cell(cell)) => cell.upgrade().filter(|c| c.trainable).map(Parameter),
        _ => None,
    }
}

/// What [`Value::backward`] found: the gradient by every Value between the result and its
/// parameters. Keeps the graph alive.
pub struct Gradients {
    /// The result and its cotangent.
    roots: [Value; 2],
    /// What is known already.
    leaves: Vec<(Value, Value)>,
    found: OnceLock<Cotangents>,
}

impl Gradients {
    /// The gradient by `value`, a Value that is computed when it is read; `None` where the result
    /// does not depend on a parameter through it.
    ///
    /// ```
    /// use toygrad::prelude::*;
    /// let w = Parameter::new(3.0);
    /// let h = &w * 2.0;
    /// let y = &h * &h;
    /// let grads = y.backward()?;
    /// assert_eq!(grads.of(&h).unwrap().item()?, 12.0);
    /// assert_eq!(w.grad()?.item()?, 24.0);
    /// # Ok::<(), toygrad::Error>(())
    /// ```
    pub fn of(&self, value: impl Into<Value>) -> Option<Value> {
        let found = self.found.get_or_init(|| {
            let found = differentiate(&self.roots);
            for (version, g) in &self.leaves {
                if let (Some(recorded), Some(data)) = (found.get(version), g.known()) {
                    let _ = recorded.0.data.set(data.clone());
                }
            }
            found
        });
        found.get(&value.into()).cloned()
    }
}
