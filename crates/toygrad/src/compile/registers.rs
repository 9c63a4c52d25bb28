//! Registers: the values of a loop, each written once → as few registers as they need.

use super::program::Loop;

/// Gives the values of a loop, whose registers are so far one for each, registers that are free
/// again after the last use.
pub(super) fn allocate(l: &mut Loop) {
    let n = l.registers as usize;
    let (mut last, mut made) = (vec![0; n], vec![false; n]);
    for (at, i) in (1..).zip(&l.code) {
        i.operands().iter().for_each(|&v| last[v as usize] = at);
        made[i.to as usize] = true;
    }
    // Numbers are written once for all tiles; the registers of loads and stores may stand for
    // memory itself: none of them may share its register.
    let mut own: Vec<bool> = made.iter().map(|made| !made).collect();
    let stores = l.stores.iter().map(|s| s.register);
    let kept = stores.chain(l.folds.iter().map(|f| f.register));
    kept.for_each(|v| own[v as usize] = true);
    const NONE: u16 = u16::MAX;
    let (mut physical, mut registers) = (vec![NONE; n], 0);
    let fresh = |registers: &mut u16| {
        *registers += 1;
        *registers - 1
    };
    for v in (0..n).filter(|&v| own[v]) {
        physical[v] = fresh(&mut registers);
    }
    let mut free: Vec<u16> = Vec::new();
    for (at, i) in (1..).zip(&mut l.code) {
        let to = i.to as usize;
        if physical[to] == NONE {
            physical[to] = free.pop().unwrap_or_else(|| fresh(&mut registers));
        }
        let from = i.operands();
        for (k, &v) in from.iter().enumerate() {
            let ends = last[v as usize] == at && !own[v as usize];
            if ends && !from[..k].contains(&v) {
                free.push(physical[v as usize]);
            }
        }
        // A result that nobody reads.
        if last[to] == 0 && !own[to] {
            free.push(physical[to]);
        }
        i.to = physical[to];
        i.operands_mut()
            .iter_mut()
            .for_each(|r| *r = physical[*r as usize]);
    }
    let map = |r: &mut u16| *r = physical[*r as usize];
    l.loads.iter_mut().for_each(|x| map(&mut x.register));
    l.numbers.iter_mut().for_each(|x| map(&mut x.2));
    l.stores.iter_mut().for_each(|x| map(&mut x.register));
    l.folds.iter_mut().for_each(|x| map(&mut x.register));
    l.registers = registers;
}

/// Gives every value of a loop a register of its own again: that of the `k`-th thing that is loaded,
/// a number or computed is `k`.
pub(super) fn spread(l: &mut Loop) {
    let mut values = vec![0; l.registers as usize];
    let mut count = 0;
    let mut new = |values: &mut [u16], r: &mut u16| {
        values[*r as usize] = count;
        *r = count;
        count += 1;
    };
    l.loads
        .iter_mut()
        .for_each(|x| new(&mut values, &mut x.register));
    l.numbers
        .iter_mut()
        .for_each(|x| new(&mut values, &mut x.2));
    for i in &mut l.code {
        let operands = i.operands_mut().iter_mut();
        operands.for_each(|r| *r = values[*r as usize]);
        new(&mut values, &mut i.to);
    }
    let map = |r: &mut u16| *r = values[*r as usize];
    l.stores.iter_mut().for_each(|x| map(&mut x.register));
    l.folds.iter_mut().for_each(|x| map(&mut x.register));
    l.registers = count;
}
