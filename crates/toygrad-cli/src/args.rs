//! What can be said on the command line.

use clap::{Args, Parser, Subcommand, ValueEnum};
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
  toygrad predict runs/wine-1 --data new.csv         use what was learned
  toygrad info runs/wine-1                           what is in a model

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
    Train(Box<Train>),
    /// Say what a model predicts: for the rows of a table, for images, or a text that goes on
    Predict(Predict),
    /// Say how good a model is on data whose answers are known
    Evaluate(Evaluate),
    /// Write a model in another format, for other programs
    Export(Export),
    /// Say what is in a file of weights or arrays
    Info(Info),
    /// Print the computation of a model
    Graph(Graph),
}

/// Settings of a training run; kept in its folder as `settings.json`.
#[derive(Args, Clone, Debug, Serialize, Deserialize)]
#[command(after_help = "\
Examples:
  toygrad train --data wine.csv --target class --hidden 64,64 --epochs 50
  toygrad train --data t10k-images-idx3-ubyte.gz --labels t10k-labels-idx1-ubyte.gz --model cnn
  toygrad train --data pets --resize 64 --model cnn         (pets/cat/1.png, pets/dog/1.jpg, ...)
  toygrad train --text tinyshakespeare.txt --model gpt
  toygrad train --resume runs/digits-1")]
pub struct Train {
    /// Threads to compute with [default: all cores]; the results are the same
    #[arg(long, value_name = "N")]
    #[serde(skip)]
    pub threads: Option<usize>,

    /// Files to learn from.
    #[command(flatten)]
    #[serde(flatten)]
    pub files: Files,

    /// What is to be learned.
    #[command(flatten)]
    #[serde(flatten)]
    pub problem: Problem,

    /// What learns it.
    #[command(flatten)]
    #[serde(flatten)]
    pub shape: Shape,

    /// How it learns.
    #[command(flatten)]
    #[serde(flatten)]
    pub steps: Steps,

    /// Where results go.
    #[command(flatten)]
    #[serde(flatten)]
    pub output: Output,
}

/// Files to learn from, or to evaluate on.
#[derive(Args, Clone, Debug, Serialize, Deserialize)]
#[command(next_help_heading = "Data")]
pub struct Files {
    /// Table (CSV, also .gz), images (IDX, also .gz), or folder of images (PNG, JPEG) in a folder for
    /// each class [default: handwritten digits; to evaluate, what the run tests on]
    #[arg(long, value_name = "FILE")]
    pub data: Option<PathBuf>,

    /// Labels of the images (IDX, also .gz)
    #[arg(long, value_name = "FILE", requires = "data")]
    pub labels: Option<PathBuf>,
}

/// What is to be learned of them.
#[derive(Args, Clone, Debug, Serialize, Deserialize)]
#[command(next_help_heading = "Data")]
pub struct Problem {
    /// Height and width that the images of a folder are brought to [default: all have one size]
    #[arg(long, value_name = "PIXELS", requires = "data")]
    #[serde(default)]
    pub resize: Option<usize>,

    /// Text to learn from, character by character
    #[arg(long, value_name = "FILE", conflicts_with = "data")]
    pub text: Option<PathBuf>,

    /// Column of the table to predict [default: the last]
    #[arg(long, value_name = "COLUMN", requires = "data")]
    pub target: Option<String>,

    /// Whether the target is one of several classes or a number [default: found out]
    #[arg(long, requires = "data")]
    pub task: Option<Kind>,

    /// Columns to leave out, separated by commas
    #[arg(long, value_delimiter = ',', value_name = "COLUMNS", requires = "data")]
    #[serde(default)]
    pub drop: Vec<String>,

    /// Leave out rows where a value is missing
    #[arg(long, requires = "data")]
    #[serde(default)]
    pub drop_missing: bool,

    /// Share of the samples to test on [default: 0.2, of text 0.1]
    #[arg(long, value_name = "SHARE", allow_negative_numbers = true)]
    pub test: Option<f64>,

    /// Test on the last part of the data instead of a random one
    #[arg(long)]
    #[serde(default)]
    pub in_order: bool,
}

/// What learns it.
#[derive(Args, Clone, Debug, Serialize, Deserialize)]
#[command(next_help_heading = "Model")]
pub struct Shape {
    /// Which model [default: mlp, of text gpt]
    #[arg(long)]
    pub model: Option<ModelKind>,

    /// Width of each hidden layer of an mlp, separated by commas [default: 256,128, of a table 64,64]
    #[arg(long, value_delimiter = ',', value_name = "WIDTHS")]
    #[serde(default)]
    pub hidden: Vec<usize>,

    /// Layers of a gpt
    #[arg(long, value_name = "N", default_value_t = 4)]
    pub layers: usize,

    /// Attention heads of a gpt
    #[arg(long, value_name = "N", default_value_t = 4)]
    pub heads: usize,

    /// Width of a gpt
    #[arg(long, value_name = "N", default_value_t = 128)]
    pub width: usize,

    /// Characters that a gpt sees
    #[arg(long, value_name = "N", default_value_t = 64)]
    pub context: usize,
}

/// How it learns.
#[derive(Args, Clone, Debug, Serialize, Deserialize)]
#[command(next_help_heading = "Training")]
pub struct Steps {
    /// How often to go through the data; of text, how many parts the steps come in
    /// [default: 30, of a table 100, of images 10, of text 10]
    #[arg(long, value_name = "N")]
    pub epochs: Option<u64>,

    /// Steps in an epoch, at most [default: all of the data, of text 200]
    #[arg(long, value_name = "N")]
    pub steps: Option<usize>,

    /// Samples in a step [default: 32, of text 12]
    #[arg(long, value_name = "N")]
    pub batch: Option<usize>,

    /// Highest learning rate; it falls to 0 along a cosine [default: 0.003, of text 0.001]
    #[arg(long, value_name = "RATE", allow_negative_numbers = true)]
    pub rate: Option<f64>,

    /// Decay of the weights (AdamW)
    #[arg(
        long,
        value_name = "DECAY",
        default_value_t = 0.05,
        allow_negative_numbers = true
    )]
    pub decay: f64,

    /// Stop when the loss on a part of the training data has not fallen for N epochs
    #[arg(long, value_name = "N")]
    pub patience: Option<u64>,

    /// Seed of the split, the first weights, the order of samples
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    pub seed: u64,
}

/// Where results go.
#[derive(Args, Clone, Debug, Serialize, Deserialize)]
#[command(next_help_heading = "Output")]
pub struct Output {
    /// Folder of the run [default: a new one in runs/]
    #[arg(long, value_name = "FOLDER")]
    #[serde(skip)]
    pub out: Option<PathBuf>,

    /// Go on with an interrupted run, by its folder; other settings are those of the run
    #[arg(long, value_name = "FOLDER", conflicts_with = "out")]
    #[serde(skip)]
    pub resume: Option<PathBuf>,

    /// Seconds between checkpoints within a run
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    #[serde(skip)]
    pub save_every: u64,

    /// Write an event file for TensorBoard into the folder
    #[arg(long)]
    #[serde(default)]
    pub tensorboard: bool,

    /// Write one JSON object a line, and nothing else, to standard output
    #[arg(long)]
    #[serde(skip)]
    pub json: bool,

    /// Write nothing but errors
    #[arg(long, short, conflicts_with = "json")]
    #[serde(skip)]
    pub quiet: bool,
}

/// What a target is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// One of several classes
    Classification,
    /// A number
    Regression,
}

/// Which model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ModelKind {
    /// Multilayer perceptron
    Mlp,
    /// Convolutional network, for images
    Cnn,
    /// Transformer, for text
    Gpt,
}

/// Arguments of `predict`.
#[derive(Args)]
#[command(after_help = "\
Examples:
  toygrad predict runs/wine-1 --data new.csv > predictions.csv
  toygrad predict runs/shakespeare-1 --prompt 'ROMEO:' --length 500")]
pub struct Predict {
    /// Folder of a run, or its model.safetensors
    pub run: PathBuf,

    /// Table, images or folder of images to predict; the answers are written to standard output as CSV
    #[arg(long, value_name = "FILE", conflicts_with = "prompt")]
    pub data: Option<PathBuf>,

    /// Text to go on with
    #[arg(long, value_name = "TEXT")]
    pub prompt: Option<String>,

    /// Characters to write
    #[arg(long, value_name = "N", default_value_t = 300)]
    pub length: usize,

    /// How far from the likeliest character to stray; 0 does not
    #[arg(
        long,
        value_name = "T",
        default_value_t = 0.8,
        allow_negative_numbers = true
    )]
    pub temperature: f64,

    /// Seed of the characters drawn
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    pub seed: u64,
}

/// Arguments of `evaluate`.
#[derive(Args)]
#[command(after_help = "\
Examples:
  toygrad evaluate runs/digits-1                     on the test part of the run's data
  toygrad evaluate runs/wine-1 --data more.csv --json")]
pub struct Evaluate {
    /// Folder of a run
    pub run: PathBuf,

    /// Write one JSON object
    #[arg(long)]
    pub json: bool,

    /// With answers; none are those that the run tests on.
    #[command(flatten)]
    pub files: Files,
}

/// Arguments of `export`.
#[derive(Args)]
#[command(after_help = "\
Examples:
  toygrad export runs/digits-1 digits.safetensors    for torch: safetensors.torch.load_file
  toygrad export runs/digits-1 digits.npz            for NumPy
  toygrad export runs/digits-1 digits.onnx           for ONNX Runtime and others: weights and graph")]
pub struct Export {
    /// Folder of a run, or its model.safetensors
    pub run: PathBuf,
    /// File to write; its ending says the format: .safetensors, .npz or .onnx
    pub file: PathBuf,
}

/// Arguments of `info`.
#[derive(Args)]
#[command(after_help = "\
Examples:
  toygrad info runs/digits-1
  toygrad info weights.safetensors --json")]
pub struct Info {
    /// Folder of a run, or a file: .safetensors, .npz, .npy
    pub file: PathBuf,
    /// Write one JSON object
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `graph`.
#[derive(Args)]
#[command(after_help = "\
Examples:
  toygrad graph runs/digits-1
  toygrad graph runs/digits-1 --svg > graph.svg
  toygrad graph runs/digits-1 --dot | dot -Tpdf > graph.pdf")]
pub struct Graph {
    /// Folder of a run, or its model.safetensors
    pub run: PathBuf,
    /// As DOT, which Graphviz draws
    #[arg(long, conflicts_with = "svg")]
    pub dot: bool,
    /// As an SVG picture
    #[arg(long)]
    pub svg: bool,
}
