//! Makes the summaries of a node, the same for all its lazy downstreams.

use std::sync::Arc;
use std::time::Duration;

use super::HaveSummary;
use crate::clock::VectorClock;

/// The least and the greatest time between two announcements.
const LEAST_INTERVAL: Duration = Duration::from_millis(100);
const GREATEST_INTERVAL: Duration = Duration::from_millis(500);

/// With more readers than this the interval grows: they hear the same from others as well.
const READERS: usize = 6;

/// What a node had at one moment.
#[derive(Debug)]
pub struct Announcement {
    number: u64,
    length: u64,
    clock: VectorClock,
    /// What is new since the announcement before.
    pub summary: HaveSummary,
}

/// The last announcement of a node.
#[derive(Debug)]
pub struct Herald(Arc<Announcement>);

impl Announcement {
    /// Up to which position of the journal it says what there is.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Whether it is the one after `other`.
    pub fn is_after(&self, other: &Self) -> bool {
        self.number == other.number + 1
    }

    /// What is new in it since `other`.
    pub fn since(&self, other: &Self) -> HaveSummary {
        let new = self.clock.iter().filter(|(source, next)| other.clock.next_id(source) < *next);
        let have = new.map(|(source, next)| (source.clone(), next)).collect();
        HaveSummary { have, from: other.length, to: self.length }
    }
}

impl Herald {
    /// The first announcement, of a node whose journal has `length` transactions, which `clock` counts.
    pub fn new(clock: VectorClock, length: u64) -> Self {
        let summary = HaveSummary { from: length, to: length, ..HaveSummary::default() };
        Self(Arc::new(Announcement { number: 0, length, clock, summary }))
    }

    /// How long after one announcement the next one is, if there are so many readers.
    pub fn interval(readers: usize) -> Duration {
        let interval = LEAST_INTERVAL.mul_f64(readers as f64 / READERS as f64);
        interval.clamp(LEAST_INTERVAL, GREATEST_INTERVAL)
    }

    /// The last announcement, which is one of now: clock and length are those of one state, and no older one than that of
    /// the announcement before.
    pub fn announce(&mut self, clock: &VectorClock, length: u64) -> &Arc<Announcement> {
        if length > self.0.length {
            let (number, clock) = (self.0.number + 1, clock.clone());
            let mut announcement =
                Announcement { number, length, clock, summary: HaveSummary::default() };
            announcement.summary = announcement.since(&self.0);
            self.0 = Arc::new(announcement);
        }
        &self.0
    }

    /// The last announcement.
    pub fn last(&self) -> &Arc<Announcement> {
        &self.0
    }
}
