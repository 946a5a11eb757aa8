//! How long something takes, as counts in fixed buckets.
//!
//! To observe a duration takes two atomic additions: no lock, no allocation. Counts are read while others
//! observe, so the sum may be some observations ahead of the buckets or behind; the total is that of the
//! buckets.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The upper bounds of all buckets but the last, which counts longer durations.
pub const BOUNDS: [Duration; 15] = [
    Duration::from_micros(100),
    Duration::from_micros(250),
    Duration::from_micros(500),
    Duration::from_millis(1),
    Duration::from_micros(2500),
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(25),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(5),
    Duration::from_secs(30),
];

/// Durations, counted in buckets.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [AtomicU64; BOUNDS.len() + 1],
    sum_micros: AtomicU64,
}

/// What a histogram has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HistogramCounts {
    /// For each of [`BOUNDS`], how many durations were at most that long.
    pub up_to: [u64; BOUNDS.len()],
    /// How many there were in all.
    pub count: u64,
    /// The sum of all durations.
    pub sum: Duration,
}

impl Histogram {
    /// Counts a duration.
    pub fn observe(&self, duration: Duration) {
        let bucket = BOUNDS.partition_point(|bound| *bound < duration);
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        self.sum_micros.fetch_add(micros, Ordering::Relaxed);
    }

    /// What was counted so far.
    pub fn counts(&self) -> HistogramCounts {
        let mut counts = HistogramCounts::default();
        for (index, bucket) in self.buckets.iter().enumerate() {
            counts.count += bucket.load(Ordering::Relaxed);
            if let Some(up_to) = counts.up_to.get_mut(index) {
                *up_to = counts.count;
            }
        }
        counts.sum = Duration::from_micros(self.sum_micros.load(Ordering::Relaxed));
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_duration_is_in_the_buckets_that_are_long_enough() {
        let histogram = Histogram::default();
        let (micro, longest) = (Duration::from_micros(1), BOUNDS[BOUNDS.len() - 1]);
        for (duration, first) in [
            (Duration::ZERO, Some(0)),
            (BOUNDS[0], Some(0)),
            (BOUNDS[0] + micro, Some(1)),
            (BOUNDS[3], Some(3)),
            (longest, Some(BOUNDS.len() - 1)),
            (longest + micro, None),
        ] {
            let before = histogram.counts();
            histogram.observe(duration);
            let after = histogram.counts();
            let grown = (0..BOUNDS.len()).find(|index| after.up_to[*index] > before.up_to[*index]);
            assert_eq!(grown, first, "{duration:?}");
            assert_eq!(after.count, before.count + 1);
            assert_eq!(after.sum, before.sum + duration);
        }
        assert!(BOUNDS.is_sorted());
    }

    #[test]
    fn threads_lose_no_count() {
        let histogram = Histogram::default();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..1000).for_each(|_| histogram.observe(BOUNDS[4])));
            }
        });
        let counts = histogram.counts();
        assert_eq!((counts.count, counts.up_to[3], counts.up_to[4]), (4000, 0, 4000));
        assert_eq!(counts.sum, BOUNDS[4] * 4000);
    }
}
