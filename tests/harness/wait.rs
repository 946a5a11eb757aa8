//! Waiting, never for ever.

use std::fmt::Display;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long the tests wait for anything. Long, for machines that have much else to do: it passes only
/// if a test fails.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub(super) const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// Asks until there is an answer.
#[track_caller]
pub fn wait_for<T>(what: impl Display, mut ask: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    let mut next_pause = FIRST_PAUSE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(begin.elapsed() < PATIENCE, "waited {PATIENCE:?} in vain for {what}");
        pause(&mut next_pause);
    }
}

pub(super) fn pause(next: &mut Duration) {
    sleep(*next);
    *next = (*next * 2).min(LONGEST_PAUSE);
}
