//! The program as its users run it.

use serde_json::Value as Json;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

/// A folder of its own for each test, gone afterwards.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let folder =
            std::env::temp_dir().join(format!("toygrad-cli-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        Folder(folder)
    }

    /// Runs `toygrad` in the folder.
    fn toygrad(&self, arguments: &str) -> Output {
        Command::new(env!("CARGO_BIN_EXE_toygrad"))
            .args(arguments.split_whitespace())
            .current_dir(&self.0)
            .output()
            .unwrap()
    }

    /// Runs it with `--json`; the objects that it wrote.
    fn events(&self, arguments: &str) -> Vec<Json> {
        let output = self.toygrad(&format!("{arguments} --json"));
        assert!(output.status.success(), "{output:?}");
        assert!(output.stderr.is_empty(), "{output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Small enough for a second or two on any machine.
const SHORT: &str = "--epochs 2 --hidden 16 --test 0.5 --rate 0.01";

#[test]
fn digits_for_people() {
    let folder = Folder::new("people");
    let output = folder.toygrad(SHORT);
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    for part in [
        "handwritten digits",
        "train loss",
        "test accuracy",
        "runs/digits-1/model.safetensors",
    ] {
        assert!(text.contains(part), "{text}");
    }
    let files = fs::read_dir(folder.0.join("runs/digits-1")).unwrap();
    let files: Vec<_> = files
        .map(|f| f.unwrap().file_name().into_string().unwrap())
        .collect();
    for name in [
        "model.safetensors",
        "settings.json",
        "metrics.csv",
        "checkpoint.safetensors",
    ] {
        assert!(files.iter().any(|f| f == name), "{files:?}");
    }
    assert!(!files.iter().any(|f| f.ends_with(".tmp")), "{files:?}");
    let quiet = folder.toygrad(&format!("{SHORT} --quiet"));
    assert!(quiet.status.success() && quiet.stdout.is_empty() && quiet.stderr.is_empty());
    assert!(folder.0.join("runs/digits-2/model.safetensors").exists());
}

#[test]
fn digits_for_machines() {
    let folder = Folder::new("machines");
    let events = folder.events(SHORT);
    let kinds: Vec<&str> = events
        .iter()
        .map(|e| e["event"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["start", "epoch", "epoch", "done"]);
    let done = &events[3];
    let accuracy = done["test_accuracy"].as_f64().unwrap();
    assert!((0.3..=1.0).contains(&accuracy), "{done}");
    assert!(done["seconds"].as_f64().unwrap() > 0.0);
    let model = folder.0.join(done["model"].as_str().unwrap());
    let tensors = toygrad::io::read_safetensors(model).unwrap();
    assert_eq!(tensors.values["layers.0.weight"].shape()[..], [16, 64]);
    assert!(tensors.metadata["toygrad"].contains("mlp"));
}

#[test]
fn the_same_seed_gives_the_same_bits() {
    let folder = Folder::new("seeds");
    let run = |arguments: &str| {
        let events = folder.events(&format!("{SHORT} {arguments}"));
        let done = events.last().unwrap();
        let weights = fs::read(folder.0.join(done["model"].as_str().unwrap())).unwrap();
        (done["final_loss"].as_f64().unwrap().to_bits(), weights)
    };
    let first = run("--seed 5");
    assert_eq!(first, run("--seed 5 --threads 1"));
    assert_eq!(first, run("--seed 5 --threads 2"));
    assert_ne!(first.0, run("--seed 6").0);
}

#[test]
fn a_run_is_resumed() {
    let folder = Folder::new("resume");
    let straight = folder.events(&format!("{SHORT} --out straight"));
    // Settings and checkpoint of the finished run, without its model.
    fs::remove_file(folder.0.join("straight/model.safetensors")).unwrap();
    let resumed = folder.events("train --resume straight");
    let loss = |events: &[Json]| {
        events.last().unwrap()["final_loss"]
            .as_f64()
            .unwrap()
            .to_bits()
    };
    assert_eq!(loss(&straight), loss(&resumed));
    let output = folder.toygrad(&format!("{SHORT} --out straight"));
    assert_eq!(output.status.code(), Some(1));
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("not empty"),
        "{output:?}"
    );
}

#[test]
fn what_makes_no_sense_is_said() {
    let folder = Folder::new("errors");
    for (arguments, code, part) in [
        ("--epochs 0", 2, "--epochs must be at least 1"),
        ("--batch 0", 2, "--batch"),
        ("--hidden 8,0", 2, "--hidden"),
        ("--test 1.5", 2, "--test"),
        ("--rate -1", 2, "--rate"),
        ("--rate inf", 2, "--rate"),
        ("--threads 0", 2, "--threads"),
        ("--sed 3", 2, "--seed"),
        ("fly", 2, "fly"),
        ("--json --quiet", 2, "cannot be used with"),
        ("train --resume nowhere", 1, "nowhere/settings.json"),
    ] {
        let output = folder.toygrad(arguments);
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments}: {text}");
        assert!(text.contains(part), "{arguments}: {text}");
        assert!(output.stdout.is_empty(), "{output:?}");
    }
    assert!(!folder.0.join("runs").exists());
}

#[test]
fn help_has_examples() {
    let folder = Folder::new("help");
    for command in ["", "train"] {
        let output = folder.toygrad(&format!("{command} --help"));
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains("Examples:"), "{text}");
    }
}
