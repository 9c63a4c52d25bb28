//! Records as files: JSON lines and CSV, one line for each epoch.

use super::{Callback, History, Next, Record};
use crate::{Error, Result};
use serde_json::{Map, Value as Json};
use std::io::Write;
use std::path::PathBuf;

/// Writes a JSON object for each epoch, each on a line of its own, as it ends:
/// `{"epoch":1,"step":45,"train_loss":0.91,...}`.
pub struct JsonLines<W>(W);

impl<W: Write> JsonLines<W> {
    /// To a file, standard output, ...
    pub fn new(out: W) -> JsonLines<W> {
        JsonLines(out)
    }
}

/// A record as one JSON object; numbers that are not finite are null.
pub(crate) fn object(record: &Record) -> Map<String, Json> {
    let mut object = Map::new();
    object.insert("epoch".into(), record.epoch.into());
    object.insert("step".into(), record.step.into());
    for (name, x) in record.numbers() {
        object.insert(name.into(), x.into());
    }
    object
}

impl<W: Write> Callback for JsonLines<W> {
    fn on_epoch(&mut self, record: &Record) -> Result<Next> {
        let line = Json::Object(object(record));
        writeln!(self.0, "{line}")
            .and_then(|()| self.0.flush())
            .map_err(|e| Error::file("JSON lines", None, format!("cannot write: {e}")))?;
        Ok(Next::Continue)
    }
}

/// Writes the records of a run as CSV, with a header, when it ends; atomically.
pub struct CsvLog(PathBuf);

impl CsvLog {
    /// To this file.
    pub fn new(path: impl Into<PathBuf>) -> CsvLog {
        CsvLog(path.into())
    }
}

impl Callback for CsvLog {
    fn on_end(&mut self, history: &History) -> Result<()> {
        crate::io::write_text(&self.0, &to_csv(&history.records))
    }
}

/// Records as CSV: a header, then a line for each.
pub(crate) fn to_csv(records: &[Record]) -> String {
    let Some(first) = records.first() else {
        return String::new();
    };
    let names: Vec<&str> = first.numbers().iter().map(|n| n.0).collect();
    let mut text = format!("epoch,step,{}\n", names.join(","));
    for record in records {
        let number = |name: &&str| record.get(name).map_or(String::new(), |x| x.to_string());
        let numbers: Vec<String> = names.iter().map(number).collect();
        text += &format!("{},{},{}\n", record.epoch, record.step, numbers.join(","));
    }
    text
}
