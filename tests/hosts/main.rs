//! Nodes on hosts of their own, which are network namespaces, with links that are cut one way and both ways, and
//! with hosts that stop. Without the right to make namespaces (that is root's) and without iproute2 these tests say
//! that they are skipped.

#[allow(dead_code, unused_imports, reason = "each test target needs a part of it")]
#[path = "../harness/mod.rs"]
mod harness;

mod cuts;
mod frozen;
mod network;
mod writing;
