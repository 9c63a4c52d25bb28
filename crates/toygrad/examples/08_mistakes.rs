//! 8. How a mistake is found: it travels with the Values and comes out where they are read.
//!
//! Operators do not panic and need no `?`. A Value with a mistake passes it on; the first one is
//! told, with its line and the lines that made its operands.

use toygrad::prelude::*;

pub(crate) fn main() -> Result<()> {
    let features = Value::rand([8, 4]);
    let weights = Parameter::new(Value::rand([4, 3]));
    let bias = Parameter::new(Value::rand([5]));

    // The bias has the wrong length. Nothing happens yet,
    let scores = features.matmul(&weights) + &bias;
    // nor here,
    let loss = scores.log_softmax(-1).mean();
    // but a number is asked for here.
    let Err(error) = loss.backward() else {
        panic!("shapes [8, 3] and [5] do not fit");
    };
    println!("error: {error}\n");
    assert!(
        error
            .to_string()
            .contains("cannot add shapes [8, 3] and [5]")
    );

    // A Value knows whether it carries one, and prints as what it is.
    assert!(loss.error().is_some());
    println!("the loss prints as {loss}\n");

    // Positions are looked at when they are used: those may be computed, too.
    let row = features.index_select(0, [3, 9]);
    println!("recorded: {row:?}");
    if let Err(error) = row.to_vec::<f32>() {
        println!("error: {error}\n");
    }

    // Gradients that do not exist are errors as well, not zeros.
    for result in [
        features.matmul(&weights).backward(),
        Value::from([1, 2, 3]).sum().backward(),
    ] {
        if let Err(error) = result {
            println!("error: {error}\n");
        }
    }

    // Put right, it works.
    let bias = Parameter::new(Value::rand([3]));
    let loss = (features.matmul(&weights) + &bias).log_softmax(-1).mean();
    loss.backward()?;
    println!("with a bias of 3: {loss:.4}");
    assert!(bias.grad()?.shape()[..] == [3]);
    Ok(())
}
