//! Random numbers from a counter: a key (the seed) and a position, so that the same seed gives
//! the same bits for any number of threads, and a replayed program draws new numbers.

use crate::error::Caller;
use crate::graph::Leaf;
use crate::graph::build::mistake;
use crate::{DType, Shape, Value};
use std::cell::Cell;
use std::f64::consts::TAU;
use std::panic::Location;

/// Where the generator of this thread stands: all there is to save of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RandomState {
    /// The seed.
    pub seed: u64,
    /// How many arrays have been drawn since it was set.
    pub position: u64,
}

thread_local! {
    static STATE: Cell<RandomState> = const { Cell::new(RandomState { seed: 0, position: 0 }) };
}

/// Starts this thread's generator again from `seed`. Every thread begins with seed 0.
///
/// ```
/// use toygrad::prelude::*;
/// manual_seed(7);
/// let a = Value::rand([3]).to_vec::<f32>()?;
/// manual_seed(7);
/// assert_eq!(a, Value::rand([3]).to_vec::<f32>()?);
/// # Ok::<(), toygrad::Error>(())
/// ```
pub fn manual_seed(seed: u64) {
    set_random_state(RandomState { seed, position: 0 });
}

/// Where this thread's generator stands.
pub fn random_state() -> RandomState {
    STATE.get()
}

/// Puts this thread's generator to where it stood.
pub fn set_random_state(state: RandomState) {
    STATE.set(state);
}

/// Takes `count` positions; gives the state before.
pub(crate) fn draw(count: u64) -> RandomState {
    let state = STATE.get();
    STATE.set(RandomState {
        position: state.position.wrapping_add(count),
        ..state
    });
    state
}

impl Value {
    /// Uniform f32 numbers in [0, 1), from this thread's generator.
    #[track_caller]
    pub fn rand(shape: impl Into<Shape>) -> Value {
        Value::rand_dtype(shape, DType::F32)
    }

    /// Uniform numbers in [0, 1) of dtype f32 (24 random bits) or f64 (53).
    #[track_caller]
    pub fn rand_dtype(shape: impl Into<Shape>, dtype: DType) -> Value {
        let (at, shape) = (Location::caller(), shape.into());
        if !dtype.is_float() || shape.checked_len().is_none() {
            let message = format!("cannot draw uniform numbers of dtype {dtype} and shape {shape}");
            return mistake(at, message, &[], None);
        }
        let RandomState {
            seed: key,
            position,
        } = draw(1);
        Value::leaf(Leaf::Random { key, position }, shape, dtype, at)
    }

    /// Standard normal f32 numbers.
    #[track_caller]
    pub fn randn(shape: impl Into<Shape>) -> Value {
        Value::randn_dtype(shape, DType::F32)
    }

    /// Standard normal numbers of dtype f32 or f64 (Box & Muller 1958).
    #[track_caller]
    pub fn randn_dtype(shape: impl Into<Shape>, dtype: DType) -> Value {
        let shape = shape.into();
        let radius = Value::rand_dtype(&shape, dtype);
        let angle = Value::rand_dtype(&shape, dtype);
        // 1 - u lies in (0, 1]: its logarithm is finite.
        (-2.0 * (1.0 - radius).ln()).sqrt() * (TAU * angle).cos()
    }
}

/// A Value whose elements do not matter, to differentiate by.
pub(crate) fn placeholder(shape: &Shape, dtype: DType, at: Caller) -> Value {
    Value::leaf(
        Leaf::Random {
            key: 0,
            position: 0,
        },
        shape.clone(),
        dtype,
        at,
    )
}
