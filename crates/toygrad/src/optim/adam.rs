//! Adam and AdamW.

use super::Optimizer;
use super::common::{Common, Scalar, scalar};
use crate::nn::{Module, path};
use crate::{Parameter, Result, Value};

/// Adam (Kingma & Ba 2014), as `torch.optim.Adam`:
///
/// `m ← β₁ m + (1 - β₁) g`, `v ← β₂ v + (1 - β₂) g²`,
/// `p ← p - lr · (m / (1 - β₁ᵗ)) / (√(v / (1 - β₂ᵗ)) + eps)` in step t.
///
/// ```
/// use toygrad::prelude::*;
/// let w = Parameter::new([1.0, -2.0]);
/// let optimizer = Adam::new(&w, 0.1);
/// let _ = optimizer.minimize(&(&w * &w).sum()).item()?;
/// // The first step is the learning rate in the direction of the gradient's sign.
/// let moved = w.value().to_vec::<f64>()?;
/// assert!((moved[0] - 0.9).abs() < 1e-8 && (moved[1] + 1.9).abs() < 1e-8);
/// # Ok::<(), toygrad::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Adam {
    common: Common,
    betas: (f64, f64),
    eps: f64,
    weight_decay: f64,
    /// Whether weight decay is apart from the gradient.
    decoupled: bool,
    /// How many steps it has made.
    step: Parameter,
    exp_avg: Vec<Parameter>,
    exp_avg_sq: Vec<Parameter>,
    /// The largest of the second moments so far; none without AMSGrad.
    max_exp_avg_sq: Vec<Parameter>,
}

impl Adam {
    /// With β = (0.9, 0.999) and eps = 1e-8, without weight decay.
    #[track_caller]
    pub fn new(model: &(impl Module + ?Sized), learning_rate: f64) -> Adam {
        let common = Common::new(model, learning_rate);
        Adam {
            betas: (0.9, 0.999),
            eps: 1e-8,
            weight_decay: 0.0,
            decoupled: false,
            step: scalar(0.0),
            exp_avg: common.zeros(),
            exp_avg_sq: common.zeros(),
            max_exp_avg_sq: Vec::new(),
            common,
        }
    }

    /// With these decays of the two moments, each in `[0, 1)`.
    #[track_caller]
    pub fn betas(mut self, first: f64, second: f64) -> Adam {
        self.betas = self.common.betas(first, second);
        self
    }

    /// Whether the largest second moment so far divides, not the current one, so that steps do not
    /// grow again (Reddi et al. 2018).
    pub fn amsgrad(mut self, amsgrad: bool) -> Adam {
        self.max_exp_avg_sq = match amsgrad {
            true => self.common.zeros(),
            false => Vec::new(),
        };
        self
    }

    super::options! {
        /// With this number in the denominator.
        eps: "at least 0", |x| x >= 0.0;
        /// With an L2 penalty: `weight_decay · p` is added to the gradient. (AdamW shrinks the
        /// parameters apart from it.)
        weight_decay: "at least 0", |x| x >= 0.0;
    }
}

impl Module for Adam {
    fn visit(&self, prefix: &str, visitor: &mut dyn FnMut(&str, &Parameter)) {
        visitor(&path(prefix, "learning_rate"), &self.common.learning_rate);
        visitor(&path(prefix, "step"), &self.step);
        self.common.visit(prefix, "exp_avg", &self.exp_avg, visitor);
        self.common
            .visit(prefix, "exp_avg_sq", &self.exp_avg_sq, visitor);
        self.common
            .visit(prefix, "max_exp_avg_sq", &self.max_exp_avg_sq, visitor);
    }

    fn zero_grad(&self) {
        self.common.zero_grad();
    }
}

impl Optimizer for Adam {
    super::has_common!();

    fn rule(&self, gradients: &[Option<Value>]) -> Result<Vec<(Parameter, Value)>> {
        let (b1, b2) = self.betas;
        let t = self.step.value() + 1.0;
        let rate = self.common.learning_rate();
        let correction = |beta: f64| 1.0 - Value::from(beta).pow(&t);
        // Numerator and denominator times the root of the second moment's correction: an operation
        // less for each element (Kingma & Ba, end of section 2).
        let spread = correction(b2).sqrt();
        let step_size = Scalar::new(&rate / correction(b1) * &spread);
        let eps = Scalar::new(self.eps * spread);
        let shrink = Scalar::new(1.0 - rate * self.weight_decay);
        let mut updates = vec![(self.step.clone(), t)];
        let cells = self.exp_avg.iter().zip(&self.exp_avg_sq);
        let parameters = self.common.parameters.iter().zip(cells);
        for (i, (((_, cell), (m, v)), g)) in parameters.zip(gradients).enumerate() {
            let Some(g) = g else { continue };
            let (mut p, mut g) = (cell.value(), g.clone());
            match self.decoupled {
                _ if self.weight_decay == 0.0 => {}
                true => p = &p * shrink.of(&p),
                false => g += self.weight_decay * &p,
            }
            let exp_avg = b1 * m.value() + (1.0 - b1) * &g;
            let exp_avg_sq = b2 * v.value() + (1.0 - b2) * (&g * &g);
            let size = match self.max_exp_avg_sq.get(i) {
                None => exp_avg_sq.clone(),
                Some(cell) => {
                    let largest = cell.value().maximum(&exp_avg_sq);
                    updates.push((cell.clone(), largest.clone()));
                    largest
                }
            };
            let root = size.sqrt() + eps.of(&p);
            let p = &p - step_size.of(&p) * (&exp_avg / root);
            updates.extend([
                (cell.clone(), p),
                (m.clone(), exp_avg),
                (v.clone(), exp_avg_sq),
            ]);
        }
        Ok(updates)
    }
}

/// Adam with weight decay apart from the gradient (Loshchilov & Hutter 2017), as
/// `torch.optim.AdamW`: `p ← p · (1 - lr · weight_decay)` before Adam's step.
#[derive(Clone, Debug)]
pub struct AdamW(Adam);

impl AdamW {
    /// With β = (0.9, 0.999), eps = 1e-8 and weight decay 0.01.
    #[track_caller]
    pub fn new(model: &(impl Module + ?Sized), learning_rate: f64) -> AdamW {
        let adam = Adam::new(model, learning_rate).weight_decay(0.01);
        AdamW(Adam {
            decoupled: true,
            ..adam
        })
    }

    /// With these decays of the two moments, each in `[0, 1)`.
    #[track_caller]
    pub fn betas(self, first: f64, second: f64) -> AdamW {
        AdamW(self.0.betas(first, second))
    }

    /// With this number in the denominator.
    #[track_caller]
    pub fn eps(self, eps: f64) -> AdamW {
        AdamW(self.0.eps(eps))
    }

    /// Whether the largest second moment so far divides; see [`Adam::amsgrad`].
    pub fn amsgrad(self, amsgrad: bool) -> AdamW {
        AdamW(self.0.amsgrad(amsgrad))
    }

    /// With this weight decay.
    #[track_caller]
    pub fn weight_decay(self, weight_decay: f64) -> AdamW {
        AdamW(self.0.weight_decay(weight_decay))
    }
}

impl Module for AdamW {
    fn visit(&self, prefix: &str, visitor: &mut dyn FnMut(&str, &Parameter)) {
        self.0.visit(prefix, visitor);
    }

    fn zero_grad(&self) {
        self.0.zero_grad();
    }
}

impl Optimizer for AdamW {
    fn common(&self) -> &Common {
        self.0.common()
    }

    fn common_mut(&mut self) -> &mut Common {
        self.0.common_mut()
    }

    fn rule(&self, gradients: &[Option<Value>]) -> Result<Vec<(Parameter, Value)>> {
        self.0.rule(gradients)
    }
}
