//! Random whole graphs: what the executor computes is what the reference computes, for values and
//! gradients, evaluated together and one by one.

mod common;
use common::*;
use toygrad::{DType, SliceItem, Value, compile, evaluate, gradients, oracle, s};

/// A Value in the making of a graph, with what keeps the comparison meaningful.
#[derive(Clone)]
struct Item {
    value: Value,
    /// No element is larger, so that sums and products stay where rounding errors are known.
    bound: f64,
    /// Elements are those of leaves, not computed: only there are kinks (relu, max, sort) safe,
    /// as a rounding error elsewhere may put an element on the other side.
    exact: bool,
}

struct Builder {
    rng: Rng,
    dtype: DType,
    leaves: Vec<Value>,
    items: Vec<Item>,
    /// Larger arrays are not kept.
    most: usize,
}

const LARGEST: f64 = 30.0;

impl Builder {
    /// With leaves that are given, or drawn.
    fn new(seed: u64, given: Option<&[Value]>) -> Builder {
        let mut rng = Rng(seed);
        let dtype = if rng.one_in(2) {
            DType::F32
        } else {
            DType::F64
        };
        let mut builder = Builder {
            rng,
            dtype,
            leaves: vec![],
            items: vec![],
            most: 0,
        };
        // Few different lengths, so that shapes meet.
        let lengths: &[usize] = match seed % 40 {
            0 => &[1, 170, 230],
            10 | 20 | 30 => &[1, 33, 64],
            1 | 11 | 21 | 31 => &[1, 5, 100],
            2 | 12 => &[1, 2, 0],
            _ => &[1, 2, 3, 4],
        };
        builder.most = if lengths[1] == 170 { 50_000 } else { 5000 };
        let mixed = builder.rng.one_in(8);
        for _ in 0..2 + builder.rng.below(3) {
            let rank = builder
                .rng
                .below(4)
                .min(if lengths[1] > 10 { 2 } else { 3 });
            let shape: Vec<usize> = (0..rank).map(|_| *builder.rng.pick(lengths)).collect();
            let dtype = match mixed && builder.rng.one_in(2) {
                true => DType::F32,
                false => builder.dtype,
            };
            let drawn = builder.rng.array(&shape, dtype, (-1.5, 1.5));
            let k = builder.leaves.len();
            let value = given.map_or(drawn, |given| given[k].clone());
            builder.leaves.push(value.clone());
            builder.items.push(Item {
                value,
                bound: 1.5,
                exact: true,
            });
        }
        if mixed {
            // What is compared is as exact as the coarsest of its leaves.
            builder.dtype = DType::F32;
        }
        builder
    }

    fn any(&mut self) -> Item {
        // Newer ones more often: graphs get deep.
        let n = self.items.len();
        let back = self.rng.below(n).min(self.rng.below(n));
        self.items[n - 1 - back].clone()
    }

    fn axis(&mut self, v: &Value) -> Option<usize> {
        (v.rank() > 0).then(|| self.rng.below(v.rank()))
    }

    /// Keeps what is no mistake and not too large.
    fn keep(&mut self, value: Value, bound: f64, exact: bool) {
        if value.error().is_some() || value.elements() > self.most {
            return;
        }
        let (value, bound) = match bound > LARGEST {
            true => ((value * (2.0 / bound)).tanh(), 1.0),
            false => (value, bound),
        };
        self.items.push(Item {
            value,
            bound,
            exact,
        });
    }

    fn step(&mut self) {
        match self.rng.below(8) {
            0 | 1 => self.smooth(),
            2 | 3 => self.binary(),
            4 => self.reduce(),
            5 => self.moved(),
            6 => self.joined(),
            _ => self.kinked(),
        }
    }

    fn smooth(&mut self) {
        let Item {
            value: x, bound: b, ..
        } = self.any();
        let (y, bound) = match self.rng.below(16) {
            0 => (x.tanh(), 1.0),
            1 => (x.sin(), 1.0),
            2 => (x.cos(), 1.0),
            3 => (x.sigmoid(), 1.0),
            4 => (x.softplus(), b + 1.0),
            5 => (x.tanh().exp(), 3.0),
            6 => ((x.square() + 1.0).ln(), b + 1.0),
            7 => ((x.square() + 0.5).sqrt(), b + 1.0),
            8 => ((x.square() + 1.0).recip(), 1.0),
            9 => (x.atan(), 1.6),
            10 => (x.erf(), 1.0),
            11 => (x.gelu(), b),
            12 => (2.0 - x, b + 2.0),
            13 => (x * -0.7, b),
            14 => (x.tanh().expm1(), 2.0),
            _ => (x.asinh().detach(), b),
        };
        self.keep(y, bound, false);
    }

    fn binary(&mut self) {
        let (a, b) = (self.any(), self.any());
        let (x, y) = (&a.value, &b.value);
        let (z, bound) = match self.rng.below(6) {
            0 => (x + y, a.bound + b.bound),
            1 => (x - y, a.bound + b.bound),
            2 | 3 => (x * y, a.bound * b.bound),
            4 => (x / (y.square() + 1.0), a.bound),
            _ => (x.atan2(y.square() + 0.5), 1.6),
        };
        self.keep(z, bound, false);
    }

    fn reduce(&mut self) {
        let Item {
            value: x, bound: b, ..
        } = self.any();
        let Some(axis) = self.axis(&x) else { return };
        let (n, axis) = (x.shape()[axis] as f64, axis as isize);
        let (y, bound) = match self.rng.below(9) {
            0 => (x.sum_axis(axis), n * b),
            1 => (x.sum_keepdim(axis), n * b),
            2 => (x.mean(), b),
            3 => (x.mean_axis(axis), b),
            4 => (x.softmax(axis), 1.0),
            5 => (x.log_softmax(axis), 2.0 * b + n.ln()),
            6 => (x.logsumexp_axis(axis), b + n.ln()),
            7 => (x.cumsum(axis), n * b),
            _ => (x.tanh().var_keepdim(axis, 0), 1.0),
        };
        self.keep(y, bound, false);
    }

    fn moved(&mut self) {
        let Item {
            value: x,
            bound,
            exact,
        } = self.any();
        let y = match (self.rng.below(11), self.axis(&x)) {
            (0, _) => x.flatten(),
            (1, Some(a)) => x.transpose(a as isize, 0),
            (2, Some(a)) => x.flip(a),
            (3, Some(a)) => x.roll(self.rng.below(9) as isize - 4, a as isize),
            (4, a) => x.unsqueeze(a.unwrap_or(0) as isize),
            (5, _) => x.unsqueeze(0).expand([&[3][..], &x.shape()[..]].concat()),
            (6, Some(_)) => {
                let items: Vec<SliceItem> = (0..x.rank()).map(|_| self.slice()).collect();
                x.slice(items)
            }
            (7, Some(_)) => x.pad(vec![(1, 2); x.rank()]),
            (8, Some(a)) => x.windows(a as isize, 2, 1, 1),
            (9, Some(_)) => x.repeat(vec![2; x.rank()]),
            (_, Some(_)) if x.rank() > 1 => x.tril(0),
            _ => return,
        };
        self.keep(y, bound, exact);
    }

    fn slice(&mut self) -> SliceItem {
        let mut edge = || match self.rng.below(3) {
            0 => None,
            _ => Some(self.rng.below(9) as isize - 4),
        };
        let (start, end) = (edge(), edge());
        match self.rng.below(5) {
            0 => SliceItem::At(-1),
            k => SliceItem::Range {
                start,
                end,
                step: [1, 2, -1, -2][k - 1],
            },
        }
    }

    fn joined(&mut self) {
        let (a, b) = (self.any(), self.any());
        let (x, y) = (&a.value, &b.value);
        let bound = a.bound.max(b.bound);
        let both = a.exact && b.exact;
        match self.rng.below(6) {
            0 | 1 => {
                let n = x.shape().last().map_or(1.0, |&n| n as f64);
                self.keep(x.matmul(y), n * a.bound * b.bound, false);
            }
            2 => self.keep(Value::concat([x, y, x], 0), bound, both),
            3 => self.keep(Value::stack([x, y], -1), bound, both),
            4 => {
                let Some(axis) = self.axis(x) else { return };
                let n = x.shape()[axis];
                if n == 0 {
                    return;
                }
                let index: Value = (0..5).map(|_| self.rng.below(n) as i64).collect();
                self.keep(x.index_select(axis as isize, index), a.bound, a.exact);
            }
            _ => {
                let Some(axis) = self.axis(x) else { return };
                let index = self.index(x.shape()[axis], x);
                self.keep(x.scatter_add(axis as isize, index, x), 1e3, false);
            }
        }
    }

    /// Positions below `n`, in the shape of `x`.
    fn index(&mut self, n: usize, x: &Value) -> Value {
        let index: Vec<i64> = (0..x.elements())
            .map(|_| self.rng.below(n) as i64)
            .collect();
        Value::from_vec(index, x.shape())
    }

    /// Operations with kinks, of elements that are exact in both evaluators.
    fn kinked(&mut self) {
        let exact: Vec<Item> = self.items.iter().filter(|i| i.exact).cloned().collect();
        let item = self.rng.pick(&exact).clone();
        let (x, b) = (item.value.clone(), item.bound);
        let Item {
            value: z, bound: c, ..
        } = self.rng.pick(&exact).clone();
        let other = self.any();
        let axis = self.axis(&x).map(|a| a as isize);
        let widest = b.max(c);
        match (self.rng.below(12), axis) {
            (0, _) => self.keep(x.relu(), b, true),
            (1, _) => self.keep(x.abs(), b, true),
            (2, _) => self.keep(x.maximum(&z), widest, true),
            (3, _) => self.keep(x.minimum(0.25), b, true),
            (4, _) => self.keep(x.gt(&z).select(&other.value, &z), other.bound.max(c), false),
            (5, Some(a)) => self.keep(x.max_keepdim(a), b, true),
            (6, Some(a)) => self.keep(x.sort(a, true).0, b, true),
            (7, Some(a)) => self.keep(x.min_axis(a), b, true),
            (8, Some(a)) => {
                let from = if other.value.shape() == x.shape() {
                    &other
                } else {
                    &item
                };
                let y = from.value.gather(a, x.argsort(a, false));
                self.keep(y, from.bound, from.exact);
            }
            (9, _) => self.keep(x.sign() * &other.value, other.bound, false),
            (10, _) => self.keep(x.lt(&z).cast(self.dtype) * x.round(), 2.0, true),
            (_, Some(a)) => self.keep(x.argmax(a) * &other.value, 100.0 * other.bound, false),
            _ => {}
        }
    }
}

/// A graph's results and the gradients of a scalar of them by all leaves and by some
/// intermediate Values.
fn graph(seed: u64) -> (DType, Vec<Value>) {
    build(Builder::new(seed, None))
}

fn build(mut b: Builder) -> (DType, Vec<Value>) {
    for _ in 0..4 + b.rng.below(30) {
        b.step();
    }
    let results: Vec<Value> = b
        .items
        .iter()
        .rev()
        .take(3)
        .map(|i| i.value.clone())
        .collect();
    let loss: Value = results.iter().map(|y| y.tanh().mean()).sum();
    let mut wanted = b.leaves.clone();
    wanted.extend((0..2).map(|_| b.any().value));
    let first = gradients(&loss, &wanted);
    let mut all = results;
    all.push(loss);
    if b.rng.one_in(3) {
        // Second order; magnitudes may grow, so squashed.
        let total: Value = first.iter().map(|g| (g * 0.1).tanh().mean()).sum();
        all.extend(gradients(&total, &b.leaves));
    }
    all.extend(first);
    (b.dtype, all)
}

/// Rounding errors go with the largest element that sums and products have met on the way.
#[track_caller]
fn assert_alike(what: &str, found: &[f64], wanted: &[f64], dtype: DType) {
    let largest = wanted.iter().fold(1.0f64, |m, x| m.max(x.abs()));
    let step = if dtype == DType::F32 { 2e-4 } else { 1e-11 };
    let t = Tolerance {
        relative: step,
        absolute: step * largest,
    };
    assert_near(what, found, wanted, t);
}

const GRAPHS: u64 = 400;

#[test]
fn random_graphs_evaluated_together() {
    for seed in 0..GRAPHS * effort() {
        let (dtype, values) = graph(seed);
        evaluate(&values).unwrap_or_else(|e| panic!("graph {seed}: {e}"));
        let wanted = oracle(&values).unwrap_or_else(|e| panic!("graph {seed}: {e}"));
        for (i, (v, wanted)) in values.iter().zip(&wanted).enumerate() {
            let what = format!("graph {seed}, {dtype}, result {i} {}", v.shape());
            assert_alike(&what, &numbers(v), wanted, dtype);
        }
    }
}

#[test]
fn random_graphs_evaluated_one_by_one() {
    for seed in (0..GRAPHS / 2 * effort()).map(|n| n + 1_000_000) {
        let (dtype, values) = graph(seed);
        for (i, v) in values.iter().enumerate().rev() {
            let wanted =
                oracle(std::slice::from_ref(v)).unwrap_or_else(|e| panic!("graph {seed}: {e}"));
            let what = format!("graph {seed}, {dtype}, result {i} {}", v.shape());
            assert_alike(&what, &numbers(v), &wanted[0], dtype);
        }
    }
}

/// The same structure with other numbers goes through the same program.
#[test]
fn the_same_graph_twice_has_the_same_bits() {
    for seed in 0..40 {
        let bits = || {
            let (_, values) = graph(seed);
            evaluate(&values).expect("evaluates");
            let all = values.iter().flat_map(numbers);
            all.map(f64::to_bits).collect::<Vec<u64>>()
        };
        assert_eq!(bits(), bits(), "graph {seed}");
    }
}

/// Graphs are of the kinds that they are meant to be.
#[test]
fn random_graphs_are_varied() {
    let graphs: Vec<_> = (0..100).map(graph).collect();
    let count = |f: &dyn Fn(&Value) -> bool| graphs.iter().filter(|(_, v)| v.iter().any(f)).count();
    assert!(count(&|v| v.dtype() == DType::F32) > 20);
    assert!(count(&|v| v.elements() > 1000) > 5);
    assert!(count(&|v| v.elements() > 10_000) > 1);
    assert!(count(&|v| v.elements() == 0) > 1);
    assert!(count(&|v| v.rank() > 3) > 3);
    let nonzero = |v: &Value| numbers(v).iter().any(|x| *x != 0.0 && x.is_finite());
    assert!(count(&nonzero) > 90);
}

/// Work is split by its size, never by the number of threads.
#[test]
fn one_thread_and_two_give_the_same_bits() {
    let bits = |seed: u64, threads: usize| {
        toygrad::set_num_threads(threads);
        let (_, values) = graph(seed);
        evaluate(&values).expect("evaluates");
        let all = values.iter().flat_map(numbers);
        all.map(f64::to_bits).collect::<Vec<u64>>()
    };
    // Those with seed 0 modulo 10 are the largest.
    for seed in (0..400).step_by(10) {
        assert_eq!(bits(seed, 1), bits(seed, 2), "graph {seed}");
    }
}

/// A recorded function gives, for each new input, what it gives without recording.
#[test]
fn a_compiled_graph_replays_with_other_numbers() {
    for seed in 0..60 * effort() {
        let recorded = compile(|x: Vec<Value>| build(Builder::new(seed, Some(&x))).1);
        for call in 0..3 {
            let mut rng = Rng(seed * 10 + call);
            let drawn = Builder::new(seed, None).leaves;
            let mut again = |v: &Value| rng.array(v.shape(), v.dtype(), (-1.5, 1.5));
            let leaves: Vec<Value> = drawn.iter().map(&mut again).collect();
            let (dtype, wanted) = build(Builder::new(seed, Some(&leaves)));
            let found = recorded
                .call(leaves)
                .unwrap_or_else(|e| panic!("graph {seed}: {e}"));
            let wanted = oracle(&wanted).expect("the reference");
            for (i, (v, wanted)) in found.iter().zip(&wanted).enumerate() {
                let what = format!(
                    "graph {seed}, call {call}, {dtype}, result {i} {}",
                    v.shape()
                );
                assert_alike(&what, &numbers(v), wanted, dtype);
            }
        }
    }
}

/// Values and gradients become ONNX models; with `TOYGRAD_ONNX`, in that folder, where
/// `onnx/check.py` runs them.
#[cfg(feature = "onnx")]
#[test]
fn random_graphs_are_exported_to_onnx() {
    use toygrad::{OnnxOptions, io, to_onnx};
    let folder = std::env::var("TOYGRAD_ONNX").ok();
    let mut refused = 0;
    for seed in 0..100 * effort() {
        let leaves = Builder::new(seed, None).leaves;
        let f = |x: Vec<Value>| build(Builder::new(seed, Some(&x))).1;
        let bytes = match to_onnx(f, leaves.clone(), &[], &OnnxOptions::default()) {
            Ok(bytes) => bytes,
            Err(e) if e.to_string().contains("ONNX has no operator") => {
                refused += 1;
                continue;
            }
            Err(e) => panic!("graph {seed}: {e}"),
        };
        if let Some(folder) = &folder {
            let mut arrays = Vec::new();
            for (word, values) in [("input", leaves.clone()), ("output", f(leaves))] {
                let named = values.into_iter().enumerate();
                arrays.extend(named.map(|(i, v)| (format!("{word}_{i}"), v)));
            }
            let arrays: Vec<(&str, Value)> = arrays
                .iter()
                .map(|(name, v)| (&name[..], v.clone()))
                .collect();
            let path =
                |ending: &str| std::path::Path::new(folder).join(format!("graph-{seed}.{ending}"));
            std::fs::write(path("onnx"), bytes).unwrap();
            io::write_npz(path("0.npz"), &arrays).unwrap();
        }
    }
    assert!(refused < 25 * effort(), "{refused}");
}

/// Programs are kept by structure: graphs that differ in one thing only must not be mistaken for
/// each other.
#[test]
fn like_graphs_are_told_apart() {
    let x = Value::from([[0.5, -1.0, 2.0], [3.0, 0.25, -0.75], [1.5, 2.5, -2.0]]);
    let y = Value::from([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]]);
    let index = |i: i64| Value::from([i, 0]);
    let alike: [[Value; 2]; 16] = [
        [&x * &x, &x * &y],
        [&x - &y, &y - &x],
        [(&x * &y) + &x, (&x * &y) + &y],
        [&x * 2.0, &x * 3.0],
        [x.sum_axis(0), x.sum_axis(1)],
        [x.max_axis(0), x.min_axis(0)],
        [x.sin(), x.cos()],
        [x.slice(s![0..2]), x.slice(s![1..3])],
        [x.slice(s![..;2]), x.slice(s![..;-2])],
        [x.t() + 0.0, &x + 0.0],
        [x.cumsum(0), x.cumsum(1)],
        [x.argsort(0, false), x.argsort(0, true)],
        [Value::concat([&x, &y], 0), Value::concat([&y, &x], 0)],
        [x.index_select(0, index(1)), x.index_select(0, index(2))],
        [x.cast(DType::F32) / 3.0, x.cast(DType::F64) / 3.0],
        [Value::rand([3]), Value::rand([3])],
    ];
    for [a, b] in &alike {
        for v in [a, b] {
            assert_oracle(&format!("{v:?}"), v, tolerance(v.dtype()));
        }
        assert_ne!(numbers(a), numbers(b), "{a} and {b}");
    }
}

/// Whole numbers and truth values have no rounding: equal to the last digit.
#[test]
fn graphs_of_whole_numbers_are_exact() {
    for seed in 0..100 * effort() {
        let mut rng = Rng(seed);
        let dtype = *rng.pick(&[DType::I64, DType::U8]);
        let shape = [[3, 4], [40, 50]][usize::from(seed % 10 == 0)];
        let mut items: Vec<Value> = (0..3)
            .map(|_| rng.array(&shape, dtype, (-20.0, 20.0)))
            .collect();
        for _ in 0..12 {
            let (a, b, c) = (
                rng.pick(&items).clone(),
                rng.pick(&items).clone(),
                rng.pick(&items).clone(),
            );
            let next = match rng.below(14) {
                0 => &a + &b,
                1 => &a - &b,
                2 => (&a * &b) % 1000,
                3 => &a % &b,
                4 => a.maximum(&b),
                5 => a.minimum(&b),
                6 => a.abs() - b.sign(),
                7 => a.lt(&b).select(&b, &c),
                8 => (a.le(&b) & b.ne(&c) | !c.eq(7)).select(&a, &c),
                9 => a.sort(1, true).0,
                10 => a.sum_keepdim(1) % 50 + &b,
                11 => a.cumsum(0) % 99 - &b,
                12 => a.flip(1).relu() - a.argmax(1).unsqueeze(-1),
                _ => -&a,
            };
            items.push(next);
        }
        for v in items.iter().rev().take(4) {
            let wanted = oracle(std::slice::from_ref(v)).expect("the reference");
            assert_eq!(numbers(v), wanted[0], "graph {seed}, {dtype}");
        }
    }
}

/// Products that are added up go into one array, beside slices that are embedded there.
#[test]
fn sums_of_products_are_added_in_place() {
    let mut rng = Rng(3);
    for dtype in [DType::F32, DType::F64] {
        for (rows, depth, columns) in [(1, 1, 1), (3, 5, 4), (40, 7, 33), (2, 0, 3)] {
            let mut product = |n: usize, rows: usize| {
                let a = rng.array(&[n, rows, depth], dtype, (-1.0, 1.0));
                a.matmul(rng.array(&[n, depth, columns], dtype, (-1.0, 1.0)))
            };
            let sum = product(2, rows) + product(2, rows) + (product(2, rows) + product(2, rows));
            assert_oracle("products", &sum, tolerance(dtype));
            let sum = product(2, rows).pad([(1, 0), (0, 2), (0, 0)]) + product(3, rows + 2);
            assert_oracle("a product and an embedded one", &sum, tolerance(dtype));
            // What else is needed stays as it is.
            let a = product(2, rows);
            let twice = &a + product(2, rows);
            assert_oracle(
                "a product that is used twice",
                &(&twice * &a),
                tolerance(dtype),
            );
        }
    }
    let a = Value::ones([4, 4]);
    let listing = (a.matmul(&a) + a.exp().matmul(&a))
        .listing()
        .expect("a program");
    assert!(listing.contains("+= matmul"), "{listing}");
}

/// Two simple operations are one instruction where nobody else wants the first: nothing is rounded
/// otherwise.
#[test]
fn arithmetic_has_the_same_bits_together_and_one_by_one() {
    let mut pairs = 0;
    for seed in 0..100 * effort() {
        let mut rng = Rng(seed);
        let dtype = *rng.pick(&[DType::F32, DType::F64]);
        let n = *rng.pick(&[1, 15, 16, 700, 3000]);
        let mut draw = || {
            let numbers: Vec<f64> = (0..n)
                .map(|_| rng.below(2000) as f64 / 700.0 - 1.4)
                .collect();
            let x = Value::from_vec(numbers, vec![n]).cast(dtype);
            x.evaluate().expect("numbers");
            x
        };
        let leaves = [draw(), draw(), draw()];
        let build = |apart: bool| {
            let mut rng = Rng(seed);
            let mut made = leaves.to_vec();
            for _ in 0..12 {
                let a = made[made.len() - 1].clone();
                let (b, c) = (rng.pick(&made).clone(), rng.pick(&leaves).clone());
                made.push(match rng.below(6) {
                    0 => a + b,
                    1 => a - b,
                    2 => c - a,
                    3 => a * c,
                    4 => a.square(),
                    _ => a.lt(&c).select(&b, 0.0),
                });
                if apart {
                    made[made.len() - 1].evaluate().expect("numbers");
                }
            }
            made.swap_remove(made.len() - 1)
        };
        let together = build(false);
        pairs += usize::from(together.listing().expect("a listing").contains(" then "));
        let bits = |y: &Value| -> Vec<u64> {
            let numbers = y.to_vec::<f64>().expect("numbers");
            numbers.into_iter().map(f64::to_bits).collect()
        };
        assert_eq!(bits(&together), bits(&build(true)), "seed {seed}");
    }
    assert!(pairs > 80, "pairs in {pairs} graphs");
}
