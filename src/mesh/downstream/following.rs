//! What one reader was told of other nodes.

use std::pin::Pin;
use std::task::Context;

use async_channel::Receiver;
use smol::stream::Stream as _;

use crate::mesh::members::Reader;
use crate::mesh::roster::Roster;

/// How far a reader is told what nodes tell of themselves.
pub struct Following {
    woken: Pin<Box<Receiver<()>>>,
    /// Up to which version it was told all.
    told: u64,
    /// The version that was there when its task last asked to be woken; none if it has not.
    seen: Option<u64>,
    /// Whether the last message may not have been all.
    has_more: bool,
}

impl Following {
    /// It was told nothing yet.
    pub fn begin(roster: &Roster) -> Self {
        Self { woken: Box::pin(roster.subscribe()), told: 0, seen: None, has_more: false }
    }

    /// Whether there may be something to tell; else the task is woken when there is. This is asked with each
    /// delivery: if nothing was told since, it is one number that is read.
    pub fn has_news(&mut self, roster: &Roster, context: &mut Context<'_>) -> bool {
        if self.has_more {
            return true;
        }
        let version = roster.version();
        if self.seen == Some(version) {
            return false;
        }
        if self.woken.as_mut().poll_next(context).is_ready() {
            return true;
        }
        self.seen = Some(version);
        false
    }

    /// What it is to be told next; none if it knows all.
    pub fn message(&mut self, roster: &Roster, reader: &Reader<'_>) -> Option<String> {
        let (text, told) = roster.message(self.told, reader);
        (self.told, self.has_more) = (told, text.is_some());
        text
    }
}
