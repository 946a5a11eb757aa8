//! How nodes reach each other.
//!
//! A [`downstream`] sends this node's journal to a reader. An [`upstream`] dials a peer and receives its
//! journal. Neither knows the other. The broadcast [`tree`] decides which of many links bring transactions;
//! all streams of a node report to it through the [`neighbours`]. [`websocket`] is what both ends of a stream
//! share, and [`named`] is how both name each other in the log. Nodes also send reports about themselves:
//! [`gossip`] makes them, [`members`] keeps the latest one of each node, and the [`roster`] shares these
//! between all streams.

pub mod downstream;
pub mod gossip;
pub mod members;
pub mod named;
pub mod neighbours;
pub mod roster;
pub mod tree;
pub mod upstream;
pub mod websocket;
