//! The reference evaluator: slow and obviously right. In f64, one node at a time, an index at a
//! time; it shares nothing with the compiler and the executor, which tests hold against it.

use crate::graph::build::Origin;
use crate::graph::walk::Order;
use crate::graph::{Extreme, Kind, Leaf, Movement, Op, Reduction};
use crate::philox::{uniform_f32, uniform_f64};
use crate::{DType, Error, Result, Shape, Value};

/// The elements of each Value, in row-major order.
///
/// # Errors
/// The first mistake among the Values; a position that is out of range.
#[track_caller]
pub fn oracle(values: &[Value]) -> Result<Vec<Vec<f64>>> {
    let order = Order::new(values, |_| false);
    if let Some(e) = crate::graph::build::failed(order.nodes.iter().copied()) {
        return Err(e
            .error()
            .cloned()
            .unwrap_or_else(|| Error::read("a mistake")));
    }
    let mut done: Vec<Vec<f64>> = Vec::new();
    for node in &order.nodes {
        let inputs: Vec<&Vec<f64>> = node
            .inputs()
            .iter()
            .filter_map(|x| order.position(x))
            .map(|i| &done[i])
            .collect();
        let elements = compute(node, &inputs)?;
        done.push(elements);
    }
    Ok(values
        .iter()
        .filter_map(|v| order.position(v))
        .map(|i| done[i].clone())
        .collect())
}

/// The index of element `i` of an array of `shape`.
fn unravel(mut i: usize, shape: &[usize]) -> Vec<usize> {
    let mut index = vec![0; shape.len()];
    for axis in (0..shape.len()).rev() {
        index[axis] = i % shape[axis];
        i /= shape[axis];
    }
    index
}

/// The element that an index names.
fn ravel(index: &[usize], shape: &[usize]) -> usize {
    index.iter().zip(shape).fold(0, |at, (i, n)| at * n + i)
}

fn compute(node: &Value, x: &[&Vec<f64>]) -> Result<Vec<f64>> {
    let shape = node.shape();
    let n = shape.elements();
    let kind = match &node.0.op {
        Op::Leaf(Leaf::Full(number)) => return Ok(vec![*number; n]),
        Op::Leaf(Leaf::Random { key, position }) => {
            return Ok(random(*key, *position, node.dtype(), n));
        }
        Op::Leaf(_) => {
            let data = node
                .known()
                .ok_or_else(|| Error::read("a number asked for while recording"))?;
            return Ok(data.to_f64());
        }
        Op::Alias(_) if x.is_empty() => {
            let data = node
                .known()
                .ok_or_else(|| Error::read("a parameter without elements"))?;
            return Ok(data.to_f64());
        }
        Op::Alias(_) => return Ok(x[0].clone()),
        Op::Apply(kind) => kind,
    };
    let from = node.inputs()[0].shape();
    let each = |f: &dyn Fn(Vec<usize>) -> f64| (0..n).map(|i| f(unravel(i, shape))).collect();
    Ok(match kind {
        Kind::Map(row) => (0..n)
            .map(|i| {
                let y = row.0.exact(&x.iter().map(|x| x[i]).collect::<Vec<_>>());
                wrap(y, node.dtype())
            })
            .collect(),
        Kind::Cast => x[0].iter().map(|&a| convert(a, node.dtype())).collect(),
        Kind::Reduce(reduction, axes) => {
            let start = match reduction {
                Reduction::Sum => 0.0,
                Reduction::Max => f64::NEG_INFINITY,
                Reduction::Min => f64::INFINITY,
            };
            let mut y = vec![start; n];
            for (i, &a) in x[0].iter().enumerate() {
                let mut index = unravel(i, from);
                (0..index.len())
                    .filter(|k| axes >> k & 1 == 1)
                    .for_each(|k| index[k] = 0);
                let y = &mut y[ravel(&index, shape)];
                *y = match reduction {
                    Reduction::Sum => *y + a,
                    Reduction::Max if a > *y || a.is_nan() => a,
                    Reduction::Min if a < *y || a.is_nan() => a,
                    Reduction::Max | Reduction::Min => *y,
                };
            }
            y
        }
        Kind::ArgReduce(which, axis) => each(&|mut index| {
            let mut best = 0;
            let mut at = |k: usize| {
                index[*axis] = k;
                x[0][ravel(&index, from)]
            };
            let mut top = at(0);
            for k in 1..from[*axis] {
                let a = at(k);
                let better = match which {
                    Extreme::Max => a > top,
                    Extreme::Min => a < top,
                };
                if (better || a.is_nan()) && !top.is_nan() {
                    (best, top) = (k, a);
                }
            }
            best as f64
        }),
        Kind::Move(movement) => moved(movement, x[0], from, shape),
        Kind::MatMul => {
            let other = node.inputs()[1].shape();
            let r = shape.rank();
            let inner = from[r - 1];
            each(&|index| {
                let (mut left, mut right) = (index.clone(), index);
                (0..inner)
                    .map(|k| {
                        left[r - 1] = k;
                        right[r - 2] = k;
                        x[0][ravel(&left, from)] * x[1][ravel(&right, other)]
                    })
                    .sum()
            })
        }
        Kind::Gather(axis) => {
            let mut y = Vec::with_capacity(n);
            for (i, &at) in x[1].iter().enumerate() {
                let mut index = unravel(i, shape);
                index[*axis] = position(at, from[*axis], node)?;
                y.push(x[0][ravel(&index, from)]);
            }
            y
        }
        Kind::ScatterAdd(axis) => {
            let mut y = vec![0.0; n];
            for (i, &at) in x[0].iter().enumerate() {
                let mut index = unravel(i, from);
                index[*axis] = position(at, shape[*axis], node)?;
                y[ravel(&index, shape)] += x[1][i];
            }
            y
        }
        Kind::CumSum { axis, reverse } => each(&|mut index| {
            let k = index[*axis];
            let range = if *reverse { k..shape[*axis] } else { 0..k + 1 };
            range
                .map(|k| {
                    index[*axis] = k;
                    x[0][ravel(&index, shape)]
                })
                .sum()
        }),
        Kind::ArgSort { axis, descending } => {
            let mut y = vec![0.0; n];
            for i in (0..n).filter(|&i| unravel(i, shape)[*axis] == 0) {
                let mut index = unravel(i, shape);
                let mut at = |k: usize| {
                    index[*axis] = k;
                    ravel(&index, shape)
                };
                let line: Vec<usize> = (0..shape[*axis]).map(&mut at).collect();
                let mut order: Vec<usize> = (0..line.len()).collect();
                order.sort_by(|&a, &b| {
                    let (a, b) = (x[0][line[a]], x[0][line[b]]);
                    let nan = a.is_nan().cmp(&b.is_nan());
                    let value = a.partial_cmp(&b).unwrap_or(std::cmp::Ordering::Equal);
                    nan.then(if *descending { value.reverse() } else { value })
                });
                order
                    .iter()
                    .zip(&line)
                    .for_each(|(&k, &at)| y[at] = k as f64);
            }
            y
        }
        Kind::Concat(axis) => each(&|mut index| {
            for (part, x) in node.inputs().iter().zip(x) {
                let len = part.shape()[*axis];
                if index[*axis] < len {
                    return x[ravel(&index, part.shape())];
                }
                index[*axis] -= len;
            }
            f64::NAN
        }),
    })
}

fn moved(movement: &Movement, x: &[f64], from: &Shape, to: &Shape) -> Vec<f64> {
    let n = to.elements();
    let each = |f: &dyn Fn(Vec<usize>) -> f64| (0..n).map(|i| f(unravel(i, to))).collect();
    match movement {
        Movement::Reshape => x.to_vec(),
        Movement::Permute(p) => each(&|index| {
            let mut source = vec![0; from.rank()];
            p.iter().zip(&index).for_each(|(&a, &i)| source[a] = i);
            x[ravel(&source, from)]
        }),
        Movement::Expand => each(&|mut index| {
            index
                .iter_mut()
                .zip(from.iter())
                .filter(|(_, n)| **n == 1)
                .for_each(|(i, _)| *i = 0);
            x[ravel(&index, from)]
        }),
        Movement::Slice { start, step } => each(&|index| {
            let at = |a: usize| (start[a] as isize + index[a] as isize * step[a]) as usize;
            x[ravel(&(0..index.len()).map(at).collect::<Vec<_>>(), from)]
        }),
        Movement::Embed { start, step } => {
            let mut y = vec![0.0; n];
            for (i, &v) in x.iter().enumerate() {
                let index = unravel(i, from);
                let at = |a: usize| (start[a] as isize + index[a] as isize * step[a]) as usize;
                y[ravel(&(0..index.len()).map(at).collect::<Vec<_>>(), to)] = v;
            }
            y
        }
        Movement::Window {
            axis,
            step,
            dilation,
            ..
        } => each(&|mut index| {
            let k = index.pop().unwrap_or(0);
            index[*axis] = index[*axis] * step + k * dilation;
            x[ravel(&index, from)]
        }),
        Movement::Fold {
            axis,
            step,
            dilation,
            ..
        } => {
            let mut y = vec![0.0; n];
            for (i, &v) in x.iter().enumerate() {
                let mut index = unravel(i, from);
                let k = index.pop().unwrap_or(0);
                index[*axis] = index[*axis] * step + k * dilation;
                y[ravel(&index, to)] += v;
            }
            y
        }
    }
}

/// A position that may count from the end, if it is one of `len`.
fn position(at: f64, len: usize, node: &Value) -> Result<usize> {
    match crate::shape::resolve(at as isize, len) {
        Some(i) => Ok(i),
        None => Err(Origin::of(node).out_of_range(at as i64, len)),
    }
}

fn random(key: u64, position: u64, dtype: DType, n: usize) -> Vec<f64> {
    match dtype {
        DType::F64 => {
            let blocks = (0..n.div_ceil(2) as u64).flat_map(|b| uniform_f64(key, position, b));
            blocks.take(n).collect()
        }
        _ => {
            let blocks = (0..n.div_ceil(4) as u64).flat_map(|b| uniform_f32(key, position, b));
            blocks.take(n).map(f64::from).collect()
        }
    }
}

/// Arithmetic of bytes wraps around; that of i64 is exact up to 2^53 here.
fn wrap(y: f64, dtype: DType) -> f64 {
    match dtype {
        DType::U8 | DType::I64 if y.is_nan() => 0.0,
        DType::U8 => y.rem_euclid(256.0),
        _ => y,
    }
}

fn convert(a: f64, dtype: DType) -> f64 {
    match dtype {
        DType::Bool => f64::from(a != 0.0),
        DType::U8 => f64::from(a as u8),
        DType::I64 => (a as i64) as f64,
        DType::F32 => f64::from(a as f32),
        DType::F64 => a,
    }
}
