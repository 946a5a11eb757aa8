//! How the transactions of users come to be: named by this node, or by the client that sends them.

use async_channel::Sender;

use super::{Event, Handle, Outcome, Stopped, Submitted};
use crate::clock::MAX_SAFE_INTEGER;
use crate::source::FIRST_ID;
use crate::transaction::{Name, Transaction};

/// How often a transaction of this node is created anew because its Id turned out to be known.
const TRIES: usize = 8;

/// What a client calls its transaction, so that it can send it again, to this node or to another one,
/// without a second effect.
#[derive(Clone, Debug)]
pub struct ClientName {
    /// The name.
    pub name: Name,
    /// A hash of the request.
    pub request: Box<str>,
}

impl ClientName {
    /// The transaction with this payload.
    pub fn transaction(&self, payload: impl Into<Box<str>>) -> Transaction {
        let Name { source, id } = self.name.clone();
        Transaction {
            request: Some(self.request.clone()),
            ..Transaction::fresh(source, id, payload)
        }
    }
}

impl Handle {
    /// Creates a transaction that its `client` has named, or else of this node with the next Id, and
    /// submits it. One that a client has named may be known.
    ///
    /// # Errors
    /// If the node is stopping.
    pub async fn create(
        &self,
        payload: &str,
        client: Option<&ClientName>,
    ) -> Result<Submitted, Stopped> {
        self.shares.wait().await;
        if let Some(client) = client {
            let transactions = vec![client.transaction(payload)];
            return self.submit(transactions).await?.pop().ok_or(Stopped);
        }
        let event = |Name { source, id }, reply| {
            let transactions = vec![Transaction::fresh(source, id, payload)];
            Event::Submit { transactions, reply }
        };
        let taken = |answers: &Vec<Submitted>| match answers.last() {
            Some(Ok(Outcome::Known { next_id })) => Some(*next_id),
            _ => None,
        };
        self.with_next_name(event, taken).await?.pop().ok_or(Stopped)
    }

    /// Sends the event that makes a transaction of this node's next name. If that turns out to be
    /// `taken`, which says from where on Ids are free, it tries again: a peer knew Ids of this source
    /// that this journal has not, or the node has begun a new life.
    pub(super) async fn with_next_name<T>(
        &self,
        event: impl Fn(Name, Sender<T>) -> Event,
        taken: impl Fn(&T) -> Option<u64>,
    ) -> Result<T, Stopped> {
        let mut free: Option<Name> = None;
        let mut tries = 1;
        loop {
            let (reply, answer) = async_channel::bounded(1);
            let name = {
                let mut next = self.next.lock().await;
                let source = self.source();
                if next.source != source {
                    *next = Name { source, id: FIRST_ID };
                }
                if let Some(free) = free.filter(|free| free.source == next.source) {
                    next.id = next.id.max(free.id);
                }
                // Beyond the last one there is none: the manager begins a new life before that.
                next.id = next.id.min(MAX_SAFE_INTEGER);
                let name = next.clone();
                next.id += 1;
                self.send(event(name.clone(), reply)).await?;
                name
            };
            let outcome = answer.recv().await.map_err(|_| Stopped)?;
            match taken(&outcome) {
                Some(id) if tries < TRIES => free = Some(Name { id, ..name }),
                _ => return Ok(outcome),
            }
            tries += 1;
        }
    }

    /// Leaves out the Ids of this node's source up to and with this one, since others know it. Says
    /// whether it was free.
    pub async fn count_on_from(&self, taken: &Name) -> bool {
        let mut next = self.next.lock().await;
        let is_free = next.source == taken.source && next.id <= taken.id;
        if is_free {
            next.id = taken.id + 1;
        }
        is_free
    }
}
