//! How much the manager logs of what transactions do to each other.
//!
//! Peers decide how often that happens. What is logged is bounded in lines a second, whatever comes.

use std::time::{Duration, Instant};

/// How many lines there are in each `SECOND` at most.
const LINES: usize = 10;
const SECOND: Duration = Duration::from_secs(1);

/// Lines of one kind.
#[derive(Debug, Default)]
pub struct Lines {
    begun: Option<Instant>,
    used: usize,
    /// How many were left out, and that was not told yet.
    left_out: u64,
}

impl Lines {
    /// How many of `wanted` may be logged `now`, and how many more there were by now that are not: that is
    /// told with the next ones that are logged.
    pub fn allow(&mut self, wanted: u64, now: Instant) -> (usize, u64) {
        if self.begun.is_none_or(|begun| now.saturating_duration_since(begun) >= SECOND) {
            (self.begun, self.used) = (Some(now), 0);
        }
        let room = LINES - self.used;
        let allowed = usize::try_from(wanted).unwrap_or(usize::MAX).min(room);
        self.used += allowed;
        self.left_out += wanted - allowed as u64;
        let more = if allowed > 0 { std::mem::take(&mut self.left_out) } else { 0 };
        (allowed, more)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_bounded_in_a_second_and_those_left_out_are_counted() {
        let (mut lines, begin) = (Lines::default(), Instant::now());
        let at = |millis| begin + Duration::from_millis(millis);
        assert_eq!(lines.allow(0, at(0)), (0, 0));
        assert_eq!(lines.allow(4, at(0)), (4, 0));
        assert_eq!(lines.allow(7, at(500)), (6, 1));
        assert_eq!(lines.allow(70_000, at(999)), (0, 0));
        assert_eq!(lines.allow(0, at(1000)), (0, 0));
        assert_eq!(lines.allow(1, at(1001)), (1, 70_000));
        assert_eq!(lines.allow(20, at(1002)), (9, 11));
        assert_eq!(lines.allow(1, at(2500)), (1, 0));
    }
}
