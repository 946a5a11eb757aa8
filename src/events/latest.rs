//! The event that was made last, for all who know as much as the one for whom it was made.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::clock::VectorClock;
use crate::http::Coding;
use crate::manager::Known;

/// An event, and for whom it is.
#[derive(Clone, Debug)]
pub struct News {
    /// What its readers know.
    pub leads_from: Known,
    /// What they know then.
    pub leads_to: Known,
    /// The clock then.
    pub vclock: Arc<VectorClock>,
    /// How their answers are sent.
    pub coding: Coding,
    /// The event as that part of an answer.
    pub part: Arc<[u8]>,
}

/// The event that was made last.
#[derive(Debug, Default)]
pub struct Latest(Mutex<Option<Arc<News>>>);

impl Latest {
    /// The event for a reader that knows so much, if it is the one.
    pub fn of(
        &self,
        known: &Known,
        vclock: &Arc<VectorClock>,
        coding: Coding,
    ) -> Option<Arc<News>> {
        let latest = self.lock();
        let news = latest.as_ref()?;
        let is_it =
            Arc::ptr_eq(&news.vclock, vclock) && news.leads_from == *known && news.coding == coding;
        is_it.then(|| news.clone())
    }

    /// Keeps an event in place of the last one.
    pub fn keep(&self, news: News) -> Arc<News> {
        let news = Arc::new(news);
        *self.lock() = Some(news.clone());
        news
    }

    fn lock(&self) -> MutexGuard<'_, Option<Arc<News>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_for_those_who_know_as_much() {
        let clock =
            |next| -> VectorClock { [("a~1".parse().unwrap(), next)].into_iter().collect() };
        let latest = Latest::default();
        let (vclock, coding) = (Arc::new(clock(3)), Coding::Chunked);
        assert!(latest.of(&Known::Nothing, &vclock, coding).is_none());
        let news = latest.keep(News {
            leads_from: Known::Clock(clock(2)),
            leads_to: Known::Clock(clock(3)),
            vclock: vclock.clone(),
            coding,
            part: (*b"event").into(),
        });
        let found = latest.of(&Known::Clock(clock(2)), &vclock, coding).unwrap();
        assert!(Arc::ptr_eq(&found, &news));
        // One that knows more or less, that reads another state, or whose answer is sent otherwise.
        for (known, vclock, coding) in [
            (Known::Clock(clock(1)), &vclock, coding),
            (Known::Nothing, &vclock, coding),
            (Known::Clock(clock(2)), &Arc::new(clock(3)), coding),
            (Known::Clock(clock(2)), &vclock, Coding::UntilClose),
        ] {
            assert!(latest.of(&known, vclock, coding).is_none(), "{known:?}");
        }
    }
}
