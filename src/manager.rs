//! The manager: the one task that owns replica and journal.
//!
//! Everything reaches it as a [`Event`] through one bounded channel. A transaction that a user posted
//! and one that a peer sent are the same variant with the same content, so it has no way to tell them
//! apart. It works at its own pace: it drains the inbox, applies what came, appends it to the journal
//! as one batch, and then answers; so nobody is told of, shown or sent what is not in the journal.
//! It never waits for a socket.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use async_channel::{Receiver, Sender, TrySendError};
use sha2::{Digest, Sha256};
use smol::lock::Mutex;

use crate::clock::{MAX_SAFE_INTEGER, Time, VectorClock};
use crate::journal::{Journal, JournalReader, Record};
use crate::patch::{PatchError, PointerBuf};
use crate::replica::{Outcome, Replica};
use crate::source::Source;
use crate::transaction::Transaction;

/// How many events wait for the manager before their senders wait too.
const INBOX_EVENTS: usize = 1024;

/// How many transactions the manager takes before it appends them and answers.
const BATCH_TRANSACTIONS: usize = 1024;

/// How often a transaction of this node is created anew because its Id turned out to be known.
const CREATE_TRIES: usize = 8;

/// The Id of a node's first transaction: many plain nodes hold 0 to be seen already.
const FIRST_ID: u64 = 1;

/// What became of a submitted transaction.
#[derive(Clone, Debug)]
pub enum Submitted {
    /// It is in the journal.
    Accepted(Record),
    /// It was known, and is dropped.
    Known {
        /// The Id that is expected next from its source.
        next_id: u64,
    },
    /// It is fresh and does not apply: it left no trace.
    Refused(PatchError),
    /// The journal cannot grow: it left no trace.
    Unkept(Arc<std::io::Error>),
}

/// The manager has ended: the node is stopping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopped;

/// A document, or a part of one, as readers get it.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The JSON text.
    pub text: Arc<[u8]>,
    /// A hash of what it depends on, in hexadecimal digits: equal hashes, equal text.
    pub hash: Arc<str>,
}

/// The manager's counters and gauges.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counters {
    /// Transactions accepted.
    pub accepted: u64,
    /// Transactions refused because they do not apply.
    pub refused: u64,
    /// Transactions dropped because they were known.
    pub known: u64,
    /// Transactions refused because the journal could not grow.
    pub unkept: u64,
    /// Weight of the document, as [`crate::patch::MAX_WEIGHT`] defines it.
    pub document_weight: u64,
    /// Sources in the vector clock.
    pub sources: u64,
}

/// What reaches the manager.
enum Event {
    Submit { transactions: Vec<Transaction>, reply: Sender<Vec<Submitted>> },
    ReadSnapshot { pointer: PointerBuf, reply: Sender<Option<Snapshot>> },
    ReadVclock { reply: Sender<VectorClock> },
    ReadCounters { reply: Sender<Counters> },
    Subscribe { growth: Sender<()> },
}

/// How everyone else reaches the manager. Cheap to clone; the manager ends when the last one is
/// dropped.
#[derive(Clone)]
pub struct Handle {
    inbox: Sender<Event>,
    journal: JournalReader,
    source: Source,
    /// The Id of this node's next transaction. Held while one is put into the inbox, so that they
    /// arrive in the order of their Ids.
    next_id: Arc<Mutex<u64>>,
}

impl Handle {
    /// This node's source.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// The journal, to read from.
    pub fn journal(&self) -> &JournalReader {
        &self.journal
    }

    /// Creates a transaction of this node with the next Id, and submits it.
    ///
    /// # Errors
    /// Where the node is stopping.
    pub async fn create(&self, payload: Box<str>) -> Result<Submitted, Stopped> {
        let mut outcome = Submitted::Known { next_id: 0 };
        for _ in 0..CREATE_TRIES {
            let answer = {
                let mut next_id = self.next_id.lock().await;
                // A peer knew Ids of this source that this journal has not: count on from there.
                if let Submitted::Known { next_id: expected } = outcome {
                    *next_id = expected.max(*next_id);
                }
                let transaction = Transaction {
                    source: self.source.clone(),
                    id: *next_id,
                    payload: payload.clone(),
                    time: None,
                };
                if *next_id < MAX_SAFE_INTEGER {
                    *next_id += 1;
                }
                let (reply, answer) = async_channel::bounded(1);
                self.send(Event::Submit { transactions: vec![transaction], reply }).await?;
                answer
            };
            outcome = answer.recv().await.map_err(|_| Stopped)?.pop().ok_or(Stopped)?;
            if !matches!(outcome, Submitted::Known { .. }) {
                break;
            }
        }
        Ok(outcome)
    }

    /// Submits transactions, and says of each what became of it.
    ///
    /// # Errors
    /// Where the node is stopping.
    pub async fn submit(&self, transactions: Vec<Transaction>) -> Result<Vec<Submitted>, Stopped> {
        self.ask(|reply| Event::Submit { transactions, reply }).await
    }

    /// The snapshot, or the part of it at `pointer`; none where there is nothing.
    ///
    /// # Errors
    /// Where the node is stopping.
    pub async fn snapshot(&self, pointer: PointerBuf) -> Result<Option<Snapshot>, Stopped> {
        self.ask(|reply| Event::ReadSnapshot { pointer, reply }).await
    }

    /// The vector clock.
    ///
    /// # Errors
    /// Where the node is stopping.
    pub async fn vclock(&self) -> Result<VectorClock, Stopped> {
        self.ask(|reply| Event::ReadVclock { reply }).await
    }

    /// The manager's counters.
    ///
    /// # Errors
    /// Where the node is stopping.
    pub async fn counters(&self) -> Result<Counters, Stopped> {
        self.ask(|reply| Event::ReadCounters { reply }).await
    }

    /// A channel that has something in it whenever the journal has grown since it was last emptied.
    ///
    /// # Errors
    /// Where the node is stopping.
    pub async fn subscribe(&self) -> Result<Receiver<()>, Stopped> {
        let (growth, grown) = async_channel::bounded(1);
        self.send(Event::Subscribe { growth }).await?;
        Ok(grown)
    }

    async fn ask<T>(&self, event: impl FnOnce(Sender<T>) -> Event) -> Result<T, Stopped> {
        let (reply, answer) = async_channel::bounded(1);
        self.send(event(reply)).await?;
        answer.recv().await.map_err(|_| Stopped)
    }

    async fn send(&self, event: Event) -> Result<(), Stopped> {
        self.inbox.send(event).await.map_err(|_| Stopped)
    }
}

/// The task's own state.
pub struct Manager {
    inbox: Receiver<Event>,
    replica: Replica,
    journal: Journal,
    subscribers: Vec<Sender<()>>,
    counters: Counters,
    /// The whole snapshot as it was last read; none where it has changed since.
    snapshot: Option<Snapshot>,
}

impl Manager {
    /// A manager of an empty replica, and the first handle to it.
    pub fn new(journal: Journal, source: Source) -> (Self, Handle) {
        let (sender, inbox) = async_channel::bounded(INBOX_EVENTS);
        let handle = Handle {
            inbox: sender,
            journal: journal.reader(),
            source,
            next_id: Arc::new(Mutex::new(FIRST_ID)),
        };
        let manager = Self {
            inbox,
            replica: Replica::default(),
            journal,
            subscribers: Vec::new(),
            counters: Counters::default(),
            snapshot: None,
        };
        (manager, handle)
    }

    /// Works until the last handle is dropped.
    pub async fn run(mut self) {
        while let Ok(event) = self.inbox.recv().await {
            self.turn(event).await;
        }
    }

    /// Takes `event` and what else waits in the inbox; answers each once.
    async fn turn(&mut self, event: Event) {
        let mut batch = Batch::default();
        let mut reads = Vec::new();
        let mut next = Some(event);
        while let Some(event) = next {
            match event {
                Event::Submit { transactions, reply } => {
                    self.apply(transactions, reply, &mut batch);
                }
                read => reads.push(read),
            }
            next = if batch.transactions < BATCH_TRANSACTIONS {
                self.inbox.try_recv().ok()
            } else {
                None
            };
        }
        self.keep(batch).await;
        for read in reads {
            self.answer(read);
        }
    }

    fn apply(
        &mut self,
        transactions: Vec<Transaction>,
        reply: Sender<Vec<Submitted>>,
        batch: &mut Batch,
    ) {
        batch.transactions += transactions.len();
        let now = wall_clock();
        let answers = transactions.into_iter().map(|transaction| {
            match self.replica.accept(transaction, now) {
                Outcome::Accepted(transaction) => {
                    let record = Record::from(&transaction);
                    batch.records.push(record.clone());
                    Submitted::Accepted(record)
                }
                Outcome::Known { next_id } => {
                    self.counters.known += 1;
                    Submitted::Known { next_id }
                }
                Outcome::Refused(error) => {
                    self.counters.refused += 1;
                    Submitted::Refused(error)
                }
            }
        });
        batch.replies.push((reply, answers.collect()));
    }

    /// Appends the batch to the journal; only then answers, and wakes who waits for the journal.
    async fn keep(&mut self, batch: Batch) {
        if !batch.records.is_empty() {
            self.journal.append(&batch.records).await.expect("a journal in memory can grow");
            self.counters.accepted += batch.records.len() as u64;
            self.snapshot = None;
            self.subscribers
                .retain(|growth| !matches!(growth.try_send(()), Err(TrySendError::Closed(()))));
        }
        for (reply, answers) in batch.replies {
            // Who asked may have gone; what it submitted stays.
            reply.try_send(answers).ok();
        }
    }

    fn answer(&mut self, read: Event) {
        // Who asked may have gone: an answer that cannot be delivered is dropped.
        match read {
            Event::ReadSnapshot { pointer, reply } => {
                reply.try_send(self.read_snapshot(&pointer)).ok();
            }
            Event::ReadVclock { reply } => {
                reply.try_send(self.replica.vclock().clone()).ok();
            }
            Event::ReadCounters { reply } => {
                let counters = Counters {
                    document_weight: self.replica.snapshot().weight(),
                    sources: self.replica.vclock().iter().count() as u64,
                    ..self.counters
                };
                reply.try_send(counters).ok();
            }
            Event::Subscribe { growth } => self.subscribers.push(growth),
            Event::Submit { .. } => unreachable!("a submission is no read"),
        }
    }

    fn read_snapshot(&mut self, pointer: &PointerBuf) -> Option<Snapshot> {
        if pointer.is_root() {
            if self.snapshot.is_none() {
                self.snapshot = Some(snapshot(self.replica.snapshot().root()));
            }
            return self.snapshot.clone();
        }
        self.replica.snapshot().get(pointer).map(snapshot)
    }
}

/// What one turn of the manager gathers.
#[derive(Default)]
struct Batch {
    transactions: usize,
    records: Vec<Record>,
    replies: Vec<(Sender<Vec<Submitted>>, Vec<Submitted>)>,
}

fn snapshot(value: &serde_json::Value) -> Snapshot {
    let text = serde_json::to_vec(value).expect("a JSON value always has a text");
    let hash: String =
        Sha256::digest(&text)[..16].iter().map(|byte| format!("{byte:02x}")).collect();
    Snapshot { text: text.into(), hash: hash.into() }
}

/// The wall clock's reading.
pub fn wall_clock() -> Time {
    let micros = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
    u64::try_from(micros).ok().and_then(Time::from_micros).unwrap_or(Time::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start() -> (Handle, smol::Task<()>) {
        let (manager, handle) = Manager::new(Journal::in_memory(), "me~1".parse().unwrap());
        (handle, smol::spawn(manager.run()))
    }

    fn add(path: &str) -> Box<str> {
        format!(r#"[{{"op":"add","path":"{path}","value":1}}]"#).into()
    }

    async fn text(handle: &Handle, pointer: &str) -> Option<String> {
        let pointer = PointerBuf::parse(pointer).unwrap();
        let snapshot = handle.snapshot(pointer).await.unwrap()?;
        Some(String::from_utf8(snapshot.text.to_vec()).unwrap())
    }

    #[test]
    fn an_acknowledged_transaction_is_in_the_journal_and_in_the_snapshot() {
        smol::block_on(async {
            let (handle, _task) = start();
            let Submitted::Accepted(record) = handle.create(add("/a")).await.unwrap() else {
                panic!("it applies");
            };
            assert_eq!(record.id, 1);
            assert_eq!(handle.journal().length(), 1);
            assert_eq!(text(&handle, "").await.unwrap(), r#"{"a":1}"#);
            assert_eq!(text(&handle, "/a").await.unwrap(), "1");
            assert_eq!(text(&handle, "/b").await, None);
        });
    }

    #[test]
    fn a_refused_one_leaves_a_gap_in_the_ids_and_nothing_else() {
        smol::block_on(async {
            let (handle, _task) = start();
            let refused = handle.create(add("/a/b")).await.unwrap();
            assert!(matches!(refused, Submitted::Refused(_)));
            assert_eq!(handle.journal().length(), 0);
            let Submitted::Accepted(record) = handle.create(add("/a")).await.unwrap() else {
                panic!("it applies");
            };
            assert_eq!(record.id, 2);
            assert_eq!(handle.counters().await.unwrap().refused, 1);
        });
    }

    #[test]
    fn unknown_ids_of_the_own_source_are_taken_in_and_counted_on_from() {
        smol::block_on(async {
            let (handle, _task) = start();
            let earlier = Transaction {
                source: handle.source().clone(),
                id: 40,
                payload: add("/old"),
                time: Time::from_micros(1),
            };
            handle.submit(vec![earlier]).await.unwrap();
            let Submitted::Accepted(record) = handle.create(add("/new")).await.unwrap() else {
                panic!("it applies");
            };
            assert_eq!(record.id, 41);
            assert_eq!(text(&handle, "").await.unwrap(), r#"{"new":1,"old":1}"#);
        });
    }

    #[test]
    fn requests_at_once_reach_the_journal_in_the_order_of_their_ids() {
        smol::block_on(async {
            let (handle, _task) = start();
            let tasks: Vec<_> = (0..200)
                .map(|number| {
                    let handle = handle.clone();
                    smol::spawn(async move { handle.create(add(&format!("/{number}"))).await })
                })
                .collect();
            for task in tasks {
                assert!(matches!(task.await, Ok(Submitted::Accepted(_))));
            }
            let records = handle.journal().read(0, 1000, usize::MAX).await.unwrap();
            assert!(records.iter().map(|record| record.id).eq(1..=200));
        });
    }

    #[test]
    fn growth_wakes_a_subscriber_once_however_much_there_was() {
        smol::block_on(async {
            let (handle, _task) = start();
            let grown = handle.subscribe().await.unwrap();
            for path in ["/a", "/b", "/c"] {
                handle.create(add(path)).await.unwrap();
            }
            assert_eq!(grown.recv().await, Ok(()));
            assert!(grown.try_recv().is_err());
        });
    }

    #[test]
    fn the_manager_ends_with_its_last_handle() {
        smol::block_on(async {
            let (handle, task) = start();
            drop(handle);
            task.await;
        });
    }
}
