//! Which part of the history is final.
//!
//! Without commits the history is ordered by time alone, and a late arrival can still go anywhere in it. So
//! one node, the *primary*, says a little behind the present: what I have up to here comes first, whatever else
//! may come. Such a statement is a [`Commit`], a transaction like any other. All nodes get the same ones, and
//! what they make of them is a function of the set of transactions alone, in whatever order they came.
//!
//! # The order
//!
//! Number the commits that count 0, 1, 2 and so on. *Segment k* is what commit k covers and none before it:
//!
//! ```text
//!     segment 0            segment 1            segment 2       not covered: tentative
//!   a1   b1   a2    |    c1   b2   a3    |     d1   a4     |    b3   e1
//!                commit 0             commit 1          commit 2
//! ```
//!
//! The history is ordered by ([`Segment`], [`Place`](crate::transaction::Place)): by segment, then by time,
//! stamping source and Id; and what no commit covers comes last. In the drawing `d1` may be older than `a1`: it
//! reached the primary after commit 1.
//!
//! **Theorem.** History up to a commit never changes by what arrives later, unless that changes which commits
//! count. *Argument.* A commit covers of each source a prefix of its Ids, and the primary had these prefixes
//! when it made the commit. A source sends its transactions in the order of their Ids, and journals are passed
//! on in their order; so in every journal a commit stands behind all that it covers, except what is void. What
//! arrives after a commit is therefore not covered by it, nor by one before it, and comes after it.
//!
//! # Which commits count
//!
//! There may be several primaries: by mistake, or since one was promoted while the old one lives. The commits
//! of one source are a *branch*; the source says the epoch. [`Chain`] takes the branch of the greatest epoch, of
//! several the one whose first commit has the lesser (time, source), and that whole. Then it goes back: what the
//! `After` of the branch's first commit names and those before it in *that* branch, and so on. All others are
//! void. It goes back since a primary that begins an epoch says by `After` what it builds on, and nobody can say
//! what will be built on.
//!
//! # The floor
//!
//! Sources come and go, and a clock that lists all that ever wrote grows for ever. So there is a *floor*: the
//! greatest `Until` less `Horizon` of the chain so far. What is below it and not covered by then is void:
//! skipped for ever, on all nodes. A source that was last heard below the floor can be forgotten, since whatever
//! it sends again is dropped for its time. [`Committed`] is what remains of the past.
//!
//! # Decisions
//!
//! - A commit covers the Ids of a source below the one in `Clock`, whether or not a commit before it said more;
//!   itself and those before it in its branch; its `After` and those before that in its branch. Only who covers
//!   *first* counts, so it makes no difference whether a source has left the clock in between.
//! - Whether a transaction is void is asked of the floor *before* the commit that covers it, and of the last
//!   floor if none does. Commits are never void for their time.
//! - The names of one source are forgotten all at once, when the last one that counts is a horizon below the
//!   floor: a client that asks again may use an older name than its last.
//! - A void transaction neither ends the prefix that a primary covers nor makes it longer. In the middle of one
//!   it is covered and stays void, since its time is below the floor before that commit.
//! - Of two commits with one stamp (a node goes on from an old copy of its journal) the first to come counts.
//! - A chain that does not contain the base is *outside* it. Then nothing after the base is covered, until the
//!   node has taken another base.
//!
//! # What a clock cannot tell
//!
//! If two chains were apart for longer than a horizon, a node may have dropped a transaction for the floor of
//! the one that then loses, and may have taken in later ones of that source. Its clock says that it has all. Only
//! the hash of a commit shows that it has not; it then takes a base, and what it dropped is void for good.

mod chain;
mod committed;
mod coverage;
mod primary;

pub use crate::transaction::Commit;
pub use chain::{Chain, Change, PlacedCommit, Rank, Segment};
pub use committed::{Committed, Covered, Forgotten};
pub use primary::{COMMIT_INTERVAL_MICROS, Heard, LAG_MICROS, Primary, Silence, hash_is_due};
