//! Averages of weights.

use crate::nn::{Module, path};
use crate::{Error, Parameter, Result, Value};

/// The exponential moving average of a model's parameters: `a ← decay a + (1 - decay) p`, which
/// often generalises better than the last ones (Polyak & Juditsky 1992).
///
/// Its state has the model's names, so that it is saved and loaded as the model itself.
///
/// ```
/// use toygrad::prelude::*;
/// use toygrad::optim::Ema;
/// let w = Parameter::new([1.0]);
/// let ema = Ema::new(&w, 0.9)?;
/// w.set(Value::from([2.0]))?;
/// ema.update()?;
/// ema.swap()?; // validate with the average ...
/// assert!((w.value().item()? - 1.1).abs() < 1e-12);
/// ema.swap()?; // ... and go on training
/// assert_eq!(w.value().item()?, 2.0);
/// # Ok::<(), toygrad::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Ema {
    parameters: Vec<(String, Parameter)>,
    averages: Vec<Parameter>,
    decay: f64,
}

impl Ema {
    /// Averages that start from the parameters as they are.
    ///
    /// # Errors
    /// A decay that is not in `[0, 1]`.
    #[track_caller]
    pub fn new(model: &(impl Module + ?Sized), decay: f64) -> Result<Ema> {
        if !(0.0..=1.0).contains(&decay) {
            return Err(Error::argument(format!("decay is in [0, 1]; {decay} came")));
        }
        let parameters = model.named_parameters();
        let averages = parameters
            .iter()
            .map(|(_, p)| Parameter::buffer(p.value()))
            .collect();
        Ok(Ema {
            parameters,
            averages,
            decay,
        })
    }

    /// Moves the averages towards the parameters.
    ///
    /// # Errors
    /// What computing them gives.
    #[track_caller]
    pub fn update(&self) -> Result<()> {
        let moved = self
            .pairs()
            .map(|(p, a)| (a, self.decay * a.value() + (1.0 - self.decay) * p.value()));
        Parameter::set_all(moved, &[])
    }

    /// Exchanges averages and parameters.
    ///
    /// # Errors
    /// What computing them gives.
    #[track_caller]
    pub fn swap(&self) -> Result<()> {
        let exchanged = self
            .pairs()
            .flat_map(|(p, a)| [(p, a.value()), (a, p.value())]);
        Parameter::set_all(exchanged.collect::<Vec<(&Parameter, Value)>>(), &[])
    }

    fn pairs(&self) -> impl Iterator<Item = (&Parameter, &Parameter)> {
        self.parameters.iter().map(|(_, p)| p).zip(&self.averages)
    }
}

impl Module for Ema {
    fn visit(&self, prefix: &str, visitor: &mut dyn FnMut(&str, &Parameter)) {
        for ((name, _), average) in self.parameters.iter().zip(&self.averages) {
            visitor(&path(prefix, name), average);
        }
    }
}
