//! 3. Arrays: the same `Value`, with a shape.
//!
//! What holds for numbers holds for arrays of them. Shapes that differ are broadcast by NumPy's
//! rules, and gradients are summed back over what was repeated.

use toygrad::prelude::*;

pub(crate) fn main() -> Result<()> {
    let table = Value::from([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]);
    println!("a table {table}\n");

    // Reductions take axes; -1 is the last.
    println!("sums of its columns {}", table.sum_axis(0));
    println!("means of its rows   {}", table.mean_axis(-1));

    // A row is broadcast over a table, a column likewise, a number over anything.
    let column = Value::from([[10.0], [20.0]]);
    println!("\nplus a column of 10 and 20 {}", &table + &column);

    // Slices as in Python, with negative positions and steps.
    println!("\nthe last row backwards {}", table.slice(s![-1, ..;-1]));
    println!("its transpose {}", table.t());
    println!("times its transpose {}", table.matmul(table.t()));
    assert_eq!(table.slice(s![-1, ..;-1]).to_vec::<f64>()?, [6.0, 5.0, 4.0]);

    // Rows of probabilities, and the most probable.
    let p = table.softmax(-1);
    println!("\nsoftmax {p:.3}");
    println!("argmax {}", p.argmax(-1));
    println!("above 0.2 {}", p.gt(0.2));

    // The gradient of what was broadcast has its own shape again.
    let scale = Parameter::new([1.0, 10.0, 100.0]);
    let loss = (&table * &scale).square().sum();
    loss.backward()?;
    println!("\nd/d(scale) of Σ (table * scale)² {}", scale.grad()?);
    assert_eq!(scale.grad()?.to_vec::<f64>()?, [34.0, 580.0, 9000.0]);

    // Nothing is computed before it is asked for, large arrays print their edges.
    let lazy = Value::arange(0..1_000_000).reshape([1000, 1000]) * 2;
    println!("\nbefore it is read: {lazy:?}");
    println!("read: {lazy}");
    Ok(())
}
