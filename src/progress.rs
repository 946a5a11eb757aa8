//! Shows the progress of long work: on a terminal as a line of standard error that is overwritten, and else, if it is
//! to be logged, as lines of the log.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

/// Shorter work is not shown.
const QUIET: Duration = Duration::from_millis(300);

/// The time between two updates on a terminal.
const SHOWN_INTERVAL: Duration = Duration::from_millis(100);

/// The time until the first line of the log, and the longest time between two lines: the interval grows.
const FIRST_TOLD: Duration = Duration::from_secs(1);
const TOLD_INTERVAL: Duration = Duration::from_secs(15);

/// The unit of the progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Bytes, which are shown as megabytes.
    Bytes,
    /// Transactions.
    Transactions,
}

/// The progress of long work.
pub struct Progress {
    what: &'static str,
    unit: Unit,
    total: Option<u64>,
    done: u64,
    share: Option<f64>,
    timer: RefreshTimer,
    is_terminal: bool,
    is_logged: bool,
}

/// When the progress is shown next.
#[derive(Clone, Copy, Debug)]
struct RefreshTimer {
    next: Instant,
    interval: Duration,
    /// The interval is doubled each time, up to this.
    longest: Duration,
    was_shown: bool,
}

impl RefreshTimer {
    /// Whether to show it now.
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
    /// The work `what`, of which nothing is done yet.
    pub fn new(what: &'static str, unit: Unit) -> Self {
        let is_terminal = io::stderr().is_terminal();
        let (first, interval, longest) = if is_terminal {
            (QUIET, SHOWN_INTERVAL, SHOWN_INTERVAL)
        } else {
            (FIRST_TOLD, FIRST_TOLD, TOLD_INTERVAL)
        };
        let next = Instant::now() + first;
        let timer = RefreshTimer { next, interval, longest, was_shown: false };
        let (total, done, share) = (None, 0, None);
        Self { what, unit, total, done, share, timer, is_terminal, is_logged: false }
    }

    /// The same, with this total.
    pub fn of(self, total: u64) -> Self {
        Self { total: Some(total), ..self }
    }

    /// The same, which is logged if there is no terminal.
    pub fn logged(self) -> Self {
        Self { is_logged: true, ..self }
    }

    /// Notes that so much more is done.
    pub fn advance(&mut self, more: u64) {
        let done = self.done + more;
        let share = self.total.map(|total| done as f64 / total.max(1) as f64);
        self.reach(done, share);
    }

    /// Notes how much is done in all, and which share of the total, if that is known.
    pub fn reach(&mut self, done: u64, share: Option<f64>) {
        (self.done, self.share) = (done, share);
        if !(self.is_terminal || self.is_logged) || !self.timer.is_due(Instant::now()) {
            return;
        }
        let text = text(self.unit, done, share);
        if self.is_terminal {
            // The cursor goes back to the beginning of the line, so that the next output overwrites it.
            show(&format!("{}: {text}\x1b[K\r", self.what));
        } else {
            log::info!("{}: {text}", self.what);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.is_terminal && self.timer.was_shown {
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
    // It does not matter if this fails.
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
        let mut timer = RefreshTimer {
            next: begin + Duration::from_secs(3),
            interval: Duration::from_secs(2),
            longest: Duration::from_secs(5),
            was_shown: false,
        };
        let shown = (0..20).filter(|second| timer.is_due(begin + Duration::from_secs(*second)));
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
