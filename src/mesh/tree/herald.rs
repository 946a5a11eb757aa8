//! Makes the announcements of a node, the same for all its lazy readers.

use std::sync::Arc;
use std::time::Duration;

use super::HaveSummary;
use crate::clock::VectorClock;

/// The least and the greatest time between two announcements.
const LEAST_INTERVAL: Duration = Duration::from_millis(100);
const GREATEST_INTERVAL: Duration = Duration::from_millis(500);

/// With more readers the interval grows, since they hear the same from others too.
const READERS: usize = 6;

/// What a node has at one moment.
#[derive(Debug)]
pub struct Announcement {
    number: u64,
    length: u64,
    clock: VectorClock,
    /// What is new since the last announcement.
    pub summary: HaveSummary,
}

/// The maker of announcements, with the last one.
#[derive(Debug)]
pub struct Herald(Arc<Announcement>);

impl Announcement {
    /// The length of the journal at that moment.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Whether it comes directly after `other`.
    pub fn is_after(&self, other: &Self) -> bool {
        self.number == other.number + 1
    }

    /// What is new since `other`.
    pub fn since(&self, other: &Self) -> HaveSummary {
        let new = self.clock.iter().filter(|(source, next)| other.clock.next_id(source) < *next);
        let have = new.map(|(source, next)| (source.clone(), next)).collect();
        HaveSummary { have, from: other.length, to: self.length }
    }
}

impl Herald {
    /// Begins with a journal of `length` transactions, which `clock` counts.
    pub fn new(clock: VectorClock, length: u64) -> Self {
        let summary = HaveSummary { from: length, to: length, ..HaveSummary::default() };
        Self(Arc::new(Announcement { number: 0, length, clock, summary }))
    }

    /// The time between two announcements with this many readers.
    pub fn interval(readers: usize) -> Duration {
        let interval = LEAST_INTERVAL.mul_f64(readers as f64 / READERS as f64);
        interval.clamp(LEAST_INTERVAL, GREATEST_INTERVAL)
    }

    /// Makes an announcement if the journal has grown, and returns the last one. Clock and length are those
    /// of one state, which is not older than that of the last call.
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
