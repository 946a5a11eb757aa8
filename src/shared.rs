//! Collections that are cloned in next to no time. A clone stays what it is while the original changes.
//!
//! The manager publishes its state after each turn. So one state must share its content with the next one,
//! and a change must copy little.

mod sequence;
mod sorted;

pub use sequence::Sequence;
pub use sorted::{At, Sorted};
