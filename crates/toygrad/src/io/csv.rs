//! Tables of text: CSV, its types inferred.

use super::file::{fault, read_unpacked};
use crate::{Error, Result};
use ::csv::{ReaderBuilder, StringRecord, Trim};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// How to read a CSV file; the default finds everything out.
#[derive(Clone, Debug)]
pub struct CsvOptions {
    /// Whether the first line names the columns; `None` finds out: it does if none of its fields
    /// is a number.
    pub header: Option<bool>,
    /// What separates fields; `None` takes the most frequent of `,` `;` and tab in the first line.
    pub delimiter: Option<u8>,
    /// What stands for a missing value, besides nothing.
    pub missing: Vec<String>,
    /// Columns that are categories although they look like numbers.
    pub categories: Vec<String>,
}

impl Default for CsvOptions {
    fn default() -> Self {
        let missing = ["NA", "N/A", "NaN", "nan", "null", "NULL", "None", "?"];
        CsvOptions {
            header: None,
            delimiter: None,
            missing: missing.map(String::from).to_vec(),
            categories: Vec::new(),
        }
    }
}

/// A table: named columns of the same length.
#[derive(Clone, Debug)]
pub struct Table {
    /// The file that it came from, for messages.
    pub path: PathBuf,
    /// The columns, from left to right.
    pub columns: Vec<Column>,
    /// The line of the file that each row came from.
    pub lines: Vec<u64>,
}

/// A column of a [`Table`].
#[derive(Clone, Debug)]
pub struct Column {
    /// Its name: from the first line, else `column_1`, `column_2`, ...
    pub name: String,
    /// What it holds, row by row.
    pub content: Content,
}

/// What a [`Column`] holds.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// Numbers; NaN where one is missing.
    Numbers(Vec<f64>),
    /// Words: positions in the sorted list of names; `None` where one is missing.
    Categories {
        /// The distinct words, sorted (in the order of the first line, where that names them).
        names: Vec<String>,
        /// Which one, for each row.
        rows: Vec<Option<u32>>,
    },
}

/// Reads a table, unpacked where it is gzip: its separator, header and types are found out.
///
/// The layout of scikit-learn's data files, whose first line is `rows,columns,class names`, is
/// known too: its columns become `feature_1`, `feature_2`, ... and `class`.
///
/// ```
/// use toygrad::io::{Content, read_csv};
/// # let path = std::env::temp_dir().join(format!("toygrad-{}.csv", std::process::id()));
/// # std::fs::write(&path, "height,colour\n1.5,red\n2.5,blue\n").unwrap();
/// let table = read_csv(&path)?;
/// assert_eq!(table.column("height")?.content, Content::Numbers(vec![1.5, 2.5]));
/// assert_eq!(table.column("colour")?.content, Content::Categories {
///     names: vec!["blue".into(), "red".into()],
///     rows: vec![Some(1), Some(0)],
/// });
/// # std::fs::remove_file(&path).unwrap();
/// # Ok::<(), toygrad::Error>(())
/// ```
///
/// # Errors
/// As [`read_csv_with`].
pub fn read_csv(path: impl AsRef<Path>) -> Result<Table> {
    read_csv_with(path, &CsvOptions::default())
}

/// [`read_csv`] with options.
///
/// # Errors
/// A file without rows, rows of different lengths, two columns of one name, bytes that are no
/// UTF-8, a word in a column of numbers: each with its line and column.
pub fn read_csv_with(path: impl AsRef<Path>, options: &CsvOptions) -> Result<Table> {
    let path = path.as_ref();
    let bytes = read_unpacked(path)?;
    let first_line = bytes.split(|&b| b == b'\n').next().unwrap_or(&[]);
    let count = |d: u8| first_line.iter().filter(|&&b| b == d).count();
    let guess = [b'\t', b';', b','].into_iter().max_by_key(|&d| count(d));
    let delimiter = options.delimiter.or(guess).unwrap_or(b',');
    let source = Source {
        path,
        bytes: &bytes,
        delimiter,
    };
    let layout = survey(&source, options)?;
    fill(&source, options, layout)
}

/// What is read, twice: to infer the types, then to fill the columns.
struct Source<'a> {
    path: &'a Path,
    bytes: &'a [u8],
    delimiter: u8,
}

impl Source<'_> {
    /// Calls `f` with each record and its line.
    fn each(&self, mut f: impl FnMut(u64, &StringRecord) -> Result<()>) -> Result<()> {
        let mut reader = ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .delimiter(self.delimiter)
            .trim(Trim::All)
            .from_reader(self.bytes);
        let mut record = StringRecord::new();
        loop {
            match reader.read_record(&mut record) {
                Ok(false) => return Ok(()),
                Ok(true) => {}
                Err(e) => {
                    let place = e.position().map(|p| format!("line {}", p.line()));
                    let message = match e.kind() {
                        ::csv::ErrorKind::Utf8 { err, .. } => format!(
                            "field {} is not UTF-8; convert the file, as with `iconv -t utf-8`",
                            err.field() + 1
                        ),
                        _ => e.to_string(),
                    };
                    return Err(Error::file(self.path, place, message));
                }
            }
            let line = record.position().map_or(0, |p| p.line());
            f(line, &record)?;
        }
    }

    fn fault(&self, line: u64, message: String) -> Error {
        Error::file(self.path, Some(format!("line {line}")), message)
    }
}

/// What the first pass finds out.
struct Layout {
    /// Whether the first record names the columns or counts the rows.
    skip_first: bool,
    names: Vec<String>,
    numeric: Vec<bool>,
    rows: usize,
    /// The names of the classes that the last column counts, where the first line gives them.
    classes: Option<Vec<String>>,
}

/// What the first pass notes of a column.
#[derive(Clone, Default)]
struct Tally {
    numbers: usize,
    words: usize,
    /// The line and text of the first word.
    word: Option<(u64, String)>,
}

fn is_missing(field: &str, options: &CsvOptions) -> bool {
    field.is_empty() || options.missing.iter().any(|m| m == field)
}

fn survey(source: &Source, options: &CsvOptions) -> Result<Layout> {
    let mut first: Option<(u64, Vec<String>)> = None;
    let mut second = 0;
    let mut tallies: Vec<Tally> = Vec::new();
    let mut rows = 0;
    source.each(|line, record| {
        if first.is_none() {
            first = Some((line, record.iter().map(String::from).collect()));
            return Ok(());
        }
        if rows == 0 {
            (second, tallies) = (line, vec![Tally::default(); record.len()]);
        }
        if record.len() != tallies.len() {
            return Err(source.fault(
                line,
                format!(
                    "has {} fields, line {second} has {}",
                    record.len(),
                    tallies.len()
                ),
            ));
        }
        rows += 1;
        for (tally, field) in tallies.iter_mut().zip(record) {
            note(tally, line, field, options);
        }
        Ok(())
    })?;
    let Some((first_line, first)) = first else {
        return Err(fault(
            source.path,
            "is empty: a table wants at least one row",
        ));
    };
    let width = if rows == 0 {
        first.len()
    } else {
        tallies.len()
    };

    let classes = counted(&first, rows, width).filter(|_| options.header.is_none());
    if first.len() != width && classes.is_none() {
        return Err(source.fault(
            first_line,
            format!("has {} fields, line {second} has {width}", first.len()),
        ));
    }
    let number = |field: &String| !is_missing(field, options) && field.parse::<f64>().is_ok();
    let header = options.header.unwrap_or_else(|| !first.iter().any(number));
    let skip_first = classes.is_some() || header;
    if !skip_first {
        rows += 1;
        tallies.resize(width, Tally::default());
        for (tally, field) in tallies.iter_mut().zip(&first) {
            note(tally, first_line, field, options);
        }
    }
    if rows == 0 {
        let message = "has a first line of names but no row below it";
        return Err(fault(source.path, message));
    }

    let names: Vec<String> = match (&classes, header) {
        (Some(_), _) => (1..width)
            .map(|i| format!("feature_{i}"))
            .chain(["class".into()])
            .collect(),
        (None, true) => first
            .iter()
            .enumerate()
            .map(|(i, name)| match name.is_empty() {
                true => format!("column_{}", i + 1),
                false => name.clone(),
            })
            .collect(),
        (None, false) => (1..=width).map(|i| format!("column_{i}")).collect(),
    };
    let mut seen = BTreeSet::new();
    if let Some(name) = names.iter().find(|name| !seen.insert(*name)) {
        let message = format!("two columns are named {name:?}; rename one");
        return Err(source.fault(first_line, message));
    }
    let mut numeric = Vec::with_capacity(width);
    for (i, (tally, name)) in tallies.iter().zip(&names).enumerate() {
        let forced = options.categories.contains(name);
        if let (Some((line, word)), false) = (&tally.word, forced)
            && tally.numbers > 9 * tally.words
        {
            return Err(source.fault(
                *line,
                format!(
                    "column {} ({name}): {word:?} is no number, unlike {} others of the column; \
                     correct it, leave it empty, or say that the column holds categories",
                    i + 1,
                    tally.numbers
                ),
            ));
        }
        numeric.push(tally.words == 0 && !forced);
    }
    Ok(Layout {
        skip_first,
        names,
        numeric,
        rows,
        classes,
    })
}

fn note(tally: &mut Tally, line: u64, field: &str, options: &CsvOptions) {
    if is_missing(field, options) {
        return;
    }
    if field.parse::<f64>().is_ok() {
        tally.numbers += 1;
    } else {
        tally.words += 1;
        tally.word.get_or_insert_with(|| {
            let short = field.chars().take(40).collect();
            (line, short)
        });
    }
}

/// The class names of a first line `rows,columns,class names`.
fn counted(first: &[String], rows: usize, width: usize) -> Option<Vec<String>> {
    let [n, features, classes @ ..] = first else {
        return None;
    };
    let counts =
        n.parse() == Ok(rows) && features.parse::<usize>().ok()?.checked_add(1) == Some(width);
    let words = classes.iter().all(|c| c.parse::<f64>().is_err());
    (counts && rows > 0 && words && !classes.is_empty()).then(|| classes.to_vec())
}

/// Words as they are met: the number of each, and the rows.
type Words = (BTreeMap<String, u32>, Vec<Option<u32>>);

fn fill(source: &Source, options: &CsvOptions, layout: Layout) -> Result<Table> {
    let width = layout.names.len();
    let mut lines = Vec::with_capacity(layout.rows);
    let mut numbers: Vec<Vec<f64>> = vec![Vec::new(); width];
    let mut words: Vec<Words> = vec![Words::default(); width];
    let mut skip = layout.skip_first;
    source.each(|line, record| {
        if std::mem::take(&mut skip) {
            return Ok(());
        }
        lines.push(line);
        for (i, field) in record.iter().enumerate() {
            let missing = is_missing(field, options);
            if layout.numeric[i] {
                let number = field.parse().unwrap_or(f64::NAN);
                numbers[i].push(if missing { f64::NAN } else { number });
            } else {
                let (known, rows) = &mut words[i];
                rows.push(match (missing, known.get(field)) {
                    (true, _) => None,
                    (_, Some(&index)) => Some(index),
                    (_, None) => {
                        let index = known.len() as u32;
                        known.insert(field.to_string(), index);
                        Some(index)
                    }
                });
            }
        }
        Ok(())
    })?;
    let mut columns = Vec::with_capacity(width);
    for (i, name) in layout.names.into_iter().enumerate() {
        let content = match layout.numeric[i] {
            true => Content::Numbers(std::mem::take(&mut numbers[i])),
            false => sorted(std::mem::take(&mut words[i])),
        };
        columns.push(Column { name, content });
    }
    let mut table = Table {
        path: source.path.to_path_buf(),
        columns,
        lines,
    };
    if let Some(classes) = layout.classes {
        table.name_classes(classes)?;
    }
    Ok(table)
}

/// Words numbered in their order instead of that of their first appearance.
fn sorted((known, mut rows): Words) -> Content {
    let mut rank = vec![0; known.len()];
    let mut names = Vec::with_capacity(known.len());
    for (i, (name, first)) in known.into_iter().enumerate() {
        rank[first as usize] = i as u32;
        names.push(name);
    }
    for row in rows.iter_mut().flatten() {
        *row = rank[*row as usize];
    }
    Content::Categories { names, rows }
}

impl Table {
    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.lines.len()
    }

    /// A column by its name.
    ///
    /// # Errors
    /// No column has this name.
    pub fn column(&self, name: &str) -> Result<&Column> {
        self.columns.iter().find(|c| c.name == name).ok_or_else(|| {
            let names: Vec<&str> = self.columns.iter().map(|c| &c.name[..]).take(50).collect();
            let message = format!("has no column {name:?}; there are {}", names.join(", "));
            fault(&self.path, message)
        })
    }

    /// What is missing: (row, column) for each, row by row.
    pub fn missing(&self) -> Vec<(usize, usize)> {
        let mut found = Vec::new();
        for row in 0..self.rows() {
            let columns = self.columns.iter().enumerate();
            let missing = columns.filter(|(_, c)| c.content.is_missing(row));
            found.extend(missing.map(|(i, _)| (row, i)));
        }
        found
    }

    /// The rows where nothing is missing.
    pub fn without_missing(&self) -> Table {
        let whole = |row: &usize| !self.columns.iter().any(|c| c.content.is_missing(*row));
        let rows: Vec<usize> = (0..self.rows()).filter(whole).collect();
        let mut table = self.clone();
        table.lines = rows.iter().map(|&r| self.lines[r]).collect();
        for column in &mut table.columns {
            match &mut column.content {
                Content::Numbers(x) => *x = rows.iter().map(|&r| x[r]).collect(),
                Content::Categories { rows: x, .. } => *x = rows.iter().map(|&r| x[r]).collect(),
            }
        }
        table
    }

    /// An error about one field.
    pub(crate) fn fault(&self, row: usize, column: &str, message: &str) -> Error {
        let line = self.lines.get(row).copied().unwrap_or(0);
        let number = self.columns.iter().position(|c| c.name == column);
        let place = format!(
            "line {line}, column {} ({column})",
            number.map_or(0, |i| i + 1)
        );
        Error::file(&self.path, Some(place), message)
    }

    /// Turns the last column of class numbers into categories.
    fn name_classes(&mut self, names: Vec<String>) -> Result<()> {
        let Some(Content::Numbers(x)) = self.columns.last().map(|c| &c.content) else {
            return Err(fault(&self.path, "the last column must hold class numbers"));
        };
        let mut rows = Vec::with_capacity(x.len());
        for (row, &x) in x.iter().enumerate() {
            let known = x.fract() == 0.0 && (0.0..names.len() as f64).contains(&x);
            if !known && !x.is_nan() {
                let message = format!("class {x}: the first line names {} classes", names.len());
                return Err(self.fault(row, "class", &message));
            }
            rows.push(known.then_some(x as u32));
        }
        if let Some(column) = self.columns.last_mut() {
            column.content = Content::Categories { names, rows };
        }
        Ok(())
    }
}

impl Content {
    /// Whether the value of a row is missing.
    pub fn is_missing(&self, row: usize) -> bool {
        match self {
            Content::Numbers(x) => x.get(row).is_none_or(|x| x.is_nan()),
            Content::Categories { rows, .. } => rows.get(row).is_none_or(Option::is_none),
        }
    }
}
