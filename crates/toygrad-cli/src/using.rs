//! `toygrad predict` and `toygrad evaluate`: what a model is for.

use crate::args::{Evaluate, Predict};
use crate::failure::{Failure, Result, require};
use crate::model::{self, Card, Input, Model};
use crate::problem::{self, Problem};
use crate::train;
use crate::{Outcome, print};
use serde_json::{Map, json};
use std::path::Path;
use toygrad::data::ImageFolder;
use toygrad::io::{self, Characters, ImageOptions, Table, Target, Task};
use toygrad::prelude::*;
use toygrad::train::metrics::Confusion;

/// Says what a model predicts.
pub fn predict(arguments: &Predict) -> Result<Outcome> {
    let (path, card, model) = model::load(&arguments.run)?;
    match (&card.input, &arguments.prompt, &arguments.data) {
        (Input::Text { alphabet }, Some(prompt), _) => go_on(arguments, alphabet, prompt, &model)?,
        (Input::Text { .. }, None, _) => {
            return usage("this is a language model: give it a --prompt");
        }
        (_, Some(_), _) => return usage("this is no language model: give it --data"),
        (_, None, None) => return usage("give it --data to predict"),
        (_, None, Some(data)) => {
            let (_, x) = read(&path, &card, data)?;
            let predictions = card.unscale(&model.predict(&x)?);
            match card.target(&path)? {
                Some(target) => print(&answers(&target, &predictions)?),
                None => return usage("this model has no target"),
            }
        }
    }
    Ok(Outcome::Done)
}

fn usage<T>(message: &str) -> Result<T> {
    Err(Failure::Usage(message.into()))
}

/// Inputs for a model, as it wants them, and the table where they are one.
fn read(path: &Path, card: &Card, data: &Path) -> Result<(Option<Table>, Value)> {
    match &card.input {
        Input::Table {
            features,
            shift,
            factor,
        } => {
            let (features, scaler) = model::table(path, features, shift, factor)?;
            let table = io::read_csv(data)?;
            let x = problem::encode(&table, &features, &scaler)?;
            Ok((Some(table), x))
        }
        Input::Images { shape } => {
            let x = io::read_idx(data)?;
            problem::check_images(data, &x)?;
            match x.shape()[1..] == shape[..] {
                true => Ok((None, x)),
                false => {
                    let message = format!(
                        "images of {:?} pixels; the model wants {shape:?}",
                        &x.shape()[1..]
                    );
                    Err(Error::file(data, None, message).into())
                }
            }
        }
        Input::Folder { shape, resize } => {
            let [channels, height, width] = *shape;
            let options = ImageOptions {
                grey: channels == 1,
                size: resize.then_some([height, width]),
            };
            let x = match data.is_dir() {
                true => problem::read_folder(data, options)?.1,
                false => io::read_image(data, &options)?.unsqueeze(0),
            };
            match x.shape()[1..] == shape[..] {
                true => Ok((None, x)),
                false => {
                    let message = format!(
                        "is {} by {} pixels; the model wants {height} by {width}",
                        x.shape()[2],
                        x.shape()[3]
                    );
                    Err(Error::file(data, None, message).into())
                }
            }
        }
        Input::Digits => {
            // Rows of 64 grey values 0..16, as in the UCI files; a label after them is not read.
            let table = io::read_csv(data)?;
            let mut x = Vec::new();
            for row in 0..table.rows() {
                for column in table.columns.iter().take(64) {
                    match &column.content {
                        io::Content::Numbers(numbers) => x.push(numbers[row] as f32 / 16.0),
                        io::Content::Categories { .. } => break,
                    }
                }
            }
            match x.len() == table.rows() * 64 {
                true => Ok((None, Value::from_vec(x, [table.rows(), 64]))),
                false => {
                    let message = "digits are rows of 64 grey values 0..16";
                    Err(Error::file(data, None, message).into())
                }
            }
        }
        Input::Text { .. } => usage("this is a language model: it reads no --data"),
    }
}

/// Predictions as CSV: the class and how likely it is, or the number.
fn answers(target: &Target, predictions: &Value) -> Result<String> {
    let field = |text: &str| match text.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.to_string(),
    };
    let mut out = field(&target.name);
    match &target.task {
        Task::Regression => {
            out.push('\n');
            for x in predictions.to_vec::<f64>()? {
                out += &format!("{x}\n");
            }
        }
        Task::Classification(classes) => {
            out += ",probability\n";
            let probabilities = predictions.softmax(-1).to_vec::<f64>()?;
            for row in probabilities.chunks_exact(classes.len().max(1)) {
                let best = (0..row.len()).max_by(|&a, &b| row[a].total_cmp(&row[b]));
                let best = best.unwrap_or(0);
                out += &format!("{},{:.4}\n", field(&classes[best]), row[best]);
            }
        }
    }
    Ok(out)
}

/// Goes on with a text, character by character.
fn go_on(arguments: &Predict, alphabet: &str, prompt: &str, model: &Model) -> Result<()> {
    let temperature = arguments.temperature;
    require(
        temperature >= 0.0 && temperature.is_finite(),
        "--temperature must be at least 0",
    )?;
    let Model::Gpt(model) = model else {
        return usage("this is no language model: give it --data");
    };
    let characters = Characters::of(alphabet);
    let tokens = characters.encode(if prompt.is_empty() { "\n" } else { prompt })?;
    manual_seed(arguments.seed);
    let draws = Value::rand_dtype([arguments.length], DType::F64).to_vec::<f64>()?;
    let mut draws = draws.into_iter();
    print(prompt);
    model.generate(&tokens, arguments.length, |scores| {
        let next = choose(scores, temperature, draws.next().unwrap_or(0.0));
        print(&characters.decode(&[next as i64]));
        next
    })?;
    print("\n");
    Ok(())
}

/// A position by softmax(scores / temperature), from a number in [0, 1); the highest at
/// temperature 0.
fn choose(scores: &[f64], temperature: f64, draw: f64) -> usize {
    let highest = (0..scores.len()).max_by(|&a, &b| scores[a].total_cmp(&scores[b]));
    let highest = highest.unwrap_or(0);
    if temperature == 0.0 {
        return highest;
    }
    let weight = |x: &f64| ((x - scores[highest]) / temperature).exp();
    let mut left = draw * scores.iter().map(weight).sum::<f64>();
    for (i, x) in scores.iter().enumerate() {
        left -= weight(x);
        if left < 0.0 {
            return i;
        }
    }
    highest
}

/// Says how good a model is.
pub fn evaluate(arguments: &Evaluate) -> Result<Outcome> {
    let (path, card, model) = model::load(&arguments.run)?;
    let target = card.target(&path)?;
    let (x, y) = match (&arguments.files.data, &card.input) {
        (None, _) => {
            let mut settings = train::saved_settings(&arguments.run)?;
            let test = Problem::load(&mut settings)?.test;
            (test.inputs()?, test.targets()?)
        }
        (Some(data), Input::Images { .. }) => {
            let Some(labels) = &arguments.files.labels else {
                return usage("images want --labels");
            };
            let (_, y) = problem::read_images(data, labels)?;
            (read(&path, &card, data)?.1, y)
        }
        (Some(data), Input::Folder { .. }) => {
            let classes = ImageFolder::open(data, ImageOptions::default())?;
            if target.as_ref().map(|t| &t.task)
                != Some(&Task::Classification(classes.classes().to_vec()))
            {
                let message = format!(
                    "has the classes {:?}, not those of the model",
                    classes.classes()
                );
                return Err(Error::file(data, None, message).into());
            }
            let y = classes.files().iter().map(|(_, class)| *class).collect();
            (read(&path, &card, data)?.1, y)
        }
        (Some(data), _) => {
            let (table, x) = read(&path, &card, data)?;
            let (Some(table), Some(target)) = (table, &target) else {
                return usage("this model is evaluated on the data of its run alone");
            };
            let y = target.encode(&table)?;
            let y = match card.scale {
                Some((mean, deviation)) => (y - mean) / deviation,
                None => y,
            };
            (x, y)
        }
    };
    let numbers = train::test(&card, target.as_ref(), &model, &x, &y)?;
    let classes = match target.as_ref().map(|t| &t.task) {
        Some(Task::Classification(classes)) => {
            Some((classes, Confusion::of(&model.predict(&x)?, &y)?))
        }
        _ => None,
    };
    print(&match arguments.json {
        true => as_json(x.shape()[0], &numbers, &classes),
        false => as_text(x.shape()[0], &numbers, &classes),
    });
    Ok(Outcome::Done)
}

type Classes<'a> = Option<(&'a Vec<String>, Confusion)>;

fn as_json(samples: usize, numbers: &[(&str, f64)], classes: &Classes) -> String {
    let mut out = Map::new();
    out.insert("samples".into(), samples.into());
    for (name, x) in numbers {
        out.insert((*name).into(), json!(x));
    }
    if let Some((names, confusion)) = classes {
        let class = |(i, name): (usize, &String)| {
            let s = confusion.class(i);
            json!({"class": name, "precision": s.precision, "recall": s.recall, "f1": s.f1, "samples": s.support})
        };
        let all: Vec<_> = names.iter().enumerate().map(class).collect();
        out.insert("classes".into(), json!(all));
        out.insert("confusion".into(), json!(confusion.counts()));
    }
    format!("{}\n", serde_json::Value::Object(out))
}

fn as_text(samples: usize, numbers: &[(&str, f64)], classes: &Classes) -> String {
    let mut out = format!("{samples} samples\n");
    for (name, x) in numbers {
        out += &format!(
            "{:<14} {}\n",
            name.replace('_', " "),
            crate::console::number(name, *x)
        );
    }
    if let Some((names, confusion)) = classes {
        let width = names
            .iter()
            .map(|n| n.chars().count())
            .max()
            .unwrap_or(0)
            .clamp(5, 30);
        out += &format!(
            "\n{:<width$}  precision  recall      f1  samples\n",
            "class"
        );
        let line = |name: &str, s: toygrad::train::metrics::Scores| {
            format!(
                "{name:<width$}  {:>9.4}  {:>6.4}  {:>6.4}  {:>7}\n",
                s.precision, s.recall, s.f1, s.support
            )
        };
        for (i, name) in names.iter().enumerate() {
            out += &line(name, confusion.class(i));
        }
        out += &line("mean", confusion.mean());
        if names.len() <= 20 {
            out += "\nrows: the class, columns: what it was taken for\n";
            for (name, row) in names.iter().zip(confusion.counts()) {
                let cells: String = row.iter().map(|n| format!(" {n:>5}")).collect();
                out += &format!("{name:<width$} {cells}\n");
            }
        }
    }
    out
}
