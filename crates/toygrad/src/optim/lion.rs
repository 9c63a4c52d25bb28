//! Lion.

use super::Optimizer;
use super::common::{Common, Scalar};
use crate::nn::{Module, path};
use crate::{Parameter, Result, Value};

/// Lion (Chen et al. 2023): `p ← p (1 - lr · weight_decay) - lr · sign(β₁ m + (1 - β₁) g)`, then
/// `m ← β₂ m + (1 - β₂) g`. Wants a learning rate 3 to 10 times smaller than Adam's, and a weight
/// decay larger by as much.
#[derive(Clone, Debug)]
pub struct Lion {
    common: Common,
    betas: (f64, f64),
    weight_decay: f64,
    exp_avg: Vec<Parameter>,
}

impl Lion {
    /// With β = (0.9, 0.99), without weight decay.
    #[track_caller]
    pub fn new(model: &(impl Module + ?Sized), learning_rate: f64) -> Lion {
        let common = Common::new(model, learning_rate);
        let exp_avg = common.zeros();
        Lion {
            common,
            betas: (0.9, 0.99),
            weight_decay: 0.0,
            exp_avg,
        }
    }

    /// With these shares of the momentum in the step and in the next momentum.
    #[track_caller]
    pub fn betas(mut self, first: f64, second: f64) -> Lion {
        self.betas = self.common.betas(first, second);
        self
    }

    super::options! {
        /// With this weight decay, apart from the gradient.
        weight_decay: "at least 0", |x| x >= 0.0;
    }
}

impl Module for Lion {
    fn visit(&self, prefix: &str, visitor: &mut dyn FnMut(&str, &Parameter)) {
        visitor(&path(prefix, "learning_rate"), &self.common.learning_rate);
        self.common.visit(prefix, "exp_avg", &self.exp_avg, visitor);
    }

    fn zero_grad(&self) {
        self.common.zero_grad();
    }
}

impl Optimizer for Lion {
    super::has_common!();

    fn rule(&self, gradients: &[Option<Value>]) -> Result<Vec<(Parameter, Value)>> {
        let (b1, b2) = self.betas;
        let lr = self.common.learning_rate();
        let shrink = Scalar::new(1.0 - &lr * self.weight_decay);
        let rate = Scalar::new(lr);
        let mut updates = Vec::new();
        let parameters = self.common.parameters.iter().zip(&self.exp_avg);
        for (((_, cell), m), g) in parameters.zip(gradients) {
            let Some(g) = g else { continue };
            let mut p = cell.value();
            let direction = (b1 * m.value() + (1.0 - b1) * g).sign();
            if self.weight_decay != 0.0 {
                p = &p * shrink.of(&p);
            }
            updates.push((cell.clone(), &p - rate.of(&p) * direction));
            updates.push((m.clone(), b2 * m.value() + (1.0 - b2) * g));
        }
        Ok(updates)
    }
}
