//! Stochastic gradient descent.

use super::Optimizer;
use super::common::{Common, Scalar, scalar};
use crate::nn::{Module, path};
use crate::{Parameter, Result, Value};

/// Stochastic gradient descent, with momentum and weight decay as in `torch.optim.SGD`:
///
/// `g ← g + weight_decay · p`, `m ← momentum · m + (1 - dampening) · g` (the first step starts with
/// `m = g`), `p ← p - lr · m`, or with Nesterov's momentum `p ← p - lr · (g + momentum · m)`.
///
/// ```
/// use toygrad::prelude::*;
/// let w = Parameter::new([1.0, -2.0]);
/// let optimizer = Sgd::new(&w, 0.25);
/// let loss = optimizer.minimize(&(&w * &w).sum());
/// assert_eq!(loss.item()?, 5.0);
/// assert_eq!(w.value().to_vec::<f64>()?, [0.5, -1.0]);
/// # Ok::<(), toygrad::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Sgd {
    common: Common,
    momentum: f64,
    dampening: f64,
    nesterov: bool,
    weight_decay: f64,
    /// How many steps it has made.
    step: Parameter,
    /// One for each parameter; none without momentum.
    velocity: Vec<Parameter>,
}

impl Sgd {
    /// Plain gradient descent of a model's parameters.
    #[track_caller]
    pub fn new(model: &(impl Module + ?Sized), learning_rate: f64) -> Sgd {
        Sgd {
            common: Common::new(model, learning_rate),
            momentum: 0.0,
            dampening: 0.0,
            nesterov: false,
            weight_decay: 0.0,
            step: scalar(0.0),
            velocity: Vec::new(),
        }
    }

    /// With momentum, in `[0, 1)`.
    #[track_caller]
    pub fn momentum(mut self, momentum: f64) -> Sgd {
        self.common.require(
            (0.0..1.0).contains(&momentum),
            "momentum is in [0, 1)",
            momentum,
        );
        self.momentum = momentum;
        self.velocity = match momentum == 0.0 {
            true => Vec::new(),
            false => self.common.zeros(),
        };
        self
    }

    /// With Nesterov's form of the momentum.
    pub fn nesterov(mut self, yes: bool) -> Sgd {
        self.nesterov = yes;
        self
    }

    super::options! {
        /// With so much less of each gradient in the momentum.
        dampening: "finite", |x| x.is_finite();
        /// With an L2 penalty: `weight_decay · p` is added to the gradient.
        weight_decay: "at least 0", |x| x >= 0.0;
    }
}

impl Module for Sgd {
    fn visit(&self, prefix: &str, visitor: &mut dyn FnMut(&str, &Parameter)) {
        visitor(&path(prefix, "learning_rate"), &self.common.learning_rate);
        if !self.velocity.is_empty() {
            visitor(&path(prefix, "step"), &self.step);
            self.common
                .visit(prefix, "momentum_buffer", &self.velocity, visitor);
        }
    }

    fn zero_grad(&self) {
        self.common.zero_grad();
    }
}

impl Optimizer for Sgd {
    super::has_common!();

    fn rule(&self, gradients: &[Option<Value>]) -> Result<Vec<(Parameter, Value)>> {
        let mut updates = Vec::new();
        let rate = Scalar::new(self.common.learning_rate());
        // The first step takes the gradient whole.
        let share = match self.dampening == 0.0 {
            true => None,
            false => Some(Scalar::new(
                self.step.value().eq(0.0).select(1.0, 1.0 - self.dampening),
            )),
        };
        for (i, ((_, cell), g)) in self.common.parameters.iter().zip(gradients).enumerate() {
            let Some(g) = g else { continue };
            let p = cell.value();
            let mut g = g.clone();
            if self.weight_decay != 0.0 {
                g = &g + self.weight_decay * &p;
            }
            if let Some(velocity) = self.velocity.get(i) {
                let entering = match &share {
                    Some(share) => &g * share.of(&g),
                    None => g.clone(),
                };
                let m = self.momentum * velocity.value() + entering;
                updates.push((velocity.clone(), m.clone()));
                g = if self.nesterov {
                    g + self.momentum * m
                } else {
                    m
                };
            }
            updates.push((cell.clone(), &p - rate.of(&p) * g));
        }
        if !self.velocity.is_empty() {
            updates.push((self.step.clone(), self.step.value() + 1.0));
        }
        Ok(updates)
    }
}
