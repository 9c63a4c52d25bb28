//! Losses of how far apart two Values are.

use super::{Reduction, check, losses};
use crate::Value;

losses! {
    /// The squared difference.
    Mse mse(prediction, target) {} = |_| {
        check!("mse", prediction, target);
        (prediction - target).square()
    };

    /// The absolute difference.
    L1 l1(prediction, target) {} = |_| {
        check!("l1", prediction, target);
        (prediction - target).abs()
    };

    /// `d² / 2` where the difference `|d| < delta`, else `delta (|d| - delta / 2)` (Huber 1964).
    Huber huber(prediction, target) {
        /// Where the square becomes a line.
        delta: f64 = 1.0,
    } = |Huber { delta, .. }| {
        check!("huber", prediction, target);
        let d = (prediction - target).abs();
        d.lt(*delta).select(0.5 * d.square(), *delta * (&d - 0.5 * delta))
    };

    /// `d² / (2 beta)` where the difference `|d| < beta`, else `|d| - beta / 2`: Huber's loss over
    /// beta.
    SmoothL1 smooth_l1(prediction, target) {
        /// Where the square becomes a line; 0 gives the absolute difference.
        beta: f64 = 1.0,
    } = |SmoothL1 { beta, .. }| {
        check!("smooth_l1", prediction, target);
        let d = (prediction - target).abs();
        match *beta > 0.0 {
            true => d.lt(*beta).select(d.square() * (0.5 / beta), &d - 0.5 * beta),
            false => d,
        }
    };

    /// `max(0, margin - target · prediction)`, for targets -1 and 1: the hinge loss of support
    /// vector machines.
    Hinge hinge(prediction, target) {
        /// The product that is large enough.
        margin: f64 = 1.0,
    } = |Hinge { margin, .. }| {
        check!("hinge", prediction, target);
        (*margin - prediction * target).relu()
    };

    /// Of a distance and whether two things belong together (target 1) or not (-1): the distance,
    /// or `max(0, margin - distance)`.
    HingeEmbedding hinge_embedding(distance, target) {
        /// The distance that is large enough.
        margin: f64 = 1.0,
    } = |HingeEmbedding { margin, .. }| {
        check!("hinge_embedding", distance, target);
        target.gt(0.0).select(&distance, (*margin - &distance).relu())
    };

    /// `max(0, margin - target · (first - second))`: the first should be larger where the target
    /// is 1, smaller where it is -1.
    MarginRanking margin_ranking(first, second, target) {
        /// The difference that is large enough.
        margin: f64 = 0.0,
    } = |MarginRanking { margin, .. }| {
        check!("margin_ranking", first, second, target);
        (*margin - target * (first - second)).relu()
    };

    /// `1 - cos` of the angle between vectors (the last axis) where the target is 1, `max(0, cos -
    /// margin)` where it is -1. Vectors `[.., d]`, target `[..]`.
    CosineEmbedding cosine_embedding(first, second, target) {
        /// The cosine that is small enough.
        margin: f64 = 0.0,
    } = |CosineEmbedding { margin, .. }| {
        check!("cosine_embedding", first, second);
        let squares = |a: &Value, b: &Value| (a * b).sum_axis(-1);
        let norms = (squares(&first, &first) + 1e-12) * (squares(&second, &second) + 1e-12);
        let cosine = squares(&first, &second) / norms.sqrt();
        check!("cosine_embedding", cosine, target);
        target.gt(0.0).select(1.0 - &cosine, (&cosine - *margin).relu())
    };

    /// `max(0, |anchor - positive| - |anchor - negative| + margin)`: an anchor should be nearer to
    /// what is like it than to what is not. Vectors `[.., d]`; `|x - y|` is the p-norm of
    /// `x - y + eps`.
    TripletMargin triplet_margin(anchor, positive, negative) {
        /// How much nearer is enough.
        margin: f64 = 1.0,
        /// Which norm.
        p: f64 = 2.0,
        /// Added to differences, so that the norm has a derivative.
        eps: f64 = 1e-6,
        /// Takes the distance of the positive to the negative where that is smaller (Balntas et
        /// al. 2016).
        swap: bool = false,
    } = |TripletMargin { margin, p, eps, swap, .. }| {
        check!("triplet_margin", anchor, positive, negative);
        let distance = |x: &Value, y: &Value| {
            let d = x - y + *eps;
            match *p == 2.0 {
                true => d.norm_axis(-1),
                false => d.abs().pow(*p).sum_axis(-1).pow(1.0 / p),
            }
        };
        let mut far = distance(&anchor, &negative);
        if *swap {
            far = far.minimum(distance(&positive, &negative));
        }
        (distance(&anchor, &positive) - far + *margin).relu()
    };
}
