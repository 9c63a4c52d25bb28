//! toygrad: one [`Value`], from a scalar to a tensor, that computes forward and knows its
//! gradients; and a library of neural networks on top.
//!
//! ```
//! use toygrad::prelude::*;
//!
//! // Any expression: forward values and gradients.
//! let x = Parameter::new(3.0);
//! let y = Parameter::new([1.0, 2.0, 3.0]);
//! let z = (&x * &y + 1.0).sin().sum();
//! z.backward()?;
//! println!("{} {}", z.item()?, x.grad()?);
//!
//! // The same, functional: any node, differentiable again.
//! let dx = gradients(&z, [&x]).remove(0);
//! let d2x = gradients(&dx, [&x]).remove(0);
//! # assert!(d2x.item()?.is_finite());
//! # Ok::<(), toygrad::Error>(())
//! ```

#![deny(missing_docs)]
#![deny(unsafe_code)]

// The derive macro names this crate by its name, here too.
extern crate self as toygrad;

mod api;
mod autodiff;
mod buffer;
mod compile;
pub mod data;
mod dtype;
mod error;
mod exec;
mod graph;
#[cfg(feature = "files")]
pub mod io;
mod lanes;
mod math;
pub mod nn;
#[cfg(feature = "onnx")]
mod onnx;
mod ops;
pub mod optim;
mod philox;
#[cfg(feature = "files")]
mod protobuf;
mod shape;
pub mod train;

pub use api::backward::Gradients;
pub use api::display::PrintOptions;
pub use api::parameter::Parameter;
pub use api::trace::{Compiled, Tree, compile};
pub use api::{debug_nan, evaluate};
pub use autodiff::derived::{GradcheckEntry, GradcheckReport, gradcheck, hessian, hvp, jacobian};
pub use autodiff::{Reach, custom, gradients, jvp, vjp};
pub use dtype::{DType, Element};
pub use error::{Caller, Error, FileError, Located, Operand, OperationError, Result};
pub use exec::cpu::{num_threads, set_num_threads};
pub use exec::oracle::oracle;
pub use graph::row::{Family, Onnx, Partial, Row, Slope};
pub use graph::{Value, no_grad};
pub use lanes::{Lanes, Level};
#[cfg(feature = "onnx")]
pub use onnx::{OnnxOptions, to_onnx};
pub use ops::create::{Count, Nested};
pub use ops::matmul::einsum;
pub use ops::movement::{Dims, broadcast_all};
pub use ops::pointwise::ROWS;
pub use ops::random::{RandomState, manual_seed, random_state, set_random_state};
pub use ops::slice::SliceItem;
pub use shape::{Axes, Shape};

/// What a program that uses toygrad wants in scope.
pub mod prelude {
    pub use crate::nn::loss::{cross_entropy, mse};
    pub use crate::nn::{Activation, Layer, Linear, Mlp, Module, Sequential, eval};
    pub use crate::optim::{Adam, AdamW, Optimizer, Sgd};
    pub use crate::{
        DType, Error, Parameter, Result, Shape, Value, compile, custom, einsum, evaluate,
        gradcheck, gradients, hessian, hvp, jacobian, jvp, manual_seed, no_grad, s, vjp,
    };
}

/// The README's code is tested.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
