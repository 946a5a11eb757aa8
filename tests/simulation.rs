//! Nodes that have accepted the same transactions have the same document, whatever happened on the way.
//!
//! A deterministic simulation of 2 to 7 nodes, each a [`Replica`](patchmesh::internals::replica::Replica) with a
//! journal: no sockets, no threads, and a clock of its own. All that happens follows from a seed:
//! topologies, patches that are in each other's way, streams that delay, break, repeat and resume,
//! clocks that are wrong and step, full disks, crashes.
//!
//! What a node must be is computed a second time, in the simplest way, from the definition; after
//! every step the node is compared to that, and in the end all nodes to each other.
//!
//! Where a seed fails, it is printed. Two variables choose what is run:
//! - `PATCHMESH_SEED=123` runs this seed alone and prints what happens in it:
//!   `PATCHMESH_SEED=123 cargo test --test simulation`
//! - `PATCHMESH_SEEDS=1000000` runs so many, from 1 on, or from `PATCHMESH_SEED` on if that is set
//!   too: `PATCHMESH_SEEDS=1000000 cargo test --release --test simulation`

#[path = "simulation/definition.rs"]
mod definition;
#[path = "simulation/journal.rs"]
mod journal;
#[path = "simulation/lab.rs"]
mod lab;
#[path = "simulation/model.rs"]
mod model;
#[path = "simulation/network.rs"]
mod network;
#[path = "simulation/node.rs"]
mod node;
#[path = "simulation/patches.rs"]
mod patches;
#[path = "simulation/scripts.rs"]
mod scripts;
#[path = "simulation/tally.rs"]
mod tally;
#[path = "simulation/world.rs"]
mod world;

use std::panic::catch_unwind;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use tally::Tally;

const SEEDS: u64 = 2000;

#[test]
fn nodes_that_have_heard_the_same_are_the_same() {
    let setting = |name: &str| {
        std::env::var(name).ok().map(|text| text.parse::<u64>().expect("the variable is a number"))
    };
    let (first, seeds) = match (setting("PATCHMESH_SEED"), setting("PATCHMESH_SEEDS")) {
        (Some(seed), None) => (seed, 1),
        (first, seeds) => (first.unwrap_or(1), seeds.unwrap_or(SEEDS)),
    };
    let next = AtomicU64::new(first);
    let end = AtomicU64::new(first + seeds);
    let total = Mutex::new(Tally::default());
    let work = || {
        let mut tally = Tally::default();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= end.load(Ordering::Relaxed) {
                break;
            }
            match catch_unwind(|| world::simulate(seed, seeds == 1)) {
                Ok(one) => tally.add(&one),
                // No later one need be tried; one before it may still fail.
                Err(_) => drop(end.fetch_min(seed, Ordering::Relaxed)),
            }
        }
        total.lock().expect("nobody panics with it").add(&tally);
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads.min(usize::try_from(seeds).unwrap_or(usize::MAX)) {
            scope.spawn(work);
        }
    });

    let failed = end.into_inner();
    assert!(
        failed == first + seeds,
        "seed {failed} fails; once more, with a trace:\n\
         PATCHMESH_SEED={failed} cargo test --test simulation"
    );
    let total = total.into_inner().expect("nobody panics with it").list();
    println!("{total:?}");
    for (name, count) in total {
        assert!(seeds < SEEDS || count >= seeds / 20, "{name}: what is rare is hardly tested");
    }
}

/// What the scripts print is written into them if `PATCHMESH_REWRITE` is set.
#[test]
fn histories_end_as_their_scripts_say() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/simulation");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).expect("the folder is there") {
        let path = entry.expect("the folder can be read").path();
        if path.extension().is_none_or(|extension| extension != "txt") {
            continue;
        }
        let script = std::fs::read_to_string(&path).expect("the script can be read");
        let rewritten = scripts::rewrite(&script);
        if std::env::var_os("PATCHMESH_REWRITE").is_some() {
            std::fs::write(&path, rewritten).expect("the script can be written");
        } else {
            let differs = script.lines().zip(rewritten.lines()).find(|(said, is)| said != is);
            assert_eq!(differs, None, "{}: what is said, and what is", path.display());
            assert_eq!(script, rewritten, "{}", path.display());
        }
        count += 1;
    }
    assert_eq!(count, 7, "scripts");
}
