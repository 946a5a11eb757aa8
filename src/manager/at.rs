//! The document as it was, and the history in its order: computed by whoever asks.
//!
//! The manager hands out what the work needs, in little time: the document's text (which is kept until it
//! changes, as for every reader) with the inverses of the recent part, or a checkpoint's text. All else
//! is done by another thread, at most [`COMPUTATIONS`] of them at once, so that the memory is bounded by
//! so many documents. Where the journal has to be read, it is all that came after the checkpoint. The
//! work ends where the asker does not wait any more: after [`TIME_LIMIT`], or when it is gone.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use async_channel::Receiver;
use smol::Timer;
use smol::future::FutureExt;
use smol::lock::SemaphoreGuardArc;

use super::past::JournalPast;
use super::{Event, Handle, Manager, Snapshot, Stopped};
use crate::journal::JournalReader;
use crate::patch::PointerBuf;
use crate::replica::history::at::{Basis, Listed, Window};
use crate::replica::{Past, PastPlace};

/// How many computations there are at once; more wait.
pub(super) const COMPUTATIONS: usize = 2;

/// How long one may take, its wait included.
const TIME_LIMIT: Duration = Duration::from_secs(20);

/// About how many bytes of payload are listed at once.
const LISTING_BYTES: usize = 8 << 20;

/// Why something of the history's past is not told.
#[derive(Debug)]
pub enum AtError {
    /// The history is not that long; this is its length.
    Beyond(u64),
    /// It takes too long, or too many ask.
    TooLong,
    /// The journal cannot be read.
    Journal(io::Error),
    /// The node is stopping.
    Stopped,
}

/// Some of the history in its order.
#[derive(Debug)]
pub struct Listing {
    /// The transactions.
    pub listed: Vec<Listed>,
    /// How many transactions the history has.
    pub length: u64,
}

/// What the document as it was is made from.
pub(super) struct DocumentWork {
    basis: Basis,
    /// The document now; empty where the basis does not begin there.
    now: Arc<[u8]>,
    length: u64,
}

/// What a listing is made from.
pub(super) struct ListingWork {
    window: Window,
    length: u64,
}

impl From<Stopped> for AtError {
    fn from(_: Stopped) -> Self {
        Self::Stopped
    }
}

impl From<io::Error> for AtError {
    fn from(error: io::Error) -> Self {
        Self::Journal(error)
    }
}

impl Handle {
    /// The document after the first `count` transactions of the history, or the part of it at `pointer`,
    /// and how many transactions there are.
    ///
    /// # Errors
    /// Where there are fewer, or it cannot be computed.
    pub async fn document_at(
        &self,
        count: u64,
        pointer: PointerBuf,
    ) -> Result<(Option<Snapshot>, u64), AtError> {
        in_time(async {
            let permit = self.computations.acquire_arc().await;
            let asked = self.ask(|reply| Event::ReadBasis { count, reply }).await?;
            let DocumentWork { basis, now, length } = asked.map_err(AtError::Beyond)?;
            let journal = self.journal.clone();
            away(permit, journal, length, move |past| {
                let document = basis.document(count, &now, past)?;
                Ok((document.get(&pointer).map(Snapshot::new), length))
            })
            .await
        })
        .await
    }

    /// At most `most` transactions of the history from index `from` on, in its order; fewer where they
    /// are large.
    ///
    /// # Errors
    /// Where they cannot be told.
    pub async fn list(&self, from: u64, most: usize) -> Result<Listing, AtError> {
        in_time(async {
            let permit = self.computations.acquire_arc().await;
            let asked = self.ask(|reply| Event::ReadWindow { from, most, reply }).await?;
            let ListingWork { window, length } = asked;
            let listed = match window {
                Window::Recent(listed) => listed,
                Window::Past(base, skips) => {
                    let journal = self.journal.clone();
                    away(permit, journal, length, move |past| {
                        base.list(from, most, LISTING_BYTES, &skips, past)
                    })
                    .await?
                }
            };
            Ok(Listing { listed, length })
        })
        .await
    }
}

impl Manager {
    /// What the document after `count` transactions is made from; the length of the history where
    /// there are fewer.
    pub(super) fn read_basis(&mut self, count: u64) -> Result<DocumentWork, u64> {
        let length = self.replica.history().length();
        let basis = self.replica.history().basis(count).ok_or(length)?;
        let now = match &basis {
            Basis::Now(_) => self.whole().snapshot.line.clone(),
            Basis::Base(_) => Arc::default(),
        };
        Ok(DocumentWork { basis, now, length })
    }

    pub(super) fn read_window(&self, from: u64, most: usize) -> ListingWork {
        let history = self.replica.history();
        ListingWork { window: history.window(from, most, LISTING_BYTES), length: history.length() }
    }
}

async fn in_time<T>(work: impl Future<Output = Result<T, AtError>>) -> Result<T, AtError> {
    let too_long = async {
        Timer::after(TIME_LIMIT).await;
        Err(AtError::TooLong)
    };
    work.or(too_long).await
}

/// Has another thread do the work, for as long as somebody waits for it. It sees the journal as it was
/// when it had `length` transactions.
async fn away<T: Send + 'static>(
    permit: SemaphoreGuardArc,
    journal: JournalReader,
    length: u64,
    work: impl FnOnce(&PastUntil) -> io::Result<T> + Send + 'static,
) -> Result<T, AtError> {
    let (_wanted, unwanted) = async_channel::bounded(1);
    let past = PastUntil { past: JournalPast(journal), length, unwanted };
    let done = smol::unblock(move || {
        let _permit = permit;
        work(&past)
    });
    Ok(done.await?)
}

/// The journal as it was.
struct PastUntil {
    past: JournalPast,
    length: u64,
    /// Closed when nobody waits for what is being computed.
    unwanted: Receiver<Infallible>,
}

impl PastUntil {
    /// How many transactions there were from `position` on.
    fn left(&self, position: u64) -> io::Result<usize> {
        if self.unwanted.is_closed() {
            return Err(io::Error::other("nobody waits for it any more"));
        }
        Ok(usize::try_from(self.length.saturating_sub(position)).unwrap_or(usize::MAX))
    }
}

impl Past for PastUntil {
    type Error = io::Error;

    fn places(&self, position: u64) -> io::Result<Vec<PastPlace>> {
        let left = self.left(position)?;
        let mut places = if left == 0 { Vec::new() } else { self.past.places(position)? };
        places.truncate(left);
        Ok(places)
    }

    fn payloads(&self, position: u64, most: usize) -> io::Result<Vec<Box<str>>> {
        let most = most.min(self.left(position)?);
        if most == 0 { Ok(Vec::new()) } else { self.past.payloads(position, most) }
    }
}
