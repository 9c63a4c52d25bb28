//! Tiling: kernels that follow each other and share their outer axis (the batch, say) run tile by
//! tile of it. What one kernel leaves, the next finds in its cache, and what nobody else reads needs
//! no more memory than a tile.

use super::access::{CACHE, Use, accesses, is_apart, outer_extents};
use super::plan::{Free, write_in_place};
use super::program::{BufferSpec, Kernel, Local, Loop, Output, Place, Program, Tiled};
use super::share::share;
use std::ops::Range;

/// Bytes that a tile is to touch, if parts are small enough.
const TILE: usize = CACHE / 4;

/// How many kernels further on an outer axis may be found.
const AHEAD: usize = 4;

/// After how many kernels what is used again is not worth a place in the cache.
const SOON: usize = 8;

/// Kernels of a group, at most.
const MOST: usize = 64;

/// Instructions of a loop that is run again in another group rather than its result kept, at most.
const CHEAP: usize = 2;

/// Groups kernels into [`Tiled`] ones where that keeps more than a cache's worth of bytes near.
pub(crate) fn tile(program: &mut Program) {
    let mut groups = Groups::find(program);
    let mut at = 0;
    while at < program.kernels.len() {
        if let Some(better) = groups.with_again(program, at) {
            groups = better;
        }
        groups.move_before(program, at);
        at += 1;
    }
    if let Some(better) = groups.with_shared(program) {
        groups = better;
    }
    let mut kernels = std::mem::take(&mut program.kernels).into_iter();
    let mut at = 0;
    for (start, group) in groups.found {
        program.kernels.extend(kernels.by_ref().take(start - at));
        let inside: Vec<Kernel> = kernels.by_ref().take(group.kernels).collect();
        let tiled = tiled(program, inside, start, group, &groups.uses);
        program.kernels.push(Kernel::Tiled(tiled));
        at = start + group.kernels;
    }
    program.kernels.extend(kernels);
}

/// A group: how many kernels, the extent of the axis that they share, and how much of that is a tile.
#[derive(Clone, Copy)]
struct Group {
    kernels: usize,
    extent: usize,
    length: usize,
    /// Bytes that one of them finds near.
    kept: usize,
}

/// The groups of the kernels from `at` on, and where each starts; as `known` as soon as one starts there.
fn find(
    program: &Program,
    uses: &Uses,
    mut at: usize,
    known: &[(usize, Group)],
) -> Vec<(usize, Group)> {
    let mut found = vec![];
    let mut here = best(program, at, uses);
    while at < program.kernels.len() {
        if let Some(i) = known.iter().position(|&(start, _)| start == at) {
            found.extend(&known[i..]);
            break;
        }
        // A kernel that the next ones do without may be all that keeps more from joining them.
        let next = best(program, at + 1, uses);
        match here {
            Some(group) if next.is_none_or(|next| next.kept < group.kept) => {
                found.push((at, group));
                at += group.kernels;
                here = best(program, at, uses);
            }
            _ => {
                at += 1;
                here = next;
            }
        }
    }
    found
}

/// Bytes that kernels of groups find near.
fn kept(groups: &[(usize, Group)]) -> usize {
    groups.iter().map(|(_, g)| g.kept).sum()
}

/// The groups of a program, and where each starts.
struct Groups {
    found: Vec<(usize, Group)>,
    uses: Uses,
}

impl Groups {
    fn find(program: &Program) -> Groups {
        let uses = Uses::new(program);
        let found = find(program, &uses, 0, &[]);
        Groups { found, uses }
    }

    /// The group that a kernel is in, and where that starts.
    fn of(&self, kernel: usize) -> Option<&(usize, Group)> {
        let is_in = |(at, g): &&(usize, Group)| (*at..at + g.kernels).contains(&kernel);
        self.found.iter().find(is_in)
    }

    /// From which kernel to which it is.
    fn around(&self, kernel: usize) -> Option<Range<usize>> {
        self.of(kernel).map(|(at, g)| *at..at + g.kernels)
    }

    /// Whether there need only be a tile of a buffer.
    fn is_local(&self, program: &Program, buffer: u32) -> bool {
        let arena = matches!(program.buffers[buffer as usize].place, Place::Arena(_));
        let group = self.uses.of[buffer as usize]
            .first()
            .and_then(|&k| self.around(k));
        arena && group.is_some_and(|range| self.uses.are_in(&range, buffer))
    }

    /// A kernel that ends a group although it needs nothing of it (a mask, say) may as well run before.
    /// Moves that of the group at `at` (of the kernel, if it is in none), if then more is kept near.
    fn move_before(&mut self, program: &mut Program, at: usize) {
        let (end, near) = match self.of(at) {
            None => (at + 1, 0),
            Some(&(start, g)) if start == at => (at + g.kernels, g.kept),
            Some(_) => return,
        };
        let Some([next, after, ..]) = program.kernels.get(end..) else {
            return;
        };
        let (reads, writes) = (next.reads(), next.writes());
        let apart = |kernel: &Kernel| {
            let (read, written) = (kernel.reads(), kernel.writes());
            let mut touched = read.iter().chain(&written);
            !touched.any(|b| writes.contains(b)) && !written.iter().any(|b| reads.contains(b))
        };
        let over = writes.iter().any(|&b| self.uses.over[b as usize]);
        let group = &program.kernels[at..end];
        // The one after it wants what the group made.
        let wanted = after.reads();
        let goes_on = group
            .iter()
            .flat_map(Kernel::writes)
            .any(|b| wanted.contains(&b));
        if over || !goes_on || !group.iter().all(apart) {
            return;
        }
        program.kernels[at..=end].rotate_right(1);
        self.uses.moved(&program.kernels[at..=end], end, at);
        let better = |g: Group| g.kept > near + CACHE / 2;
        if best(program, at + 1, &self.uses).is_some_and(better) {
            let before = self.found.partition_point(|(start, _)| *start < at);
            let later = self.found.partition_point(|(start, _)| *start <= end);
            let found = find(program, &self.uses, at, &self.found[later..]);
            if kept(&found) > kept(&self.found[before..]) {
                self.found.truncate(before);
                self.found.extend(found);
                return;
            }
        }
        program.kernels[at..=end].rotate_left(1);
        self.uses.moved(&program.kernels[at..=end], at, end);
    }

    /// Lets loops of a group find in a tile what earlier ones computed, if the groups stay the same,
    /// but for the length of their tiles: the program's groups after that.
    fn with_shared(&self, program: &mut Program) -> Option<Groups> {
        let known = program.buffers.len();
        let mut was = Vec::new();
        for (start, group) in &self.found {
            let kernels = &mut program.kernels[*start..][..group.kernels];
            let changed = share(kernels, &mut program.buffers);
            was.extend(changed.into_iter().map(|(at, l)| (start + at, l)));
        }
        if was.is_empty() {
            return None;
        }
        let groups = Groups::find(program);
        let span = |&(start, g): &(usize, Group)| (start, g.kernels, g.extent);
        if groups
            .found
            .iter()
            .map(span)
            .eq(self.found.iter().map(span))
        {
            return Some(groups);
        }
        for (at, l) in was {
            program.kernels[at] = Kernel::Loop(l);
        }
        program.buffers.truncate(known);
        None
    }

    /// Large arrays that a loop makes of smaller ones with hardly any work (windows of an image, say)
    /// cost more to keep for a later group than to make again there. Does so with what kernel `at`
    /// makes, if then only tiles of it are needed: the program's groups after that.
    fn with_again(&self, program: &mut Program, at: usize) -> Option<Groups> {
        let Kernel::Loop(l) = &program.kernels[at] else {
            return None;
        };
        let buffer = l.stores.first()?.to.buffer;
        let is_cheap = l.folds.is_empty() && l.code.len() <= CHEAP;
        let alone = l.stores.iter().all(|s| s.to.buffer == buffer);
        let large = bytes(program, buffer);
        let mut inputs = Vec::new();
        l.loads
            .iter()
            .for_each(|x| _ = insert(&mut inputs, x.from.buffer));
        let small = inputs.iter().map(|&b| bytes(program, b)).sum::<usize>() * 2 <= large;
        if !is_cheap || !alone || !small || large < CACHE {
            return None;
        }
        let group = self.around(at)?;
        let reads = |k: &usize| program.kernels[*k].reads().contains(&buffer);
        let later: Vec<usize> = (group.end..program.kernels.len()).filter(reads).collect();
        let &first = later.first()?;
        let tiled = |&k: &usize| !outer_extents(&program.kernels[k]).is_empty();
        let written = |b: &u32| {
            let writes = |k: &Kernel| k.writes().contains(b);
            self.uses.over[*b as usize] || program.kernels[at..].iter().any(writes)
        };
        if inputs.iter().any(written) || !later.iter().all(tiled) {
            return None;
        }
        let mut again = l.clone();
        let copy = program.buffers.len() as u32;
        again.stores.iter_mut().for_each(|s| s.to.buffer = copy);
        program.buffers.push(program.buffers[buffer as usize]);
        for &k in &later {
            program.kernels[k].read_instead(buffer, copy);
        }
        program.kernels.insert(first, Kernel::Loop(again));
        let groups = Groups::find(program);
        if groups.is_local(program, buffer) && groups.is_local(program, copy) {
            return Some(groups);
        }
        program.kernels.remove(first);
        for &k in &later {
            program.kernels[k].read_instead(copy, buffer);
        }
        program.buffers.pop();
        None
    }
}

/// The kernels that use each buffer, and the buffers that are inputs written over.
struct Uses {
    of: Vec<Vec<usize>>,
    over: Vec<bool>,
}

impl Uses {
    fn new(program: &Program) -> Uses {
        let mut of = vec![Vec::new(); program.buffers.len()];
        for (i, kernel) in program.kernels.iter().enumerate() {
            for b in kernel.touches() {
                let uses: &mut Vec<usize> = &mut of[b as usize];
                if uses.last() != Some(&i) {
                    uses.push(i);
                }
            }
        }
        let in_place = |o: &Output| match *o {
            Output::Made { n, in_place } => in_place.map(|slot| (n, slot)),
            Output::Input(_) => None,
        };
        let pairs: Vec<(u32, u32)> = program.outputs.iter().filter_map(in_place).collect();
        let over = |spec: &BufferSpec| match spec.place {
            Place::Output(n) => pairs.iter().any(|p| p.0 == n),
            Place::Input(slot) => pairs.iter().any(|p| p.1 == slot),
            Place::Arena(_) | Place::Tile => false,
        };
        Uses {
            over: program.buffers.iter().map(over).collect(),
            of,
        }
    }

    /// Tells it that kernel `from` now is kernel `to`, and those between made room: `kernels`, all of these.
    fn moved(&mut self, kernels: &[Kernel], from: usize, to: usize) {
        let number = |k: usize| match k {
            _ if k == from => to,
            _ if (to..from).contains(&k) => k + 1,
            _ if from < k && k <= to => k - 1,
            _ => k,
        };
        let mut touched = Vec::new();
        for b in kernels.iter().flat_map(Kernel::touches) {
            if insert(&mut touched, b) {
                let uses = &mut self.of[b as usize];
                uses.iter_mut().for_each(|k| *k = number(*k));
                uses.sort_unstable();
            }
        }
    }

    /// Whether all uses of a buffer are in a range of kernels.
    fn are_in(&self, range: &Range<usize>, buffer: u32) -> bool {
        let uses = &self.of[buffer as usize];
        uses.first()
            .zip(uses.last())
            .is_some_and(|(a, b)| range.contains(a) && range.contains(b))
    }

    /// Whether a buffer that kernel `i` uses is used again soon: until then its tile is to stay near.
    fn soon(&self, buffer: u32, i: usize) -> bool {
        let uses = &self.of[buffer as usize];
        let next = uses.partition_point(|&k| k <= i);
        uses.get(next).is_some_and(|&k| k <= i + SOON)
    }
}

/// The best group of the kernels from `at` on, if one is worth it.
fn best(program: &Program, at: usize, uses: &Uses) -> Option<Group> {
    let kernels = program.kernels.get(at..)?;
    let first = kernels.first()?;
    if first.touches().map(|b| bytes(program, b)).sum::<usize>() < TILE {
        return None;
    }
    let mut extents = Vec::new();
    for extent in kernels.iter().take(AHEAD).flat_map(outer_extents) {
        insert(&mut extents, extent);
    }
    let group = |extent: usize| {
        let run = Run::longest(program, at, extent, uses);
        // What fits into the cache stays there anyway.
        let pays = run.kernels > 1 && run.touched > CACHE && run.kept > CACHE / 2;
        pays.then(|| {
            // Where each tile packs matrices anew, fewer of them.
            let tile = if run.packs { 2 * TILE } else { TILE };
            let length = (tile * extent / run.most).clamp(1, extent);
            Group {
                kernels: run.kernels,
                extent,
                // In equal tiles.
                length: extent.div_ceil(extent.div_ceil(length)),
                kept: run.kept,
            }
        })
    };
    let groups = extents.into_iter().filter_map(group);
    groups.max_by_key(|g| (g.kept, g.extent))
}

/// Adds to a small set, if it is not there.
fn insert<T: PartialEq>(set: &mut Vec<T>, x: T) -> bool {
    let new = !set.contains(&x);
    if new {
        set.push(x);
    }
    new
}

fn bytes(program: &Program, buffer: u32) -> usize {
    let spec = &program.buffers[buffer as usize];
    spec.len * spec.dtype.size()
}

/// Kernels from the first one on that can run tile by tile.
#[derive(Default)]
struct Run {
    kernels: usize,
    /// Bytes that one of them reads after another has read or written them.
    kept: usize,
    /// Bytes that they touch, but for what is shared by all tiles.
    touched: usize,
    /// Of these, the most that are wanted near at a time.
    most: usize,
    /// Whether tiles are some rows of products, all of which want the whole right matrix.
    packs: bool,
}

impl Run {
    fn longest(program: &Program, at: usize, extent: usize, uses: &Uses) -> Run {
        let bytes = |b: u32| bytes(program, b);
        let mut run = Run::default();
        let mut found = Run::default();
        // Buffers of which tiles touch their own part; that they read otherwise; that they write otherwise.
        let (mut near, mut shared, mut met) = (vec![], vec![], vec![]);
        // And those that are written; and those that are wanted near.
        let (mut made, mut wanted) = (vec![], vec![]);
        for (i, kernel) in (at..).zip(&program.kernels[at..]).take(MOST) {
            let Some(accesses) = accesses(program, kernel, extent) else {
                break;
            };
            let fits = accesses.iter().all(|a| {
                let b = &a.buffer;
                let alone = || accesses.iter().filter(|a| a.buffer == *b).count() == 1;
                let touched = || near.contains(b) || shared.contains(b);
                !met.contains(b)
                    && match (a.what, a.apart) {
                        (Use::Read, apart) => apart || !made.contains(b),
                        (_, true) => !shared.contains(b) && !uses.over[*b as usize],
                        // Its elements are all over the place: nobody else may touch it.
                        (Use::Write, false) => alone() && !touched() && !uses.over[*b as usize],
                        // Each tile has a copy of its own.
                        (Use::Fold, false) => alone() && !touched() && bytes(*b) <= CACHE / 16,
                    }
            });
            if !fits {
                break;
            }
            for a in accesses {
                let b = a.buffer;
                match (a.what, a.apart) {
                    (Use::Fold | Use::Write, false) => _ = insert(&mut met, b),
                    (Use::Read, false) => _ = insert(&mut shared, b),
                    _ => {
                        let first = insert(&mut near, b);
                        run.touched += if first { bytes(b) } else { 0 };
                        // A result of a loop goes over what that reads for the last time.
                        let goes = |&r: &u32| {
                            uses.of[r as usize].last() == Some(&i) && bytes(r) == bytes(b)
                        };
                        let over = match (kernel, a.what) {
                            (Kernel::Loop(_), Use::Write) => wanted.iter().position(goes),
                            _ => None,
                        };
                        over.into_iter().for_each(|r| _ = wanted.swap_remove(r));
                        insert(&mut wanted, b);
                        let again = !first && a.what == Use::Read;
                        run.kept += if again { bytes(b) } else { 0 };
                    }
                }
                if a.what != Use::Read {
                    insert(&mut made, b);
                }
            }
            run.most = run.most.max(wanted.iter().map(|&b| bytes(b)).sum());
            if run.most / extent > CACHE {
                break;
            }
            wanted.retain(|&b| uses.soon(b, i));
            run.kernels += 1;
            run.packs |= matches!(kernel, Kernel::MatMul(m) if !m.stack().is_multiple_of(extent));
            // What comes after the last kernel that finds something near gains nothing.
            if run.kept > found.kept {
                found = Run { ..run };
            }
        }
        found
    }
}

/// The group of `kernels`, the first of which stands at `start` in the program.
fn tiled(
    program: &mut Program,
    mut kernels: Vec<Kernel>,
    start: usize,
    group: Group,
    uses: &Uses,
) -> Tiled {
    let Group { extent, length, .. } = group;
    for kernel in &mut kernels {
        if let Kernel::Loop(Loop { dims, folds, .. }) = kernel {
            for f in folds {
                let len = program.buffers[f.to.buffer as usize].len;
                f.meets = !is_apart(&f.to.view, dims, extent, len);
            }
        }
    }
    // What is used nowhere else gets a place for one tile.
    let mut life: Vec<(u32, usize, usize)> = Vec::new();
    for (i, kernel) in kernels.iter().enumerate() {
        for b in kernel.writes().into_iter().chain(kernel.reads()) {
            let inside = start..start + kernels.len();
            if uses.are_in(&inside, b)
                && matches!(program.buffers[b as usize].place, Place::Arena(_))
            {
                match life.iter_mut().find(|l| l.0 == b) {
                    Some((_, _, last)) => *last = i,
                    None => life.push((b, i, i)),
                }
            }
        }
    }
    // (What nobody reads may lie all over the place.)
    life.retain(|&(_, first, last)| first < last);
    let mut free = Free::default();
    let mut local: Vec<Local> = Vec::new();
    let size = |part: usize| super::plan::size(part * length, 1);
    for (i, kernel) in kernels.iter_mut().enumerate() {
        let mut ends: Vec<u32> = life.iter().filter(|l| l.2 == i).map(|l| l.0).collect();
        for &(buffer, ..) in life.iter().filter(|l| l.1 == i) {
            let spec = &mut program.buffers[buffer as usize];
            spec.place = Place::Tile;
            let part = spec.len / extent * spec.dtype.size();
            // Over what is read here for the last time, or what fits best of what is free.
            let over = local.iter().find_map(|old| {
                let end = ends.iter().position(|&b| b == old.buffer)?;
                let goes = match &mut *kernel {
                    Kernel::Loop(l) if old.part == part => write_in_place(l, buffer, old.buffer),
                    _ => false,
                };
                goes.then_some((end, old.offset))
            });
            let offset = match over {
                Some((end, offset)) => {
                    ends.swap_remove(end);
                    offset
                }
                None => free.take(size(part)),
            };
            local.push(Local {
                buffer,
                offset,
                part,
            });
        }
        for l in local.iter().filter(|l| ends.contains(&l.buffer)) {
            free.give(l.offset, size(l.part));
        }
    }
    Tiled {
        kernels,
        extent,
        length,
        local,
        bytes: free.end,
        copies: 0,
    }
}
