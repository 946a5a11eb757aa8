//! The next commit of a primary.

use super::{Past, Replica};
use crate::clock::Time;
use crate::commit::{Heard, Primary, Silence, hash_is_due};
use crate::transaction::{Name, Transaction};

impl Replica {
    /// What a primary commits next; `at_micros` is the time by the primary's clock, and the wall clock says `now`.
    /// The last commit with a hash was `hashed_micros` ago.
    ///
    /// # Errors
    /// If the journal cannot be read.
    pub fn next_commit<P: Past>(
        &self,
        primary: &Primary,
        (at_micros, hashed_micros): (u64, Option<u64>),
        heard: Heard,
        now: Time,
        past: &P,
    ) -> Result<Result<Transaction, Silence>, P::Error> {
        if self.difference.is_some() {
            return Ok(Err(Silence::Outside));
        }
        let chain = self.history.chain();
        // What it says of a chain is known without looking at what is tentative.
        if let Err(silence) = primary.next(at_micros, heard, chain, [].iter())
            && silence != Silence::Idle
        {
            return Ok(Err(silence));
        }
        let tentative = self.history.tentative(past)?;
        let (name, mut commit) = match primary.next(at_micros, heard, chain, tentative.iter()) {
            Ok(next) => next,
            Err(silence) => return Ok(Err(silence)),
        };
        let time = self.clock.next(now);
        let first = Transaction::commit(name.clone(), time, commit.clone());
        let weight = self.snapshot().weight();
        if hash_is_due(&name, weight, hashed_micros) {
            let mut with = self.clone();
            with.accept(vec![vec![first.clone()]], time, past)?;
            let Name { source, id } = &name;
            let counts = with
                .history
                .chain()
                .last()
                .is_some_and(|last| last.source == *source && last.id == *id);
            if counts {
                let digest = with.history.committed().document.root().digest();
                commit.hash = Some(digest.hash().as_str().into());
            }
        }
        Ok(Ok(Transaction::commit(name, time, commit)))
    }
}
