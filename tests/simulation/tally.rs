//! What has happened in the simulations: what never happens is not tested.

use patchmesh::internals::replica::{Acceptance, Outcome};

macro_rules! tally {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// How often what has happened.
        #[derive(Clone, Debug, Default)]
        pub struct Tally {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl Tally {
            /// Adds another one.
            pub fn add(&mut self, other: &Self) {
                $(self.$name += other.$name;)*
            }

            /// What is there, by name.
            pub fn list(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name)),*]
            }
        }
    };
}

tally! {
    /// Calls of `accept` that were kept.
    turns,
    /// Transactions accepted, on each node.
    accepted,
    /// Transactions dropped as known.
    known,
    /// Fresh transactions that do not apply.
    refused,
    /// Transactions of which the time was too far ahead.
    early,
    /// Transactions that were applied and came to be skipped.
    newly_skipped,
    /// Transactions that were skipped and came to be applied.
    newly_applied,
    /// Forged transactions that were told.
    equivocations,
    /// Calls of `accept` that read the journal.
    journal_reads,
    /// Calls of `accept` that failed since the journal could not be read.
    unreadable,
    /// Calls of `accept` that were taken back.
    retracted,
    /// Changes of a document that were done to a copy of it.
    steps_followed,
    /// Times that a replica was written down.
    saved,
    /// Times that it was done as of a place before the end.
    saved_before_end,
    /// Starts from a journal.
    restarts,
    /// Streams that began.
    connections,
    /// Transactions in the end, with all nodes together counted once.
    transactions,
    /// Transactions of the same time as the one before in the history, but of another source.
    ties,
    /// Transactions that are skipped in the end.
    skipped,
    /// Transactions that are repeated in the end.
    repeated,
    /// Transactions of one name with different payloads that were told.
    contradictions,
}

impl Tally {
    /// Counts what a node has kept.
    pub fn count(&mut self, acceptance: &Acceptance) {
        self.turns += 1;
        for outcome in acceptance.outcomes.iter().flatten() {
            *match outcome {
                Outcome::Accepted(_) => &mut self.accepted,
                Outcome::Known { .. } => &mut self.known,
                Outcome::Refused(_) => &mut self.refused,
                Outcome::Early { .. } => &mut self.early,
                Outcome::Void => panic!("there are no commits"),
            } += 1;
        }
        self.newly_skipped += acceptance.changes.newly_skipped;
        self.newly_applied += acceptance.changes.newly_applied;
        self.equivocations += acceptance.equivocations.len() as u64;
        self.contradictions += acceptance.contradictions.len() as u64;
    }
}
