//! What goes wrong, and the exit code that says so.

use std::process::ExitCode;
use toygrad::Error;

/// Why a command failed.
#[derive(Debug)]
pub enum Failure {
    /// What was said on the command line makes no sense.
    Usage(String),
    /// Something failed: a file, the training.
    Failed(Error),
}

/// A `Result` of the program.
pub type Result<T> = std::result::Result<T, Failure>;

impl From<Error> for Failure {
    fn from(e: Error) -> Failure {
        Failure::Failed(e)
    }
}

impl Failure {
    /// Says what is wrong; the exit code.
    pub fn report(&self) -> ExitCode {
        match self {
            Failure::Usage(message) => {
                eprintln!("error: {message}\n\nFor more, try '--help'.");
                ExitCode::from(2)
            }
            // The line in this program means nothing to who called it from a shell.
            Failure::Failed(Error::Argument(located)) => {
                eprintln!("error: {}", located.message);
                ExitCode::FAILURE
            }
            Failure::Failed(e) => {
                eprintln!("error: {e}");
                ExitCode::FAILURE
            }
        }
    }
}

/// Unless `ok`, the arguments make no sense.
pub fn require(ok: bool, message: impl Into<String>) -> Result<()> {
    match ok {
        true => Ok(()),
        false => Err(Failure::Usage(message.into())),
    }
}
