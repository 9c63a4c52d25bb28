//! What can be said on the command line.

use clap::{Args, Parser, Subcommand};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Trains neural networks. With no argument: a multilayer perceptron on handwritten digits.
#[derive(Parser)]
#[command(name = "toygrad", version, args_conflicts_with_subcommands = true)]
#[command(after_help = "\
Examples:
  toygrad                                            learn to read handwritten digits
  toygrad --epochs 5 --seed 1 --json                 the same, shorter, for a machine
  toygrad train --data wine.csv --target class       learn from a table

Exit codes: 0 done, 1 something failed, 2 wrong arguments, 130 interrupted (and saved).")]
pub struct Cli {
    /// What to do; `train` if nothing is said.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// The arguments of `train`.
    #[command(flatten)]
    pub train: Train,
}

/// What to do.
#[derive(Subcommand)]
pub enum Command {
    /// Train a model, and save it with its settings, metrics and pictures in a folder
    Train(Train),
}

/// Settings of a training run; kept in its folder as `settings.json`.
#[derive(Args, Clone, Debug, Serialize, Deserialize)]
#[command(after_help = "\
Examples:
  toygrad train --data wine.csv --target class --hidden 64,64 --epochs 50
  toygrad train --resume runs/digits-1")]
pub struct Train {
    /// Width of each hidden layer, separated by commas
    #[arg(long, value_delimiter = ',', value_name = "WIDTHS", default_values_t = [256, 128])]
    pub hidden: Vec<usize>,

    /// How often to go through the data
    #[arg(long, value_name = "N", default_value_t = 30)]
    pub epochs: u64,

    /// Samples in a step
    #[arg(long, value_name = "N", default_value_t = 32)]
    pub batch: usize,

    /// Learning rate at the beginning; it falls to 0 along a cosine
    #[arg(
        long,
        value_name = "RATE",
        default_value_t = 0.003,
        allow_negative_numbers = true
    )]
    pub rate: f64,

    /// Decay of the weights (AdamW)
    #[arg(
        long,
        value_name = "DECAY",
        default_value_t = 0.05,
        allow_negative_numbers = true
    )]
    pub decay: f64,

    /// Seed of the split, the first weights, the order of samples
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    pub seed: u64,

    /// Share of the samples to test on
    #[arg(
        long,
        value_name = "SHARE",
        default_value_t = 0.2,
        allow_negative_numbers = true
    )]
    pub test: f64,

    /// Folder of the run [default: a new one in runs/]
    #[arg(long, value_name = "FOLDER")]
    #[serde(skip)]
    pub out: Option<PathBuf>,

    /// Go on with an interrupted run, by its folder; other settings are those of the run
    #[arg(long, value_name = "FOLDER", conflicts_with = "out")]
    #[serde(skip)]
    pub resume: Option<PathBuf>,

    /// Threads to compute with [default: all cores]; the results are the same
    #[arg(long, value_name = "N")]
    #[serde(skip)]
    pub threads: Option<usize>,

    /// Write one JSON object a line, and nothing else, to standard output
    #[arg(long)]
    #[serde(skip)]
    pub json: bool,

    /// Write nothing but errors
    #[arg(long, short, conflicts_with = "json")]
    #[serde(skip)]
    pub quiet: bool,
}
