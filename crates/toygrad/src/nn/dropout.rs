//! Dropout.

use super::{Layer, Module, init, is_training};
use crate::Value;

/// In training, each element is zero with probability p, and the others are divided by `1 - p`
/// (Srivastava et al. 2014); inside [`eval`](super::eval) all pass.
///
/// ```
/// use toygrad::prelude::*;
/// use toygrad::nn::Dropout;
/// let y = Dropout::new(0.25).forward(&Value::ones([1000])).to_vec::<f32>()?;
/// let kept = y.iter().filter(|&&y| y != 0.0).count();
/// assert!((650..850).contains(&kept));
/// assert!(y.iter().all(|&y| y == 0.0 || (y - 4.0 / 3.0).abs() < 1e-6));
/// # Ok::<(), toygrad::Error>(())
/// ```
#[derive(Module, Clone, Copy, Debug)]
pub struct Dropout {
    /// The probability of a zero, in `[0, 1]`.
    pub p: f64,
}

impl Dropout {
    /// With this probability of a zero, in `[0, 1]`.
    pub fn new(p: f64) -> Dropout {
        Dropout { p }
    }
}

impl Layer for Dropout {
    /// Any shape; the same comes out.
    #[track_caller]
    fn forward(&self, x: &Value) -> Value {
        if !(0.0..=1.0).contains(&self.p) {
            return init::mistake(format!("a probability is in [0, 1]; {} came", self.p));
        }
        if !is_training() || self.p == 0.0 || x.error().is_some() {
            return x.clone();
        }
        // With p = 1 nothing is kept, and what nothing is divided by does not matter.
        let scale = 1.0 / (1.0 - self.p).max(f64::MIN_POSITIVE);
        let keep = Value::rand(x.shape()).ge(self.p);
        keep.select(x * scale, 0.0)
    }
}
