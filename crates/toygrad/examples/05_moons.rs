//! 5. Two moons and a hinge loss: a classifier of scalar Values.
//!
//! A layer is a list of neurons, a neuron a list of weights: nothing but numbers and operators.

use toygrad::data;
use toygrad::prelude::*;

/// Rows of weights with the bias last: one row a neuron.
type Weights = Vec<Vec<Parameter>>;

fn layer(weights: &Weights, inputs: &[Value]) -> Vec<Value> {
    let neuron = |row: &Vec<Parameter>| {
        let weighed: Value = row.iter().zip(inputs).map(|(w, x)| w * x).sum();
        weighed + &row[inputs.len()]
    };
    weights.iter().map(neuron).collect()
}

fn network(layers: &[Weights], point: &[f64]) -> Value {
    let mut values: Vec<Value> = point.iter().map(|&x| Value::from(x)).collect();
    for (depth, weights) in layers.iter().enumerate() {
        values = layer(weights, &values);
        if depth + 1 < layers.len() {
            values = values.iter().map(Value::relu).collect();
        }
    }
    values.remove(0)
}

pub(crate) fn main() -> Result<()> {
    let (points, labels) = data::moons(40, 0.05, 1);
    let points: Vec<[f64; 2]> = points
        .to_vec::<f64>()?
        .chunks(2)
        .map(|p| [p[0], p[1]])
        .collect();
    let sides: Vec<f64> = labels
        .to_vec::<f64>()?
        .iter()
        .map(|y| 2.0 * y - 1.0)
        .collect();

    // 2 inputs, 12 and 12 hidden neurons, 1 score; He's initial weights.
    manual_seed(3);
    let sizes = [2, 12, 12, 1];
    let mut layers: Vec<Weights> = Vec::new();
    for pair in sizes.windows(2) {
        let spread = (2.0 / pair[0] as f64).sqrt();
        let draws = (Value::randn([pair[1], pair[0]]) * spread).to_vec::<f64>()?;
        let row = |w: &[f64]| w.iter().chain([&0.0]).map(|&w| Parameter::new(w)).collect();
        layers.push(draws.chunks(pair[0]).map(row).collect());
    }
    let parameters: Vec<&Parameter> = layers.iter().flatten().flatten().collect();
    println!(
        "{} points, {} parameters, each a Value of its own",
        points.len(),
        parameters.len()
    );

    let optimizer = Sgd::new(&layers, 0.2).momentum(0.9);
    println!("\nstep     loss   right");
    let mut right = 0;
    for step in 0..=80 {
        let scores: Vec<Value> = points.iter().map(|p| network(&layers, p)).collect();
        let margins = scores
            .iter()
            .zip(&sides)
            .map(|(score, side)| (1.0 - score * *side).relu());
        let hinge = margins.sum::<Value>() / points.len() as f64;
        let squares: Value = parameters.iter().map(|p| p.value().square()).sum();
        let loss = hinge + 1e-4 * squares;
        optimizer.minimize(&loss).evaluate()?;
        if step % 20 == 0 {
            let mut agree = 0;
            for (score, side) in scores.iter().zip(&sides) {
                agree += usize::from(score.item()? * side > 0.0);
            }
            right = agree;
            println!("{step:4}   {loss:.4}   {right} of {}", points.len());
        }
    }
    assert!(right >= 38, "{right} points are on their side");

    println!("\nwhat it has learned:");
    for y in 0..9 {
        let y = 1.2 - 0.25 * f64::from(y);
        let mut line = String::new();
        for x in 0..32 {
            let score = network(&layers, &[-1.3 + 0.12 * f64::from(x), y]);
            line.push(if score.item()? > 0.0 { '#' } else { '.' });
        }
        println!("  {line}");
    }
    Ok(())
}
