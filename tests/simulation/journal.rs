//! A journal, and the disk it is on.

use std::cell::Cell;
use std::io;

use patchmesh::internals::replica::{Past, PastPlace};
use patchmesh::internals::transaction::Transaction;

use crate::definition::{Book, Number};
use crate::lab::Lab;

/// What the disk with the journal does while a node takes something in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disk {
    /// How often the journal can be read.
    pub most_reads: u32,
    /// What happens when it is to grow.
    pub growth: Growth,
}

/// What happens when the journal is to grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Growth {
    /// It grows.
    Sound,
    /// The disk is full.
    Full,
    /// The node ends before that.
    Crash,
}

impl Disk {
    /// Nothing is wrong.
    pub const SOUND: Self = Self { most_reads: u32::MAX, growth: Growth::Sound };
}

/// The journal as the replica reads it.
pub struct JournalPast<'a> {
    /// What the numbers stand for.
    pub book: &'a Book,
    /// The journal.
    pub journal: &'a [Number],
    /// How often it was read.
    pub reads: Cell<u32>,
    stretch: usize,
    most_reads: u32,
}

impl<'a> JournalPast<'a> {
    /// A journal on a disk, which is read in stretches of some length.
    pub fn new(journal: &'a [Number], disk: Disk, lab: &'a mut Lab) -> Self {
        let stretch = lab.rng.usize(1..20);
        Self { book: &lab.book, journal, stretch, reads: Cell::new(0), most_reads: disk.most_reads }
    }
}

impl JournalPast<'_> {
    fn read(&self, position: u64, most: usize) -> io::Result<impl Iterator<Item = &Transaction>> {
        if self.reads.get() == self.most_reads {
            return Err(io::Error::other("the journal cannot be read"));
        }
        self.reads.set(self.reads.get() + 1);
        let stretch = self.journal.iter().skip(position as usize).take(most);
        Ok(stretch.map(|number| self.book.transaction(*number)))
    }
}

impl Past for JournalPast<'_> {
    fn places(&self, position: u64) -> io::Result<Vec<PastPlace>> {
        let stretch = self.read(position, self.stretch)?;
        let place = |transaction: &Transaction| PastPlace {
            place: transaction.place().expect("it is ordered"),
            named: transaction.by.is_some().then(|| Box::new(transaction.name())),
            bytes: transaction.payload.len(),
        };
        Ok(stretch.map(place).collect())
    }

    fn payloads(&self, position: u64, most: usize) -> io::Result<Vec<Box<str>>> {
        let stretch = self.read(position, most.min(self.stretch))?;
        Ok(stretch.map(|transaction| transaction.payload.clone()).collect())
    }
}
