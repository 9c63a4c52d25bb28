//! Pairs: simple arithmetic in a loop, of which one instruction takes what the one before made and
//! nobody else does, becomes one instruction. Each element is the same to the bit.

use super::program::{Instruction, Kernel, Loop, Number, Operation, Program};
use super::registers;
use crate::graph::RowRef;
use crate::lanes::{First, Level, Then, pair};
use crate::ops::pointwise as row;

/// Makes pairs in all loops. (The last pass: the others look at instructions one by one.)
pub(super) fn pair_up(program: &mut Program, level: Level) {
    program.kernels.iter_mut().for_each(|k| in_kernel(k, level));
}

fn in_kernel(kernel: &mut Kernel, level: Level) {
    match kernel {
        Kernel::Loop(l) => in_loop(l, level),
        Kernel::Tiled(t) => t.kernels.iter_mut().for_each(|k| in_kernel(k, level)),
        _ => {}
    }
}

fn in_loop(l: &mut Loop, level: Level) {
    if l.code.len() < 2 {
        return;
    }
    registers::spread(l);
    let uses = uses(l);
    let is_zero = |v: u16| {
        let mut numbers = l.numbers.iter();
        numbers.any(|x| x.2 == v && matches!(x.0, Number::Known(x) if x.to_bits() == 0))
    };
    // Where each value is made, as long as it may become the first of a pair.
    let mut firsts: Vec<Option<usize>> = vec![None; uses.len()];
    let mut gone = vec![false; l.code.len()];
    for at in 0..l.code.len() {
        let second = &l.code[at];
        let to = second.to;
        let made = second.operands().iter().enumerate().find_map(|(k, &v)| {
            let i = firsts[v as usize]?;
            Some((i, paired(&l.code[i], second, k, is_zero, level)?))
        });
        match made {
            Some((i, paired)) => {
                l.code[at] = paired;
                gone[i] = true;
            }
            None if uses[to as usize] == 1 => firsts[to as usize] = Some(at),
            None => {}
        }
        // It may be written over what an earlier instruction reads, which must not come later.
        if l.stores.iter().any(|s| s.register == to) {
            firsts.fill(None);
        }
    }
    if gone.contains(&true) {
        let mut gone = gone.into_iter();
        l.code.retain(|_| gone.next() == Some(false));
        let uses = self::uses(l);
        l.numbers.retain(|x| uses[x.2 as usize] > 0);
        registers::spread(l);
    }
    registers::allocate(l);
}

/// How many instructions, stores and folds read each register.
fn uses(l: &Loop) -> Vec<usize> {
    let mut uses = vec![0; l.registers as usize];
    let stores = l.stores.iter().map(|s| s.register);
    let ends = stores.chain(l.folds.iter().map(|f| f.register));
    ends.for_each(|v| uses[v as usize] += 1);
    for i in &l.code {
        for (k, &v) in i.operands().iter().enumerate() {
            uses[v as usize] += usize::from(!i.operands()[..k].contains(&v));
        }
    }
    uses
}

/// Both as one, if there is such a loop: operand `k` of the second is what the first makes.
fn paired(
    first: &Instruction,
    second: &Instruction,
    k: usize,
    is_zero: impl Fn(u16) -> bool,
    level: Level,
) -> Option<Instruction> {
    let (Operation::Row(a), Operation::Row(b)) = (first.what, second.what) else {
        return None;
    };
    if first.then.is_some() || second.then.is_some() || first.dtype != second.dtype {
        return None;
    }
    let firsts = [
        (&row::add::ROW, First::Add),
        (&row::sub::ROW, First::Sub),
        (&row::mul::ROW, First::Mul),
        (&row::lt::ROW, First::Lt),
        (&row::le::ROW, First::Le),
    ];
    let simple = firsts.into_iter().find(|x| a == RowRef(x.0))?.1;
    let other = second.from[1 - k.min(1)];
    let is = |r| b == RowRef(r);
    let then = match k {
        0 if is(&row::select::ROW) && is_zero(second.from[2]) => Then::Select,
        0 if is(&row::sub::ROW) => Then::Sub,
        1 if is(&row::sub::ROW) => Then::SubFrom,
        _ if is(&row::add::ROW) => Then::Add,
        _ if is(&row::mul::ROW) && other == first.to => Then::Square,
        _ if is(&row::mul::ROW) => Then::Mul,
        _ => return None,
    };
    let (third, arity) = match then {
        Then::Square => (0, 2),
        _ if other == first.to => return None,
        _ => (other, 3),
    };
    Some(Instruction {
        then: Some(then),
        to: second.to,
        from: [first.from[0], first.from[1], third],
        arity,
        lanes: pair(simple, then, first.dtype, level)?,
        ..first.clone()
    })
}
