//! Models trained by PyTorch and here, from the same weights on the same data: `models.py` says
//! how. Files of weights of both go both ways.

use super::{assert_close, golden};
use std::path::{Path, PathBuf};
use toygrad::data::{self, Dataset, Loader, Text};
use toygrad::io::{self, Characters};
use toygrad::nn::*;
use toygrad::optim::*;
use toygrad::prelude::*;

const STEPS: usize = 50;

/// A digit, row by row.
#[derive(Module)]
struct RowByRow {
    lstm: Lstm,
    output: Linear,
}

impl Layer for RowByRow {
    fn forward(&self, x: &Value) -> Value {
        let rows = x.reshape([x.shape()[0], 8, 8]);
        let states = self.lstm.forward(&rows);
        self.output.forward(&states.slice(s![.., -1]))
    }
}

fn mlp() -> Mlp {
    Mlp::new(&[64, 32, 10], Activation::Relu)
}

/// As a [`Sequential`] of PyTorch, whose parameters have the numbers of their layers as names.
#[derive(Module)]
struct Cnn(#[module(name = "")] Sequential);

impl Layer for Cnn {
    fn forward(&self, x: &Value) -> Value {
        self.0.forward(&x.reshape([x.shape()[0], 1, 8, 8]))
    }
}

fn cnn() -> Cnn {
    let mut layers = Sequential::new();
    for (inputs, outputs) in [(1, 4), (4, 8)] {
        layers = layers
            .then(Conv2d::new(inputs, outputs, 3).padding(1).without_bias())
            .then(BatchNorm2d::new(outputs))
            .then(Activation::Relu)
            .then(MaxPool2d::new(2));
    }
    Cnn(layers.then(Flatten::default()).then(Linear::new(32, 10)))
}

fn row_by_row() -> RowByRow {
    RowByRow {
        lstm: Lstm::new(8, 16).layers(2).batch_first(true),
        output: Linear::new(16, 10),
    }
}

/// The digits in their order.
fn digits() -> Vec<(Value, Value)> {
    let (x, y) = data::digits().unwrap();
    let digits = data::Arrays::new(x, y).unwrap();
    let batches = Loader::new(digits, 32).epoch(0);
    batches.take(STEPS).map(|batch| batch.unwrap()).collect()
}

/// The last four of the digits: what outputs are compared of.
fn last_digits() -> Value {
    data::digits().unwrap().0.narrow(0, 1793, 4)
}

/// The licence by character.
fn tokens() -> (usize, Vec<i64>) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../LICENSE-APACHE");
    let text = io::read_text(path).unwrap();
    let characters = Characters::of(&text);
    let tokens = characters.encode(&text).unwrap();
    (characters.alphabet().len(), tokens)
}

fn windows(tokens: Vec<i64>) -> Vec<(Value, Value)> {
    let text = Text::new(tokens, 32);
    let batch = |step: usize| text.batch(&[0, 1, 2, 3, 4, 5, 6, 7].map(|i| 24 * (8 * step + i)));
    (0..STEPS).map(|step| batch(step).unwrap()).collect()
}

fn file(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/torch/models");
    folder.join(format!("{name}.safetensors"))
}

/// The same for every position of a text.
fn loss(model: &dyn Layer, x: &Value, y: &Value) -> Value {
    let scores = model.forward(x);
    let classes = scores.shape()[scores.rank() - 1] as isize;
    cross_entropy(scores.reshape([-1, classes]), y.flatten())
}

/// Fifty steps from PyTorch's first weights: what each says of the loss.
fn train<O: Optimizer>(
    case: &str,
    model: &dyn Layer,
    make: impl Fn(&dyn Layer) -> O,
    schedule: Schedule,
    batches: &[(Value, Value)],
    compiled: bool,
) -> Vec<f64> {
    io::load(model, file(&format!("{case}.first"))).unwrap();
    let optimizer = make(model);
    let scheduler = Scheduler::new(&optimizer, schedule).unwrap();
    let replay = compile(|(x, y): (Value, Value)| optimizer.minimize(&loss(model, &x, &y)));
    let step = |(x, y): &(Value, Value)| {
        let value = match compiled {
            true => replay.call((x.clone(), y.clone()))?.item()?,
            false => {
                let loss = loss(model, x, y);
                loss.backward()?;
                optimizer.step()?;
                loss.item()?
            }
        };
        scheduler.step()?;
        Ok(value)
    };
    batches.iter().map(step).collect::<Result<_>>().unwrap()
}

/// Trains step by step and compiled, and compares with PyTorch's losses; leaves what was trained
/// for `models.py check`. Then loads what PyTorch trained, and compares outputs.
fn check<L: Layer, O: Optimizer>(
    case: &str,
    make: impl Fn() -> L,
    optimizer: impl Fn(&dyn Layer) -> O,
    schedule: Schedule,
    batches: &[(Value, Value)],
    x: &Value,
) {
    let model = make();
    let run =
        |model: &L, compiled| train(case, model, &optimizer, schedule.clone(), batches, compiled);
    let losses = run(&model, true);
    assert_eq!(
        losses,
        run(&make(), false),
        "{case}: compiled, and step by step"
    );
    let expected: Vec<f64> = golden(&format!("model_{case}"), "losses").to_vec().unwrap();
    assert_eq!(losses.len(), expected.len());
    for (step, (a, b)) in losses.iter().zip(&expected).enumerate() {
        let off = ((a - b) / b).abs();
        assert!(off <= 1e-4, "{case}, step {step}: {a}, PyTorch has {b}");
    }

    let outputs = |model: &L| eval(|| model.forward(x)).evaluate().unwrap().clone();
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("torch");
    std::fs::create_dir_all(&folder).unwrap();
    io::save(&model, folder.join(format!("{case}.safetensors"))).unwrap();
    let numbers = [
        ("losses", Value::from(losses)),
        ("outputs", outputs(&model)),
    ];
    let path = folder.join(format!("{case}.numbers.safetensors"));
    io::write_safetensors(path, numbers, &[]).unwrap();

    io::load(&model, file(&format!("{case}.trained"))).unwrap();
    let expected = golden(&format!("model_{case}"), "outputs");
    assert_close(case, &outputs(&model), &expected, 1e-5);
}

/// The base rate always.
fn constant() -> Schedule {
    Schedule::constant(1.0, 0)
}

#[test]
fn models_mlp_and_sgd_with_momentum() {
    let optimizer = |model: &dyn Layer| Sgd::new(model, 0.03).momentum(0.9);
    check("mlp", mlp, optimizer, constant(), &digits(), &last_digits());
}

#[test]
fn models_cnn_and_adam() {
    let optimizer = |model: &dyn Layer| Adam::new(model, 0.01);
    check("cnn", cnn, optimizer, constant(), &digits(), &last_digits());
}

#[test]
fn models_gpt_and_adamw_with_clipping_and_a_cosine() {
    let (vocabulary, tokens) = tokens();
    let optimizer = |model: &dyn Layer| {
        let adamw = AdamW::new(model, 0.01).betas(0.9, 0.95).weight_decay(0.1);
        adamw.clip_grad_norm(1.0)
    };
    let x = Value::from_slice(&tokens[..4], [1, 4]);
    let cosine = Schedule::cosine(STEPS as u64, 0.0);
    let gpt = || Gpt::new(vocabulary, 32, 2, 2, 16);
    check("gpt", gpt, optimizer, cosine, &windows(tokens.clone()), &x);
}

#[test]
fn models_lstm_and_rmsprop() {
    let optimizer = |model: &dyn Layer| RmsProp::new(model, 0.002);
    check(
        "lstm",
        row_by_row,
        optimizer,
        constant(),
        &digits(),
        &last_digits(),
    );
}
