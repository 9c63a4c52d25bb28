//! Kernels that run tile by tile of a common outer axis compute what the reference computes, and the
//! same bits on any number of threads.

mod common;
use common::*;
use toygrad::{DType, Value, compile, evaluate, gradients, oracle};

/// A function of some inputs: a loss and what belongs to it.
type Loss = fn(&[Value]) -> Value;

struct Case {
    name: &'static str,
    loss: Loss,
    shapes: &'static [&'static [usize]],
}

/// Log likelihood of a mixture: products of a stack, with loops before and after.
fn mixture(x: &[Value]) -> Value {
    let z = (x[0].unsqueeze(0) - x[1].unsqueeze(1)).matmul(&x[2]);
    (z.square().sum_axis(-1) * -0.5).logsumexp_axis(0).mean()
}

/// Attention: scores that only their own batch needs.
fn attention(x: &[Value]) -> Value {
    let scores = x[0].matmul(x[1].transpose(-1, -2)) * 0.3;
    scores.softmax(-1).matmul(&x[2]).square().mean()
}

/// Attention of heads side by side, whose scores are too many for the cache: some queries at a time.
/// The mask, computed on the way, and results that belong between those of other heads, do not hold
/// the group up.
fn long_attention(x: &[Value]) -> Value {
    let heads = |x: &Value| {
        let s: Vec<usize> = x.shape().to_vec();
        x.reshape([s[0], s[1], 2, s[2] / 2]).transpose(1, 2)
    };
    let t = x[0].shape()[1];
    let scores = (heads(&x[0]) * 0.3).matmul(heads(&x[1]).t());
    let seen = Value::arange(0..t).le(Value::arange(0..t).unsqueeze(1));
    let weights = seen.select(scores, -1e30).softmax(-1);
    let y = weights.matmul(heads(&x[2])).transpose(1, 2);
    y.reshape(x[2].shape()).square().mean()
}

/// Rows are scaled and shifted: the gradients of scale and shift are sums over all tiles.
fn normalised(x: &[Value]) -> Value {
    let centred = &x[0] - x[0].mean_axis(-1).unsqueeze(-1);
    let scale = (centred.square().mean_axis(-1).unsqueeze(-1) + 1e-3).sqrt();
    let y = centred / scale * &x[1] + &x[2];
    (&y * y.tanh()).mean()
}

/// Convolution, bias, relu and pooling, over a batch: windows, padding and their adjoints.
fn convolution(x: &[Value]) -> Value {
    let s: Vec<usize> = x[0].shape().to_vec();
    let padded = x[0].pad([(0, 0), (0, 0), (1, 1), (1, 1)]);
    let windows = padded.windows(2, 3, 1, 1).windows(3, 3, 1, 1);
    let columns = windows.permute([0, 1, 4, 5, 2, 3]);
    let columns = columns.reshape([s[0], s[1] * 9, s[2] * s[3]]);
    let y = (x[1].matmul(columns) + x[2].unsqueeze(-1)).relu();
    let y = y.reshape([s[0], x[2].elements(), s[2], s[3]]);
    let pooled = y.windows(2, 2, 2, 1).windows(3, 2, 2, 1);
    pooled.max_axis(-1).max_axis(-1).square().mean()
}

/// Rows are normalised before their softmax, so all loops over them begin with the same work.
fn normalised_softmax(x: &[Value]) -> Value {
    let y = (x[0].standardize(-1, 1e-5) * &x[1] + &x[2]).softmax(-1);
    (&y * &y).sum()
}

const CASES: &[Case] = &[
    Case {
        name: "mixture",
        loss: mixture,
        shapes: &[&[900, 8], &[12, 8], &[12, 8, 8]],
    },
    Case {
        name: "attention",
        loss: attention,
        shapes: &[&[7, 4, 70, 16], &[7, 4, 70, 16], &[7, 4, 70, 16]],
    },
    Case {
        name: "long attention",
        loss: long_attention,
        shapes: &[&[2, 330, 16], &[2, 330, 16], &[2, 330, 16]],
    },
    Case {
        name: "normalised",
        loss: normalised,
        shapes: &[&[1301, 130], &[130], &[130]],
    },
    Case {
        name: "normalised softmax",
        loss: normalised_softmax,
        shapes: &[&[1301, 130], &[130], &[130]],
    },
    Case {
        name: "convolution",
        loss: convolution,
        shapes: &[&[9, 6, 28, 28], &[11, 54], &[11]],
    },
];

impl Case {
    fn inputs(&self, dtype: DType) -> Vec<Value> {
        let mut rng = Rng(7);
        let mut draw = |shape: &&[usize]| rng.array(shape, dtype, (-1.0, 1.0));
        self.shapes.iter().map(&mut draw).collect()
    }

    fn named(name: &str) -> &'static Case {
        CASES.iter().find(|c| c.name == name).expect("it")
    }

    /// The program of a function of its inputs.
    fn listing(&self, f: impl Fn(&[Value]) -> Vec<Value>) -> String {
        let recorded = compile(|x: Vec<Value>| f(&x));
        recorded
            .listing(self.inputs(DType::F32))
            .expect("a program")
    }

    /// The loss and its gradients.
    fn results(&self, x: &[Value]) -> Vec<Value> {
        let y = (self.loss)(x);
        let g = gradients(&y, x);
        [y].into_iter().chain(g).collect()
    }
}

/// Bytes of the arena of a listed program.
fn arena(listing: &str) -> usize {
    let size = listing.split("arena ").nth(1).expect("its size");
    size.split(' ').next().unwrap().parse().expect("bytes")
}

#[test]
fn tiles_compute_what_the_reference_computes() {
    for case in CASES {
        for dtype in [DType::F32, DType::F64] {
            let results = case.results(&case.inputs(dtype));
            evaluate(&results).expect("evaluates");
            let wanted = oracle(&results).expect("the reference");
            let relative = if dtype == DType::F32 { 3e-5 } else { 1e-12 };
            for (k, (v, wanted)) in results.iter().zip(&wanted).enumerate() {
                // Sums of large and small terms are as exact as the largest.
                let largest = wanted.iter().fold(0f64, |m, x| m.max(x.abs()));
                let tolerance = Tolerance {
                    relative,
                    absolute: relative * largest,
                };
                let what = format!("{} {dtype}, result {k}", case.name);
                assert_near(&what, &numbers(v), wanted, tolerance);
            }
        }
    }
}

/// Without tiles the test above would test nothing.
#[test]
fn these_functions_run_in_tiles() {
    for case in CASES {
        let listing = case.listing(|x| case.results(x));
        assert!(listing.contains("tiles of"), "{}: {listing}", case.name);
    }
}

#[test]
fn tiles_give_the_same_bits_on_any_number_of_threads() {
    for case in CASES {
        let bits = |threads: usize| {
            toygrad::set_num_threads(threads);
            let results = case.results(&case.inputs(DType::F32));
            evaluate(&results).expect("evaluates");
            let all = results.iter().flat_map(numbers);
            all.map(f64::to_bits).collect::<Vec<u64>>()
        };
        let one = bits(1);
        for threads in [2, 3, 5] {
            assert!(one == bits(threads), "{}: {threads} threads", case.name);
        }
    }
}

/// What loops of a group have in common is computed in one of them, if it is not cheap.
#[test]
fn exponentials_are_computed_once() {
    let case = Case::named("normalised softmax");
    let listing = case.listing(|x| case.results(x));
    assert_eq!(listing.matches("= exp").count(), 1, "{listing}");
}

/// Where products are cut by rows, the scores of attention are never in memory.
#[test]
fn scores_are_not_kept() {
    let case = Case::named("long attention");
    let listing = case.listing(|x| vec![(case.loss)(x)]);
    let arena = arena(&listing);
    let [batch, time, _] = case.shapes[0] else {
        panic!("a batch of sequences");
    };
    let scores = 4 * batch * 2 * time * time;
    assert!(arena < scores / 2, "{arena} of {scores} bytes: {listing}");
    assert_eq!(listing.matches("tiles of").count(), 1, "{listing}");
}

/// What is made of smaller arrays with no work is made again rather than kept: windows of images.
#[test]
fn windows_are_not_kept() {
    let case = Case::named("convolution");
    let listing = case.listing(|x| case.results(x));
    let arena = arena(&listing);
    let [images, channels, height, width] = case.shapes[0] else {
        panic!("a batch of images");
    };
    let windows = 4 * images * channels * 9 * height * width;
    assert!(arena < windows, "{arena} of {windows} bytes: {listing}");
}
