//! The workloads: a model, its data and its loss, each written as a user would write it.

use crate::measure::{Run, Style};
use crate::{data, functions};
use toygrad::nn::{Conv2d, LayerNorm, MaxPool2d};
use toygrad::prelude::*;

/// All workloads.
pub const NAMES: [&str; 15] = [
    "W1", "W2", "W3", "W4", "W6", "F1", "F2", "F3", "F4", "F5", "F6", "F7", "F8", "F9", "F10",
];

/// Runs a workload by name.
pub fn run(name: &str, run: Run) -> Result<()> {
    match name {
        "W1" => moons(run),
        "W2" => digits(run, 128),
        "W3" => convolutions(run),
        "W4" => transformer(run),
        "W6" => neurons(run),
        "F1" => functions::chain_f32(run),
        "F2" => functions::chain_f64(run),
        "F3" => functions::lstm(run),
        "F4" => functions::mixture(run),
        "F5" => functions::rosenbrock(run),
        "F6" => functions::logistic(run),
        "F7" => functions::diagonal_mixture(run),
        "F8" => functions::rows(run),
        "F9" => functions::one_sample(run),
        "F10" => functions::attention(run),
        _ => {
            eprintln!("there is no workload {name}");
            Ok(())
        }
    }
}

/// Measures training steps on one batch.
fn train(
    name: &str,
    run: Run,
    optimizer: &impl Optimizer,
    (x, y): (Value, Value),
    loss: impl Fn(&Value, &Value) -> Value,
) -> Result<()> {
    match run.style {
        Style::StepByStep => run.measure(name, || {
            let loss = loss(&x, &y);
            loss.backward()?;
            optimizer.step()?;
            loss.item()
        }),
        _ => {
            let step = compile(|(x, y): (Value, Value)| optimizer.minimize(&loss(&x, &y)));
            run.compiled(name, step, (x, y), |loss| loss.item())
        }
    }
}

/// A fully connected layer from weights `[inputs, outputs]` of the hash.
fn linear(seed: u64, inputs: usize, outputs: usize, bound: f64) -> Linear {
    let weight = data::array(seed, &[inputs, outputs], bound).t();
    Linear::from_weights(weight, Some(data::single(vec![0.0; outputs], &[outputs])))
}

fn mlp(seeds: [u64; 3], sizes: [usize; 4]) -> [Linear; 3] {
    [0, 1, 2].map(|i| {
        linear(
            seeds[i],
            sizes[i],
            sizes[i + 1],
            (sizes[i] as f64).powf(-0.5),
        )
    })
}

fn forward(layers: &[Linear], x: &Value) -> Value {
    let (last, hidden) = layers.split_last().expect("a network has layers");
    last.forward(&hidden.iter().fold(x.clone(), |x, l| l.forward(&x).relu()))
}

fn moons(run: Run) -> Result<()> {
    let model = mlp([10, 12, 14], [2, 16, 16, 1]).to_vec();
    let (points, labels) = data::moons();
    let batch = (
        data::single(points.concat(), &[100, 2]),
        data::single(labels, &[100]),
    );
    train("W1", run, &Sgd::new(&model, 0.1), batch, |x, y| {
        let scores = forward(&model, x).squeeze(1);
        let squares = model.parameters().into_iter().map(|p| (&p * &p).sum());
        (1.0 - y * scores).relu().mean() + 1e-4 * squares.sum::<Value>()
    })
}

/// A step of Adam for a network of dense layers and a batch of pictures.
pub fn digits(run: Run, batch: usize) -> Result<()> {
    let model = mlp([22, 23, 24], [784, 512, 256, 10]).to_vec();
    let batch = (
        data::pixels(20, &[batch, 784]),
        data::classes(21, &[batch], 10),
    );
    train("W2", run, &Adam::new(&model, 1e-3), batch, |x, y| {
        cross_entropy(forward(&model, x), y)
    })
}

/// Two convolutions and two dense layers.
#[derive(Module)]
struct Lenet {
    convolutions: [Conv2d; 2],
    dense: [Linear; 2],
}

/// A convolution of 3x3 with weights of the hash.
fn convolution(seed: u64, inputs: usize, outputs: usize) -> Result<Conv2d> {
    let layer = Conv2d::new(inputs, outputs, 3).padding(1);
    let bound = (inputs as f64 * 9.0).powf(-0.5);
    let weight = data::array(seed, &[outputs, inputs, 3, 3], bound);
    layer.weight.set(weight)?;
    if let Some(bias) = &layer.bias {
        bias.set(data::single(vec![0.0; outputs], &[outputs]))?;
    }
    Ok(layer)
}

fn convolutions(run: Run) -> Result<()> {
    let model = Lenet {
        convolutions: [convolution(32, 1, 32)?, convolution(33, 32, 64)?],
        dense: [
            linear(34, 3136, 128, 1.0 / 56.0),
            linear(35, 128, 10, 128f64.powf(-0.5)),
        ],
    };
    let batch = (
        data::pixels(30, &[64, 1, 28, 28]),
        data::classes(31, &[64], 10),
    );
    let pool = MaxPool2d::new(2);
    train("W3", run, &Adam::new(&model, 1e-3), batch, |x, y| {
        let layers = model.convolutions.iter();
        let x = layers.fold(x.clone(), |x, l| pool.forward(&l.forward(&x).relu()));
        let x = x.flatten_from(1);
        cross_entropy(forward(&model.dense, &x), y)
    })
}

/// Vocabulary, context, batch, layers, heads, width.
const VOCABULARY: usize = 65;
const CONTEXT: usize = 64;
const BATCH: usize = 12;
const LAYERS: usize = 4;
const HEADS: usize = 4;
const WIDTH: usize = 128;

#[derive(Module)]
struct Block {
    attention_norm: LayerNorm,
    queries_keys_values: Linear,
    projection: Linear,
    dense_norm: LayerNorm,
    dense: [Linear; 2],
}

impl Block {
    fn new(seed: u64) -> Block {
        let linear = |k, i, o| linear(seed + k, i, o, INITIAL).without_bias();
        Block {
            attention_norm: LayerNorm::new([WIDTH]),
            queries_keys_values: linear(0, WIDTH, 3 * WIDTH),
            projection: linear(1, WIDTH, WIDTH),
            dense_norm: LayerNorm::new([WIDTH]),
            dense: [linear(2, WIDTH, 4 * WIDTH), linear(3, 4 * WIDTH, WIDTH)],
        }
    }

    fn forward(&self, x: &Value, causal: &Value) -> Value {
        let attended = self.attend(&self.attention_norm.forward(x), causal);
        let x = x + self.projection.forward(&attended);
        let [first, second] = &self.dense;
        let hidden = first.forward(&self.dense_norm.forward(&x)).gelu();
        x + second.forward(&hidden)
    }

    fn attend(&self, x: &Value, causal: &Value) -> Value {
        let all = self.queries_keys_values.forward(x);
        let heads = |v: &Value| {
            let split = v.reshape([BATCH, CONTEXT, HEADS, WIDTH / HEADS]);
            split.transpose(1, 2)
        };
        let parts = all.split([WIDTH; 3], -1);
        let [q, k, v] = [0, 1, 2].map(|i| heads(&parts[i]));
        let scores = q.matmul(k.t()) * ((WIDTH / HEADS) as f64).powf(-0.5);
        let shares = causal.select(scores, f64::NEG_INFINITY).softmax(-1);
        let attended = shares.matmul(v).transpose(1, 2);
        attended.reshape([BATCH, CONTEXT, WIDTH])
    }
}

/// The spread of the initial weights: a standard deviation of 0.02.
const INITIAL: f64 = 0.02 * 1.732_050_807_568_877_2;

#[derive(Module)]
struct Gpt {
    tokens: Parameter,
    positions: Parameter,
    blocks: Vec<Block>,
    norm: LayerNorm,
    head: Linear,
}

fn transformer(run: Run) -> Result<()> {
    let model = Gpt {
        tokens: Parameter::new(data::array(42, &[VOCABULARY, WIDTH], INITIAL)),
        positions: Parameter::new(data::array(43, &[CONTEXT, WIDTH], INITIAL)),
        blocks: (0..LAYERS as u64)
            .map(|l| Block::new(50 + 10 * l))
            .collect(),
        norm: LayerNorm::new([WIDTH]),
        head: linear(44, WIDTH, VOCABULARY, INITIAL).without_bias(),
    };
    let shape = [BATCH, CONTEXT];
    let batch = (
        data::classes(40, &shape, VOCABULARY),
        data::classes(41, &shape, VOCABULARY),
    );
    let positions = Value::arange(0..CONTEXT);
    let causal = positions.unsqueeze(1).ge(&positions);
    causal.evaluate()?;
    let adam = AdamW::new(&model, 1e-3).weight_decay(0.1);
    train("W4", run, &adam, batch, |x, y| {
        let x = model.tokens.value().index_select(0, x) + &model.positions;
        let blocks = model.blocks.iter();
        let x = blocks.fold(x, |x, block| block.forward(&x, &causal));
        let logits = model.head.forward(&model.norm.forward(&x));
        let rows = BATCH * CONTEXT;
        cross_entropy(logits.reshape([rows, VOCABULARY]), y.reshape([rows]))
    })
}

/// W1 neuron by neuron: every number is a Value of its own.
fn neurons(run: Run) -> Result<()> {
    // For each layer, for each neuron: its weights, then its bias.
    let mut layers: Vec<Vec<Vec<Parameter>>> = Vec::new();
    for (inputs, outputs, seed) in [(2, 16, 10), (16, 16, 12), (16, 1, 14)] {
        let w = data::weights(seed, inputs * outputs, (inputs as f64).powf(-0.5));
        let neuron = |j: usize| {
            let weights = (0..inputs).map(|k| w[k * outputs + j]);
            weights.chain([0.0]).map(Parameter::new).collect()
        };
        layers.push((0..outputs).map(neuron).collect());
    }
    let parameters: Vec<Parameter> = layers.iter().flatten().flatten().cloned().collect();
    let (points, labels) = data::moons();
    let sgd = Sgd::new(&parameters, 0.1);
    let nothing = (Value::from(0.0), Value::from(0.0));
    train("W6", run, &sgd, nothing, |_, _| {
        let values = |neuron: &Vec<Parameter>| neuron.iter().map(Parameter::value).collect();
        let layers: Vec<Vec<Vec<Value>>> = layers
            .iter()
            .map(|l| l.iter().map(values).collect())
            .collect();
        let mut total = Value::from(0.0);
        for (point, label) in points.iter().zip(&labels) {
            let first = layers[0].iter().map(|n| {
                let sum = &n[2] + &n[0] * point[0] + &n[1] * point[1];
                sum.relu()
            });
            let sum = |n: &[Value], x: &[Value]| {
                let start = n[x.len()].clone();
                n.iter().zip(x).fold(start, |sum, (w, x)| sum + w * x)
            };
            let first: Vec<Value> = first.collect();
            let second: Vec<Value> = layers[1].iter().map(|n| sum(n, &first).relu()).collect();
            let score = sum(&layers[2][0], &second);
            total += (score * -label + 1.0).relu();
        }
        let squares = layers.iter().flatten().flatten().map(|p| p * p);
        total * 0.01 + squares.sum::<Value>() * 1e-4
    })
}
