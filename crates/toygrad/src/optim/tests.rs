//! Against hand-computed numbers and each other.

use crate::prelude::*;

#[test]
fn momentum_accumulates() -> Result<()> {
    // g = 1 always: m = 1, 1.5, 1.75; p = -0.1, -0.25, -0.425.
    let p = Parameter::new(0.0);
    let sgd = Sgd::new(&p, 0.1).momentum(0.5);
    for expected in [-0.1, -0.25, -0.425] {
        p.value().sum().backward()?;
        sgd.step()?;
        assert!((p.value().item()? - expected).abs() < 1e-12);
    }
    Ok(())
}

#[test]
fn a_parameter_without_gradient_is_named() -> Result<()> {
    let model = Mlp::new(&[2, 3, 1], Activation::Relu);
    let loss = model.layers[0].forward(&Value::ones([1, 2])).sum();
    let adam = Adam::new(&model, 0.1);
    let message = adam
        .minimize(&loss)
        .item()
        .err()
        .map(|e| e.to_string())
        .unwrap_or_default();
    assert!(
        message.starts_with("the loss does not reach layers.1.weight, layers.1.bias"),
        "{message}"
    );
    assert!(adam.step().is_err());
    let before = model.layers[1].weight.value().to_vec::<f32>()?;
    let adam = adam.allow_unused(true);
    adam.minimize(&loss).item()?;
    assert_eq!(before, model.layers[1].weight.value().to_vec::<f32>()?);
    Ok(())
}

#[test]
fn mistakes_in_options_come_with_the_step() -> Result<()> {
    let p = Parameter::new([1.0]);
    let adam = Adam::new(&p, 0.1).betas(0.9, 1.5);
    let loss = p.value().sum();
    let message = adam
        .minimize(&loss)
        .item()
        .err()
        .map(|e| e.to_string())
        .unwrap_or_default();
    assert!(
        message.starts_with("a beta is in [0, 1); 1.5 came"),
        "{message}"
    );
    assert_eq!(p.value().to_vec::<f64>()?, [1.0]);
    assert!(adam.set_learning_rate(f64::NAN).is_err());
    adam.set_learning_rate(0.5)?;
    assert_eq!(adam.learning_rate()?, 0.5);
    Ok(())
}

#[test]
fn step_and_minimize_agree() -> Result<()> {
    let x = Value::from([[1.0f32, 2.0], [3.0, -1.0]]);
    let train = |eager: bool| -> Result<Vec<f32>> {
        manual_seed(3);
        let model = Mlp::new(&[2, 4, 1], Activation::Tanh);
        let adam = AdamW::new(&model, 0.1)
            .weight_decay(0.1)
            .clip_grad_norm(0.5);
        for _ in 0..3 {
            let loss = model.forward(&x).square().mean();
            if eager {
                loss.backward()?;
                adam.step()?;
            } else {
                adam.minimize(&loss).item()?;
            }
        }
        model.layers[0].weight.value().to_vec()
    };
    assert_eq!(train(true)?, train(false)?);
    Ok(())
}
