//! A journal of the lab, whose beginning may have gone.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::io;

use patchmesh::internals::clock::Time;
use patchmesh::internals::replica::floor::Floor;
use patchmesh::internals::replica::{Base, Past, PastPlace, Stretch};
use patchmesh::internals::source::Source;
use patchmesh::internals::transaction::{Record, Transaction};

#[derive(Clone, Debug)]
pub struct Journal {
    begin: u64,
    list: Vec<Transaction>,
    /// What stands for what is before a position.
    pub base: Option<(Base, u64)>,
    /// How many are read at once.
    stretch: usize,
    pub reads: Cell<usize>,
}

impl Journal {
    pub fn new(stretch: usize) -> Self {
        Self { begin: 0, list: Vec::new(), base: None, stretch, reads: Cell::new(0) }
    }

    pub fn begin(&self) -> u64 {
        self.begin
    }

    pub fn end(&self) -> u64 {
        self.begin + self.list.len() as u64
    }

    pub fn append(&mut self, records: &[Record]) {
        let read = |record: &Record| record.transaction().expect("it was encoded here");
        self.list.extend(records.iter().map(read));
    }

    /// Drops what is before `position`.
    pub fn drop_before(&mut self, position: u64) {
        if let Some(count) = position.checked_sub(self.begin) {
            self.list.drain(..count as usize);
            self.begin = position;
        }
    }

    pub fn get(&self, position: u64) -> Option<&Transaction> {
        self.from(position).first()
    }

    /// All from a position on.
    pub fn from(&self, position: u64) -> &[Transaction] {
        let at = position.checked_sub(self.begin).expect("what was dropped is not read");
        self.list.get(at as usize..).unwrap_or_default()
    }

    /// The journal as it was when it had less.
    pub fn up_to(&self, position: u64) -> Self {
        let list = self.list[..(position - self.begin) as usize].to_vec();
        Self { begin: self.begin, list, base: self.base.clone(), ..Self::new(self.stretch) }
    }
}

impl Past for Journal {
    fn places(&self, position: u64) -> io::Result<Vec<PastPlace>> {
        self.reads.set(self.reads.get() + 1);
        let place = |transaction: &Transaction| PastPlace {
            place: transaction.place().expect("all of it has a time"),
            named: transaction.by.is_some().then(|| Box::new(transaction.name())),
            bytes: transaction.payload.len(),
        };
        Ok(self.from(position).iter().take(self.stretch).map(place).collect())
    }

    fn next_up_to(&self, position: u64, time: Time) -> u64 {
        let rest = self.from(position).iter();
        position + rest.take_while(|transaction| transaction.time > Some(time)).count() as u64
    }

    fn stretch(&self, position: u64) -> Option<Stretch> {
        let length = self.stretch as u64;
        if !position.is_multiple_of(length) || position + length > self.end() {
            return None;
        }
        let records = &self.from(position)[..self.stretch];
        let times = records.iter().filter_map(|record| record.time);
        let mut ids: BTreeMap<&Source, (u64, u64)> = BTreeMap::new();
        for (source, id) in records.iter().map(Transaction::stamp) {
            let (least, greatest) = ids.entry(source).or_insert((id, id));
            (*least, *greatest) = (id.min(*least), id.max(*greatest));
        }
        let stamps = ids.into_iter().map(|(source, (least, most))| (source.clone(), least, most));
        let (times, stamps) = ((times.clone().min()?, times.max()?), stamps.collect());
        let names = records.iter().map(|record| record.source.clone()).collect();
        Some(Stretch { length, times, stamps, names })
    }

    fn payloads(&self, position: u64, most: usize) -> io::Result<Vec<Box<str>>> {
        self.reads.set(self.reads.get() + 1);
        let rest = self.from(position).iter().take(most.min(self.stretch));
        Ok(rest.map(|transaction| transaction.payload.clone()).collect())
    }

    fn base(&self) -> io::Result<Floor> {
        let base = self.base.as_ref().map(|(base, position)| base.floor(*position));
        Ok(base.unwrap_or_else(Floor::beginning))
    }
}
