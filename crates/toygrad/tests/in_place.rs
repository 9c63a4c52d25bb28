//! New values of parameters are written over the old ones where that is safe: random steps leave
//! what the reference computes from the values before.

mod common;
use common::*;
use toygrad::{DType, Parameter, Value, compile, oracle};

/// Of a step: the new value of each cell, then what else is wanted, from the cells' values.
fn step(seed: u64, cells: &[Value]) -> Vec<Value> {
    let mut rng = Rng(seed);
    let mut made: Vec<Value> = cells.to_vec();
    for _ in 0..rng.below(6) {
        let (a, b) = (rng.pick(&made).clone(), rng.pick(&made).clone());
        made.push(match rng.below(8) {
            0 => (&a + &b) * 0.5,
            1 => (&a - &b) * 0.5,
            2 => &a * &b,
            3 => a.tanh(),
            4 => &a - b.mean(),
            5 => &a * 0.5 + &b * 0.5,
            6 => a.flip(0),
            _ => a.detach(),
        });
    }
    let newest = |rng: &mut Rng| {
        let back = rng.below(made.len()).min(rng.below(made.len()));
        made[made.len() - 1 - back].clone()
    };
    let mut found: Vec<Value> = cells.iter().map(|_| newest(&mut rng)).collect();
    for _ in 0..rng.below(4) {
        let x = newest(&mut rng);
        found.push(match rng.below(4) {
            0 => x.mean(),
            1 => x.max(),
            2 => x * 3.0,
            _ => x,
        });
    }
    found
}

/// What a parameter holds when a recorded function runs, not what it held while it was recorded.
#[test]
fn parameters_are_copied_as_they_are_then() {
    let (online, target) = (Parameter::new([1.0, 2.0]), Parameter::new([0.0, 0.0]));
    let update = compile(|_: Value| {
        let now = online.value();
        let updates = [(&online, &now * 2.0), (&target, now.clone())];
        Parameter::set_all(updates, &[]).expect("an update");
        (now.sum(), now.detach() * 10.0)
    });
    for held in [1.0, 2.0, 4.0, 8.0] {
        let (sum, tenfold) = update.call(Value::from(0.0)).expect("a step");
        assert_eq!(numbers(&sum), [3.0 * held]);
        assert_eq!(numbers(&tenfold), [10.0 * held, 20.0 * held]);
        assert_eq!(numbers(&target.value()), [held, 2.0 * held]);
        assert_eq!(numbers(&online.value()), [2.0 * held, 4.0 * held]);
    }
}

/// It would be what the parameter held then, for ever.
#[test]
fn a_parameter_cannot_be_read_while_a_function_is_recorded() {
    let w = Parameter::new([1.0, 2.0]);
    let read =
        compile(|x: Value| -> toygrad::Result<Value> { Ok(x * w.value().to_vec::<f64>()?[0]) });
    assert!(read.call(Value::from(3.0)).and_then(|y| y).is_err());
    let constant = Value::from([5.0, 7.0]);
    let read =
        compile(|x: Value| -> toygrad::Result<Value> { Ok(x * constant.to_vec::<f64>()?[0]) });
    let y = read.call(Value::from(3.0)).and_then(|y| y);
    assert_eq!(numbers(&y.expect("a constant")), [15.0]);
}

#[test]
fn what_is_written_over_has_been_read() {
    let mut overwritten = 0;
    for seed in 0..400 * effort() {
        let mut rng = Rng(seed);
        let n = *rng.pick(&[1, 5, 16, 600, 5000, 40_000]);
        let dtype = *rng.pick(&[DType::F32, DType::F64]);
        let mut wanted: Vec<Vec<f64>> = (0..1 + rng.below(3))
            .map(|_| numbers(&rng.array(&[n], dtype, (-1.0, 1.0))))
            .collect();
        let cell = |x: &Vec<f64>| Parameter::new(array(x, &[n], dtype));
        let cells: Vec<Parameter> = wanted.iter().map(cell).collect();
        let run = || {
            let values: Vec<Value> = cells.iter().map(Parameter::value).collect();
            let mut found = step(seed, &values);
            let with = found.split_off(cells.len());
            let with_refs: Vec<&Value> = with.iter().collect();
            Parameter::set_all(cells.iter().zip(found), &with_refs).expect("a step");
            with
        };
        let compiled = compile(|_: Value| run());
        let nothing = || Value::from(0.0);
        let listing = compiled.listing(nothing()).expect("a listing");
        overwritten += listing.matches(" over in").count();
        for again in 0..4 {
            let made = match again {
                0 => run(),
                _ => compiled.call(nothing()).expect("a replay"),
            };
            let leaves: Vec<Value> = wanted.iter().map(|x| array(x, &[n], dtype)).collect();
            let all = step(seed, &leaves);
            let reference = oracle(&all).expect("the reference");
            let found = cells.iter().map(Parameter::value).chain(made);
            for (k, (found, wanted)) in found.zip(&reference).enumerate() {
                let what = format!("step {again} of seed {seed}, {n} {dtype}, result {k}");
                assert_near(&what, &numbers(&found), wanted, tolerance(dtype));
            }
            wanted = cells.iter().map(|p| numbers(&p.value())).collect();
        }
    }
    assert!(overwritten > 100, "only {overwritten} written over");
}
