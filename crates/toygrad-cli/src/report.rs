//! The page of a run: pictures as SVG files, and an `index.html` that holds all of them.

use crate::console::number;
use crate::failure::Result;
use crate::model::{Input, Model};
use crate::problem::Problem;
use std::path::Path;
use toygrad::io::{self, Task};
use toygrad::prelude::*;
use toygrad::train::metrics::Confusion;
use toygrad::train::{History, plots};

/// A picture: its name, its title and the SVG text.
type Picture = (&'static str, &'static str, String);

/// Writes pictures and page into the folder of a run.
pub fn write(
    problem: &Problem,
    model: &Model,
    history: &History,
    numbers: &[(&'static str, f64)],
    settings: &str,
    folder: &Path,
) -> Result<()> {
    let pictures = pictures(problem, model, history)?;
    for (name, _, svg) in &pictures {
        io::write_text(folder.join(format!("{name}.svg")), svg)?;
    }
    let page = page(problem, history, numbers, settings, &pictures);
    Ok(io::write_text(folder.join("index.html"), &page)?)
}

fn pictures(problem: &Problem, model: &Model, history: &History) -> Result<Vec<Picture>> {
    let records = &history.records;
    let known = |names: &[&'static str]| -> Vec<&'static str> {
        let there = |name: &&&str| records.last().is_some_and(|r| r.get(name).is_some());
        names.iter().filter(there).copied().collect()
    };
    let losses = known(&["train_loss", "validation_loss", "test_loss"]);
    let mut pictures = vec![("loss", "Loss", plots::curves("loss", records, &losses)?)];
    let scores = known(&["test_accuracy", "test_rmse", "perplexity"]);
    if let Some(score) = scores.first() {
        let title = score.replace('_', " ");
        pictures.push((
            "score",
            "On samples not learned from",
            plots::curves(&title, records, &[score])?,
        ));
    }
    let Some(target) = &problem.target else {
        return Ok(pictures);
    };
    let (x, y) = (problem.test.inputs()?, problem.test.targets()?);
    let predictions = model.predict(&x)?;
    match &target.task {
        Task::Regression => {
            let (p, t) = (problem.card.unscale(&predictions), problem.card.unscale(&y));
            pictures.push((
                "predicted",
                "Predicted and true",
                plots::predicted_true(&p, &t)?,
            ));
        }
        Task::Classification(names) => {
            if names.len() <= 50 {
                let matrix = Confusion::of(&predictions, &y)?;
                pictures.push((
                    "confusion",
                    "What is taken for what",
                    plots::confusion(&matrix, names)?,
                ));
            }
            let images = match (&problem.card.input, &x.shape()[..]) {
                (Input::Digits, &[n, 64]) => Some(x.reshape([n, 8, 8])),
                (Input::Images { .. }, _) => Some(x.clone()),
                // The sheet is grey.
                (Input::Folder { .. }, _) => Some(x.mean_axis(1)),
                (_, &[_, 2]) => {
                    let classify = |points: &Value| model.predict(points);
                    let picture = plots::decision_boundary(&x, &y, classify)?;
                    pictures.push(("boundary", "What is said of the plane", picture));
                    None
                }
                _ => None,
            };
            if let Some(images) = images {
                let sheet = plots::misclassified(&images, &predictions, &y, names, 40)?;
                pictures.push(("mistakes", "The surest mistakes", sheet));
            }
        }
    }
    Ok(pictures)
}

/// Text in HTML.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

fn page(
    problem: &Problem,
    history: &History,
    numbers: &[(&'static str, f64)],
    settings: &str,
    pictures: &[Picture],
) -> String {
    let title = escape(&problem.title);
    let mut out = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <title>{title}</title>\n<style>\n\
         body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }}\n\
         table {{ border-collapse: collapse; }}\n\
         th, td {{ text-align: right; padding: 0.1rem 0.8rem; border-bottom: 1px solid #ddd; }}\n\
         pre {{ background: #f5f5f5; padding: 1rem; overflow-x: auto; }}\n\
         svg {{ max-width: 100%; height: auto; }}\n</style>\n</head>\n<body>\n<h1>{title}</h1>\n<p>{}</p>\n<table>\n",
        escape(&problem.card.architecture.title())
    );
    for (name, x) in numbers {
        out += &format!(
            "<tr><th>{}</th><td>{}</td></tr>\n",
            name.replace('_', " "),
            number(name, *x)
        );
    }
    out += "</table>\n";
    for (_, title, svg) in pictures {
        out += &format!("<h2>{title}</h2>\n{svg}\n");
    }
    out += "<h2>Epochs</h2>\n<table>\n";
    if let Some(first) = history.records.first() {
        let names: Vec<&str> = first.numbers().iter().map(|n| n.0).collect();
        let cells = |cells: Vec<String>, tag: &str| -> String {
            cells
                .iter()
                .map(|c| format!("<{tag}>{}</{tag}>", escape(c)))
                .collect()
        };
        let head = names.iter().map(|n| n.replace('_', " ")).collect();
        out += &format!("<tr><th>epoch</th>{}</tr>\n", cells(head, "th"));
        for record in &history.records {
            let cell = |n: &&str| record.get(n).map_or(String::new(), |x| number(n, x));
            let row = names.iter().map(cell).collect();
            out += &format!("<tr><td>{}</td>{}</tr>\n", record.epoch, cells(row, "td"));
        }
    }
    out + &format!(
        "</table>\n<h2>Settings</h2>\n<pre>{}</pre>\n</body>\n</html>\n",
        escape(settings)
    )
}
