//! When late arrivals are taken in.
//!
//! A late arrival belongs before the end of the history. So the manager has to apply again all that comes after it,
//! and answers no other write meanwhile. After such work it rests: for as long as it took to apply transactions
//! again, it takes in no late arrival. Those that arrive meanwhile are held back, and then taken in together, in one
//! replay. Ordered transactions that are not late are held back behind them, since the replay would have to apply
//! them again. All else goes on.
//!
//! Each peer waits for the answer to a submission before it sends the next one, so at most one a peer is held back.

use std::time::{Duration, Instant};

/// If the work took less than this, there is no rest: of two busy writers one is a little late all the time.
const SHORT: Duration = Duration::from_millis(1);

/// The rest from late arrivals, and the submissions that wait for its end.
pub struct LateArrivals<Submission> {
    until: Option<Instant>,
    held: Vec<Submission>,
}

impl<Submission> Default for LateArrivals<Submission> {
    fn default() -> Self {
        Self { until: None, held: Vec::new() }
    }
}

impl<Submission> LateArrivals<Submission> {
    /// Late arrivals were taken in `now`, which took so long. Of `all` transactions that were applied then, so many
    /// were applied `again`. Only these count for the rest, since a rest does not make new ones fewer.
    pub fn begin(&mut self, took: Duration, (again, all): (usize, usize), now: Instant) {
        let rest = took.mul_f64(again as f64 / all.max(1) as f64);
        self.until = (took >= SHORT).then(|| now + rest);
    }

    /// Holds back a submission that is late, or that is behind one that waits. Gives it back if there is no rest.
    pub fn hold(&mut self, submission: Submission, now: Instant) -> Option<Submission> {
        if self.until.is_some_and(|until| now < until) {
            self.held.push(submission);
            return None;
        }
        Some(submission)
    }

    /// Whether something is held back.
    pub fn holds(&self) -> bool {
        !self.held.is_empty()
    }

    /// When to [release](Self::release) the submissions that are held back; none if there are none.
    pub fn ends(&self) -> Option<Instant> {
        self.until.filter(|_| !self.held.is_empty())
    }

    /// The submissions that were held back, in the order of their arrival, if the rest is over.
    pub fn release(&mut self, now: Instant) -> Vec<Submission> {
        if self.ends().is_some_and(|until| until <= now) {
            std::mem::take(&mut self.held)
        } else {
            Vec::new()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_late_waits_as_long_as_the_last_work_took_and_goes_together() {
        let begin = Instant::now();
        let at = |millis| begin + Duration::from_millis(millis);
        let mut rest = LateArrivals::default();
        assert_eq!(rest.hold("first", at(0)), Some("first"), "there was no work yet");
        rest.begin(Duration::from_millis(30), (7, 7), at(30));
        assert_eq!((rest.ends(), rest.release(at(90))), (None, vec![]), "nothing waits");
        rest.begin(Duration::from_millis(30), (7, 7), at(100));
        for (millis, submission, held) in
            [(100, "a", true), (115, "b", true), (129, "c", true), (130, "d", false)]
        {
            let back = rest.hold(submission, at(millis));
            assert_eq!(back, (!held).then_some(submission), "{submission}");
        }
        assert_eq!(rest.ends(), Some(at(130)));
        assert_eq!(rest.release(at(129)), Vec::<&str>::new());
        assert_eq!(rest.release(at(130)), ["a", "b", "c"]);
        assert_eq!((rest.ends(), rest.release(at(131))), (None, vec![]));
        rest.begin(Duration::from_micros(999), (7, 7), at(200));
        assert_eq!(rest.hold("e", at(200)), Some("e"), "that was short");
        rest.begin(Duration::from_millis(40), (100, 400), at(300));
        assert_eq!(rest.hold("f", at(309)), None);
        assert_eq!(rest.ends(), Some(at(310)), "most of it was new");
    }
}
