//! The largest error of every function, at both levels, against the bounds that
//! its documentation states: f32 against f64 arithmetic, f64 against numbers
//! that mpmath computed (reference.py).

use super::{Float, Fused, Isa, Plain};

/// A function with its arguments in a row of two, the second unused by most.
type Row<T> = fn([T; 2]) -> T;

struct Case {
    name: &'static str,
    /// Fused, then plain.
    single: [Row<f32>; 2],
    double: [Row<f64>; 2],
    exact: Row<f64>,
    /// Intervals to sample; where both ends have a sign, over the exponents.
    domain: &'static [(f32, f32)],
    second: &'static [(f32, f32)],
    /// In units in the last place, f32 and f64.
    bound: (f64, f64),
    /// An absolute error that is let pass too, f32 and f64.
    slack: (f64, f64),
}

macro_rules! case {
    ($f:ident, $exact:expr, $domain:expr, $bound:expr) => {
        case!($f, $exact, $domain, $bound, (0.0, 0.0))
    };
    ($f:ident, $exact:expr, $domain:expr, $bound:expr, $slack:expr) => {
        Case {
            name: stringify!($f),
            single: [
                |[x, _]| Float::$f::<Fused>(x),
                |[x, _]| Float::$f::<Plain>(x),
            ],
            double: [
                |[x, _]| Float::$f::<Fused>(x),
                |[x, _]| Float::$f::<Plain>(x),
            ],
            exact: |[x, _]| $exact(x),
            domain: &$domain,
            second: &[],
            bound: $bound,
            slack: $slack,
        }
    };
}

fn polygamma<T: Float, I: Isa>([n, x]: [T; 2]) -> T {
    T::polygamma::<I>(n, x)
}

fn cases() -> Vec<Case> {
    vec![
        case!(exp, f64::exp, [(-1.0, 1.0), (-105.0, 88.7)], (1.3, 1.0)),
        case!(exp2, f64::exp2, [(-1.0, 1.0), (-152.0, 127.9)], (1.3, 1.0)),
        case!(
            expm1,
            f64::exp_m1,
            [(-1.0, 1.0), (-20.0, 88.7), (1e-12, 1.0), (-1.0, -1e-12)],
            (1.5, 2.0)
        ),
        case!(ln, f64::ln, [(0.5, 2.0), (1e-45, 3e38)], (0.8, 1.0)),
        case!(log2, f64::log2, [(0.5, 2.0), (1e-45, 3e38)], (1.0, 1.0)),
        case!(log10, f64::log10, [(0.5, 2.0), (1e-45, 3e38)], (0.8, 1.0)),
        case!(
            log1p,
            f64::ln_1p,
            [(-0.9999, 1.0), (1e-12, 3e38), (-0.99, -1e-12)],
            (1.4, 1.0)
        ),
        case!(
            sin,
            f64::sin,
            [(-7.0, 7.0), (1e-12, 1e5), (-1e5, 1e5)],
            (1.4, 1.0)
        ),
        case!(
            cos,
            f64::cos,
            [(-7.0, 7.0), (1e-12, 1e5), (-1e5, 1e5)],
            (1.5, 1.0)
        ),
        case!(
            tan,
            f64::tan,
            [(-7.0, 7.0), (1e-12, 1e5), (-1e5, 1e5)],
            (3.3, 2.0)
        ),
        case!(asin, f64::asin, [(-1.0, 1.0), (1e-12, 1.0)], (1.2, 1.0)),
        case!(acos, f64::acos, [(-1.0, 1.0), (1e-12, 1.0)], (1.1, 1.0)),
        case!(atan, f64::atan, [(-3.0, 3.0), (1e-12, 1e12)], (1.8, 1.0)),
        case!(
            sinh,
            f64::sinh,
            [(-3.0, 3.0), (-89.4, 89.4), (1e-12, 1.0)],
            (2.1, 2.0)
        ),
        case!(
            cosh,
            f64::cosh,
            [(-3.0, 3.0), (-89.4, 89.4), (1e-12, 1.0)],
            (1.3, 1.0)
        ),
        case!(
            tanh,
            f64::tanh,
            [(-3.0, 3.0), (-12.0, 12.0), (1e-12, 1.0)],
            (2.5, 2.0)
        ),
        case!(asinh, libm::asinh, [(-3.0, 3.0), (1e-12, 3e38)], (1.6, 1.0)),
        case!(acosh, libm::acosh, [(1.0, 3.0), (1.0, 3e38)], (2.0, 1.0)),
        case!(atanh, libm::atanh, [(-1.0, 1.0), (1e-12, 1.0)], (1.9, 1.0)),
        case!(
            sigmoid,
            |x: f64| 1.0 / (1.0 + (-x).exp()),
            [(-3.0, 3.0), (-103.0, 20.0)],
            (2.3, 2.0)
        ),
        case!(
            softplus,
            |x: f64| x.max(0.0) + (-x.abs()).exp().ln_1p(),
            [(-3.0, 3.0), (-103.0, 40.0)],
            (1.6, 2.0)
        ),
        case!(
            erf,
            libm::erf,
            [(-1.0, 1.0), (-4.5, 4.5), (1e-12, 1.0)],
            (5.7, 3.0)
        ),
        case!(
            erfc,
            libm::erfc,
            [(-1.0, 1.0), (-4.5, 10.5), (1e-12, 1.0)],
            (3.9, 3.0)
        ),
        case!(
            lgamma,
            libm::lgamma,
            [(0.0, 10.0), (1e-30, 1e30), (-20.0, 0.0)],
            (0.51, 3.0),
            (1e-12, 4e-15)
        ),
        case!(
            digamma,
            |x: f64| Float::digamma::<Plain>(x),
            [(0.0, 10.0), (1e-30, 1e30), (-20.0, 0.0)],
            (0.51, 5.0),
            (1e-12, 4e-15)
        ),
        Case {
            name: "atan2",
            single: [
                |[y, x]| Float::atan2::<Fused>(y, x),
                |[y, x]| Float::atan2::<Plain>(y, x),
            ],
            double: [
                |[y, x]| Float::atan2::<Fused>(y, x),
                |[y, x]| Float::atan2::<Plain>(y, x),
            ],
            exact: |[y, x]| f64::atan2(y, x),
            domain: &[(-3.0, 3.0), (1e-30, 1e30)],
            second: &[(-3.0, 3.0), (1e-30, 1e30)],
            bound: (1.6, 1.0),
            slack: (0.0, 0.0),
        },
        Case {
            name: "pow",
            single: [
                |[x, y]| Float::pow::<Fused>(x, y),
                |[x, y]| Float::pow::<Plain>(x, y),
            ],
            double: [
                |[x, y]| Float::pow::<Fused>(x, y),
                |[x, y]| Float::pow::<Plain>(x, y),
            ],
            exact: |[x, y]| f64::powf(x, y),
            domain: &[(0.0, 3.0), (1e-30, 1e30), (0.9, 1.1)],
            second: &[(-30.0, 30.0), (-1.0, 1.0), (-800.0, 800.0)],
            bound: (0.51, 1.0),
            slack: (0.0, 0.0),
        },
        Case {
            name: "polygamma",
            single: [polygamma::<f32, Fused>, polygamma::<f32, Plain>],
            double: [polygamma::<f64, Fused>, polygamma::<f64, Plain>],
            exact: |[n, x]| f64::polygamma::<Plain>(n, x),
            domain: &[(1.0, 1.0), (2.0, 2.0), (3.0, 3.0), (6.0, 6.0)],
            second: &[(0.01, 20.0), (0.01, 20.0), (0.01, 20.0), (0.01, 20.0)],
            bound: (0.51, 3.0),
            slack: (0.0, 0.0),
        },
    ]
}

/// A sequence of well spread fractions.
fn fraction(state: &mut u64) -> f64 {
    *state = state
        .wrapping_mul(6364136223846793005)
        .wrapping_add(1442695040888963407);
    (*state >> 11) as f64 / (1u64 << 53) as f64
}

fn sample(state: &mut u64, (lo, hi): (f32, f32)) -> f32 {
    let t = fraction(state);
    if lo * hi > 0.0 && (hi / lo > 8.0 || lo / hi > 8.0) {
        let (a, b) = (f64::from(lo.abs()).ln(), f64::from(hi.abs()).ln());
        return ((a + (b - a) * t).exp() as f32).copysign(lo);
    }
    (f64::from(lo) + f64::from(hi - lo) * t) as f32
}

/// The spacing of f32 at `x`.
fn ulp(x: f64) -> f64 {
    2f64.powi((x.abs().log2().floor() as i32).max(-126) - 23)
}

/// How many f64 apart two numbers are.
fn distance(a: f64, b: f64) -> f64 {
    let order = |x: f64| {
        let b = x.to_bits() as i64;
        i128::from(if b < 0 { i64::MIN - b } else { b })
    };
    if a.is_nan() || b.is_nan() {
        return if a.is_nan() == b.is_nan() {
            0.0
        } else {
            f64::INFINITY
        };
    }
    (order(a) - order(b)).unsigned_abs() as f64
}

#[test]
fn f32_within_bounds() {
    let mut failed = false;
    for case in cases() {
        for (level, f) in ["fused", "plain"].iter().zip(case.single) {
            let mut worst = (0.0, [0.0; 2], 0.0);
            let mut state = 1;
            for (i, &range) in case.domain.iter().enumerate() {
                for _ in 0..20_000 {
                    let x = sample(&mut state, range);
                    let y = case.second.get(i).map_or(0.0, |&r| sample(&mut state, r));
                    let exact = (case.exact)([x.into(), y.into()]);
                    let got = f64::from(f([x, y]));
                    let error =
                        if f64::from(exact as f32) == got || (got - exact).abs() < case.slack.0 {
                            (got - exact).abs().min(0.5 * ulp(exact)) / ulp(exact)
                        } else {
                            (got - exact).abs() / ulp(exact)
                        };
                    let error = match got.is_nan() == exact.is_nan() {
                        _ if got == exact => 0.0,
                        true if got.is_nan() => 0.0,
                        true => error,
                        false => f64::INFINITY,
                    };
                    if error > worst.0 {
                        worst = (error, [x, y], got);
                    }
                }
            }
            println!(
                "f32 {:10} {level} {:8.2} at {:?} -> {:e}",
                case.name, worst.0, worst.1, worst.2
            );
            failed |= worst.0 > case.bound.0;
        }
    }
    assert!(!failed, "an error above its bound: see the list");
}

#[test]
fn f64_within_bounds() {
    let path = std::env::var("REFERENCE");
    let text = match &path {
        Ok(p) => std::fs::read_to_string(p).unwrap(),
        Err(_) => include_str!("reference.txt").to_string(),
    };
    let cases = cases();
    let mut worst = vec![[(0.0, [0.0; 2], 0.0); 2]; cases.len()];
    let mut at = 0;
    for line in text.lines() {
        if let Some(i) = cases.iter().position(|c| c.name == line) {
            at = i;
            continue;
        }
        let v: Vec<f64> = line
            .split(' ')
            .map(|w| f64::from_bits(u64::from_str_radix(w, 16).unwrap()))
            .collect();
        let (args, exact) = ([v[0], v[1]], v[v.len() - 1]);
        for (f, w) in cases[at].double.iter().zip(&mut worst[at]) {
            let got = f(args);
            let error = distance(got, exact);
            let near = (got - exact).abs() < cases[at].slack.1;
            if error > w.0 && !near {
                *w = (error, args, got);
            }
        }
    }
    let mut failed = false;
    for (case, w) in cases.iter().zip(&worst) {
        for (level, w) in ["fused", "plain"].iter().zip(w) {
            println!(
                "f64 {:10} {level} {:6} at {:?} -> {:e}",
                case.name, w.0, w.1, w.2
            );
            failed |= w.0 > case.bound.1;
        }
    }
    assert!(!failed, "an error above its bound: see the list");
}

/// A number and the function of it, by name.
type Value<T> = (&'static str, fn(T) -> T, f64, f64);

fn edges<T: Float + Into<f64>, I: Isa>() {
    let (inf, nan) = (f64::INFINITY, f64::NAN);
    let pi = std::f64::consts::PI;
    let mut table: Vec<Value<T>> = Vec::new();
    macro_rules! rows {
        ($($f:ident: $($x:expr => $y:expr),*;)*) => {
            $($(table.push((stringify!($f), |x| x.$f::<I>(), $x, $y));)*
              table.push((stringify!($f), |x| x.$f::<I>(), f64::NAN, f64::NAN));)*
        };
    }
    rows! {
        exp: inf => inf, -inf => 0.0, 0.0 => 1.0, -0.0 => 1.0, 1e4 => inf, -1e4 => 0.0;
        exp2: inf => inf, -inf => 0.0, 10.0 => 1024.0, -1.0 => 0.5, 1e5 => inf, -1e5 => 0.0;
        expm1: inf => inf, -inf => -1.0, 0.0 => 0.0, -0.0 => -0.0, 1e-40 => 1e-40, 1e4 => inf, -1e4 => -1.0;
        ln: inf => inf, -inf => nan, 0.0 => -inf, -0.0 => -inf, 1.0 => 0.0, -1.0 => nan;
        log2: inf => inf, -inf => nan, 0.0 => -inf, 1.0 => 0.0, 8.0 => 3.0, 0.125 => -3.0, -1.0 => nan;
        log10: inf => inf, -inf => nan, 0.0 => -inf, 1.0 => 0.0, 1000.0 => 3.0, -1.0 => nan;
        log1p: inf => inf, -inf => nan, 0.0 => 0.0, -0.0 => -0.0, -1.0 => -inf, -2.0 => nan, 1e-40 => 1e-40;
        sin: inf => nan, -inf => nan, 0.0 => 0.0, -0.0 => -0.0, 1e-40 => 1e-40;
        cos: inf => nan, -inf => nan, 0.0 => 1.0, -0.0 => 1.0;
        tan: inf => nan, -inf => nan, 0.0 => 0.0, -0.0 => -0.0, 1e-40 => 1e-40;
        asin: inf => nan, 0.0 => 0.0, -0.0 => -0.0, 1.0 => pi / 2.0, -1.0 => -pi / 2.0, 1.5 => nan, -1.5 => nan;
        acos: inf => nan, 0.0 => pi / 2.0, 1.0 => 0.0, -1.0 => pi, 1.5 => nan, -1.5 => nan;
        atan: inf => pi / 2.0, -inf => -pi / 2.0, 0.0 => 0.0, -0.0 => -0.0, 1.0 => pi / 4.0, 1e-40 => 1e-40;
        sinh: inf => inf, -inf => -inf, 0.0 => 0.0, -0.0 => -0.0, 1e4 => inf, 1e-40 => 1e-40;
        cosh: inf => inf, -inf => inf, 0.0 => 1.0, -1e4 => inf;
        tanh: inf => 1.0, -inf => -1.0, 0.0 => 0.0, -0.0 => -0.0, 1e4 => 1.0, 1e-40 => 1e-40;
        asinh: inf => inf, -inf => -inf, 0.0 => 0.0, -0.0 => -0.0, 1e-40 => 1e-40;
        acosh: inf => inf, -inf => nan, 1.0 => 0.0, 0.5 => nan, -3.0 => nan;
        atanh: inf => nan, 1.0 => inf, -1.0 => -inf, 0.0 => 0.0, -0.0 => -0.0, 2.0 => nan, 1e-40 => 1e-40;
        sigmoid: inf => 1.0, -inf => 0.0, 0.0 => 0.5, 1e4 => 1.0, -1e4 => 0.0;
        softplus: inf => inf, -inf => 0.0, 1e4 => 1e4, -1e4 => 0.0;
        erf: inf => 1.0, -inf => -1.0, 0.0 => 0.0, -0.0 => -0.0, 10.0 => 1.0, -10.0 => -1.0;
        erfc: inf => 0.0, -inf => 2.0, 0.0 => 1.0, 100.0 => 0.0, -100.0 => 2.0;
        lgamma: inf => inf, -inf => inf, 0.0 => inf, -0.0 => inf, -3.0 => inf, 1.0 => 0.0, 2.0 => 0.0;
        digamma: inf => inf, -inf => nan, 0.0 => -inf, -0.0 => inf, -3.0 => nan;
    }
    let same = |name: &str, x: &[f64], got: T, want: f64| {
        let (got, want): (f64, f64) = (got.into(), T::of(want).into());
        let close = want.is_nan() && got.is_nan() || got.to_bits() == want.to_bits();
        assert!(close, "{name}({x:?}) is {got}, not {want}");
    };
    for (name, f, x, y) in table {
        same(name, &[x], f(T::of(x)), y);
    }
    for (x, e, want) in [
        (0.0, 0.0, 1.0),
        (nan, 0.0, 1.0),
        (1.0, nan, 1.0),
        (nan, 1.0, nan),
        (2.0, nan, nan),
        (2.0, 10.0, 1024.0),
        (-2.0, 3.0, -8.0),
        (-2.0, 2.0, 4.0),
        (-2.0, 0.5, nan),
        (-1.0, inf, 1.0),
        (-1.0, -inf, 1.0),
        (0.0, -1.0, inf),
        (-0.0, -1.0, -inf),
        (-0.0, -2.0, inf),
        (-0.0, 3.0, -0.0),
        (0.0, 0.5, 0.0),
        (-0.0, 0.5, 0.0),
        (inf, 2.0, inf),
        (inf, -2.0, 0.0),
        (-inf, 3.0, -inf),
        (-inf, 2.0, inf),
        (-inf, -3.0, -0.0),
        (-inf, 0.5, inf),
        (0.5, inf, 0.0),
        (0.5, -inf, inf),
        (2.0, inf, inf),
        (2.0, -inf, 0.0),
        (-2.0, inf, inf),
        (0.0, inf, 0.0),
        (0.0, -inf, inf),
        (10.0, 400.0, inf),
        (10.0, -400.0, 0.0),
    ] {
        same("pow", &[x, e], T::of(x).pow::<I>(T::of(e)), want);
    }
    for (y, x, want) in [
        (0.0, 1.0, 0.0),
        (-0.0, 1.0, -0.0),
        (0.0, -1.0, pi),
        (-0.0, -1.0, -pi),
        (0.0, 0.0, 0.0),
        (0.0, -0.0, pi),
        (-0.0, -0.0, -pi),
        (1.0, 0.0, pi / 2.0),
        (-1.0, -0.0, -pi / 2.0),
        (inf, inf, pi / 4.0),
        (-inf, -inf, -3.0 * pi / 4.0),
        (inf, 1.0, pi / 2.0),
        (1.0, inf, 0.0),
        (1.0, -inf, pi),
        (nan, 1.0, nan),
        (1.0, nan, nan),
        (3e38, 3e38, pi / 4.0),
        (1e-45, 1e-45, pi / 4.0),
    ] {
        same("atan2", &[y, x], T::of(y).atan2::<I>(T::of(x)), want);
    }
    for (n, x, want) in [
        (1.0, 0.0, inf),
        (2.0, 0.0, -inf),
        (1.0, inf, 0.0),
        (2.0, inf, -0.0),
        (1.0, nan, nan),
        (2.0, -1.5, nan),
        (1.5, 1.0, nan),
        (-1.0, 1.0, nan),
        (0.0, 0.0, -inf),
        (1.0, -2.0, inf),
    ] {
        same(
            "polygamma",
            &[n, x],
            T::polygamma::<I>(T::of(n), T::of(x)),
            want,
        );
    }
    // Beyond the range of the reduction.
    for x in [3e5, 1e10, 1e30] {
        for v in [T::of(x).sin::<I>(), T::of(x).cos::<I>()] {
            assert!(v.into().abs() <= 1.0);
        }
    }
}

#[test]
fn special_values() {
    edges::<f32, Fused>();
    edges::<f32, Plain>();
    edges::<f64, Fused>();
    edges::<f64, Plain>();
}

#[test]
fn rounding() {
    let mut state = 3;
    let mut xs = vec![
        0.0,
        -0.0,
        0.5,
        -0.5,
        1.5,
        2.5,
        -2.5,
        0.49999997,
        f32::MAX,
        f32::INFINITY,
    ];
    for range in [(-5.0, 5.0), (1e-30, 1e30), (-1e30, -1e-30), (4e6, 4e7)] {
        xs.extend((0..2000).map(|_| sample(&mut state, range)));
    }
    for x in xs {
        let d = f64::from(x) * (1.0 + 1e-12);
        let bits = |v: [f32; 4]| v.map(f32::to_bits);
        assert_eq!(
            bits([
                Float::floor(x),
                Float::ceil(x),
                Float::trunc(x),
                Float::round_ties_even(x)
            ]),
            bits([x.floor(), x.ceil(), x.trunc(), x.round_ties_even()]),
            "{x}"
        );
        let bits = |v: [f64; 4]| v.map(f64::to_bits);
        assert_eq!(
            bits([
                Float::floor(d),
                Float::ceil(d),
                Float::trunc(d),
                Float::round_ties_even(d)
            ]),
            bits([d.floor(), d.ceil(), d.trunc(), d.round_ties_even()]),
            "{d}"
        );
    }
}
