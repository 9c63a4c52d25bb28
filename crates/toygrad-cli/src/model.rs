//! Models that the program knows, and what is saved with them so that they can be made again.

use crate::failure::Result;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use toygrad::data::Scaler;
use toygrad::io::{self, Features, Target};
use toygrad::nn::{Conv2d, Dropout, Flatten, Gpt, MaxPool2d};
use toygrad::prelude::*;

/// What a model is, without its weights.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "model", rename_all = "lowercase")]
pub enum Architecture {
    /// A multilayer perceptron.
    Mlp {
        /// The numbers of a sample, the widths of the hidden layers, the numbers of a prediction.
        sizes: Vec<usize>,
        /// What samples are multiplied by.
        scale: f64,
    },
    /// Two convolutions and two linear layers.
    Cnn {
        /// Of the images: 1 of grey ones, 3 of coloured ones.
        #[serde(default = "grey")]
        channels: usize,
        /// Of the images.
        height: usize,
        /// Of the images.
        width: usize,
        /// The numbers of a prediction.
        outputs: usize,
        /// What pixels are multiplied by.
        scale: f64,
    },
    /// A language model.
    Gpt {
        /// How many characters there are.
        vocabulary: usize,
        /// How many it sees.
        context: usize,
        /// Blocks.
        layers: usize,
        /// Heads of each.
        heads: usize,
        /// Features of a character.
        width: usize,
    },
}

/// What a model reads.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "input", rename_all = "lowercase")]
pub enum Input {
    /// The embedded digits.
    Digits,
    /// Rows of a table.
    Table {
        /// [`Features`] as JSON.
        features: String,
        /// Of the scaler of the features.
        shift: Vec<f64>,
        /// Of the scaler of the features.
        factor: Vec<f64>,
    },
    /// Images of bytes.
    Images {
        /// The shape of one.
        shape: Vec<usize>,
    },
    /// Images of files in folders.
    Folder {
        /// Channels, height and width.
        shape: [usize; 3],
        /// Whether images are brought to this size; else they must have it.
        resize: bool,
    },
    /// Characters.
    Text {
        /// All of them.
        alphabet: String,
    },
}

/// Models of one channel were there before those of several.
fn grey() -> usize {
    1
}

/// All that is known of a model but its weights: kept in the metadata of its file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Card {
    /// What it is.
    pub architecture: Architecture,
    /// What it reads.
    pub input: Input,
    /// [`Target`] as JSON; none of a language model.
    pub target: Option<String>,
    /// Mean and deviation of a number that is predicted.
    pub scale: Option<(f64, f64)>,
}

/// A model with its weights.
pub enum Model {
    /// A multilayer perceptron.
    Mlp(Mlp, f64),
    /// A convolutional network.
    Cnn(Sequential, [usize; 3], f64),
    /// A language model.
    Gpt(Gpt),
}

impl Architecture {
    /// A model with new weights.
    pub fn build(&self) -> Model {
        match *self {
            Architecture::Mlp { ref sizes, scale } => {
                Model::Mlp(Mlp::new(sizes, Activation::Relu), scale)
            }
            Architecture::Cnn {
                channels,
                height,
                width,
                outputs,
                scale,
            } => {
                let flat = 32 * (height / 4) * (width / 4);
                let layers = Sequential::new()
                    .then(Conv2d::new(channels, 16, 5).padding(2))
                    .then(Activation::Relu)
                    .then(MaxPool2d::new(2))
                    .then(Conv2d::new(16, 32, 5).padding(2))
                    .then(Activation::Relu)
                    .then(MaxPool2d::new(2))
                    .then(Flatten::default())
                    .then(Linear::new(flat, 128))
                    .then(Activation::Relu)
                    .then(Dropout::new(0.3))
                    .then(Linear::new(128, outputs));
                Model::Cnn(layers, [channels, height, width], scale)
            }
            Architecture::Gpt {
                vocabulary,
                context,
                layers,
                heads,
                width,
            } => Model::Gpt(Gpt::new(vocabulary, context, layers, heads, width)),
        }
    }

    /// In words.
    pub fn title(&self) -> String {
        match self {
            Architecture::Mlp { sizes, .. } => {
                let sizes: Vec<String> = sizes.iter().map(usize::to_string).collect();
                format!("multilayer perceptron {}", sizes.join("-"))
            }
            Architecture::Cnn {
                channels,
                height,
                width,
                ..
            } => {
                let colours = if *channels == 3 { " in colour" } else { "" };
                format!("convolutional network for {height} by {width} pixels{colours}")
            }
            Architecture::Gpt {
                context,
                layers,
                heads,
                width,
                ..
            } => {
                format!(
                    "transformer, {layers} layers, {heads} heads, width {width}, context {context}"
                )
            }
        }
    }
}

impl Module for Model {
    fn visit(&self, prefix: &str, visitor: &mut dyn FnMut(&str, &Parameter)) {
        match self {
            Model::Mlp(model, _) => model.visit(prefix, visitor),
            Model::Cnn(model, ..) => model.visit(prefix, visitor),
            Model::Gpt(model) => model.visit(prefix, visitor),
        }
    }
}

impl Layer for Model {
    fn forward(&self, x: &Value) -> Value {
        let samples = x.shape().first().copied().unwrap_or(0);
        match self {
            Model::Mlp(model, scale) => {
                let features: usize = x.shape().iter().skip(1).product();
                let x = x.reshape([samples, features]).cast(DType::F32);
                model.forward(&if *scale == 1.0 { x } else { x * *scale })
            }
            Model::Cnn(model, [channels, height, width], scale) => {
                let shape = [samples, *channels, *height, *width];
                let x = x.reshape(shape).cast(DType::F32);
                model.forward(&if *scale == 1.0 { x } else { x * *scale })
            }
            Model::Gpt(model) => model.forward(x),
        }
    }
}

impl Model {
    /// What the model says of all inputs, some at a time.
    pub fn predict(&self, x: &Value) -> toygrad::Result<Value> {
        const PART: usize = 256;
        let n = x.shape().first().copied().unwrap_or(0);
        let mut parts = Vec::new();
        for start in (0..n).step_by(PART) {
            let part = x.narrow(0, start, (n - start).min(PART));
            let y = eval(|| no_grad(|| self.forward(&part)));
            parts.push(y.evaluate()?.clone());
        }
        Ok(match &parts[..] {
            [one] => one.clone(),
            _ => Value::concat(parts, 0),
        })
    }
}

impl Card {
    /// As JSON.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The target, if it is not a language model.
    pub fn target(&self, path: &Path) -> Result<Option<Target>> {
        let target = self.target.as_deref();
        let target = target.map(|text| Target::from_json(path, text));
        Ok(target.transpose()?)
    }

    /// What a prediction means: numbers back on their scale.
    pub fn unscale(&self, predictions: &Value) -> Value {
        match self.scale {
            Some((mean, deviation)) => predictions * deviation + mean,
            None => predictions.clone(),
        }
    }
}

/// The features and the scaler of a table.
pub fn table(
    path: &Path,
    features: &str,
    shift: &[f64],
    factor: &[f64],
) -> Result<(Features, Scaler)> {
    let features = Features::from_json(path, features)?;
    let scaler = Scaler::from_parts(shift.to_vec(), factor.to_vec());
    let scaler = scaler
        .ok()
        .filter(|s| s.shift().len() == features.names().len());
    let damaged = || Error::file(path, None, "its scaler is damaged");
    Ok((features, scaler.ok_or_else(damaged)?))
}

/// The file of a model: itself, or in the folder of a run.
pub fn file(run: &Path) -> PathBuf {
    match run.is_dir() {
        true => run.join("model.safetensors"),
        false => run.to_path_buf(),
    }
}

/// A model that was saved.
pub fn load(run: &Path) -> Result<(PathBuf, Card, Model)> {
    let path = file(run);
    let tensors = io::read_safetensors(&path)?;
    let text = tensors.metadata.get("toygrad").map_or("", |t| &t[..]);
    let card: Card = serde_json::from_str(text).map_err(|_| {
        let message = "is not a model that this program saved; `toygrad info` says what is in it";
        Error::file(&path, None, message)
    })?;
    sane(&path, &card.architecture, &tensors)?;
    let model = card.architecture.build();
    io::load(&model, &path)?;
    Ok((path, card, model))
}

/// That the description makes sense and the file holds about as many numbers as it says: a damaged
/// one must not ask for more memory than that.
fn sane(path: &Path, architecture: &Architecture, tensors: &io::Tensors) -> Result<()> {
    let held: usize = tensors.values.values().map(Value::elements).sum();
    match weights(architecture).is_some_and(|n| n <= held) {
        true => Ok(()),
        false => Err(Error::file(path, None, "its description does not fit its weights").into()),
    }
}

/// At least how many numbers a model has; `None` where there can be no such model.
fn weights(architecture: &Architecture) -> Option<usize> {
    let product = |dims: &[usize]| dims.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
    let positive = |dims: &[usize]| dims.iter().all(|&d| d > 0).then_some(());
    match *architecture {
        Architecture::Mlp { ref sizes, .. } => {
            (sizes.len() >= 2).then_some(())?;
            positive(sizes)?;
            let mut pairs = sizes.windows(2);
            pairs.try_fold(0usize, |n, pair| n.checked_add(product(pair)?))
        }
        Architecture::Cnn {
            channels,
            height,
            width,
            outputs,
            ..
        } => {
            positive(&[channels, height / 4, width / 4, outputs])?;
            let first = product(&[16 * 25, channels])?;
            let inner = product(&[32 * 128, height / 4, width / 4])?;
            inner
                .checked_add(first)?
                .checked_add(product(&[128, outputs])?)
        }
        Architecture::Gpt {
            vocabulary,
            context,
            layers,
            heads,
            width,
        } => {
            positive(&[vocabulary, context, layers, heads, width])?;
            (width % heads == 0).then_some(())?;
            let tables = product(&[vocabulary.checked_add(context)?, width])?;
            product(&[12, layers, width, width])?.checked_add(tables)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mlp(sizes: &[usize]) -> Architecture {
        Architecture::Mlp {
            sizes: sizes.to_vec(),
            scale: 1.0,
        }
    }

    #[test]
    fn descriptions_that_make_no_sense_are_refused() {
        for sizes in [
            &[][..],
            &[3],
            &[3, 0],
            &[usize::MAX, 2],
            &[usize::MAX, 1, usize::MAX],
        ] {
            assert_eq!(weights(&mlp(sizes)), None, "{sizes:?}");
        }
        let cnn = |height, outputs| Architecture::Cnn {
            channels: 1,
            height,
            width: 8,
            outputs,
            scale: 1.0,
        };
        assert_eq!(weights(&cnn(3, 2)), None);
        assert_eq!(weights(&cnn(usize::MAX, 2)), None);
        assert_eq!(weights(&cnn(8, usize::MAX)), None);
        let gpt = |heads, width| Architecture::Gpt {
            vocabulary: 5,
            context: 4,
            layers: 1,
            heads,
            width,
        };
        assert_eq!(weights(&gpt(0, 4)), None);
        assert_eq!(weights(&gpt(3, 4)), None);
        assert_eq!(weights(&gpt(1, usize::MAX)), None);
    }

    #[test]
    fn models_have_as_many_numbers_as_they_say() {
        let cnn = Architecture::Cnn {
            channels: 3,
            height: 9,
            width: 8,
            outputs: 3,
            scale: 1.0,
        };
        let gpt = Architecture::Gpt {
            vocabulary: 5,
            context: 4,
            layers: 2,
            heads: 2,
            width: 8,
        };
        for architecture in [mlp(&[3, 5, 2]), cnn, gpt] {
            let built = architecture.build().parameter_count();
            let said = weights(&architecture).unwrap();
            assert!(said <= built && built <= 3 * said, "{said} {built}");
        }
    }
}
