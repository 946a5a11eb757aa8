//! How long the manager gathers submissions before it appends them to a disk.
//!
//! Who was just answered mostly submits again at once. A batch that begins with the first of them would
//! have all others wait for its sync before their own; so it is worth waiting for them, for less than a
//! sync takes. One who writes alone is never waited for, nor are those who write now and then.

use std::time::{Duration, Instant};

/// Which share of the time that the last append took is waited, counted from the answers to it.
const SHARE: u32 = 2;

/// The longest that is waited, on however slow a disk.
const LONGEST: Duration = Duration::from_millis(5);

/// When the last batch was answered, and what is expected since.
pub struct Pace {
    /// Until then more are worth waiting for.
    until: Instant,
    /// How many submissions are expected to make the next batch.
    expected: usize,
}

impl Pace {
    /// Nothing is expected yet.
    pub fn new() -> Self {
        Self { until: Instant::now(), expected: 0 }
    }

    /// A batch of so many submissions was appended, which took that long. So many others came meanwhile.
    pub fn appended(&mut self, submissions: usize, waiting: usize, took: Duration) {
        self.until = Instant::now() + (took / SHARE).min(LONGEST);
        self.expected = submissions + waiting;
    }

    /// Until when to wait for more than these; none where all have come that are expected.
    pub fn wait_until(&self, submissions: usize) -> Option<Instant> {
        (submissions < self.expected && Instant::now() < self.until).then_some(self.until)
    }
}
