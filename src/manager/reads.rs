//! What the manager answers at once: reads of the document, and of how things stand.

use super::Manager;
use super::handle::Event;
use super::state::{self, Reading, Snapshot, StateHash, Whole};
use crate::patch::PointerBuf;

impl Manager {
    pub(super) fn answer(&mut self, read: Event) {
        // Who asked may have gone: an answer that cannot be delivered is dropped.
        match read {
            Event::ReadSnapshot { pointer, reply } => {
                reply.send(self.read_snapshot(&pointer)).ok();
            }
            Event::ReadUpdate { known, reply } => {
                reply.send(self.read_update(known)).ok();
            }
            Event::ReadBasis { count, reply } => {
                reply.send(self.read_basis(count)).ok();
            }
            Event::ReadStateHash { reply } => {
                reply.send(self.read_state_hash()).ok();
            }
            Event::Submit { .. } | Event::Propose(_) => unreachable!("a submission is no read"),
        }
    }

    pub(super) fn read_part(&mut self, pointer: &PointerBuf) -> Option<Snapshot> {
        if pointer.is_root() {
            return Some(self.whole().snapshot.clone());
        }
        self.replica.snapshot().get(pointer).map(Snapshot::new)
    }

    fn read_snapshot(&mut self, pointer: &PointerBuf) -> Reading {
        let snapshot = self.read_part(pointer);
        let state = self.publisher.state();
        Reading { snapshot, vclock: state.vclock().clone(), length: state.length() }
    }

    fn read_state_hash(&mut self) -> Option<StateHash> {
        let settled = self.changed.elapsed() >= state::SETTLED_AFTER;
        let cheap = self.replica.snapshot().weight() <= state::CHEAP_WEIGHT;
        if self.whole.is_none() && !settled && !cheap {
            return None;
        }
        let state = self.whole().state.clone();
        Some(StateHash { clock: state::clock_hash(self.replica.vclock()), state })
    }

    pub(super) fn whole(&mut self) -> &Whole {
        let replica = &self.replica;
        self.whole.get_or_insert_with(|| Whole::new(replica.snapshot().root(), replica.vclock()))
    }
}
