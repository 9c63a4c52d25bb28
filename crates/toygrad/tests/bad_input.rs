//! Data and settings that make no sense: each is an error that says so, or does what is documented.

use toygrad::data::{self, Arrays, Dataset, Loader, Method, Scaler, Text};
use toygrad::nn::loss::{self, CrossEntropy, Reduction};
use toygrad::nn::{BatchNorm1d, Lstm};
use toygrad::optim::*;
use toygrad::prelude::*;
use toygrad::train::metrics::{self, Confusion};
use toygrad::train::{Ended, Fit};

fn fault<T>(result: Result<T>) -> String {
    match result {
        Ok(_) => panic!("no fault was found"),
        Err(e) => e.to_string(),
    }
}

fn samples(n: usize) -> Arrays {
    Arrays::new(
        Value::ones([n, 2]),
        Value::arange(0..n) - Value::arange(0..n),
    )
    .unwrap()
}

#[test]
fn empty_datasets() {
    let none = samples(0);
    assert!(fault(data::split(&none, 0.5, 0)).contains("leaves a part empty"));
    assert!(fault(data::stratified_split(&none, 0.5, 0)).contains("leaves a part empty"));
    assert!(fault(data::k_fold(&none, 2, 0)).contains("2 folds of 0 samples"));
    assert!(fault(Scaler::fit(&none.inputs().unwrap(), Method::Standard)).contains("no sample"));
    let run = |loader: Loader<Arrays>| Fit::new(1).run(&loader, |_| Ok(1.0), || Ok(vec![]));
    assert!(fault(run(Loader::new(none.clone(), 4))).contains("the dataset is empty"));
    assert!(fault(run(Loader::new(none.clone(), 4).prefetch(2))).contains("the dataset is empty"));
    // A text without a whole window has none.
    let text = Loader::new(Text::new(vec![1, 2], 2), 1);
    assert!(fault(text.epoch(0).next().unwrap()).contains("the dataset is empty"));

    let (x, y) = none.batch(&[]).unwrap();
    assert!(fault(metrics::accuracy(&x, &y)).contains("at least one each"));
    assert!(fault(metrics::rmse(&x, &x)).contains("at least one number"));
    assert!(fault(metrics::roc_auc(&y.cast(DType::F64), &y)).contains("one class"));
    // Of no samples, layers give no outputs, and the mean loss is NaN, as in PyTorch.
    let outputs = Linear::new(2, 3).forward(&x);
    assert_eq!(outputs.shape()[..], [0, 3]);
    assert!(cross_entropy(&outputs, &y).item().unwrap().is_nan());
    assert!(mse(&x, &x).item().unwrap().is_nan());
    let sum = CrossEntropy {
        reduction: Reduction::Sum,
        ..Default::default()
    };
    assert_eq!(sum.of(&outputs, &y).item().unwrap(), 0.0);
    assert!(BatchNorm1d::new(2).forward(&x).error().is_some());
    assert!(
        Lstm::new(2, 3)
            .forward(&Value::zeros([0, 1, 2]))
            .error()
            .is_some()
    );
}

/// One class can be learned: there is nothing to tell apart, and nothing moves.
#[test]
fn one_class_only() {
    let all = samples(10);
    let (train, test) = data::stratified_split(&all, 0.3, 1).unwrap();
    assert_eq!((train.len(), test.len()), (7, 3));
    let model = Linear::new(2, 1);
    let before = model.weight.value().to_vec::<f32>().unwrap();
    let sgd = Sgd::new(&model, 1.0);
    let (x, y) = (all.inputs().unwrap(), all.targets().unwrap());
    let loss = sgd.minimize(&cross_entropy(model.forward(&x), &y));
    assert_eq!(loss.item().unwrap(), 0.0);
    assert_eq!(model.weight.value().to_vec::<f32>().unwrap(), before);
    let scores = model.forward(&x);
    assert_eq!(metrics::accuracy(&scores, &y).unwrap(), 1.0);
    let confusion = Confusion::of(&scores, &y).unwrap();
    assert_eq!(
        (confusion.counts(), confusion.class(0).f1),
        (&[vec![10]][..], 1.0)
    );
    let area = metrics::roc_auc(&Value::ones([10]), &y);
    assert!(fault(area).contains("all samples are of one class"));
    // A class that is never right has scores of 0, not NaN.
    let two = Confusion::of(&Value::from([[1.0, 0.0]]), &Value::from([0])).unwrap();
    assert_eq!((two.class(1).recall, two.class(1).precision), (0.0, 0.0));
}

#[test]
fn targets_that_are_missing() {
    let x = Value::ones([3, 2]);
    assert!(fault(Arrays::new(&x, Value::zeros([2]))).contains("3 samples of inputs"));
    assert!(fault(Arrays::new(&x, Value::zeros([0]))).contains("but 0 of targets"));
    assert!(fault(cross_entropy(&x, Value::from([0, 1])).item()).contains("needs targets [3]"));
    // A number that is not there is NaN, and so is the loss: the run ends there.
    let y = Value::from([[1.0f32], [f32::NAN], [2.0]]);
    let (model, data) = (Linear::new(2, 1), Arrays::new(&x, &y).unwrap());
    let sgd = Sgd::new(&model, 0.1);
    let run = Fit::new(3).run(
        &Loader::new(data, 3),
        |(x, y)| sgd.minimize(&mse(model.forward(&x), y)).item(),
        || Ok(vec![]),
    );
    let message = fault(run);
    assert!(
        message.contains("the loss became NaN in step 1"),
        "{message}"
    );
    // Some of them can be left out, if a number says so; all of them leave no mean.
    let ignoring = CrossEntropy {
        ignore_index: Some(-100),
        ..Default::default()
    };
    let some = ignoring.of(&x, [0, -100, 1]).item().unwrap();
    assert!((some - 2f64.ln()).abs() < 1e-6);
    assert!(ignoring.of(&x, [-100; 3]).item().unwrap().is_nan());
}

#[test]
fn labels_out_of_range() {
    let scores = Value::ones([2, 3]);
    for labels in [[0, 3], [0, -1], [i64::MAX, 0], [i64::MIN, 0]] {
        let y = Value::from(labels);
        for loss in [
            cross_entropy(&scores, &y),
            loss::nll(&scores, &y),
            loss::multi_margin(&scores, &y),
        ] {
            assert!(loss.item().is_err(), "{labels:?}");
        }
        assert!(fault(metrics::accuracy(&scores, &y)).contains("there are 3 classes"));
        assert!(fault(Confusion::of(&scores, &y)).contains("there are 3 classes"));
        // In a step, nothing has moved.
        let model = Linear::new(2, 3);
        let before = model.weight.value().to_vec::<f32>().unwrap();
        let adam = Adam::new(&model, 0.1);
        let step =
            compile(|(x, y): (Value, Value)| adam.minimize(&cross_entropy(model.forward(&x), y)));
        let loss = step.call((Value::ones([2, 2]), y.clone()));
        assert!(loss.and_then(|loss| loss.item()).is_err());
        assert_eq!(model.weight.value().to_vec::<f32>().unwrap(), before);
    }
    assert!(fault(metrics::roc_auc(&Value::ones([2]), &Value::from([0, 2]))).contains("0 or 1"));
    let fractions = cross_entropy(&scores, Value::from([0.5, 1.0]));
    assert!(fault(fractions.item()).contains("needs targets [2, 3]"));
}

#[test]
fn batches_larger_than_the_data() {
    let loader = |size| Loader::new(samples(3), size);
    for size in [4, usize::MAX] {
        let batches: Vec<_> = loader(size).epoch(0).collect();
        assert_eq!(batches.len(), 1);
        assert_eq!(batches[0].as_ref().unwrap().0.shape()[..], [3, 2]);
        let none = loader(size).drop_last(true).epoch(0).next().unwrap();
        assert!(fault(none).contains("3 samples make no batch"));
    }
    let history = Fit::new(2)
        .run(&loader(100), |_| Ok(1.0), || Ok(vec![]))
        .unwrap();
    assert_eq!(
        (history.records[1].step, history.ended),
        (2, Ended::Finished)
    );
}

type Make = fn(&Parameter, f64) -> Box<dyn Optimizer>;

/// Every optimiser that takes a learning rate.
const OPTIMIZERS: [Make; 7] = [
    |w, rate| Box::new(Sgd::new(w, rate).momentum(0.9)),
    |w, rate| Box::new(Adam::new(w, rate)),
    |w, rate| Box::new(AdamW::new(w, rate)),
    |w, rate| Box::new(RmsProp::new(w, rate)),
    |w, rate| Box::new(Adagrad::new(w, rate)),
    |w, rate| Box::new(Lion::new(w, rate)),
    |w, rate| Box::new(Muon::new(w, rate)),
];

/// A rate of 0 leaves all as it is; one that is negative or no number is an error of the step, and
/// nothing has moved either.
#[test]
fn learning_rates() {
    for (i, make) in OPTIMIZERS.iter().enumerate() {
        let step = |rate: f64| {
            let w = Parameter::new([[1.0, -2.0]]);
            let optimizer = make(&w, rate);
            let loss = optimizer.minimize(&w.value().square().sum()).item();
            assert_eq!(
                w.value().to_vec::<f64>().unwrap(),
                [1.0, -2.0],
                "{i}: {rate}"
            );
            loss
        };
        assert_eq!(step(0.0).unwrap(), 5.0);
        for rate in [-0.1, f64::INFINITY, f64::NEG_INFINITY, f64::NAN] {
            let message = fault(step(rate));
            let expected = format!("a learning rate is at least 0; {rate} came");
            assert!(message.starts_with(&expected), "{i}: {message}");
        }
        // Changed later, too.
        let optimizer = make(&Parameter::new([[1.0]]), 0.1);
        for rate in [-0.1, f64::INFINITY, f64::NAN] {
            let message = fault(optimizer.set_learning_rate(rate));
            assert!(message.contains(&format!("not {rate}")), "{i}: {message}");
            let schedule = Schedule::new(move |_, step| if step > 0 { rate } else { 0.1 });
            let schedule = Scheduler::new(&*optimizer, schedule).unwrap();
            let message = fault(schedule.step());
            assert!(message.contains("at step 1"), "{i}: {message}");
            assert_eq!(optimizer.learning_rate().unwrap(), 0.1);
        }
    }
    let w = Parameter::new([1.0]);
    for rate in [0.0, -1.0, f64::INFINITY, f64::NAN] {
        let lbfgs = Lbfgs::new(&w).learning_rate(rate);
        assert!(fault(lbfgs.step(|| w.value().square().sum())).contains("above 0"));
    }
    for limit in [-1.0, f64::NAN] {
        let norm = Sgd::new(&w, 0.1).clip_grad_norm(limit);
        let value = Sgd::new(&w, 0.1).clip_grad_value(limit);
        for sgd in [norm, value] {
            let loss = sgd.minimize(&w.value().square().sum());
            assert!(fault(loss.item()).contains("to clip to is at least 0"));
        }
    }
    assert_eq!(w.value().item().unwrap(), 1.0);
}

/// A rate that is too large for the loss: the run ends where it became no number.
#[test]
fn a_run_that_diverges_says_where() {
    let w = Parameter::new([1.0]);
    let sgd = Sgd::new(&w, 1e200);
    let run = Fit::new(9).run(
        &Loader::new(samples(2), 1),
        |_| sgd.minimize(&w.value().square().sum()).item(),
        || Ok(vec![]),
    );
    let message = fault(run);
    assert!(message.contains("try a smaller learning rate"), "{message}");
}
