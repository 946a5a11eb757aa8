//! A base that a peer sends, from its first note to what became of it.
//!
//! A base is large, and several peers may send theirs at once to a node that lacks what they have folded
//! away. One of them is enough: there is room for one.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use smol::lock::{Semaphore, SemaphoreGuardArc};

use super::ReceivingEnd;
use crate::manager::{Handle, Taken};
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

/// The bases of one stream.
pub struct Joining {
    peer: String,
    room: Room,
    assembler: Assembler,
    /// Held while a base is under way or being taken.
    place: Option<SemaphoreGuardArc>,
    /// One that is complete and waits for the transactions before it.
    arrived: Option<Arrived>,
    /// When something of it came.
    heard: Instant,
}

/// A base that is being taken.
pub type Taking = Pin<Box<dyn Future<Output = Result<Taken, ReceivingEnd>> + Send>>;

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

    /// Whether a base has begun to come and is not complete.
    pub fn is_under_way(&self) -> bool {
        self.assembler.is_under_way()
    }

    /// Whether nothing has come of one that is under way for so long that others are to have its room.
    pub fn is_stuck(&self) -> bool {
        self.is_under_way() && self.heard.elapsed() >= SILENCE_LIMIT
    }

    /// Whether one is complete and waits.
    pub fn has_arrived(&self) -> bool {
        self.arrived.is_some()
    }

    /// Takes in a note.
    ///
    /// # Errors
    /// If there is no room for a base, or what came is none.
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

    /// Begins to take the base that has arrived, if one has.
    pub fn begin_taking(&mut self, handle: &Handle) -> Option<Taking> {
        let arrived = self.arrived.take()?;
        let (handle, peer, place) = (handle.clone(), self.peer.clone(), self.place.take());
        Some(Box::pin(async move {
            let _place = place;
            // To read a large document takes a while.
            let base =
                smol::unblock(move || arrived.read()).await.map_err(ReceivingEnd::BadBase)?;
            Ok(handle.take_base(base, peer).await?)
        }))
    }
}
