//! patchmesh: one JSON document, kept on several nodes at once.
//!
//! A write is a JSON Patch (RFC 6902) that any node takes at any time, also while it is cut off.
//! Nodes exchange their journals over WebSocket, and nodes that have the same transactions have the
//! same document, byte for byte.
//!
//! # A node in a program of your own
//!
//! [`Node`], its [`Handle`], [`Document`] and [`Config`] are all that the library shows. The node does all that the command's does:
//! it answers HTTP, dials its peers, and keeps a journal if it is told where.
//!
//! ```
//! # fn main() -> Result<(), patchmesh::Error> {
//! use patchmesh::{Config, Node};
//!
//! // What the command line would say: the address, the peers, flags.
//! let node = Node::start(Config::new(["127.0.0.1:0"])?)?;
//! let handle = node.handle();
//! smol::block_on(handle.patch(r#"[{"op":"add","path":"/dark","value":true}]"#))?;
//! assert_eq!(handle.document().to_string(), r#"{"dark":true}"#);
//! node.stop()
//! # }
//! ```
//!
//! `examples/embed.rs` has two that replicate.
//!
//! # Where things are
//!
//! The core is pure: no I/O, no wall clock, no randomness.
//!
//! - [`source`]: who created a transaction. [`clock`]: vector clock and hybrid logical clock.
//! - [`transaction`]: a transaction and its JSON encoding. [`names`]: sets of names.
//! - [`shared`]: collections of which a clone takes next to no time.
//! - [`commit`]: which part of the history is final.
//! - [`document`]: JSON values that are small and shared.
//! - [`patch`]: a JSON Patch applied whole or not at all, its inverse, its errors, its limits.
//! - [`replica`]: transactions in, outcomes out; the history, and the document that follows from it.
//!
//! Around it:
//!
//! - [`backoff`]: how long to wait between two tries.
//! - [`fanout`]: tells many that something happened.
//! - [`drops`]: frees what is large on a thread of its own. [`histogram`]: how long something takes.
//! - [`journal`]: all accepted transactions, append-only.
//! - [`manager`]: the one task that owns replica and journal, and the [`manager::Handle`] by which all
//!   others reach it.
//! - [`query`]: all reading of the past, with one budget.
//! - [`stream`]: a connection, plain or by TLS. [`http`]: HTTP/1.1 as bytes. [`server`]: the loops over
//!   connections. [`routes`]: what each path does. [`tokens`]: who may do what.
//! - [`events`]: sends the document's changes to whoever reads live.
//! - [`mesh`]: how nodes reach each other: one half sends the journal to whoever connects, the other one
//!   receives a peer's.
//! - [`remote`]: asks running nodes over HTTP. [`config`]: the command line. [`node`]: puts the parts together. [`client`]: the command line
//!   as a client of running nodes. [`maintenance`]: what can be done
//!   with a data directory while no node runs on it. [`foreign`]: text from outside, as it is shown.
//!   [`log_format`]: a line of the log. [`progress`]: how far something is that takes long.
//! - [`program()`]: the `patchmesh` command. [`embed`]: a node within another program.
//!   `internals`: all of this, for tests and benchmarks.
//!
//! `docs/architecture.md` says how they work together, with the way of one write from node to node.
//!
//! # What always holds
//!
//! - The document is `{}` with the patches of the history applied in its order, where a patch that does
//!   not apply is skipped whole, and of several transactions of one name only the first counts
//!   ([`replica::history`]).
//! - History up to a commit never changes, unless that changes which commits count ([`commit`]).
//! - A transaction is accepted at most once, by its stamp; and those that one source stamps in the order
//!   of their Ids, so that a clock says what a node has ([`replica::Replica::accept`],
//!   [`transaction::Transaction`]).
//! - What one connection costs is bounded by this node, not by the other side: turns are counted in bytes
//!   and calls, what waits to be written is bounded ([`mesh::websocket`], [`server`]).
//! - All reading of the past goes through one door with a budget ([`query`]).
//! - No line of the journal is passed over unchecked ([`journal`]).
//! - What is acknowledged, shown or sent is in the journal ([`manager`]).
//! - For the manager a user's transaction and a peer's are the same ([`manager`]).
//! - Reads take the state that the manager published last, and never ask it ([`manager::State`]).
//! - Every queue is bounded by a named constant and every wait for somebody else by a time limit.
//!
//! # What is deliberately absent
//!
//! Users, and rights to a part of the document, several documents, a leader or any coordinator on the way of a write,
//! and rounding: a number is what was written, as far as 64 bits hold it.

// The map above is for those who read the source: it leads to private modules.
#![allow(rustdoc::private_intra_doc_links)]

mod backoff;
mod client;
mod clock;
mod commit;
mod config;
mod document;
mod drops;
mod embed;
mod events;
mod fanout;
mod foreign;
mod histogram;
mod http;
#[cfg(feature = "internals")]
pub mod internals;
mod journal;
mod log_format;
mod maintenance;
mod manager;
mod mesh;
mod names;
mod node;
mod patch;
mod program;
mod progress;
mod query;
mod remote;
mod replica;
mod routes;
mod server;
mod shared;
mod source;
mod stream;
mod tokens;
mod transaction;

pub use embed::{Config, Document, Error, Handle, Node};
pub use program::program;
