//! 6. Gradients of gradients: Newton's method, Hessians, and products with them.
//!
//! `gradients` gives Values, so they can be differentiated again, to any order.

use toygrad::prelude::*;

/// Rosenbrock's valley: its minimum, 0 at (1, 1), lies at the end of a long curve.
fn valley(v: &Value) -> Value {
    let (x, y) = (v.slice(s![0]), v.slice(s![1]));
    (1.0 - &x).square() + 100.0 * (y - x.square()).square()
}

pub(crate) fn main() -> Result<()> {
    // Any order: the derivatives of sin at 1 are cos, -sin, -cos, sin.
    let x = Value::from(1.0);
    let mut y = x.sin();
    for order in 1..=4 {
        y = gradients(&y, [&x]).remove(0);
        println!("derivative {order} of sin at 1: {y:.6}");
    }
    assert!((y.item()? - 1f64.sin()).abs() < 1e-12);

    // Newton's method: to where the quadratic with this gradient and Hessian has its minimum.
    println!("\n   step            position          value");
    let mut at = vec![-1.2, 1.0];
    let mut value = f64::INFINITY;
    for step in 0..8 {
        let v = Value::from(at.clone());
        let f = valley(&v);
        let g = gradients(&f, [&v]).remove(0).to_vec::<f64>()?;
        let h = hessian(&f, &v).to_vec::<f64>()?;
        value = f.item()?;
        println!("{step:7}   ({:9.6}, {:9.6})   {value:.3e}", at[0], at[1]);
        let determinant = h[0] * h[3] - h[1] * h[2];
        at[0] -= (h[3] * g[0] - h[1] * g[1]) / determinant;
        at[1] -= (h[0] * g[1] - h[2] * g[0]) / determinant;
    }
    assert!(value < 1e-12, "Newton's method takes 6 steps here");

    // A Hessian times a vector costs about as much as a gradient: no matrix is made.
    let many = Value::linspace(0.1, 0.9, 1000).cast(DType::F64);
    let f = (many.sin().sum() * many.square().sum()).ln();
    let product = hvp(&f, &many, Value::ones([1000]));
    println!("\nthe Hessian of 1000 variables times (1, 1, ..): {product:.5}");

    // Forward mode: how the result moves when the input moves along a direction.
    let v = Value::from([0.5, 2.0]);
    let curve = Value::stack([v.prod(), v.square().sum()], 0);
    let along = jvp(
        std::slice::from_ref(&curve),
        [&v],
        &[Value::from([1.0, -1.0])],
    )
    .remove(0);
    println!("the direction (1, -1) is pushed to {along}");
    println!("all partial derivatives: {}", jacobian(&curve, &v));
    assert_eq!(along.to_vec::<f64>()?, [1.5, -3.0]);
    Ok(())
}
