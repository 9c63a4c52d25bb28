//! Products of matrices and vectors.

use crate::error::Caller;
use crate::graph::Kind;
use crate::graph::build::{failed, mistake};
use crate::{DType, Shape, Value};
use smallvec::smallvec;
use std::panic::Location;

/// Cotangents of the factors of `a @ b`: each is the product of the cotangent with the other
/// factor, transposed.
pub(crate) fn adjoint(which: usize, g: &Value, inputs: &[Value]) -> Value {
    match (which, inputs) {
        (0, [_, b]) => product(g, &swapped(b), g.0.at),
        (_, [a, ..]) => product(&swapped(a), g, g.0.at),
        (_, []) => g.clone(),
    }
}

fn swapped(x: &Value) -> Value {
    let n = x.rank();
    let order = (0..n - 2).chain([n - 1, n - 2]).collect();
    x.permute_at(order, x.0.at)
}

/// `[.., m, k] @ [.., k, n]` with equal leading axes and dtypes.
pub(crate) fn product(a: &Value, b: &Value, at: Caller) -> Value {
    let r = a.rank();
    let shape = a.shape().with(r - 1, b.shape()[r - 1]);
    Value::apply(
        Kind::MatMul,
        smallvec![a.clone(), b.clone()],
        shape,
        a.dtype(),
        at,
    )
}

impl Value {
    /// The matrix product, as `@` in NumPy: of vectors the dot product, of matrices and vectors
    /// what fits, of stacks of matrices the stack of products, with leading axes broadcast.
    /// Whole numbers are multiplied as f32, i64 as f64.
    ///
    /// ```
    /// use toygrad::prelude::*;
    /// let a = Value::from([[1.0, 2.0], [3.0, 4.0]]);
    /// assert_eq!(a.matmul([1.0, 1.0]).to_vec::<f64>()?, [3.0, 7.0]);
    /// # Ok::<(), toygrad::Error>(())
    /// ```
    #[track_caller]
    pub fn matmul(&self, other: impl Into<Value>) -> Value {
        self.matmul_at(&other.into(), Location::caller())
    }

    fn matmul_at(&self, b: &Value, at: Caller) -> Value {
        let a = self;
        if let Some(e) = failed([a, b]) {
            return e;
        }
        let cannot = |hint: String| {
            let message = format!(
                "cannot multiply matrices of shapes {} and {}",
                a.shape(),
                b.shape()
            );
            mistake(at, message, &[("left", a), ("right", b)], Some(hint))
        };
        if a.rank() == 0 || b.rank() == 0 {
            return cannot("a scalar is no matrix: use `*`".into());
        }
        let dtype = match (a.dtype().promote(b.dtype()), a.0.weak, b.0.weak) {
            (_, true, false) if b.dtype().is_float() => b.dtype(),
            (_, false, true) if a.dtype().is_float() => a.dtype(),
            (DType::I64, ..) => DType::F64,
            (dtype, ..) => dtype.to_float(),
        };
        let left = if a.rank() == 1 {
            a.unsqueeze(0)
        } else {
            a.clone()
        };
        let right = if b.rank() == 1 {
            b.unsqueeze(1)
        } else {
            b.clone()
        };
        let [leading_a @ .., m, k] = &left.shape()[..] else {
            return cannot(String::new());
        };
        let [leading_b @ .., k2, n] = &right.shape()[..] else {
            return cannot(String::new());
        };
        if k != k2 {
            return cannot(format!("the left has {k} columns, the right {k2} rows"));
        }
        let Some(leading) = Shape::from(leading_a).broadcast(&Shape::from(leading_b)) else {
            return cannot("the leading axes must be equal or 1".into());
        };
        let with = |x: usize, y: usize| leading.iter().copied().chain([x, y]).collect::<Shape>();
        if [with(*m, *n), with(*m, *k), with(*k, *n)]
            .iter()
            .any(|s| s.checked_len().is_none())
        {
            return cannot("the product is too large".into());
        }
        let y = if leading_b.iter().all(|&d| d == 1)
            && leading_a.len() >= leading_b.len()
            && left.rank() > 2
        {
            // One matrix on the right: all rows of the left are one tall matrix.
            let rows = leading.iter().product::<usize>() * m;
            let tall = left
                .cast_at(dtype, at)
                .reshape_at(&Shape::from([rows, *k]), at);
            let right = right
                .cast_at(dtype, at)
                .reshape_at(&Shape::from([*k, *n]), at);
            product(&tall, &right, at).reshape_at(&with(*m, *n), at)
        } else {
            let left = left.cast_at(dtype, at).expand_at(&with(*m, *k), at);
            let right = right.cast_at(dtype, at).expand_at(&with(*k, *n), at);
            product(&left, &right, at)
        };
        let r = y.rank();
        let drop = |y: Value, axis: usize| y.reshape_at(&y.shape().remove(axis), at);
        match (a.rank(), b.rank()) {
            (1, 1) => y.reshape_at(&Shape::scalar(), at),
            (1, _) => drop(y, r - 2),
            (_, 1) => drop(y, r - 1),
            _ => y,
        }
    }

    /// The sum of the products of the elements of two vectors.
    #[track_caller]
    pub fn dot(&self, other: impl Into<Value>) -> Value {
        let (at, other) = (Location::caller(), other.into());
        match failed([self, &other]) {
            Some(e) => e,
            None if self.rank() == 1 && other.rank() == 1 => self.matmul(other),
            None => {
                let message = format!(
                    "cannot take the dot product of shapes {} and {}",
                    self.shape(),
                    other.shape()
                );
                let hint = Some("it is that of two vectors; `matmul` takes matrices".to_string());
                mistake(at, message, &[("left", self), ("right", &other)], hint)
            }
        }
    }

    /// The products of each element of one vector with each of the other: `[n] x [m] -> [n, m]`.
    #[track_caller]
    pub fn outer(&self, other: impl Into<Value>) -> Value {
        let other = other.into();
        match failed([self, &other]) {
            Some(e) => e,
            None => self.flatten().unsqueeze(1) * other.flatten().unsqueeze(0),
        }
    }
}

/// A sum of products over named axes, as `numpy.einsum`: `einsum("bij,bjk->bik", [&a, &b])`.
/// Without `->`, the letters that occur once are kept, in alphabetical order.
///
/// ```
/// use toygrad::prelude::*;
/// let a = Value::from([[1.0, 2.0], [3.0, 4.0]]);
/// assert_eq!(einsum("ii->", [&a]).item()?, 5.0);
/// assert_eq!(einsum("ij,kj->ik", [&a, &a]).to_vec::<f64>()?, [5.0, 11.0, 11.0, 25.0]);
/// # Ok::<(), toygrad::Error>(())
/// ```
#[track_caller]
pub fn einsum<V: Into<Value>>(formula: &str, operands: impl IntoIterator<Item = V>) -> Value {
    let at = Location::caller();
    let operands: Vec<Value> = operands.into_iter().map(Into::into).collect();
    if let Some(e) = failed(&operands) {
        return e;
    }
    crate::graph::located(at, || einsum_of(formula, &operands)).unwrap_or_else(|why| {
        let labels = ["first", "second", "third", "fourth"];
        let named: Vec<_> = labels.into_iter().zip(&operands).collect();
        mistake(
            at,
            format!("cannot evaluate einsum \"{formula}\": {why}"),
            &named,
            None,
        )
    })
}

/// A Value and the letter of each of its axes.
struct Term {
    value: Value,
    letters: Vec<char>,
}

fn einsum_of(formula: &str, operands: &[Value]) -> Result<Value, String> {
    let compact: String = formula.chars().filter(|c| !c.is_whitespace()).collect();
    let (inputs, output) = match compact.split_once("->") {
        Some((inputs, output)) => (inputs.to_string(), Some(output.to_string())),
        None => (compact, None),
    };
    let inputs: Vec<Vec<char>> = inputs.split(',').map(|s| s.chars().collect()).collect();
    if inputs.len() != operands.len() {
        return Err(format!(
            "it names {} operands, {} came",
            inputs.len(),
            operands.len()
        ));
    }
    // In the order of letters.
    let mut lengths: Vec<(char, usize)> = Vec::new();
    for (letters, v) in inputs.iter().zip(operands) {
        if letters.len() != v.rank() {
            let name: String = letters.iter().collect();
            return Err(format!(
                "\"{name}\" names {} axes of shape {}",
                letters.len(),
                v.shape()
            ));
        }
        for (&c, &n) in letters.iter().zip(v.shape().iter()) {
            if !c.is_alphabetic() {
                return Err(format!("`{c}` is no letter"));
            }
            match lengths.binary_search_by_key(&c, |l| l.0) {
                Ok(at) if lengths[at].1 != n => {
                    return Err(format!("axis `{c}` has length {} and {n}", lengths[at].1));
                }
                Ok(_) => {}
                Err(at) => lengths.insert(at, (c, n)),
            }
        }
    }
    let once = |c: &char| inputs.iter().flatten().filter(|d| *d == c).count() == 1;
    let output: Vec<char> = match output {
        Some(o) => o.chars().collect(),
        None => lengths.iter().map(|l| l.0).filter(once).collect(),
    };
    for (i, c) in output.iter().enumerate() {
        if lengths.iter().all(|l| l.0 != *c) || output[..i].contains(c) {
            return Err(format!(
                "`{c}` in the result must be an axis of an operand, once"
            ));
        }
    }
    let mut terms: Vec<Term> = Vec::new();
    for (value, letters) in operands.iter().zip(&inputs) {
        terms.push(diagonals(Term {
            value: value.clone(),
            letters: letters.clone(),
        }));
    }
    while terms.len() > 1 {
        let right = terms.remove(1);
        let wanted =
            |c: &char| output.contains(c) || terms[1..].iter().any(|t| t.letters.contains(c));
        terms[0] = contract(&terms[0], &right, wanted);
    }
    let Some(last) = terms.pop() else {
        return Err("it has no operand".into());
    };
    let last = summed(last, |c| output.contains(c));
    let axis = |c: &char| last.letters.iter().position(|d| d == c);
    let order: Option<Vec<usize>> = output.iter().map(axis).collect();
    order
        .map(|order| last.value.permute(order))
        .ok_or_else(|| "an axis got lost".into())
}

/// Repeated letters of one operand: its diagonal.
fn diagonals(mut term: Term) -> Term {
    while let Some((i, j)) = (0..term.letters.len()).find_map(|i| {
        let j = (i + 1..term.letters.len()).find(|&j| term.letters[j] == term.letters[i])?;
        Some((i, j))
    }) {
        let n = term.value.shape()[i];
        let rank = term.value.rank();
        let line = |axis: usize| {
            let shape: Shape = (0..rank).map(|a| if a == axis { n } else { 1 }).collect();
            Value::arange(0..n).reshape(shape)
        };
        let on = line(i).eq(line(j));
        term.value = on.select(&term.value, 0.0).sum_axis(j);
        term.letters.remove(j);
    }
    term
}

/// Summed over the letters that are not wanted.
fn summed(term: Term, wanted: impl Fn(&char) -> bool) -> Term {
    let drop: Vec<usize> = (0..term.letters.len())
        .filter(|&a| !wanted(&term.letters[a]))
        .collect();
    match drop.is_empty() {
        true => term,
        false => Term {
            value: term.value.sum_axis(drop),
            letters: term.letters.into_iter().filter(|c| wanted(c)).collect(),
        },
    }
}

/// Two terms as one matrix product: shared wanted letters lead, shared unwanted ones are summed.
fn contract(a: &Term, b: &Term, wanted: impl Fn(&char) -> bool) -> Term {
    let keep = |t: &Term, other: &Term| {
        let copy = Term {
            value: t.value.clone(),
            letters: t.letters.clone(),
        };
        summed(copy, |c| wanted(c) || other.letters.contains(c))
    };
    let (a, b) = (keep(a, b), keep(b, a));
    let shared = |c: &&char| b.letters.contains(c);
    let batch: Vec<char> = a
        .letters
        .iter()
        .filter(shared)
        .filter(|c| wanted(c))
        .copied()
        .collect();
    let inner: Vec<char> = a
        .letters
        .iter()
        .filter(shared)
        .filter(|c| !wanted(c))
        .copied()
        .collect();
    let left: Vec<char> = a
        .letters
        .iter()
        .filter(|c| !b.letters.contains(c))
        .copied()
        .collect();
    let right: Vec<char> = b
        .letters
        .iter()
        .filter(|c| !a.letters.contains(c))
        .copied()
        .collect();
    let arranged = |t: &Term, second: &[char], third: &[char]| {
        let letters = batch.iter().chain(second).chain(third);
        let order: Vec<usize> = letters
            .filter_map(|c| t.letters.iter().position(|d| d == c))
            .collect();
        let value = t.value.permute(order);
        let (x, y) = (batch.len(), batch.len() + second.len());
        let part = |r: std::ops::Range<usize>| value.shape()[r].iter().product::<usize>();
        let shape: Shape = value.shape()[..x]
            .iter()
            .copied()
            .chain([part(x..y), part(y..value.rank())])
            .collect();
        value.reshape(shape)
    };
    let product = arranged(&a, &left, &inner).matmul(arranged(&b, &inner, &right));
    let letters: Vec<char> = batch.iter().chain(&left).chain(&right).copied().collect();
    let length = |c: &char| {
        let find = |t: &Term| {
            t.letters
                .iter()
                .position(|d| d == c)
                .map(|i| t.value.shape()[i])
        };
        find(&a).or_else(|| find(&b)).unwrap_or(1)
    };
    let shape: Shape = letters.iter().map(length).collect();
    Term {
        value: product.reshape(shape),
        letters,
    }
}
