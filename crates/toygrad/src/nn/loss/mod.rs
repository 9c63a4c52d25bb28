//! Losses: what training makes small.
//!
//! Each is a function that gives the mean over all elements, and a struct of its options with a
//! method `of`:
//!
//! ```
//! use toygrad::prelude::*;
//! use toygrad::nn::loss::{Huber, Reduction, huber};
//! let (y, target) = (Value::from([0.5, 3.0]), Value::from([0.0, 0.0]));
//! assert_eq!(huber(&y, &target).item()?, (0.125 + 2.5) / 2.0);
//! let each = Huber { delta: 2.0, reduction: Reduction::None }.of(&y, &target);
//! assert_eq!(each.to_vec::<f64>()?, [0.125, 4.0]);
//! # Ok::<(), toygrad::Error>(())
//! ```
//!
//! Shapes must be equal: a prediction `[n, 1]` and a target `[n]` would silently broadcast to
//! `[n, n]`. A target of rank 0 stands for all.

mod classes;
mod distance;
mod distribution;

pub use classes::{CrossEntropy, MultiMargin, Nll, cross_entropy, multi_margin, nll};
pub use distance::{
    CosineEmbedding, Hinge, HingeEmbedding, Huber, L1, MarginRanking, Mse, SmoothL1, TripletMargin,
    cosine_embedding, hinge, hinge_embedding, huber, l1, margin_ranking, mse, smooth_l1,
    triplet_margin,
};
pub use distribution::{
    Bce, BceWithLogits, GaussianNll, KlDiv, PoissonNll, bce, bce_with_logits, gaussian_nll, kl_div,
    poisson_nll,
};

use crate::{Error, Value};

/// What becomes of the losses of the elements.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reduction {
    /// Their mean; of none it is NaN, as in PyTorch.
    #[default]
    Mean,
    /// Their sum.
    Sum,
    /// Their sum over the length of the first axis (`batchmean` of PyTorch).
    BatchMean,
    /// They stay as they are.
    None,
}

impl Reduction {
    /// The losses reduced.
    #[track_caller]
    pub fn of(self, losses: &Value) -> Value {
        match self {
            Reduction::Mean => losses.mean(),
            Reduction::Sum => losses.sum(),
            Reduction::BatchMean => {
                losses.sum() / losses.shape().first().map_or(1.0, |&n| n as f64)
            }
            Reduction::None => losses.clone(),
        }
    }
}

/// The mistake of operands that do not have one shape; scalars fit any.
#[track_caller]
fn same_shape(name: &str, operands: &[(&str, &Value)]) -> Result<(), Value> {
    if let Some((_, v)) = operands.iter().find(|(_, v)| v.error().is_some()) {
        return Err((*v).clone());
    }
    let mut arrays = operands.iter().filter(|(_, v)| v.rank() > 0);
    let Some((_, first)) = arrays.next() else {
        return Ok(());
    };
    match arrays.all(|(_, v)| v.shape() == first.shape()) {
        true => Ok(()),
        false => {
            let part = |(label, v): &(&str, &Value)| format!("{label} {}", v.shape());
            let parts: Vec<String> = operands.iter().map(part).collect();
            Err(Value::from(Error::argument(format!(
                "`{name}` compares arrays of one shape, not {}",
                parts.join(", ")
            ))))
        }
    }
}

/// A loss of elements: the struct of its options, their defaults, its method `of`, and the
/// function with the defaults.
macro_rules! losses {
    ($(
        $(#[doc = $doc:literal])*
        $loss:ident $function:ident($($x:ident),+) {
            $($(#[doc = $option_doc:literal])* $option:ident: $t:ty = $default:expr,)*
        } = |$options:pat_param| $losses:expr;
    )*) => {$(
        $(#[doc = $doc])*
        #[derive(Clone, Debug)]
        pub struct $loss {
            $($(#[doc = $option_doc])* pub $option: $t,)*
            /// What becomes of the losses of the elements.
            pub reduction: Reduction,
        }

        impl Default for $loss {
            fn default() -> Self {
                $loss { $($option: $default,)* reduction: Reduction::Mean }
            }
        }

        impl $loss {
            /// The loss with these options.
            #[track_caller]
            pub fn of(&self, $($x: impl Into<Value>),+) -> Value {
                let ($($x,)+) = ($($x.into(),)+);
                let $options = self;
                let losses = $losses;
                self.reduction.of(&losses)
            }
        }

        $(#[doc = $doc])*
        ///
        #[doc = concat!("With the default options; see [`", stringify!($loss), "`].")]
        #[track_caller]
        pub fn $function($($x: impl Into<Value>),+) -> Value {
            $loss::default().of($($x),+)
        }
    )*};
}
use losses;

/// Goes on only if all operands have one shape.
macro_rules! check {
    ($name:literal, $($x:ident),+) => {
        if let Err(mistake) = super::same_shape($name, &[$((stringify!($x), &$x)),+]) {
            return mistake;
        }
    };
}
use check;

#[cfg(test)]
mod tests;
