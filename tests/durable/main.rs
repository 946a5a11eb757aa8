//! Tests of what README promises under "Durability", on real processes, files and file systems: one
//! file a family of claims, each test one claim.
//!
//! The environment variable `PATCHMESH_KILLS` says how often nodes are killed (15 if it is not
//! set), `PATCHMESH_SEED` with which seed; a failure prints the seed. Tests that need root, `mount`,
//! `chattr` or `strace` say so and pass if they cannot have them.

#[allow(dead_code, unused_imports, reason = "each test target needs a part of it")]
#[path = "../harness/mod.rs"]
mod harness;

mod client;
mod damage;
mod directory;
mod failing_disk;
mod folded;
mod full_disk;
mod kills;
mod ledger;
mod maintenance;
mod old_copy;
mod process;
mod recovery;
mod wrong_clock;
