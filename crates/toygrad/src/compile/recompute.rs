//! Recompute: what a later loop computes again instead of reading it from memory.
//!
//! A backward pass wants many results of the forward pass. Those that a few operations make of an
//! array which is in memory anyway are not worth an array of their own for all that time
//! (rematerialisation, Briggs, Cooper & Torczon 1992).

use super::fuse::{At, Placed};
use super::graph::GraphOp;
use crate::graph::Kind;
use smallvec::SmallVec;
use std::collections::HashMap;

/// Smaller arrays are kept.
const SMALL: usize = 4096;
/// Operations that are computed again for one result, at most, times the loops that do so.
const MOST: u32 = 24;

/// What becomes of each node.
pub(super) struct Fate {
    /// Its array must be in memory.
    pub stored: Vec<bool>,
    /// Loops that want it and do not have it in a register compute it again.
    pub again: Vec<bool>,
    /// Its own loop has to compute it.
    pub live: Vec<bool>,
}

impl Fate {
    pub fn new(p: &Placed, roots: &[u32]) -> Fate {
        let n = p.nodes.len();
        let mut fate = Fate {
            stored: vec![false; n],
            again: vec![false; n],
            live: vec![true; n],
        };
        for &r in roots {
            fate.stored[p.base[r as usize] as usize] = true;
        }
        // (node, the loop that reads it) where it could be computed again.
        let mut wishes: Vec<(u32, u32)> = Vec::new();
        // The last kernel that reads an array, whatever becomes of the wishes.
        let mut last: HashMap<u32, u32> = HashMap::new();
        for (c, cluster) in (0..).zip(&p.clusters) {
            let inputs = cluster
                .members
                .iter()
                .flat_map(|&m| &p.nodes[m as usize].inputs);
            for &source in inputs.chain(cluster.parts.iter().map(|part| &part.source)) {
                if cluster.is_loop && p.in_register(source, c) {
                    continue;
                }
                let base = p.base[source as usize];
                let alike = p.nodes[source as usize].shape == cluster.shape;
                match source == base && cluster.is_loop && alike && is_formula(p, base) {
                    true => wishes.push((base, c)),
                    false => {
                        fate.stored[base as usize] = true;
                        last.insert(base, c);
                    }
                }
            }
            // Copies into another shape are there to be in memory.
            for &m in &cluster.members {
                fate.stored[m as usize] |= matches!(p.at[m as usize], At::After(_));
            }
        }
        fate.decide(p, wishes, last);
        fate.find_dead(p);
        fate
    }

    fn decide(&mut self, p: &Placed, mut wishes: Vec<(u32, u32)>, mut last: HashMap<u32, u32>) {
        wishes.sort_unstable();
        wishes.dedup();
        // For what is read: kernels during which it would be read in place of other arrays, those
        // of all of them added up; and the last of these kernels.
        let mut spared: HashMap<u32, (u32, u32)> = HashMap::new();
        let groups = || wishes.chunk_by(|a, b| a.0 == b.0);
        for group in groups() {
            let (node, end) = group[group.len() - 1];
            let formula = self.formula(p, node);
            self.stored[node as usize] |= formula.is_none();
            if let Some(from) = formula.and_then(|f| f.from) {
                let (kernels, last) = spared.entry(from).or_default();
                *kernels += end - made(p, node);
                *last = end.max(*last);
            }
        }
        for group in groups() {
            let (node, end) = group[group.len() - 1];
            let pays = |f: &Formula| {
                let cheap = f.nodes.len() as u32 * group.len() as u32 <= MOST;
                let gains = |x: u32| {
                    let until = *last.get(&x).unwrap_or(&made(p, x));
                    let (kernels, end) = spared.get(&x).copied().unwrap_or_default();
                    4 * kernels > 5 * end.saturating_sub(until)
                };
                cheap && f.from.is_none_or(gains)
            };
            let formula = self.formula(p, node).filter(pays);
            let mut read = |k: u32| {
                let last = last.entry(k).or_default();
                *last = end.max(*last);
            };
            match formula {
                Some(f) => {
                    f.nodes.iter().for_each(|&k| self.again[k as usize] = true);
                    for &leaf in &f.leaves {
                        self.stored[leaf as usize] = true;
                        read(leaf);
                    }
                }
                None => {
                    self.stored[node as usize] = true;
                    read(node);
                }
            }
        }
    }

    /// How `node` is computed from memory; `None` where that takes more than one large array that
    /// is not stored, or too many operations.
    fn formula(&self, p: &Placed, node: u32) -> Option<Formula> {
        let elements = p.nodes[node as usize].shape.elements();
        if self.stored[node as usize]
            || elements <= SMALL
            || p.nodes[node as usize].dtype.size() < 4
        {
            return None;
        }
        let mut f = Formula::default();
        let mut stack: SmallVec<[u32; 4]> = SmallVec::from_slice(&[node]);
        while let Some(k) = stack.pop() {
            if f.nodes.contains(&k) {
                continue;
            }
            f.nodes.push(k);
            if f.nodes.len() as u32 > MOST {
                return None;
            }
            for &input in &p.nodes[k as usize].inputs {
                let base = p.base[input as usize];
                let small = p.nodes[base as usize].shape.elements() * 16 <= elements;
                match p.at[base as usize] {
                    At::Number => {}
                    At::Member(_) if input == base && !self.stored[base as usize] && !small => {
                        let alike = p.nodes[base as usize].shape == p.nodes[node as usize].shape;
                        if !alike || !is_formula(p, base) {
                            return None;
                        }
                        stack.push(base);
                    }
                    At::Member(_) if !small && !self.stored[base as usize] => return None,
                    At::Waiting => return None,
                    At::Input | At::Member(_) | At::After(_) => {
                        if !small && p.at[base as usize] != At::Input {
                            if f.from.is_some_and(|other| other != base) {
                                return None;
                            }
                            f.from = Some(base);
                        }
                        if !f.leaves.contains(&base) {
                            f.leaves.push(base);
                        }
                    }
                }
            }
        }
        Some(f)
    }

    /// What no one reads from its own loop is not computed there.
    fn find_dead(&mut self, p: &Placed) {
        for (c, cluster) in (0..)
            .zip(&p.clusters)
            .filter(|(_, cluster)| cluster.is_loop)
        {
            for &m in &cluster.members {
                self.live[m as usize] = self.stored[m as usize];
            }
            for part in &cluster.parts {
                if p.in_register(part.source, c) {
                    self.live[part.source as usize] = true;
                }
            }
            for &m in cluster.members.iter().rev() {
                if self.live[m as usize] {
                    for &k in &p.nodes[m as usize].inputs {
                        if p.in_register(k, c) {
                            self.live[k as usize] = true;
                        }
                    }
                }
            }
        }
    }
}

/// A way to compute a node from memory.
#[derive(Default)]
struct Formula {
    /// What is computed.
    nodes: SmallVec<[u32; 4]>,
    /// Arrays that are read.
    leaves: SmallVec<[u32; 4]>,
    /// The large one among them that the program computes.
    from: Option<u32>,
}

/// The kernel after which the node is in memory.
fn made(p: &Placed, i: u32) -> u32 {
    match p.at[i as usize] {
        At::Member(c) | At::After(c) => c,
        At::Number | At::Input | At::Waiting => 0,
    }
}

/// Whether a loop makes the node by an operation of the table.
fn is_formula(p: &Placed, i: u32) -> bool {
    let pointwise = matches!(p.nodes[i as usize].op, GraphOp::Apply(Kind::Map(_)));
    pointwise && matches!(p.at[i as usize], At::Member(_))
}
