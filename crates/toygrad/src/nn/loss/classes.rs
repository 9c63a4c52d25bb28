//! Losses of classes: one of C is right. Classes are axis 1 (axis 0 of a single vector), as in
//! PyTorch: inputs `[n, C, ..]`, targets `[n, ..]`.

use super::Reduction;
use crate::{DType, Error, Value};

/// Cross-entropy of logits: `-ln softmax(logits)[target]`.
///
/// Targets are the numbers of classes (whole numbers, `[n, ..]` for logits `[n, C, ..]`), or
/// probabilities (floats, of the logits' shape).
///
/// ```
/// use toygrad::prelude::*;
/// use toygrad::nn::loss::CrossEntropy;
/// let logits = Value::from([[2.0, 0.0, 0.0], [0.0, 1.0, 0.0]]);
/// let loss = CrossEntropy { label_smoothing: 0.1, ..Default::default() }.of(&logits, [0, 1]);
/// assert!(loss.item()? > cross_entropy(&logits, [0, 1]).item()?);
/// # Ok::<(), toygrad::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct CrossEntropy {
    /// A factor for each class, `[C]`; the mean is then weighted by that of the targets.
    pub weight: Option<Value>,
    /// The share of the target that is spread evenly over all classes (Szegedy et al. 2015).
    pub label_smoothing: f64,
    /// The target of elements that do not count (-100 is customary).
    pub ignore_index: Option<i64>,
    /// What becomes of the losses of the elements.
    pub reduction: Reduction,
}

/// [`CrossEntropy`] with the default options: the mean over all elements.
///
/// ```
/// use toygrad::prelude::*;
/// let loss = cross_entropy(Value::zeros([4, 10]), [3, 1, 4, 1]);
/// assert!((loss.item()? - 10f64.ln()).abs() < 1e-6);
/// # Ok::<(), toygrad::Error>(())
/// ```
#[track_caller]
pub fn cross_entropy(logits: impl Into<Value>, target: impl Into<Value>) -> Value {
    CrossEntropy::default().of(logits, target)
}

impl CrossEntropy {
    /// The loss with these options.
    #[track_caller]
    pub fn of(&self, logits: impl Into<Value>, target: impl Into<Value>) -> Value {
        let (x, target) = (logits.into(), target.into());
        let axis = match class_axis("cross_entropy", &x, &target, &self.weight) {
            Ok(axis) => axis,
            Err(mistake) => return mistake,
        };
        let a = axis as isize;
        let classes = x.shape()[axis];
        let smooth = self.label_smoothing;
        let weight = self.weight.as_ref().map(|w| along(w, &x, axis));
        if target.dtype().is_float() {
            let mut p = target * (1.0 - smooth) + smooth / classes as f64;
            if let Some(w) = &weight {
                p *= w;
            }
            // The sum of p (logsumexp - x), so that the logarithms need not be stored.
            let total = p.sum_axis(a);
            let losses = total * x.logsumexp_axis(a) - (p * &x).sum_axis(a);
            return self.reduction.of(&losses);
        }
        let picked = Picked::new(&target, classes, self.ignore_index, &self.weight);
        let total = x.logsumexp_axis(a);
        let mut losses = picked.scaled(&total - picked.of(&x, a));
        if smooth != 0.0 {
            let even = match &weight {
                None => total - x.mean_axis(a),
                Some(w) => (w.sum() * total - (w * &x).sum_axis(a)) / classes as f64,
            };
            losses = (1.0 - smooth) * losses + smooth * even;
        }
        picked.reduce(losses, self.reduction)
    }
}

/// The negative of the log-probability of the target: cross-entropy after
/// [`log_softmax`](Value::log_softmax).
#[derive(Clone, Debug, Default)]
pub struct Nll {
    /// A factor for each class, `[C]`; the mean is then weighted by that of the targets.
    pub weight: Option<Value>,
    /// The target of elements that do not count (-100 is customary).
    pub ignore_index: Option<i64>,
    /// What becomes of the losses of the elements.
    pub reduction: Reduction,
}

/// [`Nll`] with the default options: the mean over all elements.
#[track_caller]
pub fn nll(log_probabilities: impl Into<Value>, target: impl Into<Value>) -> Value {
    Nll::default().of(log_probabilities, target)
}

impl Nll {
    /// The loss with these options: log-probabilities `[n, C, ..]`, targets `[n, ..]`.
    #[track_caller]
    pub fn of(&self, log_probabilities: impl Into<Value>, target: impl Into<Value>) -> Value {
        let (x, target) = (log_probabilities.into(), target.into());
        let axis = match class_axis("nll", &x, &target, &self.weight) {
            Ok(axis) => axis,
            Err(mistake) => return mistake,
        };
        if target.dtype().is_float() {
            return Value::from(Error::argument(
                "`nll` takes the numbers of classes as targets",
            ));
        }
        let classes = x.shape()[axis];
        let picked = Picked::new(&target, classes, self.ignore_index, &self.weight);
        let losses = picked.scaled(-picked.of(&x, axis as isize));
        picked.reduce(losses, self.reduction)
    }
}

/// The hinge loss of several classes: the mean over classes i that are not the target t of
/// `max(0, margin - x[t] + x[i])^p` (over C, as in PyTorch).
#[derive(Clone, Debug)]
pub struct MultiMargin {
    /// The exponent.
    pub p: f64,
    /// How much larger the score of the target should be.
    pub margin: f64,
    /// A factor for each class, `[C]`, of the target.
    pub weight: Option<Value>,
    /// What becomes of the losses of the elements.
    pub reduction: Reduction,
}

impl Default for MultiMargin {
    fn default() -> Self {
        MultiMargin {
            p: 1.0,
            margin: 1.0,
            weight: None,
            reduction: Reduction::Mean,
        }
    }
}

/// [`MultiMargin`] with the default options: the mean over all elements.
#[track_caller]
pub fn multi_margin(scores: impl Into<Value>, target: impl Into<Value>) -> Value {
    MultiMargin::default().of(scores, target)
}

impl MultiMargin {
    /// The loss with these options: scores `[n, C, ..]`, targets `[n, ..]`.
    #[track_caller]
    pub fn of(&self, scores: impl Into<Value>, target: impl Into<Value>) -> Value {
        let (x, target) = (scores.into(), target.into());
        let axis = match class_axis("multi_margin", &x, &target, &self.weight) {
            Ok(axis) => axis,
            Err(mistake) => return mistake,
        };
        if target.dtype().is_float() {
            return Value::from(Error::argument(
                "`multi_margin` takes the numbers of classes as targets",
            ));
        }
        let (a, classes) = (axis as isize, x.shape()[axis]);
        let picked = Picked::new(&target, classes, None, &self.weight);
        let over = (self.margin - picked.of(&x, a).unsqueeze(a) + &x).relu();
        let over = match self.p {
            1.0 => over,
            2.0 => over.square(),
            p => over.pow(p),
        };
        let number = along(&Value::arange(0..classes), &x, axis);
        let others = number.ne(target.unsqueeze(a)).select(over, 0.0);
        let losses = others.sum_axis(a) / classes as f64;
        // PyTorch weighs the losses here, not their mean.
        self.reduction.of(&picked.scaled(losses))
    }
}

/// Where the classes are, if the shapes fit.
#[track_caller]
fn class_axis(
    name: &str,
    x: &Value,
    target: &Value,
    weight: &Option<Value>,
) -> Result<usize, Value> {
    for v in [x, target].into_iter().chain(weight) {
        if v.error().is_some() {
            return Err(v.clone());
        }
    }
    let axis = usize::from(x.rank() > 1);
    let Some(&classes) = x.shape().get(axis) else {
        let message = format!("`{name}` needs an axis of classes: the input is a scalar");
        return Err(Value::from(Error::argument(message)));
    };
    let without = |(i, &n): (usize, &usize)| (i != axis).then_some(n);
    let expected: crate::Shape = match target.dtype().is_float() {
        true => x.shape().clone(),
        false => x.shape().iter().enumerate().filter_map(without).collect(),
    };
    if *target.shape() != expected {
        return Err(Value::from(Error::argument(format!(
            "`{name}` of an input {} with {classes} classes along axis {axis} needs targets {expected}, not {} {}",
            x.shape(),
            target.shape(),
            target.dtype(),
        ))));
    }
    match weight {
        Some(w) if w.shape()[..] != [classes] => Err(Value::from(Error::argument(format!(
            "`{name}` of {classes} classes needs as many weights, not {}",
            w.shape()
        )))),
        _ => Ok(axis),
    }
}

/// A vector along `axis` of x.
fn along(vector: &Value, x: &Value, axis: usize) -> Value {
    let shape: crate::Shape = (0..x.rank())
        .map(|a| if a == axis { x.shape()[a] } else { 1 })
        .collect();
    vector.reshape(&shape)
}

/// The targets as positions, and what each counts.
struct Picked {
    index: Value,
    ignored: Option<Value>,
    weight: Option<Value>,
}

impl Picked {
    fn new(target: &Value, classes: usize, ignore: Option<i64>, weight: &Option<Value>) -> Picked {
        let target = target.cast(DType::I64);
        let ignored = ignore.map(|i| target.eq(i));
        // A negative position would count from the end: no class is meant, so out of range.
        let beyond = (classes as i64 - 1) - &target;
        let index = target.lt(0).select(beyond, &target);
        let index = match &ignored {
            Some(ignored) => ignored.select(0, index),
            None => index,
        };
        let weight = weight.as_ref().map(|w| w.index_select(0, &index));
        let weight = match (&ignored, weight) {
            (Some(ignored), Some(w)) => Some(ignored.select(0.0, w)),
            (Some(ignored), None) => Some(ignored.select(0.0, 1.0)),
            (None, weight) => weight,
        };
        Picked {
            index,
            ignored,
            weight,
        }
    }

    /// The elements at the targets.
    fn of(&self, x: &Value, axis: isize) -> Value {
        x.gather(axis, self.index.unsqueeze(axis)).squeeze(axis)
    }

    /// Losses times the weights of their targets.
    fn scaled(&self, losses: Value) -> Value {
        match &self.weight {
            Some(w) => losses * w,
            None => losses,
        }
    }

    /// The mean is one of those that count, weighted.
    fn reduce(&self, losses: Value, reduction: Reduction) -> Value {
        let losses = match &self.ignored {
            Some(ignored) => ignored.select(0.0, losses),
            None => losses,
        };
        match (&self.weight, reduction) {
            (Some(w), Reduction::Mean) => losses.sum() / w.sum(),
            _ => reduction.of(&losses),
        }
    }
}
