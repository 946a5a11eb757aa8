//! The pure core: what a node has seen, and the document that follows from it.
//!
//! Transactions go in at one door, [`Replica::accept`], and outcomes come out. There is no I/O here, no
//! wall clock and no randomness: the time is an argument.

use crate::clock::{HybridClock, Time, VectorClock};
use crate::patch::{Document, PatchError, parse};
use crate::transaction::Transaction;

/// Snapshot, vector clock and hybrid clock of one node.
///
/// Invariant: the snapshot is `{}` with the patches of all accepted transactions applied, where a
/// patch that does not apply is skipped whole.
#[derive(Debug, Default)]
pub struct Replica {
    document: Document,
    vclock: VectorClock,
    clock: HybridClock,
}

/// What became of a transaction.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// It is part of the history now, and has a `Time`.
    Accepted(Transaction),
    /// It was known, and is dropped.
    Known {
        /// The Id that is expected next from its source.
        next_id: u64,
    },
    /// It is fresh and does not apply: it left no trace.
    Refused(PatchError),
}

impl Replica {
    /// Takes a transaction in, where the wall clock says `now`.
    pub fn accept(&mut self, mut transaction: Transaction, now: Time) -> Outcome {
        let next_id = self.vclock.next_id(&transaction.source);
        if next_id > transaction.id {
            return Outcome::Known { next_id };
        }
        let applied =
            parse(&transaction.payload).and_then(|patch| self.document.apply(patch).map(drop));
        match (transaction.time, applied) {
            (None, Err(error)) => return Outcome::Refused(error),
            (None, Ok(())) => transaction.time = Some(self.clock.tick(now)),
            (Some(time), _) => self.clock.observe(time),
        }
        self.vclock.advance(&transaction.source, transaction.id);
        Outcome::Accepted(transaction)
    }

    /// The document now.
    pub fn snapshot(&self) -> &Document {
        &self.document
    }

    /// What was seen of every source.
    pub fn vclock(&self) -> &VectorClock {
        &self.vclock
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transaction(source: &str, id: u64, payload: &str, time: Option<u64>) -> Transaction {
        Transaction {
            source: source.parse().unwrap(),
            id,
            payload: payload.into(),
            time: time.map(|micros| Time::from_micros(micros).unwrap()),
        }
    }

    fn now() -> Time {
        Time::from_micros(1000).unwrap()
    }

    const SET_A: &str = r#"[{"op":"add","path":"/a","value":1}]"#;
    const REMOVE_B: &str = r#"[{"op":"remove","path":"/b"}]"#;

    #[test]
    fn a_fresh_transaction_is_stamped_and_applied() {
        let mut replica = Replica::default();
        assert_eq!(
            replica.accept(transaction("x", 0, SET_A, None), now()),
            Outcome::Accepted(transaction("x", 0, SET_A, Some(1000)))
        );
        assert_eq!(replica.snapshot().root().to_string(), r#"{"a":1}"#);
    }

    #[test]
    fn a_known_transaction_is_dropped() {
        let mut replica = Replica::default();
        replica.accept(transaction("x", 4, SET_A, None), now());
        for id in 0..=4 {
            assert_eq!(
                replica.accept(transaction("x", id, "[]", None), now()),
                Outcome::Known { next_id: 5 }
            );
        }
    }

    #[test]
    fn a_refused_transaction_leaves_no_trace() {
        let mut replica = Replica::default();
        for payload in [REMOVE_B, "no patch"] {
            let outcome = replica.accept(transaction("x", 1, payload, None), now());
            assert!(matches!(outcome, Outcome::Refused(_)));
        }
        assert_eq!(replica.snapshot(), &Document::default());
        assert_eq!(replica.vclock(), &VectorClock::default());
    }

    #[test]
    fn an_ordered_transaction_is_accepted_even_where_it_does_not_apply() {
        let mut replica = Replica::default();
        for (id, payload) in [(1, REMOVE_B), (2, "no patch")] {
            let ordered = transaction("x", id, payload, Some(id));
            assert_eq!(replica.accept(ordered.clone(), now()), Outcome::Accepted(ordered));
        }
        assert_eq!(replica.snapshot(), &Document::default());
        assert_eq!(replica.vclock().next_id(&"x".parse().unwrap()), 3);
    }

    #[test]
    fn a_stamp_is_later_than_all_that_was_seen() {
        let mut replica = Replica::default();
        replica.accept(transaction("x", 1, SET_A, Some(5000)), now());
        assert_eq!(
            replica.accept(transaction("y", 1, SET_A, None), now()),
            Outcome::Accepted(transaction("y", 1, SET_A, Some(5001)))
        );
    }
}
