//! How long the manager gathers submissions before it appends them to a disk, and by which thread.
//!
//! Who was just answered mostly submits again at once. A batch that begins with the first of them would
//! have all others wait for its sync before their own; so it is worth waiting for them, for less than a
//! sync takes. One who writes alone is never waited for, nor are those who write now and then.
//!
//! The disk is waited for by another thread, so that others are answered meanwhile. If nobody else
//! has asked for anything for a while, that would only cost one who writes alone two changes of threads.

use std::time::{Duration, Instant};

/// Which share of the time that the last append took is waited, counted from the answers to it.
const SHARE: u32 = 2;

/// The longest that is waited, on however slow a disk.
const LONGEST: Duration = Duration::from_millis(5);

/// Of so many writes in a row by one who is alone, one is left to the other thread: it shows whether
/// somebody came meanwhile. Before as many in a row nobody counts as alone.
const ALONE: u32 = 32;

/// If a sync takes longer than this, it is always left to the other thread.
const SHORT: Duration = Duration::from_millis(1);

/// When the last batch was answered, and what is expected since. At first nothing is.
#[derive(Default)]
pub struct Pace {
    /// Until then more are worth waiting for.
    until: Option<Instant>,
    /// How many submissions are expected to make the next batch.
    expected: usize,
    /// How many batches in a row were one submission each, with nothing else to do.
    alone: u32,
}

impl Pace {
    /// A batch of so many submissions has been appended `now`, which took that long. So many others
    /// came meanwhile.
    pub fn appended(&mut self, submissions: usize, waiting: usize, took: Duration, now: Instant) {
        self.until = Some(now + (took / SHARE).min(LONGEST));
        self.expected = submissions + waiting;
        let is_alone = self.expected == 1 && took <= SHORT;
        self.alone = if is_alone { self.alone.wrapping_add(1) } else { 0 };
    }

    /// Something else was asked for.
    pub fn disturbed(&mut self) {
        self.alone = 0;
    }

    /// Whether nobody is held up if a batch of so many transactions is appended by this thread.
    pub fn is_alone(&self, transactions: usize) -> bool {
        transactions == 1 && self.alone > ALONE && !self.alone.is_multiple_of(ALONE)
    }

    /// Until when to wait for more than these; none if all have come that are expected, or it is
    /// later than that.
    pub fn wait_until(&self, submissions: usize, now: Instant) -> Option<Instant> {
        self.until.filter(|until| submissions < self.expected && now < *until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_who_wrote_together_are_waited_for_less_than_a_sync() {
        let now = Instant::now();
        let millis = Duration::from_millis;
        let mut pace = Pace::default();
        assert_eq!(pace.wait_until(1, now), None, "nothing is expected yet");
        // How many were answered, how many waited, how long it took; how many have come, when; until when.
        let table = [
            (1, 0, 4, 1, 0, None),
            (16, 0, 4, 1, 0, Some(2)),
            (16, 0, 4, 15, 1, Some(2)),
            (16, 0, 4, 16, 0, None),
            (16, 0, 4, 1, 2, None),
            (8, 8, 4, 8, 0, Some(2)),
            (8, 8, 4, 16, 0, None),
            (16, 0, 1000, 1, 0, Some(5)),
            (16, 0, 0, 1, 0, None),
        ];
        for (answered, waiting, took, come, after, until) in table {
            pace.appended(answered, waiting, millis(took), now);
            let waits = pace.wait_until(come, now + millis(after));
            assert_eq!(
                waits,
                until.map(|until| now + millis(until)),
                "{answered} {waiting} {come}"
            );
        }
    }

    #[test]
    fn one_who_writes_alone_is_so_until_somebody_comes() {
        let mut pace = Pace::default();
        // How many times one submission is appended, with so many others waiting, in so many
        // milliseconds; whether the next one is alone then.
        let table = [
            (ALONE, 0, 1, false),
            (1, 0, 1, true),
            (ALONE - 2, 0, 1, true),
            (1, 0, 1, false),
            (1, 0, 1, true),
            (1, 1, 1, false),
            (ALONE + 1, 0, 1, true),
            (1, 0, 2, false),
            (ALONE + 1, 0, 1, true),
        ];
        for (row, (times, waiting, took, alone)) in table.into_iter().enumerate() {
            for _ in 0..times {
                pace.appended(1, waiting, Duration::from_millis(took), Instant::now());
            }
            assert_eq!(pace.is_alone(1), alone, "row {row}");
            assert!(!pace.is_alone(2), "row {row}");
        }
        pace.disturbed();
        assert!(!pace.is_alone(1));
    }
}
