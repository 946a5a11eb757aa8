//! What one downstream sends: transactions or summaries.

use std::fmt;
use std::sync::Arc;

use super::{Announcement, HaveSummary, LinkOrder};

/// What a downstream sends.
#[derive(Debug, Default)]
pub enum Flow {
    /// Each transaction of the journal.
    #[default]
    Eager,
    /// The journal up to its end at the time of the order, then summaries.
    Lazy {
        /// The announcement at the time of the order.
        first: Arc<Announcement>,
        /// The last announcement of which the reader was told.
        last: Arc<Announcement>,
    },
}

/// The reader asks to go on from a position that it cannot know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownPosition {
    from: u64,
    told: u64,
}

impl fmt::Display for UnknownPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, told } = self;
        write!(f, "eager {from}: it was told of what is before position {told}")
    }
}

impl Flow {
    /// Whether it sends summaries.
    pub fn is_lazy(&self) -> bool {
        matches!(self, Self::Lazy { .. })
    }

    /// Whether the journal is sent at this position.
    pub fn sends(&self, position: u64) -> bool {
        match self {
            Self::Eager => true,
            Self::Lazy { first, .. } => position < first.length(),
        }
    }

    /// Follows an order of the reader at `position`; `now` is the current announcement. Returns the position
    /// at which to go on.
    ///
    /// # Errors
    /// If the reader names a position of which it was not told.
    pub fn follow(
        &mut self,
        order: LinkOrder,
        position: u64,
        now: &Arc<Announcement>,
    ) -> Result<u64, UnknownPosition> {
        match (order, &*self) {
            (LinkOrder::Lazy, Self::Eager) => {
                *self = Self::Lazy { first: now.clone(), last: now.clone() };
            }
            (LinkOrder::Eager(from), Self::Lazy { last, .. }) => {
                let (from, told) = (from.unwrap_or_default(), last.length());
                if from > told {
                    return Err(UnknownPosition { from, told });
                }
                // The reader may name a position before it has settled what was on its way when it became
                // lazy.
                let begin = if self.sends(position) { position } else { position.max(from) };
                *self = Self::Eager;
                return Ok(begin);
            }
            (LinkOrder::Lazy, Self::Lazy { .. }) | (LinkOrder::Eager(_), Self::Eager) => (),
        }
        Ok(position)
    }

    /// The next summary for the reader at `position`. `None` if nothing is new, or if the journal is sent
    /// there.
    pub fn summary(&mut self, position: u64, now: &Arc<Announcement>) -> Option<ReaderSummary> {
        if self.sends(position) {
            return None;
        }
        let Self::Lazy { last, .. } = self else { return None };
        if now.length() <= last.length() {
            return None;
        }
        let said = if now.is_after(last) {
            ReaderSummary::Shared
        } else {
            ReaderSummary::Own(now.since(last))
        };
        *last = now.clone();
        Some(said)
    }
}

/// A summary for one reader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReaderSummary {
    /// The one of the announcement.
    Shared,
    /// Its own one, since it was not told of each announcement.
    Own(HaveSummary),
}
