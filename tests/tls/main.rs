//! Nodes that speak TLS, with certificates that are made for each test: what is kept from others, which peers are refused,
//! and that the operator of a node is told why and what to do.

#[allow(dead_code, unused_imports, reason = "each test target needs a part of it")]
#[path = "../harness/mod.rs"]
mod harness;

mod certificates;
mod client;
mod files;
mod refusals;
mod replication;
mod streams;
