//! Buffers that a thread keeps between kernel calls.

use std::cell::RefCell;

thread_local! {
    // A stack of buffers and not one, because a thread that waits inside a kernel for its parts may
    // meanwhile run parts of its own.
    static FREE: RefCell<Vec<Vec<f32>>> = const { RefCell::new(Vec::new()) };
}

/// Numbers in a cache line.
const LINE: usize = 16;

/// Runs `f` with a buffer of `len` numbers of unspecified content that starts on a cache line.
pub(super) fn with_scratch<R>(len: usize, f: impl FnOnce(&mut [f32]) -> R) -> R {
    let mut buffer = FREE.with_borrow_mut(Vec::pop).unwrap_or_default();
    if buffer.len() < len + LINE {
        buffer.resize(len + LINE, 0.0);
    }
    let start = buffer.as_ptr().align_offset(LINE * size_of::<f32>()).min(LINE);
    let result = f(&mut buffer[start..start + len]);
    FREE.with_borrow_mut(|free| free.push(buffer));
    result
}

/// The same with numbers in double precision.
pub(super) fn with_doubles<R>(len: usize, f: impl FnOnce(&mut [f64]) -> R) -> R {
    with_scratch(2 * len, |buffer| {
        // SAFETY: any eight bytes are an `f64`.
        let (before, doubles, _) = unsafe { buffer.align_to_mut::<f64>() };
        assert!(before.is_empty(), "a buffer starts on a cache line");
        f(&mut doubles[..len])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nested_buffers_are_distinct() {
        with_scratch(8, |outer| {
            outer.fill(1.0);
            with_scratch(8, |inner| inner.fill(2.0));
            assert_eq!(outer, [1.0; 8]);
        });
        with_scratch(100, |buffer| assert_eq!(buffer.len(), 100));
        with_doubles(7, |buffer| assert_eq!(buffer.len(), 7));
    }
}
