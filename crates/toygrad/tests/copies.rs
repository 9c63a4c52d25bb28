//! What is made only to be copied is made where the copy would bring it.

mod common;
use common::*;
use toygrad::{DType, Value, evaluate, oracle};

/// A product of a stack, or a loop over one, as large.
fn source(rng: &mut Rng, shape: &[usize]) -> Value {
    let [batch @ .., m, n] = shape else {
        panic!("at least two axes");
    };
    let depth = rng.below(5);
    let left: Vec<usize> = batch.iter().copied().chain([*m, depth]).collect();
    let right: Vec<usize> = batch.iter().copied().chain([depth, *n]).collect();
    let mut array = |shape: &[usize]| rng.array(shape, DType::F32, (-1.0, 1.0));
    let product = array(&left).matmul(array(&right));
    match rng.one_in(4) {
        true => product.sin(),
        false => product,
    }
}

/// An order of `n` axes.
fn order(rng: &mut Rng, n: usize) -> Vec<isize> {
    let mut axes: Vec<isize> = (0..n as isize).collect();
    (1..n).for_each(|i| axes.swap(i, rng.below(i + 1)));
    axes
}

/// Moved about by some steps, each of which may need a copy.
fn moved(rng: &mut Rng, mut x: Value) -> Value {
    for _ in 0..1 + rng.below(4) {
        x = match rng.below(5) {
            0 => x.permute(order(rng, x.rank())),
            // Neighbours joined.
            1 if x.rank() > 2 => {
                let mut shape = x.shape().to_vec();
                let at = rng.below(x.rank() - 1);
                shape[at] *= shape.remove(at + 1);
                x.reshape(&shape[..])
            }
            2 => Value::concat([x.clone(), x.cos()], rng.below(x.rank()) as isize),
            3 => {
                let other = source(rng, x.shape());
                Value::concat([other, x.clone()], rng.below(x.rank()) as isize)
            }
            _ => {
                let axis = rng.below(x.rank());
                let mut widths = vec![(0, 0); x.rank()];
                widths[axis] = (rng.below(3), rng.below(3));
                x.pad(widths)
            }
        };
    }
    x
}

#[test]
fn results_are_where_they_belong() {
    let mut rng = Rng(21);
    for case in 0..400 * effort() {
        let rank = 2 + rng.below(3);
        let shape: Vec<usize> = (0..rank).map(|_| 1 + rng.below(6)).collect();
        let x = source(&mut rng, &shape);
        let mut results = vec![moved(&mut rng, x.clone())];
        if rng.one_in(3) {
            results.push(moved(&mut rng, x));
        }
        evaluate(&results).expect("evaluates");
        let wanted = oracle(&results).expect("the reference");
        for (y, wanted) in results.iter().zip(&wanted) {
            let what = format!("case {case}, shape {shape:?}");
            assert_near(&what, &numbers(y), wanted, tolerance(DType::F32));
        }
    }
}

/// How many kernels compute it.
fn kernels(y: &Value) -> usize {
    let listing = y.listing().expect("a program");
    let count = listing.split(' ').nth(1).expect("their number");
    count.parse().expect("a number")
}

#[test]
fn products_of_heads_are_written_side_by_side() {
    let mut rng = Rng(22);
    let mut array = |shape: &[usize]| rng.array(shape, DType::F32, (-1.0, 1.0));
    let mut heads = || array(&[2, 4, 6, 5]).matmul(array(&[2, 4, 5, 3]));
    let joined = |x: &Value| x.permute([0, 2, 1, 3]).reshape([12, 12]);
    let (one, other) = (heads(), heads());
    assert_eq!(kernels(&joined(&one)), 1);
    let both = Value::concat([joined(&one), joined(&other)], 1);
    assert_eq!(kernels(&both), 2);
    // Rows are moved whole, or copied.
    assert_eq!(kernels(&one.permute([0, 2, 3, 1])), 2);
    // What somebody else reads stays where it is.
    let twice = joined(&one) * one.sum();
    assert_oracle("twice", &twice, tolerance(DType::F32));
}
