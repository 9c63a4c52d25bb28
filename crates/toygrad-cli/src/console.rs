//! What a run says as it goes: a table with a bar for people, JSON for machines, or nothing.

use serde_json::{Map, Value as Json, json};
use std::io::{IsTerminal, Write};
use toygrad::train::{Callback, History, Next, Plan, ProgressBar, Record, Step};

/// How to speak.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// A table, and a bar where there is a terminal.
    Human,
    /// One JSON object a line.
    Json,
    /// Nothing but errors.
    Quiet,
}

/// Where output goes.
pub struct Console {
    style: Style,
    bar: Option<ProgressBar>,
    /// Columns of the table, once its head is printed.
    columns: Vec<String>,
    epochs: u64,
}

impl Console {
    /// In a style.
    pub fn new(json: bool, quiet: bool) -> Console {
        let style = match (json, quiet) {
            (true, _) => Style::Json,
            (_, true) => Style::Quiet,
            _ => Style::Human,
        };
        let bar = (style == Style::Human && std::io::stderr().is_terminal()).then(ProgressBar::new);
        Console {
            style,
            bar,
            columns: Vec::new(),
            epochs: 0,
        }
    }

    /// A line for people.
    pub fn say(&self, line: &str) {
        if self.style == Style::Human {
            self.print(line);
        }
    }

    /// An event for machines.
    pub fn event(&self, name: &str, content: Json) {
        if self.style == Style::Json {
            let mut event = Map::new();
            event.insert("event".into(), name.into());
            if let Json::Object(content) = content {
                event.extend(content);
            }
            self.print(&Json::Object(event).to_string());
        }
    }

    /// Whoever reads may have left (`| head`): the run goes on, its results are in the folder.
    fn print(&self, line: &str) {
        let write = || {
            let mut out = std::io::stdout().lock();
            let _ = writeln!(out, "{line}").and_then(|()| out.flush());
        };
        match &self.bar {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }

    fn head(&mut self, record: &Record) {
        self.columns = record.numbers().iter().map(|n| n.0.into()).collect();
        let mut line = String::from("epoch");
        for name in &self.columns {
            line += &format!("  {:>9}", name.replace('_', " "));
        }
        self.say(&line);
    }
}

/// A number of the table, by what it is.
pub fn number(name: &str, x: f64) -> String {
    match name {
        _ if name.contains("accuracy") => format!("{:.2} %", 100.0 * x),
        "seconds" => format!("{x:.2}"),
        _ if x != 0.0 && x.abs() < 1e-3 => format!("{x:.2e}"),
        _ => format!("{x:.4}"),
    }
}

impl Callback for Console {
    fn on_start(&mut self, plan: &Plan) -> toygrad::Result<()> {
        self.epochs = plan.epochs;
        match &mut self.bar {
            Some(bar) => bar.on_start(plan),
            None => Ok(()),
        }
    }

    fn on_step(&mut self, step: &Step) -> toygrad::Result<Next> {
        match &mut self.bar {
            Some(bar) => bar.on_step(step),
            None => Ok(Next::Continue),
        }
    }

    fn on_epoch(&mut self, record: &Record) -> toygrad::Result<Next> {
        match self.style {
            Style::Quiet => {}
            Style::Json => {
                let mut content = Map::new();
                content.insert("epoch".into(), record.epoch.into());
                content.insert("epochs".into(), self.epochs.into());
                content.insert("step".into(), record.step.into());
                for (name, x) in record.numbers() {
                    content.insert(name.into(), json!(x));
                }
                self.event("epoch", Json::Object(content));
            }
            Style::Human => {
                if self.columns.is_empty() {
                    self.head(record);
                }
                let mut line = format!("{:>5}", record.epoch);
                for name in &self.columns {
                    let x = record.get(name).map_or(String::new(), |x| number(name, x));
                    line += &format!("  {x:>width$}", width = name.len().max(9));
                }
                self.say(&line);
            }
        }
        Ok(Next::Continue)
    }

    fn on_end(&mut self, history: &History) -> toygrad::Result<()> {
        match &mut self.bar {
            Some(bar) => bar.on_end(history),
            None => Ok(()),
        }
    }
}
