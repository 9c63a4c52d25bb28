//! Runs that go on where they were killed.

use super::fit::Progress;
use super::{EarlyStopping, Record};
use crate::io::{self, Tensors};
use crate::nn::Module;
use crate::{Error, Parameter, RandomState, Result, Value, random_state, set_random_state};
use serde_json::{Value as Json, json};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Saves and restores all of a run: weights, optimiser, position in the data, random numbers,
/// early stopping and the records so far, in one safetensors file that is replaced atomically.
///
/// A run that was killed at any moment and started again ends with the bits of one that was not,
/// if the same program, data and settings make its steps.
///
/// ```
/// use toygrad::prelude::*;
/// use toygrad::data::{self, Arrays, Loader};
/// use toygrad::train::{Checkpoint, Fit};
/// # let path = std::env::temp_dir().join(format!("toygrad-run-{}.safetensors", std::process::id()));
/// let (x, y) = data::blobs(40, 2, 0.1, 1);
/// let loader = Loader::new(Arrays::new(x, y)?, 10).shuffle(1);
/// let run = |epochs| -> Result<Vec<f32>> {
///     manual_seed(1);
///     let model = Linear::new(2, 2);
///     let optimizer = Adam::new(&model, 0.1);
///     let checkpoint = Checkpoint::new(&path).part("model", &model).part("optimizer", &optimizer);
///     Fit::new(epochs).checkpoint(checkpoint).run(
///         &loader,
///         |(x, y)| optimizer.minimize(&cross_entropy(model.forward(&x), &y)).item(),
///         || Ok(vec![]),
///     )?;
///     model.weight.value().to_vec()
/// };
/// let straight = run(2)?;
/// std::fs::remove_file(&path).unwrap();
/// run(1)?;
/// assert_eq!(run(2)?, straight);
/// # std::fs::remove_file(&path).unwrap();
/// # Ok::<(), toygrad::Error>(())
/// ```
pub struct Checkpoint<'a> {
    path: PathBuf,
    parts: Vec<(String, &'a dyn Module)>,
    settings: String,
    every: Duration,
    saved: Instant,
}

/// What a checkpoint says of itself; see [`Checkpoint::read`].
#[derive(Clone, Debug)]
pub struct State {
    /// Epochs finished.
    pub epoch: u64,
    /// Batches of the next epoch done.
    pub batch: usize,
    /// Steps made.
    pub step: u64,
    /// What [`Checkpoint::settings`] was given.
    pub settings: String,
    /// The epochs so far.
    pub records: Vec<Record>,
}

impl<'a> Checkpoint<'a> {
    /// In this file; when 30 seconds have passed, and at the end of the run.
    pub fn new(path: impl Into<PathBuf>) -> Checkpoint<'a> {
        Checkpoint {
            path: path.into(),
            parts: Vec::new(),
            settings: String::new(),
            every: Duration::from_secs(30),
            saved: Instant::now(),
        }
    }

    /// Saves this model or optimiser, under a name of its own.
    pub fn part(mut self, name: impl Into<String>, module: &'a dyn Module) -> Self {
        self.parts.push((name.into(), module));
        self
    }

    /// Text that a resumed run must have in common with the first: its settings.
    pub fn settings(mut self, settings: impl Into<String>) -> Self {
        self.settings = settings.into();
        self
    }

    /// How often to save; zero saves after each step.
    pub fn every(mut self, every: Duration) -> Self {
        self.every = every;
        self
    }

    /// What a checkpoint says of itself, without loading it.
    ///
    /// # Errors
    /// A file that is damaged or no checkpoint.
    pub fn read(path: impl AsRef<Path>) -> Result<State> {
        let path = path.as_ref();
        let (progress, saved) = understand(path, &io::read_safetensors(path)?)?;
        Ok(State {
            epoch: progress.epoch,
            batch: progress.batch,
            step: progress.step,
            settings: saved.settings,
            records: progress.records,
        })
    }

    /// All cells by name.
    fn cells(&self) -> Vec<(String, Parameter)> {
        let mut cells = Vec::new();
        for (name, module) in &self.parts {
            module.visit(name, &mut |name, p| cells.push((name.into(), p.clone())));
        }
        cells
    }

    pub(super) fn save_when_due(
        &mut self,
        at: &Progress,
        early: Option<&EarlyStopping>,
        now: bool,
    ) -> Result<()> {
        if now || self.saved.elapsed() >= self.every {
            self.save(at, early)?;
            self.saved = Instant::now();
        }
        Ok(())
    }

    fn save(&self, at: &Progress, early: Option<&EarlyStopping>) -> Result<()> {
        let cells = self.cells();
        let mut tensors: Vec<(String, Value)> = cells
            .into_iter()
            .map(|(name, p)| (name, p.value()))
            .collect();
        if let Some(early) = early {
            let best = early.weights.iter();
            let best = best.filter_map(|(n, _, v)| Some((format!("best.{n}"), v.clone()?)));
            tensors.extend(best);
        }
        let RandomState { seed, position } = random_state();
        let state = json!({
            "version": 1,
            "epoch": at.epoch,
            "batch": at.batch,
            "step": at.step,
            "loss_sum": at.loss_sum,
            "learning_rate": at.learning_rate,
            "stopped": at.stopped,
            "seed": seed,
            "position": position,
            "settings": self.settings,
            "best": early.and_then(|e| e.best),
            "waited": early.map_or(0, |e| e.waited),
            "records": at.records.iter().map(to_json).collect::<Vec<_>>(),
        });
        let named = tensors.iter().map(|(name, v)| (&name[..], v.clone()));
        io::write_safetensors(&self.path, named, &[("toygrad", &state.to_string())])
    }

    /// Goes on from the file, if it is there.
    pub(super) fn resume(
        &self,
        at: &mut Progress,
        early: &mut Option<EarlyStopping>,
    ) -> Result<()> {
        if !self.path.exists() {
            return Ok(());
        }
        let fault = |message: &str| Error::file(&self.path, None, message);
        let tensors = io::read_safetensors(&self.path)?;
        let (progress, saved) = understand(&self.path, &tensors)?;
        if saved.settings != self.settings {
            let message = format!(
                "is of a run with other settings ({}, now {}); give it another place",
                saved.settings, self.settings
            );
            return Err(fault(&message));
        }
        let mut updates = Vec::new();
        for (name, cell) in self.cells() {
            let value = tensors.values.get(&name);
            let value = value.filter(|v| *v.shape() == cell.shape() && v.dtype() == cell.dtype());
            let Some(value) = value else {
                let message = format!("{name} is missing or of another shape: of another model?");
                return Err(fault(&message));
            };
            updates.push((cell, value.clone()));
        }
        Parameter::set_all(updates.iter().map(|(p, v)| (p, v.clone())), &[])?;
        if let Some(early) = early {
            (early.best, early.waited) = (saved.best, saved.waited);
            for (name, parameter, best) in &mut early.weights {
                let found = tensors.values.get(&format!("best.{name}"));
                let fits = |v: &&Value| *v.shape() == parameter.shape();
                *best = found.filter(fits).cloned();
            }
        }
        set_random_state(saved.random);
        *at = progress;
        Ok(())
    }
}

/// What is saved beside the position.
struct Saved {
    settings: String,
    random: RandomState,
    best: Option<f64>,
    waited: u64,
}

fn understand(path: &Path, tensors: &Tensors) -> Result<(Progress, Saved)> {
    let text = tensors.metadata.get("toygrad").map_or("", |t| &t[..]);
    let json: Json = serde_json::from_str(text).unwrap_or_default();
    let read = || {
        (json["version"].as_u64()? == 1).then_some(())?;
        let records = json["records"].as_array()?.iter();
        let progress = Progress {
            epoch: json["epoch"].as_u64()?,
            batch: usize::try_from(json["batch"].as_u64()?).ok()?,
            step: json["step"].as_u64()?,
            loss_sum: json["loss_sum"].as_f64()?,
            learning_rate: json["learning_rate"].as_f64(),
            stopped: json["stopped"].as_bool()?,
            records: records.map(from_json).collect::<Option<_>>()?,
        };
        let saved = Saved {
            settings: json["settings"].as_str()?.into(),
            random: RandomState {
                seed: json["seed"].as_u64()?,
                position: json["position"].as_u64()?,
            },
            best: json["best"].as_f64(),
            waited: json["waited"].as_u64()?,
        };
        Some((progress, saved))
    };
    read().ok_or_else(|| {
        let message = "is no checkpoint of a run (or of another version); remove it to start anew";
        Error::file(path, None, message)
    })
}

/// A record as JSON; what is not finite becomes null.
pub(super) fn to_json(record: &Record) -> Json {
    let metrics = record.metrics.iter();
    json!({
        "epoch": record.epoch,
        "step": record.step,
        "train_loss": record.train_loss,
        "metrics": metrics.map(|(name, x)| json!([name, x])).collect::<Vec<_>>(),
        "learning_rate": record.learning_rate,
        "seconds": record.seconds,
    })
}

fn from_json(json: &Json) -> Option<Record> {
    let number = |json: &Json| json.as_f64().unwrap_or(f64::NAN);
    let metric = |m: &Json| Some((m[0].as_str()?.to_string(), number(&m[1])));
    let metrics = json["metrics"].as_array()?.iter().map(metric);
    Some(Record {
        epoch: json["epoch"].as_u64()?,
        step: json["step"].as_u64()?,
        train_loss: number(&json["train_loss"]),
        metrics: metrics.collect::<Option<_>>()?,
        learning_rate: json["learning_rate"].as_f64(),
        seconds: number(&json["seconds"]),
    })
}
