//! What changed, for those who keep a copy of the document.

use std::sync::Arc;

use super::{Event, Handle, Manager, Snapshot, Stopped};
use crate::clock::VectorClock;
use crate::replica::history::changes::Version;

/// More than this much of changes, and more than the document, is not worth sending.
const CHANGES_BYTES: u64 = 64 << 10;

/// What is known of a copy.
#[derive(Clone, Debug)]
pub enum Known {
    /// Nothing: there is none.
    Nothing,
    /// It is the document as it was when this had been seen.
    Clock(VectorClock),
    /// It is what an update led to.
    Version(Version),
}

/// What makes a copy the document as it is.
#[derive(Clone, Debug)]
pub struct Update {
    /// What to do.
    pub change: Change,
    /// What has been seen of every source.
    pub vclock: Arc<VectorClock>,
    /// What it leads to.
    pub version: Version,
}

/// What to do with a copy.
#[derive(Clone, Debug)]
pub enum Change {
    /// Replace it by this.
    Put(Snapshot),
    /// Apply these patches, JSON texts, in their order. They apply.
    Patches(Vec<Arc<str>>),
}

impl Handle {
    /// What makes a copy of which this is known the document as it is.
    ///
    /// # Errors
    /// If the node is stopping.
    pub async fn update(&self, known: Known) -> Result<Update, Stopped> {
        self.published.want_changes();
        self.ask(|reply| Event::ReadUpdate { known, reply }).await
    }
}

impl Manager {
    pub(super) fn read_update(&mut self, known: Known) -> Update {
        let vclock = self.publisher.state().vclock().clone();
        let weight = self.replica.snapshot().weight();
        let changes = self.replica.changes();
        let patches = match known {
            Known::Nothing => None,
            // Who has seen the same has the same document.
            Known::Clock(clock) => (clock.covers(&vclock) && vclock.covers(&clock)).then(Vec::new),
            Known::Version(version) => changes.since(version),
        };
        let version = changes.version();
        let is_worthwhile = |patches: &Vec<Arc<str>>| {
            let bytes: u64 = patches.iter().map(|patch| patch.len() as u64).sum();
            bytes <= CHANGES_BYTES.max(weight)
        };
        let change = match patches.filter(is_worthwhile) {
            Some(patches) => Change::Patches(patches),
            None => Change::Put(self.whole().snapshot.clone()),
        };
        Update { change, vclock, version }
    }
}
