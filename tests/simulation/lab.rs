//! What a simulation works with.

use fastrand::Rng;

use crate::definition::Book;
use crate::tally::Tally;

/// The book, the chance and the tally of one simulation.
pub struct Lab {
    /// What the documents are by definition.
    pub book: Book,
    /// All that is decided by chance is decided here.
    pub rng: Rng,
    /// What has happened.
    pub tally: Tally,
    traced: bool,
}

impl Lab {
    /// All that is needed for the simulation of a seed.
    pub fn new(seed: u64, traced: bool) -> Self {
        let (book, rng, tally) = (Book::new(), Rng::with_seed(seed), Tally::default());
        Self { book, rng, tally, traced }
    }

    /// Prints an event if a trace is wanted.
    pub fn note(&self, event: impl FnOnce(&Book) -> String) {
        if self.traced {
            println!("{}", event(&self.book));
        }
    }

    /// Whether what happens in so many of a hundred cases happens now.
    pub fn percent(&mut self, percent: u32) -> bool {
        self.rng.u32(0..100) < percent
    }
}
