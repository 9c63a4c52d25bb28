//! Outputs, and gradients of inputs and parameters.

use super::{GOLDEN, assert_close, find, golden, weighted};
use toygrad::nn::*;
use toygrad::prelude::*;

const TOLERANCE: f64 = 2e-5;

/// Loads the parameters, computes the outputs, and compares them and all gradients; `whole` says
/// which inputs are whole numbers.
fn check(case: &str, module: &dyn Module, call: impl Fn(&[Value]) -> Vec<Value>) {
    let state: Vec<(String, Value)> = module
        .state_dict()
        .into_iter()
        .map(|(name, _)| (name.clone(), golden(case, &format!("param.{name}"))))
        .collect();
    let saved = GOLDEN
        .keys()
        .filter(|(c, k)| *c == case && k.starts_with("param."))
        .count();
    assert_eq!(saved, state.len(), "{case}: parameters");
    module.load_state_dict(&state).unwrap();
    let inputs: Vec<Parameter> = (0..)
        .map_while(|i| find(case, &format!("in{i}")))
        .enumerate()
        .map(|(i, x)| match find(case, &format!("grad_in{i}")) {
            Some(_) => Parameter::new(x.cast(DType::F32)),
            None => Parameter::buffer(x.cast(DType::I64)),
        })
        .collect();
    assert!(!inputs.is_empty(), "{case}");
    let values: Vec<Value> = inputs.iter().map(Parameter::value).collect();
    let outputs = call(&values);
    for (i, y) in outputs.iter().enumerate() {
        assert_close(
            &format!("{case} output {i}"),
            y,
            &golden(case, &format!("out{i}")),
            TOLERANCE,
        );
    }
    weighted(&outputs).backward().unwrap();
    for (i, x) in inputs.iter().enumerate().filter(|(_, x)| x.is_trainable()) {
        let expected = golden(case, &format!("grad_in{i}"));
        assert_close(
            &format!("{case} gradient {i}"),
            &x.grad().unwrap(),
            &expected,
            TOLERANCE,
        );
    }
    for (name, p) in module.named_parameters() {
        let expected = golden(case, &format!("grad.{name}"));
        assert_close(
            &format!("{case} gradient of {name}"),
            &p.grad().unwrap(),
            &expected,
            TOLERANCE,
        );
    }
}

fn layer(case: &str, layer: impl Layer) {
    check(case, &layer, |x| vec![layer.forward(&x[0])]);
}

#[test]
fn linear() {
    layer("linear", Linear::new(4, 3));
}

#[test]
fn convolutions() {
    layer(
        "conv1d",
        Conv1d::new(3, 4, 3).stride(2).padding(2).dilation(2),
    );
    layer(
        "conv2d",
        Conv2d::new(2, 3, [3, 2]).stride([2, 1]).padding([1, 0]),
    );
    layer(
        "conv2d_grouped",
        Conv2d::new(4, 6, 3)
            .padding(2)
            .dilation(2)
            .groups(2)
            .without_bias(),
    );
    layer(
        "conv2d_depthwise",
        Conv2d::new(3, 3, 3).padding(1).groups(3),
    );
    let large = Conv2d::new(2, 2, 6).stride(2).padding(1).groups(2);
    layer("conv2d_large", large);
    layer("conv3d", Conv3d::new(2, 2, 2).padding(1));
}

#[test]
fn padding_modes() {
    let one = |mode| Conv1d::new(2, 2, 3).padding_mode(mode);
    layer("conv1d_reflect", one(PaddingMode::Reflect).padding(3));
    let circular = one(PaddingMode::Circular).padding(4).stride(2);
    layer("conv1d_circular", circular);
    let two = |kernel: [usize; 2], mode| Conv2d::new(2, 2, kernel).padding_mode(mode);
    let reflect = Conv2d::new(2, 4, 3).groups(2).padding([2, 0]);
    layer("conv2d_reflect", reflect.padding_mode(PaddingMode::Reflect));
    let replicate = two([3, 3], PaddingMode::Replicate).padding([1, 5]);
    layer("conv2d_replicate", replicate);
    let circular = two([2, 3], PaddingMode::Circular).padding(1).dilation(2);
    layer("conv2d_circular", circular);
}

#[test]
fn transposed_convolutions() {
    let one = ConvTranspose1d::new(3, 2, 4)
        .stride(3)
        .padding(1)
        .output_padding(2);
    layer("conv_transpose1d", one);
    let two = ConvTranspose2d::new(3, 2, 3)
        .stride(2)
        .padding(1)
        .output_padding(1);
    layer("conv_transpose2d", two);
    let grouped = ConvTranspose2d::new(4, 6, 3)
        .groups(2)
        .dilation(2)
        .without_bias();
    layer("conv_transpose2d_grouped", grouped);
}

#[test]
fn pooling() {
    layer("max_pool2d", MaxPool2d::new(3).stride(2).padding(1));
    layer("max_pool2d_ties", MaxPool2d::new(2));
    layer("max_pool2d_large", MaxPool2d::new([40, 2]));
    layer("avg_pool2d", AvgPool2d::new(3).stride(2).padding(1));
    layer("adaptive_avg_pool2d", AdaptiveAvgPool2d::new([3, 4]));
    layer("adaptive_max_pool2d", AdaptiveMaxPool2d::new([3, 2]));
}

#[test]
fn normalisation() {
    layer("layer_norm", LayerNorm::new([3, 4]));
    layer("rms_norm", RmsNorm::new(5));
    layer("group_norm", GroupNorm::new(2, 4));
}

#[test]
fn batch_normalisation_and_its_running_statistics() {
    for (case, channels) in [("batch_norm1d", 3), ("batch_norm2d", 2)] {
        let module = BatchNorm::new(channels);
        layer(case, module.clone());
        for (name, b) in module.buffers() {
            let after = golden(case, &format!("after.{name}"));
            assert_close(&format!("{case} {name}"), &b.value(), &after, TOLERANCE);
        }
    }
    let module = BatchNorm1d::new(3);
    eval(|| layer("batch_norm_eval", module.clone()));
    let kept = golden("batch_norm_eval", "param.running_mean");
    assert_close(
        "running_mean",
        &module.running_mean.value(),
        &kept,
        TOLERANCE,
    );
}

#[test]
fn embedding() {
    layer("embedding", Embedding::new(6, 3));
    layer("embedding_padding", Embedding::new(6, 3).padding_idx(2));
}

fn recurrent<C: RecurrentCell>(case: &str, module: Recurrent<C>) {
    check(case, &module, |x| {
        let (y, state) = match x {
            [x] => module.run(x, None),
            [x, state @ ..] => module.run(x, Some(state)),
            [] => panic!("{case} has no input"),
        };
        [vec![y], state].concat()
    });
}

#[test]
fn recurrent_networks() {
    recurrent("rnn", Rnn::new(3, 4));
    recurrent("rnn_relu", Rnn::new(3, 4).without_bias().relu());
    recurrent(
        "lstm",
        Lstm::new(3, 4)
            .layers(2)
            .bidirectional(true)
            .batch_first(true),
    );
    recurrent("lstm_state", Lstm::new(2, 3));
    recurrent("gru", Gru::new(3, 4).layers(2));
    recurrent("gru_bidirectional", Gru::new(3, 2).bidirectional(true));
}

#[test]
fn attention() {
    let module = MultiheadAttention::new(6, 2);
    check("attention", &module, |x| {
        vec![module.attend(&x[0], &x[1], &x[2], None)]
    });
    let module = MultiheadAttention::new(6, 2).causal(true);
    let mask = padding_mask(&Value::from([3, 4]), 4);
    check("attention_masked", &module, |x| {
        vec![module.attend(&x[0], &x[0], &x[0], Some(&mask))]
    });
    layer(
        "attention_grouped",
        MultiheadAttention::new(8, 4)
            .kv_heads(2)
            .rotary(100.0)
            .causal(true),
    );
}

#[test]
fn transformer_layers() {
    layer(
        "encoder",
        TransformerEncoderLayer::new(4, 2, 8).dropout(0.0),
    );
    let first = TransformerEncoderLayer::new(4, 2, 8)
        .dropout(0.0)
        .norm_first(true)
        .causal(true);
    layer("encoder_norm_first", first.activation(Activation::Gelu));
    let decoder = TransformerDecoderLayer::new(4, 2, 8)
        .dropout(0.0)
        .causal(true);
    check("decoder", &decoder, |x| {
        vec![decoder.decode(&x[0], &x[1], None, None)]
    });
}

/// What training records is what a compiled function replays, running statistics included.
#[test]
fn batch_normalisation_moves_its_statistics_in_a_compiled_function() {
    let module = BatchNorm1d::new(2);
    let forward = compile(|x: Value| module.forward(&x));
    for batch in [[[1.0f32, 2.0], [3.0, 6.0]], [[5.0, 1.0], [7.0, 3.0]]] {
        forward.call(Value::from(batch)).unwrap();
    }
    // Means 2, 4, then 6, 2: 0.1 of the new one each time.
    let mean: Vec<f64> = module.running_mean.value().to_vec().unwrap();
    assert!(
        (mean[0] - 0.78).abs() < 1e-6 && (mean[1] - 0.56).abs() < 1e-6,
        "{mean:?}"
    );
    assert_eq!(module.num_batches_tracked.value().item().unwrap(), 2.0);
}

#[test]
fn mistakes_in_shapes_are_errors() {
    let x = Value::ones([2, 3, 8, 8]);
    let wrong: Vec<Box<dyn Layer>> = vec![
        Box::new(Conv2d::new(4, 4, 3)),
        Box::new(Conv2d::new(3, 4, 3).groups(2)),
        Box::new(Conv2d::new(3, 4, 3).stride(0)),
        Box::new(Conv2d::new(3, 4, 9)),
        Box::new(Conv2d::new(3, 4, 3).padding(-1)),
        Box::new(Conv1d::new(3, 4, 3)),
        Box::new(
            Conv2d::new(3, 4, 3)
                .padding(8)
                .padding_mode(PaddingMode::Reflect),
        ),
        Box::new(
            Conv2d::new(3, 4, 3)
                .padding([0, 9])
                .padding_mode(PaddingMode::Circular),
        ),
        Box::new(ConvTranspose2d::new(3, 4, 3).output_padding(1)),
        Box::new(MaxPool2d::new(0)),
        Box::new(MaxPool2d::new(2).padding(2)),
        Box::new(AdaptiveAvgPool2d::new(0)),
        Box::new(BatchNorm2d::new(4)),
        Box::new(LayerNorm::new(7)),
        Box::new(GroupNorm::new(2, 3)),
        Box::new(Lstm::new(3, 4)),
        Box::new(MultiheadAttention::new(8, 3)),
        Box::new(MultiheadAttention::new(8, 2)),
        Box::new(Dropout::new(1.5)),
    ];
    for (i, layer) in wrong.iter().enumerate() {
        assert!(layer.forward(&x).evaluate().is_err(), "layer {i}");
    }
    let out_of_range = [
        Embedding::new(3, 2).forward(&Value::from([3])),
        Embedding::new(3, 2)
            .padding_idx(3)
            .forward(&Value::from([0])),
        Conv1d::new(1, 1, 1)
            .padding(1)
            .padding_mode(PaddingMode::Replicate)
            .forward(&Value::ones([1, 1, 0])),
    ];
    assert!(out_of_range.iter().all(|y| y.evaluate().is_err()));
    // From the end is the same number.
    let layer = Embedding::new(3, 2).padding_idx(2);
    layer
        .forward(&Value::from([-1, 0]))
        .sum()
        .backward()
        .unwrap();
    let gradient = layer.weight.grad().unwrap().to_vec::<f32>().unwrap();
    assert_eq!(gradient, [1.0, 1.0, 0.0, 0.0, 0.0, 0.0]);
}
