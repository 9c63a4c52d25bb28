//! Stacks of matrix products: of all sizes, and in all ways in which stacks and matrices may lie.

mod common;
use common::*;
use toygrad::{DType, Value, num_threads, set_num_threads};

/// A stack of matrices of a shape, whose axes lie in some order in memory, some of them backwards, and
/// which may be the same matrix for all indices of an axis.
fn stack(rng: &mut Rng, dims: [usize; 4], dtype: DType) -> Value {
    let held = dims.map(|n| if rng.one_in(8) { 1 } else { n });
    let mut order = [0, 1, 2, 3];
    for i in (1..4).rev() {
        let other = rng.below(i + 1);
        if rng.one_in(2) {
            order.swap(i, other);
        }
    }
    let back: Vec<usize> = (0..4)
        .map(|a| order.iter().position(|&o| o == a).unwrap())
        .collect();
    let lying = rng.array(&order.map(|a| held[a]), dtype, (-1.0, 1.0));
    let mut x = lying.permute(back);
    if rng.one_in(6) {
        x = x.flip(rng.below(4) as isize);
    }
    x.expand(dims)
}

/// Against the reference, and with the same bits on any number of threads.
#[test]
fn stacks_of_products_are_as_the_reference_has_them() {
    let threads = num_threads();
    let mut rng = Rng(5);
    let sides = [1, 2, 3, 4, 5, 7, 8, 9, 12, 16, 17, 24, 40];
    for case in 0..300 * effort() {
        let [m, k, n] = [(); 3].map(|_| *rng.pick(&sides));
        let most = (40_000 / (m * k * n)).clamp(2, 700);
        let (outer, inner) = (1 + rng.below(3), 1 + rng.below(most));
        let dtype = *rng.pick(&[DType::F32, DType::F64]);
        let a = stack(&mut rng, [outer, inner, m, k], dtype);
        let b = stack(&mut rng, [outer, inner, k, n], dtype);
        let what = format!("case {case}: [{outer}, {inner}] x [{m}, {k}] @ [{k}, {n}] {dtype}");
        let product = || match case % 3 {
            0 => a.matmul(&b),
            // Added to what is there, and written as it will be read.
            1 => a.matmul(&b) + (&a * 0.5).matmul(&b),
            _ => a.matmul(&b).transpose(-2, -1),
        };
        set_num_threads(1);
        let one = product();
        let one_product = tolerance(dtype);
        let absolute = one_product.absolute * k as f64;
        assert_oracle(
            &what,
            &one,
            Tolerance {
                absolute,
                ..one_product
            },
        );
        set_num_threads(3);
        let bits = |y: &Value| numbers(y).into_iter().map(f64::to_bits).collect::<Vec<_>>();
        assert_eq!(bits(&product()), bits(&one), "{what} on three threads");
    }
    set_num_threads(threads);
}
