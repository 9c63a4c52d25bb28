//! What the compiler makes of typical graphs, as text: a change of the passes shows here.
//! `TOYGRAD_BLESS=1 cargo test --test listings` writes the file anew.

use std::fmt::Write;
use toygrad::prelude::*;

fn listings() -> Result<String> {
    let x = Value::from_slice(&[0.5f32; 12], [3, 4]);
    let w = Parameter::new(Value::from_slice(&[0.25f32; 20], [4, 5]));
    let b = Parameter::new(Value::from_slice(&[0.1f32; 5], [5]));
    let v = Value::from_slice(&[0.5f32; 4], [4]);
    let labels = Value::from([0, 2, 4]);
    let scalar = Parameter::new(1.5);
    let layer = (x.matmul(&w) + &b).relu();
    let loss = cross_entropy(&layer, &labels);
    let cases = [
        (
            "a scalar and its gradient",
            gradients(&(&scalar * &scalar).sin(), [&scalar]).remove(0),
        ),
        ("a chain is one loop", ((&x * 2.0 + 1.0).tanh() - 0.5).exp()),
        ("a reduction ends its loop", (&x - 1.0).square().sum_axis(1)),
        ("softmax along rows", x.softmax(-1)),
        ("a layer", layer.clone()),
        ("movement is views", x.t().slice(s![1..3, ..;-1]) + 1.0),
        (
            "parts are written in place",
            Value::concat([&x * 2.0, x.exp()], 0),
        ),
        (
            "a weight's gradient, as it will be read",
            gradients(&loss, [&w]).remove(0).t(),
        ),
        ("equal parts are computed once", x.exp() * x.exp() + x.exp()),
        (
            "gradients of a sum of products are no products",
            gradients(&x.matmul(&v).sum(), [&x]).remove(0) + &x,
        ),
        ("what is added to a negative", &x + -x.exp() - -x.sqrt()),
    ];
    let mut text = String::new();
    for (name, value) in cases {
        let _ = write!(text, "# {name}\n{}\n\n", value.listing()?);
    }
    let step = compile(|x: Value| {
        let y = x.matmul(&w).square().mean();
        let g = gradients(&y, [&w]).remove(0);
        w.set(&w - 0.1 * g)?;
        Ok(y)
    });
    let _ = writeln!(
        text,
        "# a step updates its weight in place\n{}",
        step.listing(x)?
    );
    Ok(text)
}

#[test]
fn programs_are_as_they_were() -> Result<()> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/listings.txt");
    let text = listings()?;
    if std::env::var_os("TOYGRAD_BLESS").is_some() {
        return std::fs::write(path, text).map_err(|e| Error::file(path, None, e.to_string()));
    }
    let wanted = std::fs::read_to_string(path).unwrap_or_default();
    for (found, wanted) in text.lines().zip(wanted.lines()) {
        assert_eq!(found, wanted, "in the whole:\n{text}");
    }
    assert_eq!(text.lines().count(), wanted.lines().count());
    Ok(())
}
