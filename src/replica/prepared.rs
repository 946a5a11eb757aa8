//! The next commit of a primary.

use std::io;
use std::sync::Arc;

use super::floor::Floor;
use super::{Difference, Past, Replica};
use crate::clock::Time;
use crate::commit::{NoCommit, PeersHeard, Primary, hash_is_due};
use crate::transaction::Transaction;

/// A document of at most this weight is hashed to find out how long its text is. Mostly the weight is less than four
/// times as much.
const LIGHT_WEIGHT: u64 = 16 << 20;

/// A commit that is about to be made.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// The commit.
    pub transaction: Transaction,
    /// The floor at it, if a trial had to find that.
    pub floor: Option<Arc<Floor>>,
}

impl Replica {
    /// Keeps the floor at the next commit, which a trial has found.
    pub fn expect(&mut self, floor: Arc<Floor>) {
        self.history.expect(floor);
    }

    /// The next commit of a primary, or why there is none; `at_micros` is the time by the primary's clock, and the
    /// wall clock says `now`. The last commit with a hash was `hashed_micros` ago.
    ///
    /// # Errors
    /// If the journal cannot be read.
    pub fn prepare_commit(
        &self,
        primary: &Primary,
        (at_micros, hashed_micros): (u64, Option<u64>),
        heard: PeersHeard,
        now: Time,
        past: &dyn Past,
    ) -> io::Result<Result<Prepared, NoCommit>> {
        if self.difference.as_ref().is_some_and(|it| !matches!(it, Difference::Outside(_))) {
            return Ok(Err(NoCommit::Outside));
        }
        let chain = self.history.chain();
        // Most reasons against a commit are known without reading the tentative places.
        if let Err(why) = primary.next(at_micros, heard, chain, [].iter())
            && why != NoCommit::Idle
        {
            return Ok(Err(why));
        }
        let until = primary.until(at_micros).unwrap_or_default();
        let tentative = self.history.tentative(until, past)?;
        let (name, mut commit) = match primary.next(at_micros, heard, chain, tentative.iter()) {
            Ok(next) => next,
            Err(why) => return Ok(Err(why)),
        };
        let time = self.clock.next(now);
        let first = Transaction::commit(name.clone(), time, commit.clone());
        let weight = self.snapshot().weight();
        let mut floor = None;
        if weight <= LIGHT_WEIGHT || hash_is_due(&name, weight, hashed_micros) {
            let mut with = self.clone();
            with.accept(vec![vec![first.clone()]], time, past)?;
            if with.history.chain().last().as_ref() == Some(&name) {
                floor = Some(with.history.committed().clone());
                let digest = with.history.committed().document.root().digest();
                if hash_is_due(&name, digest.length(), hashed_micros) {
                    commit.hash = Some(digest.hash().as_str().into());
                }
            }
        }
        Ok(Ok(Prepared { transaction: Transaction::commit(name, time, commit), floor }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commit::{COMMIT_INTERVAL_MICROS, LAG_MICROS};
    use crate::replica::{Bounds, Life};
    use crate::source::Source;

    #[test]
    fn a_document_is_hashed_at_each_commit_unless_its_text_is_long() {
        let text = |bytes: usize| format!("\"{}\"", "x".repeat(bytes));
        let numbers = format!("[{}1]", "1,".repeat(300_000));
        // The weight of the numbers is more than 4 MiB; their text is not.
        let table = [
            (vec![text(1000)], true),
            (vec![numbers], true),
            (vec![text(1_000_000); 4], true),
            (vec![text(1_000_000); 5], false),
        ];
        for (case, (values, is_always)) in table.into_iter().enumerate() {
            let life: Source = "a~00000000".parse().unwrap();
            let mut replica = Replica::new(Life::new(life.clone()).unwrap(), Bounds::default());
            let mut primary = Primary::new(life.clone(), true, 60);
            let (mut journal, now) = (Vec::new(), Time::from_micros(1).unwrap());
            let mut take_in = |replica: &mut Replica, transaction: Transaction| {
                let acceptance = replica.accept(vec![vec![transaction]], now, &journal).unwrap();
                journal
                    .extend(acceptance.records.iter().map(|record| record.transaction().unwrap()));
                journal.clone()
            };
            let mut at = 0;
            for (id, value) in (1..).zip(&values) {
                let patch = format!(r#"[{{"op":"add","path":"/{id}","value":{value}}}]"#);
                take_in(&mut replica, Transaction::fresh(life.clone(), id, patch));
            }
            // Two commits: the first of an epoch always has a hash.
            for (id, is_hashed) in [(1, true), (2, is_always)] {
                let fresh = Transaction::fresh(life.clone(), 10 + id, "[]");
                let journal = take_in(&mut replica, fresh);
                primary.note_end(at, replica.greatest());
                at += LAG_MICROS + COMMIT_INTERVAL_MICROS;
                let hashes = [0, 30_000_000].map(|hashed_micros| {
                    let clocks = (at, Some(hashed_micros));
                    let next =
                        replica.prepare_commit(&primary, clocks, PeersHeard::All, now, &journal);
                    let commit = next.unwrap().unwrap().transaction;
                    assert_eq!(commit.id, id);
                    commit
                });
                let has_hash =
                    |commit: &Transaction| commit.commit.as_ref().unwrap().hash.is_some();
                assert_eq!(has_hash(&hashes[0]), is_hashed, "case {case}, commit {id}");
                assert!(has_hash(&hashes[1]), "case {case}, commit {id}");
                let [_, commit] = hashes;
                take_in(&mut replica, commit);
                // The hash is right.
                assert_eq!(replica.difference(), None, "case {case}, commit {id}");
                primary.note_commit(at, true);
            }
        }
    }
}
