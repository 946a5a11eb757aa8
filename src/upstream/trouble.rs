//! What the log is told of one peer: a trouble once, not once a try, and again when it ends.

use std::mem::{Discriminant, discriminant};
use std::time::Duration;

use super::backoff::GOOD;
use super::end::End;
use crate::config::Peer;

/// The trouble with one peer.
pub struct Trouble<'a> {
    peer: &'a Peer,
    /// The kind that was told and has not ended yet.
    told: Option<Discriminant<End>>,
    /// Whether it ends with a connection. One that comes back as soon as there is a connection ends
    /// only with one that lasts.
    ends_with_connection: bool,
    connected_before: bool,
}

impl<'a> Trouble<'a> {
    /// No trouble yet.
    pub fn new(peer: &'a Peer) -> Self {
        Self { peer, told: None, ends_with_connection: true, connected_before: false }
    }

    /// A connection was made.
    pub fn connected(&mut self) {
        if self.told.is_some() && self.ends_with_connection {
            self.is_over();
        } else if !self.connected_before {
            log::info!("peer {}: connected", self.peer);
        }
        self.connected_before = true;
    }

    /// What was told has ended, if anything was.
    pub fn is_over(&mut self) {
        if self.told.take().is_some() {
            log::info!("peer {}: connected again", self.peer);
        }
    }

    /// A stream ended after it had `lasted`, zero where there was none. The next try is after `wait`.
    pub fn ended(&mut self, end: &End, lasted: Duration, wait: Duration) {
        let peer = self.peer;
        let kind = discriminant(end);
        self.ends_with_connection = lasted == Duration::ZERO || lasted >= GOOD;
        if self.told.replace(kind) == Some(kind) {
            log::debug!("peer {peer}: {end}; next try in {} ms", wait.as_millis());
        } else {
            log::warn!("peer {peer}: {end}; trying again until it works");
        }
    }
}
