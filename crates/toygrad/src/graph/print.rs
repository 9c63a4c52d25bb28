//! The graph as text.

use super::walk::Order;
use super::{Alias, Kind, Leaf, Movement, Op, Value};
use std::fmt::Write;

/// A line a node: its number, what it is, its inputs' numbers, shape and dtype.
pub(crate) fn text(root: &Value) -> String {
    let order = Order::new(std::slice::from_ref(root), |_| false);
    let mut out = String::new();
    for (i, node) in order.nodes.iter().enumerate() {
        let _ = write!(out, "%{i} = {}", node.0.op.name());
        if let Some(what) = detail(node) {
            let _ = write!(out, " {what}");
        }
        for x in node.inputs() {
            let _ = write!(out, " %{}", order.position(x).unwrap_or(i));
        }
        let _ = writeln!(out, " {} {}", node.shape(), node.dtype());
    }
    out
}

/// What a node's name does not say.
pub(crate) fn detail(node: &Value) -> Option<String> {
    Some(match &node.0.op {
        Op::Leaf(Leaf::Full(x)) => format!("{x}"),
        Op::Leaf(Leaf::Argument(i)) => format!("{i}"),
        Op::Alias(Alias::Cell(cell)) => {
            let cell = cell.upgrade()?;
            let content = cell.content.lock().unwrap_or_else(|e| e.into_inner());
            content.name.clone()?
        }
        Op::Apply(Kind::Reduce(_, axes)) => {
            let axes: Vec<usize> = (0..64).filter(|a| axes >> a & 1 == 1).collect();
            format!("{axes:?}")
        }
        Op::Apply(Kind::Gather(axis) | Kind::ScatterAdd(axis) | Kind::Concat(axis)) => {
            format!("[{axis}]")
        }
        Op::Apply(Kind::ArgReduce(_, axis)) => format!("[{axis}]"),
        Op::Apply(Kind::CumSum { axis, .. } | Kind::ArgSort { axis, .. }) => format!("[{axis}]"),
        Op::Apply(Kind::Move(movement)) => match &**movement {
            Movement::Reshape | Movement::Expand => return None,
            Movement::Permute(p) => format!("{:?}", &p[..]),
            Movement::Slice { start, step } | Movement::Embed { start, step } => {
                format!("from {:?} by {:?}", &start[..], &step[..])
            }
            Movement::Window {
                axis,
                size,
                step,
                dilation,
            }
            | Movement::Fold {
                axis,
                size,
                step,
                dilation,
            } => format!("axis {axis} size {size} step {step} dilation {dilation}"),
        },
        _ => return None,
    })
}
