//! 2. A chain through two weights: y = w2 * relu(w1 * x), and a loss.
//!
//! Every factor of the chain rule, beside the gradient that it leads to.

use toygrad::prelude::*;

pub(crate) fn main() -> Result<()> {
    let (x, target) = (2.0, 1.0);
    let w1 = Parameter::new(0.8);
    let w2 = Parameter::new(-0.5);

    let a = &w1 * x;
    let h = a.relu();
    let y = &w2 * &h;
    let loss = (&y - target).square();
    let grads = loss.backward()?;

    // The same by hand, from the loss back to the weights.
    let (w1n, w2n) = (0.8, -0.5);
    let hn = w1n * x;
    let d_y = 2.0 * (w2n * hn - target);
    let d_h = d_y * w2n;
    let d_a = d_h * 1.0;
    let rows = [
        ("loss", &loss, "1", 1.0),
        ("y  = w2 h", &y, "2 (y - target)", d_y),
        ("w2", &w2.value(), "dy * h", d_y * hn),
        ("h  = relu(a)", &h, "dy * w2", d_h),
        ("a  = w1 x", &a, "dh * (a > 0)", d_a),
        ("w1", &w1.value(), "da * x", d_a * x),
    ];
    println!("loss = (w2 * relu(w1 * x) - {target})² at x = {x}\n");
    println!(
        "{:14} {:>8} {:>10}   by the chain rule",
        "", "value", "gradient"
    );
    for (name, value, rule, by_hand) in rows {
        let gradient = grads.of(value).unwrap_or(Value::from(0.0));
        println!("{name:14} {value:>8.3} {gradient:>10.3}   {rule} = {by_hand:.3}");
        assert!((gradient.item()? - by_hand).abs() < 1e-12);
    }

    // A step against the gradient makes the loss smaller: that is all of learning.
    let before = loss.item()?;
    for w in [&w1, &w2] {
        w.set(w.value() - 0.05 * w.grad()?)?;
    }
    let after = (&w2 * (&w1 * x).relu() - target).square().item()?;
    println!("\none step of gradient descent: the loss goes from {before:.3} to {after:.3}");
    assert!(after < before);
    Ok(())
}
