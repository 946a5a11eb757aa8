//! Different transactions under one stamp.
//!
//! A transaction that comes by several links is known the second time, so the comparison must be cheap. The recent
//! part of the history is searched only if the stamp may be there at another place: those of one source are in the
//! order of their Ids.

use super::Replica;
use super::history::History;
use super::placed::Placed;
use crate::source::Source;
use crate::transaction::{Place, Transaction};

/// Two different transactions with the same stamp: a node goes on from an old copy of its journal, or
/// a node breaks the rules.
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
        // For other sources the search would come too often: a peer that sends all again sends them.
        let is_own = [self.life.source(), self.life.stamper()].contains(&&place.source);
        if self.history.is_past(place) {
            let mut least = || least_ids.of(&place.source, &self.history);
            if !is_own || least().is_none_or(|least| place.id < least) {
                return None;
            }
        }
        let known = match self.history.recent(place) {
            Some(known) => known,
            // If it has another time, it has another place; or it is before the recent part, or was never there.
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

/// The least Ids that the recent part of the history has of some sources, as found so far; none if it has none.
#[derive(Default)]
pub struct LeastIds(Vec<(Source, Option<u64>)>);

impl LeastIds {
    /// The one of `source`.
    fn of(&mut self, source: &Source, history: &History) -> Option<u64> {
        if let Some((_, least)) = self.0.iter().find(|(known, _)| known == source) {
            return *least;
        }
        let least = history.least_recent_id(source);
        self.0.push((source.clone(), least));
        least
    }
}
