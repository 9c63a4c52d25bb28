//! Optimisers: how parameters move along their gradients.
//!
//! All take `&self`: what changes (moments, the learning rate, the count of steps) is in cells, so
//! that a traced step replays with nothing left but the kernels, and a schedule changes the
//! learning rate without tracing again.
//!
//! ```
//! use toygrad::prelude::*;
//!
//! let model = Mlp::new(&[1, 8, 1], Activation::Tanh);
//! let optimizer = Adam::new(&model, 0.01);
//! let x = Value::linspace(-1.0, 1.0, 16).unsqueeze(1);
//! let loss = |_| optimizer.minimize(&mse(model.forward(&x), x.sin())).item();
//! let losses = (0..20).map(loss).collect::<Result<Vec<f64>>>()?;
//! assert!(losses[19] < losses[0]);
//! # Ok::<(), toygrad::Error>(())
//! ```

mod adam;
mod adaptive;
mod common;
mod ema;
mod groups;
mod lbfgs;
mod lion;
mod muon;
mod schedule;
mod sgd;

pub use adam::{Adam, AdamW};
pub use adaptive::{Adagrad, RmsProp};
pub use common::Common;
pub use ema::Ema;
pub use groups::Groups;
pub use lbfgs::Lbfgs;
pub use lion::Lion;
pub use muon::Muon;
pub use schedule::{Plateau, Schedule, Scheduler};
pub use sgd::Sgd;

#[cfg(test)]
mod tests;

use crate::nn::Module;
use crate::{Error, Parameter, Result, Value, gradients};

/// A rule by which parameters move along their gradients.
///
/// Options that are out of their range are reported by the first step, which then changes nothing. A
/// learning rate is finite and at least 0; with 0 the parameters stay as they are.
///
/// Its state is a [`Module`] of buffers, saved and loaded like a model's. The names of the
/// parameters are part of it, so it fits any model that has the same.
pub trait Optimizer: Module {
    /// What all optimisers have: parameters, learning rate, what is done to gradients.
    fn common(&self) -> &Common;

    /// The same, to change.
    fn common_mut(&mut self) -> &mut Common;

    /// The rule itself: new Values for parameters and state, from the gradients of the parameters
    /// in order; `None` for those that stay as they are.
    ///
    /// # Errors
    /// Parameters that the rule is not for.
    fn rule(&self, gradients: &[Option<Value>]) -> Result<Vec<(Parameter, Value)>>;

    /// The cells of the learning rates: one, or one for each group of parameters.
    fn learning_rates(&self) -> Vec<Parameter> {
        vec![self.common().learning_rate.clone()]
    }

    /// The learning rate (that of the first group).
    ///
    /// # Errors
    /// Asked for while a function is being recorded.
    #[track_caller]
    fn learning_rate(&self) -> Result<f64> {
        match self.learning_rates().first() {
            Some(cell) => cell.value().item(),
            None => Err(Error::argument(
                "an optimiser of no groups has no learning rate",
            )),
        }
    }

    /// Changes the learning rate (of all groups). Traced steps see it without being traced again.
    ///
    /// # Errors
    /// A number that is negative or not finite.
    #[track_caller]
    fn set_learning_rate(&self, learning_rate: f64) -> Result<()> {
        if !(learning_rate >= 0.0 && learning_rate.is_finite()) {
            let message = format!("a learning rate is finite and at least 0, not {learning_rate}");
            return Err(Error::argument(message));
        }
        for cell in self.learning_rates() {
            cell.set(learning_rate)?;
        }
        Ok(())
    }

    /// Lets parameters that the loss does not reach stay as they are; else they are an error.
    fn allow_unused(mut self, yes: bool) -> Self
    where
        Self: Sized,
    {
        self.common_mut().allow_unused = yes;
        self
    }

    /// Scales gradients down so that their joint norm is at most `max_norm`, at least 0; see the
    /// function [`clip_grad_norm`].
    #[track_caller]
    fn clip_grad_norm(mut self, max_norm: f64) -> Self
    where
        Self: Sized,
    {
        let common = self.common_mut();
        common.require(max_norm >= 0.0, "a norm to clip to is at least 0", max_norm);
        common.clip_norm = Some(max_norm);
        self
    }

    /// Cuts each element of a gradient to `[-limit, limit]`, a limit of at least 0.
    #[track_caller]
    fn clip_grad_value(mut self, limit: f64) -> Self
    where
        Self: Sized,
    {
        let common = self.common_mut();
        common.require(limit >= 0.0, "a limit to clip to is at least 0", limit);
        common.clip_value = Some(limit);
        self
    }

    /// Moves the parameters by the gradients that [`backward`](Value::backward) left with them.
    ///
    /// # Errors
    /// Parameters that no backward has reached since the last step (unless
    /// [`allow_unused`](Optimizer::allow_unused)); a mistake in the options; what computing the
    /// update gives. Then nothing has changed.
    #[track_caller]
    fn step(&self) -> Result<()> {
        let parameters = self.common().parameters.iter();
        let gradients: Vec<_> = parameters.map(|(_, p)| p.fresh_grad()).collect();
        self.apply(&gradients, &[])
    }

    /// The gradients of `loss` by the parameters in order, as Values; `None` where it does not
    /// depend on one.
    #[track_caller]
    fn gradients(&self, loss: &Value) -> Vec<Option<Value>> {
        let parameters = self.common().parameters.iter();
        let values: Vec<Value> = parameters.map(|(_, p)| p.value()).collect();
        // What the loss does not reach comes as a plain 0.
        let found = gradients(loss, &values).into_iter();
        found
            .map(|g| (g.as_full() != Some(0.0)).then_some(g))
            .collect()
    }

    /// Moves the parameters by these gradients (one for each, in order), and computes `with` in
    /// the same program.
    ///
    /// # Errors
    /// As [`step`](Optimizer::step).
    #[track_caller]
    fn apply(&self, gradients: &[Option<Value>], with: &[&Value]) -> Result<()> {
        let gradients = self.common().prepare(gradients)?;
        let updates = self.rule(&gradients)?;
        Parameter::set_all(updates.iter().map(|(p, v)| (p, v.clone())), with)
    }

    /// Gradients and step in one program: moves the parameters so that `loss` becomes smaller, and
    /// gives the loss before the step.
    ///
    /// A mistake comes in the Value that it gives, as from any operation, so that it is what a
    /// compiled step returns: `compile(|(x, y)| optimizer.minimize(&loss(x, y)))`. The gradients do
    /// not land in the parameters ([`Parameter::grad`]).
    #[track_caller]
    #[must_use = "a mistake is in the loss that it gives: read it"]
    fn minimize(&self, loss: &Value) -> Value {
        match loss.error() {
            Some(_) => loss.clone(),
            None => match self.apply(&self.gradients(loss), &[loss]) {
                Ok(()) => loss.clone(),
                Err(e) => Value::from(e),
            },
        }
    }
}

/// The parts of [`Module`] and [`Optimizer`] that are the same for all optimisers with a field
/// `common`.
macro_rules! has_common {
    () => {
        fn common(&self) -> &Common {
            &self.common
        }

        fn common_mut(&mut self) -> &mut Common {
            &mut self.common
        }
    };
}
use has_common;

/// A setter of an option, which must be in its range.
macro_rules! options {
    ($($(#[doc = $doc:literal])* $option:ident: $range:literal, |$x:ident| $ok:expr;)*) => {$(
        $(#[doc = $doc])*
        #[track_caller]
        pub fn $option(mut self, $option: f64) -> Self {
            let $x = $option;
            self.common.require($ok, concat!(stringify!($option), " is ", $range), $option);
            self.$option = $option;
            self
        }
    )*};
}
use options;

/// Scales all gradients by one factor, so that their joint Euclidean norm is at most `max_norm`
/// (`torch.nn.utils.clip_grad_norm_`): `min(1, max_norm / (norm + 1e-6))`. Gives the norm before.
///
/// ```
/// use toygrad::prelude::*;
/// use toygrad::optim::clip_grad_norm;
/// let (clipped, norm) = clip_grad_norm(&[Some(Value::from([3.0, 0.0])), None, Some(Value::from([4.0]))], 1.0);
/// assert_eq!(norm.item()?, 5.0);
/// assert!((clipped[2].clone().unwrap().item()? - 0.8).abs() < 1e-6);
/// # Ok::<(), toygrad::Error>(())
/// ```
#[track_caller]
pub fn clip_grad_norm(gradients: &[Option<Value>], max_norm: f64) -> (Vec<Option<Value>>, Value) {
    let squares = gradients.iter().flatten().map(|g| g.square().sum());
    let norm = squares.sum::<Value>().sqrt();
    let factor = (max_norm / (&norm + 1e-6)).minimum(1.0);
    let scaled = |g: &Option<Value>| g.as_ref().map(|g| g * factor.cast(g.dtype()));
    (gradients.iter().map(scaled).collect(), norm)
}
