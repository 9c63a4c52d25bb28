//! Datasets, loaders, splits, scalers and synthetic points.

use toygrad::data::{self, Arrays, Dataset, Loader, Method, Scaler};
use toygrad::prelude::*;

fn numbers(n: usize) -> Arrays {
    let x: Value = (0..n).map(|i| i as f32).collect();
    Arrays::new(x.reshape([n, 1]), Value::arange(0..n)).unwrap()
}

fn targets(loader: &Loader<Arrays>, epoch: u64, from: usize) -> Vec<Vec<i64>> {
    let batches = loader.epoch_from(epoch, from);
    batches
        .map(|b| b.unwrap().1.to_vec::<i64>().unwrap())
        .collect()
}

#[test]
fn an_epoch_visits_each_sample_once_in_a_seeded_order() {
    for prefetch in [0, 3] {
        let loader = Loader::new(numbers(23), 5).shuffle(1).prefetch(prefetch);
        let epoch = targets(&loader, 0, 0);
        assert_eq!(
            epoch.iter().map(Vec::len).collect::<Vec<_>>(),
            [5, 5, 5, 5, 3]
        );
        let mut all = epoch.concat();
        assert_ne!(all, (0..23).collect::<Vec<i64>>());
        all.sort_unstable();
        assert_eq!(all, (0..23).collect::<Vec<i64>>());
        assert_eq!(epoch, targets(&loader, 0, 0));
        assert_ne!(epoch, targets(&loader, 1, 0));
        assert_ne!(epoch, targets(&loader.clone().shuffle(2), 0, 0));
        assert_eq!(epoch[2..], targets(&loader, 0, 2));
        assert_eq!(loader.epoch(0).len(), 5);
        assert!(loader.epoch_from(0, 99).next().is_none());
    }
}

#[test]
fn the_order_does_not_depend_on_prefetching() {
    let loader = Loader::new(numbers(50), 7).shuffle(9);
    assert_eq!(
        targets(&loader, 4, 0),
        targets(&loader.clone().prefetch(2), 4, 0)
    );
}

#[test]
fn the_last_batch_can_be_dropped() {
    let loader = Loader::new(numbers(23), 5).drop_last(true);
    assert_eq!(targets(&loader, 0, 0).concat(), (0..20).collect::<Vec<_>>());
    // More than there is: one small batch, or none, which is said.
    assert_eq!(targets(&Loader::new(numbers(3), 5), 0, 0), [[0, 1, 2]]);
    let mut none = Loader::new(numbers(3), 5).drop_last(true).epoch(0);
    let error = none.next().unwrap().unwrap_err().to_string();
    assert!(error.contains("3 samples make no batch of 5"), "{error}");
    assert!(none.next().is_none());
}

#[test]
fn what_cannot_be_loaded_is_said() {
    let first = |loader: Loader<Arrays>| match loader.epoch(0).next() {
        Some(Err(e)) => e.to_string(),
        _ => String::new(),
    };
    assert!(first(Loader::new(numbers(3), 0)).contains("batch size of 0"));
    assert!(first(Loader::new(numbers(0), 4)).contains("empty"));
    assert!(numbers(3).batch(&[3]).is_err());
    assert!(Arrays::new([1.0, 2.0], [1, 2, 3]).is_err());
    assert!(Arrays::new(1.0, 2.0).is_err());
    assert!(Arrays::new(Value::from([1.0, 2.0]) + Value::from([1.0; 3]), [1]).is_err());
}

/// A dataset that panics on its own thread.
struct Broken;

impl Dataset for Broken {
    type Batch = Value;
    fn len(&self) -> usize {
        4
    }
    fn batch(&self, indices: &[usize]) -> Result<Value> {
        assert!(indices[0] < 2, "a bug in a dataset");
        Ok(indices.iter().copied().collect())
    }
}

#[test]
fn a_panic_of_a_dataset_is_an_error_not_a_hang() {
    let epoch: Vec<bool> = Loader::new(Broken, 1)
        .prefetch(1)
        .epoch(0)
        .map(|b| b.is_ok())
        .collect();
    assert_eq!(epoch, [true, true, false]);
}

#[test]
fn an_epoch_can_be_left_early() {
    let loader = Loader::new(numbers(1000), 1).prefetch(4);
    for _ in 0..50 {
        assert!(loader.epoch(0).next().unwrap().is_ok());
    }
}

#[test]
fn splits_are_disjoint_and_complete() {
    let data = numbers(50);
    let all = |parts: &[&Arrays]| {
        let mut all: Vec<i64> = parts
            .iter()
            .flat_map(|p| p.targets().unwrap().to_vec::<i64>().unwrap())
            .collect();
        all.sort_unstable();
        all
    };
    let (train, test) = data::split(&data, 0.2, 3).unwrap();
    assert_eq!((train.len(), test.len()), (40, 10));
    assert_eq!(all(&[&train, &test]), (0..50).collect::<Vec<_>>());
    let folds = data::k_fold(&data, 7, 3).unwrap();
    for (train, test) in &folds {
        assert_eq!(all(&[train, test]), (0..50).collect::<Vec<_>>());
    }
    let tests: Vec<&Arrays> = folds.iter().map(|(_, test)| test).collect();
    assert_eq!(all(&tests), (0..50).collect::<Vec<_>>());
    for fraction in [0.0, 1.0, -1.0, f64::NAN, 0.001, 0.999] {
        assert!(data::split(&data, fraction, 0).is_err(), "{fraction}");
    }
    assert!(data::k_fold(&data, 1, 0).is_err() && data::k_fold(&data, 51, 0).is_err());
}

#[test]
fn a_stratified_split_keeps_each_class_in_both_parts() {
    let labels: Vec<i64> = (0..100)
        .map(|i| i64::from(i >= 90) + i64::from(i >= 97))
        .collect();
    let data = Arrays::new(Value::arange(0..100), labels).unwrap();
    let (train, test) = data::stratified_split(&data, 0.2, 5).unwrap();
    let count = |part: &Arrays| {
        let mut n = [0; 3];
        for label in part.targets().unwrap().to_vec::<usize>().unwrap() {
            n[label] += 1;
        }
        n
    };
    assert_eq!((count(&train), count(&test)), ([72, 6, 2], [18, 1, 1]));
    let floats = Arrays::new([1.0, 2.0], [0.5, 1.5]).unwrap();
    assert!(data::stratified_split(&floats, 0.5, 0).is_err());
}

#[test]
fn scalers_learn_from_the_training_part_alone() {
    let train = Value::from([[0.0, 5.0], [10.0, 5.0]]);
    let test = Value::from([[20.0, 6.0]]);
    let scaler = Scaler::fit(&train, Method::MinMax).unwrap();
    assert_eq!(scaler.apply(&test).to_vec::<f64>().unwrap(), [2.0, 1.0]);
    let saved = Scaler::from_parts(scaler.shift().to_vec(), scaler.factor().to_vec()).unwrap();
    assert_eq!(
        saved.undo(&saved.apply(&test)).to_vec::<f64>().unwrap(),
        [20.0, 6.0]
    );
    for bad in [
        Value::from([1.0, 2.0]),
        Value::from([[1.0], [f64::NAN]]),
        Value::zeros([0, 2]),
    ] {
        assert!(Scaler::fit(&bad, Method::Standard).is_err());
    }
    assert!(Scaler::from_parts(vec![1.0], vec![0.0]).is_err());
}

#[test]
fn synthetic_points_are_seeded_and_balanced() {
    for (x, y) in [
        data::moons(60, 0.1, 1),
        data::circles(60, 0.1, 1),
        data::spirals(60, 3, 0.1, 1),
        data::blobs(60, 4, 0.1, 1),
        data::blobs(0, 0, 0.1, 1),
    ] {
        assert_eq!(x.shape()[0], y.shape()[0]);
        assert!(x.to_vec::<f32>().unwrap().iter().all(|x| x.abs() < 3.0));
    }
    let points = |seed| data::moons(20, 0.1, seed).0.to_vec::<f32>().unwrap();
    assert_eq!(points(1), points(1));
    assert_ne!(points(1), points(2));
}
