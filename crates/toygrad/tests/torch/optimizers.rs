//! The parameters after each of five steps, in f64; rates of schedules.

use super::{assert_close, golden};
use toygrad::optim::*;
use toygrad::prelude::*;

/// The parameters and the loss of `golden.py`.
struct Problem {
    a: Parameter,
    b: Parameter,
}

impl Problem {
    fn new() -> Problem {
        let start = |key| Parameter::new(golden("optimizer", key));
        Problem {
            a: start("a"),
            b: start("b"),
        }
    }

    fn loss(&self) -> Value {
        let (a, b) = (self.a.value(), self.b.value());
        let target = golden("optimizer", "target");
        (&a - target).square().sum() + b.square().square().sum() * 0.25 + b.sum() * a.sum() * 0.1
    }

    fn check(&self, case: &str, step: usize, dtype: DType) {
        let tolerance = if dtype == DType::F64 { 1e-11 } else { 1e-5 };
        for (key, p) in [("a", &self.a), ("b", &self.b)] {
            let expected = golden(&format!("optimizer_{case}"), &format!("{key}{step}"));
            assert_close(
                &format!("{case}, step {step}, {key}"),
                &p.value(),
                &expected,
                tolerance,
            );
        }
    }
}

/// Steps after `backward`, in one program with it, and in a compiled one, all give PyTorch's numbers.
fn check<O: Optimizer>(case: &str, make: impl Fn(&(Parameter, Parameter)) -> O) {
    let both = |p: &Problem| (p.a.clone(), p.b.clone());
    let eager = Problem::new();
    let optimizer = make(&both(&eager));
    for step in 0..5 {
        eager.loss().backward().unwrap();
        optimizer.step().unwrap();
        eager.check(case, step, DType::F64);
    }
    let joint = Problem::new();
    let optimizer = make(&both(&joint));
    for step in 0..5 {
        optimizer.minimize(&joint.loss()).item().unwrap();
        joint.check(case, step, DType::F64);
    }
    let traced = Problem::new();
    let optimizer = make(&both(&traced));
    let replay = compile(|()| optimizer.minimize(&traced.loss()));
    for step in 0..5 {
        replay.call(()).unwrap();
        traced.check(case, step, DType::F64);
    }
    let mut single = Problem::new();
    for p in [&mut single.a, &mut single.b] {
        *p = Parameter::new(p.value().cast(DType::F32));
    }
    let optimizer = make(&both(&single));
    for step in 0..5 {
        optimizer.minimize(&single.loss()).item().unwrap();
        single.check(case, step, DType::F32);
    }
}

#[test]
fn gradient_descent() {
    check("sgd", |p| {
        Sgd::new(p, 0.05)
            .momentum(0.9)
            .dampening(0.3)
            .weight_decay(0.1)
    });
    check("sgd_nesterov", |p| {
        Sgd::new(p, 0.05).momentum(0.9).nesterov(true)
    });
}

#[test]
fn adaptive_moments() {
    check("adam", |p| {
        Adam::new(p, 0.1)
            .betas(0.8, 0.95)
            .eps(1e-6)
            .weight_decay(0.1)
    });
    check("adamw", |p| AdamW::new(p, 0.1).weight_decay(0.2));
    check("adam_amsgrad", |p| {
        Adam::new(p, 0.1).betas(0.5, 0.6).amsgrad(true)
    });
    check("adamw_amsgrad", |p| {
        AdamW::new(p, 0.1).betas(0.5, 0.6).amsgrad(true)
    });
}

#[test]
fn running_sizes() {
    check("rmsprop", |p| RmsProp::new(p, 0.05).alpha(0.9));
    check("rmsprop_centered", |p| {
        RmsProp::new(p, 0.05)
            .alpha(0.9)
            .momentum(0.5)
            .centered()
            .weight_decay(0.1)
    });
    check("adagrad", |p| {
        Adagrad::new(p, 0.3).lr_decay(0.1).weight_decay(0.1)
    });
}

#[test]
fn signs() {
    check("lion", |p| Lion::new(p, 0.01).weight_decay(0.1));
}

#[test]
fn orthogonal_steps_of_matrices() {
    // The vector has no rule in Muon: it stays, in a group with a rate of 0.
    check("muon", |p| {
        let matrices = p.select(|_, p| p.shape().rank() == 2);
        let rest = p.select(|_, p| p.shape().rank() != 2);
        Groups::new()
            .with(Muon::new(&matrices, 0.05).momentum(0.9).weight_decay(0.1))
            .with(Sgd::new(&rest, 0.0))
    });
    let problem = Problem::new();
    let all = Muon::new(&(problem.a.clone(), problem.b.clone()), 0.05);
    let message = all
        .minimize(&problem.loss())
        .item()
        .unwrap_err()
        .to_string();
    assert!(
        message.starts_with("Muon moves matrices, and 1 is [4]"),
        "{message}"
    );
}

#[test]
fn clipping() {
    check("clip_norm", |p| Sgd::new(p, 0.1).clip_grad_norm(1.5));
    check("clip_value", |p| Sgd::new(p, 0.1).clip_grad_value(0.5));
    // The norm is that of all groups together.
    check("clip_norm", |p| {
        Groups::new()
            .with(Sgd::new(&p.0, 0.1))
            .with(Sgd::new(&p.1, 0.1))
            .clip_grad_norm(1.5)
    });
}

#[test]
fn second_order() {
    let x = Parameter::new([-1.2, 1.0]);
    let lbfgs = Lbfgs::new(&x).iterations(5);
    for step in 0..4 {
        lbfgs
            .step(|| {
                let (a, b) = (x.value().slice(s![0]), x.value().slice(s![1]));
                (1.0 - &a).square() + 100.0 * (b - a.square()).square()
            })
            .unwrap();
        let expected = golden("lbfgs", &format!("x{step}"));
        assert_close(&format!("step {step}"), &x.value(), &expected, 1e-7);
    }
}

/// A saved state goes on where it was.
#[test]
fn states_are_saved_and_loaded() {
    let (first, second) = (Problem::new(), Problem::new());
    let make = |p: &Problem| AdamW::new(&(p.a.clone(), p.b.clone()), 0.1);
    let (one, two) = (make(&first), make(&second));
    one.minimize(&first.loss()).item().unwrap();
    one.set_learning_rate(0.05).unwrap();
    let values = |m: &dyn Module| -> Vec<(String, Value)> {
        m.state_dict()
            .into_iter()
            .map(|(n, p)| (n, p.value()))
            .collect()
    };
    two.load_state_dict(&values(&one)).unwrap();
    let model = |p: &Problem| (p.a.clone(), p.b.clone());
    model(&second)
        .load_state_dict(&values(&model(&first)))
        .unwrap();
    assert_eq!(two.learning_rate().unwrap(), 0.05);
    for (optimizer, p) in [(&one, &first), (&two, &second)] {
        optimizer.minimize(&p.loss()).item().unwrap();
    }
    let numbers = |p: &Problem| p.a.value().to_vec::<f64>().unwrap();
    assert_eq!(numbers(&first), numbers(&second));
}

/// A replayed step sees a new learning rate.
#[test]
fn schedules_reach_compiled_steps() {
    let w = Parameter::new(0.0);
    let sgd = Sgd::new(&w, 1.0);
    let scheduler = Scheduler::new(&sgd, Schedule::exponential(0.5)).unwrap();
    let step = compile(|()| sgd.minimize(&w.value().sum()));
    for expected in [-1.0, -1.5, -1.75] {
        step.call(()).unwrap();
        scheduler.step().unwrap();
        assert_eq!(w.value().item().unwrap(), expected);
    }
}

#[test]
fn schedules() {
    let cases = [
        ("constant", Schedule::constant(0.25, 7)),
        ("step", Schedule::step(6, 0.5)),
        ("multi_step", Schedule::multi_step([4, 9, 10], 0.3)),
        ("exponential", Schedule::exponential(0.9)),
        ("linear", Schedule::linear(0.1, 1.0, 12)),
        ("cosine", Schedule::cosine(29, 0.01)),
        ("cosine_restarts", Schedule::cosine_restarts(4, 2, 0.01)),
        ("polynomial", Schedule::polynomial(20, 2.0)),
        ("one_cycle", Schedule::one_cycle(31)),
        (
            "chained",
            Schedule::exponential(0.95).times(Schedule::constant(0.5, 5)),
        ),
        (
            "sequential",
            Schedule::linear(0.1, 1.0, 5).then(5, Schedule::step(4, 0.5)),
        ),
    ];
    for (case, schedule) in cases {
        let rates: Value = (0..30).map(|t| schedule.at(0.5, t)).collect();
        assert_close(case, &rates, &golden("schedule", case), 1e-7);
    }
}

#[test]
fn plateaus() {
    let sgd = Sgd::new(&Parameter::new(0.0), 0.5);
    let mut plateau = Plateau::new(&sgd, 0.3, 2);
    (plateau.cooldown, plateau.least) = (2, 0.02);
    let rate = |measure: &f64| {
        let rate = plateau.step(*measure).unwrap();
        assert_eq!(rate, sgd.learning_rate().unwrap());
        rate
    };
    let measures: Vec<f64> = golden("schedule", "measures").to_vec().unwrap();
    let rates: Value = measures.iter().map(rate).collect();
    assert_close("plateau", &rates, &golden("schedule", "plateau"), 1e-7);
    for (factor, least) in [(1.0, 0.0), (-0.5, 0.0), (f64::NAN, 0.0), (0.5, f64::NAN)] {
        plateau.factor = factor;
        plateau.least = least;
        let message = plateau.step(1.0).unwrap_err().to_string();
        assert!(message.contains("a factor in [0, 1)"), "{message}");
    }
}

/// An average of weights is updated in a compiled step too.
#[test]
fn averages_of_weights_in_a_compiled_step() {
    let w = Parameter::new(0.0);
    let (sgd, ema) = (Sgd::new(&w, 1.0), Ema::new(&w, 0.5).unwrap());
    let step = compile(|()| {
        let loss = sgd.minimize(&w.value().sum());
        ema.update().map(|()| loss)
    });
    step.call(()).unwrap().unwrap();
    step.call(()).unwrap().unwrap();
    // Weights -1, -2; averages -0.5, -1.25.
    ema.swap().unwrap();
    assert_eq!(w.value().item().unwrap(), -1.25);
}
