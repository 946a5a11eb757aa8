//! Making a base, and replacing what it stands for.

use std::sync::Arc;

use super::Replica;
use super::base::Base;
use super::floor::Floor;

impl Replica {
    /// The base at the last commit whose hash was found to be right; none if there is no such commit, or this node
    /// has to take a base itself.
    pub fn base(&self) -> Option<Base> {
        let floor = self.history.verified().filter(|_| self.difference.is_none())?;
        Some(Base::of(floor))
    }

    /// Replaces all up to a floor at a commit, which was [verified](super::history::History::verified), by that floor.
    /// Returns whether it did: not if this node has to take a base, or the commit does not count any more.
    pub fn fold(&mut self, floor: &Arc<Floor>) -> bool {
        self.difference.is_none() && self.history.fold(floor)
    }
}
