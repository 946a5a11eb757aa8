//! How much processor time this thread has used.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Up to now.
pub fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}
