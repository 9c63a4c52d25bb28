//! `toygrad train`.

use crate::Outcome;
use crate::args::Train;
use crate::console::{Console, number};
use crate::failure::{Result, require};
use crate::folder;
use crate::model::{Architecture, Model};
use crate::problem::Problem;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Instant;
use toygrad::data::{Dataset, Loader};
use toygrad::io::{self, Task};
use toygrad::nn::loss::CrossEntropy;
use toygrad::optim::{Schedule, Scheduler};
use toygrad::prelude::*;
use toygrad::train::{Checkpoint, CsvLog, Ended, Fit, History, metrics};

/// Raised by Ctrl-C.
static STOP: AtomicBool = AtomicBool::new(false);

/// Trains, and writes a folder.
pub fn run(settings: Train) -> Result<Outcome> {
    let mut console = Console::new(settings.json, settings.quiet);
    let threads = settings.threads;
    let (settings, folder) = prepare(settings)?;
    let problem = Problem::load(&settings)?;
    let folder = match folder {
        Some(folder) => folder,
        None => {
            let folder = folder::create(settings.out.as_deref(), &problem.name)?;
            io::write_text(folder.join("settings.json"), &text(&settings))?;
            folder
        }
    };
    on_interrupt();
    if let Some(threads) = threads {
        toygrad::set_num_threads(threads);
    }

    manual_seed(settings.seed);
    let sizes = [
        &[problem.features],
        &settings.hidden[..],
        &[problem.outputs()],
    ]
    .concat();
    let architecture = Architecture::Mlp { sizes };
    let model = architecture.build();
    let title = architecture.title();
    console.say(&format!(
        "{}: {} samples to learn from, {} to test on\n{title}, {} parameters, AdamW, seed {}\n",
        problem.title,
        problem.train.len(),
        problem.test.len(),
        model.parameter_count(),
        settings.seed
    ));
    console.event(
        "start",
        json!({
            "data": problem.title,
            "train_samples": problem.train.len(),
            "test_samples": problem.test.len(),
            "model": title,
            "parameters": model.parameter_count(),
            "epochs": settings.epochs,
            "seed": settings.seed,
            "folder": folder,
        }),
    );

    let begun = Instant::now();
    let history = fit(&settings, &problem, &model, &folder, &mut console)?;
    let path = folder.join("model.safetensors");
    io::save_with(&model, &path, &[("toygrad", &architecture.to_json())])?;
    finish(&problem, &model, &history, begun, &path, &folder, &console)
}

/// The settings of the run, and its folder where it goes on in one.
fn prepare(settings: Train) -> Result<(Train, Option<PathBuf>)> {
    let (settings, folder) = match settings.resume.clone() {
        None => (settings, None),
        Some(folder) => {
            let path = folder.join("settings.json");
            let text = io::read_text(&path)?;
            let saved: Train = serde_json::from_str(&text).map_err(|e| {
                let message = format!("these are no settings of a run: {e}");
                Error::file(&path, None, message)
            })?;
            (saved, Some(folder))
        }
    };
    require(settings.epochs > 0, "--epochs must be at least 1")?;
    require(settings.batch > 0, "--batch must be at least 1")?;
    require(
        !settings.hidden.contains(&0),
        "--hidden: a layer must have a width of at least 1",
    )?;
    require(
        settings.test > 0.0 && settings.test < 1.0,
        "--test must be between 0 and 1",
    )?;
    require(
        settings.rate > 0.0 && settings.rate.is_finite(),
        "--rate must be above 0",
    )?;
    require(
        settings.decay >= 0.0 && settings.decay.is_finite(),
        "--decay must be at least 0",
    )?;
    require(settings.threads != Some(0), "--threads must be at least 1")?;
    Ok((settings, folder))
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

/// What training makes small: labels are smoothed, which does more for the accuracy on new samples
/// than anything else that is as cheap.
fn training_loss(task: &Task, predictions: &Value, targets: &Value) -> Value {
    let smoothed = CrossEntropy {
        label_smoothing: 0.1,
        ..Default::default()
    };
    match task {
        Task::Classification(_) => smoothed.of(predictions, targets),
        Task::Regression => mse(predictions, targets),
    }
}

/// What a prediction costs.
fn loss(task: &Task, predictions: &Value, targets: &Value) -> Value {
    match task {
        Task::Classification(_) => cross_entropy(predictions, targets),
        Task::Regression => mse(predictions, targets),
    }
}

fn fit(
    settings: &Train,
    problem: &Problem,
    model: &Model,
    folder: &Path,
    console: &mut Console,
) -> Result<History> {
    let loader = Loader::new(problem.train.clone(), settings.batch)
        .shuffle(settings.seed)
        .prefetch(2);
    let optimizer = AdamW::new(model, settings.rate).weight_decay(settings.decay);
    let steps = (loader.batches() as u64).saturating_mul(settings.epochs);
    let schedule = Scheduler::new(&optimizer, Schedule::cosine(steps, 0.0))?;
    let checkpoint = Checkpoint::new(folder.join("checkpoint.safetensors"))
        .settings(text(settings))
        .part("model", model)
        .part("optimizer", &optimizer)
        .part("schedule", &schedule);
    let (x, y) = (problem.test.inputs()?, problem.test.targets()?);
    let step = compile(|(x, y): (Value, Value)| {
        optimizer.minimize(&training_loss(&problem.task, &model.forward(&x), &y))
    });
    let history = Fit::new(settings.epochs)
        .schedule(&schedule)
        .checkpoint(checkpoint)
        .stop_when(&STOP)
        .with(CsvLog::new(folder.join("metrics.csv")))
        .with(console)
        .run(
            &loader,
            |batch| step.call(batch)?.item(),
            || test(&problem.task, model, &x, &y),
        )?;
    Ok(history)
}

/// How good the model is on samples that it did not learn from.
fn test(
    task: &Task,
    model: &Model,
    x: &Value,
    y: &Value,
) -> toygrad::Result<Vec<(&'static str, f64)>> {
    let predictions = model.predict(x)?;
    let test_loss = loss(task, &predictions, y).item()?;
    let score = match task {
        Task::Classification(_) => ("test_accuracy", metrics::accuracy(&predictions, y)?),
        Task::Regression => ("test_rmse", metrics::rmse(&predictions, y)?),
    };
    Ok(vec![("test_loss", test_loss), score])
}

/// Says how it ended.
fn finish(
    problem: &Problem,
    model: &Model,
    history: &History,
    begun: Instant,
    path: &Path,
    folder: &Path,
    console: &Console,
) -> Result<Outcome> {
    let (x, y) = (problem.test.inputs()?, problem.test.targets()?);
    let numbers = test(&problem.task, model, &x, &y)?;
    let final_loss = history.records.last().map(|r| r.train_loss);
    let seconds = begun.elapsed().as_secs_f64();
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
    if let Some((name, x)) = numbers.last() {
        console.say(&format!(
            "\n{} {} after {seconds:.1} s of training; final loss {}",
            name.replace('_', " "),
            number(name, *x),
            final_loss.map_or("unknown".into(), |x| number("loss", x))
        ));
    }
    console.say(&format!("model saved as {}", path.display()));
    console.event("done", done);
    Ok(Outcome::Done)
}
