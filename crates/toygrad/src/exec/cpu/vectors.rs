//! Vector registers that products are computed in: by intrinsics where we have them, else as arrays.

/// A vector register.
pub(super) trait Vector<T: Copy>: Copy {
    const LANES: usize;
    unsafe fn splat(x: T) -> Self;
    unsafe fn load(from: *const T) -> Self;
    /// The first `n` of a register's numbers, at least one; zeros behind them. Nothing else is read.
    unsafe fn load_first(from: *const T, n: usize) -> Self;
    unsafe fn store(self, to: *mut T);
    /// `self + a * b`
    unsafe fn plus_product(self, a: Self, b: Self) -> Self;
    unsafe fn plus(self, other: Self) -> Self;

    /// Turns eight rows of eight numbers around: from rows `apart`, to rows `step` apart.
    #[inline(always)]
    unsafe fn transpose(from: *const T, apart: isize, to: *mut T, step: usize) {
        // SAFETY: the caller's promise.
        unsafe { transpose(from, apart, to, step) }
    }
}

/// Registers whose lanes are summed together.
pub(super) const ROWS: usize = 4;

/// A vector register for rows that are short, or come from memory: of 256 bits at most.
pub(super) trait Lanes<T: Copy>: Vector<T> {
    /// Stores the first `n` of its numbers, at least one. Nothing else is written.
    unsafe fn store_first(self, to: *mut T, n: usize);
    /// The sum of each register's lanes.
    unsafe fn sums(of: [Self; ROWS]) -> [T; ROWS];
}

/// Eight rows of eight numbers, by arrays. (Not inlined: one function is enough to compile.)
#[inline(never)]
unsafe fn transpose<T: Copy>(from: *const T, apart: isize, to: *mut T, step: usize) {
    for (i, j) in [(0, 0), (0, 4), (4, 0), (4, 4)] {
        // SAFETY: the caller's promise: eight rows of eight.
        unsafe {
            let from = from.offset(i as isize * apart).add(j);
            let square: [[T; 4]; 4] = std::array::from_fn(|i| {
                let line = from.offset(i as isize * apart);
                line.cast::<[T; 4]>().read_unaligned()
            });
            let turned: [[T; 4]; 4] =
                std::array::from_fn(|k| std::array::from_fn(|i| square[i][k]));
            for (k, line) in turned.into_iter().enumerate() {
                let to = to.add((j + k) * step + i);
                to.cast::<[T; 4]>().write_unaligned(line);
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
pub(super) mod x86 {
    use super::{Lanes, ROWS, Vector};
    use std::arch::x86_64::*;

    macro_rules! vectors {
        ($($v:ident of $lanes:literal $t:ident: $splat:ident $load:ident $first:ident $store:ident $fma:ident $add:ident $(, $transpose:ident)?;)*) => {$(
            impl Vector<$t> for $v {
                const LANES: usize = $lanes;
                // SAFETY of all: the caller's promise (the instruction set, and valid addresses).
                #[inline(always)] unsafe fn splat(x: $t) -> Self { unsafe { $splat(x) } }
                #[inline(always)] unsafe fn load(from: *const $t) -> Self { unsafe { $load(from) } }
                #[inline(always)] unsafe fn load_first(from: *const $t, n: usize) -> Self { unsafe { $first(from, n) } }
                #[inline(always)] unsafe fn store(self, to: *mut $t) { unsafe { $store(to, self) } }
                #[inline(always)] unsafe fn plus_product(self, a: Self, b: Self) -> Self { unsafe { $fma(a, b, self) } }
                #[inline(always)] unsafe fn plus(self, other: Self) -> Self { unsafe { $add(self, other) } }
                $(#[inline(always)] unsafe fn transpose(from: *const $t, apart: isize, to: *mut $t, step: usize) {
                    unsafe { $transpose(from, apart, to, step) }
                })?
            }
        )*};
    }

    vectors! {
        __m256 of 8 f32: _mm256_set1_ps _mm256_loadu_ps load_f32_256 _mm256_storeu_ps _mm256_fmadd_ps _mm256_add_ps, transpose;
        __m256d of 4 f64: _mm256_set1_pd _mm256_loadu_pd load_f64_256 _mm256_storeu_pd _mm256_fmadd_pd _mm256_add_pd;
        __m512 of 16 f32: _mm512_set1_ps _mm512_loadu_ps load_f32_512 _mm512_storeu_ps _mm512_fmadd_ps _mm512_add_ps, transpose;
        __m512d of 8 f64: _mm512_set1_pd _mm512_loadu_pd load_f64_512 _mm512_storeu_pd _mm512_fmadd_pd _mm512_add_pd;
    }

    /// Ones for a register's lanes, zeros for as many more.
    static F32: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];
    static F64: [i64; 8] = [-1, -1, -1, -1, 0, 0, 0, 0];

    // SAFETY of all: the caller's promise (the instruction set, and `n` valid numbers, as many as there
    // are lanes at most).
    #[inline(always)]
    unsafe fn load_f32_256(from: *const f32, n: usize) -> __m256 {
        unsafe {
            let lanes = _mm256_loadu_si256(F32.as_ptr().add(8 - n).cast());
            _mm256_maskload_ps(from, lanes)
        }
    }
    #[inline(always)]
    unsafe fn load_f64_256(from: *const f64, n: usize) -> __m256d {
        unsafe {
            let lanes = _mm256_loadu_si256(F64.as_ptr().add(4 - n).cast());
            _mm256_maskload_pd(from, lanes)
        }
    }
    #[inline(always)]
    unsafe fn load_f32_512(from: *const f32, n: usize) -> __m512 {
        unsafe { _mm512_maskz_loadu_ps(u16::MAX >> (16 - n), from) }
    }
    #[inline(always)]
    unsafe fn load_f64_512(from: *const f64, n: usize) -> __m512d {
        unsafe { _mm512_maskz_loadu_pd(u8::MAX >> (8 - n), from) }
    }

    // SAFETY of all: the caller's promise (the instruction set, and valid addresses).
    impl Lanes<f32> for __m256 {
        // By halves: on many processors the instruction for it takes longer.
        #[inline(always)]
        unsafe fn store_first(self, mut to: *mut f32, n: usize) {
            unsafe {
                if n == 8 {
                    return _mm256_storeu_ps(to, self);
                }
                let mut half = _mm256_castps256_ps128(self);
                if n & 4 != 0 {
                    _mm_storeu_ps(to, half);
                    (half, to) = (_mm256_extractf128_ps::<1>(self), to.add(4));
                }
                if n & 2 != 0 {
                    _mm_store_sd(to.cast(), _mm_castps_pd(half));
                    (half, to) = (_mm_movehl_ps(half, half), to.add(2));
                }
                if n & 1 != 0 {
                    _mm_store_ss(to, half);
                }
            }
        }
        #[inline(always)]
        unsafe fn sums([a, b, c, d]: [Self; ROWS]) -> [f32; ROWS] {
            unsafe {
                let pairs = [_mm256_hadd_ps(a, b), _mm256_hadd_ps(c, d)];
                let fours = _mm256_hadd_ps(pairs[0], pairs[1]);
                let high = _mm256_extractf128_ps::<1>(fours);
                let all = _mm_add_ps(_mm256_castps256_ps128(fours), high);
                std::mem::transmute::<__m128, [f32; ROWS]>(all)
            }
        }
    }

    impl Lanes<f64> for __m256d {
        #[inline(always)]
        unsafe fn store_first(self, mut to: *mut f64, n: usize) {
            unsafe {
                if n == 4 {
                    return _mm256_storeu_pd(to, self);
                }
                let mut half = _mm256_castpd256_pd128(self);
                if n & 2 != 0 {
                    _mm_storeu_pd(to, half);
                    (half, to) = (_mm256_extractf128_pd::<1>(self), to.add(2));
                }
                if n & 1 != 0 {
                    _mm_store_sd(to, half);
                }
            }
        }
        #[inline(always)]
        unsafe fn sums([a, b, c, d]: [Self; ROWS]) -> [f64; ROWS] {
            unsafe {
                let (ab, cd) = (_mm256_hadd_pd(a, b), _mm256_hadd_pd(c, d));
                let inner = _mm256_permute2f128_pd::<0x21>(ab, cd);
                let all = _mm256_add_pd(_mm256_blend_pd::<0b1100>(ab, cd), inner);
                std::mem::transmute::<__m256d, [f64; ROWS]>(all)
            }
        }
    }

    /// Eight rows by shuffles: twice as fast as what the compiler makes of arrays.
    #[inline(always)]
    pub unsafe fn transpose(from: *const f32, apart: isize, to: *mut f32, step: usize) {
        // SAFETY: the caller's promise: AVX, and eight rows of eight.
        unsafe {
            for half in [0, 4] {
                // Rows i and i + 4, four numbers of each: halves need not change places later.
                let r: [__m256; 4] = std::array::from_fn(|i| {
                    let from = from.offset(i as isize * apart).add(half);
                    let low = _mm256_castps128_ps256(_mm_loadu_ps(from));
                    _mm256_insertf128_ps::<1>(low, _mm_loadu_ps(from.offset(4 * apart)))
                });
                let low = [
                    _mm256_unpacklo_ps(r[0], r[1]),
                    _mm256_unpacklo_ps(r[2], r[3]),
                ];
                let high = [
                    _mm256_unpackhi_ps(r[0], r[1]),
                    _mm256_unpackhi_ps(r[2], r[3]),
                ];
                for (k, [x, y]) in [(0, low), (2, high)] {
                    let to = to.add((half + k) * step);
                    _mm256_storeu_ps(to, _mm256_shuffle_ps::<0x44>(x, y));
                    _mm256_storeu_ps(to.add(step), _mm256_shuffle_ps::<0xee>(x, y));
                }
            }
        }
    }
}

/// The register of machines that we have no intrinsics for: the compiler finds one.
#[derive(Clone, Copy)]
pub(super) struct Portable<T, const N: usize>(pub [T; N]);

macro_rules! portable {
    ($($t:ident $n:literal;)*) => {$(
        impl Vector<$t> for Portable<$t, $n> {
            const LANES: usize = $n;
            #[inline(always)] unsafe fn splat(x: $t) -> Self { Portable([x; $n]) }
            #[inline(always)] unsafe fn load(from: *const $t) -> Self {
                // SAFETY: the caller's promise.
                Portable(unsafe { from.cast::<[$t; $n]>().read_unaligned() })
            }
            #[inline(always)] unsafe fn load_first(from: *const $t, n: usize) -> Self {
                let mut lanes = [0.0; $n];
                // SAFETY: the caller's promise.
                lanes[..n].copy_from_slice(unsafe { std::slice::from_raw_parts(from, n) });
                Portable(lanes)
            }
            #[inline(always)] unsafe fn store(self, to: *mut $t) {
                // SAFETY: the caller's promise.
                unsafe { to.cast::<[$t; $n]>().write_unaligned(self.0) }
            }
            #[inline(always)] unsafe fn plus_product(self, a: Self, b: Self) -> Self {
                Portable(std::array::from_fn(|i| match cfg!(target_arch = "aarch64") {
                    true => a.0[i].mul_add(b.0[i], self.0[i]),
                    // Without the instruction it would be a call.
                    false => self.0[i] + a.0[i] * b.0[i],
                }))
            }
            #[inline(always)] unsafe fn plus(self, other: Self) -> Self {
                Portable(std::array::from_fn(|i| self.0[i] + other.0[i]))
            }
        }

        impl Lanes<$t> for Portable<$t, $n> {
            #[inline(always)] unsafe fn store_first(self, to: *mut $t, n: usize) {
                // SAFETY: the caller's promise.
                unsafe { std::slice::from_raw_parts_mut(to, n) }.copy_from_slice(&self.0[..n]);
            }
            #[inline(always)] unsafe fn sums(of: [Self; ROWS]) -> [$t; ROWS] {
                of.map(|lanes| lanes.0.into_iter().fold(0.0, |sum, x| sum + x))
            }
        }
    )*};
}
portable! { f32 4; f32 8; f64 2; f64 4; }
