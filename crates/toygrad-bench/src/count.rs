//! How many instructions small cases take, counted by valgrind's callgrind: unlike a time, that
//! does not depend on how busy the machine is, so a regression shows in CI. valgrind presents the
//! same processor (with AVX2, without AVX-512) on every x86-64 machine that has AVX2; the library's
//! loops, those of matrix products and of the C library are chosen by what it presents.

use crate::functions::scalars;
use crate::measure::{Run, Style};
use crate::{data, workloads};
use std::process::Command;
use toygrad::prelude::*;
use toygrad::{Level, Tree};

type Failure = Box<dyn std::error::Error>;

/// The cases, with what is counted.
const CASES: [(&str, &str); 14] = [
    ("call", "a call of a compiled function of one addition"),
    ("W1", "a replay of W1's training step"),
    ("W1-step", "W1's step recorded afresh, with Programs kept"),
    ("record", "recording 1,000 operations, and dropping them"),
    ("look-up", "computing 1,000 scalars by a kept Program"),
    ("backward", "their gradient by a kept Program"),
    ("compile", "computing 1,000 scalars for the first time"),
    ("compile-W4", "recording and compiling W4's training step"),
    ("scalars", "a replay of 1,000 operations on scalars"),
    ("loop", "a fused loop of five operations over 4,096 f32"),
    ("sum", "a sum of 4,096 f32"),
    ("product", "a product of two 64x64 matrices of f32"),
    ("stack", "products of 1,000 pairs of 3x3 matrices of f32"),
    ("softmax", "softmax of the rows of 64x64 f32"),
];

/// How much more than the baseline is a regression, in percent.
const TOLERANCE: f64 = 3.0;
/// The same where another compiler or C library (its `malloc`) made the machine code.
const OTHER_MAKERS: f64 = 15.0;

/// callgrind counts while this function runs (and not what prepares a case).
#[inline(never)]
fn counted(f: &mut dyn FnMut() -> Result<()>) -> Result<()> {
    let result = f();
    // So that the call above is a call, not a jump: callgrind is to see that it returns.
    std::hint::black_box(());
    result
}

/// Counts `f` when its Programs are kept and its memory is there.
fn warm(mut f: impl FnMut() -> Result<()>) -> Result<()> {
    for _ in 0..3 {
        f()?;
    }
    counted(&mut f)
}

/// Counts a replay of a compiled function.
fn replay<A: Tree + Clone>(f: impl Fn(A) -> Value, arguments: A) -> Result<()> {
    let f = compile(f);
    warm(|| f.call(arguments.clone()).map(drop))
}

/// Counts a step of a workload.
fn workload(name: &str, style: Style) -> Result<()> {
    let watch = |_, _: &_, step: &dyn Fn() -> Result<f64>| warm(|| step().map(drop));
    workloads::run(
        name,
        Run {
            style,
            watch: &watch,
        },
    )
}

/// Runs a case, as a process of its own under valgrind.
pub fn case(name: &str) -> Result<()> {
    toygrad::set_num_threads(1);
    println!("{:?}", Level::detect());
    let array = |shape: &[usize]| data::array(1, shape, 1.0);
    let w = Parameter::new(0.5);
    match name {
        "call" => replay(|x: Value| x + 1.0, Value::from(1.0)),
        "W1" => workload("W1", Style::Compiled),
        "W1-step" => workload("W1", Style::StepByStep),
        "compile-W4" => workload("W4", Style::Listed),
        "record" => warm(|| {
            scalars(&w.value(), 1000);
            Ok(())
        }),
        "look-up" | "compile" => {
            let mut y = scalars(&w.value(), 1000);
            if name == "look-up" {
                y.item()?;
                y = scalars(&w.value(), 1000);
            }
            counted(&mut || y.item().map(drop))
        }
        "backward" => {
            scalars(&w.value(), 1000).backward()?;
            let y = scalars(&w.value(), 1000);
            counted(&mut || y.backward().map(drop))
        }
        "scalars" => replay(|x: Value| scalars(&x, 1000), Value::from(0.5)),
        "loop" => replay(
            |(x, y): (Value, Value)| (x * &y + 1.0).relu() - 0.5 * y,
            (array(&[4096]), array(&[4096])),
        ),
        "sum" => replay(|x: Value| x.sum(), array(&[4096])),
        "product" => replay(
            |(x, y): (Value, Value)| x.matmul(y),
            (array(&[64, 64]), array(&[64, 64])),
        ),
        "stack" => replay(
            |(x, y): (Value, Value)| x.matmul(y),
            (array(&[1000, 3, 3]), array(&[1000, 3, 3])),
        ),
        "softmax" => replay(|x: Value| x.softmax(-1), array(&[64, 64])),
        _ => unreachable!("{name} is one of the cases"),
    }
}

/// The instructions of every case, and what they depend on: the loops that were chosen, and who
/// made the machine code.
struct Counts {
    level: String,
    makers: String,
    /// By case.
    of: Vec<u64>,
}

/// Runs this program again, for each case, under callgrind.
fn measure() -> std::result::Result<Counts, Failure> {
    let says = |program: &str, argument: &str| {
        let output = Command::new(program).arg(argument).output();
        let text = output.map(|o| String::from_utf8_lossy(&o.stdout).trim().to_string());
        text.unwrap_or_default()
    };
    let (rustc, libc) = (
        says("rustc", "--version"),
        says("getconf", "GNU_LIBC_VERSION"),
    );
    let mut counts = Counts {
        level: String::new(),
        makers: format!("{rustc}, {libc}"),
        of: Vec::new(),
    };
    for (name, _) in CASES {
        let output = Command::new("valgrind")
            .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
            .arg("--toggle-collect=*toygrad_bench::count::counted*")
            .arg(std::env::current_exe()?)
            .args(["--case", name])
            .output()
            .map_err(|e| format!("valgrind cannot be run: {e}"))?;
        let log = String::from_utf8_lossy(&output.stderr);
        let collected = log.split("Collected :").nth(1);
        let count = collected.and_then(|l| l.split_whitespace().next()?.parse().ok());
        let count = count.filter(|n| output.status.success() && *n > 0);
        let count = count.ok_or_else(|| format!("{name} could not be counted:\n{log}"))?;
        counts.of.push(count);
        counts.level = String::from_utf8(output.stdout)?.trim().to_string();
    }
    Ok(counts)
}

/// How the baseline is made anew; its first line.
const RENEW: &str =
    "cargo run --release --locked -p toygrad-bench -- --counts > benchmarks/counts.txt";

/// Prints the counts as a baseline.
pub fn print() -> std::result::Result<(), Failure> {
    let counts = measure()?;
    println!("# Instructions of each case, by callgrind. To renew: {RENEW}");
    println!("level {}\n{}", counts.level, counts.makers);
    for ((name, what), count) in CASES.iter().zip(&counts.of) {
        println!("{name:<12} {count:>10}  {what}");
    }
    Ok(())
}

/// Compares with the baseline in a file. A case of more instructions is a failure; fewer are
/// said, so that the baseline is renewed and holds what was won.
pub fn check(file: &str) -> std::result::Result<(), Failure> {
    let text = std::fs::read_to_string(file).map_err(|e| format!("{file}: {e}"))?;
    let of = |name: &str| text.lines().find(|l| l.split(' ').next() == Some(name));
    let counts = measure()?;
    if of("level") != Some(&format!("level {}", counts.level)) {
        println!(
            "{file} is for other loops than those of {}: not compared",
            counts.level
        );
        return Ok(());
    }
    let tolerance = match of("rustc") == Some(&counts.makers) {
        true => TOLERANCE,
        false => OTHER_MAKERS,
    };
    let mut worse = Vec::new();
    for ((name, _), now) in CASES.iter().zip(&counts.of) {
        let before = of(name).and_then(|l| l.split_whitespace().nth(1)?.parse::<u64>().ok());
        let before =
            before.ok_or_else(|| format!("{file} has no case {name}. To renew: {RENEW}"))?;
        let change = (*now as f64 / before as f64 - 1.0) * 100.0;
        let line = format!("{name:<12} {before:>10} -> {now:>10}  {change:>+6.2} %");
        println!(
            "{line}{}",
            if change < -tolerance {
                "  renew the baseline"
            } else {
                ""
            }
        );
        if change > tolerance {
            worse.push(line);
        }
    }
    if worse.is_empty() {
        return Ok(());
    }
    Err(format!(
        "over {tolerance} % more instructions than {file} says:\n{}\nIf that is the price of \
         something better, renew the baseline: {RENEW}",
        worse.join("\n")
    )
    .into())
}
