//! The journal and the data directory, without the sockets around them: one file a family of claims, each test one
//! claim.
//!
//! `PATCHMESH_SEEDS=1000` runs as many random histories in each test that has some, `PATCHMESH_SEED=7` that one.
//!
//! No test here may start a process: between fork and exec it would hold the locks of the directories that other
//! tests have open, and those could not be opened again at once. Such tests are in `tests/durable`.

mod crash;
mod damage;
mod directory;
mod node;
mod reading;
mod recovery;
mod segments;
#[allow(dead_code, reason = "each test target needs a part of it")]
#[path = "../harness/setting.rs"]
mod setting;
mod story;
mod tampering;
#[path = "../harness/temporary.rs"]
mod temporary;
mod thread_log;
