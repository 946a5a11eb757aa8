//! What the manager publishes after each turn, before it answers: all that reads need.
//!
//! A reader takes the last [`State`] and never waits for the manager, whatever that is at work on. What one
//! state says belongs together, and it stays as it is for as long as somebody holds it.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};
use std::time::{Duration, Instant};

use async_channel::Receiver;

use super::handle::Counters;
use super::heavy::Heavy;
use super::representation::{Representation, Representer, Version};
use super::state_hash::StateHash;
use super::wall_clock;
use crate::clock::{Time, VectorClock};
use crate::commit::Committed;
use crate::document::Value;
use crate::fanout::Fanout;
use crate::patch::{Document, PatchError, PointerBuf};
use crate::replica::history::at::{Basis, PartialIndex, Window};
use crate::replica::history::cause::Because;
use crate::replica::history::changes::Changes;
use crate::replica::history::{Fate, History, HistoryBegin, PlacedSkip};
use crate::replica::{Base, Difference, Past, Replica};
use crate::source::Source;
use crate::transaction::{Name, Place};

/// For so many times as long as it took to hash a large document for comparison no other version of it is.
const COMPARISON_REST: u32 = 20;

/// What a node has at one point.
pub struct State {
    // It goes before the version, which leaves a large document to another thread to free.
    replica: Replica,
    version: Arc<Version>,
    counters: Counters,
    vclock: OnceLock<Arc<VectorClock>>,
}

/// What was read of the document, and where.
pub struct Reading {
    /// The document, or the part asked for; none if there is nothing.
    pub part: Option<Arc<Representation>>,
    /// The state that it belongs to.
    pub state: Arc<State>,
}

/// The document as it was after a change, and what had been done to it of late.
#[derive(Debug)]
pub struct Edition {
    root: Heavy,
    changes: Changes,
}

impl Edition {
    /// The document.
    pub fn root(&self) -> &Value {
        &self.root
    }

    /// The number of the last change.
    pub fn change(&self) -> u64 {
        self.changes.last()
    }

    /// The patches, JSON texts, that were done to the document since the change of that number, in their order;
    /// none if they are not known.
    pub fn since(&self, change: u64) -> Option<Vec<Arc<str>>> {
        self.changes.since(change)
    }
}

/// Where a transaction stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing {
    /// Where in the journal it is.
    pub position: u64,
    /// How many are before it in the history; none if it is before the recent part, so that this has to
    /// be counted.
    pub index: Option<u64>,
    /// What becomes of it.
    pub fate: Fate,
    /// Whether it is void: skipped for its time, whatever its patch.
    pub is_void: bool,
    /// Whether that is final.
    pub is_committed: bool,
}

/// Some of the transactions that are skipped, in the order of the history. Why they are is known of
/// the latest ones only; those before are not listed.
#[derive(Clone, Debug)]
pub struct SkippedPage {
    /// How many are skipped in all, void ones included.
    pub count: u64,
    /// How many of these are void, as far as it is known why they are skipped.
    pub void: u64,
    /// How many are repeated, which are not listed.
    pub repeated: u64,
    /// How many are skipped before those that are listed here.
    pub from: u64,
    /// These, and why.
    pub skipped: Vec<PlacedSkip>,
}

/// The last commit that counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastCommit {
    /// Its name, of which the source says the epoch and whose it is.
    pub name: Name,
    /// Its time.
    pub time: Time,
}

impl State {
    fn first(replica: &Replica) -> Self {
        Self::of(replica, Version::new(replica.snapshot().root().clone(), 0))
    }

    fn of(replica: &Replica, version: Version) -> Self {
        Self {
            replica: replica.clone(),
            version: Arc::new(version),
            counters: Counters::default(),
            vclock: OnceLock::new(),
        }
    }

    fn next(&self, replica: &Replica, counters: Counters) -> Self {
        if replica.length() > self.journal_length() || counters.generation > self.generation() {
            let version = self.version.next(replica.snapshot().root().clone());
            return Self { counters, ..Self::of(replica, version) };
        }
        // Nothing was accepted, so it is the same document.
        let (replica, version) = (replica.clone(), self.version.clone());
        Self { replica, version, counters, vclock: OnceLock::new() }
    }

    /// The document.
    pub fn document(&self) -> &Document {
        self.replica.snapshot()
    }

    /// The document's representation, if that has been made or takes little time.
    pub fn representation(&self) -> Option<&Arc<Representation>> {
        self.version.representation()
    }

    /// How many records the journal has.
    pub fn journal_length(&self) -> u64 {
        self.replica.length()
    }

    /// What stands for all up to the last commit whose hash is known to be right; none if there is none, or this
    /// node has to take a base itself.
    pub fn base(&self) -> Option<Base> {
        self.replica.base()
    }

    /// The last commit that counts; none if none is known.
    pub fn last_commit(&self) -> Option<LastCommit> {
        let chain = self.history().chain();
        let name = chain.last()?;
        // A base has it as the time at which the source of its commit was covered last: by that.
        let of_base = || chain.base().clock.get(&name.source).map(|covered| covered.last);
        let time = chain.commits().last().map(|last| last.place.time).or_else(of_base)?;
        Some(LastCommit { name, time })
    }

    /// Why this node has to take a base; none if all that can be compared is right.
    pub fn difference(&self) -> Option<&Difference> {
        self.replica.difference()
    }

    /// How often streams have had to begin anew.
    pub fn generation(&self) -> u64 {
        self.counters.generation
    }

    /// What the history begins with.
    pub fn begin(&self) -> HistoryBegin {
        self.history().begin()
    }

    /// What is known at the commit with which it begins: who does not have that needs a base.
    pub fn folded(&self) -> &Committed {
        self.history().chain().base()
    }

    /// How many transactions of the history are final.
    pub fn committed_length(&self) -> u64 {
        self.history().committed().index
    }

    /// How many transactions of the history are not final.
    pub fn tentative(&self) -> u64 {
        self.length() - self.committed_length()
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
            document_weight: self.document().weight(),
            ..self.counters
        }
    }

    /// The number of the last change of the document. Later ones have greater numbers, as long as this process
    /// runs.
    pub fn change(&self) -> u64 {
        self.replica.changes().last()
    }

    /// The document and what was done to it of late, for one who holds it for long.
    pub fn edition(&self) -> Edition {
        let root = self.document().root().clone().into();
        Edition { root, changes: self.replica.changes().clone() }
    }

    /// What the document after `count` transactions is made from; none if there are fewer, or if that is before
    /// what is kept.
    pub fn basis(&self, count: u64) -> Option<Basis> {
        self.history().basis(count)
    }

    /// What a listing is made from, of at most `most` transactions from index `from` on, which is kept, and no more
    /// than one that passes `bytes` of payload in all.
    pub fn window(&self, from: u64, most: usize, bytes: usize) -> Window {
        self.history().window(from, most, bytes)
    }

    /// Which transactions won against the skipped ones at these places, as far as the recent part of the history
    /// tells: see [`History::recent_winners`].
    ///
    /// # Errors
    /// Those of `go_on`.
    pub fn recent_winners<E>(
        &self,
        skipped: &BTreeSet<Place>,
        go_on: impl FnMut() -> Result<bool, E>,
    ) -> Result<BTreeMap<Place, Because>, E> {
        self.history().recent_winners(skipped, go_on)
    }

    /// Which transaction won against the skipped one at `place`: see [`History::winner`].
    ///
    /// # Errors
    /// Those of `go_on`, and if the journal cannot be read.
    pub fn winner(
        &self,
        place: &Place,
        position: u64,
        payload: &str,
        past: &dyn Past,
        go_on: impl FnMut() -> io::Result<()>,
    ) -> io::Result<Because> {
        self.history().winner(place, position, payload, past, go_on)
    }

    /// Where the transaction at this place of the history and at this position of the journal stands.
    pub fn standing(&self, place: &Place, position: u64) -> Standing {
        let history = self.history();
        Standing {
            position,
            index: history.recent_index(place),
            fate: history.fate(place, position),
            is_void: self.is_void(place),
            is_committed: self.is_committed(place),
        }
    }

    /// The same if it is in the recent part of the history.
    pub fn recent_standing(&self, place: &Place) -> Option<Standing> {
        let position = self.history().recent(place)?.position;
        Some(self.standing(place, position))
    }

    /// Whether the transaction at one place counts rather than that at the other one, if both have the same name:
    /// what is void does not, and else the first in the history does.
    pub fn counts_before(&self, one: &Place, other: &Place) -> bool {
        let chain = self.history().chain();
        (chain.is_void(one), chain.order(one)) < (chain.is_void(other), chain.order(other))
    }

    /// Whether what the journal has at this place of the history is one of its transactions that are kept: no
    /// commit, and not before the base.
    pub fn is_kept(&self, place: &Place) -> bool {
        place.source.epoch().is_none() && !self.history().chain().is_folded(place)
    }

    /// What is known of how many transactions are before `place`, which is before the recent part; none if no
    /// commit is known, so that this follows from the journal alone.
    pub fn before(&self, place: &Place) -> Option<PartialIndex> {
        self.history().before(place)
    }

    /// The document at the last commit; none if no primary is known.
    pub fn committed_document(&self) -> Option<&Document> {
        let history = self.history();
        history.chain().last().map(|_| &history.committed().document)
    }

    /// Whether it is final what becomes of the transaction at this place: a commit covers it, or it is void. Nothing
    /// is as long as this node has to take a base.
    pub fn is_committed(&self, place: &Place) -> bool {
        self.difference().is_none() && (self.history().is_committed(place) || self.is_void(place))
    }

    /// Whether the transaction at this place is void: skipped for its time, whatever its patch.
    pub fn is_void(&self, place: &Place) -> bool {
        self.history().chain().is_void(place)
    }

    /// Whether the transaction `id` of `source`, by its stamp or by its name, is final; nothing is as long as this
    /// node has to take a base.
    pub fn has_committed(&self, source: &Source, id: u64) -> bool {
        if self.difference().is_some() {
            return false;
        }
        let committed = self.history().committed();
        let covered = committed.committed.clock.get(source);
        covered.is_some_and(|covered| covered.next > id)
            || committed.counted.names.contains(source, id)
    }

    /// Whether the transaction `id` of `source` is known to have been there, by its stamp or by its name. That it
    /// is not in the journal any more, the caller knows.
    pub fn was_folded(&self, source: &Source, id: u64) -> bool {
        let base = self.history().chain().base();
        // Of the Ids that a life gives out some may have been refused; of the others none.
        let covered = base.clock.get(source).filter(|_| source.is_reserved());
        base.commit.is_some()
            && (covered.is_some_and(|covered| covered.next > id)
                || self.history().names().contains(source, id))
    }

    /// How many transactions are void, as far as it is known why they are skipped.
    pub fn void(&self) -> u64 {
        // Nothing is before the first time.
        if self.history().chain().floor() == Time::default() {
            return 0;
        }
        let is_void = |(_, skip): &&PlacedSkip| skip.error == PatchError::VOID;
        self.history().skipped().iter().filter(is_void).count() as u64
    }

    /// At most `most` of the skipped transactions, without the first `from`; the last ones if nothing is
    /// said.
    pub fn skipped(&self, from: Option<u64>, most: usize) -> SkippedPage {
        let history = self.history();
        let (void, listed) = (self.void(), history.skipped());
        let count = history.skipped_count() + void;
        let unlisted = count.saturating_sub(listed.len() as u64);
        let from = from.unwrap_or_else(|| count.saturating_sub(most as u64)).max(unlisted);
        let left_out = usize::try_from(from - unlisted).unwrap_or(usize::MAX);
        let skipped = listed.iter_from(left_out).take(most).cloned().collect();
        SkippedPage { count, void, repeated: history.repeated_count(), from, skipped }
    }

    fn history(&self) -> &History {
        self.replica.history()
    }
}

impl AsRef<Version> for State {
    fn as_ref(&self) -> &Version {
        &self.version
    }
}

/// Where the last state is, and who waits for the next one. To hold it does not keep the manager from ending.
pub struct Published {
    state: RwLock<Arc<State>>,
    /// Whether it has been read since the manager last looked.
    read: AtomicBool,
    representer: Representer<State>,
    /// When a large document is hashed for comparison again.
    next_comparison: Mutex<Option<Instant>>,
    /// Who is woken when the journal has grown.
    growth: Fanout,
    /// Whether it has grown since they were woken.
    has_grown: AtomicBool,
    /// Who is woken when there is another commit.
    commits: Fanout,
    /// Whether there is one since they were woken.
    has_committed: AtomicBool,
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
        self.read.store(true, Ordering::Relaxed);
        self.last()
    }

    /// The [generation](State::generation) of the last state, which is not taken for read by that.
    pub fn generation(&self) -> u64 {
        self.state.read().unwrap_or_else(PoisonError::into_inner).generation()
    }

    /// The last state, which is not taken for read by that either.
    pub fn last(&self) -> Arc<State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The last state with its document's representation, or one that was the last in the meantime.
    pub async fn represented(&self) -> Arc<State> {
        self.representer.represented(|| self.state()).await
    }

    /// The representation of a part of a document.
    pub async fn represent(&self, part: &Value) -> Arc<Representation> {
        Arc::new(self.representer.represent(part).await)
    }

    /// The part of the document at `pointer`, with its representation.
    pub async fn read(&self, pointer: &PointerBuf) -> Reading {
        if pointer.is_root() {
            let state = self.represented().await;
            return Reading { part: state.representation().cloned(), state };
        }
        let state = self.state();
        let part = match state.document().get(pointer) {
            Some(part) => Some(self.represent(part).await),
            None => None,
        };
        Reading { part, state }
    }

    /// By what peers compare their states; none if that is not at hand, since the document is large and
    /// changing.
    pub async fn state_hash(&self) -> Option<StateHash> {
        let mut state = self.state();
        if state.representation().is_none() {
            let begin = Instant::now();
            if lock(&self.next_comparison).is_some_and(|next| begin < next) {
                return None;
            }
            state = self.represented().await;
            *lock(&self.next_comparison) = Some(Instant::now() + begin.elapsed() * COMPARISON_REST);
        }
        let representation = state.representation()?;
        Some(StateHash::of(representation.digest(), state.stamps()))
    }

    /// About how many bytes of documents have been replaced by others since the start.
    pub fn displaced(&self) -> u64 {
        self.last().history().displaced()
    }

    /// A channel that has something in it whenever the journal has grown since it was last emptied, and is
    /// closed when the manager ends.
    pub fn subscribe(&self) -> Receiver<()> {
        self.growth.subscribe()
    }

    /// The same for whenever something became final.
    pub fn subscribe_to_commits(&self) -> Receiver<()> {
        self.commits.subscribe()
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

fn take(flag: &AtomicBool) -> bool {
    flag.load(Ordering::Relaxed) && flag.swap(false, Ordering::Relaxed)
}

/// The manager's side of it.
pub struct Publisher(Arc<Published>);

impl Publisher {
    /// The first state is published.
    pub fn new(replica: &Replica) -> Self {
        let state = State::first(replica);
        Self(Arc::new(Published {
            state: RwLock::new(Arc::new(state)),
            read: AtomicBool::new(false),
            representer: Representer::default(),
            next_comparison: Mutex::new(None),
            growth: Fanout::default(),
            has_grown: AtomicBool::new(false),
            commits: Fanout::default(),
            has_committed: AtomicBool::new(false),
            changes_wanted: AtomicBool::new(false),
            turns: AtomicU64::new(0),
            seen: Mutex::new(None),
        }))
    }

    /// For the readers.
    pub fn share(&self) -> Arc<Published> {
        self.0.clone()
    }

    /// The next state is published; gives back the last one. Who waits for it is not [woken](Self::wake) yet.
    pub fn publish(&self, replica: &Replica, counters: Counters) -> Arc<State> {
        let last = self.0.last();
        let next = Arc::new(last.next(replica, counters));
        let has_grown = !Arc::ptr_eq(&next.version, &last.version);
        let has_committed = !Arc::ptr_eq(next.history().committed(), last.history().committed());
        *self.0.state.write().unwrap_or_else(PoisonError::into_inner) = next;
        self.0.has_grown.fetch_or(has_grown, Ordering::Relaxed);
        self.0.has_committed.fetch_or(has_committed, Ordering::Relaxed);
        last
    }

    /// Wakes those who wait for what was published since this was last called. They may be many, and each has
    /// something to send: who submitted it is answered before.
    pub fn wake(&self) {
        if take(&self.0.has_grown) {
            self.0.growth.wake();
        }
        if take(&self.0.has_committed) {
            self.0.commits.wake();
        }
    }

    /// Whether somebody has read changes of the document since this was last asked.
    pub fn take_wish_for_changes(&self) -> bool {
        take(&self.0.changes_wanted)
    }

    /// Whether somebody has read the state since this was last asked.
    pub fn take_note_of_readers(&self) -> bool {
        take(&self.0.read)
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
        self.0.growth.close();
        self.0.commits.close();
    }
}
