//! The threads of a pool, kept from falling asleep between the kernels of a pass.
//!
//! A pass is hundreds of kernels of some microseconds each, with a moment on one thread between them. Left alone,
//! rayon's other threads fall asleep in such a moment, and to wake one takes as long as a small kernel.

use std::hint::spin_loop;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use rayon::{BroadcastContext, Yield};

/// Passes that run in this process.
static RUNNING: AtomicUsize = AtomicUsize::new(0);

/// How often a thread looks for work before it lets others have the processor.
const LOOKS: usize = 64;

/// Runs a pass on a thread of the pool, where a kernel that splits its work waits for none to take it over; the
/// other threads look for work until the pass is done.
///
/// A thread that looks for work may do so in the middle of other work, which then waits for the pass. The pass cannot
/// wait for that work in turn, since a thread comes here before it takes on anything that began after the pass. Two
/// passes could wait for each other, though, so with a second one all threads stop looking and go back to what they
/// did.
pub(super) fn in_pool(pass: impl FnOnce() + Send) {
    let is_done = AtomicBool::new(false);
    rayon::scope(|scope| {
        let _pass = Pass::start(&is_done);
        if rayon::current_num_threads() > 1 {
            let own = rayon::current_thread_index();
            let is_done = &is_done;
            scope.spawn_broadcast(move |_, thread: BroadcastContext<'_>| {
                if Some(thread.index()) != own {
                    look_for_work(is_done);
                }
            });
        }
        pass();
    });
}

fn look_for_work(is_done: &AtomicBool) {
    let mut looks = 0;
    while !is_done.load(Ordering::Acquire) && RUNNING.load(Ordering::Relaxed) == 1 {
        if matches!(rayon::yield_now(), Some(Yield::Executed)) {
            looks = 0;
            continue;
        }
        looks += 1;
        if looks % LOOKS == 0 {
            thread::yield_now();
        } else {
            spin_loop();
        }
    }
}

/// A pass that runs; it is done when this is dropped, if by a panic.
struct Pass<'a> {
    is_done: &'a AtomicBool,
}

impl<'a> Pass<'a> {
    fn start(is_done: &'a AtomicBool) -> Pass<'a> {
        RUNNING.fetch_add(1, Ordering::Relaxed);
        Pass { is_done }
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        RUNNING.fetch_sub(1, Ordering::Relaxed);
        self.is_done.store(true, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use rayon::ThreadPoolBuilder;
    use rayon::prelude::*;

    use super::*;

    fn pool(threads: usize) -> rayon::ThreadPool {
        ThreadPoolBuilder::new().num_threads(threads).build().expect("threads")
    }

    /// A pass of kernels that split their work, some of them twice.
    fn sum(kernels: usize) -> usize {
        let total = AtomicUsize::new(0);
        in_pool(|| {
            for kernel in 0..kernels {
                (0..8usize).into_par_iter().for_each(|tile| {
                    let inner: usize = (0..4usize).into_par_iter().map(|part| part * tile).sum();
                    total.fetch_add(inner + kernel, Ordering::Relaxed);
                });
            }
        });
        total.into_inner()
    }

    #[test]
    fn passes_in_passes_and_beside_each_other_end() {
        let expected = sum(50);
        for threads in [1, 2, 3] {
            pool(threads).install(|| {
                // More passes than threads, each begun in the middle of other work.
                let sums: Vec<usize> = (0..24).into_par_iter().map(|_| sum(50)).collect();
                assert_eq!(sums, vec![expected; 24]);
            });
            let pool = pool(threads);
            thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| pool.install(|| assert_eq!(sum(200), sum(200))));
                }
            });
        }
    }

    #[test]
    fn a_pass_that_panics_leaves_no_thread_behind() {
        let pool = pool(2);
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            pool.install(|| in_pool(|| panic!("a kernel's assertion")));
        }));
        assert!(panicked.is_err());
        pool.install(|| assert_eq!(sum(3), sum(3)));
    }
}
