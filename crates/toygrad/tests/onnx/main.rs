//! Functions as ONNX models: what is in the files. That runtimes compute the same is what `check.py`
//! beside this file looks at; `results.md` says what it found.
#![cfg(feature = "onnx")]

mod cases;
#[path = "../common/mod.rs"]
mod common;
mod read;

use cases::{Case, kinds, layers, models, rows};
use toygrad::prelude::*;
use toygrad::{OnnxOptions, io, to_onnx};

fn export(case: &Case) -> toygrad::Result<Vec<u8>> {
    let options = OnnxOptions {
        dynamic_batch: case.batch,
        ..OnnxOptions::default()
    };
    let f = |x: Vec<Value>| eval(|| (case.function)(x));
    to_onnx(f, case.arguments.clone(), &case.state, &options)
}

fn all() -> impl Iterator<Item = Case> {
    let all = models().into_iter().chain(layers());
    all.chain(rows()).chain(kinds())
}

#[test]
fn everything_is_exported_and_the_same_twice() {
    for case in all() {
        let bytes = export(&case).unwrap_or_else(|e| panic!("{}: {e}", case.name));
        assert_eq!(bytes, export(&case).unwrap(), "{}", case.name);
    }
}

/// Writes every case into the folder that is named, with numbers to compare with: for `check.py`.
#[test]
#[ignore = "a part of check.py"]
fn write_cases() {
    let folder = std::env::var("TOYGRAD_ONNX").expect("TOYGRAD_ONNX names a folder");
    let folder = std::path::Path::new(&folder);
    for case in all() {
        let bytes = export(&case).unwrap_or_else(|e| panic!("{}: {e}", case.name));
        std::fs::write(folder.join(format!("{}.onnx", case.name)), bytes).unwrap();
        // An open batch is tried with one sample, too.
        let batches = if case.batch { 2 } else { 1 };
        for batch in 0..batches {
            let part = |x: &Value| match batch {
                0 => x.clone(),
                _ => x.narrow(0, 0, 1),
            };
            let inputs: Vec<Value> = case.arguments.iter().map(part).collect();
            let outputs = eval(|| (case.function)(inputs.clone()));
            let mut arrays: Vec<(String, Value)> = Vec::new();
            for (word, values) in [("input", inputs), ("output", outputs)] {
                let named = |(i, v)| (format!("{word}_{i}"), v);
                arrays.extend(values.into_iter().enumerate().map(named));
            }
            let arrays: Vec<(&str, Value)> = arrays
                .iter()
                .map(|(name, v)| (&name[..], v.clone()))
                .collect();
            let path = folder.join(format!("{}.{batch}.npz", case.name));
            io::write_npz(path, &arrays).unwrap();
        }
    }
}
