//! Against hand-computed numbers.

use super::*;
use crate::prelude::*;

fn close(value: Value, expected: &[f64]) {
    let got: Vec<f64> = value.to_vec().expect("a loss");
    assert_eq!(got.len(), expected.len(), "{got:?}");
    for (a, b) in got.iter().zip(expected) {
        assert!(
            (a - b).abs() <= 1e-6 * b.abs().max(1.0),
            "{got:?} {expected:?}"
        );
    }
}

#[test]
fn shapes_that_would_broadcast_are_mistakes() {
    let loss = mse(Value::zeros([3, 1]), Value::zeros([3]));
    let message = loss.error().map(ToString::to_string).unwrap_or_default();
    assert!(
        message
            .starts_with("`mse` compares arrays of one shape, not prediction [3, 1], target [3]"),
        "{message}"
    );
    assert!(
        cross_entropy(Value::zeros([3, 4]), [0, 1])
            .error()
            .is_some()
    );
    assert!(mse(Value::ones([3]), 0.0).error().is_none());
}

#[test]
fn cross_entropy_is_the_negative_log_of_the_targets_probability() {
    let logits = Value::from([[1.0, 2.0, 3.0], [0.5, 0.5, 0.0]]);
    let z = [
        1f64.exp() + 2f64.exp() + 3f64.exp(),
        2.0 * 0.5f64.exp() + 1.0,
    ];
    let losses = [z[0].ln() - 3.0, z[1].ln() - 0.5];
    let each = CrossEntropy {
        reduction: Reduction::None,
        ..Default::default()
    };
    close(each.of(&logits, [2, 0]), &losses);
    close(
        cross_entropy(&logits, [2, 0]),
        &[(losses[0] + losses[1]) / 2.0],
    );
    let certain = Value::from([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]);
    close(each.of(&logits, certain), &losses);
    let weight = Some(Value::from([2.0, 1.0, 0.5]));
    let weighted = CrossEntropy {
        weight,
        ..Default::default()
    };
    close(
        weighted.of(&logits, [2, 0]),
        &[(0.5 * losses[0] + 2.0 * losses[1]) / 2.5],
    );
}

#[test]
fn a_class_that_does_not_exist_is_an_error() {
    for target in [[0, 3], [0, -1]] {
        assert!(cross_entropy(Value::zeros([2, 3]), target).item().is_err());
    }
}
