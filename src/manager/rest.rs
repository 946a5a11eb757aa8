//! When late arrivals are taken in.
//!
//! One that belongs before the end of the history makes the manager apply again what comes after it, and
//! no other write is answered meanwhile. So after such work it rests from it for the time that went into what was
//! applied again. What comes late meanwhile is held back, and then taken in together, in one pass; whoever submitted
//! it waits for the answer. So does whoever submits something else that has its place already, since it would have to
//! be applied again when what is held back is taken in. All else goes on.
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
    /// Late arrivals have been taken in `now`, which took that long; so many of all that were applied then were
    /// applied again. To wait makes these fewer, and not those that come.
    pub fn begin(&mut self, took: Duration, (again, all): (usize, usize), now: Instant) {
        let rest = took.mul_f64(again as f64 / all.max(1) as f64);
        self.until = (took >= SHORT).then(|| now + rest);
    }

    /// Takes a submission that is late, or comes behind one that waits; gives it back if it need not wait.
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
