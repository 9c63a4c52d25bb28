//! More workloads, off the beaten track of layers: pointwise expressions and their gradients, a
//! recurrent network, likelihoods, Hessians, rows, one sample, attention. `peers.py` has the same for PyTorch and JAX.

use crate::data;
use crate::measure::{Run, Style};
use toygrad::nn::{Lstm, causal_attention};
use toygrad::prelude::*;
use toygrad::{einsum, evaluate, hessian};

/// Measures a function of one Value that gives a scalar and whatever else is to be computed.
fn function(
    name: &str,
    run: Run,
    x: Value,
    f: impl Fn(&Value) -> (Value, Vec<Value>),
) -> Result<()> {
    match run.style {
        Style::StepByStep => run.measure(name, || {
            let (y, mut all) = f(&x);
            all.push(y.clone());
            evaluate(&all)?;
            y.item()
        }),
        _ => {
            let step = compile(|x: Value| f(&x));
            run.compiled(name, step, x.clone(), |(y, rest)| {
                evaluate(&rest)?;
                y.item()
            })
        }
    }
}

/// Sum and gradient of a long pointwise expression over a million f32.
pub fn chain_f32(run: Run) -> Result<()> {
    function("F1", run, data::array(70, &[1 << 20], 2.0), |x| {
        let y = x.tanh() * (-x.square()).exp() + (x.abs().log1p() * x.sigmoid());
        let y = y.sum();
        let g = gradients(&y, [x]);
        (y, g)
    })
}

/// The same over f64, with the functions of statistics.
pub fn chain_f64(run: Run) -> Result<()> {
    let x = Value::from_vec(data::weights(71, 1 << 20, 2.0), vec![1 << 20]);
    function("F2", run, x, |x| {
        let y = x.erf() * (-x.abs()).exp() + (x.square() + 1.0).ln().sqrt() * x.tanh();
        let y = y.sum();
        let g = gradients(&y, [x]);
        (y, g)
    })
}

/// A step of an LSTM of 128 over 32 steps of 32 sequences of 64 features.
pub fn lstm(run: Run) -> Result<()> {
    let lstm = Lstm::new(64, 128);
    for (i, (_, p)) in lstm.named_parameters().into_iter().enumerate() {
        p.set(data::array(
            72 + i as u64,
            p.value().shape(),
            128f64.powf(-0.5),
        ))?;
    }
    let x = data::array(80, &[32, 32, 64], 1.0);
    let sgd = Sgd::new(&lstm, 0.1);
    let loss = |x: &Value| lstm.forward(x).square().mean();
    match run.style {
        Style::StepByStep => run.measure("F3", || {
            let loss = loss(&x);
            loss.backward()?;
            sgd.step()?;
            loss.item()
        }),
        _ => {
            let step = compile(|x: Value| sgd.minimize(&loss(&x)));
            run.compiled("F3", step, x.clone(), |loss| loss.item())
        }
    }
}

/// The log-likelihood of 2000 points under a mixture of 32 Gaussians in 16 dimensions, and its
/// gradients by means, factors of the precisions, and weights.
pub fn mixture(run: Run) -> Result<()> {
    let (n, k, d) = (2000, 32, 16);
    let means = data::array(81, &[k, 1, d], 1.0);
    let factors = data::array(82, &[k, d, d], 0.5) + Value::eye(d);
    let logits = data::array(83, &[k], 1.0);
    factors.evaluate()?;
    function("F4", run, data::array(84, &[n, d], 1.0), |x| {
        let z = (x.unsqueeze(0) - &means).matmul(&factors);
        let scale = einsum("kii->ki", [&factors]).abs().ln().sum_axis(-1);
        let log = z.square().sum_axis(-1) * -0.5 + scale.unsqueeze(1);
        let log = log + logits.log_softmax(0).unsqueeze(1);
        let y = log.logsumexp_axis(0).mean();
        let g = gradients(&y, [&means, &factors, &logits]);
        (y, g)
    })
}

/// Value, gradient and Hessian of Rosenbrock's function of 10 numbers.
pub fn rosenbrock(run: Run) -> Result<()> {
    let x = Value::from_vec(data::weights(85, 10, 2.0), vec![10]);
    function("F5", run, x, |x| {
        let (a, b) = (x.narrow(0, 0, 9), x.narrow(0, 1, 9));
        let y = (100.0 * (b - a.square()).square() + (1.0 - &a).square()).sum();
        let g = gradients(&y, [x]).remove(0);
        let h = hessian(&y, x);
        (y, vec![g, h])
    })
}

/// Value, gradient and Hessian of a logistic regression with 50 weights over 2000 samples, float64.
pub fn logistic(run: Run) -> Result<()> {
    let x = Value::from_vec(data::weights(86, 2000 * 50, 1.0), vec![2000, 50]);
    let y = Value::from_vec(data::weights(87, 2000, 1.0), vec![2000]);
    let y = y.gt(0.0).cast(DType::F64);
    y.evaluate()?;
    let w = Value::from_vec(data::weights(88, 50, 0.5), vec![50]);
    function("F6", run, w, |w| {
        let z = x.matmul(w);
        let loss = (z.softplus() - &y * &z).mean() + 0.01 * w.square().sum();
        let g = gradients(&loss, [w]).remove(0);
        let h = hessian(&loss, w);
        (loss, vec![g, h])
    })
}

/// The log-likelihood of 4096 points under a mixture of 16 Gaussians in 8 dimensions that do not
/// depend on each other, and its gradients by means, scales and weights.
pub fn diagonal_mixture(run: Run) -> Result<()> {
    let means = data::array(89, &[16, 8], 2.0);
    let scales = data::array(90, &[16, 8], 0.5);
    let logits = data::array(91, &[16], 1.0);
    function("F7", run, data::array(92, &[4096, 8], 2.0), |x| {
        let z = (x.unsqueeze(1) - &means) * (-&scales).exp();
        let log = -0.5 * z.square().sum_axis(-1) - scales.sum_axis(-1) + logits.log_softmax(0);
        let y = log.logsumexp_axis(-1).mean();
        let g = gradients(&y, [&means, &scales, &logits]);
        (y, g)
    })
}

/// Rows of 512 numbers, normalised, scaled and shifted, then their softmax: the sum of its squares
/// and the gradients by all.
pub fn rows(run: Run) -> Result<()> {
    let (w, b) = (data::array(93, &[512], 1.0), data::array(94, &[512], 1.0));
    function("F8", run, data::array(95, &[4096, 512], 2.0), |x| {
        let y = (x.standardize(-1, 1e-5) * &w + &b).softmax(-1);
        let y = y.square().sum();
        let g = gradients(&y, [x, &w, &b]);
        (y, g)
    })
}

/// What a network of three dense layers of 2048 says of one sample.
pub fn one_sample(run: Run) -> Result<()> {
    let layer = |seed| {
        let weight = data::array(seed, &[2048, 2048], 2048f64.powf(-0.5));
        Linear::from_weights(weight, Some(data::array(seed + 1, &[2048], 0.1)))
    };
    let layers = [layer(96), layer(98), layer(100)];
    function("F9", run, data::array(102, &[1, 2048], 1.0), |x| {
        let [a, b, c] = &layers;
        let y = c.forward(&b.forward(&a.forward(x).relu()).relu());
        (y.sum(), vec![])
    })
}

/// Causal attention of 8 heads of 32 features over 512 positions, of queries, keys and values side by
/// side: the sum of squares of what it gives, and its gradient.
pub fn attention(run: Run) -> Result<()> {
    function("F10", run, data::array(104, &[4, 512, 3 * 256], 1.0), |x| {
        let heads = |i: usize| {
            let part = x.narrow(-1, i * 256, 256);
            part.reshape([4, 512, 8, 32]).transpose(1, 2)
        };
        let y = causal_attention(&heads(0), &heads(1), &heads(2), None);
        let y = y.square().sum();
        let g = gradients(&y, [x]);
        (y, g)
    })
}

/// `n` operations on numbers, each of which needs the one before.
pub fn scalars(x: &Value, n: usize) -> Value {
    let mut y = x.clone();
    for _ in 0..n / 4 {
        y = (y * x + 0.5).relu() - 0.25;
    }
    y
}
