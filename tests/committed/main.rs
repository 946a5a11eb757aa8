//! Commits, chains, segments and primaries by themselves: no journal, no replica, no network.
//!
//! [`chains`] compares a chain with its definition. [`world`] runs random histories of several nodes: at any
//! time what the pure parts make of what a node holds is what [`definition`] says, what was committed anywhere
//! stays where it is, and at the end all nodes have the same.
//!
//! Broken on purpose, these are found: a chain read forward instead of back; a prefix by Id one too short or too
//! long; a floor that goes back; void by the floor at a commit instead of before it; what is uncovered never
//! void; a commit that does not cover itself or its `After`; the later of two first commits; commits that leave
//! clocks; names forgotten with the clock; a void transaction that ends a prefix or makes it longer; a commit
//! that arrives before what it covers; a stream that stays open when its journal is another; a transaction below
//! the floor that is taken in again; a base without the first time of its branch; a fold that keeps what is of
//! no use; an epoch that is begun unheard or twice in a life. That commits share Ids with the
//! writes of the primary cannot be written: a commit is one by its source.
//!
//! `PATCHMESH_SEEDS` is the number of histories, or a range of seeds such as `3004..3005`.

mod chains;
mod definition;
mod node;
mod primary;
mod world;

use std::panic::catch_unwind;

use world::{Tally, World};

const SEEDS: u64 = 250;

fn seeds() -> std::ops::Range<u64> {
    let seeds = std::env::var("PATCHMESH_SEEDS").unwrap_or(SEEDS.to_string());
    let (from, to) = seeds.split_once("..").unwrap_or(("0", &seeds));
    let number = |text: &str| text.parse().expect("a number");
    number(from)..number(to)
}

#[test]
fn what_is_committed_stays_and_all_nodes_come_to_the_same() {
    let mut all = Tally::new();
    for seed in seeds() {
        let run = catch_unwind(|| World::new(seed).run());
        for (what, times) in run.unwrap_or_else(|_| panic!("seed {seed}")) {
            *all.entry(what).or_default() += times;
        }
    }
    println!("{all:?}");
    for what in ["commits", "epochs", "void", "dropped", "repeated", "forgotten", "healed"] {
        let is_short = seeds().count() < SEEDS as usize;
        assert!(is_short || all.get(what).is_some_and(|times| *times > 3), "no {what}: {all:?}");
    }
}
