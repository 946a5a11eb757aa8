//! How long the manager gathers submissions before it appends them, and which thread appends them.
//!
//! A writer that was just answered mostly writes again at once. If a batch began with the first of these writers,
//! all others would wait for its sync before their own. So the manager waits for them, for less time than a sync
//! takes. It does not wait if there is only one writer, or if writes are rare.
//!
//! Mostly another thread waits for the disk, so that the manager can answer others meanwhile. If there is only one
//! writer and nothing else to do, this would cost it two changes of threads, so the manager waits itself.

use std::time::{Duration, Instant};

/// After the answers, it waits for the time of the last append divided by this.
const SHARE: u32 = 2;

/// The longest wait, however slow the disk is.
const LONGEST: Duration = Duration::from_millis(5);

/// A writer counts as alone after so many writes in a row. Of so many in a row one is left to the other thread: it
/// shows whether others have submitted something meanwhile.
const ALONE: u32 = 32;

/// If a sync takes longer than this, the other thread always does it.
const SHORT: Duration = Duration::from_millis(1);

/// What is expected after the last batch. At first nothing is.
#[derive(Default)]
pub struct Batching {
    /// Until when to wait for more submissions.
    until: Option<Instant>,
    /// How many submissions are expected in the next batch.
    expected: usize,
    /// How many batches in a row had one submission, with nothing else to do.
    alone: u32,
}

impl Batching {
    /// A batch of so many submissions was appended `now`, which took so long. `waiting` is how many others arrived
    /// meanwhile.
    pub fn appended(&mut self, submissions: usize, waiting: usize, took: Duration, now: Instant) {
        self.until = Some(now + (took / SHARE).min(LONGEST));
        self.expected = submissions + waiting;
        let is_alone = self.expected == 1 && took <= SHORT;
        self.alone = if is_alone { self.alone.wrapping_add(1) } else { 0 };
    }

    /// There was something else to do.
    pub fn disturbed(&mut self) {
        self.alone = 0;
    }

    /// Whether the manager's own thread should append a batch of so many transactions, since nobody else waits.
    pub fn is_alone(&self, transactions: usize) -> bool {
        transactions == 1 && self.alone > ALONE && !self.alone.is_multiple_of(ALONE)
    }

    /// Until when to wait for more submissions; none if all that are expected have arrived, or if that time is over.
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
        let mut pace = Batching::default();
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
        let mut pace = Batching::default();
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
