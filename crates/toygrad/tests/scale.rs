//! A million operations in a row: every walk is iterative, on the 2 MiB stack that threads have
//! by default.

use std::time::{Duration, Instant};
use toygrad::{Parameter, Result, Value, evaluate, gradients, jvp};

const LENGTH: usize = 1_000_000;

/// Runs `f` on a small stack and gives what it took.
fn on_a_small_stack(f: impl FnOnce() -> Result<()> + Send + 'static) -> Duration {
    let start = Instant::now();
    let thread = std::thread::Builder::new().stack_size(2 << 20).spawn(f);
    let done = thread.expect("a thread").join();
    done.expect("no overflow").expect("no error");
    start.elapsed()
}

/// x -> x * 0.999999 + 0.000001 and so on: keeps near 1.
fn chain(x: &Value, length: usize) -> Value {
    let mut y = x.clone();
    for i in 0..length / 2 {
        let c = 1e-6 * (i % 7) as f64;
        y = &y * (1.0 - c) + c;
    }
    y
}

#[test]
fn a_long_chain_records_and_drops() {
    on_a_small_stack(|| {
        drop(chain(&Value::from([1.0]), LENGTH));
        // Shared by two owners: freed by the last.
        let y = chain(&Value::from([1.0]), LENGTH);
        let z = &y * 2.0;
        drop(y);
        drop(z);
        Ok(())
    });
}

#[test]
fn a_long_chain_evaluates_and_differentiates() {
    on_a_small_stack(|| {
        let x = Parameter::new(2.0);
        let y = chain(&x.value(), LENGTH);
        y.backward()?;
        let slope: f64 = (0..LENGTH / 2)
            .map(|i| 1.0 - 1e-6 * (i % 7) as f64)
            .product();
        let wanted = 1.0 + slope;
        assert!((y.item()? / wanted - 1.0).abs() < 1e-9, "{y}");
        assert!((x.grad()?.item()? / slope - 1.0).abs() < 1e-9);
        Ok(())
    });
}

#[test]
fn forward_mode_and_second_order_go_as_far() {
    on_a_small_stack(|| {
        let x = Value::from([2.0]);
        let y = chain(&x, LENGTH / 10).square().sum();
        let dx = gradients(&y, [&x]).remove(0);
        let tangent = jvp(&[y], [&x], &[Value::from([1.0])]).remove(0);
        let d2x = gradients(&dx.sum(), [&x]).remove(0);
        evaluate(&[dx.clone(), tangent.clone(), d2x])?;
        assert!((dx.item()? / tangent.item()? - 1.0).abs() < 1e-9);
        Ok(())
    });
}

/// One node with a hundred thousand users, and a tree of sums as wide.
#[test]
fn wide_graphs_are_as_good_as_deep_ones() {
    on_a_small_stack(|| {
        let x = Parameter::new(0.5);
        let y: Value = (0..100_000).map(|i| &x * i as f64).sum();
        y.backward()?;
        assert_eq!(x.grad()?.item()?, 99_999.0 * 50_000.0);
        Ok(())
    });
}

/// Twice the nodes take about twice the time: nothing is quadratic.
#[test]
fn time_is_linear_in_nodes() {
    let once = |length: usize| {
        on_a_small_stack(move || {
            let x = Parameter::new(2.0);
            chain(&x.value(), length).backward()?;
            Ok(())
        })
    };
    // The best of several: other tests run beside this one.
    let time = |length: usize| (0..4).map(|_| once(length)).min().unwrap_or_default();
    let (short, long) = (time(LENGTH / 100), time(LENGTH / 25));
    let ratio = long.as_secs_f64() / short.as_secs_f64();
    assert!(
        ratio < 14.0,
        "four times the nodes took {ratio:.1} times as long"
    );
}
