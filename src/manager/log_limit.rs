//! Logs how transactions affect each other, at a limited rate.
//!
//! Peers decide how often that happens, so the number of lines a second is bounded.

use std::time::{Duration, Instant};

use super::Manager;
use crate::clock::Time;
use crate::patch::{PatchError, Reason};
use crate::replica::history::{Contradiction, FateChanges};
use crate::replica::{Acceptance, Outcome};
use crate::transaction::Place;

/// The most lines in each `SECOND`.
const LINES: usize = 10;
const SECOND: Duration = Duration::from_secs(1);

/// The limit for one kind of line.
#[derive(Debug, Default)]
pub struct LogLimit {
    begun: Option<Instant>,
    used: usize,
    /// How many lines were left out and not reported yet.
    left_out: u64,
}

impl LogLimit {
    /// How many of `wanted` lines may be logged `now`, and how many were left out since this was last reported. That
    /// number is 0 if none may be logged now.
    pub fn allow(&mut self, wanted: u64, now: Instant) -> (usize, u64) {
        if self.begun.is_none_or(|begun| now.saturating_duration_since(begun) >= SECOND) {
            (self.begun, self.used) = (Some(now), 0);
        }
        let room = LINES - self.used;
        let allowed = usize::try_from(wanted).unwrap_or(usize::MAX).min(room);
        self.used += allowed;
        self.left_out += wanted - allowed as u64;
        let more = if allowed > 0 { std::mem::take(&mut self.left_out) } else { 0 };
        (allowed, more)
    }
}

impl Manager {
    /// Counts the outcomes, and logs what the operator may want to know.
    pub(super) fn tell(&mut self, acceptance: &Acceptance) {
        for outcome in acceptance.outcomes.iter().flatten() {
            match outcome {
                Outcome::Accepted(_) => self.counters.accepted += 1,
                Outcome::Known { .. } => self.counters.known += 1,
                Outcome::Refused(_) => self.counters.refused += 1,
                Outcome::Void => self.counters.void += 1,
                Outcome::Early { .. } => (),
            }
        }
        let FateChanges { newly_skipped, newly_applied, listed } = &acceptance.changes;
        self.counters.newly_skipped += newly_skipped;
        self.counters.newly_applied += newly_applied;
        let now = Instant::now();
        let (allowed, more) = self.changes.allow(newly_skipped + newly_applied, now);
        for change in listed.iter().take(allowed) {
            let (source, id) = (change.place.source.as_str(), change.place.id);
            match &change.skipped {
                Some(error @ PatchError { reason: Reason::Void, .. }) => log::warn!(
                    "transaction {id} of {source:?} is void from now on, skipped for good: {error}"
                ),
                Some(error) => log::warn!(
                    "transaction {id} of {source:?} was applied and is skipped from now on, as an \
                     earlier one arrived: {error}"
                ),
                None => {
                    log::info!("transaction {id} of {source:?} was skipped and is applied now");
                }
            }
        }
        if more > 0 {
            log::warn!(
                "{more} more transactions changed between applied and skipped; see /conflicts"
            );
        }
        let told = acceptance.equivocations.len() + acceptance.contradictions.len();
        self.counters.equivocations += told as u64;
        let (allowed, more) = self.contradictions.allow(told as u64, now);
        for equivocation in acceptance.equivocations.iter().take(allowed) {
            let (known, dropped) = (&equivocation.known, &equivocation.dropped);
            log::error!(
                "there are two transactions {} of {:?}; the known one stays: time {}, {:?}; the other \
                 one is dropped: time {}, {:?}",
                known.place.id,
                known.place.source.as_str(),
                known.place.time.as_micros(),
                beginning(&known.payload),
                dropped.time.map_or(0, Time::as_micros),
                beginning(&dropped.payload),
            );
        }
        let allowed = allowed.saturating_sub(acceptance.equivocations.len());
        for Contradiction { earlier, repeated } in acceptance.contradictions.iter().take(allowed) {
            let ((source, id), Place { source: by, id: stamp, .. }) = (earlier.name(), repeated);
            log::error!(
                "there are two transactions {id} of {:?}; the earlier one counts: time {}, {:?}; the \
                 one that {:?} has stamped as its {stamp} is left out",
                source.as_str(),
                earlier.place.time.as_micros(),
                beginning(&earlier.payload),
                by.as_str(),
            );
        }
        if more > 0 {
            log::error!("{more} more transactions contradict others of the same name");
        }
    }
}

/// The beginning of a payload, as much as fits a line of the log.
fn beginning(payload: &str) -> &str {
    &payload[..payload.floor_char_boundary(200)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_bounded_in_a_second_and_those_left_out_are_counted() {
        let (mut lines, begin) = (LogLimit::default(), Instant::now());
        let at = |millis| begin + Duration::from_millis(millis);
        assert_eq!(lines.allow(0, at(0)), (0, 0));
        assert_eq!(lines.allow(4, at(0)), (4, 0));
        assert_eq!(lines.allow(7, at(500)), (6, 1));
        assert_eq!(lines.allow(70_000, at(999)), (0, 0));
        assert_eq!(lines.allow(0, at(1000)), (0, 0));
        assert_eq!(lines.allow(1, at(1001)), (1, 70_000));
        assert_eq!(lines.allow(20, at(1002)), (9, 11));
        assert_eq!(lines.allow(1, at(2500)), (1, 0));
    }
}
