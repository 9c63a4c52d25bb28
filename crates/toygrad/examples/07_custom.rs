//! 7. An operation with a derivative of its own.
//!
//! The root y of y³ + y = x is found by iterating. Differentiating through the iterations would
//! be wasteful: the implicit function theorem gives dy/dx = 1 / (3y² + 1) from the result alone.

use toygrad::prelude::*;

fn root(x: &Value) -> Value {
    let forward = |inputs: &[Value]| {
        let x = &inputs[0];
        let mut y = x.tanh();
        for _ in 0..30 {
            y = &y - (y.pow(3.0) + &y - x) / (3.0 * y.square() + 1.0);
        }
        y
    };
    // From inputs, result and the result's gradient: the gradients of the inputs, as Values.
    let backward = |_: &[Value], y: &Value, g: &Value| vec![g / (3.0 * y.square() + 1.0)];
    custom([x], forward, backward)
}

pub(crate) fn main() -> Result<()> {
    let x = Value::from([-3.0, 0.0, 2.0, 10.0]);
    let y = root(&x);
    println!("x                 {x}");
    println!("root of y³ + y = x {y:.6}");
    println!("y³ + y             {:.6}", y.pow(3.0) + &y);
    assert!((y.pow(3.0) + &y - &x).abs().max().item()? < 1e-12);

    // The rule is made of Values, so second derivatives come with it.
    let dy = gradients(&y.sum(), [&x]).remove(0);
    let d2y = gradients(&dy.sum(), [&x]).remove(0);
    println!("dy/dx              {dy:.6}");
    println!("d²y/dx²            {d2y:.6}");

    // Any derivative can be checked against differences.
    let report = gradcheck(|x| root(&x[0]), std::slice::from_ref(&x))?;
    println!("\n{report}");
    assert!(report.passed());

    // A wrong rule is found out.
    let wrong = |x: &[Value]| custom(x, |x| x[0].exp(), |x, _, g| vec![g * &x[0]]);
    let report = gradcheck(wrong, &[x])?;
    println!("\na wrong rule: {report}");
    assert!(!report.passed());
    Ok(())
}
