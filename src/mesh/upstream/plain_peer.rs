//! Transactions without `Time`: those of a plain node's stream.
//!
//! A plain node sends its whole journal with every connection, also what it has refused itself, and it
//! forwards transactions of other nodes without their `Time`. The manager knows by the names which ones it
//! has. What it cannot know is kept here for each peer: which transactions were refused, so that they do not
//! take effect with a later connection; and which ones the peer has brought, so that a source that begins to
//! count again is noticed.

use std::hash::{DefaultHasher, Hash, Hasher};

use crate::manager::{Outcome, Submitted};
use crate::names::Names;
use crate::source::Source;
use crate::transaction::{Name, Transaction};

/// How many ranges of Ids are kept for a peer. Beyond that all are forgotten, and what it brings again is
/// judged anew.
const MAX_RANGES: usize = 1024;

/// How many known transactions of a stream are compared with the journal's.
const COMPARED: u32 = 8;

/// What is kept for a peer from stream to stream, as long as the process runs.
#[derive(Debug, Default)]
pub struct Memory {
    brought: Names,
    refused: Names,
}

/// What to do with a transaction without `Time`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlainVerdict {
    /// Submit it to the manager.
    Submit,
    /// It was refused before.
    RefusedBefore,
    /// The peer has brought later ones of this source, and never this one.
    OutOfOrder,
}

impl Memory {
    /// What to do with a transaction of this name.
    pub fn judge(&mut self, source: &Source, id: u64) -> PlainVerdict {
        if self.refused.contains(source, id) {
            return PlainVerdict::RefusedBefore;
        }
        if self.brought.next_id(source) > id && !self.brought.contains(source, id) {
            return PlainVerdict::OutOfOrder;
        }
        self.brought.insert(source, id);
        self.forget_if_large();
        PlainVerdict::Submit
    }

    /// Notes that it was refused.
    pub fn refuse(&mut self, source: &Source, id: u64) {
        self.refused.insert(source, id);
        self.forget_if_large();
    }

    fn forget_if_large(&mut self) {
        if self.brought.ranges() + self.refused.ranges() > MAX_RANGES {
            *self = Self::default();
        }
    }
}

/// A transaction without `Time` that was submitted.
#[derive(Debug)]
pub struct SubmittedFresh {
    /// Its index in the batch.
    pub index: usize,
    pub name: Name,
    payload: u64,
}

impl SubmittedFresh {
    /// The transactions of a batch that have no `Time`.
    pub fn of(transactions: &[Transaction]) -> Vec<Self> {
        let fresh = |(index, transaction): (usize, &Transaction)| {
            transaction.time.is_none().then(|| Self {
                index,
                name: transaction.name(),
                payload: hash(&transaction.payload),
            })
        };
        transactions.iter().enumerate().filter_map(fresh).collect()
    }

    /// Whether this transaction, known under the same name, has the same payload.
    pub fn is(&self, known: &Transaction) -> bool {
        self.payload == hash(&known.payload)
    }
}

fn hash(payload: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    payload.hash(&mut hasher);
    hasher.finish()
}

/// What one stream brings, and leaves out.
pub struct Account<'a> {
    /// How the log names the peer.
    peer: String,
    pub memory: &'a mut Memory,
    refused: u64,
    left_out: u64,
    own: u64,
    compared: u32,
    /// The source that counts from the beginning again.
    beginner: Option<Source>,
}

impl<'a> Account<'a> {
    pub fn new(peer: String, memory: &'a mut Memory) -> Self {
        Self { peer, memory, refused: 0, left_out: 0, own: 0, compared: 0, beginner: None }
    }

    /// How many were left out, since their author has lost the order or counts from the beginning again.
    pub fn left_out(&self) -> u64 {
        self.left_out
    }

    /// Notes an answer of the manager. Returns whether to compare the transaction with the journal's. Only a
    /// few are compared, since that reads the journal.
    pub fn answer(&mut self, sent: &SubmittedFresh, answer: &Submitted) -> bool {
        let Name { source, id } = &sent.name;
        match answer {
            Ok(Outcome::Refused(error)) => {
                self.memory.refuse(source, *id);
                self.refused += 1;
                if self.refused == 1 {
                    log::warn!(
                        "peer {}: a transaction without Time does not apply and is left out, also if it \
                         comes again: {error:?}; further ones of this stream are only counted",
                        self.peer,
                        error = error.to_string()
                    );
                }
                false
            }
            Ok(Outcome::Known { .. }) if self.beginner.as_ref() == Some(source) => {
                self.leave_out(source, *id);
                false
            }
            Ok(Outcome::Known { .. }) if self.compared < COMPARED => {
                self.compared += 1;
                true
            }
            _ => false,
        }
    }

    /// The journal has another transaction under this name.
    pub fn differs(&mut self, Name { source, id }: &Name) {
        self.leave_out(source, *id);
        self.beginner = Some(source.clone());
    }

    /// Leaves out a transaction that is not in order.
    pub fn leave_out(&mut self, source: &Source, id: u64) {
        self.left_out += 1;
        if self.left_out == 1 {
            log::warn!(
                "peer {}: its transaction {id} of {:?} comes after later ones, or is another one than was \
                 known by that name: its author counts from the beginning again, or has lost the order. \
                 It is left out, and so are further ones like it, which are only counted: give that node \
                 its journal back, or start it under another name",
                self.peer,
                source.as_str()
            );
        }
    }

    /// Leaves out a transaction of this node's own life that this node does not know.
    pub fn leave_out_own(&mut self, name: &Name) {
        self.own += 1;
        if self.own == 1 {
            log::warn!(
                "peer {}: it has transaction {} of this node's own source without its Time, and this node \
                 does not know it: its directory was put back to an old copy. It is left out, and this \
                 node counts on from there; a patchmesh peer may have it, see `patchmesh verify DIR \
                 --rebuild-from PEER`",
                self.peer,
                name.id
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused_transactions_stay_refused_and_late_ones_are_out_of_order() {
        use PlainVerdict::{OutOfOrder, RefusedBefore, Submit};
        let (mut memory, p): (_, Source) = (Memory::default(), "p".parse().unwrap());
        // Its Ids may have gaps, and it sends all of them again with every connection.
        for round in 0..3 {
            for id in [0, 1, 4, 5] {
                let refused = id == 4 && round > 0;
                let verdict = memory.judge(&p, id);
                assert_eq!(verdict, if refused { RefusedBefore } else { Submit }, "{round} {id}");
            }
            memory.refuse(&p, 4);
        }
        assert_eq!(
            [2, 3, 6, 7].map(|id| memory.judge(&p, id)),
            [OutOfOrder, OutOfOrder, Submit, Submit]
        );
        assert_eq!(memory.judge(&"q".parse().unwrap(), 0), Submit);
    }

    #[test]
    fn the_memory_is_bounded() {
        let (mut memory, p): (_, Source) = (Memory::default(), "p".parse().unwrap());
        for id in 0..10 * MAX_RANGES as u64 {
            memory.judge(&p, 3 * id);
            memory.refuse(&p, 3 * id);
            assert!(memory.brought.ranges() + memory.refused.ranges() <= MAX_RANGES);
        }
    }
}
