//! Several borrows of one slice at once, checked and without `unsafe`.

use std::ops::Range;

/// Borrows ranges of `arena`: those in `reads` shared, those in `writes` exclusively.
///
/// # Panics
/// If a range lies outside the arena, or a range in `writes` overlaps any other. A [`Plan`] has no such
/// step, see [`Plan::verify`].
///
/// [`Plan`]: crate::plan::Plan
/// [`Plan::verify`]: crate::plan::Plan::verify
pub(super) fn borrow<const R: usize, const W: usize>(
    arena: &mut [f32],
    reads: [Range<usize>; R],
    writes: [Range<usize>; W],
) -> ([&[f32]; R], [&mut [f32]; W]) {
    let mut order: [usize; W] = std::array::from_fn(|index| index);
    order.sort_unstable_by_key(|&index| writes[index].start);

    // Cut the writes out from left to right; what lies before each is a gap that may be shared.
    let mut taken: [Option<&mut [f32]>; W] = [const { None }; W];
    let mut gaps: [(usize, &[f32]); W] = [(0, &[]); W];
    let (mut rest, mut start) = (arena, 0);
    for (gap, index) in gaps.iter_mut().zip(order) {
        let Range { start: from, end } = writes[index].clone();
        assert!(start <= from && from <= end, "two outputs of one kernel overlap");
        let (before, tail) = rest.split_at_mut(from - start);
        let (write, tail) = tail.split_at_mut(end - from);
        *gap = (start, before);
        taken[index] = Some(write);
        (rest, start) = (tail, end);
    }
    let last: (usize, &[f32]) = (start, rest);

    let shared = reads.map(|read| {
        let inside = |gap: &(usize, &[f32])| read.start >= gap.0 && read.end <= gap.0 + gap.1.len();
        let (start, gap) = if inside(&last) {
            last
        } else {
            *gaps.iter().find(|gap| inside(gap)).expect("an input of a kernel overlaps its output")
        };
        &gap[read.start - start..read.end - start]
    });
    (shared, taken.map(|write| write.expect("every write was cut out above")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_may_overlap_each_other() {
        let mut arena: Vec<f32> = (0..10).map(|i| i as f32).collect();
        let ([a, b, c], [y, z]) = borrow(&mut arena, [0..3, 1..3, 8..10], [6..8, 3..5]);
        assert_eq!((a, b, c), (&[0.0, 1.0, 2.0][..], &[1.0, 2.0][..], &[8.0, 9.0][..]));
        assert_eq!((&*y, &*z), (&[6.0, 7.0][..], &[3.0, 4.0][..]));
    }

    #[test]
    #[should_panic(expected = "an input of a kernel overlaps its output")]
    fn a_read_must_not_overlap_a_write() {
        let _ = borrow(&mut [0.0; 8], [0..1, 0..4], [3..5, 5..6]);
    }

    #[test]
    #[should_panic(expected = "two outputs of one kernel overlap")]
    fn writes_must_not_overlap() {
        let _ = borrow(&mut [0.0; 8], [], [0..4, 3..5]);
    }
}
