//! One transaction, its fate, and its index in the history.

use std::io;
use std::ops::Range;

use super::budget::Throttle;
use super::{Query, Untold};
use crate::journal::{JournalReader, is_folded};
use crate::manager::{Standing, State};
use crate::source::Source;
use crate::transaction::{Name, Place, Record};

/// How many records of the journal are looked through in one go, and about how many bytes.
const STRETCH_RECORDS: u64 = 1024;
const STRETCH_BYTES: usize = 1 << 20;

/// A transaction that was found.
#[derive(Debug)]
pub struct FoundTransaction {
    /// The transaction, as the journal has it.
    pub record: Record,
    /// How many transactions are before it in the history; none if it is void, and so not part of that.
    pub index: Option<u64>,
    /// Its fate, and whether that is final.
    pub standing: Standing,
}

impl Query {
    /// The transaction that is named or stamped by `source` and `id`, with its fate; none if there is none. Of several
    /// of one name it is the first in the history that is not void.
    ///
    /// # Errors
    /// If it cannot be found out.
    pub async fn transaction(
        &self,
        source: Source,
        id: u64,
    ) -> Result<Option<FoundTransaction>, Untold> {
        let name = Name { source, id };
        let Some((record, standing)) = self.record(&name).await? else { return Ok(None) };
        let index = match standing.index {
            _ if standing.is_void => None,
            Some(index) => Some(index),
            None => Some(self.index(&record.place).await?),
        };
        Ok(Some(FoundTransaction { record, index, standing }))
    }

    /// The same without its index.
    ///
    /// # Errors
    /// If it cannot be found out.
    pub async fn record(&self, name: &Name) -> Result<Option<(Record, Standing)>, Untold> {
        let found: Option<(Record, u64)> = self
            .look_up(|| {
                let (state, journal) = (self.handle.state(), self.handle.journal().clone());
                let name = name.clone();
                move |throttle: &Throttle| find(&name, &state, &journal, throttle)
            })
            .await?;
        let state = self.handle.state();
        let Some((record, position)) = found else {
            let was_folded = state.was_folded(&name.source, name.id);
            return if was_folded { Err(Untold::Folded(state.begin().index)) } else { Ok(None) };
        };
        let standing = state.standing(&record.place, position);
        Ok(Some((record, standing)))
    }

    /// How many transactions are before `place`, counted in the journal.
    async fn index(&self, place: &Place) -> Result<u64, Untold> {
        self.look_up(|| {
            let (state, journal) = (self.handle.state(), self.handle.journal().clone());
            let place = place.clone();
            move |throttle: &Throttle| count(&place, &state, &journal, throttle)
        })
        .await
    }

    /// Looks through the journal, and again if a part of it was folded away meanwhile.
    async fn look_up<T: Send + 'static, W>(&self, prepare: impl Fn() -> W) -> Result<T, Untold>
    where
        W: FnOnce(&Throttle) -> io::Result<T> + Send + 'static,
    {
        loop {
            match self.budget.lookups.spend(async { Ok(prepare()) }).await {
                Err(Untold::Journal(error)) if is_folded(&error) => {}
                done => return done,
            }
        }
    }
}

/// The first transaction in the history of this name or stamp, and its position.
fn find(
    name: &Name,
    state: &State,
    journal: &JournalReader,
    throttle: &Throttle,
) -> io::Result<Option<(Record, u64)>> {
    let Name { source, id } = name;
    let mut found: Option<(Record, u64)> = None;
    // Those before this one may have read what was not known yet.
    for range in journal.candidates(source, *id) {
        look_through(journal, range, throttle, |position, record| {
            let Record { place, .. } = record;
            let is_it =
                record.name() == (source, *id) || (&place.source, place.id) == (source, *id);
            let is_first = |(first, _): &(Record, u64)| state.counts_before(place, &first.place);
            if is_it && state.is_kept(place) && found.as_ref().is_none_or(is_first) {
                found = Some((record.clone(), position));
            }
        })?;
    }
    Ok(found)
}

/// How many transactions are before `place` in the history.
fn count(
    place: &Place,
    state: &State,
    journal: &JournalReader,
    throttle: &Throttle,
) -> io::Result<u64> {
    let Some(before) = state.before(place) else {
        let (mut count, unsettled) = journal.before(place.time);
        for range in unsettled {
            look_through(journal, range, throttle, |_, record| {
                count += u64::from(record.place < *place);
            })?;
        }
        return Ok(count);
    };
    let Range { start, end } = before.positions;
    let mut count = before.index;
    look_through(journal, start..end.min(journal.length()), throttle, |_, record| {
        count += u64::from(before.counts(&record.place));
    })?;
    Ok(count)
}

/// Shows `visit` a range of the journal.
fn look_through(
    journal: &JournalReader,
    mut range: Range<u64>,
    throttle: &Throttle,
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
        throttle.step()?;
    }
    Ok(())
}
