//! `toygrad info`, `export` and `graph`: what is in a model.

use crate::args::{Export, Graph, Info};
use crate::failure::{Failure, Result};
use crate::model::{self, Architecture};
use crate::{Outcome, print};
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::path::Path;
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

/// Writes weights in another format.
pub fn export(arguments: &Export) -> Result<Outcome> {
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
            let message = format!("cannot write {other:?} files; end it in .safetensors or .npz");
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

/// Prints the computation of a model for one sample.
pub fn graph(arguments: &Graph) -> Result<Outcome> {
    let (_, card, model) = model::load(&arguments.run)?;
    model.name_parameters();
    let x = match &card.architecture {
        Architecture::Mlp { sizes, .. } => Value::zeros([1, sizes[0]]),
        Architecture::Cnn {
            channels,
            height,
            width,
            ..
        } => Value::zeros([1, *channels, *height, *width]),
        Architecture::Gpt { context, .. } => Value::zeros([1, *context]).cast(DType::I64),
    };
    let y = eval(|| model.forward(&x));
    print(&match arguments.dot {
        true => dot(&y.graph()),
        false => y.graph(),
    });
    Ok(Outcome::Done)
}

/// A listing of a graph, a line `%3 = add %1 %2 [4] f32` for each node, as DOT.
fn dot(listing: &str) -> String {
    let mut out = String::from("digraph model {\n  node [shape=box];\n");
    for line in listing.lines() {
        let Some((node, what)) = line.split_once(" = ") else {
            continue;
        };
        let node = node.trim_start_matches('%');
        let (inputs, words): (Vec<&str>, Vec<&str>) =
            what.split(' ').partition(|word| word.starts_with('%'));
        let label = words.join(" ").replace('\\', "").replace('"', "'");
        out += &format!("  n{node} [label=\"{label}\"];\n");
        for input in inputs {
            out += &format!("  n{} -> n{node};\n", input.trim_start_matches('%'));
        }
    }
    out + "}\n"
}
