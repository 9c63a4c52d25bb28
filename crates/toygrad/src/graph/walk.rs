//! The one walk over the graph: nodes in an order in which inputs come before their users.

use super::Value;
use std::borrow::Borrow;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock};

/// Nodes in topological order, each with its position: borrowed from the roots, or owned.
pub(crate) struct Order<V = Value> {
    pub nodes: Vec<V>,
    walk: u64,
    /// Positions by address; made when another walk has written over the marks.
    fallback: OnceLock<HashMap<usize, u32>>,
}

/// A walk notes positions in the nodes themselves, which is several times faster than a hash map;
/// so only one walk runs at a time. Later walks may write over the notes of earlier ones:
/// [`Order::position`] checks.
static WALKING: Mutex<()> = Mutex::new(());
static WALKS: AtomicU64 = AtomicU64::new(1);

impl<'a> Order<&'a Value> {
    /// All nodes that `roots` depend on, without going past those for which `stop` holds.
    pub fn new(roots: &'a [Value], stop: impl Fn(&Value) -> bool) -> Order<&'a Value> {
        Order::visiting(roots, stop, |_, _| ())
    }

    /// The same; each node is shown to `visit` while the cache still has it, with the positions of
    /// its inputs (of those that are part of the walk).
    pub fn visiting(
        roots: &'a [Value],
        stop: impl Fn(&Value) -> bool,
        mut visit: impl FnMut(&'a Value, Positions<'a>),
    ) -> Order<&'a Value> {
        let _guard = WALKING.lock().unwrap_or_else(|e| e.into_inner());
        let walk = WALKS.fetch_add(1, Relaxed);
        let mut nodes: Vec<&Value> = Vec::new();
        // (node, how many of its inputs have been visited)
        let mut stack: Vec<(&Value, u32)> = Vec::new();
        const OPEN: u32 = u32::MAX;
        let seen = |v: &Value| v.0.walk.load(Relaxed) == walk;
        // All are looked at, so that the memory of one is on its way while another's is waited for.
        let ready = |v: &Value| v.inputs().iter().fold(true, |all, i| all & seen(i));
        for root in roots {
            if seen(root) {
                continue;
            }
            root.0.walk.store(walk, Relaxed);
            stack.push((root, if stop(root) { OPEN } else { 0 }));
            while let Some((value, next)) = stack.last_mut() {
                let done = match value.inputs().get(*next as usize) {
                    Some(input) => {
                        *next += 1;
                        if seen(input) {
                            continue;
                        }
                        input.0.walk.store(walk, Relaxed);
                        if !ready(input) && !stop(input) {
                            stack.push((input, 0));
                            continue;
                        }
                        input
                    }
                    None => {
                        let value = *value;
                        stack.pop();
                        value
                    }
                };
                done.0.position.store(nodes.len() as u32, Relaxed);
                visit(done, Positions(done.inputs().iter()));
                nodes.push(done);
            }
        }
        Order {
            nodes,
            walk,
            fallback: OnceLock::new(),
        }
    }

    /// The same, independent of the roots.
    pub fn owned(self) -> Order {
        Order {
            nodes: self.nodes.into_iter().cloned().collect(),
            walk: self.walk,
            fallback: self.fallback,
        }
    }
}

/// The positions of inputs in the walk that is going on.
pub(crate) struct Positions<'a>(std::slice::Iter<'a, Value>);

impl Iterator for Positions<'_> {
    type Item = u32;
    fn next(&mut self) -> Option<u32> {
        Some(self.0.next()?.0.position.load(Relaxed))
    }
}

impl<V: Borrow<Value>> Order<V> {
    /// Where `value` stands in the order, if it does.
    pub fn position(&self, value: &Value) -> Option<usize> {
        let at = value.0.position.load(Relaxed) as usize;
        if self.nodes.get(at).is_some_and(|n| n.borrow().is(value)) {
            return Some(at);
        }
        // Not in this order, unless a newer walk has met the node.
        let newest = value.0.walk.load(Relaxed);
        if newest <= self.walk || self.nodes.is_empty() {
            return None;
        }
        let address = |v: &Value| Arc::as_ptr(&v.0) as usize;
        let map = self.fallback.get_or_init(|| {
            (0..)
                .zip(&self.nodes)
                .map(|(i, n)| (address(n.borrow()), i))
                .collect()
        });
        map.get(&address(value)).map(|&i| i as usize)
    }
}
