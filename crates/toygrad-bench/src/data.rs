//! Inputs and initial values: all from one hash (splitmix64), so that every peer starts from the
//! same numbers and losses can be compared digit by digit.

use std::f64::consts::PI;
use toygrad::Value;

/// `n` numbers in [0, 1) with 24 bits each: exact in f32.
pub fn uniform(seed: u64, n: usize) -> Vec<f64> {
    let hash = |i: u64| {
        let z = (seed << 32)
            .wrapping_add(i)
            .wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 40) as f64 / 16_777_216.0
    };
    (0..n as u64).map(hash).collect()
}

/// `n` numbers in [-bound, bound).
pub fn weights(seed: u64, n: usize, bound: f64) -> Vec<f64> {
    let scaled = |x: f64| (2.0 * x - 1.0) * bound;
    uniform(seed, n).into_iter().map(scaled).collect()
}

/// The same as an f32 array.
pub fn array(seed: u64, shape: &[usize], bound: f64) -> Value {
    single(weights(seed, shape.iter().product(), bound), shape)
}

/// Numbers in [0, 1) as an f32 array.
pub fn pixels(seed: u64, shape: &[usize]) -> Value {
    single(uniform(seed, shape.iter().product()), shape)
}

/// Whole numbers in 0..k.
pub fn classes(seed: u64, shape: &[usize], k: usize) -> Value {
    let class = |x: f64| ((x * k as f64) as i64).min(k as i64 - 1);
    let numbers = uniform(seed, shape.iter().product());
    Value::from_vec(
        numbers.into_iter().map(class).collect::<Vec<i64>>(),
        shape.to_vec(),
    )
}

/// f64 numbers as an f32 array.
pub fn single(numbers: Vec<f64>, shape: &[usize]) -> Value {
    let numbers: Vec<f32> = numbers.into_iter().map(|x| x as f32).collect();
    Value::from_vec(numbers, shape.to_vec())
}

/// 100 points `[x, y]` in two half moons, and their labels, -1 or 1.
pub fn moons() -> (Vec<[f64; 2]>, Vec<f64>) {
    let upper = (0..50).map(|i| PI * f64::from(i) / 49.0);
    let points = upper.clone().map(|t| [t.cos(), t.sin()]);
    let points = points.chain(upper.map(|t| [1.0 - t.cos(), 0.5 - t.sin()]));
    let noise = uniform(1, 200);
    let shaken = |(p, e): ([f64; 2], &[f64])| [0, 1].map(|k| p[k] + 0.1 * (2.0 * e[k] - 1.0));
    let points = points.zip(noise.chunks(2)).map(shaken).collect();
    let labels = (0..100).map(|i| if i < 50 { -1.0 } else { 1.0 }).collect();
    (points, labels)
}
