//! Parameters of models as files: safetensors with the names that PyTorch's `state_dict` uses.

use super::file::fault;
use super::tensors::{Tensors, read_safetensors, write_safetensors};
use crate::nn::Module;
use crate::{Parameter, Result, Value};
use std::collections::HashSet;
use std::fmt;
use std::path::Path;

/// Saves all parameters and buffers of a model, atomically.
///
/// ```
/// use toygrad::prelude::*;
/// use toygrad::io;
/// # let path = std::env::temp_dir().join(format!("toygrad-{}.safetensors", std::process::id()));
/// let model = Linear::new(3, 2);
/// io::save(&model, &path)?;
/// let other = Linear::new(3, 2);
/// io::load(&other, &path)?;
/// let x = Value::ones([1, 3]);
/// assert_eq!(model.forward(&x).to_vec::<f32>()?, other.forward(&x).to_vec::<f32>()?);
/// // What does not fit is told by name, and nothing is changed.
/// println!("{}", io::load(&Linear::new(4, 2), &path).unwrap_err());
/// # std::fs::remove_file(&path).unwrap();
/// # Ok::<(), toygrad::Error>(())
/// ```
///
/// # Errors
/// What computing a parameter gives; what the system says.
#[track_caller]
pub fn save(model: &(impl Module + ?Sized), path: impl AsRef<Path>) -> Result<()> {
    save_with(model, path, &[])
}

/// [`save`] with texts about the model, which [`read_safetensors`] gives back.
///
/// # Errors
/// As [`save`].
#[track_caller]
pub fn save_with(
    model: &(impl Module + ?Sized),
    path: impl AsRef<Path>,
    metadata: &[(&str, &str)],
) -> Result<()> {
    let state = model.state_dict();
    let tensors = state.iter().map(|(name, p)| (&name[..], p.value()));
    write_safetensors(path, tensors, metadata)
}

/// Loads all parameters and buffers of a model. Floats of another width are converted.
///
/// # Errors
/// A damaged file; names that are missing or too many, shapes that differ: all of them are told,
/// and no parameter is changed.
#[track_caller]
pub fn load(model: &(impl Module + ?Sized), path: impl AsRef<Path>) -> Result<()> {
    let path = path.as_ref();
    let (report, updates) = compare(model, &read_safetensors(path)?);
    if !report.is_complete() {
        return Err(fault(path, format!("does not fit the model:{report}")));
    }
    update(&updates)
}

/// Loads the parameters that are there and fit, and tells which are not: for fine-tuning a part.
///
/// # Errors
/// A damaged file.
#[track_caller]
pub fn load_with(model: &(impl Module + ?Sized), tensors: &Tensors) -> Result<Report> {
    let (report, updates) = compare(model, tensors);
    update(&updates)?;
    Ok(report)
}

/// How a file and a model differ.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// Parameters of the model that the file does not have.
    pub missing: Vec<String>,
    /// Names in the file that the model does not have.
    pub unexpected: Vec<String>,
    /// Those whose shapes or kinds differ, with both.
    pub mismatched: Vec<String>,
}

impl Report {
    /// Whether nothing differs.
    pub fn is_complete(&self) -> bool {
        self.missing.is_empty() && self.unexpected.is_empty() && self.mismatched.is_empty()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (what, names) in [
            ("missing in the file", &self.missing),
            ("not in the model", &self.unexpected),
            ("different", &self.mismatched),
        ] {
            if !names.is_empty() {
                write!(f, "\n  {what}:")?;
                for name in names.iter().take(20) {
                    write!(f, "\n    {name}")?;
                }
                if names.len() > 20 {
                    write!(f, "\n    and {} more", names.len() - 20)?;
                }
            }
        }
        Ok(())
    }
}

/// What differs, and the new Values of the parameters that fit.
fn compare(model: &(impl Module + ?Sized), tensors: &Tensors) -> (Report, Vec<(Parameter, Value)>) {
    let state = model.state_dict();
    let (mut report, mut updates) = (Report::default(), Vec::new());
    for (name, parameter) in &state {
        let Some(value) = tensors.values.get(name) else {
            continue;
        };
        let (shape, dtype) = (parameter.shape(), parameter.dtype());
        let converts = value.dtype().is_float() && dtype.is_float();
        if *value.shape() != shape || (value.dtype() != dtype && !converts) {
            report.mismatched.push(format!(
                "{name}: {shape} {dtype} in the model, {} {} in the file",
                value.shape(),
                value.dtype()
            ));
            continue;
        }
        updates.push((parameter.clone(), value.cast(dtype)));
    }
    // A parameter that has two names is there if one of them is.
    let loaded: HashSet<u64> = updates.iter().map(|(p, _)| p.id()).collect();
    let absent = |(name, p): &&(String, Parameter)| {
        !tensors.values.contains_key(name) && !loaded.contains(&p.id())
    };
    report.missing = state
        .iter()
        .filter(absent)
        .map(|(n, _)| n.clone())
        .collect();
    let names: HashSet<&String> = state.iter().map(|(name, _)| name).collect();
    let unexpected = tensors.values.keys().filter(|name| !names.contains(name));
    report.unexpected = unexpected.cloned().collect();
    (report, updates)
}

#[track_caller]
fn update(updates: &[(Parameter, Value)]) -> Result<()> {
    Parameter::set_all(updates.iter().map(|(p, v)| (p, v.clone())), &[])
}
