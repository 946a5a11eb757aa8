//! The messages of a peer.

use async_tungstenite::tungstenite::{Bytes, Message};

use super::end::ReceivingEnd;
use crate::mesh::websocket::{Note, Pulse, SocketFault};
use crate::transaction::Transaction;

/// A message from a peer.
pub enum Incoming {
    /// A transaction.
    Transaction(Transaction),
    /// A message of version 2 of the wire.
    Note(Note),
    /// A ping, with the peer's state in it.
    Ping(Pulse),
    /// A pong, with the payload of the ping that it answers.
    Pong(Bytes),
    /// Any other message. It is ignored.
    Other,
}

/// Reads a message. Only a peer that `sends_notes` may send anything but transactions.
///
/// # Errors
/// If the stream has failed or is closed, or the message is not valid.
pub fn read(
    message: Result<Message, SocketFault>,
    sends_notes: bool,
) -> Result<Incoming, ReceivingEnd> {
    let message = match message? {
        Message::Text(text) => text.into(),
        // Some plain nodes send the text as binary.
        Message::Binary(bytes) => bytes,
        Message::Ping(payload) => return Ok(Incoming::Ping(Pulse::read(&payload))),
        Message::Pong(payload) => return Ok(Incoming::Pong(payload)),
        Message::Frame(_) => return Ok(Incoming::Other),
        Message::Close(frame) => return Err(ReceivingEnd::Closed(frame)),
    };
    Transaction::decode(&message).map(Incoming::Transaction).or_else(|error| {
        match Note::decode(&message).filter(|_| sends_notes) {
            Some(note) => note.map(Incoming::Note).map_err(ReceivingEnd::BadNote),
            None => Err(ReceivingEnd::Garbage(error)),
        }
    })
}
