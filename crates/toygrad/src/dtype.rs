//! Element types and the arrays that hold them.

use std::fmt;
use std::mem::discriminant;
use std::ops::Deref;

/// The type of a [`Value`](crate::Value)'s elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DType {
    /// Truth values, the result of comparisons.
    Bool,
    /// Bytes: images, characters, masks.
    U8,
    /// Whole numbers: indices and class labels. Arithmetic wraps around.
    I64,
    /// Single precision; what networks are trained in.
    F32,
    /// Double precision; what gradient checks and science want.
    F64,
}

impl DType {
    /// Every dtype, from the narrowest to the widest.
    pub const ALL: [DType; 5] = [DType::Bool, DType::U8, DType::I64, DType::F32, DType::F64];

    /// Whether it is `F32` or `F64`; only these carry gradients.
    pub fn is_float(self) -> bool {
        matches!(self, DType::F32 | DType::F64)
    }

    /// Bytes of one element.
    pub fn size(self) -> usize {
        match self {
            DType::Bool | DType::U8 => 1,
            DType::F32 => 4,
            DType::I64 | DType::F64 => 8,
        }
    }

    /// The dtype that holds a result of both, as in PyTorch: the wider kind wins.
    pub fn promote(self, other: DType) -> DType {
        self.max(other)
    }

    /// The dtype in which functions of real numbers (`exp`, `/`, ...) are computed.
    pub fn to_float(self) -> DType {
        if self.is_float() { self } else { DType::F32 }
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DType::Bool => "bool",
            DType::U8 => "u8",
            DType::I64 => "i64",
            DType::F32 => "f32",
            DType::F64 => "f64",
        })
    }
}

/// The elements of an array, row by row (not part of the public interface). Truth values are stored as bytes 0 and 1.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum Data {
    U8(Elements<u8>),
    I64(Elements<i64>),
    F32(Elements<f32>),
    F64(Elements<f64>),
}

/// The numbers of an array, in a vector that users gave, or one that begins with as many more as put
/// the first on a line of the cache (not part of the public interface).
#[derive(Clone, Debug)]
pub struct Elements<T> {
    all: Vec<T>,
    start: usize,
}

/// Bytes of a line of the cache. A vector register of AVX-512 is as long: each load that does not
/// begin on a line takes two.
const LINE: usize = 64;

/// Bytes from which arrays begin on a line.
const ALIGNED: usize = 1024;

impl<T> Elements<T> {
    fn with_capacity(len: usize) -> Elements<T>
    where
        T: Default + Clone,
    {
        let mut all: Vec<T> = Vec::with_capacity(Elements::<T>::room(len));
        let start = all.as_ptr().align_offset(LINE).min(all.capacity() - len);
        all.resize(start, T::default());
        Elements { all, start }
    }

    /// How many numbers there is room for in the vector of `len` elements.
    fn room(len: usize) -> usize {
        match len * size_of::<T>() >= ALIGNED {
            true => len + LINE / size_of::<T>(),
            false => len,
        }
    }

    /// The vector, and where in it the elements begin.
    pub(crate) fn parts_mut(&mut self) -> (&mut Vec<T>, usize) {
        (&mut self.all, self.start)
    }
}

impl<T> From<Vec<T>> for Elements<T> {
    fn from(all: Vec<T>) -> Elements<T> {
        Elements { all, start: 0 }
    }
}

impl<T> Deref for Elements<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        &self.all[self.start..]
    }
}

impl<T: PartialEq> PartialEq for Elements<T> {
    fn eq(&self, other: &Elements<T>) -> bool {
        **self == **other
    }
}

/// Runs `$body` with `$v` bound to the vector inside a [`Data`].
macro_rules! each_data {
    ($data:expr, $v:ident => $body:expr) => {
        match $data {
            $crate::dtype::Data::U8($v) => $body,
            $crate::dtype::Data::I64($v) => $body,
            $crate::dtype::Data::F32($v) => $body,
            $crate::dtype::Data::F64($v) => $body,
        }
    };
}
pub(crate) use each_data;

#[allow(missing_docs)]
impl Data {
    /// Empty, with room for `len` elements.
    pub fn with_capacity(dtype: DType, len: usize) -> Data {
        match dtype {
            DType::U8 | DType::Bool => Data::U8(Elements::with_capacity(len)),
            DType::I64 => Data::I64(Elements::with_capacity(len)),
            DType::F32 => Data::F32(Elements::with_capacity(len)),
            DType::F64 => Data::F64(Elements::with_capacity(len)),
        }
    }

    /// A number converted to `dtype`: truncated towards zero and clamped for whole numbers,
    /// non-zero is true.
    pub fn of_number(dtype: DType, x: f64) -> Data {
        match dtype {
            DType::Bool => Data::U8(vec![(x != 0.0) as u8].into()),
            DType::U8 => Data::U8(vec![x as u8].into()),
            DType::I64 => Data::I64(vec![x as i64].into()),
            DType::F32 => Data::F32(vec![x as f32].into()),
            DType::F64 => Data::F64(vec![x].into()),
        }
    }

    pub fn len(&self) -> usize {
        each_data!(self, v => v.len())
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether it has the memory of an array of `len` elements, no more and no less.
    pub fn fits(&self, len: usize) -> bool {
        fn fits<T>(v: &Elements<T>, len: usize) -> bool {
            v.all.capacity() == Elements::<T>::room(len)
        }
        each_data!(self, v => fits(v, len))
    }

    /// Bytes of memory that it has.
    pub fn bytes(&self) -> usize {
        fn of<T>(v: &Elements<T>) -> usize {
            v.all.capacity() * size_of::<T>()
        }
        each_data!(self, v => of(v))
    }

    /// Forgets the elements; the memory stays.
    pub fn clear(&mut self) {
        each_data!(self, v => v.all.truncate(v.start));
    }

    /// Whether elements of this dtype are stored in such an array.
    pub fn holds(&self, dtype: DType) -> bool {
        discriminant(self) == discriminant(&Data::with_capacity(dtype, 0))
    }

    /// Element `i` as an f64.
    pub fn get(&self, i: usize) -> f64 {
        match self {
            Data::U8(v) => f64::from(v[i]),
            Data::I64(v) => v[i] as f64,
            Data::F32(v) => f64::from(v[i]),
            Data::F64(v) => v[i],
        }
    }

    pub fn to_f64(&self) -> Vec<f64> {
        (0..self.len()).map(|i| self.get(i)).collect()
    }

    pub fn as_mut_ptr(&mut self) -> *mut u8 {
        each_data!(self, v => v.all.as_mut_ptr().wrapping_add(v.start).cast())
    }

    pub fn as_ptr(&self) -> *const u8 {
        each_data!(self, v => v.all.as_ptr().wrapping_add(v.start).cast())
    }
}

/// A Rust number that a [`Value`](crate::Value) is made from or read as.
///
/// `i32`, `u32` and `usize` are stored as [`DType::I64`]. Reading converts as Rust's `as` does.
pub trait Element: Copy + Send + Sync + 'static + sealed::Sealed {
    /// The dtype of a Value made from these.
    const DTYPE: DType;
    #[doc(hidden)]
    fn from_f64(x: f64) -> Self;
    #[doc(hidden)]
    fn from_i64(x: i64) -> Self;
}

pub(crate) mod sealed {
    #![allow(missing_docs)]
    use super::Data;
    pub trait Sealed: Sized {
        fn pack(elements: Vec<Self>) -> Data;
    }
}

macro_rules! element {
    ($($t:ty, $dtype:ident, |$v:ident| $pack:expr;)*) => {$(
        impl Element for $t {
            const DTYPE: DType = DType::$dtype;
            fn from_f64(x: f64) -> Self { x as $t }
            fn from_i64(x: i64) -> Self { x as $t }
        }
        impl sealed::Sealed for $t {
            fn pack($v: Vec<Self>) -> Data { $pack }
        }
    )*};
}

element! {
    f32, F32, |v| Data::F32(v.into());
    f64, F64, |v| Data::F64(v.into());
    i64, I64, |v| Data::I64(v.into());
    u8, U8, |v| Data::U8(v.into());
    i32, I64, |v| Data::I64(v.into_iter().map(i64::from).collect::<Vec<_>>().into());
    u32, I64, |v| Data::I64(v.into_iter().map(i64::from).collect::<Vec<_>>().into());
    usize, I64, |v| Data::I64(v.into_iter().map(|x| x as i64).collect::<Vec<_>>().into());
}

impl Element for bool {
    const DTYPE: DType = DType::Bool;
    fn from_f64(x: f64) -> Self {
        x != 0.0
    }
    fn from_i64(x: i64) -> Self {
        x != 0
    }
}

impl sealed::Sealed for bool {
    fn pack(v: Vec<Self>) -> Data {
        Data::U8(v.into_iter().map(u8::from).collect::<Vec<_>>().into())
    }
}

/// The elements of `data` as numbers of type `T`.
pub(crate) fn read<T: Element>(data: &Data) -> Vec<T> {
    match data {
        Data::U8(v) => v.iter().map(|&x| T::from_i64(i64::from(x))).collect(),
        Data::I64(v) => v.iter().map(|&x| T::from_i64(x)).collect(),
        Data::F32(v) => v.iter().map(|&x| T::from_f64(f64::from(x))).collect(),
        Data::F64(v) => v.iter().map(|&x| T::from_f64(x)).collect(),
    }
}
