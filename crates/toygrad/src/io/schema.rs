//! How the columns of a table become arrays: numbers as they are, categories one-hot, and the
//! target as a class or a number. Learned from the training file, saved with the model, applied to
//! other files.

use super::csv::{Content, Table};
use super::file::fault;
use crate::{Error, Result, Value};
use serde_json::{Value as Json, json};
use std::path::Path;

/// The most distinct words of a column that becomes one-hot: more look like names or free text.
const MAX_CATEGORIES: usize = 1000;

/// The most numbers that a table may become: 1 GiB of f32.
const MAX_NUMBERS: usize = 1 << 28;

/// Which columns a model reads, and how.
///
/// ```
/// use toygrad::io::{Features, Target, Task, read_csv};
/// # let path = std::env::temp_dir().join(format!("toygrad-schema-{}.csv", std::process::id()));
/// # std::fs::write(&path, "height,colour,kind\n1.5,red,cat\n2.5,blue,dog\n").unwrap();
/// let table = read_csv(&path)?;
/// let features = Features::of(&table, &["kind"])?;
/// assert_eq!(features.names(), ["height", "colour=blue", "colour=red"]);
/// assert_eq!(features.encode(&table)?.to_vec::<f32>()?, [1.5, 0.0, 1.0, 2.5, 1.0, 0.0]);
/// let target = Target::of(&table, "kind", None)?;
/// assert_eq!(target.task, Task::Classification(vec!["cat".into(), "dog".into()]));
/// assert_eq!(target.encode(&table)?.to_vec::<i64>()?, [0, 1]);
/// # std::fs::remove_file(&path).unwrap();
/// # Ok::<(), toygrad::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Features {
    /// The columns; words one-hot where there is a list of them, else numbers.
    columns: Vec<(String, Option<Vec<String>>)>,
}

impl Features {
    /// All columns of a table but those named.
    ///
    /// # Errors
    /// A name that the table does not have; no column left; a column of more than 1,000 distinct
    /// words.
    pub fn of(table: &Table, except: &[&str]) -> Result<Features> {
        for name in except {
            table.column(name)?;
        }
        let mut columns = Vec::new();
        for column in table
            .columns
            .iter()
            .filter(|c| !except.contains(&&c.name[..]))
        {
            let names = match &column.content {
                Content::Numbers(_) => None,
                Content::Categories { names, .. } if names.len() > MAX_CATEGORIES => {
                    let message = format!(
                        "column {:?} has {} distinct words, as names or free text have; leave it out",
                        column.name,
                        names.len()
                    );
                    return Err(fault(&table.path, message));
                }
                Content::Categories { names, .. } => Some(names.clone()),
            };
            columns.push((column.name.clone(), names));
        }
        if columns.is_empty() {
            let message = "has no column besides the target to learn from";
            return Err(fault(&table.path, message));
        }
        Ok(Features { columns })
    }

    /// The names of the numbers, in order: `colour=red` for a category.
    pub fn names(&self) -> Vec<String> {
        let mut names = Vec::new();
        for (column, words) in &self.columns {
            match words {
                None => names.push(column.clone()),
                Some(words) => names.extend(words.iter().map(|w| format!("{column}={w}"))),
            }
        }
        names
    }

    /// A table as f32 `[rows, numbers]`; columns that are not features are not looked at.
    ///
    /// # Errors
    /// A column that is not there or of the other kind; a missing value; a word that the training
    /// file did not have; a number that is not finite; a table too large. With line and column.
    pub fn encode(&self, table: &Table) -> Result<Value> {
        let width: usize = self
            .columns
            .iter()
            .map(|(_, w)| w.as_ref().map_or(1, Vec::len))
            .sum();
        let rows = table.rows();
        if rows.checked_mul(width).is_none_or(|n| n > MAX_NUMBERS) {
            let message = format!("{rows} rows of {width} numbers are too many; use fewer columns");
            return Err(fault(&table.path, message));
        }
        let mut out = vec![0f32; rows * width];
        let mut start = 0;
        for (name, words) in &self.columns {
            let column = table.column(name)?;
            let fault = |row: usize, message: &str| table.fault(row, name, message);
            match (&column.content, words) {
                (Content::Numbers(x), None) => {
                    for (row, &x) in x.iter().enumerate() {
                        if x.is_nan() {
                            return Err(missing(table, row, name));
                        }
                        if !(x as f32).is_finite() {
                            return Err(fault(row, "the number is too large for f32"));
                        }
                        out[row * width + start] = x as f32;
                    }
                    start += 1;
                }
                (Content::Categories { names, rows }, Some(words)) => {
                    let place = |n: &String| words.iter().position(|w| w == n);
                    let places: Vec<Option<usize>> = names.iter().map(place).collect();
                    for (row, index) in rows.iter().enumerate() {
                        let index = index.ok_or_else(|| missing(table, row, name))? as usize;
                        let place = places[index].ok_or_else(|| {
                            let word = &names[index];
                            fault(row, &format!("{word:?} was not there in training"))
                        })?;
                        out[row * width + start + place] = 1.0;
                    }
                    start += words.len();
                }
                (Content::Numbers(_), Some(words)) => {
                    let message = format!("a number, in training a word as {:?}", words.first());
                    return Err(fault(0, &message));
                }
                (Content::Categories { .. }, None) => {
                    return Err(fault(0, "a word, in training a number"));
                }
            }
        }
        Ok(Value::from_vec(out, [rows, width]))
    }

    /// As JSON, to be saved with a model.
    pub fn to_json(&self) -> String {
        let column = |(name, words): &(String, Option<Vec<String>>)| json!({"name": name, "categories": words});
        Json::from(self.columns.iter().map(column).collect::<Vec<_>>()).to_string()
    }

    /// From [`to_json`](Features::to_json); `path` is the file that it stood in.
    ///
    /// # Errors
    /// Anything else.
    pub fn from_json(path: impl AsRef<Path>, text: &str) -> Result<Features> {
        let columns = serde_json::from_str::<Json>(text).ok().and_then(|json| {
            let column = |c: &Json| {
                let name = c.get("name")?.as_str()?.to_string();
                let words = match c.get("categories")? {
                    Json::Null => None,
                    words => Some(strings(words)?),
                };
                Some((name, words))
            };
            json.as_array()?
                .iter()
                .map(column)
                .collect::<Option<Vec<_>>>()
        });
        let columns =
            columns.ok_or_else(|| fault(path.as_ref(), "its list of features is damaged"))?;
        Ok(Features { columns })
    }
}

/// What is missing, and how much is.
fn missing(table: &Table, row: usize, column: &str) -> Error {
    let n = table.missing().len();
    let message = format!(
        "no value ({n} missing in the file); fill it in, or leave out the rows that lack one"
    );
    table.fault(row, column, &message)
}

fn strings(json: &Json) -> Option<Vec<String>> {
    let words = json.as_array()?.iter();
    words.map(|w| w.as_str().map(String::from)).collect()
}

/// What a model is to find out: a class or a number.
#[derive(Clone, Debug, PartialEq)]
pub enum Task {
    /// A number.
    Regression,
    /// One of these classes.
    Classification(Vec<String>),
}

/// The column that a model learns to predict.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// The column.
    pub name: String,
    /// What kind of thing it is.
    pub task: Task,
}

impl Target {
    /// The target in a table. Words are classes; numbers are too if they are whole and of at most
    /// 20 kinds, each kind there twice on average. `classes` decides it instead.
    ///
    /// # Errors
    /// No such column; words where numbers are wanted; fewer than two classes, or so many that
    /// they are no classes.
    pub fn of(table: &Table, name: &str, classes: Option<bool>) -> Result<Target> {
        let column = table.column(name)?;
        let name = name.to_string();
        let found = match &column.content {
            Content::Categories { names, .. } => Some(names.clone()),
            Content::Numbers(x) => {
                let mut kinds: Vec<f64> = x.iter().copied().filter(|x| !x.is_nan()).collect();
                kinds.sort_unstable_by(f64::total_cmp);
                kinds.dedup();
                let whole = kinds.iter().all(|x| x.fract() == 0.0);
                let few = kinds.len() <= 20 && kinds.len() * 2 <= x.len();
                let classes = classes.unwrap_or(whole && few);
                classes.then(|| kinds.iter().map(f64::to_string).collect())
            }
        };
        let task = match (found, classes) {
            (Some(_), Some(false)) if matches!(column.content, Content::Categories { .. }) => {
                let message = "holds words; a regression wants numbers";
                return Err(table.fault(0, &name, message));
            }
            (Some(names), _) if names.len() < 2 => {
                let message = format!(
                    "column {name:?} has {} class; at least 2 are wanted",
                    names.len()
                );
                return Err(fault(&table.path, message));
            }
            (Some(names), _) if names.len() > MAX_CATEGORIES => {
                let message = format!("column {name:?} has {} classes, too many", names.len());
                return Err(fault(&table.path, message));
            }
            (Some(names), _) => Task::Classification(names),
            (None, _) => Task::Regression,
        };
        Ok(Target { name, task })
    }

    /// The targets of a table: classes as i64 `[rows]`, numbers as f32 `[rows, 1]`.
    ///
    /// # Errors
    /// A value that is missing, a class that was not there in training; with line and column.
    pub fn encode(&self, table: &Table) -> Result<Value> {
        let column = table.column(&self.name)?;
        let fault = |row: usize, message: &str| table.fault(row, &self.name, message);
        match (&self.task, &column.content) {
            (Task::Regression, Content::Numbers(x)) => {
                let mut out = Vec::with_capacity(x.len());
                for (row, &x) in x.iter().enumerate() {
                    if x.is_nan() {
                        return Err(missing(table, row, &self.name));
                    }
                    if !(x as f32).is_finite() {
                        return Err(fault(row, "the number is too large for f32"));
                    }
                    out.push(x as f32);
                }
                Ok(Value::from_vec(out, [table.rows(), 1]))
            }
            (Task::Regression, Content::Categories { .. }) => {
                Err(fault(0, "a word, in training a number"))
            }
            (Task::Classification(classes), content) => {
                let place = |row: usize, word: &str| {
                    let place = classes.iter().position(|c| c == word);
                    let message =
                        || fault(row, &format!("class {word:?} was not there in training"));
                    place.map(|i| i as i64).ok_or_else(message)
                };
                let class = |row: usize| match content {
                    _ if content.is_missing(row) => Err(missing(table, row, &self.name)),
                    Content::Numbers(x) => place(row, &x[row].to_string()),
                    Content::Categories { names, rows } => {
                        place(row, &names[rows[row].unwrap_or(0) as usize])
                    }
                };
                (0..table.rows()).map(class).collect::<Result<Value>>()
            }
        }
    }

    /// As JSON, to be saved with a model.
    pub fn to_json(&self) -> String {
        let classes = match &self.task {
            Task::Regression => Json::Null,
            Task::Classification(classes) => json!(classes),
        };
        json!({"name": self.name, "classes": classes}).to_string()
    }

    /// From [`to_json`](Target::to_json); `path` is the file that it stood in.
    ///
    /// # Errors
    /// Anything else.
    pub fn from_json(path: impl AsRef<Path>, text: &str) -> Result<Target> {
        let target = serde_json::from_str::<Json>(text).ok().and_then(|json| {
            let name = json.get("name")?.as_str()?.to_string();
            let task = match json.get("classes")? {
                Json::Null => Task::Regression,
                classes => Task::Classification(strings(classes)?),
            };
            Some(Target { name, task })
        });
        target.ok_or_else(|| fault(path.as_ref(), "its target is damaged"))
    }
}
