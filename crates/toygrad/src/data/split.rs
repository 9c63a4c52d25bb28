//! Parts of a dataset: to train on, and to test on.

use super::random::{Purpose, Stream};
use super::{Arrays, Dataset};
use crate::{Error, Result};

/// The positions `0..n` in a seeded random order.
///
/// ```
/// let mut order = toygrad::data::shuffled(5, 1);
/// order.sort();
/// assert_eq!(order, [0, 1, 2, 3, 4]);
/// ```
pub fn shuffled(n: usize, seed: u64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..n).collect();
    Stream::new(seed, Purpose::Split, 0).shuffle(&mut order);
    order
}

/// Two disjoint random parts: `(train, test)`, where `test` has the fraction `fraction` of the
/// samples, rounded.
///
/// # Errors
/// A fraction that is not between 0 and 1, or that leaves a part empty.
#[track_caller]
pub fn split(data: &Arrays, fraction: f64, seed: u64) -> Result<(Arrays, Arrays)> {
    let n = data.len();
    check(fraction)?;
    let test = (n as f64 * fraction).round() as usize;
    let order = shuffled(n, seed);
    parts(data, &order[test.min(n)..], &order[..test.min(n)], fraction)
}

/// As [`split`], but each class has the same share of both parts; the targets are whole numbers,
/// the classes. Of a class of several samples at least one is in each part.
///
/// ```
/// use toygrad::prelude::*;
/// use toygrad::data::{Arrays, stratified_split};
/// let labels = Value::from_iter((0..20).map(|i| i64::from(i >= 15)));
/// let data = Arrays::new(Value::arange(0..20), labels)?;
/// let (_, test) = stratified_split(&data, 0.2, 1)?;
/// assert_eq!(test.targets()?.sum().item()?, 1.0);
/// # Ok::<(), toygrad::Error>(())
/// ```
///
/// # Errors
/// As [`split`]; targets that are not one whole number each.
#[track_caller]
pub fn stratified_split(data: &Arrays, fraction: f64, seed: u64) -> Result<(Arrays, Arrays)> {
    check(fraction)?;
    let targets = data.targets()?;
    if targets.dtype().is_float() || targets.elements() != data.len() {
        return Err(Error::argument(format!(
            "a stratified split is by class: targets must be one whole number each, not {} {}",
            targets.shape(),
            targets.dtype()
        )));
    }
    let labels = targets.to_vec::<i64>()?;
    let mut classes = std::collections::BTreeMap::<i64, Vec<usize>>::new();
    for i in shuffled(data.len(), seed) {
        classes.entry(labels[i]).or_default().push(i);
    }
    let (mut train, mut test) = (Vec::new(), Vec::new());
    for members in classes.into_values() {
        let n = members.len();
        let mut count = (n as f64 * fraction).round() as usize;
        if n > 1 {
            count = count.clamp(1, n - 1);
        }
        test.extend_from_slice(&members[..count]);
        train.extend_from_slice(&members[count..]);
    }
    // Not class by class: a part may be used in its order.
    for part in [&mut train, &mut test] {
        Stream::new(seed, Purpose::Split, 1).shuffle(part);
    }
    parts(data, &train, &test, fraction)
}

/// `k` pairs `(train, test)`: each sample is in the test part of exactly one.
///
/// # Errors
/// Fewer than 2 folds, or more folds than samples.
#[track_caller]
pub fn k_fold(data: &Arrays, k: usize, seed: u64) -> Result<Vec<(Arrays, Arrays)>> {
    let n = data.len();
    if k < 2 || k > n {
        let message = format!("{k} folds of {n} samples: at least 2, and at most one a sample");
        return Err(Error::argument(message));
    }
    let order = shuffled(n, seed);
    // Without multiplying n by k, which might not fit.
    let (size, longer) = (n / k, n % k);
    let start = |fold: usize| fold * size + fold.min(longer);
    (0..k)
        .map(|fold| {
            let (a, b) = (start(fold), start(fold + 1));
            let train = [&order[..a], &order[b..]].concat();
            Ok((data.select(&train)?, data.select(&order[a..b])?))
        })
        .collect()
}

#[track_caller]
fn check(fraction: f64) -> Result<()> {
    if fraction > 0.0 && fraction < 1.0 {
        return Ok(());
    }
    let message = format!("a test part of {fraction}: it must be between 0 and 1");
    Err(Error::argument(message))
}

#[track_caller]
fn parts(
    data: &Arrays,
    train: &[usize],
    test: &[usize],
    fraction: f64,
) -> Result<(Arrays, Arrays)> {
    if train.is_empty() || test.is_empty() {
        let n = data.len();
        let message = format!("a test part of {fraction} of {n} samples leaves a part empty");
        return Err(Error::argument(message));
    }
    Ok((data.select(train)?, data.select(test)?))
}
