//! How cost grows: time and memory against nodes, elements, batch and threads. Each point is a
//! process of its own, so that its peak of memory is its own.

use crate::functions::scalars;
use crate::measure::{Run, Style, megabytes};
use crate::{data, workloads};
use std::process::Command;
use std::time::Instant;
use toygrad::prelude::*;

/// Powers of ten and halfway between.
const TENS: [usize; 11] = [
    1_000,
    3_000,
    10_000,
    30_000,
    100_000,
    300_000,
    1_000_000,
    3_000_000,
    10_000_000,
    30_000_000,
    100_000_000,
];

/// What grows, what is measured, where, and on how many threads.
type Curve = (&'static str, &'static str, Vec<usize>, Vec<usize>);

fn curves() -> Vec<Curve> {
    let nodes: Vec<usize> = TENS
        .iter()
        .map(|n| n / 10)
        .filter(|n| *n <= 1_000_000)
        .collect();
    let batches: Vec<usize> = (0..13).map(|k| 1 << k).collect();
    let mut curves = Vec::new();
    for what in ["record", "compile", "backward", "replay"] {
        curves.push(("nodes", what, nodes.clone(), vec![1]));
    }
    for what in ["pointwise", "sum"] {
        curves.push(("elements", what, TENS.to_vec(), vec![1, 2]));
    }
    curves.push(("batch", "W2", batches, vec![1, 2]));
    for what in ["W1", "W2", "W3", "W4", "product"] {
        // As many threads as x says.
        curves.push(("threads", what, vec![1, 2, 3, 4], vec![0]));
    }
    curves
}

/// Measures all points, or those of some kinds of growth, and prints a JSON object for each.
pub fn print(kinds: &[&str]) -> std::io::Result<()> {
    for (kind, what, xs, threads) in curves() {
        for t in threads {
            for x in xs
                .iter()
                .filter(|_| kinds.is_empty() || kinds.contains(&kind))
            {
                let t = if kind == "threads" { *x } else { t };
                Command::new(std::env::current_exe()?)
                    .args(["--point", kind, what, &x.to_string(), &t.to_string()])
                    .status()?;
            }
        }
    }
    Ok(())
}

/// Measures one point in this process.
pub fn point(kind: &str, what: &str, x: &str, threads: &str) -> Result<()> {
    let (x, threads) = (x.parse().unwrap_or(1), threads.parse().unwrap_or(1));
    toygrad::set_num_threads(threads);
    let start = megabytes("VmRSS:");
    let report = |times: Times| {
        println!(
            "{{\"growth\": \"{kind}\", \"what\": \"{what}\", \"x\": {x}, \"threads\": {threads}, \
             \"min_us\": {:.3}, \"median_us\": {:.3}, \"runs\": {}, \"page_faults\": {:.0}, \
             \"start_rss_mb\": {start:.1}, \"peak_rss_mb\": {:.1}}}",
            times.min * 1e6,
            times.median * 1e6,
            times.runs,
            times.faults,
            times.peak,
        );
        Ok(())
    };
    let watch =
        |_, _: &str, step: &dyn Fn() -> Result<f64>| report(repeat(|| timed(|| step().map(drop)))?);
    let run = Run {
        style: Style::Compiled,
        watch: &watch,
    };
    match (kind, what) {
        ("nodes", _) => report(nodes(what, x)?),
        ("elements", _) => {
            let array = Value::zeros([x]).cast(toygrad::DType::F32);
            array.evaluate()?;
            let f = compile(|x: Value| match what {
                "sum" => x.sum(),
                _ => (&x * 0.5 + 1.0).relu() - &x,
            });
            report(repeat(|| timed(|| f.call(array.clone()).map(drop)))?)
        }
        ("batch", _) => workloads::digits(run, x),
        (_, "product") => {
            let matrix = |seed| data::array(seed, &[1024, 1024], 1.0);
            let (a, b) = (matrix(1), matrix(2));
            let f = compile(|(a, b): (Value, Value)| a.matmul(b));
            report(repeat(|| {
                timed(|| f.call((a.clone(), b.clone())).map(drop))
            })?)
        }
        _ => workloads::run(what, run),
    }
}

/// The cost of a chain of `n` operations on numbers.
fn nodes(what: &str, n: usize) -> Result<Times> {
    let w = Parameter::new(0.5);
    let x = w.value();
    let mut extra = 0;
    match what {
        "record" => repeat(|| {
            let start = Instant::now();
            let y = scalars(&x, n);
            let time = start.elapsed().as_secs_f64();
            drop(y);
            Ok(time)
        }),
        // A graph that is longer each time: no Program for it is kept.
        "compile" => repeat(|| {
            extra += 4;
            let y = scalars(&x, n + extra);
            timed(|| y.item().map(drop))
        }),
        "backward" => repeat(|| {
            let y = scalars(&x, n);
            timed(|| y.backward().map(drop))
        }),
        _ => {
            let f = compile(|x: Value| scalars(&x, n));
            repeat(|| timed(|| f.call(x.clone()).map(drop)))
        }
    }
}

/// What several runs took, in seconds.
struct Times {
    min: f64,
    median: f64,
    runs: usize,
    /// Pages of memory that the system gave to each.
    faults: f64,
    /// Megabytes at the most, by the end of the first run: later ones may leave more behind.
    peak: f64,
}

fn timed(f: impl FnOnce() -> Result<()>) -> Result<f64> {
    let start = Instant::now();
    f()?;
    Ok(start.elapsed().as_secs_f64())
}

/// Runs `f`, which gives a time, until the times say enough. The first two are not counted.
fn repeat(mut f: impl FnMut() -> Result<f64>) -> Result<Times> {
    let (mut times, mut total) = (Vec::new(), 0.0);
    f()?;
    let peak = megabytes("VmHWM:");
    f()?;
    let before = page_faults();
    while times.len() < 5 || (total < 0.5 && times.len() < 2000) {
        let time = f()?;
        total += time;
        times.push(time);
    }
    let faults = (page_faults() - before) / times.len() as f64;
    times.sort_by(f64::total_cmp);
    Ok(Times {
        min: times[0],
        median: times[times.len() / 2],
        runs: times.len(),
        faults,
        peak,
    })
}

/// Pages that this process was given until now (0 where the system does not say).
fn page_faults() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name, in brackets, may have spaces; the count is the eighth field after it.
    let field = stat
        .rsplit(')')
        .next()
        .and_then(|s| s.split_whitespace().nth(7));
    field.and_then(|f| f.parse().ok()).unwrap_or(0.0)
}
