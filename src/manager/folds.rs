//! Folds the history: replaces its final part by a base, some time after that part was found to be right.
//!
//! Another thread writes the base first. When it is durable, the transactions that it stands for are dropped from
//! the history, and then from the journal.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Manager;
use super::background::Background;
use crate::drops;
use crate::replica::Base;
use crate::replica::floor::Floor;

/// How long final transactions are kept by default.
const DEFAULT_KEEP: Duration = Duration::from_secs(24 * 60 * 60);

/// The time for which they are kept is divided into so many steps. The journal has a file for each.
const STEPS: u32 = 8;

/// If a base cannot be written, the next attempt is after this time.
const RETRY: Duration = Duration::from_secs(60);

/// The places up to which the history may be folded.
pub struct Folds {
    keep: Duration,
    /// In their order, each with the moment at which it was noted.
    noted: VecDeque<(Instant, Arc<Floor>)>,
    /// Of the last one that was noted: how many commits are before it, and when it was noted.
    last: Option<(u64, Instant)>,
    writing: Option<Writing>,
    /// No base is written before this moment.
    rests_until: Option<Instant>,
}

/// A base that is being written.
struct Writing {
    floor: Arc<Floor>,
    work: Background<Result<(), String>>,
}

impl Default for Folds {
    fn default() -> Self {
        let (noted, last, writing) = (VecDeque::new(), None, None);
        Self { keep: DEFAULT_KEEP, noted, last, writing, rests_until: None }
    }
}

impl Folds {
    /// Notes the last floor that is right, if the one before was noted long enough ago. Returns whether it did.
    fn note(&mut self, right: Option<&Arc<Floor>>, now: Instant) -> bool {
        let Some(right) = right.filter(|right| self.is_new(right)) else { return false };
        if self.last.is_some_and(|(_, at)| now < at + self.keep / STEPS) {
            return false;
        }
        self.noted.push_back((now, right.clone()));
        self.last = Some((right.passed, now));
        true
    }

    fn is_new(&self, right: &Arc<Floor>) -> bool {
        self.last.is_none_or(|(passed, _)| right.passed > passed)
    }

    /// The next moment at which there is something to do.
    pub fn moment(&self, right: Option<&Arc<Floor>>) -> Option<Instant> {
        if self.writing.is_some() {
            return None;
        }
        let first = self.noted.front().map(|(at, _)| *at + self.keep);
        let first = first.map(|first| self.rests_until.map_or(first, |until| until.max(first)));
        let next = right.filter(|right| self.is_new(right));
        let next = next.and(self.last).map(|(_, at)| at + self.keep / STEPS);
        first.into_iter().chain(next).min()
    }

    /// The last floor that was noted long enough ago.
    fn take_due(&mut self, now: Instant) -> Option<Arc<Floor>> {
        if self.writing.is_some() || self.rests_until.is_some_and(|until| now < until) {
            return None;
        }
        let mut due = None;
        while self.noted.front().is_some_and(|(at, _)| *at + self.keep <= now) {
            due = self.noted.pop_front().map(|(_, floor)| floor);
        }
        due
    }

    /// The base that is being written, if one is.
    pub fn work(&mut self) -> Option<&mut Background<Result<(), String>>> {
        self.writing.as_mut().map(|writing| &mut writing.work)
    }

    /// The result of writing a base, if that has ended.
    async fn take_written(&mut self) -> Option<(Arc<Floor>, Result<(), String>)> {
        if !self.work()?.is_done().await {
            return None;
        }
        let Writing { floor, mut work } = self.writing.take()?;
        Some((floor, work.take()?))
    }

    /// Forgets all floors: the history was replaced.
    pub fn clear(&mut self) {
        *self = Self { keep: self.keep, ..Self::default() };
    }
}

impl Manager {
    /// Keeps final transactions for so long.
    pub fn keep(mut self, keep: Duration) -> Self {
        self.folds.keep = keep;
        self
    }

    /// Folds the history, or begins to, if it is time to.
    ///
    /// # Errors
    /// If the journal cannot be used any more.
    pub(super) async fn fold_where_due(&mut self) -> io::Result<()> {
        let now = Instant::now();
        if let Some((floor, written)) = self.folds.take_written().await {
            match written {
                Ok(()) => self.fold(&floor).await,
                Err(why) => {
                    log::warn!("the journal is not folded, since its base cannot be kept: {why}");
                    self.folds.rests_until = Some(now + RETRY);
                }
            }
        }
        if self.folds.note(self.replica.history().verified(), now) {
            // A file of its own for what is before the floor: it is removed when the floor has become a base.
            match self.journal.roll().await {
                Ok(()) => (),
                Err(error) => {
                    let why = self.not_appended(error)?;
                    log::warn!("the journal does not go on in another file: {why}");
                }
            }
        }
        let Some(floor) = self.folds.take_due(now) else { return Ok(()) };
        match &self.keeper {
            None => self.fold(&floor).await,
            Some(keeper) => {
                let task = keeper.keep_base(Base::of(&floor), floor.position, self.replica.own());
                self.folds.writing = Some(Writing { floor, work: Background::new(task) });
            }
        }
        Ok(())
    }

    /// Replaces the history before a floor by the floor.
    async fn fold(&mut self, floor: &Arc<Floor>) {
        let before = self.replica.clone();
        if !self.replica.fold(floor) {
            return;
        }
        if let Some(keeper) = &mut self.keeper {
            keeper.forget();
        }
        let last = self.publisher.publish(&self.replica, self.counters);
        drops::send((before, last), u64::MAX);
        self.drop_journal_before(floor.position).await;
        log::debug!("all before transaction {} of the history is folded", floor.index);
    }

    pub(super) async fn drop_journal_before(&mut self, position: u64) {
        let mut dropped =
            self.journal.drop_before(position).await.map_err(|error| error.to_string());
        if let (Ok(_), Some(keeper)) = (&dropped, &self.keeper) {
            dropped = keeper.drop_bases().await.map(|()| position);
        }
        if let Err(error) = dropped {
            log::warn!("a file that is of no use any more cannot be removed: {error}");
        }
    }
}
