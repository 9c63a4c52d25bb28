//! Losses that are negative log-likelihoods or divergences of distributions.

use super::{Reduction, check, losses};
use crate::{Value, custom};
use std::f64::consts::PI;

losses! {
    /// Binary cross-entropy of probabilities: `-w (t ln p + (1 - t) ln(1 - p))`, where logarithms
    /// are at least -100. [`bce_with_logits`] is more accurate.
    Bce bce(probability, target) {
        /// A factor for each element, that broadcasts against them.
        weight: Option<Value> = None,
    } = |Bce { weight, .. }| {
        check!("bce", probability, target);
        let parts = [&probability, &target];
        // The derivative of the logarithms, kept finite at 0 and 1 as PyTorch does.
        let losses = custom(
            parts,
            |x| {
                let (p, t) = (&x[0], &x[1]);
                let (yes, no) = (p.ln().maximum(-100.0), (-p).log1p().maximum(-100.0));
                -(t * yes + (1.0 - t) * no)
            },
            |x, _, g| {
                let (p, t) = (&x[0], &x[1]);
                let (yes, no) = (p.ln().maximum(-100.0), (-p).log1p().maximum(-100.0));
                vec![g * (p - t) / (p * (1.0 - p)).maximum(1e-12), g * (no - yes)]
            },
        );
        weighted(losses, weight)
    };

    /// Binary cross-entropy of logits: [`bce`] of their sigmoid, without its rounding.
    BceWithLogits bce_with_logits(logit, target) {
        /// A factor for each element, that broadcasts against them.
        weight: Option<Value> = None,
        /// A factor for the positive targets, that broadcasts against them.
        pos_weight: Option<Value> = None,
    } = |BceWithLogits { weight, pos_weight, .. }| {
        check!("bce_with_logits", logit, target);
        let losses = match pos_weight {
            None => logit.softplus() - &logit * &target,
            Some(w) => (1.0 - &target) * &logit + (1.0 + (w - 1.0) * &target) * (-&logit).softplus(),
        };
        weighted(losses, weight)
    };

    /// Kullback-Leibler divergence of log-probabilities from target probabilities:
    /// `t (ln t - input)`, 0 where t is 0. Its mathematical value is the sum over classes, averaged
    /// over the batch: [`Reduction::BatchMean`].
    KlDiv kl_div(log_probability, target) {
        /// Whether targets are logarithms too.
        log_target: bool = false,
    } = |KlDiv { log_target, .. }| {
        check!("kl_div", log_probability, target);
        match *log_target {
            true => target.exp() * (&target - log_probability),
            false => {
                let some = target.gt(0.0);
                let logarithm = some.select(&target, 1.0).ln();
                some.select(&target * (logarithm - log_probability), 0.0)
            }
        }
    };

    /// Negative log-likelihood of counts under Poisson's distribution: `exp(x) - t x` of the
    /// logarithm x of the rate.
    PoissonNll poisson_nll(rate, target) {
        /// Whether the rate is given as its logarithm; else the loss is `x - t ln(x + eps)`.
        log_input: bool = true,
        /// Adds Stirling's approximation of `ln t!` for t > 1.
        full: bool = false,
        /// Keeps the logarithm finite where the rate is 0.
        eps: f64 = 1e-8,
    } = |PoissonNll { log_input, full, eps, .. }| {
        check!("poisson_nll", rate, target);
        let losses = match *log_input {
            true => rate.exp() - &target * &rate,
            false => &rate - &target * (&rate + *eps).ln(),
        };
        match *full {
            true => {
                let many = target.gt(1.0);
                let t = many.select(&target, 1.0);
                let stirling = &t * t.ln() - &t + 0.5 * (2.0 * PI * &t).ln();
                losses + many.select(stirling, 0.0)
            }
            false => losses,
        }
    };

    /// Negative log-likelihood under normal distributions: `(ln v + (mean - t)² / v) / 2`, with
    /// variances v of at least eps.
    GaussianNll gaussian_nll(mean, target, variance) {
        /// Adds `ln(2π) / 2`.
        full: bool = false,
        /// The smallest variance.
        eps: f64 = 1e-6,
    } = |GaussianNll { full, eps, .. }| {
        check!("gaussian_nll", mean, target, variance);
        let v = variance.maximum(*eps);
        let losses = 0.5 * (v.ln() + (mean - target).square() / &v);
        if *full { losses + 0.5 * (2.0 * PI).ln() } else { losses }
    };
}

#[track_caller]
fn weighted(losses: Value, weight: &Option<Value>) -> Value {
    match weight {
        Some(w) => losses * w,
        None => losses,
    }
}
