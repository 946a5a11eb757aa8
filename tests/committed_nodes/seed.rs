//! Which random numbers a test has.

use fastrand::Rng;

/// Prints the seed if a test fails.
pub struct Seed(u64);

impl Seed {
    /// That of the environment, or another one each time.
    pub fn choose() -> Self {
        let text = std::env::var("PATCHMESH_SEED").ok();
        let number = |text: String| {
            text.parse().unwrap_or_else(|_| panic!("PATCHMESH_SEED is a number, not {text:?}"))
        };
        Self(text.map_or_else(|| fastrand::u64(..), number))
    }

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
