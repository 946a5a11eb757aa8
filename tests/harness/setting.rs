//! Numbers that a test takes from its environment.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};

use fastrand::Rng;

/// The number in an environment variable; none if it is not set.
pub fn setting(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is a number, not {text:?}")))
}

/// The seeds that a test runs: `count` from 1 on. `PATCHMESH_SEEDS` is another count, `PATCHMESH_SEED` another first
/// seed, and without a count the only one.
pub fn seeds(count: u64) -> Range<u64> {
    let (first, count) = match (setting("PATCHMESH_SEED"), setting("PATCHMESH_SEEDS")) {
        (Some(seed), None) => (seed, 1),
        (first, seeds) => (first.unwrap_or(1), seeds.unwrap_or(count)),
    };
    first..first + count
}

/// Runs something for each seed, on all processors. Returns the least seed that fails, if one does; later ones need not
/// have been tried then.
pub fn first_failing(seeds: &Range<u64>, run: impl Fn(u64) + Sync) -> Option<u64> {
    let (next, end) = (AtomicU64::new(seeds.start), AtomicU64::new(seeds.end));
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= end.load(Ordering::Relaxed) {
                return;
            }
            if catch_unwind(AssertUnwindSafe(|| run(seed))).is_err() {
                end.fetch_min(seed, Ordering::Relaxed);
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    std::thread::scope(|scope| {
        for _ in 0..threads.min(seeds.end - seeds.start) {
            scope.spawn(work);
        }
    });
    let end = end.into_inner();
    (end < seeds.end).then_some(end)
}

/// The seed of a test that runs with another one each time. It is printed if the test fails.
pub struct Seed(u64);

impl Seed {
    /// That of `PATCHMESH_SEED`, or a random one.
    pub fn choose() -> Self {
        Self(setting("PATCHMESH_SEED").unwrap_or_else(|| fastrand::u64(..)))
    }

    /// A generator that begins with it.
    pub fn random(&self) -> Rng {
        Rng::with_seed(self.0)
    }
}

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("PATCHMESH_SEED={}", self.0);
        }
    }
}
