//! What is to be learned: the data, split, and what it means.

use crate::args::{Kind, ModelKind, Train};
use crate::failure::{Failure, Result, require};
use crate::model::{Architecture, Card, Input};
use std::path::Path;
use toygrad::data::{self, Arrays, Dataset, ImageFolder, Method, Scaler, Text};
use toygrad::io::{self, Characters, Features, ImageOptions, Table, Target, Task};
use toygrad::prelude::*;

/// A learning problem.
pub struct Problem {
    /// A short name, for the folder.
    pub name: String,
    /// What it is, in words.
    pub title: String,
    /// What to learn from.
    pub train: Source,
    /// What to watch for early stopping.
    pub validation: Option<Arrays>,
    /// What to test on.
    pub test: Arrays,
    /// Classes or numbers; none of text.
    pub target: Option<Target>,
    /// The model for it.
    pub card: Card,
}

/// Where batches come from.
#[derive(Clone)]
pub enum Source {
    /// Samples with answers.
    Arrays(Arrays),
    /// Windows of a text.
    Text(Text),
}

impl Dataset for Source {
    type Batch = (Value, Value);
    fn len(&self) -> usize {
        match self {
            Source::Arrays(data) => data.len(),
            Source::Text(data) => data.len(),
        }
    }
    fn batch(&self, indices: &[usize]) -> toygrad::Result<(Value, Value)> {
        match self {
            Source::Arrays(data) => data.batch(indices),
            Source::Text(data) => data.batch(indices),
        }
    }
}

impl Problem {
    /// Reads and splits the data; says in the settings what was not said in the arguments.
    pub fn load(settings: &mut Train) -> Result<Problem> {
        match (settings.files.data.clone(), settings.problem.text.clone()) {
            (None, Some(path)) => text(settings, &path),
            (Some(path), _) if settings.problem.resize.is_some() && !path.is_dir() => {
                let message = format!("--resize is for folders of images, not {}", path.display());
                Err(Failure::Usage(message))
            }
            (Some(path), _) => match settings.files.labels.clone() {
                None if path.is_dir() => folder(settings, &path),
                Some(labels) => images(settings, &path, &labels),
                None => table(settings, &path),
            },
            (None, None) => digits(settings),
        }
    }
}

/// Fills in what was not said.
fn defaults(settings: &mut Train, epochs: u64, batch: usize, rate: f64, hidden: &[usize]) {
    settings.steps.epochs.get_or_insert(epochs);
    settings.steps.batch.get_or_insert(batch);
    settings.steps.rate.get_or_insert(rate);
    if settings.shape.hidden.is_empty() {
        settings.shape.hidden = hidden.to_vec();
    }
}

fn name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let name = name.split('.').next().unwrap_or_default();
    let plain = |c: char| {
        if c.is_alphanumeric() || c == '_' {
            c
        } else {
            '-'
        }
    };
    let name: String = name.chars().map(plain).take(40).collect();
    if name.is_empty() { "run".into() } else { name }
}

fn digits(settings: &mut Train) -> Result<Problem> {
    defaults(settings, 30, 32, 0.003, &[256, 128]);
    let (images, labels) = data::digits()?;
    let parts = split(settings, &Arrays::new(images, labels)?, true)?;
    let target = Target {
        name: "digit".into(),
        task: Task::Classification((0..10).map(|i| i.to_string()).collect()),
    };
    let card = Card {
        architecture: architecture(settings, &[8, 8], 10, 1.0)?,
        input: Input::Digits,
        target: Some(target.to_json()),
        scale: None,
    };
    Ok(parts.problem("digits".into(), "handwritten digits".into(), target, card))
}

fn images(settings: &mut Train, path: &Path, labels: &Path) -> Result<Problem> {
    defaults(settings, 10, 32, 0.003, &[256, 128]);
    let (x, y) = read_images(path, labels)?;
    let shape = x.shape()[1..].to_vec();
    let classes = 1 + y.to_vec::<i64>()?.into_iter().max().unwrap_or(0);
    require(
        classes >= 2,
        format!("{}: all labels are 0", labels.display()),
    )?;
    let parts = split(settings, &Arrays::new(&x, &y)?, true)?;
    let target = Target {
        name: "label".into(),
        task: Task::Classification((0..classes).map(|i| i.to_string()).collect()),
    };
    let card = Card {
        architecture: architecture(settings, &shape, classes as usize, 1.0 / 255.0)?,
        input: Input::Images { shape },
        target: Some(target.to_json()),
        scale: None,
    };
    Ok(parts.problem(
        name(path),
        format!("images of {}", path.display()),
        target,
        card,
    ))
}

/// Images in folders of their classes.
fn folder(settings: &mut Train, path: &Path) -> Result<Problem> {
    defaults(settings, 10, 32, 0.003, &[256, 128]);
    let options = ImageOptions {
        grey: false,
        size: settings.problem.resize.map(|n| [n, n]),
    };
    let (files, x, y) = read_folder(path, options)?;
    let classes = files.classes().to_vec();
    if classes.len() < 2 {
        let message = format!("has 1 class, {}; at least 2 are wanted", classes[0]);
        return Err(Error::file(path, None, message).into());
    }
    // Where all images are grey, one channel has all there is to know.
    let first = x.narrow(1, 0, 1);
    let x = match x.eq(&first).all().item()? == 1.0 {
        true => first,
        false => x,
    };
    let shape = [x.shape()[1], x.shape()[2], x.shape()[3]];
    let parts = split(settings, &Arrays::new(&x, &y)?, true)?;
    let outputs = classes.len();
    let target = Target {
        name: "class".into(),
        task: Task::Classification(classes),
    };
    let card = Card {
        architecture: architecture(settings, &shape, outputs, 1.0 / 255.0)?,
        input: Input::Folder {
            shape,
            resize: settings.problem.resize.is_some(),
        },
        target: Some(target.to_json()),
        scale: None,
    };
    Ok(parts.problem(
        name(path),
        format!("images in {}", path.display()),
        target,
        card,
    ))
}

/// All images of a folder (u8 `[n, channels, height, width]`) and their classes (i64 `[n]`).
pub fn read_folder(path: &Path, options: ImageOptions) -> Result<(ImageFolder, Value, Value)> {
    let files = ImageFolder::open(path, options)?;
    let all: Vec<usize> = (0..files.len()).collect();
    let (x, y) = files.batch(&all)?;
    Ok((files, x, y))
}

/// Images (u8 `[n, height, width]`) and labels (i64 `[n]`).
pub fn read_images(path: &Path, labels: &Path) -> Result<(Value, Value)> {
    let (x, y) = (io::read_idx(path)?, io::read_idx(labels)?);
    check_images(path, &x)?;
    if y.rank() != 1 || y.shape()[0] != x.shape()[0] || y.dtype() != DType::U8 {
        let message = format!(
            "labels {} {} for images {}: one byte each is wanted",
            y.shape(),
            y.dtype(),
            x.shape()
        );
        return Err(Error::file(labels, None, message).into());
    }
    let y = y.cast(DType::I64);
    y.evaluate()?;
    Ok((x, y))
}

/// That they are images.
pub fn check_images(path: &Path, x: &Value) -> Result<()> {
    match x.rank() == 3 && x.dtype() == DType::U8 && x.elements() > 0 {
        true => Ok(()),
        false => {
            let message = format!(
                "images are bytes [n, height, width], not {} {}",
                x.shape(),
                x.dtype()
            );
            Err(Error::file(path, None, message).into())
        }
    }
}

fn table(settings: &mut Train, path: &Path) -> Result<Problem> {
    defaults(settings, 100, 32, 0.003, &[64, 64]);
    require(
        settings.shape.model.is_none_or(|m| m == ModelKind::Mlp),
        "a table is learned by --model mlp",
    )?;
    let mut table = io::read_csv(path)?;
    if settings.problem.drop_missing {
        table = table.without_missing();
    }
    let last = table.columns.last().map(|c| c.name.clone());
    let column = settings.problem.target.clone().or(last).unwrap_or_default();
    settings.problem.target = Some(column.clone());
    let classes = settings
        .problem
        .task
        .map(|kind| kind == Kind::Classification);
    let target = Target::of(&table, &column, classes)?;
    settings.problem.task = Some(match target.task {
        Task::Classification(_) => Kind::Classification,
        Task::Regression => Kind::Regression,
    });
    let mut except: Vec<&str> = settings.problem.drop.iter().map(|c| &c[..]).collect();
    except.push(&column);
    let features = Features::of(&table, &except)?;
    let all = Arrays::new(features.encode(&table)?, target.encode(&table)?)?;
    let mut parts = split(settings, &all, target.task != Task::Regression)?;

    // What is learned of the data is learned of the training part alone.
    let scaler = Scaler::fit(&parts.train.inputs()?, Method::Standard)?;
    let scale = match target.task {
        Task::Regression => {
            let scaler = Scaler::fit(&parts.train.targets()?, Method::Standard)?;
            Some((scaler.shift()[0], scaler.factor()[0].recip()))
        }
        Task::Classification(_) => None,
    };
    parts.each(|part| {
        let (x, y) = (part.inputs()?, part.targets()?);
        let y = match scale {
            Some((mean, deviation)) => (y - mean) / deviation,
            None => y,
        };
        Ok(Arrays::new(scaler.apply(&x), y)?)
    })?;
    let title = match &target.task {
        Task::Classification(classes) => {
            format!(
                "{}: {column}, one of {} classes",
                path.display(),
                classes.len()
            )
        }
        Task::Regression => format!("{}: {column}, a number", path.display()),
    };
    let outputs = outputs(&target);
    let card = Card {
        architecture: architecture(settings, &[features.names().len()], outputs, 1.0)?,
        input: Input::Table {
            features: features.to_json(),
            shift: scaler.shift().to_vec(),
            factor: scaler.factor().to_vec(),
        },
        target: Some(target.to_json()),
        scale,
    };
    Ok(parts.problem(name(path), title, target, card))
}

/// Reads a table for a model that is there: its features, scaled.
pub fn encode(table: &Table, features: &Features, scaler: &Scaler) -> Result<Value> {
    let x = scaler.apply(&features.encode(table)?);
    x.evaluate()?;
    Ok(x)
}

fn outputs(target: &Target) -> usize {
    match &target.task {
        Task::Classification(classes) => classes.len(),
        Task::Regression => 1,
    }
}

fn text(settings: &mut Train, path: &Path) -> Result<Problem> {
    defaults(settings, 10, 12, 0.001, &[256, 128]);
    settings.steps.steps.get_or_insert(200);
    let (context, width, heads) = (
        settings.shape.context,
        settings.shape.width,
        settings.shape.heads,
    );
    require(
        settings.shape.model.is_none_or(|m| m == ModelKind::Gpt),
        "text is learned by --model gpt",
    )?;
    require(
        context > 0 && settings.shape.layers > 0 && width > 0 && heads > 0 && width % heads == 0,
        "--context, --layers, --width and --heads must be at least 1, and the heads divide the width",
    )?;
    require(
        context <= 1 << 16 && settings.shape.layers <= 1 << 10 && width <= 1 << 16,
        "--context, --layers or --width is too large",
    )?;
    let content = io::read_text(path)?;
    let characters = Characters::of(&content);
    let tokens = characters.encode(&content)?;
    let share = settings.problem.test.unwrap_or(0.1);
    settings.problem.test = Some(share);
    check_share(share)?;
    let cut = tokens.len() - (tokens.len() as f64 * share) as usize;
    let (learn, rest) = tokens.split_at(cut);
    let (train, rest) = (
        Text::new(learn.to_vec(), context),
        Text::new(rest.to_vec(), context),
    );
    if train.is_empty() || rest.is_empty() {
        let message = format!(
            "{} characters are too few for a context of {context}; say a smaller --context",
            tokens.len()
        );
        return Err(Error::file(path, None, message).into());
    }
    let windows: Vec<usize> = (0..rest.len()).step_by(context).collect();
    let (x, y) = rest.batch(&windows)?;
    let card = Card {
        architecture: Architecture::Gpt {
            vocabulary: characters.alphabet().len(),
            context,
            layers: settings.shape.layers,
            heads,
            width,
        },
        input: Input::Text {
            alphabet: characters.alphabet().iter().collect(),
        },
        target: None,
        scale: None,
    };
    Ok(Problem {
        name: name(path),
        title: format!("{}, the next character", path.display()),
        train: Source::Text(train),
        validation: None,
        test: Arrays::new(x, y)?,
        target: None,
        card,
    })
}

/// The parts of the data.
struct Parts {
    train: Arrays,
    validation: Option<Arrays>,
    test: Arrays,
}

impl Parts {
    fn each(&mut self, f: impl Fn(&Arrays) -> Result<Arrays>) -> Result<()> {
        self.train = f(&self.train)?;
        self.test = f(&self.test)?;
        self.validation = self.validation.as_ref().map(f).transpose()?;
        Ok(())
    }

    fn problem(self, name: String, title: String, target: Target, card: Card) -> Problem {
        Problem {
            name,
            title,
            train: Source::Arrays(self.train),
            validation: self.validation,
            test: self.test,
            target: Some(target),
            card,
        }
    }
}

fn check_share(share: f64) -> Result<()> {
    require(share > 0.0 && share < 1.0, "--test must be between 0 and 1")
}

fn split(settings: &mut Train, all: &Arrays, classes: bool) -> Result<Parts> {
    let share = *settings.problem.test.get_or_insert(0.2);
    check_share(share)?;
    let cut = |all: &Arrays, share: f64| -> toygrad::Result<(Arrays, Arrays)> {
        match (settings.problem.in_order, classes) {
            (true, _) => {
                let at = all.len() - (all.len() as f64 * share).round() as usize;
                let order: Vec<usize> = (0..all.len()).collect();
                Ok((all.select(&order[..at])?, all.select(&order[at..])?))
            }
            (false, true) => data::stratified_split(all, share, settings.steps.seed),
            (false, false) => data::split(all, share, settings.steps.seed),
        }
    };
    let (mut train, test) = cut(all, share)?;
    let mut validation = None;
    if settings.steps.patience.is_some() {
        let (rest, part) = cut(&train, 0.1)?;
        (train, validation) = (rest, Some(part));
    }
    require(
        !train.is_empty() && !test.is_empty(),
        format!(
            "--test {share} of {} samples leaves a part empty",
            all.len()
        ),
    )?;
    Ok(Parts {
        train,
        validation,
        test,
    })
}

fn architecture(
    settings: &Train,
    shape: &[usize],
    outputs: usize,
    scale: f64,
) -> Result<Architecture> {
    match (settings.shape.model.unwrap_or(ModelKind::Mlp), shape) {
        (ModelKind::Mlp, _) => {
            require(
                settings.shape.hidden.iter().all(|&n| n > 0 && n <= 1 << 20),
                "--hidden: widths are at least 1, at most 1048576",
            )?;
            let features = shape.iter().product();
            let sizes = [&[features], &settings.shape.hidden[..], &[outputs]].concat();
            Ok(Architecture::Mlp { sizes, scale })
        }
        (ModelKind::Cnn, &[ref channels @ .., height, width])
            if height >= 4 && width >= 4 && channels.len() < 2 =>
        {
            Ok(Architecture::Cnn {
                channels: channels.first().copied().unwrap_or(1),
                height,
                width,
                outputs,
                scale,
            })
        }
        (ModelKind::Cnn, _) => {
            let message =
                format!("--model cnn wants images of at least 4 by 4 pixels, not {shape:?}");
            Err(Failure::Usage(message))
        }
        (ModelKind::Gpt, _) => {
            let message = "--model gpt wants --text";
            Err(Failure::Usage(message.into()))
        }
    }
}
