//! Which part of the history is final.
//!
//! One node, the *primary*, says so a little behind the present by [`Commit`]s, which are transactions like any
//! other: what the primary has up to here comes first, whatever else may come. All nodes get the same commits, and
//! the resulting order is a function of the set of transactions alone, in whatever order they arrived. Here are the
//! rules; `docs/architecture.md`, "Committed history", says why they are right.
//!
//! - *The order.* A commit's [`Segment`] is what it covers and none before it does. The history is ordered by
//!   ([`Segment`], [`Place`](crate::transaction::Place)): what no commit covers comes last.
//! - *The chain.* The commits of one source are a *branch*; the source says the epoch. [`Chain`] takes the branch
//!   of the greatest [`Rank`](chain::Rank), all of it, and goes back: the commit that the `After` of its first one
//!   names and those before that in *its* branch, and so on. All others are void.
//! - *The floor* is the greatest `Until` less `Horizon` of the chain so far. What is below it and not covered by
//!   then is void: without effect for ever, on all nodes. A source of which no commit since the floor has covered
//!   more is forgotten.
//!   [`Committed`] is what remains of the past.
//! - *The primary* makes the commit that [`Primary::next`] returns, if it is time for one.
//!
//! # Decisions
//!
//! - A commit covers the Ids of a source below the one in `Clock`, whether or not a commit before it said more;
//!   itself and those before it in its branch; its `After` and those before that in its branch. Only the
//!   *first* to cover counts, so it makes no difference whether a source has left the clock in between.
//! - Whether a transaction is void depends on the floor *before* the commit that covers it, or on the last floor if
//!   none does. Commits are never void because of their time.
//! - The names of one source are forgotten all at once, when the last commit that covered one of them first is a
//!   horizon below the floor: a client that repeats a request may use an older name than its last.
//! - A void transaction neither ends the prefix that a primary covers nor makes it longer. In the middle of one
//!   it is covered and stays void, since its time is below the floor before that commit.
//! - Of two commits with one stamp (a node goes on from an old copy of its journal) the first to arrive counts.
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
pub use primary::{LAG_MICROS, NoCommit, PeersHeard, Primary, hash_is_due};
