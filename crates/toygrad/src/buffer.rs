//! Shared arrays. The memory of large ones that programs made is kept when nobody holds them any more,
//! for the results of the next programs: the system clears each page that it gives, which takes as
//! long as computing what goes into it.

use crate::DType;
use crate::dtype::Data;
use std::collections::VecDeque;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard};

/// A shared array.
pub(crate) type Buffer = Arc<Array>;

/// Bytes from which memory is kept; what is smaller the allocator keeps itself.
const LARGE: usize = 1 << 16;
/// Bytes that are kept at most; one array may be larger.
const MOST: usize = 1 << 28;

/// The elements of an array.
pub(crate) struct Array {
    data: Data,
    /// Whether its memory is kept: that of large arrays that programs made. What users allocate goes
    /// back to where they allocate.
    keep: bool,
}

impl Array {
    /// Of elements that come from elsewhere.
    pub fn given(data: Data) -> Array {
        Array { data, keep: false }
    }

    /// Empty, with room for `len` elements, which a program makes.
    pub fn with_capacity(dtype: DType, len: usize) -> Array {
        let keep = len * dtype.size() >= LARGE;
        let kept = keep.then(|| kept().take(dtype, len)).flatten();
        let data = kept.unwrap_or_else(|| Data::with_capacity(dtype, len));
        Array { data, keep }
    }
}

impl Deref for Array {
    type Target = Data;
    fn deref(&self) -> &Data {
        &self.data
    }
}

impl DerefMut for Array {
    fn deref_mut(&mut self) -> &mut Data {
        &mut self.data
    }
}

impl Drop for Array {
    fn drop(&mut self) {
        if self.keep {
            let data = std::mem::replace(&mut self.data, Data::U8(Vec::new().into()));
            // What is too much is freed when others may take again.
            let _gone = kept().give(data);
        }
    }
}

/// Memory of arrays that nobody holds, the oldest first.
struct Kept {
    arrays: VecDeque<Data>,
    bytes: usize,
}

impl Kept {
    const NONE: Kept = Kept {
        arrays: VecDeque::new(),
        bytes: 0,
    };

    /// The last that came with room for so many.
    fn take(&mut self, dtype: DType, len: usize) -> Option<Data> {
        let fits = |kept: &Data| kept.holds(dtype) && kept.fits(len);
        let i = self.arrays.iter().rposition(fits)?;
        let data = self.arrays.remove(i)?;
        self.bytes -= data.bytes();
        Some(data)
    }

    /// Keeps one; those that are too many then.
    fn give(&mut self, mut data: Data) -> Vec<Data> {
        data.clear();
        self.bytes += data.bytes();
        self.arrays.push_back(data);
        let mut gone = Vec::new();
        while self.bytes > MOST && self.arrays.len() > 1 {
            let oldest = self.arrays.pop_front();
            self.bytes -= oldest.as_ref().map_or(0, Data::bytes);
            gone.extend(oldest);
        }
        gone
    }
}

/// What all threads keep.
static KEPT: Mutex<Kept> = Mutex::new(Kept::NONE);

fn kept() -> MutexGuard<'static, Kept> {
    // Nothing panics while it is locked.
    KEPT.lock().unwrap_or_else(|e| e.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(len: usize) -> Data {
        Data::F32(vec![1.0; len].into())
    }

    #[test]
    fn memory_comes_back_for_arrays_of_its_size_and_dtype() {
        let mut kept = Kept::NONE;
        let (first, second) = (data(100), data(100));
        let address = second.as_ptr();
        assert!(kept.give(first).is_empty() && kept.give(second).is_empty());
        assert!(kept.take(DType::F32, 99).is_none());
        assert!(kept.take(DType::F32, 101).is_none());
        assert!(kept.take(DType::I64, 100).is_none());
        let last = kept.take(DType::F32, 100).expect("the last one");
        assert_eq!((last.as_ptr(), last.len()), (address, 0));
        assert!(kept.take(DType::F32, 100).is_some());
        assert!(kept.take(DType::F32, 100).is_none());
        assert_eq!(kept.bytes, 0);
    }

    #[test]
    fn the_oldest_goes_where_too_much_is_kept() {
        let mut kept = Kept::NONE;
        // Reserved, not touched: it takes no memory.
        let data = |len| Data::with_capacity(DType::F32, len);
        let part = MOST / 4 / 4;
        for i in 0..4 {
            assert_eq!(kept.give(data(part + i)).len(), usize::from(i == 3));
        }
        assert!(kept.bytes <= MOST && kept.arrays.len() == 3);
        assert!(kept.take(DType::F32, part).is_none());
        // One may be larger than all that is kept otherwise; the next drives it away.
        assert_eq!(kept.give(data(MOST)).len(), 3);
        assert_eq!(kept.arrays.len(), 1);
        assert_eq!(kept.give(data(1)).len(), 1);
        assert_eq!(kept.bytes, 4);
    }

    /// Those of some length; what users give stays where it is.
    #[test]
    fn arrays_begin_on_a_line_of_the_cache() {
        for dtype in DType::ALL {
            for len in [1, 100, 1023, 1024, 5000, LARGE] {
                let mut array = Array::with_capacity(dtype, len);
                assert!(array.fits(len) && !array.fits(len + 1) && array.is_empty());
                if len * dtype.size() >= 1024 {
                    assert!(
                        array.as_mut_ptr().addr().is_multiple_of(64),
                        "{dtype} {len}"
                    );
                }
            }
        }
        let given = vec![1.5f32; 5000];
        let address = given.as_ptr().addr();
        let mut array = Array::given(Data::F32(given.into()));
        assert_eq!(array.as_mut_ptr().addr(), address);
        assert_eq!((array.len(), array.get(4999)), (5000, 1.5));
    }

    /// Arrays that programs make, not those that users give.
    #[test]
    fn arrays_of_programs_are_kept() {
        // A size that no other test has.
        let len = LARGE + 12345;
        drop(Array::given(Data::U8(vec![0; len].into())));
        assert!(kept().take(DType::U8, len).is_none());
        let mut array = Array::with_capacity(DType::Bool, len);
        let address = array.as_mut_ptr();
        drop(array);
        let mut again = Array::with_capacity(DType::U8, len);
        assert_eq!(again.as_mut_ptr(), address);
        for small in [77, LARGE - 1] {
            drop(Array::with_capacity(DType::U8, small));
            assert!(kept().take(DType::U8, small).is_none());
        }
    }
}
