//! The CPU executor: runs the kernels of a Program, one after the other, each on as many threads
//! as it is worth. How work is split depends on its size alone, so results do not depend on the
//! number of threads.

#![allow(unsafe_code)]

mod amx;
mod gemm;
mod gemv;
mod index;
mod loops;
mod matmul;
mod rows;
mod scalars;
mod small;
mod threads;
mod tiled;
mod vectors;

pub use threads::{num_threads, set_num_threads};

use crate::buffer::{Array, Buffer};
use crate::compile::graph::Stream;
use crate::compile::program::{Kernel, Output, Place, Program};
use crate::dtype::{Data, each_data};
use std::cell::RefCell;
use std::ops::Range;
use std::sync::Arc;

/// An input of a run.
pub(crate) enum Slot<'a> {
    Read(&'a Data),
    /// Nothing else holds it: a result may be written over it.
    Own(&'a mut Data),
}

/// What a run binds.
pub(crate) struct Bound<'a> {
    pub numbers: &'a [f64],
    pub streams: &'a [Stream],
}

/// A position that is out of range.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fault {
    /// Which Value was being computed.
    pub origin: u32,
    pub position: i64,
    pub len: usize,
}

/// Base addresses of a program's buffers.
pub(crate) struct Memory<'a> {
    base: &'a [*mut u8],
    bound: &'a Bound<'a>,
    team: Option<&'a threads::Team<'a>>,
}

// SAFETY: threads of one kernel write to different elements; kernels run one after the other.
unsafe impl Sync for Memory<'_> {}

impl Memory<'_> {
    /// Runs `f` for all of `0..n`, in ranges, on all threads of the program.
    fn share(&self, n: usize, f: &(impl Fn(Range<usize>) + Sync)) {
        match self.team {
            Some(team) => team.share(n, f),
            None => f(0..n),
        }
    }

    /// Among how many threads work is shared.
    fn threads(&self) -> usize {
        match self.team {
            Some(_) => num_threads(),
            None => 1,
        }
    }

    /// Runs `f(0)`, ..., `f(n - 1)` on all threads of the program.
    fn each(&self, n: usize, f: &(impl Fn(usize) + Sync)) {
        self.share(n, &|range| range.for_each(f));
    }

    /// The address of an element.
    #[inline]
    fn at(&self, buffer: u32, offset: isize, size: usize) -> *mut u8 {
        self.base[buffer as usize].wrapping_offset(offset * size as isize)
    }
}

/// Memory that is aligned as caches want it.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Line(#[allow(dead_code)] [u8; 64]);

thread_local! {
    /// Where intermediate arrays live: grows to what the largest program needs.
    static ARENA: RefCell<Vec<Line>> = const { RefCell::new(Vec::new()) };
}

/// Calls a line for reading soon, from wherever it is; the address need not be valid.
#[inline(always)]
fn prefetch<T>(at: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a hint; it never faults.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(at.cast());
    }
    // No intrinsic for other machines is stable.
    #[cfg(not(target_arch = "x86_64"))]
    let _ = at;
}

/// Runs `f` with `bytes` of scratch memory of this thread.
fn with_scratch<T>(
    scratch: &'static std::thread::LocalKey<RefCell<Vec<Line>>>,
    bytes: usize,
    f: impl FnOnce(*mut u8) -> T,
) -> T {
    scratch.with(|s| {
        let mut taken = s.take();
        let lines = bytes.div_ceil(64);
        if taken.len() < lines {
            // Not resized: what it holds need not be copied.
            drop(taken);
            taken = vec![Line([0; 64]); lines];
        }
        let result = f(taken.as_mut_ptr().cast());
        s.replace(taken);
        result
    })
}

/// Work in large kernels for which a program calls other threads: some ten microseconds, as long
/// as they may need to come.
const SHARED: usize = 400_000;

/// The work that threads share, in instructions of loops times elements (0.1 ns, about).
fn shared_work(kernels: &[Kernel]) -> usize {
    let work = |kernel: &Kernel| match kernel {
        Kernel::Loop(l) if l.is_large() => l.work(),
        Kernel::MatMul(m) if matmul::is_large(m) => matmul::multiplications(m) / 4,
        Kernel::Single(s) if index::is_large(s) => s.dims.iter().product::<usize>() * 16,
        Kernel::Tiled(t) => shared_work(&t.kernels),
        _ => 0,
    };
    kernels.iter().map(work).fold(0, usize::saturating_add)
}

/// Notes in a new program what this executor wants to know at each run.
pub(crate) fn prepare(program: &mut Program) {
    for kernel in &mut program.kernels {
        match kernel {
            Kernel::Loop(l) => l.cut = loops::cut(l, &program.buffers),
            Kernel::Tiled(t) => tiled::cut(t, &program.buffers),
            _ => {}
        }
    }
    program.parallel = shared_work(&program.kernels) >= SHARED;
}

/// Runs the program. Gives the arrays that it makes; `None` for those that were written over an owned
/// input.
///
/// # Errors
/// A position that is out of range; what was made until then is lost, owned inputs are as they
/// were.
pub(crate) fn run(
    program: &Program,
    inputs: &mut [Slot],
    bound: &Bound,
) -> Result<Vec<Option<Buffer>>, Fault> {
    let count = program.made as usize;
    let mut made: Vec<Option<Array>> = (0..count).map(|_| None).collect();
    let mut places: Vec<*mut u8> = vec![std::ptr::null_mut(); count];
    for spec in &program.outputs {
        if let Output::Made { n, in_place } = *spec {
            let over = in_place.and_then(|slot| match &mut inputs[slot as usize] {
                Slot::Own(data) => Some(data.as_mut_ptr()),
                Slot::Read(_) => None,
            });
            if let Some(over) = over {
                places[n as usize] = over;
            }
        }
    }
    for spec in &program.buffers {
        if let Place::Output(n) = spec.place
            && places[n as usize].is_null()
        {
            let mut array = Array::with_capacity(spec.dtype, spec.len);
            places[n as usize] = array.as_mut_ptr();
            made[n as usize] = Some(array);
        }
    }
    with_scratch(&ARENA, program.arena, |arena| {
        let base: Vec<*mut u8> = program
            .buffers
            .iter()
            .map(|b| match b.place {
                Place::Input(slot) => match &mut inputs[slot as usize] {
                    Slot::Read(data) => data.as_ptr().cast_mut(),
                    Slot::Own(data) => data.as_mut_ptr(),
                },
                Place::Output(n) => places[n as usize],
                Place::Arena(offset) => arena.wrapping_add(offset),
                Place::Tile => std::ptr::null_mut(),
            })
            .collect();
        let kernels = |team: Option<&threads::Team>| {
            let memory = Memory {
                base: &base,
                bound,
                team,
            };
            program.kernels.iter().try_for_each(|kernel| {
                match kernel {
                    Kernel::Loop(l) => loops::run(l, program, &memory),
                    Kernel::Scalars(s) => scalars::run(s, &memory),
                    Kernel::MatMul(m) => matmul::run(m, &memory),
                    Kernel::Single(s) => return index::run(s, &memory),
                    Kernel::Tiled(t) => tiled::run(t, program, &memory),
                }
                Ok(())
            })
        };
        match program.parallel {
            true => threads::inside(kernels),
            false => kernels(None),
        }
    })?;
    for spec in &program.buffers {
        if let Place::Output(n) = spec.place
            && let Some(array) = &mut made[n as usize]
        {
            each_data!(&mut **array, v => {
                let (all, start) = v.parts_mut();
                // SAFETY: it has room for so many, and kernels write every element of their results.
                unsafe { all.set_len(start + spec.len) }
            });
        }
    }
    Ok(made.into_iter().map(|a| a.map(Arc::new)).collect())
}
