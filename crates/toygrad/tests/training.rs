//! The training loop: resume to the bit, early stopping, callbacks, logs, faults.
#![cfg(feature = "files")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;
use toygrad::data::{self, Arrays, Loader};
use toygrad::nn::Dropout;
use toygrad::optim::{Lbfgs, Plateau, Schedule, Scheduler};
use toygrad::prelude::*;
use toygrad::train::{
    Callback, Checkpoint, CsvLog, EarlyStopping, Ended, Fit, Goal, History, JsonLines, Next,
    Record, Step, TensorBoard,
};

fn path(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("toygrad-training-{name}-{}", std::process::id()))
}

fn moons() -> Loader<Arrays> {
    let (x, y) = data::moons(90, 0.1, 1);
    Loader::new(Arrays::new(x, y).unwrap(), 16)
        .shuffle(3)
        .prefetch(1)
}

/// Raises a flag after so many steps.
struct After<'a>(u64, &'a AtomicBool);

impl Callback for After<'_> {
    fn on_step(&mut self, _: &Step) -> Result<Next> {
        self.0 = self.0.saturating_sub(1);
        self.1.store(self.0 == 0, Relaxed);
        Ok(Next::Continue)
    }
}

/// Trains four epochs with dropout, a schedule and early stopping, as far as `steps`.
fn train(file: &Path, steps: u64) -> (History, Vec<f32>) {
    manual_seed(11);
    let model = Sequential::new()
        .then(Linear::new(2, 16))
        .then(Activation::Relu)
        .then(Dropout::new(0.3))
        .then(Linear::new(16, 2));
    let optimizer = Adam::new(&model, 0.02);
    let schedule = Scheduler::new(&optimizer, Schedule::cosine(24, 0.0)).unwrap();
    let stop = AtomicBool::new(false);
    let checkpoint = Checkpoint::new(file)
        .every(Duration::ZERO)
        .settings("test")
        .part("model", &model)
        .part("optimizer", &optimizer)
        .part("schedule", &schedule);
    let step =
        compile(|(x, y): (Value, Value)| optimizer.minimize(&cross_entropy(model.forward(&x), y)));
    let history = Fit::new(4)
        .schedule(&schedule)
        .checkpoint(checkpoint)
        .stop_early(EarlyStopping::new("train_loss", Goal::Least, 9).restore_best(&model))
        .stop_when(&stop)
        .with(After(steps, &stop))
        .run(&moons(), |batch| step.call(batch)?.item(), || Ok(vec![]))
        .unwrap();
    let weights = model.parameters();
    let weights = weights
        .iter()
        .flat_map(|p| p.value().to_vec::<f32>().unwrap());
    (history, weights.collect())
}

/// Without what a clock says.
fn timeless(history: &History) -> Vec<Record> {
    let record = |r: &Record| Record {
        seconds: 0.0,
        ..r.clone()
    };
    history.records.iter().map(record).collect()
}

#[test]
fn an_interrupted_run_ends_with_the_bits_of_one_that_is_not() {
    let (straight_file, file) = (path("straight"), path("resumed"));
    let (straight, weights) = train(&straight_file, u64::MAX);
    assert_eq!(straight.ended, Ended::Finished);
    // In the middle of an epoch, at the end of one, after one step, and so on to the end.
    for steps in [2, 4, 1, 7] {
        assert_eq!(train(&file, steps).0.ended, Ended::Interrupted);
    }
    assert_eq!(Checkpoint::read(&file).unwrap().step, 14);
    let (resumed, again) = train(&file, u64::MAX);
    assert_eq!(timeless(&straight), timeless(&resumed));
    assert_eq!(weights, again);
    // A finished run is finished.
    let (finished, again) = train(&file, u64::MAX);
    assert_eq!(finished.records, resumed.records);
    assert_eq!(weights, again);
    fs::remove_file(straight_file).unwrap();
    fs::remove_file(file).unwrap();
}

/// Trains eight epochs with a plateau of the validation loss, as far as `steps`.
fn train_to_a_plateau(file: &Path, steps: u64) -> (History, Vec<f32>) {
    manual_seed(5);
    let model = Mlp::new(&[2, 16, 2], Activation::Relu);
    let optimizer = Adam::new(&model, 0.5);
    let plateau = Plateau::new(&optimizer, 0.3, 0);
    let stop = AtomicBool::new(false);
    let checkpoint = Checkpoint::new(file)
        .every(Duration::ZERO)
        .part("model", &model)
        .part("optimizer", &optimizer)
        .part("plateau", &plateau);
    let (x, y) = data::moons(60, 0.3, 2);
    let loss = |x: &Value, y: &Value| cross_entropy(model.forward(x), y);
    let step = compile(|(x, y): (Value, Value)| optimizer.minimize(&loss(&x, &y)));
    let history = Fit::new(8)
        .plateau("validation_loss", &plateau)
        .checkpoint(checkpoint)
        .stop_when(&stop)
        .with(After(steps, &stop))
        .run(
            &moons(),
            |batch| step.call(batch)?.item(),
            || Ok(vec![("validation_loss", loss(&x, &y).item()?)]),
        )
        .unwrap();
    (history, model.layers[0].weight.value().to_vec().unwrap())
}

#[test]
fn a_plateau_lowers_the_rate_and_is_resumed() {
    let (straight_file, file) = (path("plateau"), path("plateau-resumed"));
    let (straight, weights) = train_to_a_plateau(&straight_file, u64::MAX);
    let rates: Vec<f64> = straight
        .records
        .iter()
        .map(|r| r.learning_rate.unwrap())
        .collect();
    // It falls more than once, and not in each epoch.
    let falls = rates.windows(2).filter(|pair| pair[1] < pair[0]).count();
    assert!((2..7).contains(&falls), "{rates:?}");
    for steps in [8, 1, 12, 7] {
        assert_eq!(train_to_a_plateau(&file, steps).0.ended, Ended::Interrupted);
    }
    let (resumed, again) = train_to_a_plateau(&file, u64::MAX);
    assert_eq!(timeless(&straight), timeless(&resumed));
    assert_eq!(weights, again);
    fs::remove_file(straight_file).unwrap();
    fs::remove_file(file).unwrap();
}

#[test]
fn a_plateau_that_cannot_be_is_said() {
    let sgd = Sgd::new(&Parameter::new(0.0), 0.1);
    let plateau = Plateau::new(&sgd, 0.1, 1);
    let message = |fit: Fit| {
        let run = fit.run(&moons(), |_| Ok(1.0), || Ok(vec![]));
        run.unwrap_err().to_string()
    };
    let nothing = message(Fit::new(1).plateau("nothing", &plateau));
    assert!(
        nothing.contains("a plateau watches \"nothing\""),
        "{nothing}"
    );
    let schedule = Scheduler::new(&sgd, Schedule::exponential(0.5)).unwrap();
    let both = message(
        Fit::new(1)
            .schedule(&schedule)
            .plateau("train_loss", &plateau),
    );
    assert!(both.contains("both set the learning rate"), "{both}");
}

#[test]
fn a_checkpoint_of_something_else_is_refused() {
    let file = path("other");
    train(&file, 1);
    let model = Linear::new(2, 2);
    let run = |checkpoint: Checkpoint| {
        let error = Fit::new(1)
            .checkpoint(checkpoint)
            .run(&moons(), |_| Ok(0.0), || Ok(vec![]));
        error.unwrap_err().to_string()
    };
    let message = run(Checkpoint::new(&file).part("model", &model));
    assert!(message.contains("other settings"), "{message}");
    let message = run(Checkpoint::new(&file)
        .settings("test")
        .part("model", &model));
    assert!(message.contains("model.weight is missing"), "{message}");
    fs::write(&file, "not a checkpoint").unwrap();
    assert!(!run(Checkpoint::new(&file)).is_empty());
    toygrad::io::save(&model, &file).unwrap();
    assert!(run(Checkpoint::new(&file)).contains("is no checkpoint"));
    fs::remove_file(file).unwrap();
}

#[test]
fn early_stopping_gives_back_the_best_weights() {
    let weight = Parameter::new([0.0]);
    let losses = [3.0, 2.0, 1.0, 5.0, 6.0, 7.0];
    let mut epoch = 0;
    let history = Fit::new(100)
        .stop_early(EarlyStopping::new("measure", Goal::Least, 2).restore_best(&weight))
        .run(
            &moons(),
            |_| Ok(1.0),
            || {
                epoch += 1;
                weight.set([epoch as f64])?;
                Ok(vec![("measure", losses[epoch - 1])])
            },
        )
        .unwrap();
    assert_eq!((history.ended, history.records.len()), (Ended::Stopped, 5));
    assert_eq!(weight.value().item().unwrap(), 3.0);
    let nothing = Fit::new(2)
        .stop_early(EarlyStopping::new("nothing", Goal::Most, 1))
        .run(&moons(), |_| Ok(1.0), || Ok(vec![]));
    assert!(nothing.unwrap_err().to_string().contains("\"nothing\""));
}

#[test]
fn a_loss_that_is_no_number_ends_the_run() {
    let mut steps = 0;
    let run = Fit::new(3).run(
        &moons(),
        |_| {
            steps += 1;
            Ok(if steps == 8 { f64::NAN } else { 1.0 })
        },
        || Ok(vec![]),
    );
    let message = run.unwrap_err().to_string();
    assert!(message.contains("step 8 (epoch 2, batch 2)"), "{message}");
}

#[test]
fn logs_hold_every_epoch() {
    let folder = path("logs");
    fs::create_dir_all(&folder).unwrap();
    let mut lines = Vec::new();
    let mut epochs = Vec::new();
    Fit::new(3)
        .with(JsonLines::new(&mut lines))
        .with(CsvLog::new(folder.join("metrics.csv")))
        .with(TensorBoard::new(&folder).unwrap())
        .on_epoch(|r| epochs.push(r.epoch))
        .run(&moons(), |_| Ok(0.5), || Ok(vec![("accuracy", f64::NAN)]))
        .unwrap();
    assert_eq!(epochs, [1, 2, 3]);
    let text = String::from_utf8(lines).unwrap();
    let json: Vec<serde_json::Value> = text
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    assert_eq!(json[2]["train_loss"], 0.5);
    assert!(json[2]["accuracy"].is_null());
    let table = toygrad::io::read_csv(folder.join("metrics.csv")).unwrap();
    assert_eq!(
        (table.rows(), &table.columns[2].name[..]),
        (3, "train_loss")
    );

    // The records of the event file: a version, then three numbers an epoch.
    let mut files = fs::read_dir(&folder).unwrap().map(|f| f.unwrap().path());
    let file = files
        .find(|f| f.to_string_lossy().contains("tfevents"))
        .unwrap();
    let bytes = fs::read(file).unwrap();
    let (mut at, mut records) = (0, 0);
    while at < bytes.len() {
        let length = u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
        at += 16 + length as usize;
        records += 1;
    }
    assert_eq!((at, records), (bytes.len(), 1 + 3 * 3));
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn callbacks_can_stop_and_fail() {
    struct StopAt(u64);
    impl Callback for StopAt {
        fn on_epoch(&mut self, record: &Record) -> Result<Next> {
            match record.epoch == self.0 {
                true => Ok(Next::Stop),
                false => Ok(Next::Continue),
            }
        }
    }
    let history = Fit::new(9)
        .with(StopAt(2))
        .run(&moons(), |_| Ok(1.0), || Ok(vec![]));
    let history = history.unwrap();
    assert_eq!((history.records.len(), history.ended), (2, Ended::Stopped));
    let failed = |_: (Value, Value)| Err(Error::file("x", None, "a fault of the step"));
    assert!(Fit::new(1).run(&moons(), failed, || Ok(vec![])).is_err());
    let empty = Loader::new(
        Arrays::new(Value::zeros([0, 2]), Value::zeros([0])).unwrap(),
        4,
    );
    assert!(Fit::new(1).run(&empty, |_| Ok(1.0), || Ok(vec![])).is_err());
}

#[test]
fn two_spirals_are_told_apart() {
    manual_seed(1);
    let (x, y) = data::spirals(600, 2, 0.01, 1);
    let (train, test) = data::stratified_split(&Arrays::new(x, y).unwrap(), 0.2, 1).unwrap();
    let model = Mlp::new(&[2, 64, 64, 2], Activation::Relu);
    let optimizer = Adam::new(&model, 0.01);
    let schedule = Scheduler::new(&optimizer, Schedule::cosine(200 * 15, 0.0)).unwrap();
    let step =
        compile(|(x, y): (Value, Value)| optimizer.minimize(&cross_entropy(model.forward(&x), y)));
    let (x, y) = (test.inputs().unwrap(), test.targets().unwrap());
    let history = Fit::new(200).schedule(&schedule).run(
        &Loader::new(train, 32).shuffle(1),
        |batch| step.call(batch)?.item(),
        || {
            Ok(vec![(
                "accuracy",
                toygrad::train::metrics::accuracy(&model.forward(&x), &y)?,
            )])
        },
    );
    let accuracy = history.unwrap().records[199].get("accuracy").unwrap();
    assert!(accuracy >= 0.99, "{accuracy}");
}

#[test]
fn lbfgs_goes_on_from_its_saved_state_with_the_same_bits() -> Result<()> {
    let (x, y) = (Parameter::new(-1.2), Parameter::new([1.0, 0.5]));
    let valley = || (1.0 - &x).square() + 100.0 * (&y - x.value().square()).square().sum();
    let read = || -> Result<Vec<f64>> {
        let mut all = x.value().to_vec::<f64>()?;
        all.extend(y.value().to_vec::<f64>()?);
        Ok(all)
    };
    let through = Lbfgs::new(&(&x, &y)).iterations(2).history(3);
    assert!(through.load_state_dict(&through.state_dict()).is_ok());
    for _ in 0..4 {
        through.step(valley)?;
    }
    let (state, at) = (through.state_dict(), read()?);
    for _ in 0..3 {
        through.step(valley)?;
    }
    let wanted = read()?;
    x.set(at[0])?;
    y.set([at[1], at[2]])?;
    let resumed = Lbfgs::new(&(&x, &y)).iterations(2).history(3);
    resumed.load_state_dict(&state)?;
    for _ in 0..3 {
        resumed.step(valley)?;
    }
    assert_eq!(read()?, wanted);

    // Of other parameters, or with something missing.
    let other = Lbfgs::new(&x);
    let error = other.load_state_dict(&state).unwrap_err().to_string();
    assert!(
        error.contains("`direction`") && error.contains("[3]"),
        "{error}"
    );
    let error = resumed
        .load_state_dict(&state[1..])
        .unwrap_err()
        .to_string();
    assert!(error.contains("has no `numbers`"), "{error}");
    Ok(())
}
