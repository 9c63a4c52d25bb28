//! Layers, losses, optimisers and schedules against PyTorch: `golden.txt`, written by `golden.py`;
//! the training of whole models: `models/`, written by `models.py`.

mod layers;
mod losses;
#[cfg(feature = "files")]
mod models;
mod optimizers;

use std::collections::HashMap;
use std::sync::LazyLock;
use toygrad::prelude::*;

/// Shape and numbers.
type Array = (Vec<usize>, Vec<f64>);

/// What PyTorch computed, by case and key.
static GOLDEN: LazyLock<HashMap<(&str, &str), Array>> = LazyLock::new(|| {
    let parse = |line: &'static str| {
        let mut words = line.split_whitespace();
        let (case, key, shape) = (words.next()?, words.next()?, words.next()?);
        let lengths = shape.split(',').filter(|n| *n != "-");
        let shape = lengths.map(|n| n.parse().unwrap()).collect();
        Some((
            (case, key),
            (shape, words.map(|x| x.parse().unwrap()).collect()),
        ))
    };
    let text = [
        include_str!("golden.txt"),
        include_str!("models/golden.txt"),
    ];
    text.iter()
        .flat_map(|t| t.lines())
        .filter_map(parse)
        .collect()
});

fn find(case: &str, key: &str) -> Option<Value> {
    let (shape, numbers) = GOLDEN.get(&(case, key))?;
    Some(Value::from_slice(numbers, &shape[..]))
}

fn golden(case: &str, key: &str) -> Value {
    find(case, key).unwrap_or_else(|| panic!("golden.txt has no {case} {key}"))
}

/// The same shape, and numbers within `tolerance` of the largest.
fn assert_close(what: &str, value: &Value, expected: &Value, tolerance: f64) {
    assert_eq!(value.shape(), expected.shape(), "{what}");
    let got: Vec<f64> = value.to_vec().unwrap_or_else(|e| panic!("{what}: {e}"));
    let wanted: Vec<f64> = expected.to_vec().unwrap();
    let size = wanted.iter().fold(1.0, |m: f64, x| m.max(x.abs()));
    for (i, (a, b)) in got.iter().zip(&wanted).enumerate() {
        let off = (a - b).abs();
        assert!(
            off <= tolerance * size,
            "{what}[{i}]: {a}, PyTorch has {b}\n{got:?}\n{wanted:?}"
        );
    }
}

/// The sum of (outputs x cos(position)): what `golden.py` differentiates.
fn weighted(outputs: &[Value]) -> Value {
    let one = |y: &Value| {
        let weights: Value = (0..y.elements()).map(|i| (i as f64).cos()).collect();
        (y.flatten() * weights.cast(y.dtype())).sum()
    };
    outputs.iter().map(one).sum()
}
