//! Special functions in double precision that no crate gives: what rows mean, not how lanes
//! compute them.

use std::f64::consts::PI;

/// Digamma (`n` = 0) and its derivatives of order `n`.
///
/// Recurrence up to x >= 20, then the asymptotic series; reflection of negative x
/// (Abramowitz & Stegun 6.3.7, 6.3.18, 6.4.6, 6.4.7, 6.4.11).
pub(crate) fn polygamma(n: f64, x: f64) -> f64 {
    if n < 0.0 || n.fract() != 0.0 || n > 100.0 || x.is_nan() || x == f64::NEG_INFINITY {
        return f64::NAN;
    }
    let pole = x <= 0.0 && x.fract() == 0.0;
    if n == 0.0 && pole && x < 0.0 {
        return f64::NAN;
    }
    if x < 0.0 && !pole {
        // Counting up from a large negative x would take forever.
        let sign = if n % 2.0 == 0.0 { 1.0 } else { -1.0 };
        return sign * polygamma(n, 1.0 - x) - pi_cotangent(n as usize, x);
    }
    // B(2k) for k = 1..=9
    const BERNOULLI: [f64; 9] = [
        1.0 / 6.0,
        -1.0 / 30.0,
        1.0 / 42.0,
        -1.0 / 30.0,
        5.0 / 66.0,
        -691.0 / 2730.0,
        7.0 / 6.0,
        -3617.0 / 510.0,
        43867.0 / 798.0,
    ];
    if pole {
        return if n == 0.0 || n % 2.0 == 0.0 {
            f64::NEG_INFINITY
        } else {
            f64::INFINITY
        };
    }
    let sign = if n % 2.0 == 0.0 { -1.0 } else { 1.0 };
    let factorial = |k: f64| libm::tgamma(k + 1.0);
    let (mut z, mut sum) = (x, 0.0);
    while z < 20.0 {
        sum += factorial(n) * sign * z.powf(-(n + 1.0));
        z += 1.0;
    }
    let first = match n == 0.0 {
        true => z.ln() - 0.5 / z,
        false => sign * (factorial(n - 1.0) * z.powf(-n) + 0.5 * factorial(n) * z.powf(-(n + 1.0))),
    };
    let tail: f64 = (1..)
        .zip(BERNOULLI)
        .map(|(k, b)| {
            let k2 = 2.0 * f64::from(k);
            sign * b * factorial(k2 + n - 1.0) / factorial(k2) * z.powf(-(k2 + n))
        })
        .sum();
    sum + first + tail
}

/// The derivative of order `n` of π cot(πx): a polynomial in the cotangent c, since
/// dc/dx = -π (1 + c²).
fn pi_cotangent(n: usize, x: f64) -> f64 {
    let mut polynomial = vec![0.0, PI];
    for _ in 0..n {
        let mut next = vec![0.0; polynomial.len() + 1];
        for (k, p) in polynomial.iter().enumerate().skip(1) {
            next[k - 1] -= PI * k as f64 * p;
            next[k + 1] -= PI * k as f64 * p;
        }
        polynomial = next;
    }
    // The fraction alone: the product of a large x with π would lose it.
    let cotangent = (PI * x.fract()).tan().recip();
    polynomial.iter().rev().fold(0.0, |y, p| y * cotangent + p)
}

#[cfg(test)]
mod tests {
    use super::{PI, polygamma};

    #[test]
    fn known_values() {
        let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-13 * b.abs(), "{a} {b}");
        close(polygamma(0.0, 1.0), -0.577_215_664_901_532_9); // minus Euler's constant
        close(polygamma(1.0, 1.0), PI.powi(2) / 6.0);
        close(polygamma(2.0, 1.0), -2.404_113_806_319_188_6); // -2 zeta(3)
        close(polygamma(0.0, -0.5), 0.036_489_973_978_576_52);
        // By the recurrence from 1.5 and 0.5.
        for n in [1.0, 2.0, 3.0, 4.0] {
            let step = |x: f64| (-1f64).powf(n) * libm::tgamma(n + 1.0) * x.powf(-(n + 1.0));
            close(
                polygamma(n, -0.7),
                polygamma(n, 1.3) - step(-0.7) - step(0.3),
            );
        }
        assert!(polygamma(1.0, f64::NEG_INFINITY).is_nan());
        assert!((polygamma(1.0, -1e9 - 0.5) - PI * PI).abs() < 1e-6);
    }
}
