//! What several nodes are together: operators that ONNX has in one.

use crate::Value;
use crate::api::trace::is_input;
use crate::graph::{Kind, Movement};

/// The movement that makes it, unless it is where the graph begins.
pub(super) fn movement(v: &Value) -> Option<&Movement> {
    match v.kind() {
        Some(Kind::Move(m)) if !is_input(v) => Some(m),
        _ => None,
    }
}

/// The factors of the product that makes it, if one does.
pub(super) fn factors(v: &Value) -> Option<(&Value, &Value)> {
    match (v.kind(), v.inputs()) {
        (Some(Kind::MatMul), [a, b]) if !is_input(v) => Some((a, b)),
        _ => None,
    }
}

/// It and what it is a reshape of, and so on.
pub(super) fn reshaped(v: &Value) -> impl Iterator<Item = &Value> {
    std::iter::successors(Some(v), |v| match movement(v) {
        Some(Movement::Reshape) => v.inputs().first(),
        _ => None,
    })
}

/// The matrix that it is the transpose of.
pub(super) fn transposed(v: &Value) -> Option<&Value> {
    match movement(v) {
        Some(Movement::Permute(p)) if p[..] == [1, 0] => v.inputs().first(),
        _ => None,
    }
}

/// What broadcasts to it, without its last `keep` axes being broadcast: ONNX broadcasts by itself.
pub(super) fn narrow(v: &Value, keep: usize) -> &Value {
    let fits = |x: &Value, v: &Value| {
        let tail = |v: &Value| v.shape()[v.rank() - keep..].to_vec();
        x.rank() >= keep && tail(x) == tail(v)
    };
    let mut v = v;
    while let (Some(m), [x]) = (movement(v), v.inputs()) {
        let lead = v.rank().saturating_sub(x.rank());
        let adds_axes =
            v.shape()[..lead].iter().all(|&n| n == 1) && v.shape()[lead..] == x.shape()[..];
        match m {
            Movement::Expand if fits(x, v) => v = x,
            Movement::Reshape if adds_axes && fits(x, v) => v = x,
            _ => break,
        }
    }
    v
}

/// What another number than 0 is put around, where, and the number: `pad_with` selects by what is
/// true inside.
pub(super) fn padded(v: &Value) -> Option<(&Value, &[usize], f64)> {
    let put = |v| match movement(v)? {
        Movement::Embed { start, step } if step.iter().all(|&s| s == 1) => {
            Some((v.inputs().first()?, &start[..]))
        }
        _ => None,
    };
    let [inside, x, around] = v.inputs() else {
        return None;
    };
    let ((whole, start), (x, same)) = (put(inside)?, put(x)?);
    let fits = start == same && whole.shape() == x.shape() && whole.as_full() == Some(1.0);
    Some((x, start, around.as_full()?)).filter(|_| fits)
}
