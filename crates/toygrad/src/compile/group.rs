//! Group: scalar instructions that do the same → vectors.
//!
//! Networks written neuron by neuron repeat the same few operations thousands of times. Those that
//! can be computed after equally many others become one instruction over registers side by side
//! (superword-level parallelism, Larsen & Amarasinghe 2000).

use super::program::*;
use crate::DType;
use crate::lanes::{BLOCK, Lanes};

/// Straight-line code before its instructions are grouped.
#[derive(Default)]
pub(super) struct Straight {
    /// For each value: its dtype, and after how many others it can be computed.
    values: Vec<(DType, u32)>,
    code: Vec<Step>,
}

struct Step {
    what: Operation,
    lanes: Lanes,
    to: u32,
    from: [u32; 3],
    arity: u8,
}

impl Straight {
    /// A value that is there from the beginning.
    pub fn given(&mut self, dtype: DType) -> u32 {
        self.values.push((dtype, 0));
        self.values.len() as u32 - 1
    }

    pub fn made(&mut self, what: Operation, lanes: Lanes, dtype: DType, inputs: &[u32]) -> u32 {
        let after = inputs.iter().map(|&v| self.values[v as usize].1).max();
        let to = self.values.len() as u32;
        self.values.push((dtype, after.unwrap_or(0) + 1));
        let mut from = [0; 3];
        from[..inputs.len()].copy_from_slice(inputs);
        let arity = inputs.len() as u8;
        self.code.push(Step {
            what,
            lanes,
            to,
            from,
            arity,
        });
        to
    }

    /// Instructions that do the same, and that can be computed after equally many others, become
    /// one: their results lie side by side, and vector loops compute them.
    pub fn grouped(
        mut self,
        mut loads: Vec<Element>,
        mut numbers: Vec<(Number, DType, u32)>,
        mut stores: Vec<Element>,
    ) -> Scalars {
        let key = |i: &Step| {
            let (dtype, after) = self.values[i.to as usize];
            let what = match i.what {
                Operation::Row(row) => row.0 as *const _ as usize,
                Operation::Cast(to) => to as usize,
            };
            (
                after,
                what,
                dtype as u8,
                self.values[i.from[0] as usize].0 as u8,
            )
        };
        self.code.sort_by_key(key);
        let keys: Vec<_> = self.code.iter().map(key).collect();
        // In a group, results stand in the order of those who use them first, so that operands lie
        // side by side. Users come in later groups, which have their order already.
        let mut user = vec![u32::MAX; self.values.len()];
        let mut end = keys.len();
        while end > 0 {
            let start = end
                - keys[..end]
                    .iter()
                    .rev()
                    .take_while(|k| **k == keys[end - 1])
                    .count();
            self.code[start..end].sort_by_key(|i| user[i.to as usize]);
            for (at, i) in (start as u32..).zip(&self.code[start..end]) {
                for &v in &i.from[..i.arity as usize] {
                    user[v as usize] = user[v as usize].min(at);
                }
            }
            end = start;
        }
        let mut place = vec![0u32; self.values.len()];
        let mut bytes = 0u32;
        let given = loads.iter().map(|l| l.register);
        for v in given.chain(numbers.iter().map(|n| n.2)) {
            place[v as usize] = bytes;
            bytes += 8;
        }
        let mut s = Scalars {
            loads: vec![],
            numbers: vec![],
            code: vec![],
            stores: vec![],
            positions: vec![],
            bytes: 0,
        };
        let mut first = 0;
        while first < keys.len() {
            let n = keys[first..]
                .iter()
                .take_while(|k| **k == keys[first])
                .count();
            let steps = &self.code[first..first + n];
            let step = &steps[0];
            let dtype = self.values[step.to as usize].0;
            let to = bytes.next_multiple_of(64);
            for (i, step) in (0..).zip(steps) {
                place[step.to as usize] = to + i * dtype.size() as u32;
            }
            // Loops run over whole blocks.
            bytes = to + (n.next_multiple_of(BLOCK) * dtype.size()) as u32;
            let mut from = [Lined::Run(0); 3];
            let mut dtypes = [dtype; 3];
            for k in 0..step.arity as usize {
                dtypes[k] = self.values[step.from[k] as usize].0;
                let size = dtypes[k].size() as u32;
                let at = |i: usize| place[steps[i].from[k] as usize];
                from[k] = match (1..n).all(|i| at(i) == at(i - 1) + size) {
                    true => Lined::Run(at(0)),
                    false => {
                        s.positions.extend((0..n).map(at));
                        Lined::Listed((s.positions.len() - n) as u32)
                    }
                };
            }
            s.code.push(Group {
                what: step.what,
                dtype,
                dtypes,
                to,
                n: n as u32,
                from,
                arity: step.arity,
                lanes: step.lanes,
            });
            first += n;
        }
        loads
            .iter_mut()
            .chain(&mut stores)
            .for_each(|l| l.register = place[l.register as usize]);
        numbers.iter_mut().for_each(|n| n.2 = place[n.2 as usize]);
        Scalars {
            loads,
            numbers,
            stores,
            bytes,
            ..s
        }
    }
}
