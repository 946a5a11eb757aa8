//! What the manager publishes after each turn, before it answers: all that reads need.
//!
//! A reader takes the last [`State`] and never waits for the manager, whatever that is at work on. What one
//! state says belongs together, and it stays as it is for as long as somebody holds it.

use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};
use std::time::{Duration, Instant};

use async_channel::{Receiver, Sender, TrySendError};

use super::handle::Counters;
use super::wall_clock;
use crate::clock::VectorClock;
use crate::replica::Replica;
use crate::replica::history::at::Window;
use crate::replica::history::{Fate, History, Reason, Whereabouts};
use crate::source::Source;
use crate::transaction::Place;

/// What a node has at one point.
pub struct State {
    replica: Replica,
    counters: Counters,
    vclock: OnceLock<Arc<VectorClock>>,
}

/// Where a transaction stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing {
    /// How many are before it in the history; none if it is before the recent part, so that this has to
    /// be counted.
    pub index: Option<u64>,
    /// What becomes of it.
    pub fate: Fate,
}

/// Some of the transactions that are skipped, in the order of the history. Why they are is known of
/// the latest ones only; those before are not listed.
#[derive(Clone, Debug)]
pub struct SkippedPage {
    /// How many are skipped in all.
    pub count: u64,
    /// How many are repeated, which are not listed.
    pub repeated: u64,
    /// How many are skipped before those that are listed here.
    pub from: u64,
    /// These, and why.
    pub skipped: Vec<Reason>,
}

impl State {
    pub(super) fn new(replica: &Replica, counters: Counters) -> Self {
        let counters = Counters { document_weight: replica.snapshot().weight(), ..counters };
        Self { replica: replica.view(), counters, vclock: OnceLock::new() }
    }

    /// How many transactions the history has.
    pub fn length(&self) -> u64 {
        self.history().length()
    }

    /// The vector clock of the sources that stamp, by which nodes compare what they have.
    pub fn stamps(&self) -> &VectorClock {
        self.replica.vclock()
    }

    /// The same, with the Id expected next of each plain source.
    pub fn vclock(&self) -> &Arc<VectorClock> {
        self.vclock.get_or_init(|| Arc::new(self.replica.whole_vclock()))
    }

    /// Whether there is the transaction `id` of `source`, by its stamp or by its name.
    pub fn has(&self, source: &Source, id: u64) -> bool {
        self.stamps().has_seen(source, id) || self.replica.is_known(source, id)
    }

    /// The manager's counters.
    pub fn counters(&self) -> Counters {
        Counters {
            skipped: self.history().skipped_count(),
            repeated: self.history().repeated_count(),
            ahead_micros: self.replica.ahead_micros(wall_clock()),
            sources: self.stamps().sources() as u64,
            ..self.counters
        }
    }

    /// What a listing is made from, of at most `most` transactions from index `from` on, and no more
    /// than one that passes `bytes` of payload in all.
    pub fn window(&self, from: u64, most: usize, bytes: usize) -> Window {
        self.history().window(from, most, bytes)
    }

    /// Where the transaction at this place of the history and at this position of the journal stands.
    pub fn standing(&self, place: &Place, position: u64) -> Standing {
        let index = match self.history().whereabouts(place) {
            Whereabouts::Recent { index } => Some(index),
            Whereabouts::Past { .. } => None,
        };
        Standing { index, fate: self.history().fate(place, position) }
    }

    /// At most `most` of the skipped transactions, without the first `from`; the last ones if nothing is
    /// said.
    pub fn skipped(&self, from: Option<u64>, most: usize) -> SkippedPage {
        let history = self.history();
        let (count, listed) = (history.skipped_count(), history.skipped());
        let unlisted = count - listed.len() as u64;
        let from = from.unwrap_or_else(|| count.saturating_sub(most as u64)).max(unlisted);
        let left_out = usize::try_from(from - unlisted).unwrap_or(usize::MAX);
        let skipped = listed.iter_from(left_out).take(most).cloned().collect();
        SkippedPage { count, repeated: history.repeated_count(), from, skipped }
    }

    fn history(&self) -> &History {
        self.replica.history()
    }
}

/// Where the last state is, and who waits for the next one.
pub struct Published {
    state: RwLock<Arc<State>>,
    /// Who is woken when the history has grown; none if the manager has ended.
    subscribers: Mutex<Option<Vec<Sender<()>>>>,
    /// Whether somebody has read changes of the document since the manager last looked.
    changes_wanted: AtomicBool,
    /// How many turns of the manager have begun and ended: odd while it is at work on one.
    turns: AtomicU64,
    /// The turn that the manager was last seen at work on, and since when.
    seen: Mutex<Option<(u64, Instant)>>,
}

impl Published {
    /// The last state.
    pub fn state(&self) -> Arc<State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A channel that has something in it whenever the history has grown since it was last emptied, and is
    /// closed when the manager ends.
    pub fn subscribe(&self) -> Receiver<()> {
        let (growth, grown) = async_channel::bounded(1);
        // It may have grown since the state was read.
        growth.try_send(()).ok();
        if let Some(subscribers) = &mut *lock(&self.subscribers) {
            // If nothing grows, those that left are not noticed otherwise.
            subscribers.retain(|subscriber| !subscriber.is_closed());
            subscribers.push(growth);
        }
        grown
    }

    /// Has the manager note what changes the document.
    pub fn want_changes(&self) {
        self.changes_wanted.store(true, Ordering::Relaxed);
    }

    /// For how long the manager has been at work on one turn, as far as that was seen by asking for it.
    pub fn busy(&self) -> Duration {
        let turns = self.turns.load(Ordering::Relaxed);
        let mut seen = lock(&self.seen);
        if turns.is_multiple_of(2) {
            *seen = None;
        } else if seen.is_none_or(|(turn, _)| turn != turns) {
            *seen = Some((turns, Instant::now()));
        }
        seen.map_or(Duration::ZERO, |(_, since)| since.elapsed())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The manager's side of it.
pub struct Publisher(Arc<Published>);

impl Publisher {
    /// The first state is published.
    pub fn new(state: State) -> Self {
        Self(Arc::new(Published {
            state: RwLock::new(Arc::new(state)),
            subscribers: Mutex::new(Some(Vec::new())),
            changes_wanted: AtomicBool::new(false),
            turns: AtomicU64::new(0),
            seen: Mutex::new(None),
        }))
    }

    /// For the readers.
    pub fn share(&self) -> Arc<Published> {
        self.0.clone()
    }

    /// The next state is published.
    pub fn publish(&self, state: State) {
        let next = Arc::new(state);
        let length = next.length();
        let last = {
            let mut state = self.0.state.write().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *state, next)
        };
        if length > last.length()
            && let Some(subscribers) = &mut *lock(&self.0.subscribers)
        {
            subscribers
                .retain(|growth| !matches!(growth.try_send(()), Err(TrySendError::Closed(()))));
        }
    }

    /// Whether somebody has read changes of the document since this was last asked.
    pub fn take_wish_for_changes(&self) -> bool {
        self.0.changes_wanted.load(Ordering::Relaxed)
            && self.0.changes_wanted.swap(false, Ordering::Relaxed)
    }

    /// A turn begins or has ended.
    pub fn turn(&self) {
        self.0.turns.fetch_add(1, Ordering::Relaxed);
    }
}

impl Deref for Publisher {
    type Target = Published;

    fn deref(&self) -> &Published {
        &self.0
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        // Who waits for the next state is told that there is none.
        *lock(&self.0.subscribers) = None;
    }
}
