//! How far something is that takes long: on a terminal a line of standard error that is written over, else, if that
//! is asked for, lines of the log.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

/// What is done sooner than this is not shown.
const QUIET: Duration = Duration::from_millis(300);

/// How often it is shown anew on a terminal.
const SHOWN_INTERVAL: Duration = Duration::from_millis(100);

/// When the log first tells it, and how often in the end: what takes long needs fewer lines.
const FIRST_TOLD: Duration = Duration::from_secs(1);
const TOLD_INTERVAL: Duration = Duration::from_secs(15);

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Bytes, which are shown as megabytes.
    Bytes,
    /// Transactions.
    Transactions,
}

/// How far something is.
pub struct Progress {
    what: &'static str,
    unit: Unit,
    total: Option<u64>,
    done: u64,
    share: Option<f64>,
    pace: Pace,
    is_terminal: bool,
    is_logged: bool,
}

/// When it is shown next.
#[derive(Clone, Copy, Debug)]
struct Pace {
    next: Instant,
    interval: Duration,
    /// What the interval, which is doubled each time, comes to.
    longest: Duration,
    was_shown: bool,
}

impl Pace {
    /// Whether it is shown now.
    fn is_due(&mut self, now: Instant) -> bool {
        let is_due = now >= self.next;
        if is_due {
            self.next = now + self.interval;
            self.interval = (self.interval * 2).min(self.longest);
            self.was_shown = true;
        }
        is_due
    }
}

impl Progress {
    /// Nothing is done yet of what is called so.
    pub fn new(what: &'static str, unit: Unit) -> Self {
        let is_terminal = io::stderr().is_terminal();
        let (first, interval, longest) = if is_terminal {
            (QUIET, SHOWN_INTERVAL, SHOWN_INTERVAL)
        } else {
            (FIRST_TOLD, FIRST_TOLD, TOLD_INTERVAL)
        };
        let next = Instant::now() + first;
        let pace = Pace { next, interval, longest, was_shown: false };
        let (total, done, share) = (None, 0, None);
        Self { what, unit, total, done, share, pace, is_terminal, is_logged: false }
    }

    /// The same of so much in all.
    pub fn of(self, total: u64) -> Self {
        Self { total: Some(total), ..self }
    }

    /// The same, which the log tells if there is no terminal.
    pub fn logged(self) -> Self {
        Self { is_logged: true, ..self }
    }

    /// So much more is done.
    pub fn advance(&mut self, more: u64) {
        let done = self.done + more;
        let share = self.total.map(|total| done as f64 / total.max(1) as f64);
        self.reach(done, share);
    }

    /// So much is done, and this share of all, as far as that is known.
    pub fn reach(&mut self, done: u64, share: Option<f64>) {
        (self.done, self.share) = (done, share);
        if !(self.is_terminal || self.is_logged) || !self.pace.is_due(Instant::now()) {
            return;
        }
        let text = text(self.unit, done, share);
        if self.is_terminal {
            // The cursor goes back to the line's begin, where all else that is said goes over it.
            show(&format!("{}: {text}\x1b[K\r", self.what));
        } else {
            log::info!("{}: {text}", self.what);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.is_terminal && self.pace.was_shown {
            show("\x1b[K");
        }
    }
}

fn text(unit: Unit, done: u64, share: Option<f64>) -> String {
    let done = match unit {
        Unit::Bytes => format!("{:.1} MB", done as f64 / 1e6),
        Unit::Transactions => format!("{done} transactions"),
    };
    match share {
        Some(share) => format!("{done}, {:.0} %", 100.0 * share),
        None => done,
    }
}

fn show(text: &str) {
    let mut terminal = io::stderr().lock();
    // If nobody can see it, nobody misses it.
    terminal.write_all(text.as_bytes()).and_then(|()| terminal.flush()).ok();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_told_in_words() {
        for (unit, done, share, expected) in [
            (Unit::Bytes, 0, None, "0.0 MB"),
            (Unit::Bytes, 1_234_567, Some(0.0617), "1.2 MB, 6 %"),
            (Unit::Transactions, 7, Some(1.0), "7 transactions, 100 %"),
        ] {
            assert_eq!(text(unit, done, share), expected);
        }
    }

    #[test]
    fn it_is_shown_after_a_while_and_then_less_and_less_often() {
        let begin = Instant::now();
        let mut pace = Pace {
            next: begin + Duration::from_secs(3),
            interval: Duration::from_secs(2),
            longest: Duration::from_secs(5),
            was_shown: false,
        };
        let shown = (0..20).filter(|second| pace.is_due(begin + Duration::from_secs(*second)));
        assert_eq!(shown.collect::<Vec<_>>(), [3, 5, 9, 14, 19]);
    }

    #[test]
    fn a_share_is_that_of_the_total() {
        let mut progress = Progress::new("test", Unit::Bytes).of(200);
        progress.advance(50);
        progress.advance(50);
        assert_eq!((progress.done, progress.share), (100, Some(0.5)));
        let mut progress = Progress::new("test", Unit::Bytes).of(0);
        progress.advance(0);
        assert_eq!(progress.share, Some(0.0));
    }
}
