//! How far something is that takes long, on a terminal.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

/// How often it is shown anew.
const INTERVAL: Duration = Duration::from_millis(100);

/// Shows on standard error how much of so many bytes is done. If that is no terminal it shows nothing.
pub struct Progress {
    what: &'static str,
    done: u64,
    total: u64,
    is_shown: bool,
    shown: Option<Instant>,
}

impl Progress {
    /// Nothing is done yet.
    pub fn new(what: &'static str, total: u64) -> Self {
        Self { what, done: 0, total, is_shown: io::stderr().is_terminal(), shown: None }
    }

    /// So many bytes more are done.
    pub fn advance(&mut self, bytes: u64) {
        self.done += bytes;
        if self.is_shown && self.shown.is_none_or(|shown| shown.elapsed() >= INTERVAL) {
            self.shown = Some(Instant::now());
            let Self { what, done, total, .. } = self;
            show(&format!("\r{what}: {}", share(*done, *total)));
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown.is_some() {
            // What is told next begins on an empty line.
            show("\r\x1b[K");
        }
    }
}

fn share(done: u64, total: u64) -> String {
    let megabytes = |bytes: u64| bytes as f64 / 1e6;
    let percent = done.saturating_mul(100) / total.max(1);
    format!("{:.1} of {:.1} MB ({percent} %)", megabytes(done), megabytes(total))
}

fn show(text: &str) {
    // If nobody can see it, nobody misses it.
    io::stderr().write_all(text.as_bytes()).ok();
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_share_is_told_in_megabytes() {
        for (done, total, expected) in [
            (0, 0, "0.0 of 0.0 MB (0 %)"),
            (1_234_567, 20_000_000, "1.2 of 20.0 MB (6 %)"),
            (7, 7, "0.0 of 0.0 MB (100 %)"),
        ] {
            assert_eq!(super::share(done, total), expected);
        }
    }
}
