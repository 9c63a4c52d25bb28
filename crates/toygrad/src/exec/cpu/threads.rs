//! Threads: helpers that share the pieces of a kernel with the thread that runs the program.
//!
//! A product of a small layer takes some microseconds, so a kernel must change hands in less than one:
//! helpers look for pieces without rest while programs run, and sleep when none have come for a
//! while. Nobody waits for a thread, only for pieces that one has begun; so a helper that the system
//! does not schedule, or that helps another program, holds nobody up.

use std::any::Any;
use std::cell::UnsafeCell;
use std::hint::spin_loop;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering::*};
use std::sync::{Arc, Condvar, Mutex, RwLock};
use std::thread::{Builder, yield_now};

/// How often an idle thread looks for pieces without rest: some ten microseconds long.
const SPINS: usize = 1000;
/// How often until it sleeps: some hundred microseconds more, in which it lets others of the system
/// run.
const DOZES: usize = SPINS + 500;

fn pause(idle: usize) {
    match idle < SPINS {
        true => spin_loop(),
        false => yield_now(),
    }
}

struct Threads {
    count: usize,
    /// Made when it is first needed; `None` for one thread.
    pool: Option<Arc<Pool>>,
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

fn pool() -> Option<Arc<Pool>> {
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
    let threads = threads.as_mut().filter(|t| t.count > 1)?;
    let pool = &mut threads.pool;
    Some(
        pool.get_or_insert_with(|| Arc::new(Pool::new(threads.count)))
            .clone(),
    )
}

/// Runs a program, with helpers if there are any that do not belong to others: as many programs
/// as there are threads have some.
pub(super) fn inside<T>(program: impl FnOnce(Option<&Team>) -> T) -> T {
    let pool = pool();
    let team = pool.as_ref().and_then(|pool| pool.team());
    program(team.as_ref())
}

/// A program's thread and those that help it.
pub(super) struct Team<'a> {
    pieces: &'a Pieces,
    sleep: &'a Sleep,
}

impl Drop for Team<'_> {
    fn drop(&mut self) {
        self.pieces.taken.store(false, Release);
    }
}

impl Team<'_> {
    /// Runs `f` for ranges that together are `0..n`, on any threads.
    pub(super) fn share<F: Fn(Range<usize>) + Sync>(&self, n: usize, f: &F) {
        let pieces = self.pieces;
        // One needs no helper, and within a piece there are no others.
        let alone = n < 2 || pieces.left.load(Relaxed) > 0;
        let (false, Ok(count)) = (alone, u32::try_from(n)) else {
            return f(0..n);
        };
        // SAFETY: `f` is what `F` stands for.
        let run: Task = |f, range| unsafe { (*f.cast::<F>())(range) };
        // SAFETY: nobody else looks at the task, as no piece is left; `f` outlives its pieces, for
        // which this waits.
        unsafe { *pieces.task.get() = (run, std::ptr::from_ref(f).cast()) };
        pieces.left.store(count, Relaxed);
        pieces.open.store(u64::from(count), SeqCst);
        self.sleep.call(n - 1);
        while pieces.work(End::Front) {}
        let mut idle = 0;
        while pieces.left.load(Acquire) > 0 {
            pause(idle);
            idle += 1;
        }
        if let Some(panic) = pieces
            .panic
            .lock()
            .unwrap_or_else(|e| e.into_inner())
            .take()
        {
            resume_unwind(panic);
        }
    }
}

/// Runs the function that is given by its address, for a range of pieces.
type Task = fn(*const (), Range<usize>);

/// The pieces of one kernel.
#[repr(align(128))]
struct Pieces {
    /// Those that nobody has claimed: from the upper half's on, up to the lower half's.
    open: AtomicU64,
    /// How many are not done. Until this is 0 the task stays.
    left: AtomicU32,
    task: UnsafeCell<(Task, *const ())>,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
    /// Whether a program runs with them.
    taken: AtomicBool,
}

// SAFETY: the task is written while no piece is left, and read by those who have claimed one.
// It is `Sync`.
unsafe impl Send for Pieces {}
unsafe impl Sync for Pieces {}

/// The program's thread claims pieces from the front, helpers from the back: so they find in their
/// caches what they wrote there in the kernel before.
#[derive(Clone, Copy)]
enum End {
    Front,
    Back,
}

impl Pieces {
    fn new() -> Pieces {
        Pieces {
            open: AtomicU64::new(0),
            left: AtomicU32::new(0),
            task: UnsafeCell::new((|_, _| {}, std::ptr::null())),
            panic: Mutex::new(None),
            taken: AtomicBool::new(false),
        }
    }

    fn any(&self) -> bool {
        let open = self.open.load(SeqCst);
        open >> 32 < open & 0xffff_ffff
    }

    /// Claims pieces: many where many are open, for the sake of few claims.
    fn claim(&self, end: End) -> Option<Range<usize>> {
        let mut open = self.open.load(Relaxed);
        loop {
            let (from, to) = (open >> 32, open & 0xffff_ffff);
            if from >= to {
                return None;
            }
            let n = ((to - from) / 16).max(1);
            let (rest, claimed) = match end {
                End::Front => ((from + n, to), from..from + n),
                End::Back => ((from, to - n), to - n..to),
            };
            let rest = rest.0 << 32 | rest.1;
            match self
                .open
                .compare_exchange_weak(open, rest, Acquire, Relaxed)
            {
                Ok(_) => return Some(claimed.start as usize..claimed.end as usize),
                Err(now) => open = now,
            }
        }
    }

    /// Claims pieces and does them; whether there were any.
    fn work(&self, end: End) -> bool {
        let Some(range) = self.claim(end) else {
            return false;
        };
        let n = range.len() as u32;
        // SAFETY: pieces were claimed and are not done.
        let (run, f) = unsafe { *self.task.get() };
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| run(f, range))) {
            *self.panic.lock().unwrap_or_else(|e| e.into_inner()) = Some(panic);
        }
        self.left.fetch_sub(n, Release);
        true
    }
}

/// Helpers, which end when nobody runs programs with them any more.
struct Pool(Arc<Shared>);

struct Shared {
    /// Of as many programs as there are threads.
    pieces: Vec<Pieces>,
    sleep: Sleep,
    closed: AtomicBool,
}

impl Pool {
    fn new(count: usize) -> Pool {
        let shared = Arc::new(Shared {
            pieces: (0..count).map(|_| Pieces::new()).collect(),
            sleep: Sleep::default(),
            closed: AtomicBool::new(false),
        });
        for _ in 1..count {
            let shared = shared.clone();
            let helper = Builder::new().name("toygrad".to_string());
            // Where the system refuses threads, those that there are do everything.
            if helper.spawn(move || shared.help()).is_err() {
                break;
            }
        }
        Pool(shared)
    }

    fn team(&self) -> Option<Team<'_>> {
        let free = |pieces: &&Pieces| !pieces.taken.swap(true, Acquire);
        let pieces = self.0.pieces.iter().find(free)?;
        Some(Team {
            pieces,
            sleep: &self.0.sleep,
        })
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.0.closed.store(true, SeqCst);
        self.0.sleep.call(usize::MAX);
    }
}

impl Shared {
    /// What a helper does all its life.
    fn help(&self) {
        let mut idle = 0;
        while !self.closed.load(Relaxed) {
            if self.pieces.iter().any(|p| p.work(End::Back)) {
                idle = 0;
                continue;
            }
            idle += 1;
            if idle < DOZES {
                pause(idle);
            } else {
                let work = || self.closed.load(SeqCst) || self.pieces.iter().any(Pieces::any);
                self.sleep.unless(work);
                idle = 0;
            }
        }
    }
}

/// Helpers that sleep.
#[derive(Default)]
struct Sleep {
    /// How many sleep and are not called.
    asleep: AtomicUsize,
    /// How many are called and not yet awake.
    called: Mutex<usize>,
    condition: Condvar,
}

impl Sleep {
    /// Sleeps until called, unless there is work. Those who make work call after it is seen here.
    fn unless(&self, work: impl Fn() -> bool) {
        let mut called = self.called.lock().unwrap_or_else(|e| e.into_inner());
        self.asleep.fetch_add(1, SeqCst);
        if work() {
            self.asleep.fetch_sub(1, SeqCst);
            return;
        }
        while *called == 0 {
            called = self
                .condition
                .wait(called)
                .unwrap_or_else(|e| e.into_inner());
        }
        *called -= 1;
    }

    /// Calls up to `n` of those that sleep.
    fn call(&self, n: usize) {
        if self.asleep.load(SeqCst) == 0 {
            return;
        }
        let mut called = self.called.lock().unwrap_or_else(|e| e.into_inner());
        let n = n.min(self.asleep.load(SeqCst));
        self.asleep.fetch_sub(n, SeqCst);
        *called += n;
        drop(called);
        (0..n).for_each(|_| self.condition.notify_one());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    fn each(team: &Team, n: usize, f: impl Fn(usize) + Sync) {
        team.share(n, &|range| range.for_each(&f));
    }

    /// How often each of `n` pieces was done.
    fn done(team: &Team, n: usize) -> Vec<u32> {
        let done: Vec<AtomicU32> = (0..n).map(|_| AtomicU32::new(0)).collect();
        each(team, n, |i| {
            done[i].fetch_add(1, Relaxed);
        });
        done.into_iter().map(AtomicU32::into_inner).collect()
    }

    #[test]
    fn every_piece_is_done_once() {
        for count in [1, 2, 3, 8] {
            let pool = Pool::new(count);
            let team = pool.team().expect("a team");
            for n in (0..40).chain([1000, 100_000]) {
                assert_eq!(done(&team, n), vec![1; n], "{count} threads");
            }
        }
    }

    #[test]
    fn programs_of_many_threads_share_the_helpers() {
        let pool = Pool::new(3);
        std::thread::scope(|s| {
            for _ in 0..8 {
                s.spawn(|| {
                    for n in 0..2000 {
                        // Those for whom there are no helpers go alone.
                        if let Some(team) = pool.team() {
                            assert_eq!(done(&team, n % 50), vec![1; n % 50]);
                        }
                    }
                });
            }
        });
        let teams: Vec<Team> = std::iter::from_fn(|| pool.team()).collect();
        assert_eq!(teams.len(), 3);
    }

    /// Two pieces that wait for each other need two threads, also where helpers went to sleep.
    #[test]
    fn helpers_are_called_from_their_sleep() {
        let pool = Pool::new(2);
        let team = pool.team().expect("a team");
        for pause in [0, 1, 20, 0, 5] {
            std::thread::sleep(Duration::from_millis(pause));
            let (here, start) = (AtomicUsize::new(0), Instant::now());
            each(&team, 2, |_| {
                here.fetch_add(1, SeqCst);
                while here.load(SeqCst) < 2 && start.elapsed().as_secs() < 60 {
                    yield_now();
                }
            });
            assert!(start.elapsed().as_secs() < 60, "nobody came");
        }
    }

    #[test]
    fn pieces_may_have_pieces() {
        let pool = Pool::new(2);
        let team = pool.team().expect("a team");
        let total = AtomicUsize::new(0);
        each(&team, 20, |i| {
            each(&team, i, |_| {
                total.fetch_add(1, Relaxed);
            });
        });
        assert_eq!(total.into_inner(), 190);
    }

    /// A panic comes out where the program runs, after all pieces that were begun; helpers live on.
    #[test]
    fn a_panic_in_a_piece_comes_back() {
        let pool = Pool::new(3);
        for bad in [0, 7, 99] {
            let team = pool.team().expect("a team");
            let run = || each(&team, 100, |i| assert_ne!(i, bad, "the message"));
            let panic = catch_unwind(AssertUnwindSafe(run)).expect_err("a panic");
            let message = panic.downcast::<String>().expect("a message");
            assert!(message.contains("the message"), "{message}");
            assert_eq!(done(&team, 100), vec![1; 100]);
        }
    }
}
