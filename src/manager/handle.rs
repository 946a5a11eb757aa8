//! What everyone else holds of the manager, what they ask it, and what they are told.

use std::io;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use async_channel::{Receiver, Sender};
use smol::lock::Mutex;

use super::healing::Taken;
use super::past::JournalPast;
use super::primary::Promotion;
use super::proposal;
use super::representation::Representation;
use super::shares::{Lag, Shares};
use super::state::{Published, Reading, State};
use super::state_hash::StateHash;
use crate::document::Value;
use crate::histogram::Histogram;
use crate::journal::JournalReader;
use crate::patch::PointerBuf;
use crate::replica::{Base, Outcome};
use crate::source::Source;
use crate::transaction::{Name, Transaction};

/// What became of a submitted transaction; an error if it could not be kept, and left no trace: the journal cannot
/// grow, or is not in its place, or the part of it that a late arrival needs cannot be read. The error says which, in
/// a sentence.
pub type Submitted = Result<Outcome, Arc<io::Error>>;

/// The manager has ended: the node is stopping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopped;

/// The manager's counters and gauges.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counters {
    /// Transactions accepted.
    pub accepted: u64,
    /// Transactions refused because they do not apply.
    pub refused: u64,
    /// Transactions dropped because they were known.
    pub known: u64,
    /// Transactions dropped because they came later than a horizon.
    pub void: u64,
    /// How often streams have had to begin anew: this node took a base, or the chain ends with another source.
    pub generation: u64,
    /// Transactions refused because the journal could not take them in.
    pub unkept: u64,
    /// Transactions that are skipped now.
    pub skipped: u64,
    /// Transactions that are repeated: one of the same name is before them.
    pub repeated: u64,
    /// How far the times of fresh transactions are ahead of the wall clock, in microseconds.
    pub ahead_micros: u64,
    /// Times that an applied transaction came to be skipped.
    pub newly_skipped: u64,
    /// Times that a skipped transaction came to be applied.
    pub newly_applied: u64,
    /// Transactions that differ from another one with the same source and Id.
    pub equivocations: u64,
    /// Whether the journal could not grow when it last should.
    pub journal_full: bool,
    /// Whether this node was set up as the primary, and another one is.
    pub two_primaries: bool,
    /// Whether this node was set up as the primary, or asked to be it.
    pub is_to_commit: bool,
    /// Weight of the document, as [`crate::patch::MAX_WEIGHT`] defines it.
    pub document_weight: u64,
    /// Sources in the vector clock.
    pub sources: u64,
}

/// What reaches the manager.
pub(super) enum Event {
    Submit { transactions: Vec<Transaction>, reply: Sender<Vec<Submitted>> },
    Propose(proposal::Proposed),
    Promote { reply: Sender<Promotion> },
    TakeBase { base: Box<Base>, peer: String, reply: Sender<Taken> },
}

/// How long things take.
#[derive(Debug, Default)]
pub struct Durations {
    /// The manager's turns, with applying, syncing, and waiting for what else is expected.
    pub turns: Histogram,
    /// From the time of a transaction to its acceptance here, if a peer sent it.
    pub delays: Histogram,
}

/// How everyone else reaches the manager. Cheap to clone; the manager ends when the last one is
/// dropped.
#[derive(Clone)]
pub struct Handle {
    pub(super) inbox: Sender<Event>,
    pub(super) published: Arc<Published>,
    pub(super) past: JournalPast,
    /// This node's source, which the manager changes if it begins a new life.
    pub(super) source: Arc<RwLock<Source>>,
    /// The name of this node's next transaction. Held while one is put into the inbox, so that they
    /// arrive in the order of their Ids.
    pub(super) next: Arc<Mutex<Name>>,
    /// By which writes wait for what peers send.
    pub(super) shares: Arc<Shares>,
    pub(super) durations: Arc<Durations>,
}

impl Handle {
    /// This node's source. It changes if the node begins a new life.
    pub fn source(&self) -> Source {
        self.source.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How long things take.
    pub fn durations(&self) -> &Durations {
        &self.durations
    }

    /// What the manager publishes, for readers that outlive it.
    pub fn published(&self) -> Arc<Published> {
        self.published.clone()
    }

    /// What the node has, as the manager has last published it. That an acknowledged transaction is in it
    /// holds from its answer on.
    pub fn state(&self) -> Arc<State> {
        self.published.state()
    }

    /// The same, for streams, which look at it all the time: it is not taken for read by that.
    pub fn last_state(&self) -> Arc<State> {
        self.published.last()
    }

    /// How often streams have had to begin anew, as in the last state: for streams, which ask all the time.
    pub fn generation(&self) -> u64 {
        self.published.generation()
    }

    /// The journal, to read from.
    pub fn journal(&self) -> &JournalReader {
        &self.past.journal
    }

    /// The journal and the base, to make a document of the past from.
    pub fn past(&self) -> &JournalPast {
        &self.past
    }

    /// Submits transactions, and says of each what became of it.
    ///
    /// # Errors
    /// If the node is stopping.
    pub async fn submit(&self, transactions: Vec<Transaction>) -> Result<Vec<Submitted>, Stopped> {
        self.ask(|reply| Event::Submit { transactions, reply }).await
    }

    /// By which a stream from a peer says whether it brings more than this node takes in. New writes wait then.
    pub fn lag(&self) -> Lag {
        Lag::new(self.shares.clone())
    }

    /// Has this node take a base that `peer` gave, in place of what that stands for.
    ///
    /// # Errors
    /// If the node is stopping.
    pub async fn take_base(&self, base: Base, peer: String) -> Result<Taken, Stopped> {
        let base = Box::new(base);
        self.ask(|reply| Event::TakeBase { base, peer, reply }).await
    }

    /// Has this node begin the next epoch as the primary, if it may.
    ///
    /// # Errors
    /// If the node is stopping.
    pub async fn promote(&self) -> Result<Promotion, Stopped> {
        self.ask(|reply| Event::Promote { reply }).await
    }

    /// The document, or the part of it at `pointer`, as it is in the last state or one of the meantime.
    pub async fn read(&self, pointer: &PointerBuf) -> Reading {
        self.published.read(pointer).await
    }

    /// The last state with its document's representation, or one that was the last in the meantime.
    #[cfg(feature = "internals")]
    pub async fn represented(&self) -> Arc<State> {
        self.published.represented().await
    }

    /// The representation of a part of a document.
    pub async fn represent(&self, part: &Value) -> Arc<Representation> {
        self.published.represent(part).await
    }

    /// About how many bytes of documents have been replaced by others since the start: what a document takes
    /// that is held as it was, besides what it shares, is no more than what was added here since.
    pub fn displaced(&self) -> u64 {
        self.published.displaced()
    }

    /// By what peers compare their states; none if that is not at hand, since the document is large and
    /// changing.
    pub async fn state_hash(&self) -> Option<StateHash> {
        self.published.state_hash().await
    }

    /// The last state, for one who wants to know from then on what is done to the document.
    pub fn state_for_changes(&self) -> Arc<State> {
        self.published.want_changes();
        self.published.state()
    }

    /// A channel that has something in it whenever the journal has grown since it was last emptied. It is
    /// closed when the manager ends.
    pub fn subscribe(&self) -> Receiver<()> {
        self.published.subscribe()
    }

    /// The same for whenever something became final.
    pub fn subscribe_to_commits(&self) -> Receiver<()> {
        self.published.subscribe_to_commits()
    }

    /// For how long the manager has been at work on one turn, as far as that was seen by asking for it.
    pub fn busy(&self) -> Duration {
        self.published.busy()
    }

    pub(super) async fn ask<T>(
        &self,
        event: impl FnOnce(Sender<T>) -> Event,
    ) -> Result<T, Stopped> {
        let (reply, answer) = async_channel::bounded(1);
        self.send(event(reply)).await?;
        answer.recv().await.map_err(|_| Stopped)
    }

    pub(super) async fn send(&self, event: Event) -> Result<(), Stopped> {
        self.inbox.send(event).await.map_err(|_| Stopped)
    }
}
