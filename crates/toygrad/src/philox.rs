//! Philox4x32-10: four 32-bit words from a key and a counter (Salmon, Moraes, Dror & Shaw 2011,
//! "Parallel random numbers: as easy as 1, 2, 3").

/// The words for `counter` under `key`.
#[inline(always)]
pub(crate) fn philox(key: u64, counter: [u32; 4]) -> [u32; 4] {
    let (mut k0, mut k1) = (key as u32, (key >> 32) as u32);
    let mut c = counter;
    for _ in 0..10 {
        let p0 = u64::from(c[0]) * 0xD251_1F53;
        let p1 = u64::from(c[2]) * 0xCD9E_8D57;
        c = [
            (p1 >> 32) as u32 ^ c[1] ^ k0,
            p1 as u32,
            (p0 >> 32) as u32 ^ c[3] ^ k1,
            p0 as u32,
        ];
        k0 = k0.wrapping_add(0x9E37_79B9);
        k1 = k1.wrapping_add(0xBB67_AE85);
    }
    c
}

/// The words of block `block` of the array drawn at `position`.
#[inline(always)]
fn words(key: u64, position: u64, block: u64) -> [u32; 4] {
    philox(
        key,
        [
            block as u32,
            (block >> 32) as u32,
            position as u32,
            (position >> 32) as u32,
        ],
    )
}

/// The four f32 in [0, 1) of a block: 24 bits each.
#[inline(always)]
pub(crate) fn uniform_f32(key: u64, position: u64, block: u64) -> [f32; 4] {
    words(key, position, block).map(|w| (w >> 8) as f32 * (1.0 / 16_777_216.0))
}

/// The two f64 in [0, 1) of a block: 53 bits each.
#[inline(always)]
pub(crate) fn uniform_f64(key: u64, position: u64, block: u64) -> [f64; 2] {
    let w = words(key, position, block);
    let join = |a: u32, b: u32| (u64::from(a >> 5) << 26 | u64::from(b >> 6)) as f64;
    [join(w[0], w[1]), join(w[2], w[3])].map(|x| x * (1.0 / 9_007_199_254_740_992.0))
}

#[cfg(test)]
mod tests {
    use super::philox;

    /// The known answers that the authors of Random123 publish.
    #[test]
    fn known_answers() {
        assert_eq!(
            philox(0, [0; 4]),
            [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8]
        );
        let ones = [u32::MAX; 4];
        assert_eq!(
            philox(u64::MAX, ones),
            [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd]
        );
    }
}
