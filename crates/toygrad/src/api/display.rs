//! Printing, as NumPy prints.

use crate::graph::Op;
use crate::{DType, Value};
use std::fmt;

/// How arrays are printed.
#[derive(Clone, Copy, Debug)]
pub struct PrintOptions {
    /// Digits after the point, at most.
    pub precision: usize,
    /// Arrays of more elements are elided.
    pub threshold: usize,
    /// How many elements of an axis are shown at each end of what is elided.
    pub edge: usize,
}

impl Default for PrintOptions {
    fn default() -> Self {
        PrintOptions {
            precision: 4,
            threshold: 1000,
            edge: 3,
        }
    }
}

impl Value {
    /// The elements as NumPy prints them, with shape and dtype after an array.
    ///
    /// # Errors
    /// As [`to_vec`](Value::to_vec).
    pub fn format(&self, options: PrintOptions) -> crate::Result<String> {
        // More digits than any number has are an error for `format!`.
        let precision = options.precision.min(320);
        let options = PrintOptions {
            precision,
            ..options
        };
        let elements: Vec<f64> = self.to_vec()?;
        let shown = Shown {
            dims: self.shape(),
            elements: &elements,
            dtype: self.dtype(),
            options,
        };
        let mut text = shown.array();
        if self.rank() > 0 {
            text += &format!(" {} {}", self.shape(), self.dtype());
        }
        Ok(text)
    }
}

struct Shown<'a> {
    dims: &'a [usize],
    elements: &'a [f64],
    dtype: DType,
    options: PrintOptions,
}

impl Shown<'_> {
    /// The positions of an axis to print; `None` is the ellipsis.
    fn positions(&self, len: usize) -> Vec<Option<usize>> {
        let edge = self.options.edge;
        if self.elements.len() <= self.options.threshold || len <= edge.saturating_mul(2) {
            return (0..len).map(Some).collect();
        }
        (0..edge)
            .map(Some)
            .chain([None])
            .chain((len - edge..len).map(Some))
            .collect()
    }

    fn array(&self) -> String {
        if self.elements.is_empty() {
            return "[]".into();
        }
        let mut offsets = Vec::new();
        self.visible(0, 0, &mut offsets);
        let scientific = self.scientific(&offsets);
        let width = offsets
            .iter()
            .map(|&i| self.number(i, scientific).len())
            .max()
            .unwrap_or(0);
        let mut out = String::new();
        self.write(
            0,
            0,
            scientific,
            if self.dims.is_empty() { 0 } else { width },
            &mut out,
        );
        out
    }

    fn visible(&self, axis: usize, offset: usize, out: &mut Vec<usize>) {
        let Some(&len) = self.dims.get(axis) else {
            out.push(offset);
            return;
        };
        for i in self.positions(len).into_iter().flatten() {
            self.visible(axis + 1, offset * len + i, out);
        }
    }

    fn scientific(&self, offsets: &[usize]) -> bool {
        let sizes = offsets.iter().map(|&i| self.elements[i].abs());
        let sizes: Vec<f64> = sizes.filter(|x| x.is_finite() && *x > 0.0).collect();
        let largest = sizes.iter().copied().fold(0.0, f64::max);
        let smallest = sizes.iter().copied().fold(f64::INFINITY, f64::min);
        self.dtype.is_float() && (largest >= 1e8 || (largest > 0.0 && smallest < 1e-4))
    }

    fn number(&self, i: usize, scientific: bool) -> String {
        let x = self.elements[i];
        match self.dtype {
            DType::Bool => if x != 0.0 { "true" } else { "false" }.into(),
            DType::U8 | DType::I64 => format!("{x}"),
            _ if !x.is_finite() => format!("{x}").to_lowercase(),
            _ if scientific => format!("{x:.*e}", self.options.precision),
            _ => {
                let text = format!("{x:.*}", self.options.precision);
                let short = text.trim_end_matches('0');
                let short = if short.ends_with('.') {
                    format!("{short}0")
                } else {
                    short.to_string()
                };
                if self.options.precision == 0 {
                    text
                } else {
                    short
                }
            }
        }
    }

    fn write(&self, axis: usize, offset: usize, scientific: bool, width: usize, out: &mut String) {
        let Some(&len) = self.dims.get(axis) else {
            *out += &format!("{:>width$}", self.number(offset, scientific));
            return;
        };
        let last = axis + 1 == self.dims.len();
        let gap = "\n".repeat(self.dims.len() - axis - 1) + &" ".repeat(axis + 1);
        out.push('[');
        for (k, position) in self.positions(len).into_iter().enumerate() {
            match (k, last) {
                (0, _) => {}
                (_, true) => out.push(' '),
                (_, false) => *out += &gap,
            }
            match position {
                Some(i) => self.write(axis + 1, offset * len + i, scientific, width, out),
                None => *out += "...",
            }
        }
        out.push(']');
    }
}

impl fmt::Display for Value {
    /// The elements (this computes them); a mistake prints as what it is. The precision of the
    /// format (`{:.2}`) gives the digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut options = PrintOptions::default();
        if let Some(precision) = f.precision() {
            options.precision = precision;
        }
        match self.format(options) {
            Ok(text) => f.pad_integral(true, "", &text),
            Err(e) => write!(f, "<error: {e}>"),
        }
    }
}

impl fmt::Debug for Value {
    /// What it is; its elements only if they are known already.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(e) = self.error() {
            return write!(f, "<error: {e}>");
        }
        match (self.known(), &self.0.op) {
            (Some(_), _) => write!(f, "{self}"),
            (None, op @ Op::Leaf(_)) if self.as_full().is_some() => {
                write!(
                    f,
                    "<{} {} {}: {}>",
                    op.name(),
                    self.shape(),
                    self.dtype(),
                    self.as_full().unwrap_or(0.0)
                )
            }
            (None, op) => write!(
                f,
                "<{} {} {}, not evaluated>",
                op.name(),
                self.shape(),
                self.dtype()
            ),
        }
    }
}
