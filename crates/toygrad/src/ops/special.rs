//! Special functions in double precision that no crate gives: what rows mean, not how lanes
//! compute them.

use std::f64::consts::PI;

/// Digamma (`n` = 0) and its derivatives of order `n`; of negative x up to order 1.
///
/// Recurrence up to x >= 20, then the asymptotic series; reflection of negative x
/// (Abramowitz & Stegun 6.3.7, 6.3.18, 6.4.6, 6.4.7, 6.4.11).
pub(crate) fn polygamma(n: f64, x: f64) -> f64 {
    if n < 0.0 || n.fract() != 0.0 || n > 100.0 || x.is_nan() || x == f64::NEG_INFINITY {
        return f64::NAN;
    }
    if x < 0.0 {
        // Counting up from a large negative x would take forever. The fraction alone is
        // multiplied with π: a large x would lose it.
        let turn = PI * x.fract();
        return match n {
            0.0 if turn == 0.0 => f64::NAN,
            0.0 => polygamma(0.0, 1.0 - x) - PI / turn.tan(),
            1.0 => (PI / turn.sin()).powi(2) - polygamma(1.0, 1.0 - x),
            _ => f64::NAN,
        };
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
    if x == 0.0 {
        return match n {
            0.0 => f64::NEG_INFINITY.copysign(-x),
            _ if n % 2.0 == 0.0 => f64::NEG_INFINITY,
            _ => f64::INFINITY,
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
        close(polygamma(1.0, -0.5), PI * PI / 2.0 + 4.0);
        assert!(polygamma(1.0, f64::NEG_INFINITY).is_nan());
        assert!((polygamma(1.0, -1e9 - 0.5) - PI * PI).abs() < 1e-6);
    }
}
