//! What the tests share: a seeded generator, how numbers are compared, and the checks that every
//! operation must pass.
#![allow(dead_code)] // Each test file uses a part.

use toygrad::{DType, Shape, Value, gradcheck, gradients, jvp, oracle, vjp};

/// A small generator with a seed (SplitMix64), so that every failure can be repeated.
#[derive(Clone)]
pub struct Rng(pub u64);

impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A whole number below `n`.
    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }

    /// One in `n` times.
    pub fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }

    pub fn uniform(&mut self, (low, high): (f64, f64)) -> f64 {
        low + (high - low) * (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// An array with elements from a range.
    pub fn array(&mut self, shape: &[usize], dtype: DType, range: (f64, f64)) -> Value {
        let n = shape.iter().product();
        let elements: Vec<f64> = (0..n).map(|_| self.uniform(range)).collect();
        array(&elements, shape, dtype)
    }
}

/// How many times as many random cases as usual: `TOYGRAD_TEST_EFFORT=100` for a long night.
pub fn effort() -> u64 {
    let set = std::env::var("TOYGRAD_TEST_EFFORT").ok();
    set.and_then(|n| n.parse().ok()).unwrap_or(1)
}

/// An array whose elements are leaves of the graph, of any dtype.
pub fn array(elements: &[f64], shape: &[usize], dtype: DType) -> Value {
    match dtype {
        DType::F64 => Value::from_slice(elements, shape),
        DType::F32 => Value::from_vec(elements.iter().map(|&x| x as f32).collect(), shape),
        DType::I64 => Value::from_vec(elements.iter().map(|&x| x as i64).collect(), shape),
        DType::U8 => Value::from_vec(elements.iter().map(|&x| x as u8).collect(), shape),
        DType::Bool => Value::from_vec(elements.iter().map(|&x| x > 0.0).collect(), shape),
    }
}

/// How far the fast path may be from the reference, which rounds nothing in between.
#[derive(Clone, Copy, Debug)]
pub struct Tolerance {
    pub relative: f64,
    pub absolute: f64,
}

/// What one operation on well-conditioned numbers keeps to.
pub fn tolerance(dtype: DType) -> Tolerance {
    let (relative, absolute) = match dtype {
        DType::F64 => (1e-12, 1e-14),
        DType::F32 => (1e-5, 1e-6),
        _ => (0.0, 0.0),
    };
    Tolerance { relative, absolute }
}

/// A number as its dtype holds it: what is finite in double precision may not be in single.
pub fn stored(x: f64, dtype: DType) -> f64 {
    if dtype == DType::F32 {
        f64::from(x as f32)
    } else {
        x
    }
}

/// Equal numbers, equal infinities, NaN beside NaN, or finite numbers within the tolerance.
pub fn near(a: f64, b: f64, t: Tolerance) -> bool {
    a == b
        || (a.is_nan() && b.is_nan())
        || (a - b).abs() <= t.absolute + t.relative * a.abs().max(b.abs()) && (a - b).is_finite()
}

#[track_caller]
pub fn assert_near(what: &str, found: &[f64], wanted: &[f64], t: Tolerance) {
    assert_eq!(found.len(), wanted.len(), "{what}: number of elements");
    for (i, (&a, &b)) in found.iter().zip(wanted).enumerate() {
        assert!(near(a, b, t), "{what}: element {i} is {a:e}, not {b:e}");
    }
}

pub fn numbers(v: &Value) -> Vec<f64> {
    v.to_vec().unwrap_or_else(|e| panic!("cannot be read: {e}"))
}

/// The executor computes what the reference evaluator computes.
#[track_caller]
pub fn assert_oracle(what: &str, y: &Value, t: Tolerance) {
    let found = numbers(y);
    let wanted = oracle(std::slice::from_ref(y)).unwrap_or_else(|e| panic!("{what}: {e}"));
    let wanted: Vec<f64> = wanted[0].iter().map(|&x| stored(x, y.dtype())).collect();
    assert_near(&format!("{what} -> {}", y.shape()), &found, &wanted, t);
}

/// A function of several inputs, as the tables of the tests hold it.
pub type Function<'a> = &'a dyn Fn(&[Value]) -> Value;

/// The sum of the elements with fixed uneven weights: a scalar on which every element has its own
/// influence.
pub fn weighted(y: &Value) -> Value {
    let weights: Value = (0..y.elements())
        .map(|i| (1.3 + i as f64 * 0.9).sin() + 0.1)
        .collect();
    (y.flatten().cast(DType::F64) * weights).sum()
}

fn weighted_sum(values: &[Value]) -> Value {
    values.iter().map(weighted).sum()
}

/// First and second derivatives agree with central differences, and forward with reverse mode, at
/// these f64 inputs.
#[track_caller]
pub fn assert_derivatives(what: &str, f: Function, x: &[Value]) {
    let gradient = |x: &[Value]| weighted_sum(&gradients(&weighted(&f(x)), x));
    for (order, f) in [(1, f), (2, &gradient as Function)] {
        let report = gradcheck(f, x).unwrap_or_else(|e| panic!("{what}, order {order}: {e}"));
        assert!(report.passed(), "{what}, order {order}: {report}");
    }
    assert_modes_agree(what, f, x);
    assert_modes_agree(&format!("gradient of {what}"), &gradient, x);
}

/// The inner product of a cotangent with the pushed tangents equals that of the pulled cotangent
/// with the tangents.
#[track_caller]
pub fn assert_modes_agree(what: &str, f: Function, x: &[Value]) {
    let y = f(x);
    let mut rng = Rng(7);
    let mut like = |v: &Value| rng.array(v.shape(), DType::F64, (-1.0, 1.0));
    let tangents: Vec<Value> = x.iter().map(&mut like).collect();
    let cotangent = like(&y);
    let forward = &jvp(std::slice::from_ref(&y), x, &tangents)[0];
    let reverse = vjp(&[y], std::slice::from_ref(&cotangent), x);
    let left = (&cotangent * forward).sum();
    let right: Value = (reverse.iter().zip(&tangents).map(|(a, b)| (a * b).sum())).sum();
    let (left, right) = (numbers(&left)[0], numbers(&right)[0]);
    let t = Tolerance {
        relative: 1e-10,
        absolute: 1e-10,
    };
    assert!(
        near(left, right, t),
        "{what}: forward mode gives {left}, reverse mode {right}"
    );
}

/// The same array in several layouts: what an executor sees as strides, offsets and repeats.
pub fn layouts(rng: &mut Rng, dtype: DType, range: (f64, f64)) -> Vec<(&'static str, Value)> {
    use toygrad::s;
    let mut a = |shape: &[usize]| rng.array(shape, dtype, range);
    vec![
        ("scalar", a(&[])),
        ("row", a(&[3])),
        ("matrix", a(&[2, 3])),
        ("transposed", a(&[3, 2]).t()),
        ("sliced", a(&[5, 7]).slice(s![1..5;2, ..;3])),
        ("flipped", a(&[2, 3]).flip([0, 1])),
        ("backwards", a(&[3, 5]).slice(s![..;-1, -1..1;-2])),
        ("expanded", a(&[2, 1, 3]).expand([2, 4, 3])),
        ("permuted", a(&[2, 3, 4]).permute([2, 0, 1])),
        ("empty", a(&[0])),
        ("empty in the middle", a(&[2, 0, 3])),
        ("longer than a register", a(&[601])),
        ("longer than a cache line of kernels", a(&[157, 131])),
        ("long and transposed", a(&[131, 157]).t()),
    ]
}

/// Shapes that are broadcast against each other.
pub const BROADCASTS: &[(&[usize], &[usize])] = &[
    (&[2, 3], &[2, 3]),
    (&[2, 3], &[3]),
    (&[2, 3], &[2, 1]),
    (&[2, 1], &[1, 3]),
    (&[], &[2, 3]),
    (&[2, 3], &[]),
    (&[4, 1, 3], &[2, 1]),
    (&[0], &[1]),
    (&[2, 0], &[1, 1]),
    (&[100, 300], &[300]),
    (&[100, 300], &[100, 1]),
];

pub fn shape_of(dims: &[usize]) -> Shape {
    Shape::from(dims)
}
