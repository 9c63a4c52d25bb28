//! When to stop: once a number has not become better for a while.

use crate::nn::Module;
use crate::{Parameter, Result, Value};

/// Whether less or more is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goal {
    /// Less is better: losses and errors.
    Least,
    /// More is better: accuracies and scores.
    Most,
}

/// Watches a number and says when it has not become better for `patience` epochs; keeps the
/// weights of the best epoch.
///
/// ```
/// use toygrad::train::{EarlyStopping, Goal};
/// let mut early = EarlyStopping::new("validation_loss", Goal::Least, 2);
/// let losses = [3.0, 2.0, 2.5, 2.1];
/// let stops: Vec<bool> = losses.iter().map(|&x| early.update(x)).collect();
/// assert_eq!(stops, [false, false, false, true]);
/// assert_eq!(early.best(), Some(2.0));
/// ```
#[derive(Clone, Debug)]
pub struct EarlyStopping {
    metric: String,
    goal: Goal,
    patience: u64,
    min_delta: f64,
    pub(crate) best: Option<f64>,
    pub(crate) waited: u64,
    pub(crate) weights: Vec<(String, Parameter, Option<Value>)>,
}

impl EarlyStopping {
    /// Watches `metric`: `train_loss`, or a name that the validation gives.
    pub fn new(metric: impl Into<String>, goal: Goal, patience: u64) -> EarlyStopping {
        EarlyStopping {
            metric: metric.into(),
            goal,
            patience,
            min_delta: 0.0,
            best: None,
            waited: 0,
            weights: Vec::new(),
        }
    }

    /// Only what is better by more than this counts.
    pub fn min_delta(mut self, min_delta: f64) -> Self {
        self.min_delta = min_delta;
        self
    }

    /// At the end the model gets the weights that it had in its best epoch.
    pub fn restore_best(mut self, model: &(impl Module + ?Sized)) -> Self {
        let state = model.state_dict().into_iter();
        self.weights = state.map(|(name, p)| (name, p, None)).collect();
        self
    }

    /// The name of what it watches.
    pub fn metric(&self) -> &str {
        &self.metric
    }

    /// The best number so far.
    pub fn best(&self) -> Option<f64> {
        self.best
    }

    /// Notes a number; whether it is time to stop. NaN is never better.
    pub fn update(&mut self, x: f64) -> bool {
        let better = match (self.best, self.goal) {
            (None, _) => !x.is_nan(),
            (Some(best), Goal::Least) => x < best - self.min_delta,
            (Some(best), Goal::Most) => x > best + self.min_delta,
        };
        if better {
            self.best = Some(x);
            self.waited = 0;
            for (_, parameter, best) in &mut self.weights {
                *best = Some(parameter.value());
            }
        } else {
            self.waited += 1;
        }
        self.waited >= self.patience
    }

    /// Puts the best weights into the model, if it was asked to keep them.
    ///
    /// # Errors
    /// None that the weights did not have before.
    #[track_caller]
    pub fn restore(&self) -> Result<()> {
        let best = self.weights.iter();
        let best = best.filter_map(|(_, p, best)| Some((p, best.clone()?)));
        Parameter::set_all(best, &[])
    }

    #[track_caller]
    pub(crate) fn watch(&mut self, found: Option<f64>) -> Result<bool> {
        match found {
            Some(x) => Ok(self.update(x)),
            None => Err(super::fit::not_given("early stopping", &self.metric)),
        }
    }
}
