//! The loop.

use super::EarlyStopping;
use crate::data::{Dataset, Loader};
use crate::optim::{Plateau, Scheduler};
use crate::{Error, Result};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Instant;

/// What a run is about to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// How many epochs in all.
    pub epochs: u64,
    /// How many batches each has.
    pub batches: usize,
    /// How many epochs an earlier part of the run has finished.
    pub done: u64,
}

/// A step that was just made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// The epoch, from 0.
    pub epoch: u64,
    /// The batch of the epoch, from 0.
    pub batch: usize,
    /// The step of the run, from 0.
    pub step: u64,
    /// The loss of the batch, before the step.
    pub loss: f64,
}

/// The numbers of an epoch.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// How many epochs are finished, this one included.
    pub epoch: u64,
    /// How many steps the run has made.
    pub step: u64,
    /// The mean loss of the epoch's batches.
    pub train_loss: f64,
    /// What the validation gave, by name.
    pub metrics: Vec<(String, f64)>,
    /// The learning rate at the end of the epoch, where a schedule or a plateau sets it.
    pub learning_rate: Option<f64>,
    /// How long the epoch took, validation included.
    pub seconds: f64,
}

impl Record {
    /// A number by its name: `train_loss`, `learning_rate`, `seconds` or a metric.
    pub fn get(&self, name: &str) -> Option<f64> {
        match name {
            "train_loss" => Some(self.train_loss),
            "learning_rate" => self.learning_rate,
            "seconds" => Some(self.seconds),
            _ => self.metrics.iter().find(|(n, _)| n == name).map(|m| m.1),
        }
    }

    /// All numbers with their names.
    pub fn numbers(&self) -> Vec<(&str, f64)> {
        let mut all = vec![("train_loss", self.train_loss)];
        all.extend(self.metrics.iter().map(|(name, x)| (&name[..], *x)));
        all.extend(self.learning_rate.map(|x| ("learning_rate", x)));
        all.push(("seconds", self.seconds));
        all
    }
}

/// Why a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// All epochs were done.
    Finished,
    /// A callback, or early stopping, said so.
    Stopped,
    /// The flag of [`Fit::stop_when`] was raised.
    Interrupted,
}

/// What a run has been.
#[derive(Clone, Debug, PartialEq)]
pub struct History {
    /// One for each epoch, those before a resume included.
    pub records: Vec<Record>,
    /// Why it ended.
    pub ended: Ended,
}

/// Whether to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Go on.
    Continue,
    /// End the run after this epoch or step.
    Stop,
}

/// What is told of a run as it goes: logs, bars, plots. All methods do nothing by default.
pub trait Callback {
    /// The run begins.
    ///
    /// # Errors
    /// End the run, as in all methods.
    fn on_start(&mut self, _plan: &Plan) -> Result<()> {
        Ok(())
    }

    /// A step was made.
    ///
    /// # Errors
    /// End the run.
    fn on_step(&mut self, _step: &Step) -> Result<Next> {
        Ok(Next::Continue)
    }

    /// An epoch is over, and validated.
    ///
    /// # Errors
    /// End the run.
    fn on_epoch(&mut self, _record: &Record) -> Result<Next> {
        Ok(Next::Continue)
    }

    /// The run is over.
    ///
    /// # Errors
    /// Are those of the run.
    fn on_end(&mut self, _history: &History) -> Result<()> {
        Ok(())
    }
}

impl<C: Callback + ?Sized> Callback for &mut C {
    fn on_start(&mut self, plan: &Plan) -> Result<()> {
        (**self).on_start(plan)
    }
    fn on_step(&mut self, step: &Step) -> Result<Next> {
        (**self).on_step(step)
    }
    fn on_epoch(&mut self, record: &Record) -> Result<Next> {
        (**self).on_epoch(record)
    }
    fn on_end(&mut self, history: &History) -> Result<()> {
        (**self).on_end(history)
    }
}

/// A closure that is told of epochs.
struct OnEpoch<F>(F);

impl<F: FnMut(&Record)> Callback for OnEpoch<F> {
    fn on_epoch(&mut self, record: &Record) -> Result<Next> {
        (self.0)(record);
        Ok(Next::Continue)
    }
}

/// The loop over epochs and batches; see [the module](super).
#[must_use = "nothing happens until `run`"]
pub struct Fit<'a> {
    epochs: u64,
    callbacks: Vec<Box<dyn Callback + 'a>>,
    schedule: Option<&'a Scheduler>,
    plateau: Option<(String, &'a Plateau)>,
    early: Option<EarlyStopping>,
    stop: Option<&'a AtomicBool>,
    #[cfg(feature = "files")]
    checkpoint: Option<super::Checkpoint<'a>>,
}

impl<'a> Fit<'a> {
    /// A run of so many epochs.
    pub fn new(epochs: u64) -> Fit<'a> {
        Fit {
            epochs,
            callbacks: Vec::new(),
            schedule: None,
            plateau: None,
            early: None,
            stop: None,
            #[cfg(feature = "files")]
            checkpoint: None,
        }
    }

    /// Tells `callback` of the run; several are told in the order in which they were given.
    pub fn with(mut self, callback: impl Callback + 'a) -> Self {
        self.callbacks.push(Box::new(callback));
        self
    }

    /// Calls `f` after each epoch.
    pub fn on_epoch(self, f: impl FnMut(&Record) + 'a) -> Self {
        self.with(OnEpoch(f))
    }

    /// Goes on with a schedule of the learning rate after each step. Where there are checkpoints,
    /// the schedule is one of their parts.
    pub fn schedule(mut self, schedule: &'a Scheduler) -> Self {
        self.schedule = Some(schedule);
        self
    }

    /// Lowers the learning rate when a number stops falling: `train_loss`, or one that the
    /// validation gives. Where there are checkpoints, the plateau is one of their parts.
    ///
    /// ```
    /// use toygrad::prelude::*;
    /// use toygrad::data::{self, Arrays, Loader};
    /// use toygrad::optim::Plateau;
    /// use toygrad::train::Fit;
    /// let (x, y) = data::moons(40, 0.1, 1);
    /// let loader = Loader::new(Arrays::new(&x, &y)?, 10);
    /// let model = Mlp::new(&[2, 8, 2], Activation::Relu);
    /// let optimizer = Adam::new(&model, 0.1);
    /// let plateau = Plateau::new(&optimizer, 0.5, 3);
    /// let loss = |x: &Value, y: &Value| cross_entropy(model.forward(x), y);
    /// Fit::new(4).plateau("validation_loss", &plateau).run(
    ///     &loader,
    ///     |(x, y)| optimizer.minimize(&loss(&x, &y)).item(),
    ///     || Ok(vec![("validation_loss", loss(&x, &y).item()?)]),
    /// )?;
    /// # Ok::<(), toygrad::Error>(())
    /// ```
    pub fn plateau(mut self, metric: impl Into<String>, plateau: &'a Plateau) -> Self {
        self.plateau = Some((metric.into(), plateau));
        self
    }

    /// Ends the run when a number no longer becomes better.
    pub fn stop_early(mut self, early: EarlyStopping) -> Self {
        self.early = Some(early);
        self
    }

    /// Ends the run, after a checkpoint if there are any, once the flag is true: what a signal
    /// handler raises.
    pub fn stop_when(mut self, flag: &'a AtomicBool) -> Self {
        self.stop = Some(flag);
        self
    }

    /// Saves the run as it goes, and goes on from what was saved.
    #[cfg(feature = "files")]
    pub fn checkpoint(mut self, checkpoint: super::Checkpoint<'a>) -> Self {
        self.checkpoint = Some(checkpoint);
        self
    }

    /// Trains: `step` makes a step with a batch and gives its loss; `validate` is asked for
    /// numbers after each epoch (none will do: `|| Ok(vec![])`).
    ///
    /// # Errors
    /// Those of the step, the validation, the dataset and the callbacks; a loss that is not
    /// finite; a damaged checkpoint, or one of another run; a number to watch that is not there.
    #[track_caller]
    pub fn run<D: Dataset + 'static>(
        mut self,
        loader: &Loader<D>,
        mut step: impl FnMut(D::Batch) -> Result<f64>,
        mut validate: impl FnMut() -> Result<Vec<(&'static str, f64)>>,
    ) -> Result<History> {
        if self.schedule.is_some() && self.plateau.is_some() {
            let message =
                "a schedule and a plateau both set the learning rate: one of them is wanted";
            return Err(Error::argument(message));
        }
        let mut at = Progress::default();
        #[cfg(feature = "files")]
        if let Some(checkpoint) = &self.checkpoint {
            checkpoint.resume(&mut at, &mut self.early)?;
        }
        let plan = Plan {
            epochs: self.epochs,
            batches: loader.batches(),
            done: at.epoch,
        };
        for callback in &mut self.callbacks {
            callback.on_start(&plan)?;
        }
        let mut ended = match at.stopped {
            true => Ended::Stopped,
            false => Ended::Finished,
        };
        'run: while ended == Ended::Finished && at.epoch < self.epochs {
            let begun = Instant::now();
            let mut next = Next::Continue;
            for batch in loader.epoch_from(at.epoch, at.batch) {
                let batch = batch?;
                let loss = step(batch)?;
                if !loss.is_finite() {
                    return Err(diverged(loss, &at));
                }
                at.loss_sum += loss;
                if let Some(schedule) = self.schedule {
                    at.learning_rate = Some(schedule.step()?);
                }
                let told = Step {
                    epoch: at.epoch,
                    batch: at.batch,
                    step: at.step,
                    loss,
                };
                at.batch += 1;
                at.step += 1;
                for callback in &mut self.callbacks {
                    if callback.on_step(&told)? == Next::Stop {
                        next = Next::Stop;
                    }
                }
                if self.stop.is_some_and(|flag| flag.load(Relaxed)) {
                    ended = Ended::Interrupted;
                    self.save(&at, true)?;
                    break 'run;
                }
                if next == Next::Stop {
                    ended = Ended::Stopped;
                    self.save(&at, true)?;
                    break 'run;
                }
                self.save(&at, false)?;
            }
            let metrics = validate()?.into_iter();
            let mut record = Record {
                epoch: at.epoch + 1,
                step: at.step,
                train_loss: at.loss_sum / at.batch.max(1) as f64,
                metrics: metrics.map(|(name, x)| (name.into(), x)).collect(),
                learning_rate: at.learning_rate,
                seconds: begun.elapsed().as_secs_f64(),
            };
            (at.epoch, at.batch, at.loss_sum) = (at.epoch + 1, 0, 0.0);
            if let Some((metric, plateau)) = &self.plateau {
                let Some(found) = record.get(metric) else {
                    return Err(not_given("a plateau", metric));
                };
                at.learning_rate = Some(plateau.step(found)?);
                record.learning_rate = at.learning_rate;
            }
            if let Some(early) = &mut self.early {
                let found = record.get(early.metric());
                at.stopped = early.watch(found)?;
            }
            for callback in &mut self.callbacks {
                at.stopped |= callback.on_epoch(&record)? == Next::Stop;
            }
            at.records.push(record);
            self.save(&at, at.stopped || at.epoch >= self.epochs)?;
            if at.stopped {
                ended = Ended::Stopped;
            }
        }
        if ended != Ended::Interrupted
            && let Some(early) = &self.early
        {
            early.restore()?;
        }
        let history = History {
            records: at.records,
            ended,
        };
        for callback in &mut self.callbacks {
            callback.on_end(&history)?;
        }
        Ok(history)
    }

    /// Saves, if there are checkpoints and one is due (or wanted `now`).
    fn save(&mut self, _at: &Progress, _now: bool) -> Result<()> {
        #[cfg(feature = "files")]
        if let Some(checkpoint) = &mut self.checkpoint {
            checkpoint.save_when_due(_at, self.early.as_ref(), _now)?;
        }
        Ok(())
    }
}

/// Where a run stands.
#[derive(Clone, Debug, Default)]
pub(crate) struct Progress {
    /// Epochs finished.
    pub epoch: u64,
    /// Batches of the current epoch done.
    pub batch: usize,
    pub step: u64,
    /// Of the current epoch's batches.
    pub loss_sum: f64,
    pub learning_rate: Option<f64>,
    /// A callback or early stopping has ended the run.
    pub stopped: bool,
    pub records: Vec<Record>,
}

/// What is watched must be there.
#[track_caller]
pub(super) fn not_given(who: &str, metric: &str) -> Error {
    Error::argument(format!(
        "{who} watches {metric:?}, which the validation does not give"
    ))
}

#[track_caller]
fn diverged(loss: f64, at: &Progress) -> Error {
    Error::argument(format!(
        "the loss became {loss} in step {} (epoch {}, batch {}): try a smaller learning rate, \
         gradient clipping, or look for numbers in the data that are not finite",
        at.step + 1,
        at.epoch + 1,
        at.batch + 1
    ))
}
