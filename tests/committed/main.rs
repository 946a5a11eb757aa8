//! Commits, chains, segments, bases and primaries: no network, no disk, no wall clock.
//!
//! [`chains`] compares a chain with its definition. [`world`] runs random histories of several nodes, each a
//! [`Replica`](patchmesh::internals::replica::Replica) with a journal: at any time a node is what [`definition`] says of what it
//! holds, byte for byte, whatever it has folded; what was committed anywhere stays where it is, as it is; and at the end
//! all nodes are the same.
//!
//! Broken on purpose, these are found: a commit that is applied before what it covers, in a node or on a stream;
//! "behind the base" by comparing whole clocks; an old transaction of a source that left the clock taken in again; a
//! stream that stays open over a fold, or when its node took a base, or that begins with what a base has left of the
//! journal; held commits kept after a base of another chain; a chain read forward instead of back; a base made at a
//! commit whose hash was not checked; a hash that is not compared; a floor that goes back; void by the floor at a
//! commit instead of before it; a floor that passes what a commit leaves; a prefix by Id one too short or too long; a
//! base with one transaction too few; a record dropped with its part of the journal that nobody else has, or commits
//! that may count again; a restart that takes a commit in with what comes after it in sight, or that does not see that
//! all was made anew; what a journal has twice counted twice, or kept behind later ones of its source; a base that is
//! stored elsewhere and forgets what was skipped; a start from a base without the Ids that the node has used; names
//! forgotten with the clock, or though something tentative has them; commits that leave clocks; what a commit lacks not
//! looked for; a base of a chain that loses; a commit passed in place though not in order, or though something is void;
//! a checkpoint that lacks a late transaction. That commits share Ids with the writes of the primary cannot be written:
//! a commit is one by its source.
//!
//! Two variables choose what is run:
//! - `PATCHMESH_SEED=123` runs this seed alone and prints what happens in it:
//!   `PATCHMESH_SEED=123 cargo test --test committed`
//! - `PATCHMESH_SEEDS=1000000` runs so many, from 1 on, or from `PATCHMESH_SEED` on if that is set too:
//!   `PATCHMESH_SEEDS=1000000 cargo test --release --test committed`

mod chains;
mod check;
mod definition;
mod journal;
mod node;
mod primary;
#[allow(dead_code, reason = "each test target needs a part of it")]
#[path = "../harness/setting.rs"]
mod setting;
mod world;

use std::sync::Mutex;

use setting::{first_failing, seeds};
use world::{Tally, World};

const SEEDS: u64 = 1000;

#[test]
fn what_is_committed_stays_and_all_nodes_come_to_the_same() {
    let seeds = seeds(SEEDS);
    let count = seeds.end - seeds.start;
    let total = Mutex::new(Tally::new());
    let failed = first_failing(&seeds, |seed| {
        let tally = World::new(seed, count == 1).run();
        let mut total = total.lock().expect("nobody panics with it");
        for (what, times) in tally {
            *total.entry(what).or_default() += times;
        }
    });
    if let Some(seed) = failed {
        panic!("seed {seed} fails; once more: PATCHMESH_SEED={seed} cargo test --test committed");
    }
    let total = total.into_inner().expect("nobody panics with it");
    println!("{total:?}");
    for what in ["commits", "epochs", "void", "dropped", "repeated", "forgotten", "bases taken"] {
        let is_often = total.get(what).is_some_and(|times| *times >= count / 20);
        assert!(count < SEEDS || is_often, "no {what}: {total:?}");
    }
}
