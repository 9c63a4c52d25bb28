//! 4. A network built neuron by neuron from scalar Values, trained on y = sin(x)² + 1.
//!
//! Every weight is a `Parameter` of one number. A neuron weighs all Values of the layer before it,
//! so each of them connects to each of the next layer. The same network written with matrices has
//! the same gradients.

use std::f64::consts::PI;
use toygrad::prelude::*;

struct Neuron {
    weights: Vec<Parameter>,
    bias: Parameter,
}

impl Neuron {
    fn new(inputs: usize, spread: f64, random: &mut impl FnMut() -> f64) -> Neuron {
        let weight = |_| Parameter::new(spread * random());
        let weights = (0..inputs).map(weight).collect();
        Neuron { weights, bias: Parameter::new(spread * random()) }
    }

    fn forward(&self, inputs: &[Value]) -> Value {
        let weighed = self.weights.iter().zip(inputs).map(|(w, x)| w * x);
        weighed.sum::<Value>() + &self.bias
    }

    fn parameters(&self) -> impl Iterator<Item = &Parameter> {
        self.weights.iter().chain([&self.bias])
    }
}

/// Input to `hidden` neurons with tanh, to one output.
struct Network {
    hidden: Vec<Neuron>,
    output: Neuron,
}

impl Network {
    fn forward(&self, x: f64) -> Value {
        let x = [Value::from(x)];
        let hidden: Vec<Value> = self.hidden.iter().map(|n| n.forward(&x).tanh()).collect();
        self.output.forward(&hidden)
    }

    fn parameters(&self) -> impl Iterator<Item = &Parameter> {
        self.hidden.iter().chain([&self.output]).flat_map(Neuron::parameters)
    }

    /// As matrices: (weights, biases) of both layers.
    fn matrices(&self) -> [(Parameter, Parameter); 2] {
        let layer = |neurons: &[&Neuron]| {
            let rows = neurons.iter().map(|n| Value::stack(n.weights.iter().map(Parameter::value), 0));
            let biases = neurons.iter().map(|n| n.bias.value());
            (Parameter::new(Value::stack(rows, 0)), Parameter::new(Value::stack(biases, 0)))
        };
        [layer(&self.hidden.iter().collect::<Vec<_>>()), layer(&[&self.output])]
    }
}

pub fn main() -> Result<()> {
    // Numbers in [-1, 1] that are the same in every run.
    manual_seed(4);
    let numbers = (Value::rand([1000]) * 2.0 - 1.0).to_vec::<f64>()?;
    let mut numbers = numbers.into_iter();
    let mut random = || numbers.next().unwrap_or(0.0);
    let hidden: Vec<Neuron> = (0..24).map(|_| Neuron::new(1, 30.0, &mut random)).collect();
    let network = Network { hidden, output: Neuron::new(24, 0.3, &mut random) };

    // 64 points of [-2π, 6π]; the network sees them scaled to [-1, 1].
    let points: Vec<f64> = (0..64).map(|i| -1.0 + 2.0 * f64::from(i) / 63.0).collect();
    let truth = |t: f64| (2.0 * PI + 4.0 * PI * t).sin().powi(2) + 1.0;
    let loss = || {
        let errors = points.iter().map(|&t| (network.forward(t) - truth(t)).square());
        errors.sum::<Value>() / points.len() as f64
    };

    // The gradients are those of the network written with matrices.
    let [(w1, b1), (w2, b2)] = network.matrices();
    let (x, y) = (Value::from(points.clone()), points.iter().map(|&t| truth(t)).collect::<Value>());
    let h = (x.unsqueeze(1).matmul(w1.value().t()) + &b1).tanh();
    let matrix_loss = ((h.matmul(w2.value().t()) + &b2).squeeze(1) - y).square().mean();
    matrix_loss.backward()?;
    loss().backward()?;
    let mut one_by_one = Vec::new();
    for neuron in &network.hidden {
        one_by_one.push(neuron.weights[0].grad()?.item()?);
    }
    let (a, b) = (one_by_one[0], w1.grad()?.to_vec::<f64>()?);
    println!("gradient of the first weight: {a:.6} neuron by neuron, {:.6} with matrices", b[0]);
    assert!(one_by_one.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-10));

    println!("\nstep   loss");
    let mut last = f64::INFINITY;
    for step in 0..=150 {
        let loss = loss();
        loss.backward()?;
        let update = |p| Ok((p, Value::from(p) - 0.03 * p.grad()?));
        Parameter::set_all(network.parameters().map(update).collect::<Result<Vec<_>>>()?, &[])?;
        if step % 25 == 0 {
            last = loss.item()?;
            println!("{step:4}   {last:.4} {}", "#".repeat((last * 60.0) as usize));
        }
    }
    assert!(last < 0.08, "the loss is {last}");
    Ok(())
}
