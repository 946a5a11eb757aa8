//! Where one downstream stands: whether it sends transactions or summaries.

use std::fmt;
use std::sync::Arc;

use super::{Beat, Order, Summary};

/// What a downstream sends.
#[derive(Debug, Default)]
pub enum Flow {
    /// Each transaction of the journal.
    #[default]
    Eager,
    /// The journal as far as it went when this was asked for, and then summaries.
    Lazy {
        /// The beat then.
        first: Arc<Beat>,
        /// The beat that the reader was told of last.
        last: Arc<Beat>,
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

    /// Does as the reader says, if so much of the journal was sent and `beat` is of now. Says from which position
    /// on the journal is sent.
    ///
    /// # Errors
    /// If the reader asks for what it was not told of.
    pub fn follow(
        &mut self,
        order: Order,
        position: u64,
        beat: &Arc<Beat>,
    ) -> Result<u64, UnknownPosition> {
        match (order, &*self) {
            (Order::Lazy, Self::Eager) => {
                *self = Self::Lazy { first: beat.clone(), last: beat.clone() };
            }
            (Order::Eager(from), Self::Lazy { last, .. }) => {
                let (from, told) = (from.unwrap_or_default(), last.length());
                if from > told {
                    return Err(UnknownPosition { from, told });
                }
                // What was on its way to the reader when it became lazy is not what it counts as settled.
                let begin = if self.sends(position) { position } else { position.max(from) };
                *self = Self::Eager;
                return Ok(begin);
            }
            (Order::Lazy, Self::Lazy { .. }) | (Order::Eager(_), Self::Eager) => (),
        }
        Ok(position)
    }

    /// What the reader is to be told in place of the journal, if so much of that was sent; none if nothing is new,
    /// or the journal is sent.
    pub fn summary(&mut self, position: u64, beat: &Arc<Beat>) -> Option<Said> {
        if self.sends(position) {
            return None;
        }
        let Self::Lazy { last, .. } = self else { return None };
        if beat.length() <= last.length() {
            return None;
        }
        let said = if beat.is_after(last) { Said::Shared } else { Said::Own(beat.since(last)) };
        *last = beat.clone();
        Some(said)
    }
}

/// A summary for one reader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// That of the beat.
    Shared,
    /// One of its own, since it was not told of each beat.
    Own(Summary),
}
