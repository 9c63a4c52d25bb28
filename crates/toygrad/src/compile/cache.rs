//! Programs kept by the structure of their graphs.

use super::program::Program;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::{Arc, Mutex};

/// Words of keys kept, at most (64 MB): past that, the Programs not used for longest go.
const CAPACITY: usize = 8 << 20;

#[derive(Default)]
struct Cache {
    programs: HashMap<u64, Vec<Entry>, BuildHasherDefault<Identity>>,
    words: usize,
    clock: u64,
}

struct Entry {
    key: Vec<u64>,
    program: Arc<Program>,
    used: u64,
}

static CACHE: Mutex<Option<Cache>> = Mutex::new(None);

/// The Program kept under `key`, or the one that `make` makes.
pub(crate) fn program(key: Vec<u64>, make: impl FnOnce() -> Program) -> Arc<Program> {
    let hash = hash(&key);
    {
        let mut cache = CACHE.lock().unwrap_or_else(|e| e.into_inner());
        let cache = cache.get_or_insert_default();
        cache.clock += 1;
        let now = cache.clock;
        let entries = cache.programs.get_mut(&hash);
        if let Some(entry) = entries.and_then(|e| e.iter_mut().find(|e| e.key == key)) {
            entry.used = now;
            return entry.program.clone();
        }
    }
    // Made outside the lock: other threads go on meanwhile.
    let program = Arc::new(make());
    let mut cache = CACHE.lock().unwrap_or_else(|e| e.into_inner());
    let cache = cache.get_or_insert_default();
    let used = cache.clock;
    cache.words += cost(&key, &program);
    cache.programs.entry(hash).or_default().push(Entry {
        key,
        program: program.clone(),
        used,
    });
    if cache.words > CAPACITY {
        cache.shrink();
    }
    program
}

/// What keeping a Program costs, about, in words.
fn cost(key: &[u64], program: &Program) -> usize {
    key.len() + 64 * program.kernels.len() + 4 * program.buffers.len()
}

impl Cache {
    /// Drops the older half.
    fn shrink(&mut self) {
        let mut used: Vec<u64> = self.programs.values().flatten().map(|e| e.used).collect();
        used.sort_unstable();
        let middle = used.get(used.len() / 2).copied().unwrap_or(0);
        self.programs
            .values_mut()
            .for_each(|e| e.retain(|e| e.used > middle));
        self.programs.retain(|_, e| !e.is_empty());
        self.words = self
            .programs
            .values()
            .flatten()
            .map(|e| cost(&e.key, &e.program))
            .sum();
    }
}

/// Mixes words as FxHash does, with a final avalanche: keys are long and made by us.
fn hash(key: &[u64]) -> u64 {
    let mut h = key.len() as u64;
    for &word in key {
        h = (h.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95);
    }
    h ^= h >> 32;
    h = h.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    h ^ (h >> 29)
}

/// The key is a hash already.
#[derive(Default)]
struct Identity(u64);

impl Hasher for Identity {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, _: &[u8]) {}
    fn write_u64(&mut self, x: u64) {
        self.0 = x;
    }
}
