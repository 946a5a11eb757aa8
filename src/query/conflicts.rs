//! The transactions that won against skipped ones.

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use smol::Timer;
use smol::future::FutureExt;

use super::budget::Throttle;
use super::replay::PastUntil;
use super::{FoundTransaction, Query, Untold};
use crate::manager::{SkippedPage, State};
use crate::patch::PatchError;
use crate::replica::history::Fate;
use crate::replica::history::cause::Because;
use crate::transaction::Place;

/// The time limits of a search for the winners of a page, and of one transaction, with the wait for a turn. The
/// client's own limit is longer, so that it gets the page at least.
const PAGE_LIMIT: Duration = Duration::from_secs(1);
const LIMIT: Duration = Duration::from_secs(5);

/// After so many transactions that are taken back there may be a rest.
const STRETCH: u32 = 256;

/// A page of skipped transactions, and what won against them.
pub struct Conflicts {
    /// The page.
    pub page: SkippedPage,
    /// What won, by the place of the skipped one. What is missing was not searched.
    pub because: HashMap<Place, Because>,
    /// The state of which all that is.
    pub state: Arc<State>,
}

impl Query {
    /// A page of the transactions that are skipped now, in the order of the history: see [`SkippedPage`]. If
    /// `is_because_wanted`, their winners are searched in the recent part of the history, as far as time allows.
    pub async fn conflicts(
        &self,
        from: Option<u64>,
        most: usize,
        is_because_wanted: bool,
    ) -> Conflicts {
        let state = self.handle.state();
        let page = state.skipped(from, most);
        let is_sought = |skip: &PatchError| is_because_wanted && *skip != PatchError::VOID;
        let sought = page.skipped.iter().filter(|(_, skip)| is_sought(&skip.error));
        let sought: HashSet<Place> = sought.map(|(place, _)| place.clone()).collect();
        if sought.is_empty() {
            return Conflicts { page, because: HashMap::new(), state };
        }
        let (begun, history) = (Instant::now(), state.clone());
        let work = move |throttle: &Throttle| {
            let mut passed = 0u32;
            history.recent_winners(&sought, &mut || {
                passed = passed.wrapping_add(1);
                if passed.is_multiple_of(STRETCH) {
                    throttle.step()?;
                }
                Ok(begun.elapsed() < PAGE_LIMIT)
            })
        };
        let looked =
            async { self.budget.replays.spend(async { Ok(work) }).await.unwrap_or_default() };
        let too_long = async {
            Timer::after(PAGE_LIMIT + PAGE_LIMIT).await;
            HashMap::new()
        };
        let because = looked.or(too_long).await;
        Conflicts { page, because, state }
    }

    /// What won against a transaction; none if it is not skipped.
    ///
    /// # Errors
    /// If it cannot be found out.
    pub async fn because(
        &self,
        told: &FoundTransaction,
    ) -> Option<Result<(Because, Arc<State>), Untold>> {
        if told.standing.is_void || !matches!(told.standing.fate, Fate::Skipped(_)) {
            return None;
        }
        let looked = self.look_because(told);
        let too_long = async {
            Timer::after(LIMIT).await;
            Err(Untold::TooLong)
        };
        Some(looked.or(too_long).await.map_err(|why| self.unless_begun_later(why)))
    }

    async fn look_because(&self, told: &FoundTransaction) -> Result<(Because, Arc<State>), Untold> {
        let (place, position) = (told.record.place.clone(), told.standing.position);
        let invalid = |error| io::Error::new(io::ErrorKind::InvalidData, error);
        let payload = told.record.transaction().map_err(invalid)?.payload;
        let prepared = async {
            let (state, past) = (self.handle.state(), self.handle.past().clone());
            Ok(move |throttle: &Throttle| {
                let past = PastUntil::new(past, state.journal_length(), throttle);
                let mut passed = 0u32;
                let because = state.winner(&place, position, &payload, &past, &mut || {
                    passed = passed.wrapping_add(1);
                    if passed.is_multiple_of(STRETCH) { throttle.step() } else { Ok(()) }
                })?;
                Ok((because, state))
            })
        };
        self.budget.replays.spend(prepared).await
    }
}
