//! The handle to the manager, its messages, and its answers.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use async_channel::{Receiver, Sender};
use smol::lock::Mutex;

use super::committer::Promotion;
use super::healing::BaseOutcome;
use super::journal_past::JournalPast;
use super::proposal;
use super::reply::Reply;
use super::representation::Representation;
use super::shares::{Lag, Shares};
use super::state::{Published, Reading, State};
use super::state_hash::StateHash;
use crate::document::Value;
use crate::histogram::Histogram;
use crate::journal::JournalReader;
use crate::locks::RwLock;
use crate::patch::PointerBuf;
use crate::replica::{Base, Outcome};
use crate::source::Source;
use crate::transaction::{Name, Transaction};

/// The outcome of a submitted transaction; an error if it could not be kept, and left no trace: the journal cannot grow,
/// or its file is gone, or the part of it that a late arrival needs cannot be read. The error says which, in a sentence.
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
    /// Transactions dropped because they arrived after the horizon.
    pub void: u64,
    /// How often streams had to begin again: this node took a base, or the chain ends with another source.
    pub generation: u64,
    /// Transactions that the journal could not take.
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
    /// Whether the last attempt to grow the journal failed.
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

/// A message to the manager. A question carries the way back for its answer.
pub(super) enum ManagerMessage {
    Submit { transactions: Vec<Transaction>, reply: Reply<Vec<Submitted>> },
    Propose(proposal::Proposed),
    Promote { reply: Reply<Promotion> },
    TakeBase { base: Box<Base>, peer: String, reply: Reply<BaseOutcome> },
}

/// How long things take.
#[derive(Debug, Default)]
pub struct Durations {
    /// Turns of the manager, including applying, syncing, and waiting for expected writes.
    pub turns: Histogram,
    /// From the time of a transaction to its acceptance here, if a peer sent it.
    pub delays: Histogram,
}

/// The way to reach the manager. Cheap to clone; the manager ends when the last one is dropped.
#[derive(Clone)]
pub struct Handle {
    pub(super) inbox: Sender<ManagerMessage>,
    pub(super) published: Arc<Published>,
    pub(super) past: JournalPast,
    /// This node's source, which the manager changes if it begins a new life.
    pub(super) source: Arc<RwLock<Source>>,
    /// The name of this node's next transaction. Held while one is put into the inbox, so that they
    /// arrive in the order of their Ids.
    pub(super) next: Arc<Mutex<Name>>,
    /// Makes writes wait if peers send more than this node takes in.
    pub(super) shares: Arc<Shares>,
    pub(super) durations: Arc<Durations>,
}

impl Handle {
    /// This node's source. It changes if the node begins a new life.
    pub fn source(&self) -> Source {
        self.source.read().clone()
    }

    /// How long things take.
    pub fn durations(&self) -> &Durations {
        &self.durations
    }

    /// What the manager publishes, for readers that outlive it.
    pub fn published(&self) -> Arc<Published> {
        self.published.clone()
    }

    /// The state that the manager published last. A transaction is in it before it is acknowledged.
    pub fn state(&self) -> Arc<State> {
        self.published.state()
    }

    /// The same, for streams, which look at it all the time: it does not count as read.
    pub fn last_state(&self) -> Arc<State> {
        self.published.last()
    }

    /// How often streams had to begin again, by the last state. It does not count as read.
    pub fn generation(&self) -> u64 {
        self.published.generation()
    }

    /// The number of the last change of the document in the last state. It does not count as read: each write asks.
    pub fn change(&self) -> u64 {
        self.published.change()
    }

    /// The reader of the journal.
    pub fn journal(&self) -> &JournalReader {
        &self.past.journal
    }

    /// The journal and the base, from which a document of the past is made.
    pub fn past(&self) -> &JournalPast {
        &self.past
    }

    /// Submits transactions, and returns the outcome of each.
    ///
    /// # Errors
    /// If the node is stopping.
    pub async fn submit(&self, transactions: Vec<Transaction>) -> Result<Vec<Submitted>, Stopped> {
        self.ask(|reply| ManagerMessage::Submit { transactions, reply }).await
    }

    /// For a stream from a peer, which says by it whether it brings more than this node takes in. If so, new writes
    /// wait.
    pub fn lag(&self) -> Lag {
        Lag::new(self.shares.clone())
    }

    /// Takes a base that `peer` gave, in place of the transactions that it stands for.
    ///
    /// # Errors
    /// If the node is stopping.
    pub async fn take_base(&self, base: Base, peer: String) -> Result<BaseOutcome, Stopped> {
        let base = Box::new(base);
        self.ask(|reply| ManagerMessage::TakeBase { base, peer, reply }).await
    }

    /// Begins the next epoch with this node as the primary, if it may.
    ///
    /// # Errors
    /// If the node is stopping.
    pub async fn promote(&self) -> Result<Promotion, Stopped> {
        self.ask(|reply| ManagerMessage::Promote { reply }).await
    }

    /// The document, or the part of it at `pointer`, in the last state or in one that was the last during the call.
    pub async fn read(&self, pointer: &PointerBuf) -> Reading {
        self.published.read(pointer).await
    }

    /// The last state with its document's representation, or one that was the last during the call.
    #[cfg(feature = "internals")]
    pub async fn represented(&self) -> Arc<State> {
        self.published.represented().await
    }

    /// The representation of a part of a document.
    pub async fn represent(&self, part: &Value) -> Arc<Representation> {
        self.published.represent(part).await
    }

    /// About how many bytes of documents have been replaced since the start. An old document that is still held takes
    /// no more, besides what it shares with the last one, than this has grown since.
    pub fn displaced(&self) -> u64 {
        self.published.displaced()
    }

    /// The hash by which peers compare their states; none if the document is large and changes too often.
    pub async fn state_hash(&self) -> Option<StateHash> {
        self.published.state_hash().await
    }

    /// The last state. From then on the manager notes the changes of the document.
    pub fn state_for_changes(&self) -> Arc<State> {
        self.published.want_changes();
        self.published.state()
    }

    /// A channel that has an item if the journal has grown since the last one was received. It is closed when the
    /// manager ends.
    pub fn subscribe(&self) -> Receiver<()> {
        self.published.subscribe()
    }

    /// The same for new commits.
    pub fn subscribe_to_commits(&self) -> Receiver<()> {
        self.published.subscribe_to_commits()
    }

    /// For how long the manager has been working on its turn, measured from the first call that saw this turn.
    pub fn busy(&self) -> Duration {
        self.published.busy()
    }

    pub(super) async fn ask<T>(
        &self,
        message: impl FnOnce(Reply<T>) -> ManagerMessage,
    ) -> Result<T, Stopped> {
        let (reply, pending) = Reply::new();
        self.send(message(reply)).await?;
        pending.await
    }

    pub(super) async fn send(&self, message: ManagerMessage) -> Result<(), Stopped> {
        self.inbox.send(message).await.map_err(|_| Stopped)
    }
}
