//! How much processor time is used.

use std::fs;
use std::time::Duration;

use super::thread_time::thread_time;

/// What the kernel tells processes' times in: USER_HZ, which is 100 on all of Linux's machines.
const TICK_MILLIS: u64 = 10;

/// Processor time that was used up to now.
#[derive(Clone, Copy)]
pub struct Usage(Duration);

impl Usage {
    /// Of this thread.
    pub fn own_thread() -> Self {
        Self(thread_time())
    }

    /// Of a process (proc(5), `utime` and `stime` of `/proc/PID/stat`), in steps of a tick.
    pub fn of(process: u32) -> Self {
        let text = fs::read_to_string(format!("/proc/{process}/stat")).expect("the process runs");
        // The name before may have spaces, and ends with the last parenthesis.
        let fields = text.rsplit(')').next().unwrap_or_default().split(' ');
        let ticks = fields.skip(12).take(2).map(|ticks| ticks.parse().unwrap_or(0)).sum::<u64>();
        Self(Duration::from_millis(ticks * TICK_MILLIS))
    }

    /// What was used after `before`.
    pub fn since(self, before: Self) -> Duration {
        self.0.saturating_sub(before.0)
    }
}
