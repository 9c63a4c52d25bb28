//! A long training loop holds what it held at its beginning, and no more than it needs.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicIsize, Ordering::Relaxed};
use toygrad::prelude::*;

/// Counts the bytes that are allocated and not yet freed.
struct Counting;

static LIVE: AtomicIsize = AtomicIsize::new(0);

// SAFETY: hands everything on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size() as isize, Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size() as isize, Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What `steps` more steps leave behind.
fn growth(steps: usize, mut step: impl FnMut() -> Result<f64>) -> Result<isize> {
    let before = LIVE.load(Relaxed);
    let mut logged = Vec::with_capacity(steps);
    for _ in 0..steps {
        logged.push(step()?);
    }
    assert!(logged.iter().all(|loss| loss.is_finite()));
    drop(logged);
    Ok(LIVE.load(Relaxed) - before)
}

#[test]
fn training_does_not_grow() -> Result<()> {
    manual_seed(0);
    let model = Mlp::new(&[8, 32, 4], Activation::Tanh);
    let optimizer = Adam::new(&model, 1e-3);
    let x = Value::randn([64, 8]);
    let y = (Value::rand([64]) * 4.0).cast(DType::I64);
    evaluate(&[x.clone(), y.clone()])?;

    let by_hand = || {
        let loss = cross_entropy(model.forward(&x), &y);
        let value = loss.item()?;
        loss.backward()?;
        optimizer.step()?;
        Ok(value)
    };
    growth(20, by_hand)?;
    assert!(growth(200, by_hand)? < 1024, "step by step");

    let step =
        compile(|(x, y): (Value, Value)| optimizer.minimize(&cross_entropy(model.forward(&x), &y)));
    let compiled = || step.call((x.clone(), y.clone()))?.item();
    growth(20, compiled)?;
    assert!(growth(200, compiled)? < 1024, "compiled");

    // In the same test, as all threads are counted.
    what_parameters_were_made_from_is_freed()
}

fn what_parameters_were_made_from_is_freed() -> Result<()> {
    let before = LIVE.load(Relaxed);
    let w = Parameter::new(
        Value::from(vec![1.0f32; 1_000_000])
            .reshape([1000, 1000])
            .t(),
    );
    let sgd = Sgd::new(&w, 0.5);
    let step = compile(|scale: Value| sgd.minimize(&(&w * scale).sum()));
    for _ in 0..3 {
        step.call(Value::from(1.0f32))?;
    }
    assert_eq!(w.value().mean().item()?, -0.5);
    let held = LIVE.load(Relaxed) - before;
    assert!(held < 5_000_000, "{held} bytes for 4,000,000");
    Ok(())
}
