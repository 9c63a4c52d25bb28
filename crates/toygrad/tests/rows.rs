//! Every row of the table, over its own domain: the executor against the reference, derivatives
//! against differences, forward against reverse mode. A new row is tested by being in the table.

mod common;
use common::*;
use toygrad::{DType, Family, Onnx, ROWS, Row, Slope, Value};

/// The dtypes that a row's arguments can have.
fn dtypes(family: Family) -> &'static [DType] {
    use DType::*;
    match family {
        Family::Float => &[F32, F64],
        Family::Numeric | Family::Compare => &[F32, F64, I64, U8],
        Family::Logic => &[Bool],
        Family::Select => &[F32, F64, I64, U8, Bool],
    }
}

/// Where to draw argument `k`: whole numbers need a wider range to be different ones.
fn range(row: &Row, k: usize, dtype: DType) -> (f64, f64) {
    match dtype {
        DType::I64 => (-9.0, 9.0),
        DType::U8 => (0.0, 255.0),
        _ => row.domain[k],
    }
}

/// The dtype of argument `k` where the row works on `dtype`.
fn argument(row: &Row, k: usize, dtype: DType) -> DType {
    match (row.family, k) {
        (Family::Select, 0) => DType::Bool,
        _ => dtype,
    }
}

#[test]
fn the_executor_computes_what_rows_mean_in_every_layout() {
    for row in ROWS {
        for &dtype in dtypes(row.family) {
            let mut rng = Rng(11);
            let columns: Vec<_> = (0..row.arity())
                .map(|k| layouts(&mut rng, argument(row, k, dtype), range(row, k, dtype)))
                .collect();
            for i in 0..columns[0].len() {
                let inputs: Vec<Value> = columns.iter().map(|c| c[i].1.clone()).collect();
                let what = format!("{} {dtype} {}", row.name, columns[0][i].0);
                assert_oracle(&what, &row.apply(&inputs), tolerance(dtype));
            }
        }
    }
}

#[test]
fn operands_are_broadcast() {
    for row in ROWS.iter().filter(|row| row.arity() > 1) {
        for &dtype in dtypes(row.family) {
            let mut rng = Rng(12);
            for &(left, right) in BROADCASTS {
                let inputs: Vec<Value> = (0..row.arity())
                    .map(|k| {
                        // The middle one of three is a scalar.
                        let shape = [left, right, &[]][if row.arity() == 3 { k } else { k % 2 }];
                        rng.array(shape, argument(row, k, dtype), range(row, k, dtype))
                    })
                    .collect();
                let y = row.apply(&inputs);
                let wanted = shape_of(left).broadcast(&shape_of(right));
                let what = format!("{} {dtype} {left:?} {right:?}", row.name);
                assert_eq!(Some(y.shape()), wanted.as_ref(), "{what}");
                assert_oracle(&what, &y, tolerance(dtype));
            }
        }
    }
}

/// What repeats along some axes is held while it does: over arrays of many tiles, of all lengths.
#[test]
fn repeated_operands_are_broadcast() {
    let mut rng = Rng(13);
    for case in 0..300 * effort() {
        let dtype = *rng.pick(&[DType::F32, DType::F64]);
        let rank = 1 + rng.below(4);
        let mut shape: Vec<usize> = (0..rank)
            .map(|_| *rng.pick(&[1, 2, 3, 7, 10, 16, 32, 48]))
            .collect();
        // One axis is long.
        let long = rng.below(rank);
        shape[long] = *rng.pick(&[63, 64, 500, 512, 1000, 1024, 1537]);
        while shape.iter().product::<usize>() > 60_000 {
            let most = (0..rank).filter(|&a| a != long).max_by_key(|&a| shape[a]);
            shape[most.unwrap_or(long)] = 1 + rng.below(3);
        }
        let mut operand = || {
            let kept = shape.iter().map(|&n| if rng.one_in(2) { 1 } else { n });
            let kept: Vec<usize> = kept.collect();
            rng.array(&kept, dtype, (-1.0, 1.0))
        };
        let (a, b, c) = (operand(), operand(), operand());
        let what = format!("case {case}: {} {} {}", a.shape(), b.shape(), c.shape());
        assert_oracle(&what, &((&a + &b) * &c - a), tolerance(dtype));
    }
}

#[test]
fn mixed_dtypes_are_promoted() {
    for row in ROWS.iter().filter(|row| row.arity() == 2) {
        for (a, b, wide) in [
            (DType::F32, DType::F64, DType::F64),
            (DType::I64, DType::F32, DType::F32),
            (DType::U8, DType::I64, DType::I64),
        ] {
            let mut rng = Rng(13);
            let x = rng.array(&[2, 3], a, row.domain[0]);
            let y = rng.array(&[3], b, row.domain[1]);
            let z = row.apply(&[x, y]);
            let wanted = match row.family {
                Family::Float => wide.to_float(),
                Family::Numeric | Family::Select => wide,
                Family::Compare | Family::Logic => DType::Bool,
            };
            assert_eq!(z.dtype(), wanted, "{} of {a} and {b}", row.name);
            assert_oracle(row.name, &z, tolerance(z.dtype().max(DType::F32)));
        }
    }
}

/// Whether an argument is one to differentiate by: truth values and the order of `polygamma` are
/// not (a domain of one point says so).
fn varies(row: &Row, k: usize) -> bool {
    !matches!((row.family, k), (Family::Select, 0)) && row.domain[k].0 < row.domain[k].1
}

#[test]
fn derivatives_are_what_differences_and_forward_mode_say() {
    for row in ROWS.iter().filter(|r| r.family != Family::Logic) {
        let mut rng = Rng(14);
        for (left, right) in [
            (&[][..], &[][..]),
            (&[2, 3], &[2, 3]),
            (&[2, 3], &[3]),
            (&[2, 1], &[1, 2]),
        ] {
            let inputs: Vec<Value> = (0..row.arity())
                .map(|k| {
                    let shape = if k % 2 == 0 { left } else { right };
                    rng.array(shape, argument(row, k, DType::F64), row.domain[k])
                })
                .collect();
            let free: Vec<usize> = (0..row.arity()).filter(|&k| varies(row, k)).collect();
            let f = |x: &[Value]| {
                let mut all = inputs.clone();
                free.iter().zip(x).for_each(|(&k, x)| all[k] = x.clone());
                row.apply(&all).cast(DType::F64)
            };
            let x: Vec<Value> = free.iter().map(|&k| inputs[k].clone()).collect();
            assert_derivatives(&format!("{} {left:?} {right:?}", row.name), &f, &x);
        }
    }
}

/// The derivative at a point where it is 0 says nothing, so domains must lie elsewhere.
#[test]
fn domains_lie_where_derivatives_are_not_zero() {
    for row in ROWS.iter().filter(|r| !matches!(r.slope, Slope::Zero)) {
        let mut rng = Rng(15);
        let x: Vec<Value> = (0..row.arity())
            .map(|k| rng.array(&[64], argument(row, k, DType::F64), row.domain[k]))
            .collect();
        let y = row.apply(&x).sum();
        for k in (0..row.arity()).filter(|&k| varies(row, k)) {
            let g = numbers(&toygrad::gradients(&y, [&x[k]])[0]);
            let live = g.iter().filter(|g| g.abs() > 1e-3).count();
            assert!(live >= 16, "{} by argument {k}: {live} of 64", row.name);
        }
    }
}

/// What kind of number it is; the sign of zero does not count.
fn class(x: f64, dtype: DType) -> &'static str {
    let tiny = if dtype == DType::F32 {
        1.2e-38
    } else {
        2.3e-308
    };
    match x {
        x if x.is_nan() => "NaN",
        f64::INFINITY => "infinite",
        f64::NEG_INFINITY => "minus infinite",
        x if x.abs() < tiny => "zero",
        x if x > 0.0 => "positive",
        _ => "negative",
    }
}

/// Where the docs of a function promise nothing: angles of which no digit after the point is
/// known, remainders of quotients that have no units digit, orders that nobody asks for.
fn beyond(name: &str, x: &[f64]) -> bool {
    match name {
        "sin" | "cos" | "tan" => x[0].abs() > 1e5,
        "rem" => (x[0] / x[1]).abs() > 1e7 && x[0].is_finite(),
        "polygamma" => x[0] > 100.0,
        _ => false,
    }
}

#[test]
fn special_values_give_what_the_reference_gives() {
    const SPECIAL: [f64; 17] = [
        f64::NAN,
        f64::INFINITY,
        f64::NEG_INFINITY,
        0.0,
        -0.0,
        1.0,
        -1.0,
        0.5,
        -0.5,
        2.0,
        -2.0,
        3.0,
        1e30,
        -1e30,
        1e-30,
        -1e-30,
        700.0,
    ];
    let mut faults = Vec::new();
    for row in ROWS.iter().filter(|r| r.family != Family::Logic) {
        for dtype in [DType::F32, DType::F64] {
            // Every combination, in one array.
            let count = SPECIAL.len().pow(row.arity() as u32);
            let column = |k: usize| -> Vec<f64> {
                let period = SPECIAL.len().pow(k as u32);
                (0..count)
                    .map(|i| SPECIAL[i / period % SPECIAL.len()])
                    .collect()
            };
            let columns: Vec<Vec<f64>> = (0..row.arity()).map(column).collect();
            let inputs: Vec<Value> = (0..row.arity())
                .map(|k| array(&columns[k], &[count], argument(row, k, dtype)))
                .collect();
            let y = row.apply(&inputs);
            let found = numbers(&y);
            let wanted = toygrad::oracle(&[y]).expect("the reference");
            for i in 0..count {
                let arguments: Vec<f64> = columns.iter().map(|c| c[i]).collect();
                let wanted = stored(wanted[0][i], dtype);
                if class(found[i], dtype) != class(wanted, dtype) && !beyond(row.name, &arguments) {
                    let name = row.name;
                    faults.push(format!(
                        "{name} {dtype} of {arguments:?} is {:e}, not {wanted:e}",
                        found[i]
                    ));
                }
            }
        }
    }
    assert!(
        faults.is_empty(),
        "{} faults:\n{}",
        faults.len(),
        faults.join("\n")
    );
}

/// What a row is exported as, where it is an expression of other rows.
#[test]
fn expressions_for_onnx_are_the_rows_that_they_stand_for() {
    for row in ROWS {
        let Onnx::Rows(f) = row.onnx else { continue };
        let mut rng = Rng(16);
        let x: Vec<Value> = (0..row.arity())
            .map(|k| rng.array(&[64], DType::F64, row.domain[k]))
            .collect();
        let (found, wanted) = (numbers(&f(&x)), numbers(&row.apply(&x)));
        assert_near(row.name, &found, &wanted, tolerance(DType::F64));
    }
}

#[test]
fn names_docs_and_arities_are_in_order() {
    for (i, row) in ROWS.iter().enumerate() {
        assert!(!row.doc.trim().is_empty(), "{} has no doc", row.name);
        assert!(
            ROWS[..i].iter().all(|r| r.name != row.name),
            "{} twice",
            row.name
        );
        let few = row.apply(&vec![Value::from(1.0); row.arity() + 1]);
        assert!(
            few.error().is_some(),
            "{} took an argument too many",
            row.name
        );
    }
}
