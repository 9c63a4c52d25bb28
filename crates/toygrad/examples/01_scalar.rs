//! 1. One expression: y = sin(x²), with the value and the gradient of everything on the way.
//!
//! A `Value` records how it was made. `backward` walks that record from the result back to the
//! parameters and multiplies the derivative of each step: the chain rule.

use toygrad::prelude::*;

pub(crate) fn main() -> Result<()> {
    let x = Parameter::new(1.5);
    let square = &x * &x;
    let y = square.sin();

    let grads = y.backward()?;
    println!("y = sin(x²) at x = {x}\n");
    println!("{:8} {:>8} {:>14}", "", "value", "dy/d(this)");
    for (name, value) in [("x", &x.value()), ("x²", &square), ("y", &y)] {
        let gradient = grads.of(value).unwrap_or(Value::from(0.0));
        println!("{name:8} {value:>8.4} {gradient:>14.4}");
    }

    let by_hand = 1.5f64.powi(2).cos() * 2.0 * 1.5;
    println!("\ncos(x²) * 2x = {by_hand:.4}: the derivative that mathematics gives");
    assert!((x.grad()?.item()? - by_hand).abs() < 1e-12);
    Ok(())
}
