//! Tests of the real binary: one file a family of claims, each test one claim.

mod access;
mod broadcast;
mod command;
mod descriptors;
mod ends;
mod exactly_once;
mod finality;
mod floods;
mod frames;
mod gossip;
#[allow(dead_code, unused_imports, reason = "each test target needs a part of it")]
#[path = "../harness/mod.rs"]
mod harness;
mod interface;
mod joining;
mod large_reads;
mod line;
mod membership;
mod metrics;
mod plain_nodes;
mod primaries;
mod restarts;
mod slow_reader;
mod strangers;
mod streams;
mod threads;
mod troubles;
mod two_nodes;
mod upgrade;
