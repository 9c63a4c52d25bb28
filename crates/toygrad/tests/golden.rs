//! Values and gradients that PyTorch and SciPy computed (`golden/make.py`) for the same functions.

mod common;
use common::*;
use std::collections::BTreeMap;
use toygrad::{DType, ROWS, Value, einsum, gradients, s};

type Table = &'static [(&'static str, fn(&[Value]) -> Value)];

/// toygrad's side of each case; a case with the name of a row is that row.
const FUNCTIONS: Table = &[
    ("square", |x| x[0].square()),
    ("rsqrt", |x| x[0].rsqrt()),
    ("recip", |x| x[0].recip()),
    ("pow of a negative", |x| x[0].pow(3.0)),
    ("select", |x| x[0].gt(0.0).select(&x[1], &x[2])),
    ("polygamma 1", |x| Value::from(1.0).polygamma(&x[0])),
    ("polygamma 2", |x| Value::from(2.0).polygamma(&x[0])),
    ("polygamma 3", |x| Value::from(3.0).polygamma(&x[0])),
    ("sigmoid far out", |x| x[0].sigmoid()),
    ("log_sigmoid far out", |x| x[0].log_sigmoid()),
    ("expm1 near 0", |x| x[0].expm1()),
    ("log1p near 0", |x| x[0].log1p()),
    ("erfc far out", |x| x[0].erfc()),
    ("sin of large", |x| x[0].sin()),
    ("digamma of negative", |x| x[0].digamma()),
    ("logsumexp of large", |x| (&x[0] * 1000.0).logsumexp()),
    ("softmax of large", |x| (&x[0] * 400.0).softmax(0)),
    ("leaky_relu", |x| x[0].leaky_relu(0.2)),
    ("elu", |x| x[0].elu(1.3)),
    ("gelu", |x| x[0].gelu()),
    ("gelu_tanh", |x| x[0].gelu_tanh()),
    ("silu", |x| x[0].silu()),
    ("mish", |x| x[0].mish()),
    ("log_sigmoid", |x| x[0].log_sigmoid()),
    ("clamp", |x| x[0].clamp(-1.0, 1.5)),
    ("sum", |x| x[0].sum()),
    ("sum_axis", |x| x[0].sum_axis([0, 2])),
    ("prod", |x| x[0].prod()),
    ("prod with zeros", |x| {
        (&x[0] * Value::from([1.0, 0.0, 1.0, 0.0])).prod_axis(0)
    }),
    ("prod_axis", |x| x[0].prod_axis(1)),
    ("mean_axis", |x| x[0].mean_keepdim(1)),
    ("max_axis", |x| x[0].max_axis(0)),
    ("max at ties", |x| x[0].round().max_axis(1)),
    ("min", |x| x[0].min()),
    ("var", |x| x[0].var(1)),
    ("var_axis", |x| x[0].var_axis(1, 0)),
    ("std_axis", |x| x[0].std_axis(0, 1)),
    ("norm_axis", |x| x[0].norm_axis(1)),
    ("norm at 0", |x| (&x[0] * 0.0).norm_axis(1)),
    ("logsumexp_axis", |x| x[0].logsumexp_axis([0, 1])),
    ("softmax", |x| x[0].softmax(-1)),
    ("log_softmax", |x| x[0].log_softmax(0)),
    ("cumsum", |x| x[0].cumsum(1)),
    ("argmax", |x| x[0].argmax(1).cast(DType::F64)),
    ("argmin", |x| x[0].argmin(0).cast(DType::F64)),
    ("reshape", |x| x[0].reshape([4, -1])),
    ("permute", |x| x[0].permute([2, 0, 1])),
    ("transpose", |x| x[0].transpose(0, 2)),
    ("slice", |x| x[0].slice(s![1.., ..;2])),
    ("slice backwards", |x| x[0].slice(s![..;-1, 3..0;-2])),
    ("flip", |x| x[0].flip(1)),
    ("roll", |x| x[0].roll(3, 1)),
    ("pad", |x| x[0].pad([(0, 1), (1, 2)])),
    ("pad_with", |x| x[0].pad_with([(0, 0), (1, 0)], 7.0)),
    ("repeat", |x| x[0].repeat([2, 3])),
    ("tril", |x| x[0].tril(-1)),
    ("triu", |x| x[0].triu(1)),
    ("windows", |x| x[0].windows(1, 3, 1, 1)),
    ("concat", |x| Value::concat(x, 1)),
    ("stack", |x| Value::stack(x, -1)),
    ("matmul", |x| x[0].matmul(&x[1])),
    ("matmul of stacks", |x| x[0].matmul(&x[1])),
    ("matrix and vector", |x| x[0].matmul(&x[1])),
    ("vector and stack", |x| x[0].matmul(&x[1])),
    ("dot", |x| x[0].dot(&x[1])),
    ("outer", |x| x[0].outer(&x[1])),
    ("einsum", |x| einsum("bij,jk,k->bi", x)),
    ("einsum diagonal", |x| einsum("iij->ij", x)),
    ("gather", |x| x[0].gather(1, [[0, 3], [1, 1], [2, 0]])),
    ("index_select", |x| x[0].index_select(1, [3, 0, 3])),
    ("scatter_add", |x| {
        x[0].scatter_add(1, [[0, 3], [1, 1], [2, 0]], &x[1])
    }),
    ("one_hot", |x| {
        Value::from([[0, 3], [1, 1], [2, 0]]).one_hot(4) * &x[0]
    }),
    ("sort", |x| x[0].sort(1, false).0),
    ("sort descending", |x| x[0].sort(0, true).0),
    ("topk", |x| x[0].topk(2, 1).0),
    ("mean squared error", |x| (&x[0] - &x[1]).square().mean()),
    ("cross entropy", |x| {
        -x[0].log_softmax(1).gather(1, [[2], [0], [3]]).mean()
    }),
    ("hinge", |x| {
        let sides = Value::from([1.0, -1.0, 1.0, -1.0, 1.0, -1.0]);
        (1.0 - &x[0] * sides).relu().mean()
    }),
    ("layer norm", |x| {
        let centred = &x[0] - x[0].mean_keepdim(1);
        centred / (x[0].var_keepdim(1, 0) + 1e-5).sqrt()
    }),
    ("attention", |x| {
        (x[0].matmul(x[1].t()) / 2f64.sqrt())
            .softmax(-1)
            .matmul(&x[2])
    }),
    ("second derivative", |x| {
        gradients(&(x[0].tanh() * x[0].square()).sum(), x).remove(0)
    }),
    ("third derivative of lgamma", |x| {
        let first = gradients(&x[0].lgamma().sum(), x).remove(0);
        let second = gradients(&first.sum(), x).remove(0);
        gradients(&second.sum(), x).remove(0)
    }),
];

fn apply(name: &str, x: &[Value]) -> Value {
    if let Some((_, f)) = FUNCTIONS.iter().find(|(n, _)| *n == name) {
        return f(x);
    }
    let row = ROWS.iter().find(|row| row.name == name);
    row.unwrap_or_else(|| panic!("no function `{name}`"))
        .apply(x)
}

/// Shape and numbers of each part of a case.
type Parts = BTreeMap<&'static str, (Vec<usize>, Vec<f64>)>;

fn cases() -> BTreeMap<&'static str, Parts> {
    let mut cases: BTreeMap<_, Parts> = BTreeMap::new();
    for line in include_str!("golden/golden.csv").lines() {
        let [name, part, shape, numbers] = line.split(',').collect::<Vec<_>>()[..] else {
            panic!("four columns, not {line}");
        };
        let shape = shape
            .split_whitespace()
            .map(|n| n.parse().expect("a length"));
        let numbers = numbers
            .split_whitespace()
            .map(|n| n.parse().expect("a number"));
        let both = (shape.collect(), numbers.collect());
        cases.entry(name).or_default().insert(part, both);
    }
    cases
}

#[test]
fn values_and_gradients_are_those_of_pytorch_and_scipy() {
    for (name, parts) in cases() {
        for (dtype, t) in [
            (DType::F64, (2e-13, 1e-14)),
            // The inputs are rounded to f32 as well: what is ill-conditioned amplifies that.
            (DType::F32, (2e-4, 5e-5)),
        ] {
            let t = Tolerance {
                relative: t.0,
                absolute: t.1,
            };
            let x: Vec<Value> = (0..)
                .map_while(|k| parts.get(&*format!("x{k}")))
                .map(|(shape, numbers)| array(numbers, shape, dtype))
                .collect();
            let y = apply(name, &x);
            let (shape, wanted) = &parts["y"];
            assert_eq!(y.shape()[..], shape[..], "{name}");
            assert_near(&format!("{name} {dtype}"), &numbers(&y), wanted, t);
            let weights: Value = (0..wanted.len()).map(|i| (i % 5) as f64 - 1.5).collect();
            let total = (y.flatten() * weights.cast(y.dtype())).sum();
            for (k, g) in gradients(&total, &x).iter().enumerate() {
                let (shape, wanted) = &parts[&*format!("g{k}")];
                assert_eq!(g.shape()[..], shape[..], "gradient {k} of {name}");
                assert_near(
                    &format!("gradient {k} of {name} {dtype}"),
                    &numbers(g),
                    wanted,
                    t,
                );
            }
        }
    }
}

#[test]
fn every_function_and_every_smooth_row_has_golden_numbers() {
    let cases = cases();
    for (name, _) in FUNCTIONS {
        assert!(cases.contains_key(name), "golden.csv lacks `{name}`");
    }
    let without = ["polygamma", "select"]; // under other names
    for row in ROWS
        .iter()
        .filter(|row| !matches!(row.slope, toygrad::Slope::Zero))
    {
        let found = cases.contains_key(row.name) || without.contains(&row.name);
        assert!(found, "golden.csv lacks the row `{}`", row.name);
    }
}
