//! `toygrad`: trains neural networks from the command line.
//!
//! Exit codes: 0 done, 1 something failed, 2 the arguments make no sense, 130 interrupted (what
//! was learned until then is saved).

mod args;
mod console;
mod failure;
mod folder;
mod inspect;
mod model;
mod picture;
mod problem;
mod report;
mod train;
mod using;

use args::{Cli, Command};
use clap::Parser;
use failure::Result;
use std::io::Write;
use std::process::ExitCode;

/// How a command ended that did not fail.
enum Outcome {
    /// As it should.
    Done,
    /// By Ctrl-C; what there was is saved.
    Interrupted,
}

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Interrupted) => ExitCode::from(130),
        Err(failure) => failure.report(),
    }
}

fn run(cli: Cli) -> Result<Outcome> {
    match cli.command {
        None => train::run(cli.train),
        Some(Command::Train(settings)) => train::run(*settings),
        Some(Command::Predict(arguments)) => using::predict(&arguments),
        Some(Command::Evaluate(arguments)) => using::evaluate(&arguments),
        Some(Command::Export(arguments)) => inspect::export(&arguments),
        Some(Command::Info(arguments)) => inspect::info(&arguments),
        Some(Command::Graph(arguments)) => inspect::graph(&arguments),
    }
}

/// Writes to standard output. Whoever reads may have left (`| head`): that is no fault.
fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
