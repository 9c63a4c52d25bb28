//! The Program: a flat list of kernels over planned buffers. All that an executor ever sees.

use super::view::{PerAxis, View, Walk};
use crate::DType;
use crate::graph::row::Family;
use crate::graph::{Extreme, Reduction, RowRef};
use crate::lanes::{Combining, Lanes, Then};
use std::fmt;

/// What an executor runs: kernels in order.
pub(crate) struct Program {
    pub kernels: Vec<Kernel>,
    pub buffers: Vec<BufferSpec>,
    /// What each root is.
    pub outputs: Vec<Output>,
    /// How many arrays a run makes.
    pub made: u32,
    /// Arrays given back besides: the position of a Value, and the number of its array.
    pub kept: Vec<(u32, u32)>,
    /// Bytes of the arena that intermediate arrays live in.
    pub arena: usize,
    /// Whether a kernel is worth several threads; the executor says.
    pub parallel: bool,
}

impl AsRef<Program> for Program {
    fn as_ref(&self) -> &Program {
        self
    }
}

/// An array that kernels read or write.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BufferSpec {
    pub dtype: DType,
    pub len: usize,
    pub place: Place,
}

/// Where a buffer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// In an input slot.
    Input(u32),
    /// In a new array that the run gives back.
    Output(u32),
    /// At a byte offset in the arena.
    Arena(usize),
    /// Where a [`Tiled`] group says: it exists for a tile at a time.
    Tile,
}

/// A root of the graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Output {
    /// The array `n` of those that the run makes. It may be written over input slot `in_place`,
    /// if nothing else holds that.
    Made { n: u32, in_place: Option<u32> },
    /// An input as it is.
    Input(u32),
}

/// A view of a buffer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Operand {
    pub buffer: u32,
    pub view: View,
}

pub(crate) enum Kernel {
    /// A fused loop nest of pointwise operations and reductions.
    Loop(Loop),
    /// Straight-line code on single numbers.
    Scalars(Scalars),
    MatMul(MatMul),
    /// A kernel that is not fused.
    Single(Single),
    /// Kernels that run tile by tile.
    Tiled(Tiled),
}

/// A straight-line program over registers, run for each element of an index space.
#[derive(Clone)]
pub(crate) struct Loop {
    pub dims: PerAxis<usize>,
    pub loads: Vec<Load>,
    pub numbers: Vec<(Number, DType, u16)>,
    pub code: Vec<Instruction>,
    pub stores: Vec<Store>,
    pub folds: Vec<Fold>,
    /// How many registers the code needs.
    pub registers: u16,
    pub cut: Cut,
}

/// How a loop is cut. The executor says, once, by the sizes of the loop alone.
#[derive(Clone, Default)]
pub(crate) struct Cut {
    /// Elements of a chunk, the piece that threads share out; how many chunks there are.
    pub chunk: usize,
    pub chunks: usize,
    /// Elements of a tile.
    pub tile: usize,
    /// For each load: of how many elements the stretches are in which it is the same in every tile;
    /// 0 if it is not.
    pub held: Vec<usize>,
    /// For each fold: the bytes of the copy of its buffer that each chunk has, if chunks meet there.
    pub copies: Vec<usize>,
    /// Whether what the next tile reads is fetched ahead.
    pub fetch: bool,
    /// Where the copies are among those of a [`Tiled`] group.
    pub at: usize,
}

#[derive(Clone, Debug)]
pub(crate) struct Load {
    pub from: Operand,
    pub walk: Walk,
    pub dtype: DType,
    pub register: u16,
}

#[derive(Clone, Debug)]
pub(crate) struct Store {
    pub to: Operand,
    pub walk: Walk,
    pub dtype: DType,
    pub register: u16,
    /// Its buffer is also read by this loop: written only when the tile has been read.
    pub deferred: bool,
}

/// A reduction of a register into a buffer: several elements of the index space meet in one.
#[derive(Clone)]
pub(crate) struct Fold {
    pub to: Operand,
    pub walk: Walk,
    pub reduction: Reduction,
    pub dtype: DType,
    pub register: u16,
    /// Whether its buffer holds nothing yet; else this adds to what earlier folds left there.
    pub first: bool,
    /// In a [`Tiled`] group: whether tiles meet in its elements.
    pub meets: bool,
    /// The loop for rows of which each meets in one element.
    pub along: Combining,
    /// The loop for rows of which each element meets others.
    pub across: Combining,
}

/// A number in a loop.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Number {
    Known(f64),
    /// Bound at each run.
    Bound(u32),
}

#[derive(Clone)]
pub(crate) struct Instruction {
    pub what: Operation,
    /// What becomes of the result at once, in the same loop.
    pub then: Option<Then>,
    /// The dtype of its (last) operand.
    pub dtype: DType,
    pub to: u16,
    pub from: [u16; 3],
    pub arity: u8,
    pub lanes: Lanes,
}

impl Instruction {
    /// The registers that it reads.
    pub fn operands(&self) -> &[u16] {
        &self.from[..self.arity as usize]
    }

    /// The dtype of its result.
    pub fn result(&self) -> DType {
        match self.what {
            _ if self.then.is_some() => self.dtype,
            Operation::Cast(to) => to,
            Operation::Row(row) if matches!(row.0.family, Family::Compare | Family::Logic) => {
                DType::Bool
            }
            Operation::Row(_) => self.dtype,
        }
    }

    pub fn operands_mut(&mut self) -> &mut [u16] {
        &mut self.from[..self.arity as usize]
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Operation {
    Row(RowRef),
    Cast(DType),
}

/// Straight-line code on single numbers. Registers are byte offsets into one piece of memory.
pub(crate) struct Scalars {
    pub loads: Vec<Element>,
    pub numbers: Vec<(Number, DType, u32)>,
    pub code: Vec<Scalar>,
    pub stores: Vec<Element>,
    /// Registers of operands that do not lie side by side.
    pub positions: Vec<u32>,
    /// How much memory the registers take.
    pub bytes: u32,
}

/// A register and the element that it is loaded from or stored to.
pub(crate) struct Element {
    pub buffer: u32,
    pub offset: isize,
    pub dtype: DType,
    pub register: u32,
}

/// Instructions that do the same and do not wait for each other: one, or a piece of several.
pub(crate) enum Scalar {
    One(One),
    Piece(Box<Piece>),
}

/// An instruction on single numbers.
pub(crate) struct One {
    pub what: Operation,
    /// Registers of the operands and of the result.
    pub from: [u32; 3],
    pub to: u32,
    /// Their dtypes: those of operands that there are not are the result's.
    pub dtypes: [DType; 4],
    pub arity: u8,
}

/// Instructions that a vector loop computes, [`LONGEST`] at most; their results lie side by side.
pub(crate) struct Piece {
    /// The first of them.
    pub first: One,
    pub n: u32,
    /// How the operands of the others lie.
    pub lined: [Lined; 3],
    pub lanes: Lanes,
    /// For each operand: the loops that repeat one and that gather several.
    pub together: [(Lanes, Lanes); 3],
}

/// The most instructions of a [`Piece`]: operands that are brought together stay in cache.
pub(crate) const LONGEST: usize = 512;

/// How operands of a [`Piece`] lie, of which the first instruction names the first.
#[derive(Clone, Copy)]
pub(crate) enum Lined {
    /// Side by side.
    Run,
    /// All the same.
    Same,
    /// Where `positions` say, from this one.
    Listed(u32),
}

impl Piece {
    /// The register of operand `k` of instruction `i`.
    fn operand(&self, k: usize, i: usize, positions: &[u32]) -> usize {
        let first = self.first.from[k] as usize;
        match self.lined[k] {
            Lined::Run => first + i * self.first.dtypes[k].size(),
            Lined::Same => first,
            Lined::Listed(list) => positions[list as usize + i] as usize,
        }
    }
}

/// `out[b] = left[b] @ right[b]`, or the product is added to what is there. Rows of `out` are whole.
pub(crate) struct MatMul {
    pub dtype: DType,
    pub batch: PerAxis<usize>,
    pub m: usize,
    pub k: usize,
    pub n: usize,
    pub left: Operand,
    pub right: Operand,
    pub out: Operand,
    /// Whether `out` holds nothing yet.
    pub first: bool,
}

impl MatMul {
    /// How many products.
    pub fn stack(&self) -> usize {
        self.batch.iter().product()
    }
}

/// A kernel that is not fused; its result is contiguous.
pub(crate) struct Single {
    pub what: SingleKind,
    pub dtype: DType,
    /// The index space: of the result, but for scatter and sort of the first operand.
    pub dims: PerAxis<usize>,
    pub operands: Vec<Operand>,
    pub out: u32,
    /// The Value that it computes, by position, for messages.
    pub origin: u32,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum SingleKind {
    Random { stream: u32 },
    Gather { axis: usize, len: usize },
    ScatterAdd { axis: usize, len: usize },
    CumSum { axis: usize, reverse: bool },
    ArgSort { axis: usize, descending: bool },
    ArgReduce { which: Extreme, axis: usize },
}

/// Kernels (loops and stacks of products) that run one after the other for each tile of the outer
/// axis that they share: part `i` of `extent` of each reads what parts `i` of those before it wrote.
pub(crate) struct Tiled {
    pub kernels: Vec<Kernel>,
    pub extent: usize,
    /// Of how many parts a tile is.
    pub length: usize,
    /// Arrays of which there is only one tile at a time, in memory of each thread.
    pub local: Vec<Local>,
    /// How much memory these take.
    pub bytes: usize,
    /// How much memory the copies of what tiles meet in take. The executor says.
    pub copies: usize,
}

/// An array of which there is only one tile at a time.
pub(crate) struct Local {
    pub buffer: u32,
    /// Where the tile is in the thread's memory.
    pub offset: usize,
    /// Bytes of one part.
    pub part: usize,
}

impl Kernel {
    /// Buffers that it reads, and those that it writes.
    pub fn touches(&self) -> impl Iterator<Item = u32> {
        self.reads().into_iter().chain(self.writes())
    }

    /// Buffers that it reads.
    pub fn reads(&self) -> Vec<u32> {
        match self {
            Kernel::Loop(l) => l.loads.iter().map(|l| l.from.buffer).collect(),
            Kernel::Scalars(s) => s.loads.iter().map(|l| l.buffer).collect(),
            Kernel::MatMul(m) => vec![m.left.buffer, m.right.buffer],
            Kernel::Single(s) => s.operands.iter().map(|o| o.buffer).collect(),
            Kernel::Tiled(t) => t.kernels.iter().flat_map(Kernel::reads).collect(),
        }
    }

    /// Makes it read one buffer where it read another.
    pub fn read_instead(&mut self, of: u32, other: u32) {
        let change = |b: &mut u32| {
            if *b == of {
                *b = other;
            }
        };
        match self {
            Kernel::Loop(l) => l.loads.iter_mut().for_each(|x| change(&mut x.from.buffer)),
            Kernel::Scalars(s) => s.loads.iter_mut().for_each(|x| change(&mut x.buffer)),
            Kernel::MatMul(m) => [&mut m.left, &mut m.right]
                .into_iter()
                .for_each(|o| change(&mut o.buffer)),
            Kernel::Single(s) => s.operands.iter_mut().for_each(|o| change(&mut o.buffer)),
            Kernel::Tiled(t) => t.kernels.iter_mut().for_each(|k| k.read_instead(of, other)),
        }
    }

    /// Buffers that it writes.
    pub fn writes(&self) -> Vec<u32> {
        match self {
            Kernel::Loop(l) => {
                let folds = l.folds.iter().map(|f| f.to.buffer);
                l.stores.iter().map(|s| s.to.buffer).chain(folds).collect()
            }
            Kernel::Scalars(s) => s.stores.iter().map(|s| s.buffer).collect(),
            Kernel::MatMul(m) => vec![m.out.buffer],
            Kernel::Single(s) => vec![s.out],
            Kernel::Tiled(t) => t.kernels.iter().flat_map(Kernel::writes).collect(),
        }
    }

    /// Whether it writes each element of its part of a buffer once, without reading any.
    pub fn stores_to(&self, buffer: u32) -> bool {
        let stores = match self {
            Kernel::Loop(l) => l.folds.iter().all(|f| f.to.buffer != buffer),
            Kernel::MatMul(m) => m.first,
            _ => false,
        };
        stores && !self.reads().contains(&buffer)
    }
}

impl fmt::Display for Program {
    /// The listing: a line a kernel, and under a loop a line an instruction.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "program: {} kernels, arena {} bytes",
            self.kernels.len(),
            self.arena
        )?;
        for (i, kernel) in self.kernels.iter().enumerate() {
            write!(f, "{i:>3} ")?;
            self.kernel(f, kernel)?;
        }
        let outputs: Vec<String> = self
            .outputs
            .iter()
            .map(|o| match o {
                Output::Made { n, in_place: None } => format!("out{n}"),
                Output::Made {
                    n,
                    in_place: Some(slot),
                } => format!("out{n} over in{slot}"),
                Output::Input(slot) => format!("in{slot}"),
            })
            .collect();
        write!(f, "return {}", outputs.join(", "))
    }
}

impl Program {
    fn name(&self, buffer: u32) -> String {
        match self.buffers[buffer as usize].place {
            Place::Input(slot) => format!("in{slot}"),
            Place::Output(n) => format!("out{n}"),
            Place::Arena(offset) => format!("@{offset}"),
            Place::Tile => format!("tile{buffer}"),
        }
    }

    fn operand(&self, o: &Operand) -> String {
        let offset = if o.view.offset == 0 {
            String::new()
        } else {
            format!("+{}", o.view.offset)
        };
        format!("{}{offset}{:?}", self.name(o.buffer), &o.view.strides[..])
    }

    fn kernel(&self, f: &mut fmt::Formatter<'_>, kernel: &Kernel) -> fmt::Result {
        let number = |n: &Number| match n {
            Number::Known(x) => format!("{x}"),
            Number::Bound(slot) => format!("number{slot}"),
        };
        match kernel {
            Kernel::Loop(l) => {
                writeln!(f, "loop {:?}", &l.dims[..])?;
                for (n, dtype, r) in &l.numbers {
                    writeln!(f, "      r{r} = {} {dtype}", number(n))?;
                }
                for load in &l.loads {
                    writeln!(
                        f,
                        "      r{} = load {} {}",
                        load.register,
                        self.operand(&load.from),
                        load.dtype
                    )?;
                }
                for i in &l.code {
                    let from: Vec<String> = i.operands().iter().map(|r| format!("r{r}")).collect();
                    write!(f, "      r{} = {} ", i.to, i.what.name(i.dtype))?;
                    match i.then {
                        Some(then) => {
                            let (first, rest) = from.split_at(2);
                            let mut words =
                                vec![first.join(" "), "then".into(), then.name().into()];
                            words.extend_from_slice(rest);
                            writeln!(f, "{}", words.join(" "))?;
                        }
                        None => writeln!(f, "{}", from.join(" "))?,
                    }
                }
                for s in &l.stores {
                    writeln!(f, "      {} = r{}", self.operand(&s.to), s.register)?;
                }
                for s in &l.folds {
                    let name = format!("{:?}", s.reduction).to_lowercase();
                    let sign = if s.first { "=" } else { "+=" };
                    let to = self.operand(&s.to);
                    writeln!(f, "      {to} {sign} {name} r{}", s.register)?;
                }
                Ok(())
            }
            Kernel::Scalars(s) => {
                writeln!(f, "scalars")?;
                for (n, dtype, r) in &s.numbers {
                    writeln!(f, "      r{r} = {} {dtype}", number(n))?;
                }
                for l in &s.loads {
                    writeln!(
                        f,
                        "      r{} = load {}+{} {}",
                        l.register,
                        self.name(l.buffer),
                        l.offset,
                        l.dtype
                    )?;
                }
                for code in &s.code {
                    let (one, n) = match code {
                        Scalar::One(one) => (one, 1),
                        Scalar::Piece(p) => (&p.first, p.n as usize),
                    };
                    let arity = one.arity as usize;
                    let name = one.what.name(one.dtypes[arity - 1]);
                    for i in 0..n {
                        let from = (0..arity).map(|k| match code {
                            Scalar::One(_) => one.from[k] as usize,
                            Scalar::Piece(p) => p.operand(k, i, &s.positions),
                        });
                        let from: Vec<String> = from.map(|r| format!("r{r}")).collect();
                        let to = one.to as usize + i * one.dtypes[3].size();
                        writeln!(f, "      r{to} = {name} {}", from.join(" "))?;
                    }
                }
                for l in &s.stores {
                    writeln!(
                        f,
                        "      {}+{} = r{}",
                        self.name(l.buffer),
                        l.offset,
                        l.register
                    )?;
                }
                Ok(())
            }
            Kernel::MatMul(m) => writeln!(
                f,
                "{} {} matmul {} {} {:?}x[{}, {}, {}] {}",
                self.operand(&m.out),
                if m.first { "=" } else { "+=" },
                self.operand(&m.left),
                self.operand(&m.right),
                &m.batch[..],
                m.m,
                m.k,
                m.n,
                m.dtype
            ),
            Kernel::Single(s) => {
                let operands: Vec<String> = s.operands.iter().map(|o| self.operand(o)).collect();
                writeln!(
                    f,
                    "{} = {:?} {:?} {} {}",
                    self.name(s.out),
                    s.what,
                    &s.dims[..],
                    operands.join(" "),
                    s.dtype
                )
            }
            Kernel::Tiled(t) => {
                writeln!(f, "tiles of {} of {}", t.length, t.extent)?;
                t.kernels.iter().try_for_each(|kernel| {
                    write!(f, "    ")?;
                    self.kernel(f, kernel)
                })
            }
        }
    }
}

impl Operation {
    fn name(&self, dtype: DType) -> String {
        match self {
            Operation::Row(row) => format!("{} {dtype}", row.0.name),
            Operation::Cast(to) => format!("cast {dtype} {to}"),
        }
    }
}
