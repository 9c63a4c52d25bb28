//! The program as its users run it.

use serde_json::{Value as Json, json};
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
        "metrics.jsonl",
        "loss.svg",
        "confusion.svg",
        "mistakes.svg",
    ] {
        assert!(files.iter().any(|f| f == name), "{files:?}");
    }
    assert!(!files.iter().any(|f| f.ends_with(".tmp")), "{files:?}");
    let page = fs::read_to_string(folder.0.join("runs/digits-1/index.html")).unwrap();
    assert!(
        page.contains("<svg") && !page.contains("src="),
        "the page holds its pictures"
    );
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

/// What the README promises of the run without arguments.
#[test]
fn the_default_run_reads_digits() {
    let folder = Folder::new("default");
    let events = folder.events("");
    let done = events.last().unwrap();
    assert_eq!(done["event"], "done");
    assert!(done["test_accuracy"].as_f64().unwrap() >= 0.97, "{done}");
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

/// A table with a class and a number to predict.
fn table() -> String {
    let mut text = String::from("width,colour,class,area\n");
    for i in 0..60 {
        let width = (i * 7 % 30) as f64 / 10.0;
        let colour = if i % 3 == 0 { "red" } else { "blue" };
        let class = if width > 1.5 { "big" } else { "small" };
        text += &format!("{width},{colour},{class},{}\n", width * 3.5 + 0.25);
    }
    text
}

#[test]
fn tables_are_learned_and_predicted() {
    let folder = Folder::new("tables");
    fs::write(folder.0.join("things.csv"), table()).unwrap();
    let events = folder
        .events("train --data things.csv --target class --drop area --epochs 30 --out classes");
    let done = events.last().unwrap();
    assert!(done["test_accuracy"].as_f64().unwrap() > 0.8, "{done}");
    let events = folder.events("train --data things.csv --drop class --epochs 60 --out numbers");
    let done = events.last().unwrap();
    assert!(done["test_rmse"].as_f64().unwrap() < 1.5, "{done}");

    // Columns in another order, none of the target.
    fs::write(
        folder.0.join("new.csv"),
        "colour,width\nred,0.2\nblue,2.8\n",
    )
    .unwrap();
    let output = folder.toygrad("predict classes --data new.csv");
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "class,probability");
    assert!(
        lines[1].starts_with("small,") && lines[2].starts_with("big,"),
        "{text}"
    );
    let output = folder.toygrad("predict numbers --data new.csv");
    let text = String::from_utf8(output.stdout).unwrap();
    let numbers: Vec<f64> = text.lines().skip(1).map(|x| x.parse().unwrap()).collect();
    assert!(numbers[0] < numbers[1], "{text}");

    let output = folder.toygrad("evaluate classes --data things.csv --json");
    let json: Json = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["samples"], 60);
    assert_eq!(json["classes"][1]["class"], "small");
    let output = folder.toygrad("evaluate numbers");
    assert!(
        String::from_utf8(output.stdout)
            .unwrap()
            .contains("test rmse")
    );
    for (arguments, part) in [
        (
            "train --data things.csv --target weight",
            "no column \"weight\"; there are width",
        ),
        ("train --data nothing.csv", "nothing.csv"),
        (
            "predict classes --data classes/metrics.csv",
            "has no column \"width\"",
        ),
        ("predict things.csv --data new.csv", "things.csv"),
        (
            "train --data things.csv --target class --task regression",
            "holds words",
        ),
    ] {
        let output = folder.toygrad(arguments);
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{arguments}: {text}");
        assert!(text.contains(part), "{arguments}: {text}");
    }
}

#[test]
fn data_that_makes_no_sense_is_said() {
    let folder = Folder::new("nonsense");
    let table = |target: fn(usize) -> String| -> String {
        let rows = (0..20).map(|i| format!("{i},{}\n", target(i)));
        format!("a,b\n{}", rows.collect::<String>())
    };
    let gap = |i| match i {
        6 => String::new(),
        i => (i % 2).to_string(),
    };
    for (name, content) in [
        ("empty.csv", String::new()),
        ("head.csv", "a,b\n".into()),
        ("one.csv", table(|_| "x".into())),
        ("same.csv", table(|_| "5".into())),
        ("gap.csv", table(gap)),
        ("empty.txt", String::new()),
        (
            "x.idx",
            "\0\0\x08\x03\0\0\0\x01\0\0\0\x04\0\0\0\x04aaaabbbbccccdddd".into(),
        ),
        ("zero.idx", "\0\0\x08\x01\0\0\0\x01\0".into()),
        ("two.idx", "\0\0\x08\x01\0\0\0\x02\0\x01".into()),
    ] {
        fs::write(folder.0.join(name), content).unwrap();
    }
    for (arguments, code, part) in [
        ("--data empty.csv", 1, "is empty"),
        ("--data head.csv", 1, "no row"),
        ("--data one.csv", 1, "has 1 class; at least 2 are wanted"),
        ("--data same.csv", 1, "has 1 class; at least 2 are wanted"),
        ("--data gap.csv", 1, "line 8, column 2 (b): no value"),
        ("--text empty.txt", 1, "0 characters are too few"),
        ("--data x.idx --labels zero.idx", 2, "all labels are 0"),
        (
            "--data x.idx --labels two.idx",
            1,
            "labels [2] u8 for images [1, 4, 4]",
        ),
        ("--rate 0", 2, "--rate must be above 0"),
        ("--rate nan", 2, "--rate must be above 0"),
    ] {
        let output = folder.toygrad(&format!("train {arguments}"));
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments}: {text}");
        assert!(text.contains(part), "{arguments}: {text}");
    }
    assert!(!folder.0.join("runs").exists());
    // A batch larger than the data is all of it; a number that is always the same is learned.
    for arguments in [
        "--data gap.csv --drop-missing --batch 100000",
        "--data same.csv --task regression",
    ] {
        let events = folder.events(&format!("train {arguments} --epochs 1"));
        assert!(events.last().unwrap()["final_loss"].is_f64());
    }
}

#[test]
fn images_are_learned() {
    let folder = Folder::new("images");
    // Bright above or bright below.
    let mut images = vec![0, 0, 8, 3, 0, 0, 0, 40, 0, 0, 0, 8, 0, 0, 0, 8];
    let mut labels = vec![0, 0, 8, 1, 0, 0, 0, 40];
    for i in 0..40u8 {
        labels.push(i % 2);
        let dark = |row: u8| if row / 4 == i % 2 { 200 + i } else { i };
        images.extend((0..8).flat_map(|row| [dark(row); 8]));
    }
    fs::write(folder.0.join("x.idx"), images).unwrap();
    fs::write(folder.0.join("y.idx"), labels).unwrap();
    for model in ["mlp", "cnn"] {
        let arguments = format!(
            "train --data x.idx --labels y.idx --epochs 20 --model {model} --hidden 8 --out {model}"
        );
        let events = folder.events(&arguments);
        assert_eq!(events.last().unwrap()["test_accuracy"], 1.0, "{model}");
        let output = folder.toygrad(&format!("predict {model} --data x.idx"));
        assert_eq!(
            String::from_utf8(output.stdout).unwrap().lines().count(),
            41
        );
        let output = folder.toygrad(&format!("export {model} {model}.onnx"));
        assert!(output.status.success(), "{output:?}");
    }
    // As convolutions, not as what they are made of.
    let bytes = fs::read(folder.0.join("cnn.onnx")).unwrap();
    let count = |text: &[u8]| {
        bytes
            .windows(text.len())
            .filter(|part| *part == text)
            .count()
    };
    assert_eq!(
        (count(b"Conv"), count(b"MaxPool"), count(b"Slice")),
        (2, 2, 0)
    );
}

/// A grey image of 8 by 8 pixels as PNG, its data stored, not packed.
fn png(pixels: &[[u8; 8]; 8]) -> Vec<u8> {
    let mut data: Vec<u8> = Vec::new();
    for row in pixels {
        data.push(0);
        data.extend(row);
    }
    let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::none());
    std::io::Write::write_all(&mut zlib, &data).unwrap();
    let header = [0, 0, 0, 8, 0, 0, 0, 8, 8, 0, 0, 0, 0];
    let mut png = b"\x89PNG\r\n\x1a\n".to_vec();
    for (kind, content) in [
        (b"IHDR", header.to_vec()),
        (b"IDAT", zlib.finish().unwrap()),
        (b"IEND", vec![]),
    ] {
        let mut crc = flate2::Crc::new();
        crc.update(kind);
        crc.update(&content);
        png.extend((content.len() as u32).to_be_bytes());
        png.extend(kind);
        png.extend(content);
        png.extend(crc.sum().to_be_bytes());
    }
    png
}

#[test]
fn a_folder_of_images_is_learned() {
    let folder = Folder::new("pictures");
    for (class, bright) in [("below", 1), ("above", 0)] {
        fs::create_dir_all(folder.0.join("data").join(class)).unwrap();
        for i in 0..20u8 {
            let row = |row: u8| [if row / 4 == bright { 200 + i } else { i }; 8];
            let pixels = [0, 1, 2, 3, 4, 5, 6, 7].map(row);
            let file = format!("data/{class}/{i}.png");
            fs::write(folder.0.join(file), png(&pixels)).unwrap();
        }
    }
    let run = "train --data data --model cnn --epochs 10 --out run";
    let events = folder.events(run);
    assert_eq!(events.last().unwrap()["test_accuracy"], 1.0);
    let output = folder.toygrad("predict run --data data/below/3.png");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.lines().nth(1).unwrap().starts_with("below,"), "{text}");
    let output = folder.toygrad("evaluate run --data data --json");
    let json: Json = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&json["samples"], &json["test_accuracy"]),
        (&json!(40), &json!(1.0))
    );
    let text = String::from_utf8(folder.toygrad("graph run").stdout).unwrap();
    assert!(text.contains("matmul"), "{text}");
    folder.events("train --data data --resize 12 --epochs 1 --hidden 4 --out resized");
    assert!(
        folder
            .toygrad("predict resized --data data")
            .status
            .success()
    );

    fs::write(folder.0.join("data/above/3.png"), "no image").unwrap();
    fs::create_dir_all(folder.0.join("other/cat")).unwrap();
    fs::copy(
        folder.0.join("data/above/4.png"),
        folder.0.join("other/cat/1.png"),
    )
    .unwrap();
    for (arguments, code, part) in [
        (run, 1, "3.png: cannot be read as a PNG"),
        ("train --data other", 1, "has 1 class, cat"),
        ("evaluate run --data other", 1, "not those of the model"),
        (
            "train --data things.csv --resize 8",
            2,
            "--resize is for folders",
        ),
        ("train --data data --resize 0", 2, "--resize"),
    ] {
        let output = folder.toygrad(arguments);
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments}: {text}");
        assert!(text.contains(part), "{arguments}: {text}");
    }
}

#[test]
fn text_is_learned_and_goes_on() {
    let folder = Folder::new("text");
    fs::write(folder.0.join("abc.txt"), "abcdefg ".repeat(100)).unwrap();
    let arguments = "train --text abc.txt --layers 1 --heads 2 --width 16 --context 8 --epochs 2 --steps 60 --rate 0.02 --out abc";
    let events = folder.events(arguments);
    let done = events.last().unwrap();
    assert!(done["validation_loss"].as_f64().unwrap() < 0.5, "{done}");
    let output = folder.toygrad("predict abc --prompt abc --length 5 --temperature 0");
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "abcdefg \n");
    let output = folder.toygrad("predict abc --prompt XYZ");
    assert_eq!(output.status.code(), Some(1));
    let output = folder.toygrad("predict abc");
    assert_eq!(output.status.code(), Some(2));
    let output = folder.toygrad("export abc abc.onnx");
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(said, "model of tokens [batch, 8] i64 written to abc.onnx\n");
}

#[test]
fn what_is_in_a_model_can_be_seen_and_taken_out() {
    let folder = Folder::new("inspect");
    folder.events(&format!("{SHORT} --out run"));
    let text = |arguments: &str| {
        let output = folder.toygrad(arguments);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(text("info run").contains("layers.0.weight"));
    assert!(text("info run --json").contains("\"numbers\":1210"));
    assert!(text("graph run").contains("matmul"));
    assert!(text("graph run --dot").starts_with("digraph"));
    let picture = text("graph run --svg");
    assert!(picture.contains("<svg") && picture.contains("layers.0.weight"));
    assert!(picture == text("graph run --svg"), "the same bytes again");
    for file in ["out.npz", "out.safetensors"] {
        text(&format!("export run {file}"));
        assert!(text(&format!("info {file}")).contains("1210 numbers"));
    }
    let said = text("export run out.onnx");
    assert!(said.contains("samples [batch, 64] f32"), "{said}");
    // Names and operators are plain text there.
    let bytes = fs::read(folder.0.join("out.onnx")).unwrap();
    let holds = |text: &str| {
        bytes
            .windows(text.len())
            .any(|part| part == text.as_bytes())
    };
    for part in ["Gemm", "layers.0.weight", "batch", "predictions"] {
        assert!(holds(part), "{part}");
    }
    assert_eq!(folder.toygrad("export run out.exe").status.code(), Some(2));
    assert!(text("evaluate run").contains("columns: what it was taken for"));
}

/// A run that is killed 20 times, and each time goes on, ends with the bits of one that is not.
#[test]
fn a_killed_run_ends_with_the_same_bits() {
    let folder = Folder::new("killed");
    let run = "--epochs 12 --hidden 16 --test 0.5 --save-every 0 --quiet";
    assert!(
        folder
            .toygrad(&format!("{run} --out straight"))
            .status
            .success()
    );
    let killed = folder.0.join("killed");
    let mut kills = 0u64;
    loop {
        let arguments = match killed.join("settings.json").exists() {
            true => "train --resume killed --save-every 0 --quiet".into(),
            false => {
                let _ = fs::remove_dir_all(&killed);
                format!("{run} --out killed")
            }
        };
        let mut child = Command::new(env!("CARGO_BIN_EXE_toygrad"))
            .args(arguments.split_whitespace())
            .current_dir(&folder.0)
            .spawn()
            .unwrap();
        if kills < 20 {
            // Moments spread over all that a run does, from its start on.
            let moment = 10 + kills * 7919 % 150;
            std::thread::sleep(std::time::Duration::from_millis(moment));
            let _ = child.kill();
        }
        let status = child.wait().unwrap();
        kills += 1;
        if status.success() {
            break;
        }
        assert!(kills <= 21 && status.code().is_none(), "{status}");
    }
    let weights = |run: &str| fs::read(folder.0.join(run).join("model.safetensors")).unwrap();
    assert_eq!(weights("straight"), weights("killed"));
}

/// The system refuses to write more, in the middle of a run: the checkpoint before is whole, nothing
/// half-written stays, and with room again the run ends as if nothing had been.
#[cfg(unix)]
#[test]
fn a_full_disk_costs_nothing_but_time() {
    let folder = Folder::new("full");
    let run = "--epochs 80 --steps 2 --hidden 1 --test 0.5 --save-every 0 --quiet";
    let done = folder.toygrad(&format!("{run} --out straight"));
    assert!(done.status.success(), "{done:?}");
    let checkpoint = |run: &str| folder.0.join(run).join("checkpoint.safetensors");
    let whole = fs::metadata(checkpoint("straight")).unwrap().len();

    // A checkpoint grows with the epochs; no file may become longer than half of the last one
    // (in the units of `ulimit`). Ignored, the signal leaves the error to the program.
    let limited = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f \"$0\"; exec \"$@\""])
        .arg((whole / 2 / 512).to_string())
        .arg(env!("CARGO_BIN_EXE_toygrad"))
        .args(format!("{run} --out full").split_whitespace())
        .current_dir(&folder.0)
        .output()
        .unwrap();
    let message = String::from_utf8_lossy(&limited.stderr);
    assert_eq!(limited.status.code(), Some(1), "{message}");
    assert!(
        message.contains("full/checkpoint.safetensors") && message.contains("make room"),
        "{message}"
    );
    let state = toygrad::train::Checkpoint::read(checkpoint("full")).unwrap();
    assert!((2..79).contains(&state.epoch), "{state:?}");
    for file in fs::read_dir(folder.0.join("full")).unwrap() {
        let name = file.unwrap().file_name();
        assert!(!name.to_string_lossy().ends_with(".tmp"), "{name:?}");
    }
    let resumed = folder.toygrad("train --resume full --quiet");
    assert!(resumed.status.success(), "{resumed:?}");
    let weights = |run: &str| fs::read(folder.0.join(run).join("model.safetensors")).unwrap();
    assert_eq!(weights("straight"), weights("full"));
}

#[test]
fn the_classic_tables_are_learned() {
    let folder = Folder::new("classic");
    let data = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    for file in ["iris.csv", "wine.csv", "breast_cancer.csv.gz"] {
        let path = data.join(file);
        let events = folder.events(&format!("train --data {} --epochs 60", path.display()));
        let accuracy = events.last().unwrap()["test_accuracy"].as_f64().unwrap();
        assert!(accuracy >= 0.95, "{file}: {accuracy}");
    }
}

#[cfg(unix)]
#[test]
fn ctrl_c_saves_and_leaves() {
    let folder = Folder::new("interrupt");
    let run = "--epochs 400 --hidden 16 --test 0.5 --quiet --out run";
    let mut child = Command::new(env!("CARGO_BIN_EXE_toygrad"))
        .args(run.split_whitespace())
        .current_dir(&folder.0)
        .spawn()
        .unwrap();
    // Once it trains: the log of epochs is begun just before.
    let log = folder.0.join("run/metrics.jsonl");
    while fs::metadata(&log).map_or(0, |m| m.len()) == 0 {
        std::thread::sleep(std::time::Duration::from_millis(5));
        assert!(child.try_wait().unwrap().is_none(), "it ended by itself");
    }
    let id = child.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-INT", &id])
            .status()
            .unwrap()
            .success()
    );
    assert_eq!(child.wait().unwrap().code(), Some(130));
    for file in ["checkpoint.safetensors", "model.safetensors"] {
        assert!(toygrad::io::read_safetensors(folder.0.join("run").join(file)).is_ok());
    }
}
