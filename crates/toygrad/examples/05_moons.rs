//! 5. Two moons and a hinge loss: a classifier of scalar Values.
//!
//! A layer is a list of neurons, a neuron a list of weights; nothing but numbers and operators.

use toygrad::data::synthetic;
use toygrad::prelude::*;

pub fn main() -> Result<()> {
    Ok(())
}
