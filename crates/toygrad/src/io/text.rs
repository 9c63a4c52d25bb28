//! Text by character.

use super::file::read_bytes;
use crate::{Error, Result};
use std::collections::HashMap;
use std::path::Path;

/// Reads text in UTF-8, without a byte order mark.
///
/// # Errors
/// What the system says; bytes that are no UTF-8, with their line.
pub fn read_text(path: impl AsRef<Path>) -> Result<String> {
    let path = path.as_ref();
    let text = String::from_utf8(read_bytes(path)?).map_err(|e| {
        let valid = &e.as_bytes()[..e.utf8_error().valid_up_to()];
        let line = valid.iter().filter(|&&b| b == b'\n').count() + 1;
        let message = "is not UTF-8; convert it, as with `iconv -t utf-8`";
        Error::file(path, Some(format!("line {line}")), message)
    })?;
    Ok(match text.strip_prefix('\u{feff}') {
        Some(text) => text.to_string(),
        None => text,
    })
}

/// The characters of a text, each with a number: what a model of text by character reads.
///
/// ```
/// use toygrad::io::Characters;
/// let characters = Characters::of("hello");
/// assert_eq!(characters.alphabet(), ['e', 'h', 'l', 'o']);
/// assert_eq!(characters.encode("hole")?, [1, 3, 2, 0]);
/// assert_eq!(characters.decode(&[1, 0, 9]), "he\u{fffd}");
/// assert!(characters.encode("x").is_err());
/// # Ok::<(), toygrad::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Characters {
    alphabet: Vec<char>,
    numbers: HashMap<char, i64>,
}

impl Characters {
    /// The distinct characters of a text, in the order of Unicode.
    pub fn of(text: &str) -> Characters {
        let mut alphabet: Vec<char> = text
            .chars()
            .collect::<std::collections::HashSet<_>>()
            .into_iter()
            .collect();
        alphabet.sort_unstable();
        let numbers = (0..).zip(&alphabet).map(|(i, &c)| (c, i)).collect();
        Characters { alphabet, numbers }
    }

    /// The characters; the position of each is its number.
    pub fn alphabet(&self) -> &[char] {
        &self.alphabet
    }

    /// The numbers of a text.
    ///
    /// # Errors
    /// A character that is not in the alphabet.
    #[track_caller]
    pub fn encode(&self, text: &str) -> Result<Vec<i64>> {
        let number = |c: char| {
            self.numbers.get(&c).copied().ok_or_else(|| {
                Error::argument(format!("{c:?} is none of the characters that are known"))
            })
        };
        text.chars().map(number).collect()
    }

    /// The text of numbers; one without a character becomes U+FFFD.
    pub fn decode(&self, numbers: &[i64]) -> String {
        let character = |&i: &i64| {
            let c = usize::try_from(i).ok().and_then(|i| self.alphabet.get(i));
            c.copied().unwrap_or('\u{fffd}')
        };
        numbers.iter().map(character).collect()
    }
}
