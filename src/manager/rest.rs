//! When late arrivals are taken in.
//!
//! One that belongs before the end of the history makes the manager apply again what comes after it, and
//! no other write is answered meanwhile. So after such work it rests from it at least as long as it took.
//! What comes late meanwhile is held back, and then taken in together, in one pass; whoever submitted it
//! waits for the answer. All else goes on.
//!
//! What is held back is one submission a peer at most, since each waits for its answer before the next.

use std::time::{Duration, Instant};

/// Work that took less than this needs no rest: two busy writers are a little late all the time.
const SHORT: Duration = Duration::from_millis(1);

/// The rest from late arrivals, and the submissions that wait for its end.
pub struct Rest<Submission> {
    until: Option<Instant>,
    held: Vec<Submission>,
}

impl<Submission> Default for Rest<Submission> {
    fn default() -> Self {
        Self { until: None, held: Vec::new() }
    }
}

impl<Submission> Rest<Submission> {
    /// Late arrivals have been taken in `now`, which took that long.
    pub fn begin(&mut self, took: Duration, now: Instant) {
        self.until = (took >= SHORT).then(|| now + took);
    }

    /// Takes a submission that is late; gives it back if it need not wait.
    pub fn hold(&mut self, submission: Submission, now: Instant) -> Option<Submission> {
        if self.until.is_some_and(|until| now < until) {
            self.held.push(submission);
            return None;
        }
        Some(submission)
    }

    /// When to [release](Self::release) what is held back; none if there is nothing.
    pub fn ends(&self) -> Option<Instant> {
        self.until.filter(|_| !self.held.is_empty())
    }

    /// What was held back, in the order in which it came, if the rest is over.
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
        let mut rest = Rest::default();
        assert_eq!(rest.hold("first", at(0)), Some("first"), "there was no work yet");
        rest.begin(Duration::from_millis(30), at(30));
        assert_eq!((rest.ends(), rest.release(at(90))), (None, vec![]), "nothing waits");
        rest.begin(Duration::from_millis(30), at(100));
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
        rest.begin(Duration::from_micros(999), at(200));
        assert_eq!(rest.hold("e", at(200)), Some("e"), "that was short");
    }
}
