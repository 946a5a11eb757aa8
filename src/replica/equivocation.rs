//! Different transactions under one stamp.
//!
//! What comes by several links is known when it comes again, so that must be cheap to find out. The recent part of
//! the history is searched for it only if it may be there at another place: those of one source are in the order
//! of their Ids.

use super::Replica;
use super::history::History;
use super::placed::Placed;
use crate::source::Source;
use crate::transaction::{Place, Transaction};

/// Two different transactions with the same stamp: a node goes on from an old copy of its journal, or
/// somebody does not play by the rules.
#[derive(Clone, Debug, PartialEq)]
pub struct Equivocation {
    /// The transaction that is part of the history.
    pub known: Placed,
    /// The one that came later, and is dropped.
    pub dropped: Transaction,
}

impl Replica {
    /// The recent transaction with the same stamp as one that is known, if they differ.
    pub(super) fn equivocation(
        &self,
        place: &Place,
        transaction: Transaction,
        least_ids: &mut LeastIds,
    ) -> Option<Equivocation> {
        // Of other sources it would be looked for too often: whoever sends all again sends them.
        let is_own = [self.life.source(), self.life.stamper()].contains(&&place.source);
        if self.history.is_past(place) {
            let mut least = || least_ids.of(&place.source, &self.history);
            if !is_own || least().is_none_or(|least| place.id < least) {
                return None;
            }
        }
        let known = match self.history.recent(place) {
            Some(known) => known,
            // With another time it stands elsewhere; or it is before the recent part, or it never was.
            None => self.history.recent_from_end().find(|recent| {
                recent.place.id == place.id && recent.place.source == place.source
            })?,
        };
        let name = (&transaction.source, transaction.id);
        let is_same = known.place == *place && known.name() == name;
        let differs = !is_same || known.payload != transaction.payload;
        differs.then(|| Equivocation { known: known.clone(), dropped: transaction })
    }
}

/// The least Id that the recent part of the history has of each source that was asked for; none if it has none.
#[derive(Default)]
pub struct LeastIds(Vec<(Source, Option<u64>)>);

impl LeastIds {
    /// That of `source`.
    fn of(&mut self, source: &Source, history: &History) -> Option<u64> {
        if let Some((_, least)) = self.0.iter().find(|(known, _)| known == source) {
            return *least;
        }
        let least = history.least_recent_id(source);
        self.0.push((source.clone(), least));
        least
    }
}
