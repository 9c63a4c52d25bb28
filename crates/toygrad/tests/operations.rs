//! Every operation that is no row of the table: the executor against the reference, first and
//! second derivatives against differences, forward against reverse mode.

mod common;
use common::*;
use toygrad::{DType, Value, einsum, s};

struct Case {
    name: &'static str,
    shapes: &'static [&'static [usize]],
    f: fn(&[Value]) -> Value,
}

/// `name [shapes of the inputs] expression in x`: a table of cases.
macro_rules! cases {
    ($($name:literal [$($shape:expr),*] $x:ident => $f:expr;)*) => {
        &[$(Case { name: $name, shapes: &[$(&$shape),*], f: |$x: &[Value]| $f }),*]
    };
}

/// Inputs are drawn from (0.2, 1.8) with random signs, so that no two are equal and none is
/// at a kink.
const DIFFERENTIABLE: &[Case] = cases! {
    // Reductions.
    "sum" [[2, 3, 4]] x => x[0].sum();
    "sum of a scalar" [[]] x => x[0].sum();
    "sum over the first" [[2, 3, 4]] x => x[0].sum_axis(0);
    "sum over the middle" [[2, 3, 4]] x => x[0].sum_axis(1);
    "sum over the last" [[2, 3, 4]] x => x[0].sum_axis(-1);
    "sum over first and last" [[2, 3, 4]] x => x[0].sum_axis([0, -1]);
    "sum over no axis" [[2, 3]] x => x[0].sum_axis(Vec::<isize>::new());
    "sum, kept" [[2, 3, 4]] x => x[0].sum_keepdim([0, 2]);
    "sum of a transpose" [[4, 3]] x => x[0].t().sum_axis(1);
    "sum of an expansion" [[3, 1]] x => x[0].expand([2, 3, 4]).sum_axis([0, 2]);
    "prod" [[2, 3]] x => x[0].prod();
    "prod of five" [[5, 2]] x => x[0].prod_axis(0);
    "prod, kept" [[2, 3, 2]] x => x[0].prod_keepdim([0, 1]);
    "mean" [[2, 3]] x => x[0].mean();
    "mean over an axis" [[2, 3]] x => x[0].mean_axis(1);
    "max" [[2, 3]] x => x[0].max();
    "max over an axis" [[3, 4]] x => x[0].max_axis(0);
    "max, kept" [[2, 3, 2]] x => x[0].max_keepdim([0, 2]);
    "min" [[2, 3]] x => x[0].min();
    "min over an axis" [[3, 4]] x => x[0].min_axis(-1);
    "var" [[7]] x => x[0].var(1);
    "var over an axis" [[3, 4]] x => x[0].var_axis(0, 0);
    "std" [[2, 4]] x => x[0].std_axis(1, 1);
    "std of all" [[2, 4]] x => x[0].std(0);
    "norm" [[2, 3]] x => x[0].norm();
    "norm over an axis" [[2, 3]] x => x[0].norm_keepdim(1);
    "logsumexp" [[2, 3]] x => x[0].logsumexp();
    "logsumexp over an axis" [[2, 3, 2]] x => x[0].logsumexp_axis([1, 2]);
    "softmax" [[3, 4]] x => x[0].softmax(-1);
    "softmax over the first" [[3, 4]] x => x[0].softmax(0);
    "log_softmax" [[3, 4]] x => x[0].log_softmax(1);
    "standardize" [[3, 4]] x => x[0].standardize(-1, 1e-5);
    "standardize over two" [[2, 3, 2]] x => x[0].standardize([0, 2], 0.1);
    "cumsum" [[3, 4]] x => x[0].cumsum(1);
    "cumsum over the first" [[3, 4]] x => x[0].cumsum(0);
    // Movement.
    "reshape" [[2, 6]] x => x[0].reshape([3, -1]).square();
    "reshape of a transpose" [[2, 6]] x => x[0].t().reshape([3, 4]).square();
    "flatten" [[2, 3]] x => x[0].flatten().square();
    "flatten from" [[2, 3, 2]] x => x[0].flatten_from(1).square();
    "permute" [[2, 3, 4]] x => x[0].permute([2, 0, 1]).square();
    "transpose" [[2, 3, 4]] x => x[0].transpose(0, -1).square();
    "squeeze" [[1, 3, 1]] x => x[0].squeeze([0, 2]).square();
    "unsqueeze" [[3, 2]] x => x[0].unsqueeze(1).square() * x[0].unsqueeze(0);
    "expand" [[3, 1]] x => x[0].expand([2, 3, 4]).square();
    "slice" [[5, 7]] x => x[0].slice(s![1..-1;2, ..;3]).square();
    "slice backwards" [[5, 7]] x => x[0].slice(s![..;-2, -2..0;-3]).square();
    "slice of positions" [[3, 4, 2]] x => x[0].slice(s![-1, 1..3, 0]).square();
    "slice to nothing" [[3, 4]] x => x[0].slice(s![2..1]).square();
    "slice of a slice" [[9]] x => x[0].slice(s![1..;2]).slice(s![..;-2]).square();
    "narrow" [[5, 3]] x => x[0].narrow(0, 1, 3).square();
    "flip" [[2, 3]] x => x[0].flip(1) * &x[0];
    "pad" [[2, 3]] x => x[0].pad([(1, 0), (0, 2)]).square();
    "pad with a number" [[2, 3]] x => x[0].pad_with([(1, 0), (2, 2)], 3.0).square();
    "roll" [[2, 5]] x => x[0].roll(2, 1) * &x[0];
    "roll back" [[5, 2]] x => x[0].roll(-7, 0) * &x[0];
    "concat" [[2, 3], [2, 1], [2, 0]] x => Value::concat(x, 1).square();
    "concat with itself" [[2, 3]] x => Value::concat([&x[0], &x[0].sin()], 0).square();
    "stack" [[2, 3], [2, 3]] x => Value::stack(x, 1).square();
    "split" [[6, 2]] x => { let p = x[0].split([1, 2, 3], 0); &p[1] * &p[0] + p[2].sum() };
    "chunk" [[2, 6]] x => { let p = x[0].chunk(3, 1); &p[2] * &p[0] - &p[1] };
    "repeat" [[2, 3]] x => x[0].repeat([2, 2]).square();
    "tril" [[3, 4]] x => x[0].tril(1).square();
    "triu" [[2, 3, 3]] x => x[0].triu(-1).square();
    "windows" [[7, 2]] x => x[0].windows(0, 3, 2, 1).square();
    "windows, dilated" [[2, 8]] x => x[0].windows(1, 3, 1, 2).square();
    "windows of windows" [[5, 5]] x => x[0].windows(0, 2, 1, 1).windows(1, 3, 2, 1).square();
    // Products.
    "matmul" [[2, 3], [3, 4]] x => x[0].matmul(&x[1]);
    "matmul of vectors" [[3], [3]] x => x[0].matmul(&x[1]);
    "matrix and vector" [[2, 3], [3]] x => x[0].matmul(&x[1]);
    "vector and matrix" [[3], [3, 2]] x => x[0].matmul(&x[1]);
    "matmul of stacks" [[2, 2, 3], [2, 3, 2]] x => x[0].matmul(&x[1]);
    "stack and matrix" [[2, 2, 3], [3, 2]] x => x[0].matmul(&x[1]);
    "matrix and stack" [[2, 3], [2, 3, 2]] x => x[0].matmul(&x[1]);
    "stack and vector" [[2, 2, 3], [3]] x => x[0].matmul(&x[1]);
    "vector and stack" [[3], [2, 3, 2]] x => x[0].matmul(&x[1]);
    "matmul, broadcast" [[2, 1, 2, 3], [3, 3, 1]] x => x[0].matmul(&x[1]);
    "matmul with itself" [[3, 3]] x => x[0].matmul(&x[0]);
    "matmul with its transpose" [[2, 3]] x => x[0].matmul(x[0].t());
    "matmul of slices" [[5, 4], [3, 6]] x => x[0].slice(s![..;2, 1..]).matmul(x[1].slice(s![..;-1, ..;3]));
    "matmul over nothing" [[2, 0], [0, 3]] x => x[0].matmul(&x[1]);
    "dot" [[4], [4]] x => x[0].dot(&x[1]);
    "outer" [[2], [3]] x => x[0].outer(&x[1]);
    "einsum: matmul" [[2, 3], [3, 2]] x => einsum("ij,jk->ik", x);
    "einsum: implicit" [[2, 3], [3, 2]] x => einsum("ij,jk", x);
    "einsum: trace" [[3, 3]] x => einsum("ii->", x) * einsum("ii->i", x);
    "einsum: transpose" [[2, 3]] x => einsum("ij->ji", x).square();
    "einsum: batch" [[2, 2, 3], [2, 2, 3]] x => einsum("bij,bkj->bik", x);
    "einsum: sum" [[2, 3, 2]] x => einsum("ijk->j", x).square();
    "einsum: outer" [[2], [3]] x => einsum("i,j->ji", x);
    "einsum: three" [[2, 3], [3, 2], [2]] x => einsum("ij,jk,k->i", x);
    "einsum: bilinear" [[2], [3, 2, 3], [3]] x => einsum("i,kij,j->k", x);
    "einsum: summed alone" [[2, 3], [4]] x => einsum("ij,k->i", x);
    // Positions.
    "gather" [[3, 4]] x => x[0].gather(1, Value::from([[0, 3], [1, 1], [-1, 2]])).square();
    "gather, broadcast" [[3, 4]] x => x[0].gather(0, Value::from([[2], [0]])).square();
    "index_select" [[4, 3]] x => x[0].index_select(0, [2, 0, 2, -1]).square();
    "index_select by a matrix" [[2, 4]] x => x[0].index_select(1, [[2, 0], [1, 1]]).square();
    "scatter_add" [[3, 2], [4, 2]] x =>
        x[0].scatter_add(0, Value::from([[0, 2], [0, 1], [1, 1], [-1, 0]]), &x[1]).square();
    "one_hot" [[3]] x => Value::from([2, 0, 1]).one_hot(3).matmul(&x[0]).square();
    "sort" [[3, 4]] x => x[0].sort(1, false).0 * Value::arange(0..4);
    "sort, descending" [[4, 2]] x => x[0].sort(0, true).0.square() * Value::arange(0..4).unsqueeze(1);
    "topk" [[3, 4]] x => x[0].topk(2, -1).0 * Value::from([1.0, 2.0]);
    // Composed functions.
    "recip" [[2, 3]] x => x[0].recip();
    "square" [[2, 3]] x => x[0].square();
    "rsqrt" [[2, 3]] x => x[0].square().rsqrt();
    "cbrt" [[2, 3]] x => x[0].cbrt();
    "clamp" [[3, 4]] x => x[0].clamp(-1.0, 0.7) * &x[0];
    "clamp by arrays" [[2, 3], [3]] x => x[0].clamp(-x[1].abs(), x[1].abs() + 0.5);
    "leaky_relu" [[3, 4]] x => x[0].leaky_relu(0.1) * &x[0];
    "elu" [[3, 4]] x => x[0].elu(1.5);
    "silu" [[3, 4]] x => x[0].silu();
    "mish" [[3, 4]] x => x[0].mish();
    "gelu" [[3, 4]] x => x[0].gelu();
    "gelu_tanh" [[3, 4]] x => x[0].gelu_tanh();
    "log_sigmoid" [[3, 4]] x => x[0].log_sigmoid();
    "a whole power" [[2, 3]] x => x[0].pow(3.0);
    "a negative power" [[2, 3]] x => x[0].pow(-2);
    "a power of a number" [[2, 3]] x => Value::from(2.5).pow(&x[0]);
    "operators" [[2, 3], [3]] x => (2.0 - &x[0]) / (&x[1] * &x[1] + 1.0) % 5.0 - 3 * -&x[1];
    "select" [[2, 3], [3]] x => x[0].gt(&x[1]).select(&x[0] * 2.0, x[1].square());
    "through a cast" [[3]] x => x[0].cast(DType::F64).square();
    // Together.
    "two layers" [[2, 3], [3, 4], [4], [4, 1]] x =>
        (x[0].matmul(&x[1]) + &x[2]).tanh().matmul(&x[3]).square().mean();
    "attention" [[3, 2], [3, 2], [3, 2]] x =>
        (x[0].matmul(x[1].t()) / 2f64.sqrt()).softmax(-1).matmul(&x[2]);
    "layer norm" [[2, 4]] x =>
        (&x[0] - x[0].mean_keepdim(1)) * (x[0].var_keepdim(1, 0) + 1e-5).rsqrt();
    "cross entropy" [[2, 3]] x => -x[0].log_softmax(1).gather(1, Value::from([[2], [0]])).mean();
};

/// Operations on whole numbers and truth values, or that have no derivative.
const WHOLE: &[Case] = cases! {
    "argmax" [[3, 4]] x => x[0].argmax(1);
    "argmin" [[3, 4]] x => x[0].argmin(-2);
    "argsort" [[3, 4]] x => x[0].argsort(0, false);
    "argsort, descending" [[3, 4]] x => x[0].argsort(1, true);
    "topk" [[3, 4]] x => x[0].topk(3, 1).1;
    "any" [[3, 4]] x => x[0].gt(1.0).any_axis(1);
    "all" [[3, 4]] x => x[0].gt(-1.0).all_keepdim(0);
    "comparisons" [[3, 4], [4]] x => x[0].ge(&x[1]) ^ x[0].gt(0.5) | !x[1].le(0.0);
    "is_nan" [[3]] x => (&x[0] / 0.0 * 0.0).is_nan();
    "is_finite" [[3]] x => (&x[0] / 0.0).is_finite() | x[0].is_finite();
    "sum of truth" [[3, 4]] x => x[0].gt(0.0).sum_axis(0);
    "prod of whole" [[3, 4]] x => (x[0].cast(DType::I64) * 3 + 1).prod();
    "cumsum of bytes" [[300]] x => (x[0].abs() * 100.0).cast(DType::U8).cumsum(0);
    "bytes wrap" [[300]] x => (x[0].abs() * 100.0).cast(DType::U8) * Value::from(vec![7u8; 300]);
    "whole remainder" [[30]] x => (&x[0] * 10.0).cast(DType::I64) % 7;
    "max of whole" [[3, 4]] x => (&x[0] * 10.0).cast(DType::I64).max_axis(0);
    "eye" [[]] x => Value::eye(4) + x[0].cast(DType::I64);
    "triangle of whole" [[3, 3]] x => (&x[0] * 10.0).cast(DType::I64).tril(0);
    "one_hot" [[4]] x => (x[0].abs() * 2.0).cast(DType::I64).one_hot(3).cast(DType::I64);
    "gather of whole" [[3, 4]] x => (&x[0] * 10.0).cast(DType::I64).gather(1, x[0].argsort(1, false));
};

/// The same kinds of operation where kernels have whole registers, tiles and threads to fill.
const LARGE: &[Case] = cases! {
    "sum of many" [[50_000]] x => x[0].sum();
    "sum of rows" [[300, 170]] x => x[0].sum_axis(1);
    "sum of columns" [[300, 170]] x => x[0].sum_axis(0);
    "sum of the middle" [[30, 40, 50]] x => x[0].sum_axis(1);
    "sum of both ends" [[30, 40, 50]] x => x[0].sum_axis([0, 2]);
    "max of rows" [[300, 170]] x => x[0].max_axis(1);
    "max of columns" [[300, 170]] x => x[0].max_axis(0);
    "mean and variance" [[170, 300]] x => x[0].var_axis(1, 1) + x[0].mean_axis(1);
    "softmax of rows" [[64, 700]] x => x[0].softmax(1);
    "softmax of columns" [[700, 64]] x => x[0].softmax(0);
    "standardize rows" [[64, 700]] x => x[0].standardize(1, 1e-5);
    "log_softmax" [[64, 700]] x => x[0].log_softmax(1);
    "logsumexp" [[64, 700]] x => x[0].logsumexp_axis(1);
    "cumsum" [[64, 700]] x => x[0].cumsum(1);
    "transposed" [[130, 257]] x => x[0].t() * 2.0 + 1.0;
    "permuted" [[17, 33, 41]] x => x[0].permute([2, 0, 1]).sin();
    "reversed" [[20_001]] x => x[0].flip(0).exp();
    "padded" [[120, 130]] x => x[0].pad([(3, 5), (7, 11)]);
    "windows" [[40, 300]] x => x[0].windows(1, 5, 2, 3).sum_axis(-1);
    "concatenated" [[100, 130], [100, 75]] x => Value::concat(x, 1).tanh();
    "matmul" [[65, 130], [130, 70]] x => x[0].matmul(&x[1]);
    "matmul, transposed" [[130, 65], [70, 130]] x => x[0].t().matmul(x[1].t());
    "matmul, thin" [[3, 1000], [1000, 5]] x => x[0].matmul(&x[1]);
    "matmul, long" [[1000, 3], [3, 40]] x => x[0].matmul(&x[1]);
    "matmul of stacks" [[8, 20, 30], [8, 30, 25]] x => x[0].matmul(&x[1]);
    "matmul, broadcast" [[4, 1, 20, 30], [3, 30, 10]] x => x[0].matmul(&x[1]);
    "layer" [[64, 120], [120, 80], [80]] x => (x[0].matmul(&x[1]) + &x[2]).relu();
    "gathered" [[500, 40]] x => x[0].index_select(0, Value::arange(0..900) % 500);
    "scattered" [[50, 40], [900, 40]] x => x[0].scatter_add(
        0, (Value::arange(0..900) * 7 % 50).unsqueeze(1).expand([900, 40]), &x[1]);
    "sorted" [[40, 300]] x => x[0].sort(1, true).0;
    "argmax of columns" [[300, 170]] x => x[0].argmax(0);
    "outer product" [[300], [400]] x => x[0].outer(&x[1]);
    "one reduction of another" [[200, 150]] x => (&x[0] - x[0].mean_keepdim(1)).square().sum_axis(0);
};

fn inputs(case: &Case, dtype: DType, seed: u64) -> Vec<Value> {
    let mut rng = Rng(seed);
    let mut draw = |shape: &&[usize]| {
        let n = shape.iter().product();
        let signed = |rng: &mut Rng| rng.uniform((0.2, 1.8)) * [1.0, -1.0][rng.below(2)];
        array(
            &(0..n).map(|_| signed(&mut rng)).collect::<Vec<_>>(),
            shape,
            dtype,
        )
    };
    case.shapes.iter().map(&mut draw).collect()
}

/// Sums of many numbers keep the rounding of their largest terms.
fn loose(dtype: DType) -> Tolerance {
    let t = tolerance(dtype);
    Tolerance {
        relative: t.relative,
        absolute: t.absolute * 20.0,
    }
}

#[test]
fn the_executor_computes_what_the_reference_computes() {
    for case in DIFFERENTIABLE.iter().chain(WHOLE).chain(LARGE) {
        for dtype in [DType::F32, DType::F64] {
            let y = (case.f)(&inputs(case, dtype, 21));
            assert_oracle(&format!("{} {dtype}", case.name), &y, loose(y.dtype()));
        }
    }
}

#[test]
fn gradients_are_computed_as_the_reference_computes_them() {
    for case in DIFFERENTIABLE.iter().chain(LARGE) {
        for dtype in [DType::F32, DType::F64] {
            let x = inputs(case, dtype, 22);
            let y = (case.f)(&x);
            if !y.dtype().is_float() {
                continue;
            }
            for (k, g) in toygrad::gradients(&y.square().mean(), &x)
                .iter()
                .enumerate()
            {
                assert_eq!(
                    (g.shape(), g.dtype()),
                    (x[k].shape(), dtype),
                    "{}",
                    case.name
                );
                let what = format!("gradient {k} of {} {dtype}", case.name);
                assert_oracle(&what, g, loose(dtype));
            }
        }
    }
}

#[test]
fn derivatives_are_what_differences_and_forward_mode_say() {
    for case in DIFFERENTIABLE {
        assert_derivatives(case.name, &case.f, &inputs(case, DType::F64, 23));
    }
}

/// Reductions over nothing, and of scalars; movement of nothing.
#[test]
fn empty_arrays_have_results_too() {
    let x = array(&[], &[2, 0, 3], DType::F64);
    let all: [(&str, Value, &[f64]); 12] = [
        ("sum", x.sum(), &[0.0]),
        ("sum_axis", x.sum_axis(1), &[0.0; 6]),
        ("sum of empty rows", x.sum_axis(0), &[]),
        ("prod", x.prod(), &[1.0]),
        ("mean", x.mean(), &[f64::NAN]),
        ("logsumexp", x.logsumexp(), &[f64::NEG_INFINITY]),
        ("any", x.any(), &[0.0]),
        ("all", x.all_axis(1), &[1.0; 6]),
        ("norm", x.norm(), &[0.0]),
        ("softmax", x.softmax(1), &[]),
        ("cumsum", x.cumsum(1), &[]),
        ("matmul", x.matmul(Value::zeros([3, 2])), &[]),
    ];
    for (name, y, wanted) in all {
        assert_near(name, &numbers(&y), wanted, tolerance(DType::F64));
        assert_oracle(name, &y, tolerance(DType::F64));
    }
    for y in [x.max(), x.argmax(1), x.min_axis([0, 1])] {
        assert!(y.to_vec::<f64>().is_err(), "nothing has no extreme");
    }
}

/// Shapes of results by NumPy's rules.
#[test]
fn shapes_follow_numpy() {
    let x = || Value::zeros([2, 3, 4]);
    let one: [(Value, &[usize]); 14] = [
        (x().sum_axis([0, 2]), &[3]),
        (x().sum_keepdim([0, 2]), &[1, 3, 1]),
        (x().argmax(1), &[2, 4]),
        (x().slice(s![0, .., 1..]), &[3, 3]),
        (x().slice(s![.., 5..;2]), &[2, 0, 4]),
        (x().unsqueeze(-1), &[2, 3, 4, 1]),
        (x().reshape([-1, 4]), &[6, 4]),
        (Value::stack([x(), x()], -1), &[2, 3, 4, 2]),
        (Value::concat([x(), x()], 1), &[2, 6, 4]),
        (x().repeat([2, 1, 3]), &[4, 3, 12]),
        (x().windows(1, 2, 1, 1), &[2, 2, 4, 2]),
        (x().index_select(1, [[0, 1]]), &[2, 1, 2, 4]),
        (Value::from([1, 2]).one_hot(5), &[2, 5]),
        (x().matmul(Value::zeros([5, 1, 4, 7])), &[5, 2, 3, 7]),
    ];
    for (y, shape) in one {
        assert_eq!(y.shape()[..], *shape, "{y:?}");
    }
}

/// Work is split by its size, never by the number of threads.
#[test]
fn truth_has_extremes_and_numbers_are_clamped_to_bytes() {
    let truth = Value::from([[true, false, false], [true, true, false]]);
    for y in [
        truth.max_axis(0),
        truth.min_axis(0),
        truth.max(),
        truth.max_axis(1),
    ] {
        assert_oracle("extremes of truth", &y, tolerance(DType::U8));
    }
    let whole = Value::from([-300i64, -1, 0, 255, 256, 1i64 << 40]).cast(DType::U8);
    assert_eq!(whole.to_vec::<u8>().unwrap(), [0, 0, 0, 255, 255, 255]);
    assert_oracle("bytes", &whole, tolerance(DType::U8));
}

#[test]
fn one_thread_and_two_give_the_same_bits() {
    const HUGE: &[Case] = cases! {
        "sum of a million" [[1_000_000]] x => x[0].sin().sum();
        "a wide layer" [[300, 310], [310, 320]] x => x[0].matmul(&x[1]).tanh();
        "columns" [[1000, 500]] x => x[0].exp().sum_axis(0);
    };
    for case in LARGE.iter().chain(HUGE) {
        let bits = |threads: usize| {
            toygrad::set_num_threads(threads);
            let x = inputs(case, DType::F32, 24);
            let y = (case.f)(&x);
            let mut all = vec![y.clone()];
            if y.dtype().is_float() {
                all.extend(toygrad::gradients(&y.square().mean(), &x));
            }
            toygrad::evaluate(&all).expect("evaluates");
            let bits = all.iter().flat_map(numbers).map(f64::to_bits);
            bits.collect::<Vec<u64>>()
        };
        assert!(bits(1) == bits(2), "{}", case.name);
    }
}

/// Far from zero the vector formulas of angles end; what goes on from there agrees with std.
/// Short rows are combined several at a time: in the order in which each is combined alone.
#[test]
fn rows_have_the_same_bits_alone_and_together() {
    // All of an array fits into a tile: where tiles end, rows are cut.
    let mut rng = Rng(11);
    for n in (1..=20).chain([32, 48, 64, 65, 80]) {
        let mut x = numbers(&rng.array(&[11, n], DType::F32, (-1.0, 1.0)));
        (x[0], x[2 * n], x[5 * n - 1]) = (f64::NAN, f64::INFINITY, -0.0);
        let x = array(&x, &[11, n], DType::F32);
        let bits = |y: Value| numbers(&y).into_iter().map(f64::to_bits);
        for along in [Value::sum_axis, Value::max_axis, Value::min_axis] {
            let together: Vec<u64> = bits(along(&x, 1)).collect();
            let rows = (0..11).flat_map(|r| bits(along(&x.narrow(0, r, 1), 1)));
            assert_eq!(together, rows.collect::<Vec<u64>>(), "rows of {n}");
        }
    }
}

#[test]
fn angles_may_be_of_any_size() -> toygrad::Result<()> {
    let angles: Vec<f64> = [-1.0, 1.0]
        .iter()
        .flat_map(|sign| (0..40).map(move |i| sign * 10f64.powf(f64::from(i) * 0.95)))
        .collect();
    let x = Value::from_vec(angles.clone(), vec![angles.len()]);
    let single: Vec<f32> = angles.iter().map(|&x| x as f32).collect();
    let y = Value::from_vec(single.clone(), vec![angles.len()]);
    type Pair = (fn(&Value) -> Value, fn(f64) -> f64);
    let functions: [Pair; 3] = [
        (Value::sin, f64::sin),
        (Value::cos, f64::cos),
        (Value::tan, f64::tan),
    ];
    for (of_value, exact) in functions {
        for (found, x) in of_value(&x).to_vec::<f64>()?.iter().zip(&angles) {
            let wanted = exact(*x);
            assert!(
                (found - wanted).abs() <= 1e-14 * wanted.abs().max(1.0),
                "{x}: {found}, not {wanted}"
            );
        }
        for (found, x) in of_value(&y).to_vec::<f32>()?.iter().zip(&single) {
            let wanted = exact(f64::from(*x));
            let error = (f64::from(*found) - wanted).abs();
            assert!(
                error <= 1e-6 * wanted.abs().max(1.0),
                "{x}: {found}, not {wanted}"
            );
        }
    }
    Ok(())
}

/// Zeros of both signs are equal, NaN comes last either way, equal elements keep their order.
#[test]
fn sorting_knows_all_numbers() {
    let (inf, nan) = (f64::INFINITY, f64::NAN);
    let floats = [
        0.0, nan, -0.0, inf, 1e-310, -1.0, -inf, 0.0, nan, -1e300, 1.0,
    ];
    let whole = [i64::MAX, 0, i64::MIN, -1, i64::MAX, 1, i64::MIN, 0];
    let narrow = floats.map(|x| x as f32);
    for x in [Value::from(floats), Value::from(narrow), Value::from(whole)] {
        for descending in [false, true] {
            let order = x.argsort(0, descending);
            let what = format!("{} {descending}", x.dtype());
            assert_oracle(&what, &order, tolerance(DType::I64));
        }
    }
    let order = Value::from(floats).argsort(0, true);
    let wanted = [3, 10, 4, 0, 2, 7, 5, 9, 6, 1, 8];
    assert_eq!(order.to_vec::<i64>().unwrap(), wanted);
}
