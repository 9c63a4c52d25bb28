//! Each loss without reduction, its mean, its sum, and its gradient.

// Some losses have no options but the reduction.
#![allow(clippy::needless_update)]

use super::{assert_close, find, golden, weighted};
use toygrad::nn::loss::*;
use toygrad::prelude::*;

const EACH: [Reduction; 3] = [Reduction::None, Reduction::Mean, Reduction::Sum];

/// Inputs are whole numbers where `whole` names them.
fn check(case: &str, whole: &[usize], loss: impl Fn(&[Value], Reduction) -> Value) {
    let inputs: Vec<Value> = (0..)
        .map_while(|i| find(case, &format!("in{i}")).map(|x| (i, x)))
        .map(|(i, x)| {
            if whole.contains(&i) {
                x.cast(DType::I64)
            } else {
                x
            }
        })
        .collect();
    let x = Parameter::new(&inputs[0]);
    let inputs: Vec<Value> = [&[x.value()], &inputs[1..]].concat();
    let outputs: Vec<Value> = EACH.iter().map(|&r| loss(&inputs, r)).collect();
    for (i, y) in outputs.iter().enumerate() {
        assert_close(
            &format!("{case} {:?}", EACH[i]),
            y,
            &golden(case, &format!("out{i}")),
            1e-6,
        );
    }
    weighted(&outputs).backward().unwrap();
    assert_close(case, &x.grad().unwrap(), &golden(case, "grad_in0"), 1e-6);
}

/// A loss of two or three arrays.
macro_rules! case {
    ($case:literal, $loss:ident { $($option:ident: $x:expr),* }, 2) => {
        check($case, &[], |x, reduction| {
            $loss { $($option: $x,)* reduction, ..Default::default() }.of(&x[0], &x[1])
        });
    };
    ($case:literal, $loss:ident { $($option:ident: $x:expr),* }, 3) => {
        check($case, &[], |x, reduction| {
            $loss { $($option: $x,)* reduction, ..Default::default() }.of(&x[0], &x[1], &x[2])
        });
    };
}

#[test]
fn distances() {
    case!("mse", Mse {}, 2);
    case!("l1", L1 {}, 2);
    case!("huber", Huber { delta: 0.7 }, 2);
    case!("smooth_l1", SmoothL1 { beta: 0.7 }, 2);
    case!("hinge_embedding", HingeEmbedding {}, 2);
    case!("margin_ranking", MarginRanking { margin: 0.5 }, 3);
    case!("cosine_embedding", CosineEmbedding { margin: -0.5 }, 3);
    case!("triplet_margin", TripletMargin {}, 3);
    case!(
        "triplet_margin_swap",
        TripletMargin {
            margin: 2.0,
            p: 3.0,
            swap: true
        },
        3
    );
}

#[test]
fn distributions() {
    case!("bce", Bce {}, 2);
    case!("bce_with_logits", BceWithLogits {}, 2);
    check("bce_with_logits_weights", &[], |x, reduction| {
        let (weight, pos_weight) = (Some(x[2].clone()), Some(x[3].clone()));
        BceWithLogits {
            weight,
            pos_weight,
            reduction,
        }
        .of(&x[0], &x[1])
    });
    case!("kl_div", KlDiv {}, 2);
    case!("kl_div_log", KlDiv { log_target: true }, 2);
    case!("poisson_nll", PoissonNll {}, 2);
    case!(
        "poisson_nll_full",
        PoissonNll {
            log_input: false,
            full: true
        },
        2
    );
    case!("gaussian_nll", GaussianNll { full: true }, 3);
}

fn classes(case: &str, options: CrossEntropy) {
    let whole: &[usize] = if case.contains("probabilities") {
        &[]
    } else {
        &[1]
    };
    check(case, whole, |x, reduction| {
        let weight = x.get(2).cloned();
        CrossEntropy {
            weight,
            reduction,
            ..options.clone()
        }
        .of(&x[0], &x[1])
    });
}

#[test]
fn cross_entropies() {
    let smooth = |label_smoothing| CrossEntropy {
        label_smoothing,
        ..Default::default()
    };
    let ignoring = CrossEntropy {
        ignore_index: Some(-100),
        ..Default::default()
    };
    classes("cross_entropy", CrossEntropy::default());
    classes("cross_entropy_options", smooth(0.1));
    classes(
        "cross_entropy_maps",
        CrossEntropy {
            label_smoothing: 0.2,
            ..ignoring.clone()
        },
    );
    classes("cross_entropy_ignore", ignoring);
    classes("cross_entropy_vector", CrossEntropy::default());
    classes("cross_entropy_probabilities", smooth(0.1));
}

#[test]
fn other_losses_of_classes() {
    check("nll", &[1], |x, reduction| {
        Nll {
            weight: Some(x[2].clone()),
            reduction,
            ..Default::default()
        }
        .of(&x[0], &x[1])
    });
    check("multi_margin", &[1], |x, reduction| {
        MultiMargin {
            reduction,
            ..Default::default()
        }
        .of(&x[0], &x[1])
    });
    check("multi_margin_options", &[1], |x, reduction| {
        let weight = Some(x[2].clone());
        MultiMargin {
            p: 2.0,
            margin: 0.7,
            weight,
            reduction,
        }
        .of(&x[0], &x[1])
    });
}
