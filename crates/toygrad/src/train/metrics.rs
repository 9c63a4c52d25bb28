//! How good predictions are.
//!
//! Predictions of a classifier are scores `[samples, classes]` (logits or probabilities: only
//! their order counts, but for [`perplexity`] nothing takes a logarithm) and labels are whole
//! numbers `[samples]`; of a regression, numbers of any one shape. A NaN score is never the
//! highest. Of no samples there is no metric: an error.
//!
//! ```
//! use toygrad::prelude::*;
//! use toygrad::train::metrics::{self, Confusion};
//! let scores = Value::from([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.3, 0.7]]);
//! let labels = Value::from([0, 1, 1, 1]);
//! assert_eq!(metrics::accuracy(&scores, &labels)?, 0.75);
//! let confusion = Confusion::of(&scores, &labels)?;
//! assert_eq!(confusion.counts(), [[1, 0], [1, 2]]);
//! assert_eq!(confusion.class(1).precision, 1.0);
//! assert_eq!(confusion.class(1).f1, 0.8);
//! # Ok::<(), toygrad::Error>(())
//! ```

use crate::{Error, Result, Value};

/// Scores and labels as numbers.
struct Classified {
    scores: Vec<f64>,
    labels: Vec<usize>,
    classes: usize,
}

impl Classified {
    #[track_caller]
    fn new(scores: &Value, labels: &Value) -> Result<Classified> {
        for value in [scores, labels] {
            if let Some(e) = value.error() {
                return Err(e.clone());
            }
        }
        let (samples, classes) = match scores.shape()[..] {
            [samples, classes] if samples > 0 && classes > 0 => (samples, classes),
            _ => {
                let message = format!(
                    "scores are [samples, classes], at least one each, not {}",
                    scores.shape()
                );
                return Err(Error::argument(message));
            }
        };
        if labels.shape()[..] != [samples] || labels.dtype().is_float() {
            let message = format!(
                "labels are [{samples}] whole numbers, not {} {}",
                labels.shape(),
                labels.dtype()
            );
            return Err(Error::argument(message));
        }
        let mut found = Vec::with_capacity(samples);
        for (i, label) in labels.to_vec::<i64>()?.into_iter().enumerate() {
            match usize::try_from(label) {
                Ok(label) if label < classes => found.push(label),
                _ => {
                    let message =
                        format!("label {label} of sample {i}: there are {classes} classes");
                    return Err(Error::argument(message));
                }
            }
        }
        Ok(Classified {
            scores: scores.to_vec()?,
            labels: found,
            classes,
        })
    }

    /// The scores and the label of each sample.
    fn samples(&self) -> impl Iterator<Item = (&[f64], usize)> {
        let rows = self.scores.chunks_exact(self.classes);
        rows.zip(self.labels.iter().copied())
    }
}

/// The position of the highest score; the first of several, 0 if all are NaN.
fn highest(scores: &[f64]) -> usize {
    let mut best = 0;
    for (i, &x) in scores.iter().enumerate() {
        if x > scores[best] || (scores[best].is_nan() && !x.is_nan()) {
            best = i;
        }
    }
    best
}

/// The share of samples whose highest score is that of the label.
///
/// # Errors
/// Shapes that do not fit, labels that are no class, no samples; mistakes in the Values.
#[track_caller]
pub fn accuracy(scores: &Value, labels: &Value) -> Result<f64> {
    top_k(scores, labels, 1)
}

/// The share of samples whose label is among the `k` highest scores. Of equal scores the first
/// class counts as higher.
///
/// # Errors
/// As [`accuracy`]; a `k` of 0.
#[track_caller]
pub fn top_k(scores: &Value, labels: &Value, k: usize) -> Result<f64> {
    if k == 0 {
        return Err(Error::argument("no label is among the 0 highest scores"));
    }
    let data = Classified::new(scores, labels)?;
    let hit = |(row, label): &(&[f64], usize)| {
        let x = row[*label];
        let above = |(i, &y): (usize, &f64)| match (x.is_nan(), y.is_nan()) {
            (true, true) => i < *label,
            (true, false) => true,
            _ => y > x || (y == x && i < *label),
        };
        row.iter().enumerate().filter(|&p| above(p)).count() < k
    };
    let hits = data.samples().filter(hit).count();
    Ok(hits as f64 / data.labels.len() as f64)
}

/// Which classes are taken for which: `counts[label][prediction]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confusion {
    counts: Vec<Vec<usize>>,
}

/// How good a classifier is for a class; see [`Confusion::class`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scores {
    /// Of what was predicted to be of the class, the share that is. 0 where nothing was.
    pub precision: f64,
    /// Of what is of the class, the share that was predicted so. 0 where nothing is.
    pub recall: f64,
    /// The harmonic mean of both; 0 where both are.
    pub f1: f64,
    /// How many samples are of the class.
    pub support: usize,
}

impl Confusion {
    /// Counts.
    ///
    /// # Errors
    /// As [`accuracy`].
    #[track_caller]
    pub fn of(scores: &Value, labels: &Value) -> Result<Confusion> {
        let data = Classified::new(scores, labels)?;
        let mut counts = vec![vec![0; data.classes]; data.classes];
        for (row, label) in data.samples() {
            counts[label][highest(row)] += 1;
        }
        Ok(Confusion { counts })
    }

    /// The counts: a row for each label, a column for each prediction.
    pub fn counts(&self) -> &[Vec<usize>] {
        &self.counts
    }

    /// The share on the diagonal.
    pub fn accuracy(&self) -> f64 {
        let right: usize = (0..self.counts.len()).map(|i| self.counts[i][i]).sum();
        ratio(right, self.counts.iter().flatten().sum())
    }

    /// Precision, recall and F1 of a class; all 0 of one that is not there.
    pub fn class(&self, class: usize) -> Scores {
        let cell = |i: usize, j: usize| self.counts.get(i).and_then(|row| row.get(j)).copied();
        let n = self.counts.len();
        let right = cell(class, class).unwrap_or(0);
        let support = (0..n).filter_map(|j| cell(class, j)).sum();
        let predicted = (0..n).filter_map(|i| cell(i, class)).sum();
        Scores {
            precision: ratio(right, predicted),
            recall: ratio(right, support),
            f1: ratio(2 * right, support + predicted),
            support,
        }
    }

    /// The unweighted mean over the classes ("macro"), and the number of samples.
    pub fn mean(&self) -> Scores {
        let n = self.counts.len().max(1) as f64;
        let classes: Vec<Scores> = (0..self.counts.len()).map(|c| self.class(c)).collect();
        let mean = |f: fn(&Scores) -> f64| classes.iter().map(f).sum::<f64>() / n;
        Scores {
            precision: mean(|s| s.precision),
            recall: mean(|s| s.recall),
            f1: mean(|s| s.f1),
            support: classes.iter().map(|s| s.support).sum(),
        }
    }
}

fn ratio(part: usize, whole: usize) -> f64 {
    match whole {
        0 => 0.0,
        _ => part as f64 / whole as f64,
    }
}

/// The area under the receiver operating characteristic: how likely it is that a sample of class 1
/// has a higher score than one of class 0 (equal scores count half). `scores` are `[samples]`,
/// labels 0, 1 or false, true.
///
/// # Errors
/// Shapes that do not fit; other labels; a score that is NaN; samples of one class only.
#[track_caller]
pub fn roc_auc(scores: &Value, labels: &Value) -> Result<f64> {
    let x = scores.to_vec::<f64>()?;
    let y = labels.to_vec::<i64>()?;
    if scores.rank() != 1 || labels.shape() != scores.shape() {
        let (a, b) = (scores.shape(), labels.shape());
        let message = format!("scores and labels are [samples], not {a} and {b}");
        return Err(Error::argument(message));
    }
    if x.iter().any(|x| x.is_nan()) || y.iter().any(|&y| y != 0 && y != 1) {
        return Err(Error::argument("scores must be numbers, labels 0 or 1"));
    }
    let mut order: Vec<usize> = (0..x.len()).collect();
    order.sort_by(|&a, &b| x[a].total_cmp(&x[b]));
    // The sum of the ranks of class 1 (Mann & Whitney), equal scores sharing their mean rank.
    let (mut rank_sum, mut start) = (0.0, 0);
    for group in order.chunk_by(|&a, &b| x[a] == x[b]) {
        let rank = start as f64 + (group.len() + 1) as f64 / 2.0;
        rank_sum += rank * group.iter().filter(|&&i| y[i] == 1).count() as f64;
        start += group.len();
    }
    let ones = y.iter().filter(|&&y| y == 1).count() as f64;
    let zeros = y.len() as f64 - ones;
    if ones == 0.0 || zeros == 0.0 {
        return Err(Error::argument(
            "all samples are of one class: there is no ROC curve",
        ));
    }
    Ok((rank_sum - ones * (ones + 1.0) / 2.0) / (ones * zeros))
}

/// Predicted and true numbers, one to one.
#[track_caller]
fn pairs(predictions: &Value, targets: &Value) -> Result<Vec<(f64, f64)>> {
    let (p, t) = (predictions.to_vec::<f64>()?, targets.to_vec::<f64>()?);
    if predictions.shape() != targets.shape() || p.is_empty() {
        return Err(Error::argument(format!(
            "predictions {} and targets {} must be of one shape, with at least one number",
            predictions.shape(),
            targets.shape()
        )));
    }
    Ok(p.into_iter().zip(t).collect())
}

/// The mean of |prediction - target|.
///
/// # Errors
/// Different shapes; no numbers; mistakes in the Values.
#[track_caller]
pub fn mae(predictions: &Value, targets: &Value) -> Result<f64> {
    let pairs = pairs(predictions, targets)?;
    Ok(pairs.iter().map(|(p, t)| (p - t).abs()).sum::<f64>() / pairs.len() as f64)
}

/// The root of the mean of (prediction - target)².
///
/// # Errors
/// As [`mae`].
#[track_caller]
pub fn rmse(predictions: &Value, targets: &Value) -> Result<f64> {
    let pairs = pairs(predictions, targets)?;
    let sum: f64 = pairs.iter().map(|(p, t)| (p - t).powi(2)).sum();
    Ok((sum / pairs.len() as f64).sqrt())
}

/// The coefficient of determination: 1 for perfect predictions, 0 for those no better than the
/// mean. Of constant targets: 1 if predicted exactly, else 0 (as scikit-learn).
///
/// # Errors
/// As [`mae`].
#[track_caller]
pub fn r2(predictions: &Value, targets: &Value) -> Result<f64> {
    let pairs = pairs(predictions, targets)?;
    let mean = pairs.iter().map(|(_, t)| t).sum::<f64>() / pairs.len() as f64;
    let residual: f64 = pairs.iter().map(|(p, t)| (p - t).powi(2)).sum();
    let total: f64 = pairs.iter().map(|(_, t)| (t - mean).powi(2)).sum();
    Ok(match total == 0.0 {
        true => f64::from(residual == 0.0),
        false => 1.0 - residual / total,
    })
}

/// e to the mean cross-entropy, per token: how many tokens a model hesitates between.
pub fn perplexity(mean_cross_entropy: f64) -> f64 {
    mean_cross_entropy.exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    // Against scikit-learn 1.5: top_k_accuracy_score, roc_auc_score, r2_score, f1_score.
    #[test]
    fn as_scikit_learn() {
        let scores = Value::from([
            [0.5, 0.2, 0.2],
            [0.3, 0.4, 0.2],
            [0.2, 0.4, 0.3],
            [0.7, 0.2, 0.1],
        ]);
        let labels = Value::from([0, 1, 2, 2]);
        assert_eq!(top_k(&scores, &labels, 2).unwrap(), 0.75);
        let confusion = Confusion::of(&scores, &labels).unwrap();
        assert_eq!(confusion.counts(), [[1, 0, 0], [0, 1, 0], [1, 1, 0]]);
        assert!((confusion.mean().f1 - 4.0 / 9.0).abs() < 1e-15);
        let auc = roc_auc(
            &Value::from([0.1, 0.4, 0.35, 0.8]),
            &Value::from([0, 0, 1, 1]),
        );
        assert_eq!(auc.unwrap(), 0.75);
        let tied = roc_auc(&Value::from([0.5, 0.5, 0.5]), &Value::from([0, 1, 1]));
        assert_eq!(tied.unwrap(), 0.5);
        let (p, t) = (
            Value::from([2.5, 0.0, 2.0, 8.0]),
            Value::from([3.0, -0.5, 2.0, 7.0]),
        );
        assert!((r2(&p, &t).unwrap() - 0.948_608_137).abs() < 1e-9);
        assert_eq!(mae(&p, &t).unwrap(), 0.5);
        assert!((rmse(&p, &t).unwrap() - 0.375f64.sqrt()).abs() < 1e-15);
    }

    #[test]
    fn what_makes_no_sense_is_said() {
        let scores = Value::from([[0.5, f64::NAN], [f64::NAN, f64::NAN]]);
        assert_eq!(accuracy(&scores, &Value::from([0, 0])).unwrap(), 1.0);
        for labels in [
            Value::from([0, 2]),
            Value::from([0, -1]),
            Value::from([0]),
            Value::from([0.0, 1.0]),
        ] {
            assert!(accuracy(&scores, &labels).is_err());
        }
        assert!(
            accuracy(
                &Value::zeros([0, 2]),
                &Value::from_vec(Vec::<i64>::new(), [0])
            )
            .is_err()
        );
        assert!(top_k(&scores, &Value::from([0, 0]), 0).is_err());
        assert!(roc_auc(&Value::from([0.1, 0.2]), &Value::from([1, 1])).is_err());
        assert!(roc_auc(&Value::from([0.1, f64::NAN]), &Value::from([0, 1])).is_err());
        assert!(mae(&Value::from([1.0]), &Value::from([[1.0]])).is_err());
    }
}
