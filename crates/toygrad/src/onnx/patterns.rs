//! What several nodes are together: operators that ONNX has in one.

use crate::api::trace::is_input;
use crate::graph::row::Onnx;
use crate::graph::{Kind, Movement};
use crate::{Shape, Value};

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

/// A convolution of `[n, channels, ..]`; lists have an entry for each spatial axis.
pub(super) struct Convolution<'a> {
    pub x: &'a Value,
    /// Its elements are those of the weight, in order.
    pub weight: &'a Value,
    /// `[outputs, channels / groups, kernel..]`.
    pub weight_shape: Shape,
    /// Zeros before each spatial axis, then those behind each.
    pub pads: Vec<usize>,
    pub strides: Vec<usize>,
    pub dilations: Vec<usize>,
    pub groups: usize,
}

/// Windows along the spatial axes of what they are taken from.
struct Windows<'a> {
    from: &'a Value,
    strides: Vec<usize>,
    dilations: Vec<usize>,
}

/// The convolution that `y` is, as `nn` writes it: kernels as matrices, times columns of what they
/// see.
pub(super) fn convolution(y: &Value) -> Option<Convolution<'_>> {
    let n = y.rank().checked_sub(2).filter(|&n| n > 0)?;
    let (kernels, columns) = reshaped(y).skip(1).find_map(factors)?;
    // [groups, outputs of a group, kernel.., channels of a group]
    let turned = reshaped(narrow(kernels, 2))
        .find(|v| turns(v, [0, 1].into_iter().chain(3..3 + n).chain([2])))?;
    let weight = turned.inputs().first()?;
    let [groups, outputs, channels, kernel @ ..] = &weight.shape()[..] else {
        return None;
    };
    if kernel.contains(&0) {
        return None;
    }
    let windows = slices(columns, kernel).or_else(|| views(columns, kernel))?;
    // [n, groups, channels of a group, positions..]
    let grouped = windows.from;
    let fits = grouped.rank() == 3 + n
        && grouped.shape()[..3] == [y.shape()[0], *groups, *channels]
        && y.shape()[1] == groups * outputs;
    let positions = |i: usize| {
        let span = windows.dilations[i] * (kernel[i] - 1) + 1;
        grouped.shape()[3 + i]
            .checked_sub(span)
            .map(|rest| rest / windows.strides[i] + 1)
    };
    if !fits || (0..n).any(|i| positions(i) != Some(y.shape()[2 + i])) {
        return None;
    }
    let flat = |v: &&Value| v.rank() == 2 + n && v.shape()[2..] == grouped.shape()[3..];
    let around = reshaped(grouped).find(flat)?;
    let (x, pads) = match movement(around) {
        Some(Movement::Embed { start, step })
            if step.iter().all(|&s| s == 1)
                && around.inputs()[0].shape()[..2] == around.shape()[..2] =>
        {
            let x = &around.inputs()[0];
            let behind = (2..2 + n).map(|a| around.shape()[a] - start[a] - x.shape()[a]);
            (x, start[2..].iter().copied().chain(behind).collect())
        }
        _ => (around, vec![0; 2 * n]),
    };
    let shape = [groups * outputs, *channels].into_iter();
    Some(Convolution {
        x,
        weight,
        weight_shape: shape.chain(kernel.iter().copied()).collect(),
        pads,
        strides: windows.strides,
        dilations: windows.dilations,
        groups: *groups,
    })
}

/// A number for each channel of `[n, channels, ..]`, that is broadcast to `bias`: `[channels]`.
pub(super) fn of_channels<'a>(bias: &'a Value, y: &Value) -> Option<&'a Value> {
    let narrow = narrow(bias, 0);
    let [_, channels, positions @ ..] = &y.shape()[..] else {
        return None;
    };
    let fits = |shape: &[usize]| {
        shape.first() == Some(channels)
            && shape.len() == 1 + positions.len()
            && shape[1..].iter().all(|&n| n == 1)
    };
    let flat = reshaped(narrow).find(|v| v.rank() == 1)?;
    fits(narrow.shape()).then_some(flat)
}

/// Whether it is a permutation in this order.
fn turns(v: &Value, order: impl Iterator<Item = usize>) -> bool {
    matches!(movement(v), Some(Movement::Permute(p)) if p.iter().copied().eq(order))
}

/// What slices of slices are taken from, and from where, how far apart.
fn slice_of(v: &Value) -> (&Value, Vec<usize>, Vec<isize>) {
    let (mut v, mut starts, mut steps) = (v, vec![0; v.rank()], vec![1; v.rank()]);
    while let Some(Movement::Slice { start, step }) = movement(v) {
        for a in 0..v.rank() {
            starts[a] = start[a].wrapping_add_signed(starts[a] as isize * step[a]);
            steps[a] *= step[a];
        }
        v = &v.inputs()[0];
    }
    (v, starts, steps)
}

/// Columns made of a slice for each position of the kernel, end to end.
fn slices<'a>(columns: &'a Value, kernel: &[usize]) -> Option<Windows<'a>> {
    let n = kernel.len();
    let rank = |v: &&Value| v.rank() == 3 + n;
    let stack = reshaped(columns).find(rank)?;
    let parts = match stack.kind() {
        Some(Kind::Concat(2)) if !is_input(stack) => stack.inputs(),
        _ => std::slice::from_ref(stack),
    };
    let parts: Vec<_> = parts.iter().map(slice_of).collect();
    let (from, _, steps) = parts.first()?;
    let strides: Option<Vec<usize>> = steps[3..]
        .iter()
        .map(|&s| usize::try_from(s).ok())
        .collect();
    // Of the second position of an axis, the parts of those behind it come first.
    let second = |i: usize| parts.get(kernel[i + 1..].iter().product::<usize>());
    let apart = |i: usize| match kernel[i] {
        1 => Some(1),
        _ => second(i).map(|part| part.1[3 + i]),
    };
    let dilations: Vec<usize> = (0..n).map(apart).collect::<Option<_>>()?;
    let mut place = vec![0; n];
    for part in &parts {
        let starts = place.iter().zip(&dilations).map(|(k, d)| k * d);
        let wanted = [0; 3].into_iter().chain(starts);
        if !part.0.is(from) || !part.1.iter().copied().eq(wanted) || part.2 != *steps {
            return None;
        }
        for i in (0..n).rev() {
            place[i] = (place[i] + 1) % kernel[i];
            if place[i] > 0 {
                break;
            }
        }
    }
    let all = parts.len() == kernel.iter().product::<usize>() && steps[..3] == [1; 3];
    let strides = strides.filter(|s| all && s.iter().all(|&s| s > 0))?;
    Some(Windows {
        from,
        strides,
        dilations,
    })
}

/// Columns made of windows along each axis.
fn views<'a>(columns: &'a Value, kernel: &[usize]) -> Option<Windows<'a>> {
    let n = kernel.len();
    let order = || (0..2).chain(3 + n..3 + 2 * n).chain(2..3 + n);
    let turned = reshaped(columns).find(|v| turns(v, order()))?;
    let (mut strides, mut dilations) = (vec![1; n], vec![1; n]);
    let mut from = turned.inputs().first()?;
    for i in (0..n).rev() {
        match movement(from)? {
            Movement::Window {
                axis,
                size,
                step,
                dilation,
            } if *axis == 3 + i && *size == kernel[i] => {
                (strides[i], dilations[i]) = (*step, *dilation);
            }
            _ => return None,
        }
        from = from.inputs().first()?;
    }
    Some(Windows {
        from,
        strides,
        dilations,
    })
}

/// The largest of windows along the spatial axes of `[n, channels, ..]`.
pub(super) struct MaxPool<'a> {
    pub x: &'a Value,
    pub kernel: Vec<usize>,
    pub strides: Vec<usize>,
    /// Before each axis, then behind each.
    pub pads: Vec<usize>,
}

/// The pooling that `y` is: maxima of slices along one axis, of which each may be a pooling along
/// others.
pub(super) fn max_pool(y: &Value) -> Option<MaxPool<'_>> {
    let n = y.rank().checked_sub(2).filter(|_| y.dtype().is_float())?;
    let (mut kernel, mut strides) = (vec![1; n], vec![1; n]);
    let mut x = y;
    while let Some((from, axis, size, stride)) = maxima(x).filter(|m| kernel[m.1] == 1) {
        (x, kernel[axis], strides[axis]) = (from, size, stride);
    }
    if x.is(y) {
        return None;
    }
    let mut pads = vec![0; 2 * n];
    if let Some((inner, start, around)) = padded(x)
        && around == f64::NEG_INFINITY
        && start[..2] == [0; 2]
        && inner.shape()[..2] == x.shape()[..2]
    {
        let behind = (2..2 + n).map(|a| x.shape()[a] - start[a] - inner.shape()[a]);
        let around: Vec<usize> = start[2..].iter().copied().chain(behind).collect();
        if around.iter().enumerate().all(|(i, &p)| p < kernel[i % n]) {
            (x, pads) = (inner, around);
        }
    }
    Some(MaxPool {
        x,
        kernel,
        strides,
        pads,
    })
}

/// Longer chains of maxima are no windows: those are reduced.
const LONGEST: usize = 32;

/// What `y` is the maximum of slices of: that, the spatial axis, how many, and their step.
fn maxima(y: &Value) -> Option<(&Value, usize, usize, usize)> {
    let mut parts = Vec::new();
    let mut rest = y;
    while let (Some(Kind::Map(row)), [a, b], false) = (rest.kind(), rest.inputs(), is_input(rest))
        && matches!(row.0.onnx, Onnx::Operator("Max"))
        && parts.len() < LONGEST
    {
        parts.push(slice_of(b));
        rest = a;
    }
    parts.push(slice_of(rest));
    parts.reverse();
    let (from, _, steps) = parts.get(1)?;
    let cut = |&a: &usize| from.shape()[a] != y.shape()[a];
    let axis = (2..y.rank()).find(cut)?;
    let stride = usize::try_from(steps[axis]).ok().filter(|&s| s > 0)?;
    let fits = |(k, part): (usize, &(&Value, Vec<usize>, Vec<isize>))| {
        let wanted = |a: usize| {
            if a == axis {
                (k, stride as isize)
            } else {
                (0, 1)
            }
        };
        part.0.is(from) && (0..y.rank()).all(|a| (part.1[a], part.2[a]) == wanted(a))
    };
    let windows = from.shape()[axis].checked_sub(parts.len())? / stride + 1;
    let same = (0..y.rank()).all(|a| a == axis || from.shape()[a] == y.shape()[a]);
    let fits = same && windows == y.shape()[axis] && parts.iter().enumerate().all(fits);
    fits.then_some((*from, axis - 2, parts.len(), stride))
}
