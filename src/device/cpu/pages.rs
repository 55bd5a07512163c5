//! Memory in large pages.
//!
//! A tile of a matrix product reads every channel, and channels of a batch lie many pages apart. With pages of
//! 2 MiB instead of 4 KiB the processor knows the addresses of all of them, and the first touch of an arena
//! asks the system for far fewer.

/// Zeros, in large pages where the system has them and is asked before memory is touched.
pub(in super::super) fn zeros(len: usize) -> Vec<f32> {
    let mut numbers = vec![0.0; len];
    advise(&mut numbers);
    numbers
}

#[cfg(target_os = "linux")]
fn advise(numbers: &mut [f32]) {
    /// Advice is given for whole pages; those at the ends are not asked for.
    const PAGE: usize = 4096;
    let start = numbers.as_ptr().align_offset(PAGE);
    let Some(inside) = numbers.get_mut(start..) else { return };
    // A wish that is not granted changes nothing, so the result is not looked at.
    // SAFETY: the range is inside of a slice that is borrowed exclusively, and the advice changes no byte.
    unsafe {
        libc::madvise(inside.as_mut_ptr().cast(), size_of_val(inside), libc::MADV_HUGEPAGE);
    }
}

#[cfg(not(target_os = "linux"))]
fn advise(_: &mut [f32]) {}

#[cfg(test)]
mod tests {
    use super::zeros;

    #[test]
    fn large_and_small_pieces_are_zeros() {
        for len in [0, 1, 1023, 3 << 19] {
            let numbers = zeros(len);
            assert_eq!(numbers.len(), len);
            assert!(numbers.iter().all(|&x| x == 0.0));
        }
    }
}
