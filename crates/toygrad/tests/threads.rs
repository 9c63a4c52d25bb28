//! Threads of the engine and of the user: any number of either gives the same bits.

use std::sync::atomic::{AtomicBool, Ordering};
use toygrad::{Value, compile, gradients, manual_seed, set_num_threads};

/// Products (also with vectors), loops, folds whose chunks meet, random numbers, look-ups, sorting and
/// running sums: kernels of all kinds, most of them large enough for threads.
fn work(seed: u64) -> Vec<u64> {
    manual_seed(seed);
    let (x, w) = (Value::rand([400, 300]), Value::randn([300, 200]));
    let rows = Value::arange(0..400i64) % 7;
    let y = (x.matmul(&w) * 0.1).tanh().index_select(0, &rows);
    let loss = (&y * Value::rand([400, 200])).square().mean() + y.exp().sum_axis(0).max();
    let (m, v) = (Value::randn([1057, 333]), Value::randn([333]));
    let loss = loss + m.matmul(&v).tanh().mean();
    let columns = Value::arange(0..400i64).unsqueeze(1) + Value::arange(0..200i64) * 3;
    let sorted = y.sort(1, true).0.cumsum(0) * y.gather(1, columns % 200);
    let loss = loss + sorted.mean();
    let mut all = gradients(&loss, &[x, w, v]);
    all.extend([loss, y.argmax(0), y.argmin(1)]);
    toygrad::evaluate(&all).expect("evaluates");
    let vectors = all
        .iter()
        .map(|v| v.flatten().to_vec::<f64>().expect("numbers"));
    vectors.flatten().map(f64::to_bits).collect()
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    set_num_threads(1);
    let wanted = work(1);
    for threads in [2, 3, 8, 1, 50, 2] {
        set_num_threads(threads);
        assert!(work(1) == wanted, "{threads} threads");
    }
}

/// Threads of the user run large programs at the same time, while another changes how many threads
/// compute, and others make mistakes.
#[test]
fn users_with_threads_do_not_disturb_each_other() {
    set_num_threads(1);
    let wanted: Vec<_> = (0..6).map(work).collect();
    let stop = AtomicBool::new(false);
    std::thread::scope(|s| {
        let users: Vec<_> = (0..6)
            .map(|seed| {
                let wanted = &wanted[seed as usize];
                s.spawn(move || (0..30).for_each(|_| assert!(work(seed) == *wanted)))
            })
            .collect();
        s.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let x = Value::rand([500, 500]);
                let out = Value::from([3i64, 500]);
                let y = (x.matmul(&x).exp().index_select(0, &out) * 2.0).exp();
                let error = y.to_vec::<f32>().expect_err("out of range").to_string();
                assert!(error.contains("500"), "{error}");
            }
        });
        s.spawn(|| {
            for threads in [2, 5, 1, 3].into_iter().cycle() {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                set_num_threads(threads);
                std::thread::sleep(std::time::Duration::from_millis(3));
            }
        });
        let ends: Vec<_> = users.into_iter().map(|u| u.join()).collect();
        stop.store(true, Ordering::Relaxed);
        assert!(ends.iter().all(Result::is_ok));
    });
}

/// Of several positions out of range the first one is reported, whoever finds which first.
#[test]
fn the_first_fault_is_reported() {
    let bad: Vec<i64> = (0..300 * 256)
        .map(|i| if i < 400 { 0 } else { i })
        .collect();
    let (at, x) = (Value::from_vec(bad, [300, 256]), Value::ones([300, 256]));
    let scattered = || Value::zeros([9, 256]).scatter_add(0, &at, &x);
    let gathered = || Value::ones([9, 256]).gather(0, &at);
    for threads in [1, 2, 5] {
        set_num_threads(threads);
        for y in [scattered(), gathered()] {
            let error = y.to_vec::<f32>().expect_err("out of range").to_string();
            assert!(error.starts_with("position 400 "), "{error}");
        }
    }
}

/// After a fault in the middle of a program the next runs find everything as it was.
#[test]
fn a_fault_ends_the_program_and_nothing_else() {
    set_num_threads(3);
    let step = compile(|(x, at): (Value, Value)| {
        let y = x.matmul(&x).tanh().index_select(0, &at);
        (y.exp() * 0.5).sum()
    });
    let x = Value::ones([300, 300]) * 0.01;
    let good = Value::from([0i64, 299]);
    let sum = |at: &Value| step.call((x.clone(), at.clone())).and_then(|y| y.item());
    let wanted: f64 = sum(&good).expect("a sum");
    for bad in [300i64, -301, i64::MIN] {
        assert!(sum(&Value::from([0, bad])).is_err());
        assert_eq!(sum(&good).expect("a sum"), wanted);
    }
}
