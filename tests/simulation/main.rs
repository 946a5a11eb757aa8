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

mod definition;
mod journal;
mod lab;
mod model;
mod network;
mod node;
mod patches;
mod scripts;
#[allow(dead_code, reason = "each test target needs a part of it")]
#[path = "../harness/setting.rs"]
mod setting;
mod tally;
mod world;

use std::sync::Mutex;

use setting::{first_failing, seeds};
use tally::Tally;

const SEEDS: u64 = 2000;

#[test]
fn nodes_that_have_heard_the_same_are_the_same() {
    let seeds = seeds(SEEDS);
    let count = seeds.end - seeds.start;
    let total = Mutex::new(Tally::default());
    let failed = first_failing(&seeds, |seed| {
        let tally = world::simulate(seed, count == 1);
        total.lock().expect("nobody panics with it").add(&tally);
    });
    if let Some(seed) = failed {
        panic!(
            "seed {seed} fails; once more, with a trace:\n\
             PATCHMESH_SEED={seed} cargo test --test simulation"
        );
    }
    let total = total.into_inner().expect("nobody panics with it").list();
    println!("{total:?}");
    for (name, times) in total {
        assert!(count < SEEDS || times >= count / 20, "{name}: what is rare is hardly tested");
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
