//! The journal as the core reads it.

use std::io;

use super::floor::Floor;
use crate::clock::Time;
use crate::source::Source;
use crate::transaction::{Name, Place, Record, Transaction};

/// The journal as the core reads it: accepted transactions by position. All have a `Time`.
pub trait Past {
    /// The transactions from `position` on without their payloads: as many as are read at once, none if the journal
    /// ends there.
    ///
    /// # Errors
    /// If the journal cannot be read.
    fn places(&self, position: u64) -> io::Result<Vec<PastPlace>>;

    /// The first position at or after `position` that may have a transaction up to `time`, as far as is known
    /// without reading.
    fn next_up_to(&self, position: u64, _time: Time) -> u64 {
        position
    }

    /// What is known, without reading them, of records in a row that begin at `position`.
    fn stretch(&self, _position: u64) -> Option<Stretch> {
        None
    }

    /// The payloads from `position` on: at most `most`, and no more than are read at once; one at least, if there is
    /// one.
    ///
    /// # Errors
    /// If the journal cannot be read.
    fn payloads(&self, position: u64, most: usize) -> io::Result<Vec<Box<str>>>;

    /// The base, if the replica was loaded without it: see [`super::Replica::load`].
    ///
    /// # Errors
    /// If it cannot be read.
    fn base(&self) -> io::Result<Floor> {
        Ok(Floor::beginning())
    }
}

/// A journal, and what is about to be appended to it.
pub struct ExtendedJournal<'a> {
    /// The journal.
    pub past: &'a dyn Past,
    /// How many records it has.
    pub length: u64,
    /// What comes after them.
    pub new: &'a dyn Past,
}

impl Past for ExtendedJournal<'_> {
    fn places(&self, position: u64) -> io::Result<Vec<PastPlace>> {
        match position.checked_sub(self.length) {
            Some(position) => self.new.places(position),
            None => self.past.places(position),
        }
    }

    fn next_up_to(&self, position: u64, time: Time) -> u64 {
        if position < self.length { self.past.next_up_to(position, time) } else { position }
    }

    fn stretch(&self, position: u64) -> Option<Stretch> {
        if position < self.length { self.past.stretch(position) } else { None }
    }

    fn payloads(&self, position: u64, most: usize) -> io::Result<Vec<Box<str>>> {
        match position.checked_sub(self.length) {
            Some(position) => self.new.payloads(position, most),
            None => self.past.payloads(position, most),
        }
    }

    fn base(&self) -> io::Result<Floor> {
        self.past.base()
    }
}

/// Records that were made here.
pub struct NewRecords<'a>(pub &'a [Record]);

/// How many transactions in memory are returned at once.
const STRETCH: usize = 1024;

impl Past for NewRecords<'_> {
    fn places(&self, position: u64) -> io::Result<Vec<PastPlace>> {
        let rest = self.0.iter().skip(usize::try_from(position).unwrap_or(usize::MAX));
        Ok(rest.take(STRETCH).cloned().map(PastPlace::from).collect())
    }

    fn payloads(&self, position: u64, most: usize) -> io::Result<Vec<Box<str>>> {
        let rest = self.0.iter().skip(usize::try_from(position).unwrap_or(usize::MAX));
        let payload =
            |record: &Record| record.payload().expect("what was encoded here can be read");
        Ok(rest.take(most).map(payload).collect())
    }
}

/// A journal that is all in memory, or a part of one.
impl<T: AsRef<[Transaction]>> Past for T {
    fn places(&self, position: u64) -> io::Result<Vec<PastPlace>> {
        let rest = self.as_ref().iter().skip(usize::try_from(position).unwrap_or(usize::MAX));
        let place = |transaction: &Transaction| {
            let named = transaction.by.is_some().then(|| Box::new(transaction.name()));
            let bytes = transaction.payload.len();
            Some(PastPlace { place: transaction.place()?, named, bytes })
        };
        Ok(rest.map_while(place).take(STRETCH).collect())
    }

    fn payloads(&self, position: u64, most: usize) -> io::Result<Vec<Box<str>>> {
        let rest = self.as_ref().iter().skip(usize::try_from(position).unwrap_or(usize::MAX));
        Ok(rest.take(most).map(|transaction| transaction.payload.clone()).collect())
    }
}

/// Some records of the journal in a row, and what is known of them without reading them.
#[derive(Clone, Debug)]
pub struct Stretch {
    /// How many there are.
    pub length: u64,
    /// Their least and their greatest time.
    pub times: (Time, Time),
    /// The sources that stamp them, with the least and the greatest Id of each.
    pub stamps: Vec<(Source, u64, u64)>,
    /// The sources of their names.
    pub names: Vec<Source>,
}

/// A transaction of the journal without its payload.
#[derive(Clone, Debug, PartialEq)]
pub struct PastPlace {
    /// Where it belongs.
    pub place: Place,
    /// Its name; none if it is the stamp, which the place has.
    pub named: Option<Box<Name>>,
    /// About how many bytes its payload has.
    pub bytes: usize,
}

impl From<Record> for PastPlace {
    fn from(Record { place, named, line }: Record) -> Self {
        Self { place, named, bytes: line.len() }
    }
}
