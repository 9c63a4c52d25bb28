//! The house stays the house: who may use whom, and how long a file may get.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The modules of the engine, each of which uses only those before it.
const ENGINE: &[&str] = &[
    "shape", "dtype", "buffer", "error", "philox", "protobuf", "math", "lanes", "graph", "ops",
    "autodiff", "compile", "exec", "api", "onnx",
];

/// What stands on the engine's public interface; these use no module of the engine by name.
const ABOVE: &[&str] = &["data", "nn", "optim", "io", "train", "viz"];

/// What is no part of the engine's state: functions of their arguments.
const SHARED: &[&str] = &["philox", "protobuf"];

const LONGEST: usize = 700;

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// Every file with its top module and its code: what is no comment, no empty line and no test.
fn files() -> Vec<(PathBuf, String, Vec<String>)> {
    let mut folders = vec![source()];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let inside = path.strip_prefix(source()).expect("inside");
                let top = inside.iter().next().expect("a name").to_string_lossy();
                let module = top.trim_end_matches(".rs").to_string();
                let text = fs::read_to_string(&path).expect("a text");
                let code = text.lines().take_while(|l| l.trim() != "#[cfg(test)]");
                let code = code.filter(|l| !l.trim().is_empty() && !l.trim().starts_with("//"));
                let code = code.map(str::to_string).collect();
                files.push((path, module, code));
            }
        }
    }
    assert!(files.len() > 20, "the sources were not found");
    files
}

/// The modules that public names of the crate live in, from the `pub use` lines of lib.rs.
fn homes() -> BTreeMap<String, String> {
    let text = fs::read_to_string(source().join("lib.rs")).expect("lib.rs");
    let mut homes = BTreeMap::new();
    for line in text.split("\npub use ").skip(1) {
        let line = line.split(';').next().unwrap_or("");
        let module = line.split("::").next().unwrap_or("").to_string();
        for name in line.split(|c: char| !c.is_alphanumeric() && c != '_') {
            homes.insert(name.to_string(), module.clone());
        }
    }
    assert_eq!(homes["Value"], "graph");
    homes
}

/// The names that follow `crate::` in a text: `crate::{A, b::C}` gives A and b.
fn used(code: &str) -> Vec<String> {
    let word = |text: &str| {
        let end = text.find(|c: char| !c.is_alphanumeric() && c != '_');
        text[..end.unwrap_or(text.len())].to_string()
    };
    let mut names = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        let Some(list) = rest.strip_prefix('{') else {
            names.push(word(rest));
            continue;
        };
        let (mut depth, mut item) = (0, String::new());
        for c in list.chars() {
            match c {
                '}' if depth == 0 => break,
                ',' if depth == 0 => names.push(word(std::mem::take(&mut item).trim())),
                '{' => depth += 1,
                '}' => depth -= 1,
                _ if depth == 0 => item.push(c),
                _ => {}
            }
        }
        names.push(word(item.trim()));
    }
    names.retain(|n| !n.is_empty());
    names
}

#[test]
fn modules_use_only_those_below_them() {
    let homes = homes();
    let level = |module: &str| ENGINE.iter().position(|m| *m == module);
    let mut faults = Vec::new();
    for (path, module, code) in files().iter().filter(|f| f.1 != "lib") {
        let above = ABOVE.contains(&module.as_str());
        assert!(
            above || level(module).is_some(),
            "`{module}` has no place in tests/tidy.rs"
        );
        for name in used(&code.join("\n")) {
            // A name at the top of the crate is public interface, unless a module has it.
            let public = homes.get(&name).filter(|_| level(&name).is_none());
            let target = public.unwrap_or(&name);
            let fine = match (level(target), level(module)) {
                _ if target == module => true,
                (Some(target), Some(here)) => target < here,
                (None, Some(_)) => !ABOVE.contains(&target.as_str()),
                (Some(_), None) => public.is_some() || SHARED.contains(&target.as_str()),
                (None, None) => true,
            };
            if !fine {
                faults.push(format!("{}: crate::{name}", path.display()));
            }
        }
    }
    faults.dedup();
    assert!(
        faults.is_empty(),
        "imports that go up, or below the public interface:\n{}",
        faults.join("\n")
    );
}

#[test]
fn no_file_is_too_long() {
    for (path, _, code) in files() {
        let n = code.len();
        assert!(
            n <= LONGEST,
            "{} has {n} lines of code: split it",
            path.display()
        );
    }
}

#[test]
fn used_reads_lists_and_paths() {
    let code = "use crate::{DType, graph::row::{A, B}, ops};\nlet x = crate::shape::resolve(1);";
    assert_eq!(used(code), ["DType", "graph", "ops", "shape"]);
}
