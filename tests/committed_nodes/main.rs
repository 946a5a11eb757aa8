//! Committed history on real processes: nodes that fold what is final, join by a base and heal, while everyone
//! writes and everything breaks. One file a family of claims, each test one claim.
//!
//! The environment variable `PATCHMESH_SEED` says with which seed; a failure prints the seed. What happens follows
//! from the seed; when exactly, and so what becomes of it, also from the machine.

#[allow(dead_code, reason = "each test target needs a part of it")]
#[path = "../durable/client.rs"]
mod client;
#[allow(dead_code, unused_imports, reason = "each test target needs a part of it")]
#[path = "../harness/mod.rs"]
mod harness;
#[allow(dead_code, reason = "each test target needs a part of it")]
#[path = "../chaos/link.rs"]
mod link;

mod absence;
mod healing;
mod joining;
mod kills;
mod load;
mod marks;
mod mesh;
mod plain;
mod promotion;
mod storm;
