//! Creates the transactions of users. This node names them, or the client that sends them does.

use super::reply::Reply;
use super::{Handle, ManagerMessage, Outcome, Stopped, Submitted};
use crate::clock::MAX_SAFE_INTEGER;
use crate::source::FIRST_ID;
use crate::transaction::{Name, Transaction};

/// How often a transaction of this node is created again because its Id was known already.
const TRIES: usize = 8;

/// The name that a client gives its transaction. It can send it again, to this node or to another one, and it has
/// no second effect.
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
    /// Creates a transaction and submits it. Its name is that of the `client`, or else this node's next one. If the
    /// client has named it, it may be known already.
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
        let message = |Name { source, id }, reply| {
            let transactions = vec![Transaction::fresh(source, id, payload)];
            ManagerMessage::Submit { transactions, reply }
        };
        let taken = |answers: &Vec<Submitted>| match answers.last() {
            Some(Ok(Outcome::Known { next_id })) => Some(*next_id),
            _ => None,
        };
        self.with_next_name(message, taken).await?.pop().ok_or(Stopped)
    }

    /// Sends a message with this node's next name. If `taken` says from the answer that the name is taken, and which
    /// Id is free, it tries again: a peer knew Ids of this source that this journal lacks, or the node has begun a
    /// new life.
    pub(super) async fn with_next_name<T>(
        &self,
        message: impl Fn(Name, Reply<T>) -> ManagerMessage,
        taken: impl Fn(&T) -> Option<u64>,
    ) -> Result<T, Stopped> {
        let mut free: Option<Name> = None;
        let mut tries = 1;
        loop {
            let (reply, pending) = Reply::new();
            let name = {
                let mut next = self.next.lock().await;
                if next.source != *self.source.read() {
                    *next = Name { source: self.source(), id: FIRST_ID };
                }
                if let Some(free) = free.filter(|free| free.source == next.source) {
                    next.id = next.id.max(free.id);
                }
                // There is no greater Id. The manager begins a new life before it is needed.
                next.id = next.id.min(MAX_SAFE_INTEGER);
                let name = next.clone();
                next.id += 1;
                self.send(message(name.clone(), reply)).await?;
                name
            };
            let outcome = pending.await?;
            match taken(&outcome) {
                Some(id) if tries < TRIES => free = Some(Name { id, ..name }),
                _ => return Ok(outcome),
            }
            tries += 1;
        }
    }

    /// Skips the Ids of this node's source up to and including this one, since other nodes know it. Returns whether
    /// it was free.
    pub async fn count_on_from(&self, taken: &Name) -> bool {
        let mut next = self.next.lock().await;
        let is_free = next.source == taken.source && next.id <= taken.id;
        if is_free {
            next.id = taken.id + 1;
        }
        is_free
    }
}
