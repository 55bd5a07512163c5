//! How long the training of one child may take.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// The longest that something may take, with the clock that says so: the library reads none itself.
#[derive(Clone)]
pub struct TimeLimit {
    limit: Duration,
    clock: Arc<dyn Fn() -> Duration + Send + Sync>,
}

impl TimeLimit {
    /// A limit by a monotonic clock.
    pub fn new(limit: Duration, clock: impl Fn() -> Duration + Send + Sync + 'static) -> Self {
        TimeLimit { limit, clock: Arc::new(clock) }
    }

    /// The limit.
    pub fn limit(&self) -> Duration {
        self.limit
    }

    /// Begins to count, after so much time was `spent` before.
    pub(super) fn begin(&self, spent: Duration) -> Count<'_> {
        Count { limit: self, spent, start: (self.clock)() }
    }
}

/// Without the clock.
impl fmt::Debug for TimeLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TimeLimit").field("limit", &self.limit).finish_non_exhaustive()
    }
}

/// Time as it is spent.
pub(super) struct Count<'l> {
    limit: &'l TimeLimit,
    spent: Duration,
    start: Duration,
}

impl Count<'_> {
    /// All time that was spent so far.
    pub(super) fn spent(&self) -> Duration {
        self.spent + (self.limit.clock)().saturating_sub(self.start)
    }

    /// True if that is more than the limit.
    pub(super) fn is_over(&self) -> bool {
        self.spent() > self.limit.limit
    }
}
