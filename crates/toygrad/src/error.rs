//! What can go wrong, and where it did.

use crate::{DType, Shape};
use std::fmt;
use std::panic::Location;
use std::path::{Path, PathBuf};

/// A line of the program that uses toygrad.
pub type Caller = &'static Location<'static>;

/// A `Result` whose error is toygrad's [`enum@Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything that can go wrong.
///
/// `Debug` prints the same text as `Display`, so that `fn main() -> toygrad::Result<()>` shows it.
#[derive(Clone)]
#[non_exhaustive]
pub enum Error {
    /// An operation was given shapes, dtypes, axes or numbers that it cannot take. It is kept in
    /// the [`Value`](crate::Value) that the operation made, and comes out where that is read.
    Operation(Box<OperationError>),
    /// A gradient was asked for that does not exist: of something that is not a scalar, of a
    /// whole number, of a parameter that the loss does not reach.
    Gradient(Box<Located>),
    /// A number was asked for where there is none: while a function is being recorded by
    /// [`compile`](crate::compile), or of a Value with several elements.
    Read(Box<Located>),
    /// An argument that is no operand (a learning rate, a batch size, a probability, ...) is out
    /// of its range.
    Argument(Box<Located>),
    /// The first number that is not finite, under [`debug_nan`](crate::debug_nan).
    NotFinite(Box<OperationError>),
    /// A file cannot be read, understood or written.
    File(Box<FileError>),
}

/// A message and the line that it is about.
#[derive(Clone)]
pub struct Located {
    /// What was expected and what came.
    pub message: String,
    /// The caller's line.
    pub at: Caller,
}

/// A mistake in one operation; see [`Error::Operation`].
#[derive(Clone)]
pub struct OperationError {
    /// What is wrong, in one line: `cannot add shapes [3, 4] and [5]`.
    pub message: String,
    /// The line that called the operation.
    pub at: Caller,
    /// Its operands and the lines that made them.
    pub operands: Vec<Operand>,
    /// What would be right, where that can be said.
    pub hint: Option<String>,
    /// Mistakes are numbered as they are made, so that the first one is reported.
    pub(crate) sequence: u64,
}

/// One operand of a failed operation.
#[derive(Clone)]
pub struct Operand {
    /// Which one: `left`, `right`, `input`, ...
    pub label: &'static str,
    /// Its shape.
    pub shape: Shape,
    /// Its element type.
    pub dtype: DType,
    /// The operation that made it.
    pub made_by: String,
    /// The line that made it.
    pub at: Caller,
}

/// A fault in a file; see [`Error::File`].
#[derive(Clone)]
pub struct FileError {
    /// The file.
    pub path: PathBuf,
    /// Where in it: `line 3, column 2`, `byte 17`.
    pub place: Option<String>,
    /// What is wrong, and what to do about it.
    pub message: String,
}

impl Error {
    #[track_caller]
    pub(crate) fn argument(message: impl Into<String>) -> Error {
        Error::Argument(Box::new(Located {
            message: message.into(),
            at: Location::caller(),
        }))
    }

    #[track_caller]
    pub(crate) fn gradient(message: impl Into<String>) -> Error {
        Error::Gradient(Box::new(Located {
            message: message.into(),
            at: Location::caller(),
        }))
    }

    #[track_caller]
    pub(crate) fn read(message: impl Into<String>) -> Error {
        Error::Read(Box::new(Located {
            message: message.into(),
            at: Location::caller(),
        }))
    }

    /// A fault in a file, at an optional place in it.
    pub fn file(
        path: impl AsRef<Path>,
        place: Option<String>,
        message: impl Into<String>,
    ) -> Error {
        let path = path.as_ref().to_path_buf();
        Error::File(Box::new(FileError {
            path,
            place,
            message: message.into(),
        }))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Operation(e) | Error::NotFinite(e) => e.fmt(f),
            Error::Gradient(e) | Error::Read(e) | Error::Argument(e) => {
                write!(f, "{}\n  --> {}", e.message, e.at)
            }
            Error::File(e) => {
                write!(f, "{}: ", e.path.display())?;
                if let Some(place) = &e.place {
                    write!(f, "{place}: ")?;
                }
                f.write_str(&e.message)
            }
        }
    }
}

impl fmt::Display for OperationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n  --> {}", self.message, self.at)?;
        let label = self
            .operands
            .iter()
            .map(|o| o.label.len())
            .max()
            .unwrap_or(0);
        let what: Vec<String> = self
            .operands
            .iter()
            .map(|o| format!("{} {}", o.shape, o.dtype))
            .collect();
        let width = what.iter().map(String::len).max().unwrap_or(0);
        for (o, what) in self.operands.iter().zip(what) {
            write!(
                f,
                "\n  {:label$} {what:width$} made by `{}` at {}",
                o.label, o.made_by, o.at
            )?;
        }
        match &self.hint {
            Some(hint) => write!(f, "\n  {hint}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Error {}
