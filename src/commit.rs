//! Which part of the history is final.
//!
//! One node, the *primary*, says so a little behind the present by [`Commit`]s, which are transactions like any
//! other: what I have up to here comes first, whatever else may come. All nodes get the same ones, and what they
//! make of them is a function of the set of transactions alone, in whatever order they came. Here are the rules;
//! `docs/architecture.md`, "Committed history", says why they are right.
//!
//! - *The order.* What a commit covers and none before it is its [`Segment`]. The history is ordered by
//!   ([`Segment`], [`Place`](crate::transaction::Place)): what no commit covers comes last.
//! - *The chain.* The commits of one source are a *branch*; the source says the epoch. [`Chain`] takes the branch
//!   of the greatest [`Rank`](chain::Rank), that whole, and goes back: what the `After` of its first commit names and those
//!   before it in *that* branch, and so on. All others are void.
//! - *The floor* is the greatest `Until` less `Horizon` of the chain so far. What is below it and not covered by
//!   then is void: without effect for ever, on all nodes. A source of which no commit since the floor has covered
//!   more is forgotten.
//!   [`Committed`] is what remains of the past.
//! - *The primary* makes the commit that [`Primary::next`] says, if it is time for one.
//!
//! # Decisions
//!
//! - A commit covers the Ids of a source below the one in `Clock`, whether or not a commit before it said more;
//!   itself and those before it in its branch; its `After` and those before that in its branch. Only who covers
//!   *first* counts, so it makes no difference whether a source has left the clock in between.
//! - Whether a transaction is void is asked of the floor *before* the commit that covers it, and of the last
//!   floor if none does. Commits are never void for their time.
//! - The names of one source are forgotten all at once, when the last commit that covered one of them first is a
//!   horizon below the floor: a client that asks again may use an older name than its last.
//! - A void transaction neither ends the prefix that a primary covers nor makes it longer. In the middle of one
//!   it is covered and stays void, since its time is below the floor before that commit.
//! - Of two commits with one stamp (a node goes on from an old copy of its journal) the first to come counts.
//! - A chain that does not contain the base is *outside* it. Then nothing after the base is covered, until the
//!   node has taken another base.

mod chain;
mod committed;
mod coverage;
mod primary;

pub use crate::transaction::Commit;
pub use chain::{Chain, ChainChange, PlacedCommit, Segment};
pub use committed::{Committed, Covered, Forgotten};
#[cfg(feature = "internals")]
pub use primary::COMMIT_INTERVAL_MICROS;
pub use primary::{PeersHeard, LAG_MICROS, Primary, NoCommit, hash_is_due};
