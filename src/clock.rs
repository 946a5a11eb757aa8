//! The two clocks of a replica: how much of each source it has seen, and what time it is.
//!
//! Both are pure: the time of the wall clock is an argument.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::source::Source;

/// The largest integer that every JSON reader reads exactly, also one that keeps numbers as doubles, such as
/// a browser: 2^53 - 1. Ids and times are at most this.
pub const MAX_SAFE_INTEGER: u64 = (1 << 53) - 1;

/// Microseconds since 1970-01-01T00:00:00Z, at most [`MAX_SAFE_INTEGER`].
///
/// The time of a transaction comes from a [`HybridClock`], so it may be ahead of the wall clock.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Time(u64);

impl Time {
    /// The latest time there is.
    pub const MAX: Self = Self(MAX_SAFE_INTEGER);

    /// A time from microseconds since 1970; none if it would be after [`Time::MAX`].
    pub fn from_micros(micros: u64) -> Option<Self> {
        (micros <= MAX_SAFE_INTEGER).then_some(Self(micros))
    }

    /// Microseconds since 1970.
    pub fn as_micros(self) -> u64 {
        self.0
    }

    /// How far this time is after `other`, in microseconds; 0 if it is not.
    pub fn micros_after(self, other: Self) -> u64 {
        self.0.saturating_sub(other.0)
    }

    /// The time this many microseconds before this one, but not before 1970.
    pub fn minus_micros(self, micros: u64) -> Self {
        Self(self.0.saturating_sub(micros))
    }
}

/// A hybrid logical clock in one number (Kulkarni et al., "Logical Physical Clocks", 2014): the time of the
/// wall clock, or one more than the greatest time seen if that is later.
///
/// Invariant: each time that it gives is after all observed times, except at [`Time::MAX`]. The wall clock
/// comes to that in the year 2255, and no node creates a transaction with it.
#[derive(Clone, Debug, Default)]
pub struct HybridClock {
    greatest: Time,
}

impl HybridClock {
    /// The next time, if the wall clock says `now`. It counts only once it is [observed](Self::observe).
    pub fn next(&self, now: Time) -> Time {
        now.max(Time((self.greatest.0 + 1).min(MAX_SAFE_INTEGER)))
    }

    /// The greatest time observed.
    pub fn greatest(&self) -> Time {
        self.greatest
    }

    /// Takes note of a time, of another clock or from [`next`](Self::next).
    pub fn observe(&mut self, time: Time) {
        self.greatest = self.greatest.max(time);
    }
}

/// For every source, the Id that is expected next: the last accepted Id + 1.
///
/// Of a source that is absent nothing was seen. As JSON an object of numbers, sorted by source. A clone
/// shares the sources and copies eight bytes for each: the manager publishes a clone after each turn.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VectorClock {
    /// Sorted.
    sources: Arc<Vec<Source>>,
    /// The Id that is expected next from each of the sources.
    next: Vec<u64>,
}

impl VectorClock {
    /// The Id that is expected next from `source`; 0 if nothing was seen.
    pub fn next_id(&self, source: &Source) -> u64 {
        self.find(source).map_or(0, |at| self.next[at])
    }

    /// The same source, in the memory in which the clock already has it: so the many transactions of a source
    /// need no copy of its name each.
    pub fn shared(&self, source: Source) -> Source {
        self.find(&source).map_or(source, |at| self.sources[at].clone())
    }

    /// Whether the transaction `id` of `source`, or a later one, was seen.
    pub fn has_seen(&self, source: &Source, id: u64) -> bool {
        self.next_id(source) > id
    }

    /// Whether everything that `other` has seen was seen.
    pub fn covers(&self, other: &Self) -> bool {
        other.iter().all(|(source, next)| self.next_id(source) >= next)
    }

    /// How many sources there are.
    pub fn sources(&self) -> usize {
        self.sources.len()
    }

    /// The JSON in ASCII, for a header; none if it has more than `most` bytes.
    pub fn ascii(&self, most: usize) -> Option<String> {
        let mut text = String::from("{");
        for (source, next) in self.iter() {
            let comma = if text.len() == 1 { "" } else { "," };
            let name = serde_json::to_string(source).expect("a string always has a JSON text");
            text.push_str(comma);
            for unit in name.encode_utf16() {
                match char::from_u32(unit.into()).filter(char::is_ascii) {
                    Some(ascii) => text.push(ascii),
                    None => text.push_str(&format!("\\u{unit:04x}")),
                }
            }
            text.push_str(&format!(":{next}"));
            if text.len() >= most {
                return None;
            }
        }
        text.push('}');
        Some(text)
    }

    /// Takes note that `source` was seen up to `id`, inclusive. Returns the Id that was expected before.
    pub fn advance(&mut self, source: &Source, id: u64) -> u64 {
        let next = self.entry(source);
        std::mem::replace(next, (*next).max(id + 1))
    }

    /// Goes back to `next` for `source`, after what was accepted of it was undone.
    pub fn restore(&mut self, source: &Source, next: u64) {
        if next > 0 {
            *self.entry(source) = next;
        } else if let Ok(at) = self.find(source) {
            Arc::make_mut(&mut self.sources).remove(at);
            self.next.remove(at);
        }
    }

    /// Lists `source`: with 0 if nothing of it was seen.
    pub fn include(&mut self, source: &Source) {
        self.entry(source);
    }

    /// The sources and the Ids expected next, sorted by source.
    pub fn iter(&self) -> impl Iterator<Item = (&Source, u64)> {
        self.sources.iter().zip(self.next.iter().copied())
    }

    fn find(&self, source: &Source) -> Result<usize, usize> {
        self.sources.binary_search(source)
    }

    /// The Id expected next from `source`, which is listed from now on.
    fn entry(&mut self, source: &Source) -> &mut u64 {
        let at = self.find(source).unwrap_or_else(|at| {
            Arc::make_mut(&mut self.sources).insert(at, source.clone());
            self.next.insert(at, 0);
            at
        });
        &mut self.next[at]
    }
}

impl FromIterator<(Source, u64)> for VectorClock {
    fn from_iter<I: IntoIterator<Item = (Source, u64)>>(entries: I) -> Self {
        // Of several entries of one source the last one counts. The vector makes one map of all iterators.
        let entries: Vec<(Source, u64)> = entries.into_iter().collect();
        BTreeMap::from_iter(entries).into()
    }
}

impl From<BTreeMap<Source, u64>> for VectorClock {
    fn from(entries: BTreeMap<Source, u64>) -> Self {
        let (sources, next): (Vec<_>, _) = entries.into_iter().unzip();
        Self { sources: Arc::new(sources), next }
    }
}

impl Serialize for VectorClock {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'de> Deserialize<'de> for VectorClock {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        BTreeMap::deserialize(deserializer).map(Self::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(micros: u64) -> Time {
        Time::from_micros(micros).unwrap()
    }

    #[test]
    fn a_reading_is_the_wall_clock_or_one_more_than_the_greatest_seen() {
        let mut clock = HybridClock::default();
        let tick = |clock: &mut HybridClock, now| {
            let reading = clock.next(time(now));
            clock.observe(reading);
            reading
        };
        assert_eq!(tick(&mut clock, 100), time(100));
        assert_eq!(tick(&mut clock, 100), time(101), "the wall clock stands still");
        assert_eq!(tick(&mut clock, 50), time(102), "the wall clock steps back");
        clock.observe(time(500));
        assert_eq!(tick(&mut clock, 103), time(501), "another clock is ahead");
        clock.observe(time(400));
        assert_eq!(tick(&mut clock, 600), time(600), "the wall clock is ahead of all");
    }

    #[test]
    fn the_clock_stops_at_the_largest_time() {
        let mut clock = HybridClock::default();
        clock.observe(Time::MAX);
        assert_eq!(clock.next(time(1)), Time::MAX);
        assert_eq!(Time::from_micros(MAX_SAFE_INTEGER + 1), None);
    }

    #[test]
    fn a_clock_covers_clocks_that_have_seen_no_more() {
        let clock = |entries: &[(&str, u64)]| -> VectorClock {
            entries.iter().map(|(source, next)| (source.parse().unwrap(), *next)).collect()
        };
        let table = [
            (clock(&[]), clock(&[]), true, true),
            (clock(&[("a", 2)]), clock(&[]), true, false),
            (clock(&[("a", 0)]), clock(&[]), true, true),
            (clock(&[("a", 2), ("b", 1)]), clock(&[("a", 1), ("b", 1)]), true, false),
            (clock(&[("a", 2)]), clock(&[("b", 1)]), false, false),
        ];
        for (left, right, over, under) in table {
            assert_eq!((left.covers(&right), right.covers(&left)), (over, under));
        }
    }

    #[test]
    fn a_clock_in_ascii_reads_back() {
        let sources = ["a~1", "quote\"\\", "й", "\u{1f600}"];
        let clock: VectorClock = sources
            .into_iter()
            .zip(1..)
            .map(|(name, next)| (name.parse().unwrap(), next))
            .collect();
        let text = clock.ascii(1000).unwrap();
        assert!(text.is_ascii(), "{text}");
        assert_eq!(serde_json::from_str::<VectorClock>(&text).unwrap(), clock);
        assert_eq!(VectorClock::default().ascii(10).unwrap(), "{}");
        assert_eq!(clock.ascii(30), None);
    }

    #[test]
    fn a_vector_clock_never_goes_back() {
        let source: Source = "a~1".parse().unwrap();
        let mut clock = VectorClock::default();
        assert!(!clock.has_seen(&source, 0));
        clock.advance(&source, 0);
        assert!(clock.has_seen(&source, 0) && !clock.has_seen(&source, 1));
        clock.advance(&source, 7);
        clock.advance(&source, 3);
        clock.include(&source);
        assert_eq!(clock.next_id(&source), 8);
        assert_eq!(serde_json::to_string(&clock).unwrap(), r#"{"a~1":8}"#);
    }
}
