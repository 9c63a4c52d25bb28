//! Muon.

use super::Optimizer;
use super::common::{Common, Scalar};
use crate::nn::{Module, path};
use crate::{Error, Parameter, Result, Value};

/// Muon (Jordan et al. 2024), as `torch.optim.Muon`: momentum, made nearly orthogonal by five
/// Newton-Schulz iterations, so that all directions of a matrix move alike:
///
/// `m ← momentum m + (1 - momentum) g`, `u = momentum m + (1 - momentum) g` (Nesterov's form),
/// `p ← p (1 - lr · weight_decay) - lr √max(1, rows / columns) orthogonal(u)`.
///
/// It is for matrices between hidden layers; train the rest with [`AdamW`](super::AdamW), both
/// together in [`Groups`](super::Groups).
#[derive(Clone, Debug)]
pub struct Muon {
    common: Common,
    momentum: f64,
    nesterov: bool,
    weight_decay: f64,
    momentum_buffer: Vec<Parameter>,
}

impl Muon {
    /// With Nesterov's momentum 0.95 and weight decay 0.1.
    #[track_caller]
    pub fn new(model: &(impl Module + ?Sized), learning_rate: f64) -> Muon {
        let common = Common::new(model, learning_rate);
        Muon {
            momentum: 0.95,
            nesterov: true,
            weight_decay: 0.1,
            momentum_buffer: common.zeros(),
            common,
        }
    }

    super::options! {
        /// With this momentum.
        momentum: "in [0, 1)", |x| (0.0..1.0).contains(&x);
        /// With this weight decay, apart from the gradient.
        weight_decay: "at least 0", |x| x >= 0.0;
    }

    /// With Nesterov's form of the momentum, or the plain one.
    pub fn nesterov(self, nesterov: bool) -> Muon {
        Muon { nesterov, ..self }
    }
}

/// A matrix with the singular vectors of x and singular values near 1: five iterations of a
/// quintic polynomial, on the wide form of x over its norm.
fn orthogonalised(x: &Value) -> Value {
    let tall = x.shape()[0] > x.shape()[1];
    let mut x = if tall { x.t() } else { x.clone() };
    x = &x / x.norm().maximum(1e-7);
    for _ in 0..5 {
        let a = x.matmul(x.t());
        let b = -4.7750 * &a + 2.0315 * a.matmul(&a);
        x = 3.4445 * &x + b.matmul(&x);
    }
    if tall { x.t() } else { x }
}

impl Module for Muon {
    fn visit(&self, prefix: &str, visitor: &mut dyn FnMut(&str, &Parameter)) {
        visitor(&path(prefix, "learning_rate"), &self.common.learning_rate);
        self.common
            .visit(prefix, "momentum_buffer", &self.momentum_buffer, visitor);
    }

    fn zero_grad(&self) {
        self.common.zero_grad();
    }
}

impl Optimizer for Muon {
    super::has_common!();

    fn rule(&self, gradients: &[Option<Value>]) -> Result<Vec<(Parameter, Value)>> {
        let lr = self.common.learning_rate();
        let shrink = Scalar::new(1.0 - &lr * self.weight_decay);
        let rate = Scalar::new(lr);
        let share = 1.0 - self.momentum;
        let mut updates = Vec::new();
        let parameters = self.common.parameters.iter().zip(&self.momentum_buffer);
        for (((_, cell), buffer), g) in parameters.zip(gradients) {
            let Some(g) = g else { continue };
            let mut p = cell.value();
            let [rows, columns] = p.shape()[..] else {
                return Err(Error::argument(format!(
                    "Muon moves matrices, and {} is {}: give it `select(|_, p| p.shape().rank() \
                     == 2)`, and the rest to AdamW in `Groups`",
                    cell.name(),
                    p.shape()
                )));
            };
            let m = self.momentum * buffer.value() + share * g;
            let u = match self.nesterov {
                true => self.momentum * &m + share * g,
                false => m.clone(),
            };
            let scale = (rows as f64 / columns.max(1) as f64).max(1.0).sqrt();
            if self.weight_decay != 0.0 {
                p = &p * shrink.of(&p);
            }
            let step = scale * orthogonalised(&u);
            updates.push((cell.clone(), &p - rate.of(&p) * step));
            updates.push((buffer.clone(), m));
        }
        Ok(updates)
    }
}
