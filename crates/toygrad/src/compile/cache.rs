//! Programs kept by the structure of their graphs.

use super::program::Program;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::{Arc, Mutex};

/// Words of keys kept, at most (64 MB): past that, the Programs not used for longest go.
const CAPACITY: usize = 8 << 20;

/// What a graph was compiled to, kept by the structure of the graph.
pub(crate) struct Cache<T>(Mutex<Kept<T>>);

struct Kept<T> {
    entries: HashMap<u64, Vec<Entry<T>>, BuildHasherDefault<Identity>>,
    words: usize,
    clock: u64,
}

struct Entry<T> {
    key: Vec<u64>,
    made: Arc<T>,
    used: u64,
}

impl<T: AsRef<Program>> Cache<T> {
    /// Holds nothing yet.
    pub const fn new() -> Cache<T> {
        Cache(Mutex::new(Kept {
            entries: HashMap::with_hasher(BuildHasherDefault::new()),
            words: 0,
            clock: 0,
        }))
    }

    /// What is kept under `key`, or what `make` makes; mistakes are not kept.
    pub fn get<E>(&self, key: Vec<u64>, make: impl FnOnce() -> Result<T, E>) -> Result<Arc<T>, E> {
        let hash = hash(&key);
        let lock = || self.0.lock().unwrap_or_else(|e| e.into_inner());
        {
            let mut kept = lock();
            kept.clock += 1;
            let now = kept.clock;
            let entries = kept.entries.get_mut(&hash);
            if let Some(entry) = entries.and_then(|e| e.iter_mut().find(|e| e.key == key)) {
                entry.used = now;
                return Ok(entry.made.clone());
            }
        }
        // Made outside the lock: other threads go on meanwhile.
        let made = Arc::new(make()?);
        let mut kept = lock();
        let used = kept.clock;
        let entry = Entry {
            key,
            made: made.clone(),
            used,
        };
        kept.words += entry.cost();
        kept.entries.entry(hash).or_default().push(entry);
        if kept.words > CAPACITY {
            kept.shrink();
        }
        Ok(made)
    }
}

impl<T: AsRef<Program>> Entry<T> {
    /// What keeping it costs, about, in words.
    fn cost(&self) -> usize {
        let program = (*self.made).as_ref();
        self.key.len() + 64 * program.kernels.len() + 4 * program.buffers.len()
    }
}

impl<T: AsRef<Program>> Kept<T> {
    /// Drops the older half.
    fn shrink(&mut self) {
        let mut used: Vec<u64> = self.entries.values().flatten().map(|e| e.used).collect();
        used.sort_unstable();
        let middle = used.get(used.len() / 2).copied().unwrap_or(0);
        self.entries
            .values_mut()
            .for_each(|e| e.retain(|e| e.used > middle));
        self.entries.retain(|_, e| !e.is_empty());
        self.words = self.entries.values().flatten().map(Entry::cost).sum();
    }
}

/// The hash of a key.
fn hash(key: &[u64]) -> u64 {
    let mut h = Mixer(key.len() as u64);
    key.iter().for_each(|&word| h.write_u64(word));
    h.finish()
}

/// Mixes words as FxHash does, with a final avalanche: what is hashed is made by us, not by an
/// attacker.
#[derive(Default)]
pub(super) struct Mixer(u64);

impl Hasher for Mixer {
    fn finish(&self) -> u64 {
        let h = self.0 ^ (self.0 >> 32);
        let h = h.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        h ^ (h >> 29)
    }
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word));
        }
    }
    fn write_u64(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95);
    }
    fn write_u32(&mut self, word: u32) {
        self.write_u64(word.into());
    }
    fn write_usize(&mut self, word: usize) {
        self.write_u64(word as u64);
    }
}

/// The key is a hash already.
#[derive(Default)]
pub(super) struct Identity(u64);

impl Hasher for Identity {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, _: &[u8]) {}
    fn write_u64(&mut self, x: u64) {
        self.0 = x;
    }
}
