//! The state that the manager publishes after each turn, before it answers: all that reads need.
//!
//! A reader takes the last [`State`] and never waits for the manager. A state is consistent, and does not change as
//! long as it is held.

use std::collections::{HashMap, HashSet};
use std::io;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
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
use crate::locks::{Mutex, RwLock};
use crate::patch::{Document, PatchError, PointerBuf};
use crate::replica::history::at::{Basis, PartialIndex, Window};
use crate::replica::history::cause::Because;
use crate::replica::history::changes::Changes;
use crate::replica::history::{Fate, History, HistoryBegin, PlacedSkip};
use crate::replica::{Base, Difference, Past, Replica};
use crate::source::Source;
use crate::transaction::{Name, Place};

/// After a large document was hashed for comparison, the next hash is made after so many times that duration.
const COMPARISON_REST: u32 = 20;

/// The state of a node after a turn.
pub struct State {
    // Dropped before the version, which has another thread free a large document.
    replica: Replica,
    version: Arc<Version>,
    counters: Counters,
    vclock: OnceLock<Arc<VectorClock>>,
}

/// A part of the document, and the state from which it was read.
pub struct Reading {
    /// The part, or the whole document; none if there is no such part.
    pub part: Option<Arc<Representation>>,
    /// The state.
    pub state: Arc<State>,
}

/// The document after a change, and its recent changes.
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

    /// The patches, as JSON texts, that were applied after the change of that number, in order; none if they are not
    /// known.
    pub fn since(&self, change: u64) -> Option<Vec<Arc<str>>> {
        self.changes.since(change)
    }
}

/// The place of a transaction, and its fate.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing {
    /// Its position in the journal.
    pub position: u64,
    /// How many are before it in the history; none if it is before the recent part, so that these have to be counted.
    pub index: Option<u64>,
    /// Whether it is applied, skipped or repeated.
    pub fate: Fate,
    /// Whether it is void: skipped because of its time, whatever its patch is.
    pub is_void: bool,
    /// Whether that is final.
    pub is_committed: bool,
}

/// Some of the skipped transactions, in the order of the history. The reason is known for the latest ones only;
/// those before them are not listed.
#[derive(Clone, Debug)]
pub struct SkippedPage {
    /// How many are skipped in all, void ones included.
    pub count: u64,
    /// How many of these are void, among those whose reason is known.
    pub void: u64,
    /// How many are repeated. They are not listed.
    pub repeated: u64,
    /// How many skipped ones are before those that are listed here.
    pub from: u64,
    /// The listed ones, each with the reason.
    pub skipped: Vec<PlacedSkip>,
}

/// The last commit that counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastCommit {
    /// Its name, whose source says the epoch and the node.
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

    /// The document's representation, if that exists or takes little time.
    pub fn representation(&self) -> Option<&Arc<Representation>> {
        self.version.representation()
    }

    /// How many records the journal has.
    pub fn journal_length(&self) -> u64 {
        self.replica.length()
    }

    /// The base at the last commit whose hash is known to be right; none if there is no such commit, or if this node
    /// has to take a base itself.
    pub fn base(&self) -> Option<Base> {
        self.replica.base()
    }

    /// The last commit that counts; none if none is known.
    pub fn last_commit(&self) -> Option<LastCommit> {
        let chain = self.history().chain();
        let name = chain.last()?;
        // For the commit of a base, its time is the last covered time of its source.
        let of_base = || chain.base().clock.get(&name.source).map(|covered| covered.last);
        let time = chain.commits().last().map(|last| last.place.time).or_else(of_base)?;
        Some(LastCommit { name, time })
    }

    /// Why this node has to take a base; none if everything that was compared is right.
    pub fn difference(&self) -> Option<&Difference> {
        self.replica.difference()
    }

    /// How often streams had to begin again.
    pub fn generation(&self) -> u64 {
        self.counters.generation
    }

    /// The beginning of the history.
    pub fn begin(&self) -> HistoryBegin {
        self.history().begin()
    }

    /// The commit at which the history begins. A node that does not have all before it needs a base.
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

    /// The vector clock of the sources that stamp, by which nodes compare their journals.
    pub fn stamps(&self) -> &VectorClock {
        self.replica.vclock()
    }

    /// The same, with the next expected Id of each plain source.
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

    /// The number of the last change of the document. It grows as long as this process runs.
    pub fn change(&self) -> u64 {
        self.replica.changes().last()
    }

    /// The document and its recent changes, for a reader that holds them for long.
    pub fn edition(&self) -> Edition {
        let root = self.document().root().clone().into();
        Edition { root, changes: self.replica.changes().clone() }
    }

    /// The basis from which the document after `count` transactions is made; none if there are fewer, or if that part
    /// of the history is folded.
    pub fn basis(&self, count: u64) -> Option<Basis> {
        self.history().basis(count)
    }

    /// The window from which a listing is made: at most `most` transactions from index `from` on, which is kept. It
    /// ends with the one that passes `bytes` of payload in all.
    pub fn window(&self, from: u64, most: usize, bytes: usize) -> Window {
        self.history().window(from, most, bytes)
    }

    /// The transactions because of which those at these places are skipped, if they are in the recent part of the
    /// history: see [`History::recent_winners`].
    ///
    /// # Errors
    /// Those of `go_on`.
    pub fn recent_winners(
        &self,
        skipped: &HashSet<Place>,
        go_on: &mut dyn FnMut() -> io::Result<bool>,
    ) -> io::Result<HashMap<Place, Because>> {
        self.history().recent_winners(skipped, go_on)
    }

    /// The transaction because of which the one at `place` is skipped: see [`History::winner`].
    ///
    /// # Errors
    /// Those of `go_on`, and if the journal cannot be read.
    pub fn winner(
        &self,
        place: &Place,
        position: u64,
        payload: &str,
        past: &dyn Past,
        go_on: &mut dyn FnMut() -> io::Result<()>,
    ) -> io::Result<Because> {
        self.history().winner(place, position, payload, past, go_on)
    }

    /// The standing of the transaction at this place of the history and this position of the journal.
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

    /// If the transactions at two places have the same name, whether that at the first place counts: one that is not
    /// void counts before one that is, and else the one that is first in the history.
    pub fn counts_before(&self, one: &Place, other: &Place) -> bool {
        let chain = self.history().chain();
        (chain.is_void(one), chain.order(one)) < (chain.is_void(other), chain.order(other))
    }

    /// Whether the record at this place belongs to the history that is kept: it is no commit, and not before the base.
    pub fn is_kept(&self, place: &Place) -> bool {
        place.source.epoch().is_none() && !self.history().chain().is_folded(place)
    }

    /// What is known of the number of transactions before `place`, which is before the recent part; none if no commit
    /// is known, so that it follows from the journal alone.
    pub fn before(&self, place: &Place) -> Option<PartialIndex> {
        self.history().before(place)
    }

    /// The document at the last commit; none if no primary is known.
    pub fn committed_document(&self) -> Option<&Document> {
        let history = self.history();
        history.chain().last().map(|_| &history.committed().document)
    }

    /// Whether the fate of the transaction at this place is final: a commit covers it, or it is void. As long as this
    /// node has to take a base, nothing is final.
    pub fn is_committed(&self, place: &Place) -> bool {
        self.difference().is_none() && (self.history().is_committed(place) || self.is_void(place))
    }

    /// Whether the transaction at this place is void: skipped because of its time, whatever its patch is.
    pub fn is_void(&self, place: &Place) -> bool {
        self.history().chain().is_void(place)
    }

    /// Whether the transaction `id` of `source`, by its stamp or by its name, is final. As long as this node has to
    /// take a base, nothing is final.
    pub fn has_committed(&self, source: &Source, id: u64) -> bool {
        if self.difference().is_some() {
            return false;
        }
        let committed = self.history().committed();
        let covered = committed.committed.clock.get(source);
        covered.is_some_and(|covered| covered.next > id)
            || committed.counted.names.contains(source, id)
    }

    /// Whether the transaction `id` of `source`, by its stamp or by its name, was in the part of the history that is
    /// folded. The caller knows that it is not in the journal.
    pub fn was_folded(&self, source: &Source, id: u64) -> bool {
        let base = self.history().chain().base();
        // Some Ids of a life may have been refused, so the clock proves only stamps of reserved sources.
        let covered = base.clock.get(source).filter(|_| source.is_reserved());
        base.commit.is_some()
            && (covered.is_some_and(|covered| covered.next > id)
                || self.history().names().contains(source, id))
    }

    /// How many transactions are void, among those whose reason is known.
    pub fn void(&self) -> u64 {
        // Nothing is before the first time.
        if self.history().chain().floor() == Time::default() {
            return 0;
        }
        let is_void = |(_, skip): &&PlacedSkip| skip.error == PatchError::VOID;
        self.history().skipped().iter().filter(is_void).count() as u64
    }

    /// At most `most` of the skipped transactions, after the first `from`; the last ones by default.
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

/// The last state, and the readers that wait for the next one. The manager can end while this is held.
pub struct Published {
    state: RwLock<Arc<State>>,
    /// Whether it has been read since the manager last looked.
    read: AtomicBool,
    representer: Representer<State>,
    /// When a large document may be hashed for comparison again.
    next_comparison: Mutex<Option<Instant>>,
    /// Those that are woken if the journal grows.
    growth: Fanout,
    /// Whether it has grown since they were woken.
    has_grown: AtomicBool,
    /// Those that are woken if there is a new commit.
    commits: Fanout,
    /// Whether there is one since they were woken.
    has_committed: AtomicBool,
    /// Whether the changes of the document were read since the manager last looked.
    changes_wanted: AtomicBool,
    /// How many turns of the manager have begun plus how many have ended: odd during a turn.
    turns: AtomicU64,
    /// The last turn that [`busy`](Self::busy) saw, and when it saw it first.
    seen: Mutex<Option<(u64, Instant)>>,
}

impl Published {
    /// The last state.
    pub fn state(&self) -> Arc<State> {
        self.read.store(true, Ordering::Relaxed);
        self.last()
    }

    /// The [generation](State::generation) of the last state. This does not count as reading the state.
    pub fn generation(&self) -> u64 {
        self.state.read().generation()
    }

    /// The number of the [last change](State::change) in the last state. This does not count as reading it either.
    pub fn change(&self) -> u64 {
        self.state.read().change()
    }

    /// The last state. This does not count as reading it either.
    pub fn last(&self) -> Arc<State> {
        self.state.read().clone()
    }

    /// The last state with its document's representation, or one that was the last during the call.
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

    /// The hash by which peers compare their states; none if the document is large and changes too often.
    pub async fn state_hash(&self) -> Option<StateHash> {
        let mut state = self.state();
        if state.representation().is_none() {
            let begin = Instant::now();
            if self.next_comparison.lock().is_some_and(|next| begin < next) {
                return None;
            }
            state = self.represented().await;
            *self.next_comparison.lock() = Some(Instant::now() + begin.elapsed() * COMPARISON_REST);
        }
        let representation = state.representation()?;
        Some(StateHash::of(representation.digest(), state.stamps()))
    }

    /// About how many bytes of documents have been replaced by others since the start.
    pub fn displaced(&self) -> u64 {
        self.last().history().displaced()
    }

    /// A channel that has an item if the journal has grown since the last one was received. It is closed when the
    /// manager ends.
    pub fn subscribe(&self) -> Receiver<()> {
        self.growth.subscribe()
    }

    /// The same for new commits.
    pub fn subscribe_to_commits(&self) -> Receiver<()> {
        self.commits.subscribe()
    }

    /// Makes the manager note the changes of the document.
    pub fn want_changes(&self) {
        self.changes_wanted.store(true, Ordering::Relaxed);
    }

    /// For how long the manager has been working on its turn, measured from the first call that saw this turn.
    pub fn busy(&self) -> Duration {
        let turns = self.turns.load(Ordering::Relaxed);
        let mut seen = self.seen.lock();
        if turns.is_multiple_of(2) {
            *seen = None;
        } else if seen.is_none_or(|(turn, _)| turn != turns) {
            *seen = Some((turns, Instant::now()));
        }
        seen.map_or(Duration::ZERO, |(_, since)| since.elapsed())
    }
}

fn take(flag: &AtomicBool) -> bool {
    flag.load(Ordering::Relaxed) && flag.swap(false, Ordering::Relaxed)
}

/// The manager's side of [`Published`].
pub struct Publisher(Arc<Published>);

impl Publisher {
    /// Publishes the first state.
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

    /// The readers' side.
    pub fn share(&self) -> Arc<Published> {
        self.0.clone()
    }

    /// Publishes the next state, and returns the last one. It does not [wake](Self::wake) those that wait for it.
    pub fn publish(&self, replica: &Replica, counters: Counters) -> Arc<State> {
        let last = self.0.last();
        let next = Arc::new(last.next(replica, counters));
        let has_grown = !Arc::ptr_eq(&next.version, &last.version);
        let has_committed = !Arc::ptr_eq(next.history().committed(), last.history().committed());
        *self.0.state.write() = next;
        self.0.has_grown.fetch_or(has_grown, Ordering::Relaxed);
        self.0.has_committed.fetch_or(has_committed, Ordering::Relaxed);
        last
    }

    /// Wakes those that wait for a new state, if there is one since the last call. They may be many, and each has
    /// something to send, so the writers are answered before.
    pub fn wake(&self) {
        if take(&self.0.has_grown) {
            self.0.growth.wake();
        }
        if take(&self.0.has_committed) {
            self.0.commits.wake();
        }
    }

    /// Whether the changes of the document were read since the last call.
    pub fn take_wish_for_changes(&self) -> bool {
        take(&self.0.changes_wanted)
    }

    /// Whether the state was read since the last call.
    pub fn take_note_of_readers(&self) -> bool {
        take(&self.0.read)
    }

    /// Notes that a turn begins or has ended.
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
        // Those that wait for the next state learn that there is none.
        self.0.growth.close();
        self.0.commits.close();
    }
}
