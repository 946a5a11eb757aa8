//! How long to wait between two tries.

use std::time::Duration;

/// The longest wait after the first failure.
const FIRST: Duration = Duration::from_millis(100);

/// The longest wait.
const LAST: Duration = Duration::from_secs(10);

/// A connection that lasted this long was a good one. A peer that accepts and closes at once must not be
/// dialed all the time.
pub const GOOD: Duration = Duration::from_secs(10);

/// How many short connections in a row may be followed by another one at once.
const AT_ONCE: u32 = 3;

/// Exponential back-off with full jitter: a random part of a bound that doubles with every failure.
#[derive(Debug)]
pub struct Backoff {
    bound: Duration,
    at_once: u32,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { bound: FIRST, at_once: 0 }
    }
}

impl Backoff {
    /// Whether a connection that lasted `lasted` and asked for another one may be followed by that at once.
    /// Not if there were many such connections.
    pub fn may_be_at_once(&mut self, lasted: Duration) -> bool {
        if lasted >= GOOD {
            *self = Self::default();
        }
        self.at_once += 1;
        self.at_once <= AT_ONCE
    }

    /// How long to wait after a connection that lasted `lasted`, zero if there was none. `random` is in 0..1.
    pub fn after(&mut self, lasted: Duration, random: f64) -> Duration {
        if lasted >= GOOD {
            *self = Self::default();
        }
        let wait = self.bound.mul_f64(random);
        self.bound = (self.bound * 2).min(LAST);
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_doubles_up_to_ten_seconds() {
        let mut backoff = Backoff::default();
        let bounds: Vec<_> =
            (0..9).map(|_| backoff.after(Duration::ZERO, 1.0).as_millis()).collect();
        assert_eq!(bounds, [100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]);
    }

    #[test]
    fn the_wait_is_a_random_part_of_the_bound() {
        assert_eq!(Backoff::default().after(Duration::ZERO, 0.0), Duration::ZERO);
        assert_eq!(Backoff::default().after(Duration::ZERO, 0.5), FIRST / 2);
    }

    #[test]
    fn few_connections_in_a_row_follow_at_once() {
        let mut backoff = Backoff::default();
        let short = Duration::from_secs(1);
        let at_once =
            |backoff: &mut Backoff| (0..6).map(|_| backoff.may_be_at_once(short)).collect();
        let expected = [true, true, true, false, false, false];
        assert_eq!(Vec::<bool>::from_iter::<Vec<_>>(at_once(&mut backoff)), expected);
        backoff.after(short, 1.0);
        assert!(!backoff.may_be_at_once(short));
        assert!(backoff.may_be_at_once(GOOD));
        assert_eq!(backoff.after(short, 1.0), FIRST, "they are no failures");
    }

    #[test]
    fn only_a_connection_that_lasted_resets_the_bound() {
        let mut backoff = Backoff::default();
        backoff.after(Duration::ZERO, 1.0);
        backoff.after(Duration::ZERO, 1.0);
        assert_eq!(backoff.after(GOOD - Duration::from_millis(1), 1.0).as_millis(), 400);
        assert_eq!(backoff.after(GOOD, 1.0), FIRST);
    }
}
