//! Points in the plane that a straight line cannot tell apart, and points that one can.
//!
//! All give points (f32 `[n, 2]`) and their classes (i64 `[n]`), the classes in turn, from a seed.

use super::random::{Purpose, Stream};
use crate::Value;
use std::f64::consts::{PI, TAU};

/// Points of class `i % classes` from `place(class, how far along it, the random numbers)`.
fn points(
    n: usize,
    classes: usize,
    noise: f64,
    seed: u64,
    mut place: impl FnMut(usize, f64, &mut Stream) -> [f64; 2],
) -> (Value, Value) {
    let mut stream = Stream::new(seed, Purpose::Synthetic, 0);
    let classes = classes.max(1);
    let last = (n / classes).saturating_sub(1).max(1) as f64;
    let mut xs = Vec::with_capacity(n.saturating_mul(2).min(1 << 24));
    for i in 0..n {
        let [x, y] = place(i % classes, (i / classes) as f64 / last, &mut stream);
        xs.push((x + noise * stream.normal()) as f32);
        xs.push((y + noise * stream.normal()) as f32);
    }
    let labels = (0..n).map(|i| (i % classes) as i64).collect();
    (Value::from_vec(xs, [n, 2]), labels)
}

/// Two interleaved half circles, with normal noise of standard deviation `noise`.
///
/// ```
/// let (x, y) = toygrad::data::moons(100, 0.1, 0);
/// assert_eq!(x.shape()[..], [100, 2]);
/// assert_eq!(y.sum().item()?, 50.0);
/// # Ok::<(), toygrad::Error>(())
/// ```
pub fn moons(n: usize, noise: f64, seed: u64) -> (Value, Value) {
    points(n, 2, noise, seed, |class, t, _| {
        let (sin, cos) = (PI * t).sin_cos();
        match class {
            0 => [cos, sin],
            _ => [1.0 - cos, 0.5 - sin],
        }
    })
}

/// A circle of radius 1 (class 0) and one of radius 0.5 in it.
pub fn circles(n: usize, noise: f64, seed: u64) -> (Value, Value) {
    points(n, 2, noise, seed, |class, t, _| {
        let (sin, cos) = (TAU * t).sin_cos();
        let radius = if class == 0 { 1.0 } else { 0.5 };
        [radius * cos, radius * sin]
    })
}

/// `classes` arms of a spiral, each of one and a half turns.
pub fn spirals(n: usize, classes: usize, noise: f64, seed: u64) -> (Value, Value) {
    let arms = classes.max(1) as f64;
    points(n, classes, noise, seed, |class, t, _| {
        let radius = 0.1 + 0.9 * t;
        let (sin, cos) = (TAU * (1.5 * t + class as f64 / arms)).sin_cos();
        [radius * cos, radius * sin]
    })
}

/// `classes` clouds of standard deviation `spread`, their centres evenly on a circle of radius 1.
pub fn blobs(n: usize, classes: usize, spread: f64, seed: u64) -> (Value, Value) {
    let arms = classes.max(1) as f64;
    points(n, classes, spread, seed, |class, _, _| {
        let (sin, cos) = (TAU * class as f64 / arms).sin_cos();
        [cos, sin]
    })
}
