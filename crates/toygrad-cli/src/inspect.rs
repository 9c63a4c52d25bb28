//! `toygrad info`, `export` and `graph`: what is in a model.

use crate::args::{Export, Graph, Info};
use crate::failure::{Failure, Result};
use crate::model::{self, Architecture, Card, Input};
use crate::{Outcome, picture, print};
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::path::Path;
use toygrad::OnnxOptions;
use toygrad::io;
use toygrad::prelude::*;

/// The ending of a file's name, in small letters.
fn ending(path: &Path) -> String {
    let ending = path.extension().unwrap_or_default();
    ending.to_string_lossy().to_lowercase()
}

/// Says what is in a file.
pub fn info(arguments: &Info) -> Result<Outcome> {
    let path = model::file(&arguments.file);
    let mut metadata = BTreeMap::new();
    let values = match &ending(&path)[..] {
        "npy" => BTreeMap::from([(String::from("array"), io::read_npy(&path)?)]),
        "npz" => io::read_npz(&path)?,
        _ => {
            let tensors = io::read_safetensors(&path)?;
            metadata = tensors.metadata;
            tensors.values
        }
    };
    let total: usize = values.values().map(Value::elements).sum();
    if arguments.json {
        let tensor = |(name, v): (&String, &Value)| json!({"name": name, "shape": v.shape().to_vec(), "dtype": v.dtype().to_string()});
        let tensors: Vec<Json> = values.iter().map(tensor).collect();
        let out = json!({"file": path, "tensors": tensors, "numbers": total, "metadata": metadata});
        print(&format!("{out}\n"));
        return Ok(Outcome::Done);
    }
    let mut out = format!(
        "{}: {} arrays, {total} numbers\n",
        path.display(),
        values.len()
    );
    for (key, text) in &metadata {
        out += &match serde_json::from_str::<Json>(text) {
            Ok(Json::Object(fields)) => fields
                .iter()
                .map(|(k, v)| short(k, &v.to_string()))
                .collect(),
            _ => short(key, text),
        };
    }
    let width = values.keys().map(|n| n.chars().count()).max().unwrap_or(0);
    for (name, value) in &values {
        let what = format!("{} {}", value.shape(), value.dtype());
        out += &format!("  {name:<width$}  {what:<18} {}\n", range(value)?);
    }
    print(&out);
    Ok(Outcome::Done)
}

/// A line of metadata, cut.
fn short(key: &str, text: &str) -> String {
    let mut line: String = text.chars().take(100).collect();
    if line.len() < text.len() {
        line += "...";
    }
    format!("  {key}: {line}\n")
}

/// Least, mean and greatest of an array.
fn range(value: &Value) -> Result<String> {
    let x = value.to_vec::<f64>()?;
    if x.is_empty() {
        return Ok("empty".into());
    }
    let odd = x.iter().filter(|x| !x.is_finite()).count();
    let (mut least, mut most, mut sum) = (f64::INFINITY, f64::NEG_INFINITY, 0.0);
    for &x in x.iter().filter(|x| x.is_finite()) {
        (least, most, sum) = (least.min(x), most.max(x), sum + x);
    }
    let mean = sum / (x.len() - odd).max(1) as f64;
    let mut out = format!("{least:.4} to {most:.4}, mean {mean:.4}");
    if odd > 0 {
        out += &format!(", {odd} not finite");
    }
    Ok(out)
}

/// Writes a model in another format.
pub fn export(arguments: &Export) -> Result<Outcome> {
    if ending(&arguments.file) == "onnx" {
        return export_onnx(arguments);
    }
    let tensors = io::read_safetensors(model::file(&arguments.run))?;
    let values: Vec<(&str, Value)> = tensors
        .values
        .iter()
        .map(|(name, v)| (&name[..], v.clone()))
        .collect();
    match &ending(&arguments.file)[..] {
        "safetensors" => io::write_safetensors(&arguments.file, values, &[])?,
        "npz" => io::write_npz(&arguments.file, &values)?,
        other => {
            let message =
                format!("cannot write {other:?} files; end it in .safetensors, .npz or .onnx");
            return Err(Failure::Usage(message));
        }
    }
    print(&format!(
        "{} arrays written to {}\n",
        tensors.values.len(),
        arguments.file.display()
    ));
    Ok(Outcome::Done)
}

/// Writes weights and computation as an ONNX model for any number of samples. Scaling is a part of
/// it: it takes the features of a table as they are, and gives numbers on their scale.
fn export_onnx(arguments: &Export) -> Result<Outcome> {
    let (path, card, model) = model::load(&arguments.run)?;
    let scaler = match &card.input {
        Input::Table {
            features,
            shift,
            factor,
        } => Some(model::table(&path, features, shift, factor)?.1),
        _ => None,
    };
    let x = sample(&card);
    let (input, output) = match card.architecture {
        Architecture::Gpt { .. } => ("tokens", "scores"),
        _ => ("samples", "predictions"),
    };
    let options = OnnxOptions {
        inputs: vec![input.into()],
        outputs: vec![output.into()],
        dynamic_batch: true,
        // Classes, alphabet, scales: what the numbers mean.
        metadata: vec![("toygrad".into(), card.to_json())],
    };
    let forward = |x: Value| {
        let x = scaler.as_ref().map_or(x.clone(), |s| s.apply(&x));
        card.unscale(&model.forward(&x))
    };
    io::export_onnx_with(&model, forward, x.clone(), &arguments.file, &options)?;
    let mut shape: Vec<String> = x.shape().iter().map(usize::to_string).collect();
    shape[0] = "batch".into();
    print(&format!(
        "model of {input} [{}] {} written to {}\n",
        shape.join(", "),
        x.dtype(),
        arguments.file.display()
    ));
    Ok(Outcome::Done)
}

/// A sample of what a model reads, for its shape and dtype. (Data, as `Value::zeros` would be
/// simplified in its graph.)
fn sample(card: &Card) -> Value {
    match card.architecture {
        Architecture::Mlp { ref sizes, .. } => Value::from_vec(vec![0f32; sizes[0]], [1, sizes[0]]),
        Architecture::Cnn {
            channels,
            height,
            width,
            ..
        } => {
            let shape = [1, channels, height, width];
            Value::from_vec(vec![0f32; shape.iter().product()], shape)
        }
        Architecture::Gpt { context, .. } => Value::from_vec(vec![0i64; context], [1, context]),
    }
}

/// Prints the computation of a model for one sample.
pub fn graph(arguments: &Graph) -> Result<Outcome> {
    let (_, card, model) = model::load(&arguments.run)?;
    model.name_parameters();
    let y = eval(|| model.forward(&sample(&card)));
    print(&match (arguments.dot, arguments.svg) {
        (true, _) => picture::dot(&y.graph()),
        (_, true) => picture::svg(&y.graph()),
        _ => y.graph(),
    });
    Ok(Outcome::Done)
}
