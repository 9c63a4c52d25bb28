//! Two simple operations as one loop: what the first one makes stays in a register of the machine,
//! where a loop of its own would store it, and the next load it again.

use super::{Formula, Lanes, Level, Number, formula};
use crate::DType;
use crate::math::Isa;

/// The first operation, on `a` and `b`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum First {
    Add,
    Sub,
    Mul,
    Lt,
    Le,
}

/// What becomes of its result at once, with `c`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Then {
    Add,
    Sub,
    /// `c` less the result.
    SubFrom,
    Mul,
    /// The result by itself; there is no `c`.
    Square,
    /// `c` where the result is true, else 0.
    Select,
}

impl Then {
    /// What listings call it.
    pub fn name(self) -> &'static str {
        match self {
            Then::Add => "add",
            Then::Sub => "sub",
            Then::SubFrom => "sub from",
            Then::Mul => "mul",
            Then::Square => "square",
            Then::Select => "select",
        }
    }
}

/// Numbers, then numbers.
struct Arithmetic<const FIRST: u8, const THEN: u8>;

impl<T: Number, const FIRST: u8, const THEN: u8> Formula<T> for Arithmetic<FIRST, THEN> {
    type Out = T;
    const ARITY: usize = if THEN == Then::Square as u8 { 2 } else { 3 };

    #[inline(always)]
    fn eval<I: Isa>([a, b, c]: [T; 3]) -> T {
        const ADD: u8 = First::Add as u8;
        const SUB: u8 = First::Sub as u8;
        const THEN_ADD: u8 = Then::Add as u8;
        const THEN_SUB: u8 = Then::Sub as u8;
        const THEN_SUB_FROM: u8 = Then::SubFrom as u8;
        const THEN_MUL: u8 = Then::Mul as u8;
        let y = match FIRST {
            ADD => a.add(b),
            SUB => a.sub(b),
            _ => a.mul(b),
        };
        match THEN {
            THEN_ADD => y.add(c),
            THEN_SUB => y.sub(c),
            THEN_SUB_FROM => c.sub(y),
            THEN_MUL => y.mul(c),
            _ => y.mul(y),
        }
    }
}

/// A comparison, `<` or `<=`, then a selection.
struct Routed<const STRICT: bool>;

impl<T: Number, const STRICT: bool> Formula<T> for Routed<STRICT> {
    type Out = T;
    const ARITY: usize = 3;

    #[inline(always)]
    fn eval<I: Isa>([a, b, c]: [T; 3]) -> T {
        let goes = match STRICT {
            true => a.lt(b),
            false => a.le(b),
        };
        if goes != 0 { c } else { T::ZERO }
    }
}

/// The loop of a pair; `None` if there is none.
pub(crate) fn pair(first: First, then: Then, dtype: DType, level: Level) -> Option<Lanes> {
    macro_rules! pick {
        ($t:ty; $($first:ident: $($then:ident)*;)*) => {
            match (first, then) {
                $($((First::$first, Then::$then) => {
                    type Pair = Arithmetic<{ First::$first as u8 }, { Then::$then as u8 }>;
                    formula::<Pair, $t>(level)
                })*)*
                (First::Lt, Then::Select) => formula::<Routed<true>, $t>(level),
                (First::Le, Then::Select) => formula::<Routed<false>, $t>(level),
                _ => return None,
            }
        };
        ($t:ty) => {
            pick! {
                $t;
                Add: Add Sub SubFrom Mul Square;
                Sub: Add Sub SubFrom Mul Square;
                Mul: Add Sub SubFrom Mul Square;
            }
        };
    }
    match dtype {
        DType::F32 => Some(pick!(f32)),
        DType::F64 => Some(pick!(f64)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A number of either dtype, as bits that tell -0 from 0, and any NaN from what is none.
    trait Bits: Number {
        fn of(x: f64) -> Self;
        fn bits(self) -> u64;
    }

    macro_rules! bits {
        ($($t:ty),*) => {$(
            impl Bits for $t {
                fn of(x: f64) -> $t { x as $t }
                fn bits(self) -> u64 {
                    let x = if self.is_nan() { <$t>::NAN } else { self };
                    u64::from(x.to_bits())
                }
            }
        )*};
    }
    bits!(f32, f64);

    /// Every pair of every dtype, in all that this machine can run, beside the two formulas.
    #[test]
    fn pairs_are_one_after_the_other() {
        let special = [0.0, -0.0, 1.0, -1.5, 1e30, 1e-30, f64::NAN, f64::INFINITY];
        let n = special.len();
        let all: Vec<[f64; 3]> = (0..n * n * n)
            .map(|i| [special[i % n], special[i / n % n], special[i / n / n]])
            .chain((1..=160).map(|i| [i, i * i, 7 * i].map(|x| (f64::from(x) * 0.37).sin())))
            .collect();
        let checked = check::<f32>(DType::F32, &all) + check::<f64>(DType::F64, &all);
        assert_eq!(checked, 2 * 17 * Level::here().len());
    }

    /// How many loops there are, all of them checked.
    fn check<T: Bits>(dtype: DType, all: &[[f64; 3]]) -> usize {
        let column = |k: usize| -> Vec<T> { all.iter().map(|x| T::of(x[k])).collect() };
        let columns = [0, 1, 2].map(column);
        let src = [0, 1, 2].map(|k| columns[k].as_ptr().cast());
        assert!(all.len().is_multiple_of(super::super::BLOCK));
        let firsts = [First::Add, First::Sub, First::Mul, First::Lt, First::Le];
        let thens = [
            Then::Add,
            Then::Sub,
            Then::SubFrom,
            Then::Mul,
            Then::Square,
            Then::Select,
        ];
        let mut checked = 0;
        for (first, then) in firsts.iter().flat_map(|&f| thens.map(|t| (f, t))) {
            for level in Level::here() {
                let Some(lanes) = pair(first, then, dtype, level) else {
                    continue;
                };
                let mut found = vec![T::ZERO; all.len()];
                // SAFETY: all have as many elements, whole blocks, and the machine has the level.
                unsafe { lanes(&src, found.as_mut_ptr().cast(), all.len()) };
                for (i, y) in found.into_iter().enumerate() {
                    let [a, b, c] = [0, 1, 2].map(|k| columns[k][i]);
                    let expected = one_after_the_other(first, then, [a, b, c]);
                    let at = (first, then, level, all[i]);
                    assert_eq!(y.bits(), expected.bits(), "{at:?}");
                }
                checked += 1;
            }
        }
        checked
    }

    fn one_after_the_other<T: Bits>(first: First, then: Then, [a, b, c]: [T; 3]) -> T {
        let y = match first {
            First::Add => a.add(b),
            First::Sub => a.sub(b),
            First::Mul => a.mul(b),
            First::Lt => return if a.lt(b) == 1 { c } else { T::ZERO },
            First::Le => return if a.le(b) == 1 { c } else { T::ZERO },
        };
        // Written and read again, as by two loops: nothing is rounded once for both.
        let y = std::hint::black_box(y);
        match then {
            Then::Add => y.add(c),
            Then::Sub => y.sub(c),
            Then::SubFrom => c.sub(y),
            Then::Mul => y.mul(c),
            Then::Square => y.mul(y),
            Then::Select => unreachable!("after comparisons alone"),
        }
    }
}
