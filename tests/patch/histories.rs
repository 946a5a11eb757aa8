//! Random patches on random documents do what a second implementation says, and leave no trace once
//! they are taken back.
//!
//! The second implementation, [`naive`](crate::naive), is written from the text of RFC 6902 and shares nothing with
//! the one that it checks, not even the reader: it takes a patch as JSON values. The fuzz target `patch` has the
//! same, and takes its choices from an input.
//!
//! Patches come in histories: a random document, and patches applied to it one after the other. Each
//! history has a seed, which is printed if something fails. Two variables choose what is run:
//! - `PATCHMESH_PATCHES`: how many patches; 200,000 if it is not set.
//! - `PATCHMESH_SEED`: the first history's seed, 1 if it is not set; the next one's is one more.

use patchmesh::internals::patch::Document;

use crate::check::check;
use crate::random::{Choices, Random};
use crate::setting::setting;

const PATCHES: u64 = 200_000;
const PATCHES_A_HISTORY: u64 = 50;

#[test]
fn random_patches_do_what_the_rfc_says_and_can_be_taken_back() {
    let patches = setting("PATCHMESH_PATCHES").unwrap_or(PATCHES);
    let seed = setting("PATCHMESH_SEED").unwrap_or(1);
    let seeds = seed..seed + patches.div_ceil(PATCHES_A_HISTORY);

    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let tally = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|worker| {
                let seeds = seeds.clone().skip(worker).step_by(threads);
                scope.spawn(|| seeds.map(history).fold(Tally::default(), Tally::plus))
            })
            .collect();
        workers
            .into_iter()
            .map(|worker| worker.join().expect("the worker has said what failed"))
            .fold(Tally::default(), Tally::plus)
    });
    println!("{tally:?}");
    // Where one of the two is rare, little was tried.
    let total = tally.applied + tally.refused;
    assert!(tally.applied.min(tally.refused) > total / 5, "{tally:?}");
}

#[derive(Debug, Default)]
struct Tally {
    applied: u64,
    refused: u64,
}

impl Tally {
    fn plus(self, other: Self) -> Self {
        Self { applied: self.applied + other.applied, refused: self.refused + other.refused }
    }
}

impl Choices for fastrand::Rng {
    fn below(&mut self, end: usize) -> usize {
        self.usize(..end)
    }
}

/// Says which history it was that failed.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let Self(seed) = self;
            eprintln!("once more: PATCHMESH_SEED={seed} PATCHMESH_PATCHES={PATCHES_A_HISTORY}");
        }
    }
}

fn history(seed: u64) -> Tally {
    let _seed = Seed(seed);
    let mut random = Random(fastrand::Rng::with_seed(seed));
    let mut document = Document::new(random.value(4)).unwrap();
    let mut tally = Tally::default();
    for _ in 0..PATCHES_A_HISTORY {
        let (patch, expected) = random.patch(&serde_json::to_value(document.root()).unwrap());
        if expected.is_ok() {
            tally.applied += 1;
        } else {
            tally.refused += 1;
        }
        check(&mut document, &patch, expected);
    }
    tally
}
