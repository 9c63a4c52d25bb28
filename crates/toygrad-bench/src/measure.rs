//! Times steps and prints a JSON object a line, as the programs of the peers do.

use std::time::Instant;
use toygrad::{Compiled, Result, Tree};

/// How a workload is run.
#[derive(Clone, Copy, PartialEq)]
pub enum Style {
    /// The whole step as one program: `compile(f)`.
    Compiled,
    /// Only recorded and compiled, as text.
    Listed,
    /// `backward` and the optimiser's `step`, recorded afresh each time.
    StepByStep,
}

impl Style {
    /// The name in the output.
    pub fn peer(self) -> &'static str {
        match self {
            Style::Compiled => "toygrad",
            Style::Listed => "toygrad-listing",
            Style::StepByStep => "toygrad-step",
        }
    }
}

/// Is given a workload's name and its step: one whole training step that gives the loss.
pub type Watch<'a> = &'a dyn Fn(Style, &str, &dyn Fn() -> Result<f64>) -> Result<()>;

/// How a workload is run, and what becomes of its steps.
#[derive(Clone, Copy)]
pub struct Run<'a> {
    pub style: Style,
    pub watch: Watch<'a>,
}

impl Run<'_> {
    /// Measures a step, which gives its loss.
    pub fn measure(self, workload: &str, step: impl Fn() -> Result<f64>) -> Result<()> {
        (self.watch)(self.style, workload, &step)
    }

    /// Measures calls of a compiled step, or its listing; `read` finds the loss.
    pub fn compiled<A: Tree + Clone, R: Tree, F: Fn(A) -> R>(
        self,
        workload: &str,
        step: Compiled<A, R, F>,
        arguments: A,
        read: impl Fn(R) -> Result<f64>,
    ) -> Result<()> {
        let listing = || step.listing(arguments.clone());
        if std::env::var_os("BENCH_LISTING").is_some() {
            eprintln!("{}", listing()?);
        }
        match self.style {
            Style::Listed => self.measure(workload, || Ok(listing()?.len() as f64)),
            _ => self.measure(workload, || read(step.call(arguments.clone())?)),
        }
    }
}

/// Steps before the clock starts.
const WARM_UP: usize = 5;
const MIN_STEPS: usize = 30;
const MIN_SECONDS: f64 = 2.0;

fn max_steps(workload: &str) -> usize {
    match workload {
        "W1" => 5000,
        "W2" => 300,
        "W6" => 2000,
        _ => 100,
    }
}

/// Runs `step` until its times say enough, and prints them.
pub fn time(style: Style, workload: &str, step: &dyn Fn() -> Result<f64>) -> Result<()> {
    let timed = || -> Result<(f64, f64)> {
        let start = Instant::now();
        let loss = step()?;
        Ok((start.elapsed().as_secs_f64(), loss))
    };
    let (mut times, mut losses) = (Vec::new(), Vec::new());
    let mut total = 0.0;
    let enough =
        |n: usize, total: f64| n >= MIN_STEPS && (total >= MIN_SECONDS || n >= max_steps(workload));
    while times.len() < WARM_UP || !enough(times.len() - WARM_UP, total) {
        let (time, loss) = timed()?;
        if times.len() >= WARM_UP {
            total += time;
        }
        times.push(time);
        losses.push(loss);
    }
    let first = times[0];
    let times = &mut times[WARM_UP..];
    times.sort_by(f64::total_cmp);
    println!(
        "{{\"peer\": \"{}\", \"workload\": \"{workload}\", \"threads\": {}, \"median_us\": {:.3}, \
         \"min_us\": {:.3}, \"steps\": {}, \"peak_rss_mb\": {:.1}, \"version\": \"{}\", \
         \"first_step_s\": {first:.4}, \"loss0\": {}, \"loss10\": {}, \"loss_last\": {}}}",
        style.peer(),
        toygrad::num_threads(),
        times[times.len() / 2] * 1e6,
        times[0] * 1e6,
        times.len(),
        megabytes("VmHWM:"),
        env!("CARGO_PKG_VERSION"),
        losses[0],
        losses[10],
        losses[losses.len() - 1],
    );
    Ok(())
}

/// A line of what the system says of this process's memory: `VmRSS:` is what it holds, `VmHWM:`
/// the most that it has held (0 where the system does not say).
pub fn megabytes(name: &str) -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix(name));
    let kilobytes = line.and_then(|l| l.split_whitespace().next()?.parse::<f64>().ok());
    kilobytes.unwrap_or(0.0) / 1024.0
}
