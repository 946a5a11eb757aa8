//! What is decided before a simulation begins.

use fastrand::Rng;
use patchmesh::internals::replica::Bounds;

/// A minute in microseconds.
pub const MINUTE_MICROS: u64 = 60_000_000;

/// A day in minutes.
const DAY_MINUTES: u64 = 24 * 60;

/// What is the same for the whole of a simulation.
pub struct Plan {
    /// Transactions that are yet to be created.
    pub writes: usize,
    /// How many of them are created at once at most.
    pub burst: usize,
    /// How coarse the wall clocks are.
    pub quantum_micros: u64,
    /// How much time passes at most from one step to the next.
    pub pace_micros: u64,
    /// How far wall clocks are off at most.
    pub skew_micros: u64,
    /// Of how many of a thousand steps something goes wrong.
    pub faults: u32,
}

impl Plan {
    /// A random plan.
    pub fn new(rng: &mut Rng) -> Self {
        let writes = match rng.u32(0..20) {
            0..10 => rng.usize(3..30),
            10..19 => rng.usize(30..100),
            _ => rng.usize(100..300),
        };
        let skew_minutes = [0, 0, 1, 5, 5, 5, 180, 480, 400 * DAY_MINUTES][rng.usize(0..9)];
        Self {
            writes,
            burst: [1, 5, 40][rng.usize(0..3)],
            quantum_micros: [1, 1, 1000, MINUTE_MICROS][rng.usize(0..4)],
            pace_micros: [2, 1000, 100_000, MINUTE_MICROS][rng.usize(0..4)],
            skew_micros: skew_minutes * MINUTE_MICROS,
            faults: [0, 10, 30, 70][rng.usize(0..4)],
        }
    }

    /// How far off a wall clock is.
    pub fn clock_error(&self, rng: &mut Rng) -> i64 {
        let skew = i64::try_from(self.skew_micros).expect("it is a year or so");
        // By little or by much, and mostly not at all if that is so much that nobody hears it.
        match rng.u32(0..4) {
            0 => rng.i64(-skew..=skew),
            1 => rng.i64(-skew..=skew) / 1000,
            _ if self.skew_micros > 24 * 60 * MINUTE_MICROS => 0,
            _ => rng.i64(-skew..=skew),
        }
    }
}

/// How much a node keeps in memory: mostly next to nothing, so that a little is much.
pub fn bounds(rng: &mut Rng) -> Bounds {
    if rng.u32(0..6) == 0 {
        return Bounds::default();
    }
    let greatest_recent = [1, 4, 30, 300][rng.usize(0..4)];
    Bounds {
        recent_transactions: rng.usize(0..greatest_recent),
        recent_bytes: if rng.u32(0..5) == 0 { rng.u64(0..2000) } else { 1 << 20 },
        checkpoints: rng.usize(0..5),
        checkpoint_bytes: if rng.u32(0..4) == 0 { rng.usize(0..600) } else { 1 << 20 },
        checkpoint_spacing: [1, 2, rng.u64(1..17), 50][rng.usize(0..4)],
        skipped_listed: 1 << 20,
    }
}
