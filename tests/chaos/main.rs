//! Three real nodes whose links break and hang, which are frozen, killed and started again while
//! everyone writes; and at the end, equality.
//!
//! The environment variable `PATCHMESH_CHAOS_SECONDS` says how long a storm lasts (6 if it is not
//! set), `PATCHMESH_SEED` with which seed; a failure prints the seed. What happens follows from the
//! seed; when exactly, and so what becomes of it, also from the machine.

#[allow(dead_code, reason = "each test target needs a part of it")]
#[path = "../durable/client.rs"]
mod client;
#[allow(dead_code, unused_imports, reason = "each test target needs a part of it")]
#[path = "../harness/mod.rs"]
mod harness;

mod cluster;
mod fold;
mod link;
mod partitions;
mod storms;
mod writer;
