//! Models that the program knows, and what is saved with them so that they can be made again.

use serde::{Deserialize, Serialize};
use toygrad::prelude::*;

/// What a model is, without its weights.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "model", rename_all = "lowercase")]
pub enum Architecture {
    /// A multilayer perceptron.
    Mlp {
        /// The numbers of a sample, the widths of the hidden layers, the numbers of a prediction.
        sizes: Vec<usize>,
    },
}

/// A model with its weights.
pub enum Model {
    /// A multilayer perceptron.
    Mlp(Mlp),
}

impl Architecture {
    /// A model with new weights.
    pub fn build(&self) -> Model {
        match self {
            Architecture::Mlp { sizes } => Model::Mlp(Mlp::new(sizes, Activation::Relu)),
        }
    }

    /// In words.
    pub fn title(&self) -> String {
        match self {
            Architecture::Mlp { sizes } => {
                let sizes: Vec<String> = sizes.iter().map(usize::to_string).collect();
                format!("multilayer perceptron {}", sizes.join("-"))
            }
        }
    }

    /// As JSON.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

impl Module for Model {
    fn visit(&self, prefix: &str, visitor: &mut dyn FnMut(&str, &Parameter)) {
        match self {
            Model::Mlp(model) => model.visit(prefix, visitor),
        }
    }
}

impl Layer for Model {
    fn forward(&self, x: &Value) -> Value {
        match self {
            Model::Mlp(model) => model.forward(x),
        }
    }
}

impl Model {
    /// What the model says of all inputs, some at a time.
    pub fn predict(&self, x: &Value) -> Result<Value> {
        let n = x.shape().first().copied().unwrap_or(0);
        let mut parts = Vec::new();
        for start in (0..n).step_by(1024) {
            let part = x.narrow(0, start, (n - start).min(1024));
            let y = eval(|| no_grad(|| self.forward(&part)));
            parts.push(y.evaluate()?.clone());
        }
        Ok(match &parts[..] {
            [one] => one.clone(),
            _ => Value::concat(&parts, 0),
        })
    }
}
