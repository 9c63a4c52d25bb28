//! Functions as ONNX models: what is in the files. That runtimes compute the same is what `check.py`
//! beside this file looks at; `results.md` says what it found.
#![cfg(feature = "onnx")]

mod cases;
#[path = "../common/mod.rs"]
mod common;
mod read;

use cases::{Case, expressible, kinds, layers, models, rows};
use read::{constants, operators, ports, texts};
use toygrad::nn::{Dropout, LayerNorm};
use toygrad::prelude::*;
use toygrad::{Family, OnnxOptions, ROWS, io, to_onnx};

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

#[test]
fn models_are_operators_of_the_usual_names() {
    let models = models();
    let bytes: Vec<Vec<u8>> = models.iter().map(|m| export(m).unwrap()).collect();
    assert_eq!(
        operators(&bytes[0]),
        ["Gemm", "Relu", "Gemm", "Relu", "Gemm"]
    );
    let count = |model: usize, name: &str| {
        let all = operators(&bytes[model]);
        all.iter().filter(|o| *o == name).count()
    };
    assert_eq!(
        (count(1, "Conv"), count(1, "MaxPool"), count(1, "Gemm")),
        (2, 2, 2)
    );
    assert_eq!(
        (count(1, "Slice"), count(1, "Concat"), count(1, "MatMul")),
        (0, 0, 0)
    );
    // The look-ups of tokens and positions; four projections, two products of attention and two
    // layers in each of two blocks, and the output.
    assert_eq!((count(2, "Gather"), count(2, "MatMul")), (2, 2 * 8 + 1));
}

#[test]
fn parameters_keep_their_names_and_batches_are_open() {
    for model in models() {
        let bytes = export(&model).unwrap();
        let names = constants(&bytes);
        let used = |name: &str| !name.ends_with("num_batches_tracked");
        for (name, _) in model.state.iter().filter(|(name, _)| used(name)) {
            assert!(names.contains(name), "{}: {name}", model.name);
        }
        for (word, port) in [("input", ports(&bytes, 11)), ("output", ports(&bytes, 12))] {
            assert_eq!((port.len(), &port[0].0[..]), (1, word));
            assert_eq!(port[0].1[0], "batch");
        }
    }
    let x = Value::zeros([2, 3]).cast(DType::F32);
    let options = OnnxOptions {
        inputs: vec!["a".into()],
        outputs: vec!["y".into(), "z".into()],
        metadata: vec![("key".into(), "text".into())],
        ..OnnxOptions::default()
    };
    let f = |(a, b): (Value, Value)| (&a + b, a.clone(), a.sum());
    let bytes = to_onnx(f, (x.clone(), x), &[], &options).unwrap();
    let named =
        |number| -> Vec<String> { ports(&bytes, number).into_iter().map(|p| p.0).collect() };
    assert_eq!(named(11), ["a", "input_1"]);
    assert_eq!(named(12), ["y", "z", "output_2"]);
    assert_eq!(ports(&bytes, 11)[1].1, ["2", "3"]);
    let metadata = read::messages(&bytes, 14)[0];
    assert_eq!(
        (texts(metadata, 1), texts(metadata, 2)),
        (vec!["key".into()], vec!["text".into()])
    );
}

/// What a row says that it is.
#[test]
fn rows_are_exported_or_say_why_not() {
    for row in ROWS {
        let x: Vec<Value> = (0..row.arity())
            .map(|_| Value::from([1.0f32, 2.0]))
            .collect();
        let line = line!() + 1;
        let result = to_onnx(
            |x: Vec<Value>| row.apply(&x),
            x,
            &[],
            &OnnxOptions::default(),
        );
        match expressible(row) {
            true => assert!(result.is_ok(), "{}: {:?}", row.name, result.err()),
            false => {
                let message = result.err().map(|e| e.to_string()).unwrap_or_default();
                let parts = [
                    format!("`{}` cannot be exported", row.name),
                    format!("main.rs:{line}:"),
                ];
                for part in parts {
                    assert!(message.contains(&part), "{message}");
                }
                assert_eq!(row.family, Family::Float);
            }
        }
    }
    let left = ROWS
        .iter()
        .filter(|row| !expressible(row))
        .map(|row| row.name);
    assert_eq!(
        left.collect::<Vec<_>>(),
        ["erfc", "lgamma", "digamma", "polygamma"]
    );
}

#[test]
fn what_cannot_be_exported_is_an_error() {
    let x = Value::zeros([4, 3]).cast(DType::F32);
    let plain = OnnxOptions::default();
    let open = OnnxOptions {
        dynamic_batch: true,
        ..OnnxOptions::default()
    };
    let w = Parameter::new([1.0f32, 2.0, 3.0]);
    let error = |f: &dyn Fn(&Value) -> Value, state: &[(String, Parameter)], options| {
        let result = to_onnx(|x: Value| f(&x), x.clone(), state, options);
        result.err().map(|e| e.to_string()).unwrap_or_default()
    };
    let dropout = Dropout::new(0.5);
    let message = error(&|x| dropout.forward(x), &[], &plain);
    assert!(message.contains("`rand` cannot be exported"), "{message}");
    assert!(message.contains("eval"), "{message}");
    let message = error(&|x| x.matmul(x), &[], &plain);
    assert!(message.contains("cannot multiply matrices"), "{message}");
    let update = |x: &Value| match w.set(&w * 2.0) {
        Ok(()) => x * &w,
        Err(e) => Value::from(e),
    };
    let message = error(&update, &[], &plain);
    assert!(message.contains("no state"), "{message}");
    assert_eq!(w.value().to_vec::<f32>().unwrap(), [1.0, 2.0, 3.0]);
    let message = error(&|x| x * &w, &[("input".into(), w.clone())], &plain);
    assert!(message.contains("\"input\" cannot name"), "{message}");
    // The mean divides by how many there are.
    for f in [
        |x: &Value| x.mean_axis(0),
        |x: &Value| x + Value::arange(0..x.shape()[0]).unsqueeze(1),
    ] {
        let message = error(&f, &[], &open);
        assert!(message.contains("cannot be left open"), "{message}");
        assert!(message.contains("main.rs"), "{message}");
        assert_eq!(error(&f, &[], &plain), "");
    }
    let scalar = to_onnx(|x: Value| x, Value::from(1.0), &[], &open);
    assert!(scalar.is_err());
}

#[test]
fn files_are_there_whole_or_not_at_all() {
    let folder = std::env::temp_dir().join(format!("toygrad-onnx-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("model.onnx");
    let model = LayerNorm::new(3);
    let x = Value::ones([1, 3]);
    io::export_onnx(&model, |x: Value| model.forward(&x), x.clone(), &path).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    assert!(io::export_onnx(&model, |x: Value| x.matmul(&x), x, &path).is_err());
    assert_eq!(std::fs::read(&path).unwrap(), bytes);
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
    std::fs::remove_dir_all(&folder).unwrap();
}

/// Writes every case into the folder that is named, with numbers to compare with: for `check.py`.
#[test]
#[ignore = "a part of check.py"]
fn onnx_cases_are_written() {
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
