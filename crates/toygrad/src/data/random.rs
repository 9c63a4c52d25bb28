//! Random numbers for data: the order of samples, splits, synthetic points.
//!
//! Like the numbers in Values they come from a counter, so that any epoch's order can be had
//! without going through those before it.

use crate::philox::philox;
use std::f64::consts::TAU;

/// What numbers are drawn for; equal seeds give unrelated numbers for different purposes.
#[derive(Clone, Copy)]
pub(crate) enum Purpose {
    Epoch = 1,
    Split = 2,
    Synthetic = 3,
}

/// An endless sequence of numbers for a seed, a purpose and an index (the epoch).
pub(crate) struct Stream {
    key: u64,
    index: u64,
    block: u32,
    purpose: Purpose,
    left: Option<u64>,
}

impl Stream {
    pub fn new(seed: u64, purpose: Purpose, index: u64) -> Stream {
        let (block, left) = (0, None);
        // Not the key that arrays of random numbers are drawn with.
        let key = seed ^ 0x746f_7967_7261_6421;
        Stream {
            key,
            index,
            block,
            purpose,
            left,
        }
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        if let Some(bits) = self.left.take() {
            return bits;
        }
        let (low, high) = (self.index as u32, (self.index >> 32) as u32);
        let [a, b, c, d] = philox(self.key, [self.block, self.purpose as u32, low, high]);
        self.block = self.block.wrapping_add(1);
        self.left = Some(u64::from(c) << 32 | u64::from(d));
        u64::from(a) << 32 | u64::from(b)
    }

    /// A whole number below `n` (0 where `n` is 0), each as likely as the others.
    pub fn below(&mut self, n: usize) -> usize {
        let n = n as u64;
        // Numbers past the last multiple of n would favour small results: draw again.
        let end = u64::MAX - u64::MAX.checked_rem(n).unwrap_or(0);
        loop {
            let bits = self.bits();
            if bits < end || n <= 1 {
                return bits.checked_rem(n).unwrap_or(0) as usize;
            }
        }
    }

    /// A number in [0, 1).
    pub fn uniform(&mut self) -> f64 {
        (self.bits() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// A standard normal number (Box & Muller 1958).
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        radius * (TAU * self.uniform()).cos()
    }

    /// Puts the items into random order (Fisher & Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            let j = self.below(i + 1);
            items.swap(i, j);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shuffle_is_a_permutation_and_reaches_each() {
        let mut seen = std::collections::HashSet::new();
        for epoch in 0..200 {
            let mut items = [0, 1, 2, 3];
            Stream::new(1, Purpose::Epoch, epoch).shuffle(&mut items);
            seen.insert(items);
            items.sort_unstable();
            assert_eq!(items, [0, 1, 2, 3]);
        }
        assert_eq!(seen.len(), 24);
    }

    #[test]
    fn moments() {
        let mut stream = Stream::new(3, Purpose::Synthetic, 0);
        let x: Vec<f64> = (0..20_000).map(|_| stream.normal()).collect();
        let mean = x.iter().sum::<f64>() / 20_000.0;
        let variance = x.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / 20_000.0;
        assert!(
            mean.abs() < 0.03 && (variance - 1.0).abs() < 0.05,
            "{mean} {variance}"
        );
        assert!((0..1000).all(|_| (0.0..1.0).contains(&stream.uniform())));
    }
}
