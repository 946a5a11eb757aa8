//! What the manager answers at once: reads of the document, and of how things stand.

use std::sync::Arc;

use super::handle::{Counters, Event};
use super::state::{self, Reading, Snapshot, StateHash, Whole};
use super::{Manager, wall_clock};
use crate::clock::VectorClock;
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
            Event::ReadWindow { from, most, bytes, reply } => {
                reply.send(self.read_window(from, most, bytes)).ok();
            }
            Event::ReadStateHash { reply } => {
                reply.send(self.read_state_hash()).ok();
            }
            Event::ReadSkipped { from, most, reply } => {
                reply.send(self.read_skipped(from, most)).ok();
            }
            Event::ReadStandings { of, reply } => {
                reply.send(self.read_standings(&of)).ok();
            }
            Event::ReadVclock { reply } => {
                reply.send(self.vclock()).ok();
            }
            Event::ReadHas { source, id, reply } => {
                let by_stamp = self.replica.vclock().has_seen(&source, id);
                reply.send(by_stamp || self.replica.is_known(&source, id)).ok();
            }
            Event::ReadStamps { reply } => {
                reply.send(self.replica.vclock().clone()).ok();
            }
            Event::ReadCounters { reply } => {
                let counters = Counters {
                    skipped: self.replica.history().skipped_count(),
                    repeated: self.replica.history().repeated_count(),
                    ahead_micros: self.replica.ahead_micros(wall_clock()),
                    document_weight: self.replica.snapshot().weight(),
                    sources: self.replica.vclock().sources() as u64,
                    ..self.counters
                };
                reply.send(counters).ok();
            }
            Event::Subscribe { growth } => {
                // If nothing grows, those that left are not noticed otherwise.
                self.subscribers.retain(|subscriber| !subscriber.is_closed());
                // The journal may have grown since it was asked for.
                growth.try_send(()).ok();
                self.subscribers.push(growth);
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
        Reading { snapshot, vclock: self.vclock(), length: self.replica.history().length() }
    }

    pub(super) fn vclock(&mut self) -> Arc<VectorClock> {
        let replica = &self.replica;
        self.vclock.get_or_insert_with(|| Arc::new(replica.whole_vclock())).clone()
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
