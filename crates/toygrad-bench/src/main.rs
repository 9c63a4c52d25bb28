//! The benchmark workloads of toygrad, with one JSON object a line.
//!
//! - `toygrad-bench [--compiled | --step | --listing] [W1 W2 ...]` times the workloads' steps:
//!   compiled, step by step (both, if neither is asked for), or only being compiled.
//!   `BENCH_THREADS` in the environment says how many threads compute (2 by default),
//!   `BENCH_LISTING` prints the programs of compiled steps.
//! - `toygrad-bench --counts` counts the instructions of small cases, under valgrind;
//!   `toygrad-bench --check FILE` compares them with what was printed before.
//! - `toygrad-bench --growth [nodes elements batch threads]` measures how cost grows;
//!   `toygrad-bench --plots FILE FOLDER` draws that output.

mod count;
mod data;
mod functions;
mod growth;
mod measure;
mod plots;
mod workloads;

use measure::{Run, Style, time};
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(|a| &a[..]).collect();
    let done = match arguments[..] {
        ["--counts"] => count::print(),
        ["--check", file] => count::check(file),
        ["--case", name] => count::case(name).map_err(Into::into),
        ["--growth", ref kinds @ ..] => growth::print(kinds).map_err(Into::into),
        ["--point", kind, what, x, threads] => {
            growth::point(kind, what, x, threads).map_err(Into::into)
        }
        ["--plots", file, folder] => plots::draw(file, folder),
        _ => timed(&arguments).map_err(Into::into),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("{e}");
            ExitCode::FAILURE
        }
    }
}

/// Times workloads, all of them if none is named.
fn timed(arguments: &[&str]) -> toygrad::Result<()> {
    let threads = std::env::var("BENCH_THREADS").ok();
    toygrad::set_num_threads(threads.and_then(|s| s.parse().ok()).unwrap_or(2));
    let (mut options, mut names): (Vec<&str>, Vec<&str>) =
        arguments.iter().partition(|a| a.starts_with('-'));
    if names.is_empty() {
        names = workloads::NAMES.to_vec();
    }
    if options.is_empty() {
        options = vec!["--compiled", "--step"];
    }
    for name in names {
        for (style, option) in [
            (Style::Compiled, "--compiled"),
            (Style::StepByStep, "--step"),
            (Style::Listed, "--listing"),
        ] {
            if options.contains(&option) {
                workloads::run(
                    name,
                    Run {
                        style,
                        watch: &time,
                    },
                )?;
            }
        }
    }
    Ok(())
}
