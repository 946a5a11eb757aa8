//! What the log is told of one peer: a trouble once, not once a try, and again when it ends.

use std::mem::{Discriminant, discriminant};
use std::time::Duration;

use super::ITSELF;
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
    told_itself: bool,
}

impl<'a> Trouble<'a> {
    /// No trouble yet.
    pub fn new(peer: &'a Peer) -> Self {
        Self {
            peer,
            told: None,
            ends_with_connection: true,
            connected_before: false,
            told_itself: false,
        }
    }

    /// A connection was made. Says whether that ends the trouble, if there was any.
    pub fn connected(&mut self) -> bool {
        let is_over = self.told.is_none() || self.ends_with_connection;
        if is_over {
            self.is_over();
        }
        if !self.connected_before {
            log::info!("peer {}: connected", self.peer);
        }
        self.connected_before = true;
        is_over
    }

    /// What was told has ended, if anything was.
    pub fn is_over(&mut self) {
        if self.told.take().is_some() && self.connected_before {
            log::info!("peer {}: connected again", self.peer);
        }
    }

    /// The peer is this node.
    pub fn is_itself(&mut self) {
        if !std::mem::replace(&mut self.told_itself, true) {
            log::warn!("peer {}: {ITSELF}", self.peer);
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
