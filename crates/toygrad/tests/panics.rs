//! No argument of any public operation makes a panic: random shapes, axes, dtypes, special
//! numbers, empty and huge arrays and extreme whole numbers at every one of them. What comes out
//! is a Value that reads as numbers or as an error.

mod common;
use common::*;
use std::collections::BTreeSet;
use toygrad::{
    DType, Parameter, PrintOptions, ROWS, RandomState, SliceItem, Value, broadcast_all, custom,
    einsum, evaluate, gradcheck, gradients, hessian, hvp, jacobian, jvp, manual_seed, no_grad,
    random_state, set_random_state, vjp,
};

struct Fuzz {
    rng: Rng,
    /// Whether operands may be too large to compute; then nothing is read.
    huge: bool,
}

const SPECIAL: [f64; 14] = [
    f64::NAN,
    f64::INFINITY,
    f64::NEG_INFINITY,
    0.0,
    -0.0,
    1.0,
    -1.0,
    2.5,
    -3.0,
    1e300,
    -1e300,
    1e-300,
    9.3e18,
    256.0,
];
const SIZES: [usize; 11] = [
    0,
    1,
    2,
    3,
    4,
    7,
    1 << 40,
    1 << 62,
    usize::MAX / 2,
    usize::MAX - 1,
    usize::MAX,
];
const AXES: [isize; 13] = [
    0,
    1,
    2,
    -1,
    -2,
    -3,
    3,
    -4,
    31,
    64,
    isize::MAX,
    isize::MIN,
    isize::MIN + 1,
];

impl Fuzz {
    fn number(&mut self) -> f64 {
        match self.rng.one_in(2) {
            true => *self.rng.pick(&SPECIAL),
            false => self.rng.uniform((-4.0, 4.0)),
        }
    }

    /// Small more often than extreme.
    fn size(&mut self) -> usize {
        let n = if self.rng.one_in(4) { SIZES.len() } else { 6 };
        *self.rng.pick(&SIZES[..n])
    }

    fn axis(&mut self) -> isize {
        let n = if self.rng.one_in(4) { AXES.len() } else { 6 };
        *self.rng.pick(&AXES[..n])
    }

    fn axes(&mut self) -> Vec<isize> {
        (0..self.rng.below(4)).map(|_| self.axis()).collect()
    }

    fn sizes(&mut self) -> Vec<usize> {
        match self.rng.below(20) {
            0 => vec![1; 33 + self.rng.below(40)],
            n => (0..n % 5).map(|_| self.size()).collect(),
        }
    }

    fn dtype(&mut self) -> DType {
        *self.rng.pick(&DType::ALL)
    }

    fn small_shape(&mut self) -> Vec<usize> {
        match self.rng.below(20) {
            0 => vec![1; 32],
            n => (0..n % 5)
                .map(|_| [3, 2, 1, 4, 0][self.rng.below(9) % 5])
                .collect(),
        }
    }

    fn value(&mut self) -> Value {
        let shape = self.small_shape();
        match self.rng.below(12) {
            0 => Value::from(self.number()),
            1 => Value::full(shape, self.number()),
            2 => Value::rand(shape),
            3 => Value::zeros([2]) + Value::zeros([3]),
            4 => Parameter::new(Value::ones(shape)).value(),
            5 if self.huge => Value::full(self.sizes(), self.number()),
            6 if self.huge => Value::rand(self.sizes()),
            7 if self.huge => Value::from(self.number()).expand(self.sizes()),
            _ => {
                let n = shape.iter().product();
                let elements: Vec<f64> = (0..n).map(|_| self.number()).collect();
                array(&elements, &shape, self.dtype())
            }
        }
    }

    fn index(&mut self) -> Value {
        match self.rng.below(4) {
            0 => self.value(),
            _ => {
                let shape = self.small_shape();
                let n = shape.iter().product();
                let index: Vec<i64> = (0..n).map(|_| self.rng.below(4) as i64 - 1).collect();
                Value::from_vec(index, shape)
            }
        }
    }

    /// Positions that fit `x` but for their range.
    fn index_like(&mut self, x: &Value) -> Value {
        let index: Vec<i64> = (0..x.elements().min(99))
            .map(|_| self.rng.below(5) as i64 / 4)
            .collect();
        Value::from_vec(index, x.shape())
    }

    fn values(&mut self) -> Vec<Value> {
        let first = self.value();
        let again = self.rng.one_in(2);
        let next = |f: &mut Fuzz| if again { first.clone() } else { f.value() };
        (0..self.rng.below(4)).map(|_| next(self)).collect()
    }

    fn slices(&mut self) -> Vec<SliceItem> {
        let edge = |f: &mut Fuzz| f.rng.one_in(2).then(|| f.axis());
        let item = |f: &mut Fuzz| match f.rng.one_in(4) {
            true => SliceItem::At(f.axis()),
            false => SliceItem::Range {
                start: edge(f),
                end: edge(f),
                step: 1,
            }
            .step(f.axis()),
        };
        (0..self.rng.below(4)).map(|_| item(self)).collect()
    }
}

type Operation = fn(&mut Fuzz) -> Vec<Value>;

/// The public names that an entry tests, then what it does.
macro_rules! operations {
    ($($($name:ident)+ $(,)? |$f:ident| $e:expr;)*) => {
        &[$((&[$(stringify!($name)),+], |$f| $e.into())),*]
    };
}

/// The three forms of a reduction.
macro_rules! reduction {
    ($f:ident $all:ident $axis:ident $keep:ident $($argument:expr)?) => {{
        let (x, axes) = ($f.value(), $f.axes());
        [x.$all($($argument)?), x.$axis(axes.clone() $(, $argument)?), x.$keep(axes $(, $argument)?)]
    }};
}

const OPERATIONS: &[(&[&str], Operation)] = operations! {
    apply exact |f| {
        let row = *f.rng.pick(ROWS);
        let inputs: Vec<Value> = (0..row.arity()).map(|_| f.value()).collect();
        let numbers = vec![f.number(); f.size() % 5];
        [row.apply(&inputs), row.exact(&numbers).into()]
    };
    sum sum_axis sum_keepdim |f| reduction!(f sum sum_axis sum_keepdim);
    prod prod_axis prod_keepdim |f| reduction!(f prod prod_axis prod_keepdim);
    mean mean_axis mean_keepdim |f| reduction!(f mean mean_axis mean_keepdim);
    max max_axis max_keepdim |f| reduction!(f max max_axis max_keepdim);
    min min_axis min_keepdim |f| reduction!(f min min_axis min_keepdim);
    var var_axis var_keepdim |f| { let n = f.size(); reduction!(f var var_axis var_keepdim n) };
    std std_axis std_keepdim |f| { let n = f.size(); reduction!(f std std_axis std_keepdim n) };
    norm norm_axis norm_keepdim |f| reduction!(f norm norm_axis norm_keepdim);
    logsumexp logsumexp_axis logsumexp_keepdim |f| reduction!(f logsumexp logsumexp_axis logsumexp_keepdim);
    any any_axis any_keepdim |f| reduction!(f any any_axis any_keepdim);
    all all_axis all_keepdim |f| reduction!(f all all_axis all_keepdim);
    argmax argmin |f| [f.value().argmax(f.axis()), f.value().argmin(f.axis())];
    cumsum |f| [f.value().cumsum(f.axis())];
    softmax log_softmax |f| [f.value().softmax(f.axis()), f.value().log_softmax(f.axis())];
    standardize |f| [f.value().standardize(f.axis(), 1e-5)];
    gather |f| { let x = f.value(); [x.gather(f.axis(), f.index()), x.gather(-1, f.index_like(&x))] };
    index_select |f| [f.value().index_select(f.axis(), f.index())];
    scatter_add |f| {
        let x = f.value();
        [x.scatter_add(f.axis(), f.index(), f.value()), x.scatter_add(0, f.index_like(&x), f.number())]
    };
    one_hot |f| [f.index().one_hot(f.size())];
    argsort sort |f| {
        let (sorted, index) = f.value().sort(f.axis(), f.rng.one_in(2));
        [sorted, index, f.value().argsort(f.axis(), true)]
    };
    topk |f| { let (top, index) = f.value().topk(f.size(), f.axis()); [top, index] };
    from_slice from_vec |f| [Value::from_slice(&[1.0f32, 2.0], f.sizes()), Value::from_vec(vec![true], f.sizes())];
    full zeros ones |f| [Value::full(f.sizes(), f.number()), Value::zeros(f.sizes()), Value::ones(f.sizes())];
    arange arange_step |f| [
        Value::arange(f.axis()as i64..f.axis() as i64),
        Value::arange(0..f.size()),
        Value::arange(f.number()..f.number()),
        Value::arange_step(0..f.axis() as i64, f.number()),
        Value::arange_step(f.number()..f.number(), f.number()),
    ];
    linspace eye |f| [Value::linspace(f.number(), f.number(), f.size()), Value::eye(f.size())];
    cast detach |f| [f.value().cast(f.dtype()), f.value().detach()];
    matmul dot outer |f| [f.value().matmul(f.value()), f.value().dot(f.value()), f.value().outer(f.value())];
    einsum |f| {
        let formula: String = (0..f.rng.below(9)).map(|_| *f.rng.pick(&['i', 'j', 'k', ',', '-', '>', 'λ', ' '])).collect();
        let known = *f.rng.pick(&["ij,jk", "ij,jk->ki", "ii->i", "i,j->", "ij->", "abc,c->ba", "->", "", "i,,j"]);
        let m = f.rng.array(&[2, 2], DType::F32, (-1.0, 1.0));
        [einsum(&formula, f.values()), einsum(known, f.values()), einsum(known, [&m, &m]), einsum(known, [&m])]
    };
    reshape |f| [f.value().reshape(&f.sizes()[..]), f.value().reshape(&f.axes()[..])];
    flatten flatten_from |f| [f.value().flatten(), f.value().flatten_from(f.axis())];
    permute transpose t |f| [f.value().permute(f.axes()), f.value().transpose(f.axis(), f.axis()), f.value().t()];
    squeeze unsqueeze |f| [f.value().squeeze(f.axes()), f.value().unsqueeze(f.axis())];
    expand |f| [f.value().expand(f.sizes()), f.value().expand(f.small_shape())];
    slice step |f| [f.value().slice(f.slices())];
    narrow |f| [f.value().narrow(f.axis(), f.size(), f.size())];
    flip |f| [f.value().flip(f.axes())];
    pad pad_with |f| {
        let widths: Vec<(usize, usize)> = (0..f.rng.below(4)).map(|_| (f.size(), f.size())).collect();
        [f.value().pad(&widths), f.value().pad_with(&widths, f.number())]
    };
    roll |f| [f.value().roll(f.axis(), f.axis())];
    concat stack |f| [Value::concat(f.values(), f.axis()), Value::stack(f.values(), f.axis())];
    split |f| f.value().split(f.sizes(), f.axis());
    chunk |f| f.value().chunk(f.size(), f.axis()).into_iter().take(5).collect::<Vec<_>>();
    repeat |f| [f.value().repeat(f.sizes())];
    tril triu |f| [f.value().tril(f.axis()), f.value().triu(f.axis())];
    windows |f| [f.value().windows(f.axis(), f.size(), f.size(), f.size())];
    broadcast_all |f| broadcast_all(f.values());
    rand rand_dtype |f| [Value::rand(f.sizes()), Value::rand_dtype(f.sizes(), f.dtype())];
    randn randn_dtype |f| [Value::randn(f.small_shape()), Value::randn_dtype(f.sizes(), f.dtype())];
    manual_seed random_state set_random_state |f| {
        manual_seed(f.size() as u64);
        set_random_state(RandomState { seed: u64::MAX, position: u64::MAX });
        let x = Value::randn([3]);
        assert_eq!(random_state().position, 1);
        [x]
    };
    recip square rsqrt cbrt is_nan is_finite |f| {
        let x = f.value();
        [x.recip(), x.square(), x.rsqrt(), x.cbrt(), x.is_nan(), x.is_finite()]
    };
    silu mish gelu gelu_tanh log_sigmoid |f| {
        let x = f.value();
        [x.silu(), x.mish(), x.gelu(), x.gelu_tanh(), x.log_sigmoid()]
    };
    leaky_relu elu |f| [f.value().leaky_relu(f.number()), f.value().elu(f.number())];
    gt ge clamp |f| [f.value().gt(f.value()), f.value().ge(f.value()), f.value().clamp(f.value(), f.number())];
    no_grad |f| [no_grad(|| f.value() * f.value())];
    gradients |f| { let x = f.value(); gradients(&(&x * f.value()).sum(), [x, f.value()]) };
    vjp |f| { let x = f.value(); vjp(&[x.square(), f.value()], &[f.value(), Value::from(1.0)], [x]) };
    jvp |f| { let x = f.value(); jvp(&[x.square(), f.value()], [&x], &f.values()).into_iter().chain(jvp(&[x.exp()], [&x], &[f.value()])).collect::<Vec<_>>() };
    hvp |f| { let x = f.value(); [hvp(&x.square().sum(), &x, f.value())] };
    jacobian |f| {
        let (x, y) = (f.value(), f.value());
        let few = x.elements().min(y.elements()) <= 24;
        [if few { jacobian(&(x.exp() * &y), &x.cast(DType::F64)) } else { x }]
    };
    hessian |f| {
        let x = f.value();
        [if x.elements() <= 24 { hessian(&x.sin().sum(), &x) } else { x }]
    };
    custom |f| {
        let (shares, y) = (f.values(), f.value());
        let x = f.values();
        let z = custom(x.clone(), move |_| y.clone(), move |_, _, _| shares.clone());
        gradients(&z.sum(), x)
    };
    reach |f| {
        let (x, y) = (f.value(), f.value());
        let _ = (&x * &y).reach(&x);
        let _ = y.reach(&x);
        [x]
    };
    new buffer |f| [Parameter::new(f.value()).value(), Parameter::buffer(f.value()) + f.value()];
    set set_all backward backward_with grad fresh_grad zero_grad of |f| {
        let (p, x) = (Parameter::new(Value::rand(f.small_shape())), f.value());
        // Huge operands must not be read.
        if x.elements() <= 100 {
            let y = &p * &x;
            let _ = y.backward();
            let found = y.backward_with(f.value());
            let _ = p.grad().map(|g| g.to_vec::<f64>());
            p.zero_grad();
            let _ = found.map(|g| g.of(&x).map(|g| g.to_vec::<f64>()));
            let _ = p.set(&x).and(Parameter::set_all([(&p, x.sum())], &[&x]));
        }
        [p.fresh_grad().unwrap_or(p.value())]
    };
    gradcheck passed worst |f| {
        let x = f.value();
        if x.elements() <= 24 {
            let report = gradcheck(|x| x[0].tanh() * &x[0], std::slice::from_ref(&x));
            let _ = report.map(|r| (r.passed(), r.worst(), r.to_string()));
        }
        [x]
    };
    format |f| {
        let options = PrintOptions { precision: f.size(), threshold: f.size(), edge: f.size() };
        let x = f.value();
        if x.elements() <= 100 {
            let _ = (x.format(options), format!("{x:.3} {x:>9} {x:?}"));
        }
        [x]
    };
    item to_vec evaluate |f| {
        let x = f.value();
        if x.elements() <= 100 {
            let _ = (x.item(), x.to_vec::<u8>(), x.to_vec::<bool>(), x.to_vec::<usize>(), x.evaluate().map(drop));
            let _ = evaluate(&[]).and(evaluate(&[x.clone(), x.clone()]));
        }
        [x]
    };
    shape dtype rank elements error location |f| {
        let x = f.value();
        let _ = (x.shape(), x.dtype(), x.rank(), x.elements(), x.error(), x.location());
        [x]
    };
    id name set_name is_trainable value arity |f| {
        let p = Parameter::new(f.value());
        p.set_name("p");
        let _ = (p.id(), p.name(), p.is_trainable(), p.value(), format!("{p:?}"));
        [p.value()]
    };
};

/// How often each operation is tried, with operands that are read and with huge ones.
const TRIES: u64 = 150;

#[test]
fn every_operation_gives_numbers_or_an_error() {
    for (names, operation) in OPERATIONS {
        // What is given back is what was put in.
        let lenient = ["manual_seed", "set"];
        let (mut right, mut wrong) = (0, 0);
        for seed in 0..TRIES * effort() {
            let mut f = Fuzz {
                rng: Rng(seed * 1000 + 17),
                huge: false,
            };
            for y in operation(&mut f) {
                // Sizes were extreme: it stays unevaluated.
                if y.elements() > 20_000 {
                    continue;
                }
                match y.to_vec::<f64>() {
                    Ok(v) => {
                        assert_eq!(v.len(), y.elements(), "{names:?}, seed {seed}");
                        right += 1;
                    }
                    Err(e) => {
                        assert!(!e.to_string().is_empty());
                        wrong += 1;
                    }
                }
                let _ = format!("{y} {y:?}");
            }
        }
        assert!(
            right >= 3 && (wrong >= 3 || lenient.contains(&names[0])),
            "{names:?}: {right} right, {wrong} wrong"
        );
    }
}

#[test]
fn derivatives_of_everything_give_numbers_or_an_error() {
    for (names, operation) in OPERATIONS {
        for seed in 0..TRIES / 2 * effort() {
            let mut f = Fuzz {
                rng: Rng(seed * 1000 + 18),
                huge: false,
            };
            for y in operation(&mut f)
                .into_iter()
                .filter(|y| y.elements() <= 2000)
            {
                let total = y.cast(DType::F64).square().sum();
                let dy = gradients(&total, [&y]).remove(0);
                let tangent = &jvp(&[total], [&y], &[Value::ones([])])[0];
                let (dy, _) = (dy.to_vec::<f64>(), tangent.to_vec::<f64>());
                let none = !y.dtype().is_float() || y.to_vec::<f64>().is_err();
                assert!(none || dy.is_ok(), "{names:?}, seed {seed}: {dy:?}");
            }
        }
    }
}

/// Arrays that no machine holds are rejected, or recorded and differentiated but not computed.
#[test]
fn huge_arrays_are_rejected_or_stay_unevaluated() {
    for (_, operation) in OPERATIONS {
        for seed in 0..TRIES * effort() {
            let mut f = Fuzz {
                rng: Rng(seed * 1000 + 19),
                huge: true,
            };
            let values = operation(&mut f);
            for y in &values {
                let total = y.sum() + y.square().mean();
                let _ = gradients(&total, [y]);
                let _ = jvp(&[total], [y], &[Value::from(1.0)]);
            }
        }
    }
}

/// What cannot be held in memory is an error where it is read.
#[test]
fn arrays_beyond_memory_are_errors() {
    let huge = [1usize << 44];
    let x = Value::full(huge, 1.0);
    let wide = Value::from([1.0, 2.0]).expand([1 << 44, 2]);
    for v in [
        &x,
        &x.sin(),
        &x.cast(DType::U8),
        &(&wide * 2.0),
        &wide.cumsum(0).sum(),
        &Value::rand(huge),
    ] {
        assert!(v.error().is_none(), "it can be recorded");
        assert!(v.to_vec::<f32>().is_err(), "but not be held: {v:?}");
    }
}

/// The list above has every public function of the engine.
#[test]
fn no_public_function_is_missing() {
    const FILES: &[&str] = &[
        include_str!("../src/ops/composed.rs"),
        include_str!("../src/ops/create.rs"),
        include_str!("../src/ops/index.rs"),
        include_str!("../src/ops/matmul.rs"),
        include_str!("../src/ops/movement.rs"),
        include_str!("../src/ops/random.rs"),
        include_str!("../src/ops/reduce.rs"),
        include_str!("../src/graph/mod.rs"),
        include_str!("../src/graph/row.rs"),
        include_str!("../src/autodiff/mod.rs"),
        include_str!("../src/autodiff/derived.rs"),
    ];
    let tested: BTreeSet<&str> = OPERATIONS
        .iter()
        .flat_map(|(names, _)| names.iter().copied())
        .collect();
    let identifier = |text: &'static str| {
        text.split(|c: char| !c.is_alphanumeric() && c != '_')
            .next()
            .unwrap_or("")
    };
    let mut missing = BTreeSet::new();
    for file in FILES {
        let lines = || file.lines().map(str::trim_start);
        let plain = lines().filter_map(|l| l.strip_prefix("pub fn "));
        // Names in the tables of macros: `gelu(&x) = ..`, `sum sum_axis sum_keepdim() = ..`.
        let statement = |l: &&str| ["let ", "if ", "while "].iter().any(|s| l.starts_with(s));
        let tables = lines().filter(|l| l.contains(") = ") && !statement(l));
        let names = tables.flat_map(|l| l.split('(').next().unwrap_or("").split(' '));
        let whole = |n: &&str| {
            !n.is_empty()
                && n.chars()
                    .all(|c| c.is_ascii_lowercase() || c == '_' || c.is_ascii_digit())
        };
        let public = plain.map(identifier).chain(names.filter(whole));
        missing.extend(public.filter(|name| !tested.contains(name)));
    }
    // Of crate-private types.
    for private in ["", "as_ptr", "get", "name"] {
        missing.remove(private);
    }
    assert!(
        missing.is_empty(),
        "no test throws arguments at {missing:?}"
    );
}
