//! What happens under one seed.

/// The steps of a random history. They are printed, with the seed, if the test fails.
pub struct Story {
    seed: u64,
    steps: Vec<String>,
}

impl Story {
    pub fn new(seed: u64) -> Self {
        Self { seed, steps: Vec::new() }
    }

    pub fn push(&mut self, step: String) {
        self.steps.push(step);
    }
}

impl Drop for Story {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("under PATCHMESH_SEED={}:\n    {}", self.seed, self.steps.join("\n    "));
        }
    }
}
