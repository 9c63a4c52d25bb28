//! Optimisers that divide by a running size of the gradient: RMSprop and Adagrad.

use super::Optimizer;
use super::common::{Common, Scalar, scalar};
use crate::nn::{Module, path};
use crate::{Parameter, Result, Value};

/// RMSprop (Hinton 2012), as `torch.optim.RMSprop`: `v ← alpha v + (1 - alpha) g²`,
/// `p ← p - lr · g / (√v + eps)`.
#[derive(Clone, Debug)]
pub struct RmsProp {
    common: Common,
    alpha: f64,
    eps: f64,
    momentum: f64,
    weight_decay: f64,
    square_avg: Vec<Parameter>,
    /// One for each parameter if centred.
    grad_avg: Vec<Parameter>,
    /// One for each parameter with momentum.
    velocity: Vec<Parameter>,
}

impl RmsProp {
    /// With alpha 0.99 and eps 1e-8.
    #[track_caller]
    pub fn new(model: &(impl Module + ?Sized), learning_rate: f64) -> RmsProp {
        let common = Common::new(model, learning_rate);
        RmsProp {
            alpha: 0.99,
            eps: 1e-8,
            momentum: 0.0,
            weight_decay: 0.0,
            square_avg: common.zeros(),
            grad_avg: Vec::new(),
            velocity: Vec::new(),
            common,
        }
    }

    super::options! {
        /// With this decay of the average.
        alpha: "in [0, 1)", |x| (0.0..1.0).contains(&x);
        /// With this number in the denominator.
        eps: "at least 0", |x| x >= 0.0;
        /// With an L2 penalty: `weight_decay · p` is added to the gradient.
        weight_decay: "at least 0", |x| x >= 0.0;
    }

    /// With the mean of the gradient subtracted: `√(v - mean²)` divides.
    pub fn centered(mut self) -> RmsProp {
        self.grad_avg = self.common.zeros();
        self
    }

    /// With momentum, in `[0, 1)`: `m ← momentum m + g / (√v + eps)`, `p ← p - lr m`.
    #[track_caller]
    pub fn momentum(mut self, momentum: f64) -> RmsProp {
        let ok = (0.0..1.0).contains(&momentum);
        self.common.require(ok, "momentum is in [0, 1)", momentum);
        self.momentum = momentum;
        self.velocity = self.common.zeros();
        self
    }
}

impl Module for RmsProp {
    fn visit(&self, prefix: &str, visitor: &mut dyn FnMut(&str, &Parameter)) {
        visitor(&path(prefix, "learning_rate"), &self.common.learning_rate);
        self.common
            .visit(prefix, "square_avg", &self.square_avg, visitor);
        self.common
            .visit(prefix, "grad_avg", &self.grad_avg, visitor);
        self.common
            .visit(prefix, "momentum_buffer", &self.velocity, visitor);
    }

    fn zero_grad(&self) {
        self.common.zero_grad();
    }
}

impl Optimizer for RmsProp {
    super::has_common!();

    fn rule(&self, gradients: &[Option<Value>]) -> Result<Vec<(Parameter, Value)>> {
        let rate = Scalar::new(self.common.learning_rate());
        let average =
            |cell: &Parameter, x: Value| self.alpha * cell.value() + (1.0 - self.alpha) * x;
        let mut updates = Vec::new();
        let parameters = self.common.parameters.iter().zip(&self.square_avg);
        for (i, (((_, cell), square_avg), g)) in parameters.zip(gradients).enumerate() {
            let Some(g) = g else { continue };
            let p = cell.value();
            let mut g = g.clone();
            if self.weight_decay != 0.0 {
                g += self.weight_decay * &p;
            }
            let v = average(square_avg, &g * &g);
            updates.push((square_avg.clone(), v.clone()));
            let variance = match self.grad_avg.get(i) {
                None => v,
                Some(grad_avg) => {
                    let mean = average(grad_avg, g.clone());
                    updates.push((grad_avg.clone(), mean.clone()));
                    v - &mean * &mean
                }
            };
            let mut step = g / (variance.sqrt() + self.eps);
            if let Some(velocity) = self.velocity.get(i) {
                step = self.momentum * velocity.value() + step;
                updates.push((velocity.clone(), step.clone()));
            }
            updates.push((cell.clone(), &p - rate.of(&p) * step));
        }
        Ok(updates)
    }
}

/// Adagrad (Duchi et al. 2011), as `torch.optim.Adagrad`: `s ← s + g²`,
/// `p ← p - lr / (1 + (t - 1) lr_decay) · g / (√s + eps)` in step t.
#[derive(Clone, Debug)]
pub struct Adagrad {
    common: Common,
    lr_decay: f64,
    eps: f64,
    weight_decay: f64,
    step: Parameter,
    sum: Vec<Parameter>,
}

impl Adagrad {
    /// With eps 1e-10.
    #[track_caller]
    pub fn new(model: &(impl Module + ?Sized), learning_rate: f64) -> Adagrad {
        let common = Common::new(model, learning_rate);
        Adagrad {
            lr_decay: 0.0,
            eps: 1e-10,
            weight_decay: 0.0,
            step: scalar(0.0),
            sum: common.zeros(),
            common,
        }
    }

    super::options! {
        /// With a learning rate that falls with the steps.
        lr_decay: "at least 0", |x| x >= 0.0;
        /// With this number in the denominator.
        eps: "at least 0", |x| x >= 0.0;
        /// With an L2 penalty: `weight_decay · p` is added to the gradient.
        weight_decay: "at least 0", |x| x >= 0.0;
    }
}

impl Module for Adagrad {
    fn visit(&self, prefix: &str, visitor: &mut dyn FnMut(&str, &Parameter)) {
        visitor(&path(prefix, "learning_rate"), &self.common.learning_rate);
        visitor(&path(prefix, "step"), &self.step);
        self.common.visit(prefix, "sum", &self.sum, visitor);
    }

    fn zero_grad(&self) {
        self.common.zero_grad();
    }
}

impl Optimizer for Adagrad {
    super::has_common!();

    fn rule(&self, gradients: &[Option<Value>]) -> Result<Vec<(Parameter, Value)>> {
        let t = self.step.value();
        let rate = self.common.learning_rate() / (1.0 + &t * self.lr_decay);
        let rate = Scalar::new(rate);
        let mut updates = vec![(self.step.clone(), t + 1.0)];
        let parameters = self.common.parameters.iter().zip(&self.sum);
        for (((_, cell), sum), g) in parameters.zip(gradients) {
            let Some(g) = g else { continue };
            let p = cell.value();
            let mut g = g.clone();
            if self.weight_decay != 0.0 {
                g += self.weight_decay * &p;
            }
            let total = sum.value() + &g * &g;
            let step = g / (total.sqrt() + self.eps);
            updates.push((cell.clone(), &p - rate.of(&p) * step));
            updates.push((sum.clone(), total));
        }
        Ok(updates)
    }
}
