//! A base from a peer, from its first note until this node has taken it.
//!
//! A base is large, and several peers may send theirs at once to a node that lacks what they have folded
//! away. One is enough, so there is room for one.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use smol::lock::{Semaphore, SemaphoreGuardArc};

use super::ReceivingEnd;
use crate::blocking::unblock;
use crate::manager::{BaseOutcome, Handle};
use crate::mesh::websocket::transfer::{Arrived, Assembler};
use crate::mesh::websocket::{Note, SILENCE_LIMIT};

/// Room for one base at a time, for all upstreams of a node.
#[derive(Clone, Debug)]
pub struct Room(Arc<Semaphore>);

impl Default for Room {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(1)))
    }
}

/// The bases that one stream brings.
pub struct Joining {
    peer: String,
    room: Room,
    assembler: Assembler,
    /// Held while a base arrives and is taken.
    place: Option<SemaphoreGuardArc>,
    /// A complete base that waits for the transactions before it to be settled.
    arrived: Option<Arrived>,
    /// When the last part of it came.
    heard: Instant,
}

/// The work of taking a base.
pub type Taking = Pin<Box<dyn Future<Output = Result<BaseOutcome, ReceivingEnd>> + Send>>;

impl Joining {
    /// Nothing has come from the peer yet.
    pub fn new(peer: String, room: Room) -> Self {
        Self {
            peer,
            room,
            assembler: Assembler::default(),
            place: None,
            arrived: None,
            heard: Instant::now(),
        }
    }

    /// Whether a base has begun to arrive and is not complete.
    pub fn is_under_way(&self) -> bool {
        self.assembler.is_under_way()
    }

    /// Whether a base has not gone on for so long that other peers should get its room.
    pub fn is_stuck(&self) -> bool {
        self.is_under_way() && self.heard.elapsed() >= SILENCE_LIMIT
    }

    /// Whether a complete base waits.
    pub fn has_arrived(&self) -> bool {
        self.arrived.is_some()
    }

    /// Takes in a note.
    ///
    /// # Errors
    /// If there is no room for a base, or the note is not valid here.
    pub fn take(&mut self, note: Note) -> Result<(), ReceivingEnd> {
        self.heard = Instant::now();
        if let Note::Base(summary) = &note
            && self.place.is_none()
        {
            let place = self.room.0.try_acquire_arc().ok_or(ReceivingEnd::NoRoom)?;
            self.place = Some(place);
            let (peer, bytes) = (&self.peer, summary.bytes.unwrap_or_default());
            log::info!(
                "peer {peer}: what this node lacks was folded away; takes a base with a document of {bytes} \
                 bytes"
            );
        }
        self.arrived = self.assembler.take(note).map_err(ReceivingEnd::BadBase)?;
        Ok(())
    }

    /// Begins to take the complete base, if there is one.
    pub fn begin_taking(&mut self, handle: &Handle) -> Option<Taking> {
        let arrived = self.arrived.take()?;
        let (handle, peer, place) = (handle.clone(), self.peer.clone(), self.place.take());
        Some(Box::pin(async move {
            let _place = place;
            // Reading a large document takes a while.
            let base = unblock(move || arrived.read()).await.map_err(ReceivingEnd::BadBase)?;
            Ok(handle.take_base(base, peer).await?)
        }))
    }
}
