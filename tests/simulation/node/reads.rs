//! What can be asked of a node beside the document, compared to the model.

use patchmesh::internals::patch::{Document, parse};
use patchmesh::internals::replica::Placed;
use patchmesh::internals::replica::history::Fate;
use patchmesh::internals::replica::history::at::{Listed, Window};

use super::Node;
use crate::definition::Book;
use crate::journal::{Disk, JournalPast};
use crate::lab::Lab;

/// A reader that keeps a copy of the document by the changes alone.
pub struct Follower {
    /// The number of the document's last change that it has.
    change: u64,
    copy: Document,
}

impl Node {
    /// Asks all there is to ask about a random place of the history.
    pub fn check_reads(&mut self, lab: &mut Lab) {
        let length = self.journal.len();
        let count = lab.rng.usize(0..=length);
        self.check_document_after(count, lab);
        if count < length {
            self.check_whereabouts(count, &lab.book);
        }
        self.check_list(count, lab);
        self.check_changes(lab);
    }

    /// Asks where the transaction at this index of the history is.
    fn check_whereabouts(&self, index: usize, book: &Book) {
        let place = book.place(self.model.history()[index].number);
        let found = self.replica.history().recent_index(place);
        let is_past = self.replica.history().is_past(place);
        let expected = Some(index as u64).filter(|_| !is_past);
        assert_eq!(found, expected, "where {place:?} is");
    }

    /// Asks for the document as it was after so many transactions.
    fn check_document_after(&self, count: usize, lab: &mut Lab) {
        let basis = self.replica.history().basis(count as u64).expect("there are so many");
        let past = JournalPast::new(&self.journal, Disk::SOUND, lab);
        let document = basis.document(count as u64, &past);
        let document = document.expect("the journal can be read");
        let expected = lab.book.text(self.model.document_after(count));
        assert_eq!(document.root().to_string(), expected, "the document after {count}");
    }

    /// Asks for some transactions from this index of the history on.
    fn check_list(&self, from: usize, lab: &mut Lab) {
        let most = lab.rng.usize(0..8);
        let past = JournalPast::new(&self.journal, Disk::SOUND, lab);
        let list = match self.replica.history().window(from as u64, most, usize::MAX) {
            Window::Recent(list) => list,
            Window::Floor(base) => {
                let list = base.list(from as u64, most, usize::MAX, &past);
                let listed = |(index, placed): (u64, Placed)| {
                    let fate = self.replica.history().fate(&placed.place, placed.position);
                    Listed { index, placed, fate }
                };
                (from as u64..).zip(list.expect("the journal can be read")).map(listed).collect()
            }
        };
        let members = self.model.history().iter().enumerate().skip(from).take(most);
        assert_eq!(list.len(), members.len(), "{most} transactions from {from} on");
        for (listed, (index, member)) in list.iter().zip(members) {
            assert_eq!(listed.index, index as u64);
            let transaction = lab.book.transaction(member.number);
            assert_eq!(&listed.placed.place, lab.book.place(member.number));
            assert_eq!(listed.placed.payload, transaction.payload);
            assert_eq!(self.journal[listed.placed.position as usize], member.number);
            match (&listed.fate, &member.skip) {
                (Fate::Applied, None) => assert!(!member.is_repeated),
                (Fate::Repeated, None) => assert!(member.is_repeated),
                (Fate::Skipped(Some(skip)), Some((error, since))) => {
                    assert_eq!((&skip.error, skip.since), (&**error, Some(*since)));
                }
                (fate, skip) => panic!("the fate is {fate:?}, and not {skip:?}"),
            }
        }
    }

    /// Asks for what has changed since the last time.
    fn check_changes(&mut self, lab: &mut Lab) {
        let snapshot = self.replica.snapshot().clone();
        self.replica.want_changes();
        let changes = self.replica.changes();
        let mut copy = snapshot.clone();
        if let Some(follower) = self.follower.take()
            && let Some(steps) = changes.since(follower.change)
        {
            copy = follower.copy;
            lab.tally.steps_followed += steps.len() as u64;
            for step in steps {
                let patch = parse(&step).expect("a step is a patch");
                copy.apply(patch).expect("a step applies");
            }
            assert_eq!(copy.root().to_string(), snapshot.root().to_string(), "a follower's copy");
        }
        self.follower = Some(Follower { change: changes.last(), copy });
    }
}
