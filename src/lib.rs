//! patchmesh: one JSON document, kept on several nodes at once.
//!
//! A write is a JSON Patch (RFC 6902) that any node takes at any time, also while it is cut off from the others.
//! Nodes exchange their journals over WebSocket, and nodes that have the same transactions have the
//! same document, byte for byte.
//!
//! # A node in a program of your own
//!
//! [`Node`], its [`Handle`], [`Document`] and [`Config`] are the public interface. The node does all that the
//! `patchmesh` command does: it answers HTTP, dials its peers, and keeps a journal in a directory, if it has one.
//!
//! ```
//! # fn main() -> Result<(), patchmesh::Error> {
//! use patchmesh::{Config, Node};
//!
//! // As on the command line: the address, the peers, flags.
//! let node = Node::start(Config::new(["127.0.0.1:0"])?)?;
//! let handle = node.handle();
//! smol::block_on(handle.patch(r#"[{"op":"add","path":"/dark","value":true}]"#))?;
//! assert_eq!(handle.document().to_string(), r#"{"dark":true}"#);
//! node.stop()
//! # }
//! ```
//!
//! `examples/embed.rs` runs two nodes that replicate.
//!
//! # Where things are
//!
//! The core is pure: no I/O, no wall clock, no randomness.
//!
//! - [`source`]: who created a transaction. [`clock`]: vector clock and hybrid logical clock.
//! - [`transaction`]: a transaction and its JSON encoding. [`names`]: sets of names.
//! - [`shared`]: collections that are cheap to clone. [`json_text`]: strings and numbers as JSON.
//! - [`commit`]: which part of the history is final.
//! - [`document`]: JSON values that are small and shared.
//! - [`patch`]: a JSON Patch applied whole or not at all, its inverse, its errors, its limits.
//! - [`replica`]: transactions in, outcomes out; the history, and the document that follows from it.
//!
//! Around it:
//!
//! - [`backoff`]: how long to wait between two attempts.
//! - [`blocking`]: work that holds up its thread.
//! - [`shutdown`]: how the parts learn that the node stops.
//! - [`fanout`]: tells many that something happened. [`locks`]: locks that go on after a panic.
//! - [`drops`]: frees large values on a thread of its own. [`histogram`]: how long something takes.
//! - [`journal`]: all accepted transactions, append-only.
//! - [`manager`]: the one task that owns replica and journal, and its [`manager::Handle`].
//! - [`query`]: all reading of the past, with one budget.
//! - [`stream`]: a connection, plain or by TLS. [`http`]: HTTP/1.1 as bytes. [`server`]: the loops over
//!   connections. [`routes`]: what each path does. [`tokens`]: who may do what.
//! - [`events`]: sends the document's changes to live readers.
//! - [`mesh`]: how nodes reach each other: the downstream sends the journal to each node that connects, the upstream
//!   receives the journal of a peer.
//! - [`node`]: puts the parts together. [`config`]: the command line. [`remote`]: asks running nodes over HTTP.
//! - [`client`]: the commands that talk to running nodes. [`maintenance`]: works on a data directory while no node
//!   runs on it. [`progress`]: shows the progress of long work.
//! - [`log_format`]: a line of the log. [`foreign`]: shows text from outside. [`duration_text`]: durations as text.
//! - [`program()`]: the `patchmesh` command. [`embed`]: a node within another program.
//!   `internals`: all of this, for tests and benchmarks.
//!
//! `docs/architecture.md` says how they work together, with the way of one write from node to node.
//!
//! # What always holds
//!
//! - The document is `{}` with the patches of the history applied in its order. A patch that does not apply is skipped
//!   whole, and of several transactions with one name only the first counts ([`replica::history`]).
//! - History up to a commit never changes, unless that changes which commits count ([`commit`]).
//! - A transaction is accepted at most once, by its stamp. Transactions that one source stamps are accepted in the
//!   order of their Ids, so that a clock says what a node has ([`replica::Replica::accept`],
//!   [`transaction::Transaction`]).
//! - The cost of a connection is bounded by this node, not by the other side: turns are counted in bytes and calls,
//!   and the output that waits is bounded ([`mesh::websocket`], [`server`]).
//! - All reading of the past goes through one module with a budget ([`query`]).
//! - Each line of the journal is checked before it is used or skipped ([`journal`]).
//! - A transaction is in the journal before it is acknowledged, shown or sent ([`manager`]).
//! - The manager treats the transactions of users and of peers alike ([`manager`]).
//! - Reads take the state that the manager published last, and never wait for it ([`manager::State`]).
//! - Every queue is bounded by a named constant, and every wait for another party by a time limit.
//!
//! # What is deliberately absent
//!
//! Users, rights to a part of the document, several documents, a leader or coordinator on the way of a write, and
//! rounding: a number stays as it was written, if 64 bits can hold it.

// The map above is for readers of the source: it links to private modules.
#![allow(rustdoc::private_intra_doc_links)]

mod backoff;
mod blocking;
mod client;
mod clock;
mod commit;
mod config;
mod document;
mod drops;
mod duration_text;
mod embed;
mod events;
mod fanout;
mod foreign;
mod histogram;
mod http;
#[cfg(feature = "internals")]
pub mod internals;
mod journal;
mod json_text;
mod locks;
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
mod shutdown;
mod source;
mod stream;
mod tokens;
mod transaction;

pub use embed::{Config, Document, Error, Handle, Node};
pub use program::program;
