//! Group: scalar instructions that do the same → vectors.
//!
//! Networks written neuron by neuron repeat the same few operations thousands of times. Those that
//! can be computed after equally many others become one instruction over registers side by side
//! (superword-level parallelism, Larsen & Amarasinghe 2000). A group is ordered so that its operands
//! lie side by side too, or are all the same, over long pieces: what is computed for one neuron and
//! every example is a pack, and stays together from group to group.

use super::plan::Free;
use super::program::*;
use crate::DType;
use crate::graph::RowRef;
use crate::lanes::{self, BLOCK, Lanes, Level};
use std::ops::Range;

/// From so many on, instructions whose operands are side by side or all the same are a piece of
/// their own.
const REGULAR: usize = 32;

/// A value with so many uses is one that packs repeat.
const OFTEN: usize = 8;

/// Up to so many instructions are quicker one by one than as a vector.
const FEW: usize = 3;

/// What a piece costs besides its instructions, in instructions.
const PIECE: usize = 64;

/// Straight-line code before its instructions are grouped.
pub(super) struct Straight {
    /// For each value: its dtype, and after how many others it can be computed.
    values: Vec<(DType, u32)>,
    code: Vec<Step>,
    level: Level,
}

#[derive(Clone, Copy)]
struct Step {
    what: Operation,
    lanes: Lanes,
    to: u32,
    from: [u32; 3],
    arity: u8,
}

impl Step {
    fn from(&self) -> &[u32] {
        &self.from[..self.arity as usize]
    }
}

impl Straight {
    pub fn new(level: Level) -> Straight {
        Straight {
            values: vec![],
            code: vec![],
            level,
        }
    }

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
        let groups = self.groups();
        self.order_by_users(&groups);

        // How often each value is read, and in which group for the last time.
        let mut last = vec![0; self.values.len()];
        let mut uses = vec![0; self.values.len()];
        for (g, group) in groups.iter().enumerate() {
            for &v in self.code[group.clone()].iter().flat_map(Step::from) {
                last[v as usize] = g;
                uses[v as usize] += 1;
            }
        }
        for s in &stores {
            last[s.register as usize] = groups.len();
        }
        // For each group, the memory that is free after it.
        let mut ends: Vec<Vec<(usize, usize)>> = vec![vec![]; groups.len() + 1];

        let mut lines = Lines {
            values: &self.values,
            uses,
            place: vec![NOWHERE; self.values.len()],
            pack: (0..).zip(&self.values).map(|(i, _)| (i, 0)).collect(),
            given: 0,
            positions: vec![],
        };
        let mut free = Free::default();
        free.take(((loads.len() + numbers.len()) * 8).next_multiple_of(64));
        let mut code = Vec::with_capacity(groups.len());
        for (g, group) in groups.into_iter().enumerate() {
            let steps = &mut self.code[group];
            let dtype = |v: u32| self.values[v as usize].0;
            let mut dtypes = [dtype(steps[0].to); 3];
            for (to, &v) in dtypes.iter_mut().zip(steps[0].from()) {
                *to = dtype(v);
            }
            let dtype = dtype(steps[0].to);
            // Loops run over whole blocks, from anywhere.
            let bytes = ((steps.len() + BLOCK) * dtype.size()).next_multiple_of(64);
            let to = free.take(bytes);
            let until = steps.iter().map(|s| last[s.to as usize]).max();
            ends[until.unwrap_or(g).max(g)].push((to, bytes));
            lines.choose(steps, &dtypes);
            for (i, s) in steps.iter().enumerate() {
                lines.place[s.to as usize] = (to + i * dtype.size()) as u32;
            }
            lines.pack(steps, &dtypes);
            lines.write(steps, &dtypes, self.level, &mut code);
            for (at, bytes) in ends[g].drain(..) {
                free.give(at, bytes);
            }
        }
        // What only stores read.
        let given = loads.iter().map(|l| l.register);
        for v in given.chain(numbers.iter().map(|n| n.2)) {
            if lines.place[v as usize] == NOWHERE {
                lines.give_place(v);
            }
        }
        let place = &lines.place;
        let elements = loads.iter_mut().chain(&mut stores);
        elements.for_each(|l| l.register = place[l.register as usize]);
        numbers.iter_mut().for_each(|n| n.2 = place[n.2 as usize]);
        Scalars {
            loads,
            numbers,
            code,
            stores,
            positions: lines.positions,
            bytes: free.end as u32,
        }
    }

    /// Sorts the code by groups.
    fn groups(&mut self) -> Vec<Range<usize>> {
        // Rows in the order in which they come, not by address: that is another in every build.
        let mut rows: Vec<RowRef> = vec![];
        let mut keys = vec![[0; 3]; self.values.len()];
        for step in &self.code {
            let (dtype, after) = self.values[step.to as usize];
            let what = match step.what {
                Operation::Row(row) => rows.iter().position(|r| *r == row).unwrap_or_else(|| {
                    rows.push(row);
                    rows.len() - 1
                }),
                Operation::Cast(_) => usize::MAX,
            };
            let from = self.values[step.from[0] as usize].0;
            let dtypes = (dtype as u64) << 8 | from as u64;
            keys[step.to as usize] = [u64::from(after), what as u64, dtypes];
        }
        let key = |i: &Step| keys[i.to as usize];
        sort(&mut self.code, &key);
        let mut end = 0;
        let chunks = self.code.chunk_by(|a, b| key(a) == key(b));
        let range = |chunk: &[Step]| {
            end += chunk.len();
            end - chunk.len()..end
        };
        chunks.map(range).collect()
    }

    /// In a group, results stand in the order of those who use them first, so that operands lie
    /// side by side. Users come in later groups, which have their order already.
    fn order_by_users(&mut self, groups: &[Range<usize>]) {
        let mut user = vec![u32::MAX; self.values.len()];
        for group in groups.iter().rev() {
            let steps = &mut self.code[group.clone()];
            sort(steps, &|i| [u64::from(user[i.to as usize]), 0, 0]);
            for (at, i) in (group.start as u32..).zip(steps) {
                for &v in i.from() {
                    user[v as usize] = user[v as usize].min(at);
                }
            }
        }
    }
}

/// Sorts instructions, stably. (One function for all keys: every sort costs our users time to build.)
fn sort(steps: &mut [Step], key: &dyn Fn(&Step) -> [u64; 3]) {
    steps.sort_by_cached_key(|step| key(step));
}

/// Of a value that has no place yet.
const NOWHERE: u32 = u32::MAX;

/// Where values are, and how operands lie.
struct Lines<'a> {
    values: &'a [(DType, u32)],
    uses: Vec<usize>,
    place: Vec<u32>,
    /// For each value: its pack, and its place in that.
    pack: Vec<(u32, u32)>,
    /// Bytes of values that are there from the beginning.
    given: usize,
    positions: Vec<u32>,
}

impl Lines<'_> {
    /// Orders instructions in the way that is quickest: as their results are used, or by packs.
    fn choose(&mut self, steps: &mut [Step], dtypes: &[DType; 3]) {
        if steps.len() > 1 {
            let mut other = steps.to_vec();
            sort(&mut other, &|s| {
                let [a, b, c] = s.from.map(|v| self.pack[v as usize]);
                let joined = |x: u32, y: u32| u64::from(x) << 32 | u64::from(y);
                [joined(a.0, b.0), joined(c.0, a.1), joined(b.1, c.1)]
            });
            let given = self.given;
            let mut cost = |steps: &[Step]| {
                let settled = self.settle(steps);
                let cost = self.cost(steps, dtypes);
                for v in settled {
                    self.place[v as usize] = NOWHERE;
                }
                self.given = given;
                cost
            };
            if cost(&other) <= cost(steps) {
                steps.copy_from_slice(&other);
            }
        }
        self.settle(steps);
    }

    /// Gives places, in order, to those operands that have none; gives back which.
    fn settle(&mut self, steps: &[Step]) -> Vec<u32> {
        let mut settled = vec![];
        for &v in steps.iter().flat_map(Step::from) {
            if self.place[v as usize] == NOWHERE {
                self.give_place(v);
                settled.push(v);
            }
        }
        settled
    }

    fn give_place(&mut self, v: u32) {
        let size = self.values[v as usize].0.size();
        self.given = self.given.next_multiple_of(size);
        self.place[v as usize] = self.given as u32;
        self.given += size;
    }

    /// How long they take, about.
    fn cost(&self, steps: &[Step], dtypes: &[DType; 3]) -> usize {
        let (mut rest, mut cost) = (steps, 0);
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(self.cut(rest, dtypes));
            let operands = 0..piece[0].arity as usize;
            let listed = operands.filter(|&k| self.lined(piece, k, dtypes[k]).is_none());
            cost += PIECE + piece.len() * (1 + 2 * listed.count());
            rest = after;
        }
        cost
    }

    /// How long the first piece is: a regular one, or all until the next regular one.
    fn cut(&self, steps: &[Step], dtypes: &[DType; 3]) -> usize {
        let most = steps.len().min(LONGEST);
        let mut n = 0;
        while n < most {
            let regular = self.regular(&steps[n..most], dtypes);
            if regular >= REGULAR {
                return if n == 0 { regular } else { n };
            }
            n += regular;
        }
        n
    }

    /// How many instructions from the first on have operands side by side or all the same.
    fn regular(&self, steps: &[Step], dtypes: &[DType; 3]) -> usize {
        let arity = steps[0].arity as usize;
        let Some(second) = steps.get(1) else { return 1 };
        let strides = |a: &Step, b: &Step| {
            [0, 1, 2].map(|k| match k < arity {
                true => self.stride(a, b, k),
                false => 0,
            })
        };
        let first = strides(&steps[0], second);
        let fits = |k: usize| first[k] == 0 || first[k] == dtypes[k].size() as i32;
        if !(0..arity).all(fits) {
            return 1;
        }
        let goes_on = |s: &&[Step]| strides(&s[0], &s[1]) == first;
        1 + steps.windows(2).take_while(goes_on).count()
    }

    fn stride(&self, a: &Step, b: &Step, k: usize) -> i32 {
        let at = |s: &Step| self.place[s.from[k] as usize];
        at(b).wrapping_sub(at(a)) as i32
    }

    /// How operand `k` lies; `None` where it is to be listed.
    fn lined(&self, piece: &[Step], k: usize, dtype: DType) -> Option<Lined> {
        let all = |stride: i32| {
            let mut pairs = piece.windows(2);
            pairs.all(|s| self.stride(&s[0], &s[1], k) == stride)
        };
        match () {
            _ if all(dtype.size() as i32) => Some(Lined::Run),
            _ if all(0) => Some(Lined::Same),
            _ => None,
        }
    }

    /// Puts results into packs: neighbours whose operands are neighbours in packs, or the same.
    fn pack(&mut self, steps: &[Step], dtypes: &[DType; 3]) {
        let mut rest = steps;
        while !rest.is_empty() {
            let (stretch, after) = rest.split_at(self.regular(rest, dtypes));
            let mut pack = (stretch[0].to, 0);
            let mut before = &stretch[0];
            for s in stretch {
                let apart = |(&a, &b): (&u32, &u32)| {
                    let (a, b) = (a as usize, b as usize);
                    self.values[b].1 > 0 && self.pack[a].0 != self.pack[b].0
                };
                if before.from().iter().zip(s.from()).any(apart) {
                    pack = (s.to, 0);
                }
                self.pack[s.to as usize] = pack;
                for &v in s.from() {
                    let own = self.pack[v as usize] == (v, 0);
                    let v = v as usize;
                    if self.values[v].1 == 0 && own && self.uses[v] < OFTEN {
                        self.pack[v] = pack;
                    }
                }
                pack.1 += 1;
                before = s;
            }
            rest = after;
        }
    }

    /// Writes the instructions of a group, and lists the operands that lie anywhere.
    fn write(&mut self, steps: &[Step], dtypes: &[DType; 3], level: Level, code: &mut Vec<Scalar>) {
        let mut rest = steps;
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(self.cut(rest, dtypes));
            rest = after;
            if piece.len() <= FEW {
                code.extend(piece.iter().map(|s| Scalar::One(self.one(s, dtypes))));
                continue;
            }
            let mut lined = [Lined::Same; 3];
            for k in 0..piece[0].arity as usize {
                lined[k] = self.lined(piece, k, dtypes[k]).unwrap_or_else(|| {
                    let at = piece.iter().map(|s| self.place[s.from[k] as usize]);
                    self.positions.extend(at);
                    Lined::Listed((self.positions.len() - piece.len()) as u32)
                });
            }
            code.push(Scalar::Piece(Box::new(Piece {
                first: self.one(&piece[0], dtypes),
                n: piece.len() as u32,
                lined,
                lanes: piece[0].lanes,
                together: dtypes.map(|d| lanes::together(d, level)),
            })));
        }
    }

    /// An instruction, with the places of its values.
    fn one(&self, s: &Step, &[a, b, c]: &[DType; 3]) -> One {
        let place = |v: u32| self.place[v as usize];
        let mut from = [0; 3];
        for (to, &v) in from.iter_mut().zip(s.from()) {
            *to = place(v);
        }
        One {
            what: s.what,
            from,
            to: place(s.to),
            dtypes: [a, b, c, self.values[s.to as usize].0],
            arity: s.arity,
        }
    }
}
