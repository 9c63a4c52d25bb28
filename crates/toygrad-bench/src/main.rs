//! The benchmark workloads of toygrad, with one JSON object a line.
//!
//! `toygrad-bench [--compiled | --step] [W1 W2 ...]`; `BENCH_THREADS` in the environment says how
//! many threads compute (2 by default), `BENCH_LISTING` prints the programs of compiled steps.

mod data;
mod functions;
mod measure;
mod workloads;

use measure::Style;

fn main() -> toygrad::Result<()> {
    let threads = std::env::var("BENCH_THREADS").ok();
    toygrad::set_num_threads(threads.and_then(|s| s.parse().ok()).unwrap_or(2));
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (options, mut names): (Vec<&str>, Vec<&str>) = arguments
        .iter()
        .map(|a| &a[..])
        .partition(|a| a.starts_with('-'));
    if names.is_empty() {
        names = workloads::NAMES.to_vec();
    }
    for name in names {
        for (style, option) in [
            (Style::Compiled, "--compiled"),
            (Style::StepByStep, "--step"),
        ] {
            if options.is_empty() || options.contains(&option) {
                workloads::run(name, style)?;
            }
        }
    }
    Ok(())
}
