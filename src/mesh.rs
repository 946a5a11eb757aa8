//! How nodes reach each other.
//!
//! A [`downstream`] sends this node's journal to whoever connects and only sends; an [`upstream`] dials a peer,
//! receives its journal and only receives. Neither knows the other. [`tree`] decides which of many links bring
//! transactions, by what all streams of a node tell its [`neighbours`]. [`websocket`] is what both ends do alike, and
//! [`named`] how both name each other in the log. What nodes tell of themselves is [`gossip`] of the [`members`], which
//! a [`roster`] has for all streams.

pub mod downstream;
pub mod gossip;
pub mod members;
pub mod named;
pub mod neighbours;
pub mod roster;
pub mod tree;
pub mod upstream;
pub mod websocket;
