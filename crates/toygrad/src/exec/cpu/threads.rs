//! Threads: a pool, and a loop over chunks of work.

use rayon_core::{ThreadPool, ThreadPoolBuilder};
use std::sync::{Arc, RwLock};

struct Threads {
    count: usize,
    /// Made when it is first needed; `None` for one thread.
    pool: Option<Arc<ThreadPool>>,
}

static THREADS: RwLock<Option<Threads>> = RwLock::new(None);

/// How many threads compute: what was set, else `TOYGRAD_NUM_THREADS` in the environment, else
/// the number of cores.
pub fn num_threads() -> usize {
    if let Some(t) = THREADS.read().unwrap_or_else(|e| e.into_inner()).as_ref() {
        return t.count;
    }
    let set = std::env::var("TOYGRAD_NUM_THREADS")
        .ok()
        .and_then(|s| s.trim().parse().ok());
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    let count = set.filter(|&n| n > 0).unwrap_or_else(cores);
    let mut threads = THREADS.write().unwrap_or_else(|e| e.into_inner());
    threads.get_or_insert(Threads { count, pool: None }).count
}

/// Sets how many threads compute; 0 counts as 1. Results do not depend on it.
pub fn set_num_threads(count: usize) {
    let threads = Threads {
        count: count.max(1),
        pool: None,
    };
    *THREADS.write().unwrap_or_else(|e| e.into_inner()) = Some(threads);
}

fn pool() -> Option<Arc<ThreadPool>> {
    let count = num_threads();
    if count == 1 {
        return None;
    }
    if let Some(t) = THREADS.read().unwrap_or_else(|e| e.into_inner()).as_ref()
        && let Some(pool) = &t.pool
    {
        return Some(pool.clone());
    }
    let mut threads = THREADS.write().unwrap_or_else(|e| e.into_inner());
    let threads = threads.as_mut()?;
    if threads.pool.is_none() {
        // Without threads (the system refuses them) everything still runs, on this one.
        threads.pool = ThreadPoolBuilder::new()
            .num_threads(threads.count)
            .build()
            .ok()
            .map(Arc::new);
    }
    threads.pool.clone()
}

/// Runs `f` where [`each`] finds threads: one change of thread for a whole program.
pub(super) fn inside<T: Send>(f: impl FnOnce() -> T) -> T {
    // SAFETY of the wrapper: `f` runs to its end on one thread while this one waits.
    struct Sent<F>(F);
    unsafe impl<F> Send for Sent<F> {}
    impl<F: FnOnce() -> T, T> Sent<F> {
        fn call(self) -> T {
            (self.0)()
        }
    }
    let f = Sent(f);
    match pool() {
        Some(pool) => pool.install(move || f.call()),
        None => f.call(),
    }
}

/// Runs `f(0)`, ..., `f(n - 1)`, on several threads if called [`inside`] a pool.
pub(super) fn each(n: usize, f: &(impl Fn(usize) + Sync)) {
    fn halves(from: usize, to: usize, f: &(impl Fn(usize) + Sync)) {
        match to - from {
            0 => {}
            1 => f(from),
            len => {
                let middle = from + len / 2;
                rayon_core::join(|| halves(from, middle, f), || halves(middle, to, f));
            }
        }
    }
    match rayon_core::current_thread_index() {
        Some(_) if n > 1 => halves(0, n, f),
        _ => (0..n).for_each(f),
    }
}
