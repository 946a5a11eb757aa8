//! The past, read from the journal and the base for the replica.

use std::io;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::clock::{Time, VectorClock};
use crate::document::Value;
use crate::journal::{BlockSummary, Directory, JournalReader, StoredBase};
use crate::patch::Document;
use crate::replica::floor::Floor;
use crate::replica::{Base, Past, PastPlace, Stretch};
use crate::source::Source;

/// How many transactions, and about how many bytes of them, are read at once.
pub(super) const STRETCH_RECORDS: usize = 1024;
pub(super) const STRETCH_BYTES: usize = 1 << 20;

/// Reads the journal and the base. It may wait for the disk.
#[derive(Clone)]
pub struct JournalPast {
    /// The journal.
    pub journal: JournalReader,
    bases: Bases,
}

/// Where the last base is.
#[derive(Clone)]
pub enum Bases {
    /// With the history in memory, or there is none.
    InMemory,
    /// In memory, just read from its file.
    Read(Arc<StoredBase>),
    /// In a directory, for a journal that began with this life.
    Kept(Arc<Directory>, Source),
}

impl JournalPast {
    /// A journal, and where its base is.
    pub fn new(journal: JournalReader, bases: Bases) -> Self {
        Self { journal, bases }
    }
}

/// How far the node itself has counted: a part of a stored base's summary.
#[derive(Serialize, Deserialize)]
pub struct OwnClock {
    #[serde(rename = "Own", default)]
    pub own: VectorClock,
}

impl OwnClock {
    /// The summary of a base, with this added.
    pub fn with(&self, summary: &str) -> String {
        let own = serde_json::to_string(self).expect("a clock always has a JSON text");
        let (own, summary) = (own.trim_end_matches('}'), summary.trim_start_matches('{'));
        format!("{own}}},{summary}")
    }

    /// Reads it from a summary.
    ///
    /// # Errors
    /// If the summary cannot be read, with the reason.
    pub fn read(summary: &str) -> Result<Self, String> {
        serde_json::from_str(summary).map_err(|error| error.to_string())
    }
}

/// Decodes a stored base.
///
/// # Errors
/// If it cannot be used, with the reason.
pub fn read_base(stored: &StoredBase) -> Result<Base, String> {
    let root: Value =
        serde_json::from_slice(&stored.document).map_err(|error| error.to_string())?;
    let document = Document::new(root).ok_or("its document is too large")?;
    Base::read(&stored.summary, document)
}

fn floor(stored: &StoredBase) -> io::Result<Floor> {
    let invalid = |why| io::Error::new(io::ErrorKind::InvalidData, format!("the base: {why}"));
    Ok(read_base(stored).map_err(invalid)?.floor(stored.position))
}

impl Past for JournalPast {
    fn places(&self, position: u64) -> io::Result<Vec<PastPlace>> {
        let records = self.journal.read_blocking(position, STRETCH_RECORDS, STRETCH_BYTES)?;
        Ok(records.into_iter().map(PastPlace::from).collect())
    }

    fn next_up_to(&self, position: u64, time: Time) -> u64 {
        self.journal.next_up_to(position, time)
    }

    fn stretch(&self, position: u64) -> Option<Stretch> {
        let BlockSummary { length, times, stamps, names } = self.journal.summary(position)?;
        Some(Stretch { length, times, stamps, names })
    }

    fn base(&self) -> io::Result<Floor> {
        match &self.bases {
            Bases::InMemory => Ok(Floor::beginning()),
            Bases::Read(stored) => floor(stored),
            Bases::Kept(directory, source) => {
                let last = directory.bases(source).into_iter().next();
                last.map_or_else(|| Ok(Floor::beginning()), |last| floor(&last))
            }
        }
    }

    fn payloads(&self, position: u64, most: usize) -> io::Result<Vec<Box<str>>> {
        let most = most.min(STRETCH_RECORDS);
        let records = self.journal.read_blocking(position, most, STRETCH_BYTES)?;
        let invalid = |error| io::Error::new(io::ErrorKind::InvalidData, error);
        records.iter().map(|record| record.payload().map_err(invalid)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_tells_how_far_the_node_has_counted() {
        for clock in [vec![], vec![("me~00000000".parse().unwrap(), 7)]] {
            let own = OwnClock { own: clock.into_iter().collect() };
            let text = own.with(r#"{"Floor":1,"Names":{"a":[1,[[1,2]]]}}"#);
            assert_eq!(OwnClock::read(&text).unwrap().own, own.own, "{text}");
            let all: serde_json::Value = serde_json::from_str(&text).unwrap();
            assert_eq!(all["Names"]["a"][0], 1);
        }
        assert_eq!(OwnClock::read("{}").unwrap().own, VectorClock::default());
    }
}
