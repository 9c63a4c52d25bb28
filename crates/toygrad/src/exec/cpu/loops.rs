//! Fused loops: a vector interpreter. The index space is cut into tiles of up to [`TILE`] elements;
//! for each tile every instruction runs over registers of as many lanes, which stay in cache.

use super::rows::{TILE, fold, gather, scatter};
use super::{Line, Memory, prefetch, with_scratch};
use crate::compile::program::{BufferSpec, Cut, Fold, Load, Loop, Number, Program};
use crate::compile::view::Walk;
use crate::dtype::DType;
use crate::graph::Reduction;
use crate::lanes::{BLOCK, Level};
use smallvec::SmallVec;
use std::cell::RefCell;
use std::ops::Range;

/// Bytes between registers. Not a power of two: they must not meet in the same cache sets; nor close
/// to one: a load of what lies just behind a store, but for pages in between, would wait for it.
const REGISTER: usize = TILE * 10 + 64;

/// Bytes of all registers: a part of a first cache.
const NEAR: usize = 32 * 1024;

/// Elements of a row up to which chunks are of whole rows, if that keeps folds apart.
const ROWS: usize = 32 * 1024;

/// Instructions times elements of a chunk, about: some microseconds. Two are worth two threads.
const UNIT: usize = 32 * 1024;

/// Chunks of a loop, at most (more, if rows must stay whole).
const CHUNKS: usize = 256;

/// Bytes that a loop reads from which on they are not expected in a second cache.
const FAR: usize = 1 << 20;

/// Lines that a core may have asked for at a time.
const REQUESTS: usize = 16;

thread_local! {
    static REGISTERS: RefCell<Vec<Line>> = const { RefCell::new(Vec::new()) };
    /// Of folds in whose elements chunks meet.
    static COPIES: RefCell<Vec<Line>> = const { RefCell::new(Vec::new()) };
}

impl Loop {
    fn elements(&self) -> usize {
        self.dims.iter().product()
    }

    /// Instructions times elements.
    pub(super) fn work(&self) -> usize {
        self.elements()
            .saturating_mul(self.code.len() + self.loads.len() + 1)
    }

    pub(super) fn is_large(&self) -> bool {
        self.work() >= 2 * UNIT
    }
}

/// How a loop is cut: by its sizes alone.
pub(super) fn cut(l: &Loop, buffers: &[BufferSpec]) -> Cut {
    let total = l.elements();
    if total == 0 {
        return cut_into(l, buffers, 1, 0, |_| false);
    }
    let row = l
        .dims
        .get(1..)
        .map_or(1, |d| d.iter().product::<usize>())
        .max(1);
    let (lanes, tile) = (lanes(l), tile(l));
    let whole_rows = row <= ROWS;
    let apart = |f: &Fold| whole_rows && apart(f, l);
    let keep = l.folds.iter().any(apart);
    let round = |n: usize| match row <= n || keep {
        true => n.next_multiple_of(row * (tile / row).max(1)),
        false => n.next_multiple_of(tile),
    };
    // A power of two, as the number of threads is one more often than not.
    let chunks = match l.is_large() {
        true => (l.work() / UNIT)
            .next_power_of_two()
            .min(CHUNKS)
            .min(total.div_ceil(lanes)),
        false => 1,
    };
    let mut chunk = round(total.div_ceil(chunks));
    let len = |f: &Fold| buffers[f.to.buffer as usize].len;
    let met: usize = l.folds.iter().filter(|f| !apart(f)).map(len).sum();
    if met > 0 {
        // Copies must stay small beside the work.
        let most = (total / (4 * met)).max(1);
        chunk = round(chunk.max(total.div_ceil(most)));
    }
    let chunks = total.div_ceil(chunk);
    let bytes = |x: &Load| total.min(buffers[x.from.buffer as usize].len) * x.dtype.size();
    let bytes: usize = l.loads.iter().map(bytes).sum();
    let lines = bytes / total.div_ceil(lanes) / 64;
    Cut {
        fetch: !looks_ahead()
            && bytes >= FAR
            && l.loads.len() > 1
            && lines <= REQUESTS * l.code.len(),
        ..cut_into(l, buffers, chunk, chunks, |f| chunks > 1 && !apart(f))
    }
}

/// Whether the machine by itself asks early enough for what loops read. Measured with Adam on 400,000
/// parameters: on an Intel server with AVX-512, requests take 5 % more time; on an AMD one without,
/// they save a fifth.
fn looks_ahead() -> bool {
    Level::detect() == Level::Avx512
}

/// How a loop of a group is cut: into the group's tiles.
pub(super) fn cut_tiles(l: &Loop, buffers: &[BufferSpec], extent: usize, length: usize) -> Cut {
    let chunk = l.elements() / extent * length;
    cut_into(l, buffers, chunk, extent.div_ceil(length), |f| f.meets)
}

/// Cut into chunks, of which some folds have a copy each.
fn cut_into(
    l: &Loop,
    buffers: &[BufferSpec],
    chunk: usize,
    chunks: usize,
    meet: impl Fn(&Fold) -> bool,
) -> Cut {
    let tile = tile(l);
    let held = |x: &Load| {
        let whole = |period: &usize| tile.is_multiple_of(*period) && chunk.is_multiple_of(*period);
        let mut found = repeats(l, x).into_iter();
        let found = found.find(|(span, period)| *span > tile && whole(period));
        found.map_or(0, |(span, _)| span)
    };
    let copy = |f: &Fold| match meet(f) {
        true => (buffers[f.to.buffer as usize].len * f.dtype.size()).next_multiple_of(64),
        false => 0,
    };
    Cut {
        chunk,
        chunks,
        tile,
        held: l.loads.iter().map(held).collect(),
        copies: l.folds.iter().map(copy).collect(),
        fetch: false,
        at: 0,
    }
}

/// In which stretches of the index space a load repeats itself, and after how many elements: along its
/// outermost axes (a bias, a number in memory) or along inner ones (what each image or each query has
/// of its own). If tiles hold it a whole number of times, it is loaded once for each stretch.
fn repeats(l: &Loop, load: &Load) -> [(usize, usize); 2] {
    let strides = &load.from.view.strides;
    let elements = |axis: usize| l.dims[axis..].iter().product::<usize>().max(1);
    let outer = strides.iter().take_while(|s| **s == 0).count();
    let end = strides.iter().rposition(|s| *s == 0).map_or(0, |a| a + 1);
    let start = strides[..end].iter().rposition(|s| *s != 0);
    let start = start.map_or(0, |a| a + 1);
    [(0, outer), (start, end)].map(|(start, end)| match start < end {
        true => (elements(start), elements(end)),
        false => (0, elements(0)),
    })
}

/// Elements of a tile: a multiple of the unit, of whole blocks if that many fit.
fn tile(l: &Loop) -> usize {
    let most = lanes(l);
    let periods = l.loads.iter().map(|x| repeats(l, x)[0].1);
    let unit = periods.filter(|&p| p <= most).max().unwrap_or(1);
    let blocks = (unit * BLOCK) >> unit.trailing_zeros().min(BLOCK.ilog2());
    match most / blocks {
        0 => most / unit * unit,
        n => n * blocks,
    }
}

/// Lanes that the loop's registers have: what is done once for a tile weighs less with many, but
/// they are to stay in the first cache.
fn lanes(l: &Loop) -> usize {
    let dtypes = l.loads.iter().map(|x| x.dtype);
    let dtypes = dtypes.chain(l.stores.iter().map(|s| s.dtype));
    let size = dtypes.map(DType::size).max().unwrap_or(8);
    match l.registers as usize * size * TILE <= NEAR {
        true => TILE,
        false => TILE / 2,
    }
}

/// Whether different positions of the first axis write different elements, also where several
/// folds write into one buffer.
fn apart(f: &Fold, l: &Loop) -> bool {
    let Some((&first, rest)) = f.to.view.strides.split_first() else {
        return false;
    };
    let lengths = rest.iter().zip(&l.dims[1..]);
    let span: usize = lengths.map(|(s, &n)| s.unsigned_abs() * (n - 1)).sum();
    let alone = l
        .folds
        .iter()
        .filter(|g| g.to.buffer == f.to.buffer)
        .count()
        == 1;
    let same = |g: &Fold| g.to.buffer != f.to.buffer || g.to.view.strides[0] == first;
    match alone {
        true => first.unsigned_abs() > span,
        // Each in a stretch of its own, from a multiple of the stride on.
        false => {
            let forward = f.to.view.offset >= 0 && rest.iter().all(|&s| s >= 0) && first > 0;
            let end = f.to.view.offset.unsigned_abs() + span;
            forward && end < first.unsigned_abs() && l.folds.iter().all(same)
        }
    }
}

/// Where the folds of each chunk go.
struct Targets<'a> {
    /// Their buffers.
    whole: SmallVec<[*mut u8; 4]>,
    /// The chunks' copies, one after the other.
    copies: *mut u8,
    bytes: &'a [usize],
}

// SAFETY: chunks write to different copies, and to different elements of the buffers.
unsafe impl Sync for Targets<'_> {}

impl Targets<'_> {
    fn new<'a>(l: &'a Loop, memory: &Memory, copies: *mut u8) -> Targets<'a> {
        let whole = l.folds.iter().map(|f| memory.at(f.to.buffer, 0, 1));
        Targets {
            whole: whole.collect(),
            copies,
            bytes: &l.cut.copies,
        }
    }

    fn of_chunk(&self, c: usize) -> SmallVec<[*mut u8; 4]> {
        let mut targets = self.whole.clone();
        let mut at = c * self.bytes.iter().sum::<usize>();
        for (target, &bytes) in targets.iter_mut().zip(self.bytes).filter(|x| *x.1 > 0) {
            *target = self.copies.wrapping_add(at);
            at += bytes;
        }
        targets
    }
}

pub(super) fn run(l: &Loop, program: &Program, memory: &Memory) {
    let run = |copies: *mut u8| {
        let targets = Targets::new(l, memory, copies);
        begin(l, program, &targets, 0..1, 1);
        if l.elements() > 0 {
            memory.share(l.cut.chunks, &|range| chunks(l, memory, range, &targets));
        }
        meet(l, program, &targets);
    };
    match copies(l) {
        0 => run(std::ptr::null_mut()),
        all => with_scratch(&COPIES, all, run),
    }
}

/// Bytes of the copies of what the chunks of a loop meet in.
pub(super) fn copies(l: &Loop) -> usize {
    l.cut.chunks * l.cut.copies.iter().sum::<usize>()
}

/// Tile `i` of a loop of a group, with copies for all its tiles.
pub(super) fn run_tile(l: &Loop, program: &Program, memory: &Memory, i: usize, copies: *mut u8) {
    let targets = Targets::new(l, memory, copies);
    let (from, to) = (i * l.cut.chunk, (i + 1) * l.cut.chunk);
    let elements = from..to.min(l.elements());
    begin(l, program, &targets, elements, l.elements());
    chunks(l, memory, i..i + 1, &targets);
}

/// Brings together what the tiles of a loop have in copies.
pub(super) fn meet_tiles(l: &Loop, program: &Program, memory: &Memory, copies: *mut u8) {
    meet(l, program, &Targets::new(l, memory, copies));
}

/// Makes ready some of `n` equal parts of the buffers that folds write without copies.
fn begin(l: &Loop, program: &Program, targets: &Targets, parts: Range<usize>, n: usize) {
    let folds = l.folds.iter().zip(&targets.whole).zip(targets.bytes);
    for ((f, to), _) in folds.filter(|((f, _), bytes)| f.first && **bytes == 0) {
        let len = program.buffers[f.to.buffer as usize].len;
        let (from, end) = (len * parts.start / n, len * parts.end / n);
        let to = to.wrapping_add(from * f.dtype.size());
        fill(to, identity(f), f.dtype, end - from);
    }
}

/// Brings the chunks' copies together, in their order.
fn meet(l: &Loop, program: &Program, targets: &Targets) {
    let len = |f: &Fold| program.buffers[f.to.buffer as usize].len;
    let met = |c: usize| {
        let folds = l.folds.iter().zip(&targets.whole).zip(targets.of_chunk(c));
        let folds = folds.zip(targets.bytes).filter(|(_, bytes)| **bytes > 0);
        folds.map(|(fold, _)| fold)
    };
    for c in 0..l.cut.chunks {
        for ((f, &to), from) in met(c) {
            if c == 0 && f.first {
                fill(to, identity(f), f.dtype, len(f));
            }
            // SAFETY: both have as many elements as the fold's buffer.
            unsafe { (f.across)(from, to, len(f), 1, 0) };
        }
    }
}

/// Consecutive chunks of the index space.
fn chunks(l: &Loop, memory: &Memory, range: Range<usize>, targets: &Targets) {
    let (cut, total) = (&l.cut, l.elements());
    let start = range.start * cut.chunk;
    let first = cut.tile.min(total - start);
    with_scratch(&REGISTERS, l.registers as usize * REGISTER, |scratch| {
        let register = |r: usize| scratch.wrapping_add(r * REGISTER);
        let mut at: SmallVec<[*mut u8; 32]> = (0..l.registers as usize).map(register).collect();
        let at = &mut at[..];
        for &(number, dtype, r) in &l.numbers {
            let x = match number {
                Number::Known(x) => x,
                Number::Bound(slot) => memory.bound.numbers[slot as usize],
            };
            fill(at[r as usize], x, dtype, first.next_multiple_of(BLOCK));
        }
        // Up to which element each register holds what its load repeats.
        let mut until: SmallVec<[usize; 16]> = SmallVec::from_elem(0, l.loads.len());
        // A register that code writes and one store takes is written straight to memory.
        let direct: SmallVec<[bool; 8]> = l
            .stores
            .iter()
            .map(|s| {
                let once = l.stores.iter().filter(|t| t.register == s.register).count() == 1;
                let code = l.code.iter().any(|i| i.to == s.register);
                !s.deferred && once && code
            })
            .collect();
        for c in range {
            let (mut tile, end) = (c * cut.chunk, total.min((c + 1) * cut.chunk));
            let targets = targets.of_chunk(c);
            let copies = l.folds.iter().zip(&targets).zip(&cut.copies);
            for ((f, to), bytes) in copies.filter(|x| *x.1 > 0) {
                fill(*to, identity(f), f.dtype, bytes / f.dtype.size());
            }
            while tile < end {
                let n = cut.tile.min(end - tile);
                // Code runs over whole blocks: registers have room for them, arrays have not.
                let lanes = n.next_multiple_of(BLOCK);
                let stretch = |walk: &Walk| walk.stretch(tile, n).filter(|_| n == lanes);
                for ((load, &span), until) in l.loads.iter().zip(&cut.held).zip(&mut until) {
                    if tile + n <= *until {
                        continue;
                    }
                    let r = load.register as usize;
                    let end = tile.checked_div(span).map_or(0, |i| (i + 1) * span);
                    let repeated = tile + n <= end;
                    *until = if repeated && n == cut.tile { end } else { 0 };
                    at[r] = match stretch(&load.walk).filter(|_| !repeated) {
                        Some(offset) => memory.at(load.from.buffer, offset, load.dtype.size()),
                        None => {
                            gather(load, memory, tile, n, register(r));
                            register(r)
                        }
                    };
                }
                for (s, _) in l.stores.iter().zip(&direct).filter(|(_, d)| **d) {
                    at[s.register as usize] = match stretch(&s.walk) {
                        Some(offset) => memory.at(s.to.buffer, offset, s.dtype.size()),
                        None => register(s.register as usize),
                    };
                }
                let mut ahead = Ahead::default();
                if cut.fetch {
                    let loads = l
                        .loads
                        .iter()
                        .map(|x| (x.register as usize, x.dtype.size()));
                    let direct = loads.filter(|&(r, _)| at[r] != register(r));
                    let ends = direct
                        .map(|(r, size)| (at[r].wrapping_add(n * size).cast_const(), n * size));
                    ahead = Ahead::new(ends, l.code.len());
                }
                for i in &l.code {
                    ahead.fetch();
                    let from = i.from.map(|r| at[r as usize].cast_const());
                    // SAFETY: registers have TILE lanes of any dtype, and arrays stand here only for
                    // as many. The destination is a register or an array of its own.
                    unsafe { (i.lanes)(&from, at[i.to as usize], lanes) };
                }
                for (s, direct) in l.stores.iter().zip(&direct) {
                    if !direct || stretch(&s.walk).is_none() {
                        scatter(at[s.register as usize], s, memory, tile, n);
                    }
                }
                for (f, &target) in l.folds.iter().zip(&targets) {
                    fold(f, at[f.register as usize], target, tile, n);
                }
                tile += n;
            }
        }
    });
}

/// Asks for what lies behind the arrays of a tile, for the next one, while this one is computed: some
/// lines with each instruction, as memory takes no more requests at a time. (The machine looks ahead by
/// itself, but of several arrays not far enough: it starts anew with each page, and a tile is half
/// of one.)
#[derive(Default)]
struct Ahead {
    /// Where each array ends, and its length in bytes.
    arrays: SmallVec<[(*const u8, usize); 8]>,
    /// Lines with each instruction.
    lines: usize,
    /// Bytes behind the last array that have been asked for.
    asked: usize,
}

impl Ahead {
    fn new(arrays: impl Iterator<Item = (*const u8, usize)>, instructions: usize) -> Ahead {
        let arrays: SmallVec<[_; 8]> = arrays.collect();
        let bytes: usize = arrays.iter().map(|x| x.1).sum();
        Ahead {
            lines: bytes.div_ceil(64 * instructions),
            arrays,
            asked: 0,
        }
    }

    #[inline]
    fn fetch(&mut self) {
        for _ in 0..self.lines {
            let Some(&(end, bytes)) = self.arrays.last() else {
                return;
            };
            prefetch(end.wrapping_add(self.asked));
            self.asked += 64;
            if self.asked >= bytes {
                self.arrays.pop();
                self.asked = 0;
            }
        }
    }
}

/// What a reduction starts from.
fn identity(f: &Fold) -> f64 {
    match f.reduction {
        Reduction::Sum => 0.0,
        // Infinities of both signs are true.
        Reduction::Max if f.dtype == DType::Bool => 0.0,
        Reduction::Max => f64::NEG_INFINITY,
        Reduction::Min => f64::INFINITY,
    }
}

/// `n` elements of the same number, converted as a cast does it.
#[inline]
pub(super) fn fill(to: *mut u8, x: f64, dtype: DType, n: usize) {
    // SAFETY: the caller's buffer or register has n elements of the dtype.
    unsafe {
        match dtype {
            DType::Bool => std::slice::from_raw_parts_mut(to, n).fill((x != 0.0) as u8),
            DType::U8 => std::slice::from_raw_parts_mut(to, n).fill(x as u8),
            DType::I64 => std::slice::from_raw_parts_mut(to.cast(), n).fill(x as i64),
            DType::F32 => std::slice::from_raw_parts_mut(to.cast(), n).fill(x as f32),
            DType::F64 => std::slice::from_raw_parts_mut(to.cast(), n).fill(x),
        }
    }
}
