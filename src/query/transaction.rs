//! What became of one transaction, and where in the history it is.

use std::io;
use std::ops::Range;

use super::budget::Pace;
use super::{Query, Untold};
use crate::journal::JournalReader;
use crate::manager::Standing;
use crate::replica::history::Fate;
use crate::source::Source;
use crate::transaction::{Name, Place, Record};

/// How many records of the journal are looked through in one go, and about how many bytes.
const STRETCH_RECORDS: u64 = 1024;
const STRETCH_BYTES: usize = 1 << 20;

/// What is told of a transaction.
#[derive(Debug)]
pub struct Told {
    /// Where in the history it belongs, by its stamp.
    pub place: Place,
    /// Its name; none if it is the stamp.
    pub named: Option<Box<Name>>,
    /// How many transactions are before it in the history.
    pub index: u64,
    /// What becomes of it.
    pub fate: Fate,
}

impl Query {
    /// What becomes of the transaction that is named or stamped by `source` and `id`; none if there is
    /// none. Of several of one name, of the first in the history.
    ///
    /// # Errors
    /// If it cannot be told.
    pub async fn transaction(&self, source: Source, id: u64) -> Result<Option<Told>, Untold> {
        let Some((record, standing)) = self.standing(source, id).await? else { return Ok(None) };
        let Record { place, named, .. } = record;
        let index = match standing.index {
            Some(index) => index,
            None => self.index(place.clone()).await?,
        };
        Ok(Some(Told { place, named, index, fate: standing.fate }))
    }

    /// The same transaction as the journal has it, and what becomes of it.
    ///
    /// # Errors
    /// If it cannot be told.
    pub async fn record(&self, name: &Name) -> Result<Option<(Record, Fate)>, Untold> {
        let found = self.standing(name.source.clone(), name.id).await?;
        Ok(found.map(|(record, standing)| (record, standing.fate)))
    }

    async fn standing(
        &self,
        source: Source,
        id: u64,
    ) -> Result<Option<(Record, Standing)>, Untold> {
        let journal = self.handle.journal().clone();
        let find = move |pace: &Pace| {
            let mut found: Option<(Record, u64)> = None;
            // Those before this one may have read what was not known yet.
            for range in journal.candidates(&source, id) {
                look_through(&journal, range, pace, |position, record| {
                    let is_it = record.name() == (&source, id)
                        || (&record.place.source, record.place.id) == (&source, id);
                    let is_first = |(first, _): &(Record, u64)| record.place < first.place;
                    if is_it && found.as_ref().is_none_or(is_first) {
                        found = Some((record.clone(), position));
                    }
                })?;
            }
            Ok(found)
        };
        let found: Option<(Record, u64)> = self.budget.lookup(async { Ok(find) }).await?;
        let Some((record, position)) = found else { return Ok(None) };
        let standing = self.handle.state().standing(&record.place, position);
        Ok(Some((record, standing)))
    }

    /// How many transactions are before `place`, counted in the journal.
    async fn index(&self, place: Place) -> Result<u64, Untold> {
        let journal = self.handle.journal().clone();
        let count = move |pace: &Pace| {
            let (mut count, unsettled) = journal.before(place.time);
            for range in unsettled {
                look_through(&journal, range, pace, |_, record| {
                    count += u64::from(record.place < place);
                })?;
            }
            Ok(count)
        };
        self.budget.lookup(async { Ok(count) }).await
    }
}

/// Shows `visit` a range of the journal.
fn look_through(
    journal: &JournalReader,
    mut range: Range<u64>,
    pace: &Pace,
    mut visit: impl FnMut(u64, &Record),
) -> io::Result<()> {
    while !range.is_empty() {
        let most = STRETCH_RECORDS.min(range.end - range.start) as usize;
        let records = journal.read_blocking(range.start, most, STRETCH_BYTES)?;
        if records.is_empty() {
            return Ok(());
        }
        for record in &records {
            visit(range.start, record);
            range.start += 1;
        }
        pace.step()?;
    }
    Ok(())
}
