//! Memory of which several kernels, or one kernel for several channels, borrow parts at the same time.

use std::ops::Range;

use super::threads::SharedOutput;

/// Numbers lent to the steps of a pass.
#[derive(Clone, Copy)]
pub(super) struct Memory<'a>(SharedOutput<'a>);

impl<'a> Memory<'a> {
    /// Lends the numbers for the lifetime of the borrow.
    pub(super) fn new(numbers: &'a mut [f32]) -> Memory<'a> {
        Memory(SharedOutput::new(numbers))
    }

    /// Borrows ranges: those in `reads` shared, those in `writes` exclusively.
    ///
    /// # Panics
    /// If a range lies outside the memory, or a range in `writes` overlaps any other. A [`Plan`] has no such
    /// step, see [`Plan::verify`].
    ///
    /// # Safety
    /// While the slices are in use, no other borrow of this memory overlaps one in `writes`, and none that
    /// writes overlaps one in `reads`.
    ///
    /// [`Plan`]: crate::plan::Plan
    /// [`Plan::verify`]: crate::plan::Plan::verify
    pub(super) unsafe fn borrow<const R: usize, const W: usize>(
        &self,
        reads: [Range<usize>; R],
        writes: [Range<usize>; W],
    ) -> ([&'a [f32]; R], [&'a mut [f32]; W]) {
        for (index, write) in writes.iter().enumerate() {
            let overlaps =
                |other: &Range<usize>| other.start < write.end && write.start < other.end;
            assert!(!writes[..index].iter().any(overlaps), "two outputs of one kernel overlap");
            assert!(!reads.iter().any(overlaps), "an input of a kernel overlaps its output");
        }
        // SAFETY: the ranges of this call do not overlap by the assertions, nor other borrows by the caller's
        // promise.
        let read = |range: Range<usize>| unsafe { self.0.view(range.start, range.len()) };
        // SAFETY: as above.
        let write = |range: Range<usize>| unsafe { self.0.segment(range.start, range.len()) };
        (reads.map(read), writes.map(write))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_may_overlap_each_other() {
        let mut numbers: Vec<f32> = (0..10).map(|i| i as f32).collect();
        let memory = Memory::new(&mut numbers);
        // SAFETY: the only borrow.
        let ([a, b, c], [y, z]) = unsafe { memory.borrow([0..3, 1..3, 8..10], [6..8, 3..5]) };
        assert_eq!((a, b, c), (&[0.0, 1.0, 2.0][..], &[1.0, 2.0][..], &[8.0, 9.0][..]));
        assert_eq!((&*y, &*z), (&[6.0, 7.0][..], &[3.0, 4.0][..]));
    }

    #[test]
    #[should_panic(expected = "an input of a kernel overlaps its output")]
    fn a_read_must_not_overlap_a_write() {
        let mut numbers = [0.0; 8];
        // SAFETY: the only borrow.
        let _ = unsafe { Memory::new(&mut numbers).borrow([0..1, 0..4], [3..5, 5..6]) };
    }

    #[test]
    #[should_panic(expected = "two outputs of one kernel overlap")]
    fn writes_must_not_overlap() {
        let mut numbers = [0.0; 8];
        // SAFETY: the only borrow.
        let _ = unsafe { Memory::new(&mut numbers).borrow([], [0..4, 3..5]) };
    }
}
