//! The command line as a client, on real nodes: one file a command or a few that belong together.

#[allow(dead_code, unused_imports, reason = "each test target needs a part of it")]
#[path = "../harness/mod.rs"]
mod harness;

mod edit;
mod import;
mod once;
mod shell;
mod status;
mod transactions;
mod wait;
mod watch;
