//! The history in its order, and the document as it was after so many transactions.
//!
//! The manager's state has what an answer is made from: the document with the inverses of the recent part, or a
//! checkpoint, after which the journal is read.

use std::io;
use std::sync::Arc;

use super::budget::Throttle;
use super::{PAGE_BYTES, Query, Untold, unless_folded};
use crate::clock::Time;
use crate::manager::{JournalPast, Representation, State};
use crate::patch::PointerBuf;
use crate::replica::floor::Floor;
use crate::replica::history::at::{Listed, Window};
use crate::replica::{Past, PastPlace, Placed};

/// Some of the history in its order.
pub struct HistoryPage {
    /// The transactions.
    pub lines: Vec<Listed>,
    /// The state of which they are.
    pub state: Arc<State>,
}

impl Query {
    /// A page of the history from the index `from` on, or from where it begins, of at most `most`
    /// transactions.
    ///
    /// # Errors
    /// If it cannot be read.
    pub async fn history(&self, from: Option<u64>, most: usize) -> Result<HistoryPage, Untold> {
        let state = self.handle.state();
        let (end, begins) = (state.journal_length(), state.begin().index);
        let from = from.unwrap_or(begins);
        if from < begins {
            return Err(Untold::Folded(begins));
        }
        let base = match state.window(from, most, PAGE_BYTES) {
            Window::Recent(lines) => return Ok(HistoryPage { lines, state }),
            Window::Floor(base) => base,
        };
        let past = self.handle.past().clone();
        let work = move |throttle: &Throttle| {
            base.list(from, most, PAGE_BYTES, &PastUntil::new(past, end, throttle))
        };
        let list = self.budget.replays.spend(async { Ok(work) }).await;
        let list: Vec<Placed> = list.map_err(|why| self.unless_begun_later(why))?;
        let listed = |(index, placed): (u64, Placed)| {
            let fate = state.standing(&placed.place, placed.position).fate;
            Listed { index, placed, fate }
        };
        Ok(HistoryPage { lines: (from..).zip(list).map(listed).collect(), state })
    }

    /// The document after the first `count` transactions of the history, or the part of it at `pointer`,
    /// and how many transactions there are.
    ///
    /// # Errors
    /// If there are fewer, or it cannot be made.
    pub async fn document_at(
        &self,
        count: u64,
        pointer: PointerBuf,
    ) -> Result<(Option<Arc<Representation>>, u64), Untold> {
        let work = async {
            let state = self.handle.state();
            let (length, end) = (state.length(), state.journal_length());
            let begins = state.begin().index;
            if count < begins {
                return Err(Untold::Folded(begins));
            }
            let basis = state.basis(count).ok_or(Untold::Beyond(length))?;
            let past = self.handle.past().clone();
            Ok(move |throttle: &Throttle| {
                let past = PastUntil::new(past, end, throttle);
                let document = basis.document(count, &past)?;
                let part = document.get(&pointer).cloned();
                let part = part.map(|part| Arc::new(Representation::of(part)));
                Ok((part, length))
            })
        };
        self.budget.replays.spend(work).await.map_err(|why| self.unless_begun_later(why))
    }

    /// The same error; or that what was wanted is before what is kept now.
    pub(super) fn unless_begun_later(&self, why: Untold) -> Untold {
        unless_folded(why, || self.handle.state().begin().index)
    }
}

/// The journal as it was when it had so many transactions.
pub(super) struct PastUntil<'a> {
    past: JournalPast,
    length: u64,
    throttle: &'a Throttle,
}

impl<'a> PastUntil<'a> {
    pub(super) fn new(past: JournalPast, length: u64, throttle: &'a Throttle) -> Self {
        Self { past, length, throttle }
    }

    /// How many transactions there were from `position` on.
    fn left(&self, position: u64) -> io::Result<usize> {
        self.throttle.step()?;
        Ok(usize::try_from(self.length.saturating_sub(position)).unwrap_or(usize::MAX))
    }
}

impl Past for PastUntil<'_> {
    fn places(&self, position: u64) -> io::Result<Vec<PastPlace>> {
        let left = self.left(position)?;
        let mut places = if left == 0 { Vec::new() } else { self.past.places(position)? };
        places.truncate(left);
        Ok(places)
    }

    fn next_up_to(&self, position: u64, time: Time) -> u64 {
        self.past.next_up_to(position, time)
    }

    fn base(&self) -> io::Result<Floor> {
        self.past.base()
    }

    fn payloads(&self, position: u64, most: usize) -> io::Result<Vec<Box<str>>> {
        let most = most.min(self.left(position)?);
        if most == 0 { Ok(Vec::new()) } else { self.past.payloads(position, most) }
    }
}
