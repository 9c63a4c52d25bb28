//! What all optimisers have in common.

use crate::nn::{Module, path};
use crate::{DType, Error, Parameter, Result, Value};

/// The part of an [`Optimizer`](super::Optimizer) that all have: the parameters, the learning rate,
/// and what is done to gradients before the rule sees them.
#[derive(Clone, Debug)]
pub struct Common {
    pub(super) parameters: Vec<(String, Parameter)>,
    pub(super) learning_rate: Parameter,
    pub(super) allow_unused: bool,
    pub(super) clip_norm: Option<f64>,
    pub(super) clip_value: Option<f64>,
    /// The first option that is out of its range; steps report it.
    mistake: Option<Error>,
}

impl Common {
    /// For the trained parameters of a model, each of which gets its path as its name.
    #[track_caller]
    pub fn new(model: &(impl Module + ?Sized), learning_rate: f64) -> Common {
        model.name_parameters();
        let mut common = Common {
            parameters: model.named_parameters(),
            learning_rate: scalar(learning_rate),
            allow_unused: false,
            clip_norm: None,
            clip_value: None,
            mistake: None,
        };
        common.require(
            learning_rate >= 0.0,
            "a learning rate is at least 0",
            learning_rate,
        );
        common
    }

    /// The parameters by name, in order.
    pub fn parameters(&self) -> &[(String, Parameter)] {
        &self.parameters
    }

    /// The learning rate, a scalar f64.
    pub fn learning_rate(&self) -> Value {
        self.learning_rate.value()
    }

    /// Notes that an option is out of its range, unless `ok`; steps report the first one.
    #[track_caller]
    pub fn require(&mut self, ok: bool, rule: &str, came: f64) {
        if !ok || !came.is_finite() {
            self.fail(Error::argument(format!("{rule}; {came} came")));
        }
    }

    /// Two decays of moments, each in `[0, 1)`.
    #[track_caller]
    pub(super) fn betas(&mut self, first: f64, second: f64) -> (f64, f64) {
        for beta in [first, second] {
            self.require((0.0..1.0).contains(&beta), "a beta is in [0, 1)", beta);
        }
        (first, second)
    }

    /// Notes a mistake; steps report the first one.
    pub(super) fn fail(&mut self, mistake: Error) {
        self.mistake.get_or_insert(mistake);
    }

    /// Cells of zeros, one of each parameter's shape and dtype.
    pub fn zeros(&self) -> Vec<Parameter> {
        let zeros = |(_, p): &(String, Parameter)| {
            Parameter::buffer(Value::zeros(p.shape()).cast(p.dtype()))
        };
        self.parameters.iter().map(zeros).collect()
    }

    /// Visits cells that belong to the parameters: `momentum.layers.0.weight`.
    pub fn visit(
        &self,
        prefix: &str,
        kind: &str,
        cells: &[Parameter],
        visitor: &mut dyn FnMut(&str, &Parameter),
    ) {
        let prefix = path(prefix, kind);
        for ((name, _), cell) in self.parameters.iter().zip(cells) {
            visitor(&path(&prefix, name), cell);
        }
    }

    /// Forgets the gradients of the parameters.
    pub fn zero_grad(&self) {
        self.parameters.iter().for_each(|(_, p)| p.zero_grad());
    }

    /// The gradients as the rule sees them: all there, clipped.
    #[track_caller]
    pub(super) fn prepare(&self, gradients: &[Option<Value>]) -> Result<Vec<Option<Value>>> {
        if let Some(mistake) = &self.mistake {
            return Err(mistake.clone());
        }
        if gradients.len() != self.parameters.len() {
            return Err(Error::argument(format!(
                "{} gradients came for {} parameters",
                gradients.len(),
                self.parameters.len()
            )));
        }
        let pairs = self.parameters.iter().zip(gradients);
        let missing = pairs.filter(|(_, g)| g.is_none());
        let missing: Vec<String> = missing.map(|((_, p), _)| p.name()).collect();
        if !missing.is_empty() && !self.allow_unused {
            return Err(Error::gradient(format!(
                "the loss does not reach {} (`allow_unused(true)` leaves such parameters as they are)",
                missing.join(", ")
            )));
        }
        let mut gradients = gradients.to_vec();
        if let Some(limit) = self.clip_value {
            for g in gradients.iter_mut().flatten() {
                *g = g.clamp(-limit, limit);
            }
        }
        if let Some(max_norm) = self.clip_norm {
            gradients = super::clip_grad_norm(&gradients, max_norm).0;
        }
        Ok(gradients)
    }
}

/// A cell with a number of state: f64, so that counts and powers of them are exact.
#[track_caller]
pub(super) fn scalar(x: f64) -> Parameter {
    Parameter::buffer(Value::from(x).cast(DType::F64))
}

/// The same number for parameters of f32 and of f64, converted once.
pub(super) struct Scalar {
    single: Value,
    double: Value,
}

impl Scalar {
    /// From an f64 scalar.
    pub(super) fn new(x: Value) -> Scalar {
        Scalar {
            single: x.cast(DType::F32),
            double: x,
        }
    }

    /// For a parameter of this dtype.
    pub(super) fn of(&self, like: &Value) -> &Value {
        if like.dtype() == DType::F64 {
            &self.double
        } else {
            &self.single
        }
    }
}
