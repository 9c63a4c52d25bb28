//! 4. A network built neuron by neuron from scalar Values, trained on y = sin(x)² + 1.
//!
//! Every weight is a `Parameter` of one number. A neuron weighs all Values of the layer before it,
//! so each of them connects to each of the next layer. The same network written with matrices has
//! the same gradients.

use std::f64::consts::PI;
use toygrad::prelude::*;

#[derive(Module)]
struct Neuron {
    weights: Vec<Parameter>,
    bias: Parameter,
}

impl Neuron {
    fn new(weights: &[f64], bias: f64) -> Neuron {
        let weights = weights.iter().map(|&w| Parameter::new(w)).collect();
        Neuron {
            weights,
            bias: Parameter::new(bias),
        }
    }

    fn forward(&self, inputs: &[Value]) -> Value {
        let weighed = self.weights.iter().zip(inputs).map(|(w, x)| w * x);
        weighed.sum::<Value>() + &self.bias
    }
}

/// Input to `hidden` neurons with tanh, to one output.
#[derive(Module)]
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
}

/// A layer as a matrix, with a row for each neuron, and its biases.
fn matrix(layer: &[Neuron]) -> (Parameter, Parameter) {
    let row = |n: &Neuron| Value::stack(n.weights.iter().map(Parameter::value), 0);
    let weights = Value::stack(layer.iter().map(row), 0);
    let biases = Value::stack(layer.iter().map(|n| n.bias.value()), 0);
    (Parameter::new(weights), Parameter::new(biases))
}

pub(crate) fn main() -> Result<()> {
    // 32 neurons that rise or fall one after the other from -1 to 1, at random.
    manual_seed(4);
    let random = Value::rand([96]).to_vec::<f64>()?;
    let neuron = |i: usize| {
        let weight = if random[i] < 0.5 { 20.0 } else { -20.0 };
        let place = -1.05 + 2.1 * (i as f64 + random[32 + i]) / 32.0;
        Neuron::new(&[weight], -weight * place)
    };
    let last: Vec<f64> = random[64..].iter().map(|r| 0.6 * r - 0.3).collect();
    let network = Network {
        hidden: (0..32).map(neuron).collect(),
        output: Neuron::new(&last, 1.0),
    };

    // 64 points of [-2π, 6π]; the network sees them scaled to [-1, 1].
    let points: Vec<f64> = (0..64).map(|i| -1.0 + 2.0 * f64::from(i) / 63.0).collect();
    let truth = |t: f64| (2.0 * PI + 4.0 * PI * t).sin().powi(2) + 1.0;
    let loss = || {
        let errors = points
            .iter()
            .map(|&t| (network.forward(t) - truth(t)).square());
        errors.sum::<Value>() / points.len() as f64
    };

    // The gradients are those of the network written with matrices.
    let (w1, b1) = matrix(&network.hidden);
    let (w2, b2) = matrix(std::slice::from_ref(&network.output));
    let x = Value::from(points.clone()).unsqueeze(1);
    let y: Value = points.iter().map(|&t| truth(t)).collect();
    let h = (x.matmul(w1.value().t()) + &b1).tanh();
    let result = (h.matmul(w2.value().t()) + &b2).squeeze(1);
    (result - y).square().mean().backward()?;
    loss().backward()?;
    let with_matrices = w1.grad()?.to_vec::<f64>()?;
    for (neuron, g) in network.hidden.iter().zip(&with_matrices) {
        assert!((neuron.weights[0].grad()?.item()? - g).abs() < 1e-10);
    }
    println!(
        "the first weight's gradient: {:.6} neuron by neuron, {:.6} with matrices",
        network.hidden[0].weights[0].grad()?,
        with_matrices[0]
    );

    println!("\nstep   loss");
    let optimizer = Sgd::new(&network, 0.03).momentum(0.9);
    let mut last = f64::INFINITY;
    for step in 0..=150 {
        last = optimizer.minimize(&loss()).item()?;
        if step % 15 == 0 {
            println!(
                "{step:4}   {last:.4} {}",
                "#".repeat((last * 200.0).min(60.0) as usize)
            );
        }
    }
    assert!(last < 0.04, "the loss is {last}");
    Ok(())
}
