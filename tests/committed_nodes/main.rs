//! Committed history on real processes: nodes that fold what is final, join by a base and heal, while everyone
//! writes and everything breaks. One file a family of claims, each test one claim.
//!
//! The environment variable `PATCHMESH_SEED` says with which seed; a failure prints the seed. What happens follows
//! from the seed; when exactly, and so what becomes of it, also from the machine.

#[allow(dead_code, unused_imports, reason = "each test target needs a part of it")]
#[path = "../node"]
mod node {
    pub mod harness;
}
#[allow(dead_code, reason = "each test target needs a part of it")]
#[path = "../durable"]
mod durable {
    pub mod client;
    pub mod scratch;
}
#[allow(dead_code, reason = "each test target needs a part of it")]
#[path = "../chaos"]
mod chaos {
    pub mod link;
}
use chaos::link;
use durable::{client, scratch};
use node::harness;

mod absence;
mod healing;
mod joining;
mod kills;
mod load;
mod marks;
mod mesh;
mod plain;
mod promotion;
mod seed;
mod storm;
