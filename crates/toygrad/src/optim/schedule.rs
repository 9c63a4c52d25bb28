//! Schedules of the learning rate.

use super::Optimizer;
use super::common::scalar;
use crate::nn::{Module, path};
use crate::{Error, Parameter, Result};
use std::f64::consts::PI;
use std::sync::Arc;

/// How the learning rate goes with the steps: a function of the optimiser's own rate and the
/// number of steps made. Schedules are multiplied with [`times`](Schedule::times) and follow one
/// another with [`then`](Schedule::then).
///
/// ```
/// use toygrad::optim::Schedule;
/// let schedule = Schedule::linear(0.1, 1.0, 10).then(10, Schedule::cosine(90, 0.0));
/// assert_eq!(schedule.at(0.5, 0), 0.05);
/// assert_eq!(schedule.at(0.5, 10), 0.5);
/// assert!(schedule.at(0.5, 100) < 1e-12);
/// ```
#[derive(Clone)]
pub struct Schedule(Arc<dyn Fn(f64, u64) -> f64 + Send + Sync>);

impl Schedule {
    /// Any function of the base rate and the step.
    pub fn new(f: impl Fn(f64, u64) -> f64 + Send + Sync + 'static) -> Schedule {
        Schedule(Arc::new(f))
    }

    /// The base times a factor that depends on the step.
    fn factor(f: impl Fn(u64) -> f64 + Send + Sync + 'static) -> Schedule {
        Schedule::new(move |base, t| base * f(t))
    }

    /// The rate at a step.
    pub fn at(&self, base: f64, step: u64) -> f64 {
        (self.0)(base, step)
    }

    /// The base times `factor` for the first `steps`, then the base.
    pub fn constant(factor: f64, steps: u64) -> Schedule {
        Schedule::factor(move |t| if t < steps { factor } else { 1.0 })
    }

    /// Times `gamma` after each `size` steps.
    pub fn step(size: u64, gamma: f64) -> Schedule {
        Schedule::factor(move |t| power(gamma, t / size.max(1)))
    }

    /// Times `gamma` at each of these steps.
    pub fn multi_step(milestones: impl Into<Vec<u64>>, gamma: f64) -> Schedule {
        let milestones = milestones.into();
        Schedule::factor(move |t| {
            power(gamma, milestones.iter().filter(|&&m| m <= t).count() as u64)
        })
    }

    /// Times `gamma` at each step.
    pub fn exponential(gamma: f64) -> Schedule {
        Schedule::factor(move |t| power(gamma, t))
    }

    /// From `start` times the base to `end` times it, in a line over `steps`: a warm-up, or a way
    /// down.
    pub fn linear(start: f64, end: f64, steps: u64) -> Schedule {
        Schedule::factor(move |t| start + (end - start) * part(t, steps))
    }

    /// Half a cosine from the base to `end` over `steps` (Loshchilov & Hutter 2016); `end` after
    /// them.
    pub fn cosine(steps: u64, end: f64) -> Schedule {
        Schedule::new(move |base, t| half_cosine(base, end, part(t, steps)))
    }

    /// [`cosine`](Schedule::cosine) again and again, each `longer` times as long as the one before
    /// (Loshchilov & Hutter 2016).
    pub fn cosine_restarts(steps: u64, longer: u64, end: f64) -> Schedule {
        Schedule::new(move |base, t| {
            let (mut t, mut length) = (t, steps.max(1));
            if longer <= 1 {
                t %= length;
            }
            while t >= length {
                t -= length;
                length = length.saturating_mul(longer.max(1));
            }
            half_cosine(base, end, part(t, length))
        })
    }

    /// The base times `(1 - t / steps)^power`; 0 after them.
    pub fn polynomial(steps: u64, power: f64) -> Schedule {
        Schedule::factor(move |t| (1.0 - part(t, steps)).powf(power))
    }

    /// One cycle (Smith & Topin 2017) of `steps` in all, with the base as the largest rate: up by
    /// half a cosine from base / 25 over the first 30%, down to base / 250,000.
    pub fn one_cycle(steps: u64) -> Schedule {
        Schedule::one_cycle_with(steps, 0.3, 25.0, 1e4)
    }

    /// [`one_cycle`](Schedule::one_cycle) with another share of steps that go up, and other
    /// divisors of the base at the start, and of that at the end.
    pub fn one_cycle_with(steps: u64, up: f64, start: f64, end: f64) -> Schedule {
        Schedule::new(move |base, t| {
            let t = t as f64;
            let last = steps.saturating_sub(1) as f64;
            let peak = up * steps as f64 - 1.0;
            let (low, least) = (base / start, base / start / end);
            match t <= peak {
                true => half_cosine(low, base, t / peak.max(f64::MIN_POSITIVE)),
                false => half_cosine(base, least, ((t - peak) / (last - peak)).min(1.0)),
            }
        })
    }

    /// This until step `at`, then the other one, which counts from there.
    pub fn then(self, at: u64, next: Schedule) -> Schedule {
        Schedule::new(move |base, t| match t.checked_sub(at) {
            None => self.at(base, t),
            Some(t) => next.at(base, t),
        })
    }

    /// Both: the other's change of what this one gives.
    pub fn times(self, other: Schedule) -> Schedule {
        Schedule::new(move |base, t| other.at(self.at(base, t), t))
    }
}

/// How much of `steps` is over, at most all.
fn part(t: u64, steps: u64) -> f64 {
    if t >= steps {
        1.0
    } else {
        t as f64 / steps as f64
    }
}

fn power(gamma: f64, n: u64) -> f64 {
    gamma.powf(n as f64)
}

/// From `start` to `end` by half a cosine.
fn half_cosine(start: f64, end: f64, part: f64) -> f64 {
    end + (start - end) * (1.0 + (PI * part).cos()) / 2.0
}

impl std::fmt::Debug for Schedule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Schedule")
    }
}

/// Sets the learning rate of an optimiser by a schedule, in all its groups. Traced steps see it
/// without being traced again. Its state (steps, base rates) is a [`Module`].
///
/// ```
/// use toygrad::prelude::*;
/// use toygrad::optim::{Schedule, Scheduler};
/// let w = Parameter::new([1.0]);
/// let optimizer = Sgd::new(&w, 0.1);
/// let scheduler = Scheduler::new(&optimizer, Schedule::exponential(0.5))?;
/// for _ in 0..3 {
///     optimizer.minimize(&w.value().sum()).item()?;
///     scheduler.step()?;
/// }
/// assert!((optimizer.learning_rate()? - 0.0125).abs() < 1e-12);
/// # Ok::<(), toygrad::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Scheduler {
    schedule: Schedule,
    rates: Vec<Parameter>,
    base: Vec<Parameter>,
    steps: Parameter,
}

impl Scheduler {
    /// Takes the optimiser's rates as the base and sets them to those of step 0.
    ///
    /// # Errors
    /// Made while a function is being recorded; a rate that is not finite.
    #[track_caller]
    pub fn new(optimizer: &(impl Optimizer + ?Sized), schedule: Schedule) -> Result<Scheduler> {
        let rates = optimizer.learning_rates();
        let base = rates.iter().map(|r| Ok(scalar(r.value().item()?)));
        let base = base.collect::<Result<Vec<_>>>()?;
        let scheduler = Scheduler {
            schedule,
            rates,
            base,
            steps: scalar(0.0),
        };
        scheduler.set(0)?;
        Ok(scheduler)
    }

    /// Goes on by one step, and gives the rate (of the first group).
    ///
    /// # Errors
    /// Called while a function is being recorded; a rate that is not finite.
    #[track_caller]
    pub fn step(&self) -> Result<f64> {
        let steps = self.steps.value().item()? + 1.0;
        self.steps.set(steps)?;
        self.set(steps as u64)
    }

    #[track_caller]
    fn set(&self, step: u64) -> Result<f64> {
        let mut first = 0.0;
        for (i, (rate, base)) in self.rates.iter().zip(&self.base).enumerate() {
            let new = self.schedule.at(base.value().item()?, step);
            if !new.is_finite() || new < 0.0 {
                let message = format!("the schedule gives a learning rate of {new} at step {step}");
                return Err(Error::argument(message));
            }
            rate.set(new)?;
            if i == 0 {
                first = new;
            }
        }
        Ok(first)
    }
}

impl Module for Scheduler {
    fn visit(&self, prefix: &str, visitor: &mut dyn FnMut(&str, &Parameter)) {
        visitor(&path(prefix, "steps"), &self.steps);
        self.base.visit(&path(prefix, "base"), visitor);
    }
}

/// Lowers the learning rates of an optimiser when a measure stops falling, as PyTorch's
/// `ReduceLROnPlateau`; [`Fit::plateau`](crate::train::Fit::plateau) does it in a training loop. Its
/// state is a [`Module`].
///
/// ```
/// use toygrad::prelude::*;
/// use toygrad::optim::Plateau;
/// let w = Parameter::new([1.0]);
/// let optimizer = Sgd::new(&w, 0.1);
/// let plateau = Plateau::new(&optimizer, 0.1, 2);
/// for loss in [3.0, 2.0, 2.0, 2.0, 2.0] {
///     plateau.step(loss)?;
/// }
/// assert!((optimizer.learning_rate()? - 0.01).abs() < 1e-12);
/// # Ok::<(), toygrad::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Plateau {
    /// What rates are multiplied by, in `[0, 1)`.
    pub factor: f64,
    /// How many steps without improvement are let pass.
    pub patience: u64,
    /// How much better, relative to the best, is an improvement.
    pub threshold: f64,
    /// How many steps after a change are not counted.
    pub cooldown: u64,
    /// Rates do not fall below.
    pub least: f64,
    rates: Vec<Parameter>,
    best: Parameter,
    bad: Parameter,
    cooling: Parameter,
}

impl Plateau {
    /// With threshold 1e-4, no cooldown, down to 0.
    #[track_caller]
    pub fn new(optimizer: &(impl Optimizer + ?Sized), factor: f64, patience: u64) -> Plateau {
        Plateau {
            factor,
            patience,
            threshold: 1e-4,
            cooldown: 0,
            least: 0.0,
            rates: optimizer.learning_rates(),
            best: scalar(f64::INFINITY),
            bad: scalar(0.0),
            cooling: scalar(0.0),
        }
    }

    /// Takes note of a measure (a loss: smaller is better, NaN never is), and gives the rate (of
    /// the first group).
    ///
    /// # Errors
    /// Called while a function is being recorded; a factor that is not in `[0, 1)`, a least rate
    /// that is none.
    #[track_caller]
    pub fn step(&self, measure: f64) -> Result<f64> {
        let sane = self.least >= 0.0 && self.least.is_finite();
        if !((0.0..1.0).contains(&self.factor) && sane) {
            return Err(Error::argument(format!(
                "a plateau multiplies rates by a factor in [0, 1), down to a least rate that is \
                 finite and at least 0; factor {} and least {} came",
                self.factor, self.least
            )));
        }
        let read = |cell: &Parameter| cell.value().item();
        let (best, cooling) = (read(&self.best)?, read(&self.cooling)?);
        let better = measure < best * (1.0 - self.threshold);
        let bad = match better || cooling > 0.0 {
            true => 0.0,
            false => read(&self.bad)? + 1.0,
        };
        let lower = bad > self.patience as f64;
        if lower {
            for rate in &self.rates {
                let old = read(rate)?;
                // One that is below the least already stays.
                rate.set((old * self.factor).max(self.least).min(old))?;
            }
        }
        self.best.set(if better { measure } else { best })?;
        self.bad.set(if lower { 0.0 } else { bad })?;
        self.cooling.set(match lower {
            true => self.cooldown as f64,
            false => (cooling - 1.0).max(0.0),
        })?;
        self.rates.first().map_or(Ok(0.0), read)
    }
}

impl Module for Plateau {
    fn visit(&self, prefix: &str, visitor: &mut dyn FnMut(&str, &Parameter)) {
        visitor(&path(prefix, "best"), &self.best);
        visitor(&path(prefix, "num_bad_epochs"), &self.bad);
        visitor(&path(prefix, "cooldown_counter"), &self.cooling);
    }
}
