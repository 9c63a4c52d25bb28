//! `toygrad train`.

use crate::Outcome;
use crate::args::Train;
use crate::console::{Console, number};
use crate::failure::{Result, require};
use crate::folder;
use crate::model::{Architecture, Card, Model};
use crate::problem::Problem;
use crate::report;
use serde_json::json;
use std::fs;
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};
use toygrad::data::{Dataset, Loader};
use toygrad::io::{self, Target, Task};
use toygrad::nn::loss::CrossEntropy;
use toygrad::optim::{Schedule, Scheduler};
use toygrad::prelude::*;
use toygrad::train::{
    Callback, Checkpoint, CsvLog, EarlyStopping, Ended, Fit, Goal, History, JsonLines, TensorBoard,
    metrics,
};

/// Raised by Ctrl-C.
static STOP: AtomicBool = AtomicBool::new(false);

/// Trains, and writes a folder.
pub fn run(arguments: Train) -> Result<Outcome> {
    let mut console = Console::new(arguments.output.json, arguments.output.quiet);
    check(&arguments)?;
    if let Some(threads) = arguments.threads {
        toygrad::set_num_threads(threads);
    }
    let (mut settings, folder) = match &arguments.output.resume {
        None => (arguments.clone(), None),
        Some(folder) => (saved_settings(folder)?, Some(folder.clone())),
    };
    settings.output.save_every = arguments.output.save_every;
    let problem = Problem::load(&mut settings)?;
    check(&settings)?;
    let folder = match folder {
        Some(folder) => folder,
        None => {
            let folder = folder::create(arguments.output.out.as_deref(), &problem.name)?;
            io::write_text(folder.join("settings.json"), &text(&settings))?;
            folder
        }
    };
    on_interrupt();

    manual_seed(settings.steps.seed);
    let model = problem.card.architecture.build();
    start(&settings, &problem, &model, &folder, &console);
    let begun = Instant::now();
    let history = fit(&settings, &problem, &model, &folder, &mut console)?;
    let path = folder.join("model.safetensors");
    io::save_with(&model, &path, &[("toygrad", &problem.card.to_json())])?;
    finish(
        &settings, &problem, &model, &history, begun, &folder, &console,
    )
}

/// The settings of a run that is there.
pub fn saved_settings(folder: &Path) -> Result<Train> {
    let path = folder.join("settings.json");
    let text = io::read_text(&path)?;
    let settings = serde_json::from_str(&text).map_err(|e| {
        let message = format!("these are no settings of a run: {e}");
        Error::file(&path, None, message)
    })?;
    Ok(settings)
}

/// That numbers are in their ranges.
fn check(settings: &Train) -> Result<()> {
    let positive = |x: Option<f64>| x.is_none_or(|x| x > 0.0 && x.is_finite());
    let share = settings.problem.test.is_none_or(|x| x > 0.0 && x < 1.0);
    require(
        settings.steps.epochs != Some(0),
        "--epochs must be at least 1",
    )?;
    require(
        settings.steps.batch != Some(0),
        "--batch must be at least 1",
    )?;
    require(
        settings.steps.steps != Some(0),
        "--steps must be at least 1",
    )?;
    require(
        settings.steps.patience != Some(0),
        "--patience must be at least 1",
    )?;
    require(settings.threads != Some(0), "--threads must be at least 1")?;
    require(
        !settings.shape.hidden.contains(&0),
        "--hidden: a layer must have a width of at least 1",
    )?;
    require(share, "--test must be between 0 and 1")?;
    require(
        settings
            .problem
            .resize
            .is_none_or(|n| n > 0 && n <= 1 << 12),
        "--resize must be at least 1, at most 4096",
    )?;
    require(positive(settings.steps.rate), "--rate must be above 0")?;
    require(
        settings.steps.decay >= 0.0 && settings.steps.decay.is_finite(),
        "--decay must be at least 0",
    )
}

fn text(settings: &Train) -> String {
    serde_json::to_string_pretty(settings).unwrap_or_default() + "\n"
}

/// The first Ctrl-C ends the run after its step, the second one at once.
fn on_interrupt() {
    static ONCE: OnceLock<()> = OnceLock::new();
    ONCE.get_or_init(|| {
        // Without a handler Ctrl-C ends the program at once, as in any other.
        let _ = ctrlc::set_handler(|| {
            if STOP.swap(true, Relaxed) {
                std::process::exit(130);
            }
        });
    });
}

/// Says what is about to happen.
fn start(settings: &Train, problem: &Problem, model: &Model, folder: &Path, console: &Console) {
    let title = problem.card.architecture.title();
    let unit = match problem.target {
        Some(_) => "samples",
        None => "windows",
    };
    console.say(&format!(
        "{}: {} {unit} to learn from, {} to test on\n{title}, {} parameters, AdamW, seed {}\n",
        problem.title,
        problem.train.len(),
        problem.test.len(),
        model.parameter_count(),
        settings.steps.seed
    ));
    console.event(
        "start",
        json!({
            "data": problem.title,
            "train_samples": problem.train.len(),
            "test_samples": problem.test.len(),
            "model": title,
            "parameters": model.parameter_count(),
            "epochs": settings.steps.epochs,
            "seed": settings.steps.seed,
            "folder": folder,
        }),
    );
}

/// Predictions and answers as losses take them: of text `[batch, n, characters]`, every position
/// is a sample.
fn flat(predictions: &Value, targets: &Value) -> (Value, Value) {
    match predictions.shape()[..] {
        [batch, n, characters] => (
            predictions.reshape([batch * n, characters]),
            targets.reshape([batch * n]),
        ),
        _ => (predictions.clone(), targets.clone()),
    }
}

/// What training makes small. Labels are smoothed, which does more for the accuracy on new samples
/// than anything else that is as cheap.
fn training_loss(target: Option<&Target>, predictions: &Value, targets: &Value) -> Value {
    match target.map(|t| &t.task) {
        Some(Task::Classification(_)) => {
            let smoothed = CrossEntropy {
                label_smoothing: 0.1,
                ..Default::default()
            };
            smoothed.of(predictions, targets)
        }
        Some(Task::Regression) => mse(predictions, targets),
        None => {
            let (predictions, targets) = flat(predictions, targets);
            cross_entropy(predictions, targets)
        }
    }
}

fn fit(
    settings: &Train,
    problem: &Problem,
    model: &Model,
    folder: &Path,
    console: &mut Console,
) -> Result<History> {
    let epochs = settings.steps.epochs.unwrap_or(1);
    let rate = settings.steps.rate.unwrap_or(0.001);
    let loader = Loader::new(problem.train.clone(), settings.steps.batch.unwrap_or(32))
        .shuffle(settings.steps.seed)
        .limit(settings.steps.steps.unwrap_or(usize::MAX))
        .prefetch(2);
    let mut optimizer = AdamW::new(model, rate).weight_decay(settings.steps.decay);
    let steps = (loader.batches() as u64).saturating_mul(epochs);
    let mut schedule = Schedule::cosine(steps, 0.0);
    if let Architecture::Gpt { .. } = problem.card.architecture {
        optimizer = optimizer.betas(0.9, 0.99).clip_grad_norm(1.0);
        let warmup = (steps / 20).max(1);
        schedule =
            Schedule::linear(0.0, 1.0, warmup).then(warmup, Schedule::cosine(steps - warmup, 0.0));
    }
    let schedule = Scheduler::new(&optimizer, schedule)?;
    let checkpoint = Checkpoint::new(folder.join("checkpoint.safetensors"))
        .settings(text(settings))
        .every(Duration::from_secs(settings.output.save_every))
        .part("model", model)
        .part("optimizer", &optimizer)
        .part("schedule", &schedule);
    let target = problem.target.as_ref();
    let step = compile(|(x, y): (Value, Value)| {
        optimizer.minimize(&training_loss(target, &model.forward(&x), &y))
    });
    let (x, y) = (problem.test.inputs()?, problem.test.targets()?);
    let watched = match &problem.validation {
        Some(part) => Some((part.inputs()?, part.targets()?)),
        None => None,
    };
    let validate = || {
        let mut found = Vec::new();
        if let Some((x, y)) = &watched {
            let predictions = model.predict(x)?;
            found.push((
                "validation_loss",
                training_loss(target, &predictions, y).item()?,
            ));
        }
        found.extend(test(&problem.card, target, model, &x, &y)?);
        Ok(found)
    };
    let log = json_lines(folder)?;
    let mut fit = Fit::new(epochs)
        .schedule(&schedule)
        .checkpoint(checkpoint)
        .stop_when(&STOP)
        .with(CsvLog::new(folder.join("metrics.csv")))
        .with(log)
        .with(console);
    if settings.output.tensorboard {
        fit = fit.with(TensorBoard::new(folder)?);
    }
    if let Some(patience) = settings.steps.patience {
        let early = EarlyStopping::new("validation_loss", Goal::Least, patience);
        fit = fit.stop_early(early.restore_best(model));
    }
    Ok(fit.run(&loader, |batch| step.call(batch)?.item(), validate)?)
}

/// The file of an object for each epoch; begun anew with the epochs that a resumed run has behind
/// it, as it may have been killed after one that is not in its checkpoint.
fn json_lines(folder: &Path) -> Result<JsonLines<fs::File>> {
    let path = folder.join("metrics.jsonl");
    let file = fs::File::create(&path)
        .map_err(|e| Error::file(&path, None, format!("cannot write it: {e}")))?;
    let mut log = JsonLines::new(file);
    let checkpoint = folder.join("checkpoint.safetensors");
    if checkpoint.exists() {
        for record in &Checkpoint::read(checkpoint)?.records {
            log.on_epoch(record)?;
        }
    }
    Ok(log)
}

/// How good the model is on samples that it did not learn from; the number that counts comes last.
pub fn test(
    card: &Card,
    target: Option<&Target>,
    model: &Model,
    x: &Value,
    y: &Value,
) -> toygrad::Result<Vec<(&'static str, f64)>> {
    let predictions = model.predict(x)?;
    match target.map(|t| &t.task) {
        Some(Task::Classification(_)) => Ok(vec![
            ("test_loss", cross_entropy(&predictions, y).item()?),
            ("test_accuracy", metrics::accuracy(&predictions, y)?),
        ]),
        Some(Task::Regression) => {
            let (p, y) = (card.unscale(&predictions), card.unscale(y));
            Ok(vec![
                ("test_r2", metrics::r2(&p, &y)?),
                ("test_rmse", metrics::rmse(&p, &y)?),
            ])
        }
        None => {
            let (predictions, y) = flat(&predictions, y);
            let loss = cross_entropy(predictions, y).item()?;
            Ok(vec![
                ("perplexity", metrics::perplexity(loss)),
                ("validation_loss", loss),
            ])
        }
    }
}

/// Says how it ended.
fn finish(
    settings: &Train,
    problem: &Problem,
    model: &Model,
    history: &History,
    begun: Instant,
    folder: &Path,
    console: &Console,
) -> Result<Outcome> {
    let seconds = begun.elapsed().as_secs_f64();
    let (x, y) = (problem.test.inputs()?, problem.test.targets()?);
    let numbers = test(&problem.card, problem.target.as_ref(), model, &x, &y)?;
    report::write(problem, model, history, &numbers, &text(settings), folder)?;
    let path = folder.join("model.safetensors");
    let final_loss = history.records.last().map(|r| r.train_loss);
    let mut done = json!({
        "final_loss": final_loss,
        "seconds": seconds,
        "epochs": history.records.len(),
        "model": path,
        "folder": folder,
    });
    for (name, x) in &numbers {
        done[*name] = json!(x);
    }
    if history.ended == Ended::Interrupted {
        console.say(&format!(
            "\ninterrupted; saved. Go on with: toygrad train --resume {}",
            folder.display()
        ));
        console.event("interrupted", done);
        return Ok(Outcome::Interrupted);
    }
    if history.ended == Ended::Stopped {
        console.say("\nno better for a while: stopped, with the weights of the best epoch");
    }
    if let Some((name, x)) = numbers.last() {
        console.say(&format!(
            "\n{} {} after {seconds:.1} s of training; final loss {}",
            name.replace('_', " "),
            number(name, *x),
            final_loss.map_or("unknown".into(), |x| number("loss", x))
        ));
    }
    console.say(&format!("model saved as {}", path.display()));
    console.say(&format!(
        "pictures in {}",
        folder.join("index.html").display()
    ));
    console.event("done", done);
    Ok(Outcome::Done)
}
