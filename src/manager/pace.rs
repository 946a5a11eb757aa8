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

/// When the last batch was answered, and what is expected since. At first nothing is.
#[derive(Default)]
pub struct Pace {
    /// Until then more are worth waiting for.
    until: Option<Instant>,
    /// How many submissions are expected to make the next batch.
    expected: usize,
}

impl Pace {
    /// A batch of so many submissions has been appended `now`, which took that long. So many others
    /// came meanwhile.
    pub fn appended(&mut self, submissions: usize, waiting: usize, took: Duration, now: Instant) {
        self.until = Some(now + (took / SHARE).min(LONGEST));
        self.expected = submissions + waiting;
    }

    /// Until when to wait for more than these; none where all have come that are expected, or it is
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
}
