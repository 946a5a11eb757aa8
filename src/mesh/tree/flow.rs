//! Where one downstream stands: whether it sends transactions or summaries.

use std::fmt;
use std::sync::Arc;

use super::{Announcement, HaveSummary, LinkOrder};

/// What a downstream sends.
#[derive(Debug, Default)]
pub enum Flow {
    /// Each transaction of the journal.
    #[default]
    Eager,
    /// The journal as far as it went when this was asked for, and then summaries.
    Lazy {
        /// The announcement then.
        first: Arc<Announcement>,
        /// The announcement that the reader was told of last.
        last: Arc<Announcement>,
    },
}

/// A reader asks to go on from where it cannot.
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

    /// Whether the journal is sent if so much of it was.
    pub fn sends(&self, position: u64) -> bool {
        match self {
            Self::Eager => true,
            Self::Lazy { first, .. } => position < first.length(),
        }
    }

    /// Does as the reader says, if so much of the journal was sent and `announcement` is of now. Says from which position
    /// on the journal is sent.
    ///
    /// # Errors
    /// If the reader asks for what it was not told of.
    pub fn follow(
        &mut self,
        order: LinkOrder,
        position: u64,
        announcement: &Arc<Announcement>,
    ) -> Result<u64, UnknownPosition> {
        match (order, &*self) {
            (LinkOrder::Lazy, Self::Eager) => {
                *self = Self::Lazy { first: announcement.clone(), last: announcement.clone() };
            }
            (LinkOrder::Eager(from), Self::Lazy { last, .. }) => {
                let (from, told) = (from.unwrap_or_default(), last.length());
                if from > told {
                    return Err(UnknownPosition { from, told });
                }
                // What was on its way to the reader when it became lazy is not what it counts as settled.
                let begin = if self.sends(position) { position } else { position.max(from) };
                *self = Self::Eager;
                return Ok(begin);
            }
            (LinkOrder::Lazy, Self::Lazy { .. }) | (LinkOrder::Eager(_), Self::Eager) => (),
        }
        Ok(position)
    }

    /// What the reader is to be told in place of the journal, if so much of that was sent; none if nothing is new,
    /// or the journal is sent.
    pub fn summary(&mut self, position: u64, announcement: &Arc<Announcement>) -> Option<Said> {
        if self.sends(position) {
            return None;
        }
        let Self::Lazy { last, .. } = self else { return None };
        if announcement.length() <= last.length() {
            return None;
        }
        let said = if announcement.is_after(last) {
            Said::Shared
        } else {
            Said::Own(announcement.since(last))
        };
        *last = announcement.clone();
        Some(said)
    }
}

/// A summary for one reader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// That of the announcement.
    Shared,
    /// One of its own, since it was not told of each announcement.
    Own(HaveSummary),
}
