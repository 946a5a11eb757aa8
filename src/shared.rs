//! Collections of which a clone takes next to no time and stays what it is while the original changes.
//!
//! The manager publishes its state after each turn, so what a state has must be shared between one state
//! and the next one, and a change must copy little of it.

mod sequence;
mod sorted;

pub use sequence::Sequence;
pub use sorted::{At, Sorted};
