//! What gradients mean: accumulation, generations, what they pass and what stops them, custom
//! operations, derivatives of matrices of derivatives, and the decisions at kinks and ties.

mod common;
use common::*;
use toygrad::{
    DType, Parameter, Result, Value, compile, custom, gradcheck, gradients, hessian, hvp, jacobian,
    jvp, no_grad, s, vjp,
};

const EXACT: Tolerance = Tolerance {
    relative: 1e-14,
    absolute: 1e-14,
};

#[track_caller]
fn assert_is(v: &Value, wanted: &[f64]) {
    assert_near(&format!("{v:?}"), &numbers(v), wanted, EXACT);
}

fn gradient(y: &Value, x: &Value) -> Value {
    gradients(y, [x]).remove(0)
}

#[test]
fn what_all_users_of_a_node_send_is_added() -> Result<()> {
    let x = Parameter::new(2.0);
    let h = &x * 3.0;
    // h has four users, one of them twice.
    let y = &h * &h + h.sin() + 1.0 / &h - &h;
    let grads = y.backward()?;
    let slope = 12.0 + 6f64.cos() - 1.0 / 36.0 - 1.0;
    assert_is(&x.grad()?, &[3.0 * slope]);
    assert_is(&grads.of(&h).expect("on the way"), &[slope]);
    assert_is(&grads.of(&y).expect("the result"), &[1.0]);
    assert!(grads.of(Value::from(1.0)).is_none());
    Ok(())
}

#[test]
fn backward_accumulates_within_a_generation() -> Result<()> {
    let w = Parameter::new([1.0, 2.0]);
    let loss = || (&w * &w).sum();
    assert!(w.grad().is_err(), "nothing has reached it");
    loss().backward()?;
    assert_is(&w.grad()?, &[2.0, 4.0]);
    loss().backward()?;
    assert_is(&w.grad()?, &[4.0, 8.0]);
    let once = loss();
    once.backward()?;
    once.backward()?;
    assert_is(&w.grad()?, &[8.0, 16.0]);
    w.zero_grad();
    assert!(w.grad().is_err());
    loss().backward()?;
    assert_is(&w.grad()?, &[2.0, 4.0]);
    // A new Value starts a new generation: the old gradient shows until the next backward.
    w.set(Value::from([5.0, 5.0]))?;
    assert_is(&w.grad()?, &[2.0, 4.0]);
    assert!(w.fresh_grad().is_none());
    loss().backward()?;
    assert_is(&w.grad()?, &[10.0, 10.0]);
    assert!(w.fresh_grad().is_some());
    Ok(())
}

#[test]
fn graphs_keep_the_version_of_a_parameter_that_they_read() -> Result<()> {
    let w = Parameter::new(3.0);
    let old = &w * &w;
    w.set(10.0)?;
    assert_is(&old, &[9.0]);
    assert_is(&(&w * &w), &[100.0]);
    old.backward()?;
    assert_is(&w.grad()?, &[6.0]);
    Ok(())
}

/// A backward pass runs the Program of an earlier one of the same structure: whatever else the
/// gradients depend on must tell structures apart, and numbers must not.
#[test]
fn passes_of_one_structure_differ_in_numbers() -> Result<()> {
    let variants: [fn(&Value, f64) -> Value; 12] = [
        |w, a| (w * a).sum(),
        |w, a| (w * a).square().mean() + a,
        |w, a| (w.pow(a) * (a + 1.0)).sum(),
        |w, a| (Value::from(a).expand([3]) * 2.5).maximum(w).sum(),
        |w, a| (w * Value::from(a).detach()).sum() * w.detach().sum(),
        |w, a| (w * no_grad(|| w * a)).sum(),
        |w, a| (w * Value::from([a, 1.0, 2.0])).sum(),
        |w, a| (w.select(w * a, w * 0.7 * a)).sum(),
        |w, a| (w * a).logsumexp() * Value::from(a).cast(DType::F32).cast(DType::F64),
        |w, a| w.narrow(0, 1, 2).sum() * Value::from(a).expand([2, 2]).sum(),
        |w, a| {
            // What is known already is read, not computed again.
            let h = (w * a).exp();
            h.evaluate().unwrap();
            (&h * w).sum()
        },
        |w, a| custom([w], |w| &w[0] * a, move |_, _, g| vec![g * a]).sum(),
    ];
    for (i, f) in variants.iter().enumerate() {
        for a in [1.5, 0.25, 2.0, 0.0, 1.0, -0.75] {
            let w = Parameter::new([0.5, 1.25, 2.0]);
            let y = f(&w.value(), a);
            let wanted = gradients(&y, [&w]).remove(0).to_vec::<f64>()?;
            let y = f(&w.value(), a);
            let found = y.backward()?;
            let context = format!("variant {i}, number {a}");
            // A factor that is 0 lets nothing pass: there is no gradient then, and it counts as 0.
            let landed = w.fresh_grad().unwrap_or_else(|| Value::zeros([3]));
            assert_eq!(landed.to_vec::<f64>()?, wanted, "{context}");
            let of = found.of(&w).unwrap_or_else(|| Value::zeros([3]));
            assert_eq!(of.to_vec::<f64>()?, wanted, "{context}");
        }
    }
    Ok(())
}

#[test]
fn buffers_and_whole_numbers_collect_no_gradient() -> Result<()> {
    let (w, state) = (Parameter::new(3.0), Parameter::buffer(2.0));
    let index = Parameter::new([0, 1]);
    let y = (&w * &state) + index.value().sum();
    y.backward()?;
    assert_is(&w.grad()?, &[2.0]);
    assert!(state.grad().is_err() && index.grad().is_err());
    assert!(!index.is_trainable());
    Ok(())
}

#[test]
fn detach_and_no_grad_stop_gradients_and_tangents() {
    let x = Value::from([1.0, 2.0]);
    let one = [Value::ones([2])];
    for (y, wanted) in [
        (x.square().detach() * &x, [1.0, 4.0]),
        (no_grad(|| x.square()) * &x, [1.0, 4.0]),
        (no_grad(|| x.square() * &x), [0.0, 0.0]),
        (x.detach(), [0.0, 0.0]),
        (x.round() * x.gt(1.5), [0.0, 0.0]),
    ] {
        assert_is(&gradient(&y.sum(), &x), &wanted);
        assert_is(&jvp(&[y], [&x], &one)[0], &wanted);
    }
    // Inside, new leaves are as good as any.
    let y = no_grad(|| {
        let x = Value::from(1.0);
        gradient(&x, &x)
    });
    assert_is(&y, &[1.0]);
}

#[test]
fn any_node_can_be_differentiated_by() {
    let a = Value::from([0.5, 1.5]);
    let b = a.sin();
    let c = &b * &a;
    let y = c.exp().sum();
    let [dc, db, da] = gradients(&y, [&c, &b, &a]).try_into().expect("three");
    let (a, b) = (numbers(&a), numbers(&b));
    let slope = |i: usize| (a[i] * b[i]).exp();
    assert_is(&dc, &[slope(0), slope(1)]);
    assert_is(&db, &[slope(0) * a[0], slope(1) * a[1]]);
    let whole = |i: usize| slope(i) * (b[i] + a[i] * a[i].cos());
    assert_is(&da, &[whole(0), whole(1)]);
    // Of itself, and of what it does not depend on.
    let x = Value::from([1.0, 2.0]);
    assert_is(&gradient(&x.sum(), &x), &[1.0, 1.0]);
    assert_is(&gradient(&y, &x), &[0.0, 0.0]);
    assert_is(&gradients(&y, [&y])[0], &[1.0]);
}

/// The derivative of order n of sin(x)^2 is -2^(n-1) cos(2x + n π/2).
#[test]
fn every_order_is_a_value_again() {
    let x = Value::from(0.7);
    let mut y = x.sin().square();
    for n in 1..=6 {
        y = gradient(&y, &x);
        let wanted = -(2f64.powi(n - 1)) * (1.4 + f64::from(n) * std::f64::consts::FRAC_PI_2).cos();
        assert!((numbers(&y)[0] - wanted).abs() < 1e-11, "order {n}: {y}");
    }
}

#[test]
fn cotangents_and_tangents_of_any_shape() {
    let x = Value::from([[1.0, 2.0], [3.0, 4.0]]);
    let y = x.matmul(&x);
    let g = vjp(
        std::slice::from_ref(&y),
        &[Value::from([[1.0, 0.0], [0.0, 0.0]])],
        [&x],
    );
    assert_is(&g[0], &[2.0, 3.0, 2.0, 0.0]);
    // A cotangent is broadcast; results are summed.
    let g = vjp(
        &[y.clone(), x.square()],
        &[Value::from(0.0), Value::from(1.0)],
        [&x],
    );
    assert_is(&g[0], &[2.0, 4.0, 6.0, 8.0]);
    let t = jvp(&[y], [&x], &[Value::eye(2)]);
    assert_is(&t[0], &[2.0, 4.0, 6.0, 8.0]);
}

#[test]
fn backward_with_takes_the_gradient_by_the_value() -> Result<()> {
    let w = Parameter::new([1.0, 2.0, 3.0]);
    let y = w.value().square();
    y.backward_with([1.0, 0.0, -1.0])?;
    assert_is(&w.grad()?, &[2.0, 0.0, -6.0]);
    assert!(
        y.backward_with([1.0]).is_err(),
        "a cotangent has the shape of its Value"
    );
    Ok(())
}

/// f(x, y) = x² y + sin y at a vector: all that can be written down.
#[test]
fn jacobians_and_hessians_are_the_analytic_ones() {
    let v = Value::from([1.5, 0.5]);
    let (x, y) = (v.narrow(0, 0, 1).sum(), v.narrow(0, 1, 1).sum());
    let f = x.square() * &y + y.sin();
    let (a, b) = (1.5f64, 0.5f64);
    assert_is(&gradient(&f, &v), &[2.0 * a * b, a * a + b.cos()]);
    let h = [2.0 * b, 2.0 * a, 2.0 * a, -b.sin()];
    assert_is(&hessian(&f, &v), &h);
    assert_is(
        &hvp(&f, &v, [3.0, -1.0]),
        &[3.0 * h[0] - h[1], 3.0 * h[2] - h[3]],
    );

    // More results than inputs (forward mode) and fewer (reverse mode).
    let tall = Value::stack([&x * &y, x.exp(), y.square()], 0);
    let t = jacobian(&tall, &v);
    assert_eq!(t.shape()[..], [3, 2]);
    assert_is(&t, &[b, a, a.exp(), 0.0, 0.0, 2.0 * b]);
    assert_is(&jacobian(&(&x * &y), &v), &[b, a]);
    let m = Value::from([[1.0, 2.0], [3.0, 4.0]]);
    let j = jacobian(&m.t(), &m);
    assert_eq!(j.shape()[..], [2, 2, 2, 2]);
    assert_is(&(j.reshape([4, 4]).sum_axis(0)), &[1.0; 4]);
    assert_is(&jacobian(&m.sum(), &Value::from([1.0])), &[0.0]);
}

/// All rows are computed at once: they are those that are computed one by one, whatever operations
/// the derivatives consist of.
#[test]
fn jacobians_are_products_row_by_row() {
    let mut rng = Rng(5);
    let mut array = |shape: &[usize]| rng.array(shape, DType::F64, (-1.0, 1.0));
    let (x, w, stack) = (array(&[3, 4]), array(&[4, 5]), array(&[2, 4, 3]));
    let (v, wide) = (array(&[4]), array(&[2, 3, 4]));
    let at = Value::from([[2, 0, 1, 1], [0, 0, 3, 2], [1, 3, 0, 2]]);
    // A rule made of what is not linear, and of another rule.
    let clipped = |x: &Value| {
        custom(
            [x, &v],
            |x| x[0].sin() * &x[1],
            |x, y, g| {
                let inner = custom(
                    [g, y],
                    |x| x[0].tanh() + &x[1],
                    |x, _, g| vec![g * &x[0], g.clone()],
                );
                vec![inner.clamp(-0.7, 0.7), (g * &x[0]).softmax(-1).sum_axis(0)]
            },
        )
    };
    type Function<'a> = &'a dyn Fn(&Value) -> Value;
    let functions: [(&str, Function); 17] = [
        ("rows of the table", &|x| {
            (x.tanh() * x.exp()).maximum(x * 2.0)
        }),
        ("broadcast", &|x| (x * &v).square() + x.sum_axis(0)),
        ("matrix on the right", &|x| x.square().matmul(&w)),
        ("matrix on the left", &|x| {
            stack.matmul(x.tanh()).matmul(x.t())
        }),
        ("vector", &|x| {
            x.matmul(&v).sin() + x.square().matmul(v.square())
        }),
        ("column", &|x| w.t().matmul(x.square().sum_axis(0)).tanh()),
        ("stack", &|x| (wide.matmul(x.t())).matmul(x).tanh()),
        ("reductions", &|x| {
            x.logsumexp_axis(0) + x.max_axis(0) * x.mean_axis(0)
        }),
        ("softmax", &|x| x.softmax(-1) * x.standardize(0, 1e-3)),
        ("movement", &|x| {
            x.t().flip(0).pad([(1, 0), (0, 2)]).square().reshape([5, 5])
        }),
        ("windows", &|x| {
            x.exp().windows(1, 2, 1, 2).square().sum_axis(-1)
        }),
        ("slices", &|x| {
            x.slice(s![1.., 0..4]).square() * x.narrow(0, 0, 2)
        }),
        ("look-ups", &|x| {
            x.square().gather(1, &at) * x.index_select(0, [2, 0, 0])
        }),
        ("scatter", &|x| {
            Value::zeros([3, 4])
                .scatter_add(1, &at, x.square())
                .square()
        }),
        ("sorted, summed", &|x| {
            x.sort(1, true).0.square().cumsum(0).cumsum(1)
        }),
        ("end to end", &|x| {
            Value::concat([&x.square(), &(x * &v), &Value::ones([1, 4])], 0)
        }),
        ("rules", &|x| {
            clipped(&clipped(x)) + x.detach() * x + no_grad(|| x.exp())
        }),
    ];
    let t = Tolerance {
        relative: 1e-11,
        absolute: 1e-12,
    };
    // Few results make a Jacobian by rows, many one by columns.
    let few = |y: Value| y.flatten().narrow(0, 0, y.elements().min(7));
    let many = |y: Value| Value::concat(vec![y.flatten(); 5], 0);
    let unit = |n: usize, k: usize| Value::from(k).one_hot(n).cast(DType::F64);
    for (name, f) in functions {
        let y = few(f(&x));
        let row = |k| vjp(std::slice::from_ref(&y), &[unit(y.elements(), k)], [&x]).remove(0);
        let rows = Value::stack((0..y.elements()).map(row), 0);
        assert_near(name, &numbers(&jacobian(&y, &x)), &numbers(&rows), t);
        let y = many(f(&x));
        let column = |k| {
            jvp(
                std::slice::from_ref(&y),
                [&x],
                &[unit(12, k).reshape([3, 4])],
            )
            .remove(0)
        };
        let columns = Value::stack((0..12).map(column), 1);
        assert_near(name, &numbers(&jacobian(&y, &x)), &numbers(&columns), t);
        // And it has derivatives. (Those of the custom rule are not the truth.)
        if name != "rules" {
            let again = |x: &[Value]| jacobian(&few(f(&x[0])), &x[0]);
            assert_derivatives(name, &again, std::slice::from_ref(&x));
        }
    }
}

/// Large arrays are not held for all rows at once.
#[test]
fn jacobians_of_large_functions_are_computed_in_parts() -> Result<()> {
    let (x, n) = (Value::from([0.5, -1.0, 2.0]), 1 << 21);
    let large = Value::linspace(0.1, 1.0, n).cast(DType::F64);
    let y = (large.unsqueeze(1) * &x).tanh().sum_axis(0);
    let j = jacobian(&y, &x);
    let each = gradient(&y.sum(), &x).to_vec::<f64>()?;
    const NEAR: Tolerance = Tolerance {
        relative: 1e-11,
        absolute: 0.0,
    };
    let diagonal = [each[0], 0.0, 0.0, 0.0, each[1], 0.0, 0.0, 0.0, each[2]];
    assert_near("parts", &numbers(&j), &diagonal, NEAR);
    Ok(())
}

#[test]
fn a_hessian_is_symmetric_and_hvp_is_its_product() {
    let mut rng = Rng(3);
    let x = rng.array(&[4], DType::F64, (-1.0, 1.0));
    let v = rng.array(&[4], DType::F64, (-1.0, 1.0));
    let a = rng.array(&[4, 4], DType::F64, (-1.0, 1.0));
    let f = (a.matmul(&x).tanh() * &x).logsumexp();
    let h = hessian(&f, &x);
    let t = Tolerance {
        relative: 1e-11,
        absolute: 1e-12,
    };
    assert_near("symmetry", &numbers(&h), &numbers(&h.t()), t);
    assert_near(
        "hvp",
        &numbers(&hvp(&f, &x, &v)),
        &numbers(&h.matmul(&v)),
        t,
    );
}

/// x³ with a rule of its own.
fn cube(x: &Value) -> Value {
    custom(
        [x],
        |x| x[0].square() * &x[0],
        |x, _, g| vec![g * 3.0 * x[0].square()],
    )
}

#[test]
fn custom_operations_have_every_derivative() {
    let x = Value::from([2.0, -1.0]);
    let y = cube(&x);
    assert_is(&y, &[8.0, -1.0]);
    let dx = gradient(&y.sum(), &x);
    assert_is(&dx, &[12.0, 3.0]);
    assert_is(&gradient(&dx.sum(), &x), &[12.0, -6.0]);
    assert_is(
        &jvp(&[y], [&x], &[Value::from([1.0, 2.0])])[0],
        &[12.0, 6.0],
    );
    assert_derivatives(
        "cube",
        &|x| cube(&x[0]).sin() * &x[1],
        &[x.clone(), Value::from([0.3, 1.2])],
    );
    // Two inputs; the rule uses the result.
    let product = |a: &Value, b: &Value| {
        custom(
            [a, b],
            |x| &x[0] * &x[1],
            |x, y, g| vec![g * y / &x[0], g * y / &x[1]],
        )
    };
    assert_derivatives(
        "product",
        &|x| product(&x[0], &x[1]).tanh(),
        &[x.clone(), Value::from([0.3, 1.2])],
    );
}

#[test]
fn custom_rules_may_differ_from_the_truth() {
    let x = Value::from([0.4, 0.6]);
    let through = custom([&x], |x| x[0].round(), |_, _, g| vec![g.clone()]);
    assert_is(&gradient(&(through.square()).sum(), &x), &[0.0, 2.0]);
    let clipped = custom([&x], |x| x[0].clone(), |_, _, g| vec![g.clamp(-1.0, 1.0)]);
    assert_is(&gradient(&(clipped * 100.0).sum(), &x), &[1.0, 1.0]);
    // A rule of the wrong shape or number is a mistake where the gradient is read.
    for wrong in [
        custom([&x], |x| x[0].sin(), |_, _, _| vec![]),
        custom([&x], |x| x[0].sin(), |_, _, _| vec![Value::ones([3])]),
    ] {
        assert!(wrong.to_vec::<f64>().is_ok());
        assert!(gradient(&wrong.sum(), &x).to_vec::<f64>().is_err());
    }
}

#[test]
fn gradcheck_reports_what_is_wrong() -> Result<()> {
    let x = [Value::from([0.5, 2.0])];
    assert!(gradcheck(|x| x[0].sin(), &x)?.passed());
    let wrong = |x: &[Value]| custom(x, |x| x[0].square(), |x, _, g| vec![g * &x[0]]);
    let report = gradcheck(wrong, &x)?;
    assert!(!report.passed() && report.worst() > 0.4);
    let wanted = "\
gradcheck FAILED: 2 derivatives, largest deviation 5.0e-1 (tolerance 1.0e-6)
  input  element      analytic       numeric  deviation
      0        0   5.000000e-1    1.000000e0     5.0e-1
      0        1    2.644218e0    5.288435e0     5.0e-1";
    assert_eq!(report.to_string(), wanted);
    assert!(gradcheck(|x| x[0].clone(), &[Value::from([1])]).is_err());
    Ok(())
}

/// What the docs of rows and reductions promise where there is no derivative.
#[test]
fn kinks_and_ties_are_as_documented() {
    let by_first = |y: Value, x: &Value, wanted: &[f64]| assert_is(&gradient(&y.sum(), x), wanted);
    let zero = Value::from([0.0]);
    by_first(zero.relu(), &zero, &[0.0]);
    by_first(zero.abs(), &zero, &[0.0]);
    by_first(zero.sign() * 3.0, &zero, &[0.0]);
    by_first(zero.leaky_relu(0.1), &zero, &[0.1]);
    by_first(zero.norm(), &zero, &[0.0]);
    by_first(zero.pow(0.0), &zero, &[0.0]);
    by_first(zero.pow(2.0), &zero, &[0.0]);
    let (a, b) = (Value::from([1.0, 2.0]), Value::from([1.0, 2.0]));
    for y in [a.maximum(&b), a.minimum(&b)] {
        assert_is(&gradient(&y.sum(), &a), &[1.0, 1.0]);
        assert_is(&gradient(&y.sum(), &b), &[0.0, 0.0]);
    }
    by_first(a.clamp(1.0, 1.5), &a, &[1.0, 0.0]);
    // Equal extremes share.
    let x = Value::from([3.0, 1.0, 3.0, 3.0]);
    let third = 1.0 / 3.0;
    by_first(x.max(), &x, &[third, 0.0, third, third]);
    by_first((-&x).min(), &x, &[-third, 0.0, -third, -third]);
    // A sort keeps the order of equal ones.
    by_first(
        x.sort(0, true).0 * Value::from([1.0, 2.0, 3.0, 4.0]),
        &x,
        &[1.0, 4.0, 2.0, 3.0],
    );
    // A product with zeros, twice.
    let x = Value::from([2.0, 0.0, 5.0]);
    by_first(x.prod(), &x, &[0.0, 10.0, 0.0]);
    assert_is(
        &hessian(&x.prod(), &x),
        &[0.0, 5.0, 0.0, 5.0, 0.0, 2.0, 0.0, 2.0, 0.0],
    );
}

/// Gradients are routed, not multiplied by masks: an infinity in the branch not taken is no NaN.
#[test]
fn what_is_not_taken_does_not_poison() {
    let x = Value::from([0.0, 4.0]);
    let safe = x.gt(0.0).select(&x, 1.0);
    assert_is(
        &gradient(&x.gt(0.0).select(safe.sqrt(), 0.0).sum(), &x),
        &[0.0, 0.25],
    );
    assert_is(
        &gradient(&(&x / 0.0).minimum(1.0).sum(), &Value::from(0.0)),
        &[0.0],
    );
    let big = Value::from([1000.0, -1000.0]);
    for y in [
        big.sigmoid(),
        big.softplus(),
        big.tanh(),
        big.logsumexp(),
        big.softmax(0),
        big.log_sigmoid(),
        big.elu(1.0),
    ] {
        let g = numbers(&gradient(&y.sum(), &big));
        assert!(g.iter().all(|g| g.is_finite()), "{y}: {g:?}");
    }
}

#[test]
fn gradients_have_the_shape_and_dtype_of_what_they_are_by() {
    let w = Value::from([[1.0f32], [2.0]]);
    let x = Value::from([1.0, 2.0, 3.0]);
    let y = (&w * &x).cast(DType::F32).sum();
    for (v, shape, dtype) in [(&w, &[2, 1][..], DType::F32), (&x, &[3], DType::F64)] {
        let g = gradient(&y, v);
        assert_eq!((&g.shape()[..], g.dtype()), (shape, dtype));
    }
    assert_is(&gradient(&y, &w), &[6.0, 6.0]);
    assert_is(&gradient(&y, &x), &[3.0, 3.0, 3.0]);
    let whole = Value::from([1, 2]);
    assert!(
        gradient(&(&whole * &w).sum(), &whole)
            .to_vec::<f64>()
            .is_ok()
    );
    assert!(gradient(&whole.sum(), &whole).to_vec::<f64>().is_err());
}

#[test]
fn forward_mode_sees_an_input_that_depends_on_another() -> Result<()> {
    let x = Value::from([0.5, 1.0]);
    let h = x.exp();
    let y = &h * &x;
    let (dx, dh) = (Value::from([1.0, 2.0]), Value::from([3.0, 5.0]));
    let forward = jvp(
        std::slice::from_ref(&y),
        [&x, &h],
        &[dx.clone(), dh.clone()],
    )
    .remove(0);
    let reverse = vjp(&[y], &[Value::ones([2])], [&x, &h]);
    let paired = (&reverse[0] * dx + &reverse[1] * dh).sum();
    assert!((forward.sum().item()? - paired.item()?).abs() < 1e-12);
    Ok(())
}

#[test]
fn a_blocked_gradient_names_the_operation_in_the_way() {
    let w = Parameter::new([1.5, 2.5]);
    let blocked = |y: Value| match y.reach(&w) {
        toygrad::Reach::Blocked { operation, at } => Some((operation, at.file().to_string())),
        _ => None,
    };
    let here = file!().to_string();
    assert_eq!(
        blocked((&w * 2.0).round().sum()),
        Some(("round", here.clone()))
    );
    assert_eq!(
        blocked((&w * 2.0).detach().sum()),
        Some(("detach", here.clone()))
    );
    assert_eq!(blocked(w.value().argmax(0) * 2.0), Some(("argmax", here)));
    assert!(matches!(
        (&w * 2.0).sum().reach(&w),
        toygrad::Reach::Reached
    ));
    assert!(matches!(
        Value::from(1.0).reach(&w),
        toygrad::Reach::Independent
    ));
}

#[test]
fn reading_the_loss_first_spares_backward_the_forward_pass() -> Result<()> {
    let w = Parameter::new([[0.5, -1.0], [2.0, 0.25]]);
    let x = Value::from([[1.0, 2.0], [3.0, 4.0]]);
    let hidden = x.matmul(&w);
    let loss = hidden.tanh().sum();
    assert!(format!("{hidden:?}").contains("not evaluated"));
    loss.item()?;
    // The product had to be written to memory, so it stays.
    assert!(!format!("{hidden:?}").contains("not evaluated"));
    // Without gradients there is nothing to spare.
    let free = no_grad(|| x.matmul(&w));
    no_grad(|| free.tanh().sum()).item()?;
    assert!(format!("{free:?}").contains("not evaluated"));
    Ok(())
}

#[test]
fn the_first_number_that_is_not_finite_is_named() -> Result<()> {
    let x = Value::from([4.0, 1.0]);
    let step = compile(|x: Value| ((&x - 1.0).ln() * 0.0).sum());
    for read in [
        toygrad::debug_nan(|| ((&x - 1.0).ln() * 0.0).sum().item()),
        toygrad::debug_nan(|| step.call(x.clone())?.item()),
    ] {
        let error = read.unwrap_err().to_string();
        assert!(
            error.starts_with("`ln` gave -inf, from finite numbers"),
            "{error}"
        );
        assert!(
            error.contains("made by `sub`") && error.contains("gradients.rs"),
            "{error}"
        );
    }
    assert!(((&x - 1.0).ln() * 0.0).sum().item()?.is_nan());
    Ok(())
}
