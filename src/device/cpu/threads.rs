//! When to split work among threads, and shared access to the output for tiles that do not overlap.

use std::marker::PhantomData;

/// Below this many steps (an element touched, or about 16 multiply-adds) handing work to other threads, which are
/// awake during a pass, costs more than they save.
const WORTH_SPLITTING: usize = 1 << 13;

/// Elements of one tile of an elementwise kernel.
pub(super) const CHUNK: usize = 1 << 14;

/// The shortest run of tiles that one thread should take, for rayon's `with_min_len`: all of them
/// if the whole work is small, so that rayon neither splits nor wakes anybody.
///
/// Only who computes a tile depends on this, never the tile.
pub(super) fn min_tiles(work: usize) -> usize {
    if work < WORTH_SPLITTING { usize::MAX } else { 1 }
}

/// An output of which several threads write disjoint segments.
#[derive(Clone, Copy)]
pub(super) struct SharedOutput<'a> {
    start: *mut f32,
    len: usize,
    borrow: PhantomData<&'a mut [f32]>,
}

// SAFETY: the only access is `segment`, whose contract keeps the threads apart.
unsafe impl Send for SharedOutput<'_> {}
// SAFETY: as above.
unsafe impl Sync for SharedOutput<'_> {}

impl<'a> SharedOutput<'a> {
    /// Takes the output for the lifetime of the borrow.
    pub(super) fn new(output: &'a mut [f32]) -> SharedOutput<'a> {
        SharedOutput { start: output.as_mut_ptr(), len: output.len(), borrow: PhantomData }
    }

    /// From a number on.
    ///
    /// # Panics
    /// If that is not inside the output.
    pub(super) fn from(self, offset: usize) -> SharedOutput<'a> {
        assert!(offset <= self.len, "offset outside the output");
        // SAFETY: at most one past the end, by the assertion.
        let start = unsafe { self.start.add(offset) };
        SharedOutput { start, len: self.len - offset, ..self }
    }

    /// The segment of `len` numbers at `offset`.
    ///
    /// # Panics
    /// If the segment is not inside the output.
    ///
    /// # Safety
    /// While the segment is in use, no overlapping segment is.
    #[inline(always)]
    pub(super) unsafe fn segment(&self, offset: usize, len: usize) -> &'a mut [f32] {
        assert!(offset <= self.len && len <= self.len - offset, "segment outside the output");
        // SAFETY: inside the borrowed slice by the assertion; not aliased by the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(offset), len) }
    }

    /// The same to read.
    ///
    /// # Panics
    /// If the segment is not inside the output.
    ///
    /// # Safety
    /// While the segment is in use, no overlapping one that is written to is.
    pub(super) unsafe fn view(&self, offset: usize, len: usize) -> &'a [f32] {
        assert!(offset <= self.len && len <= self.len - offset, "segment outside the output");
        // SAFETY: inside the borrowed slice by the assertion; not written to by the caller's promise.
        unsafe { std::slice::from_raw_parts(self.start.add(offset), len) }
    }
}
