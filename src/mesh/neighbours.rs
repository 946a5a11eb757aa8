//! What the streams of a node share: the broadcast tree, whose links are the streams of the peers.
//!
//! An upstream reports what its peer sends, and is given pings for the peer. A downstream asks what its
//! reader is known to have, and passes on the reader's orders, so that both links between two nodes become
//! lazy or eager together.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use async_channel::{Receiver, Sender};
use smol::Timer;
use smol::future::FutureExt;
use smol::stream::Stream as _;

use crate::locks::Mutex;
use crate::manager::Handle;
use crate::mesh::members::Reports;
use crate::mesh::roster::Roster;
use crate::mesh::tree::{BroadcastTree, HaveSummary, LinkId, LinkOrder, Ping, ProcessId};
use crate::source::Source;

/// The streams of one process.
pub struct Neighbours {
    /// The reports that nodes make about themselves.
    pub roster: Roster,
    /// The random number by which others tell this process from another one.
    number: u64,
    links: Mutex<Links>,
}

#[derive(Debug)]
struct Links {
    tree: BroadcastTree,
    /// Wakes the upstream of a link that has a ping for its peer.
    wakes: BTreeMap<LinkId, Sender<()>>,
}

impl Links {
    /// Changes the tree, and wakes the upstreams that have a ping then.
    fn change<T>(&mut self, change: impl FnOnce(&mut BroadcastTree) -> T) -> T {
        let changed = change(&mut self.tree);
        for id in self.tree.ordered() {
            if let Some(wake) = self.wakes.get(&id) {
                // If it is full, the task is woken already.
                wake.try_send(()).ok();
            }
        }
        changed
    }
}

impl Neighbours {
    /// The streams of a process. `number` is random, so that no other process has it.
    pub fn new(number: u64) -> Self {
        let tree = BroadcastTree::new(fastrand::Rng::with_seed(number));
        Self {
            roster: Roster::default(),
            number,
            links: Mutex::new(Links { tree, wakes: BTreeMap::new() }),
        }
    }

    /// This process, with the generation of its state.
    pub fn process(&self, generation: u64) -> ProcessId {
        ProcessId { number: self.number, generation }
    }

    /// A stream from a peer begins. `process` is that of the peer.
    pub fn begin(self: &Arc<Self>, process: ProcessId, handle: Handle) -> PeerLink {
        let (wake, woken) = async_channel::bounded(1);
        let mut links = self.links.lock();
        let id = links.tree.begin(Some(process));
        links.wakes.insert(id, wake);
        drop(links);
        let (neighbours, woken) = (self.clone(), Box::pin(woken));
        PeerLink { neighbours, handle, id, process, woken, has_ping: true, look: Timer::never() }
    }

    /// A process begins to read this node, and has sent its clock.
    pub fn is_read_by(&self, process: &ProcessId) {
        self.links.lock().change(|tree| tree.is_read_by(process));
    }

    /// A process that reads this node has sent an order.
    pub fn mirror(&self, process: &ProcessId, order: LinkOrder) {
        self.links.lock().change(|tree| tree.mirror(process, order, Instant::now()));
    }

    /// The indices of the stamps that a process which reads this node is known to have.
    pub fn known_of<'a>(
        &self,
        process: &ProcessId,
        stamps: impl Iterator<Item = (&'a Source, u64)>,
    ) -> Vec<usize> {
        let links = self.links.lock();
        let Some(known) = links.tree.known_of(process) else { return Vec::new() };
        let stamps = stamps.enumerate();
        let known = stamps.filter(|(_, (source, id))| known.has_seen(source, *id));
        known.map(|(at, _)| at).collect()
    }
}

/// The link of one peer. It ends when this is dropped.
pub struct PeerLink {
    neighbours: Arc<Neighbours>,
    handle: Handle,
    id: LinkId,
    /// The peer's process.
    process: ProcessId,
    woken: Pin<Box<Receiver<()>>>,
    /// Whether there may be a ping for the peer.
    has_ping: bool,
    /// Goes off when to check for a lack.
    look: Timer,
}

impl PeerLink {
    /// The stream was read to its end, and all that came is settled.
    pub fn reaches_end(&self) {
        self.neighbours.links.lock().tree.reaches_end(self.id);
    }

    /// A transaction with this stamp has come. It is not settled yet.
    pub fn receive(&self, (source, id): (&Source, u64)) {
        let tree = &mut self.neighbours.links.lock().tree;
        tree.sent(self.id, source, id);
        tree.receive(self.id, source, id);
    }

    /// Of the transactions that came, `news` were new and `known` were not. `is_all`: all that came is
    /// settled.
    pub fn settle(&self, news: u64, known: u64, is_all: bool) {
        self.neighbours.links.lock().change(|tree| tree.settle(self.id, news, known, is_all));
    }

    /// The peer has sent a summary.
    pub fn hear(&mut self, summary: HaveSummary) {
        let (id, state) = (self.id, self.handle.last_state());
        let now = Instant::now();
        let hear = |tree: &mut BroadcastTree| tree.hear(id, summary, state.stamps(), now);
        let look = self.neighbours.links.lock().change(hear);
        self.look_at(look);
    }

    /// The peer has sent reports.
    pub fn hear_of_members(&self, reports: Reports) {
        self.neighbours.roster.hear(reports, self.process);
    }

    /// The peer has sent a pong.
    pub fn pong(&self, payload: &[u8]) {
        self.neighbours.links.lock().tree.pong(self.id, payload);
    }

    /// The next ping for the peer.
    pub fn poll_ping(&mut self, context: &mut Context<'_>) -> Poll<Ping> {
        loop {
            // A timer that is set must be polled, or it wakes nobody.
            while self.look.poll(context).is_ready() {
                let (id, state) = (self.id, self.handle.last_state());
                let look = |tree: &mut BroadcastTree| tree.look(id, state.stamps(), Instant::now());
                let look = self.neighbours.links.lock().change(look);
                self.look_at(look);
            }
            if self.has_ping
                && let Some(ping) = self.neighbours.links.lock().tree.ping(self.id)
            {
                return Poll::Ready(ping);
            }
            self.has_ping = false;
            // The sender lives as long as the stream.
            ready!(self.woken.as_mut().poll_next(context));
            self.has_ping = true;
        }
    }

    fn look_at(&mut self, moment: Option<Instant>) {
        match moment {
            Some(moment) => self.look.set_at(moment),
            None => self.look = Timer::never(),
        }
    }
}

impl Drop for PeerLink {
    fn drop(&mut self) {
        let state = self.handle.last_state();
        let mut links = self.neighbours.links.lock();
        links.wakes.remove(&self.id);
        links.change(|tree| tree.end(self.id, state.stamps(), Instant::now()));
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::time::Duration;

    use super::*;
    use crate::manager::Manager;

    /// A stream that was read to its end.
    fn begin(neighbours: &Arc<Neighbours>, handle: &Handle, number: u64) -> (PeerLink, ProcessId) {
        let process = ProcessId { number, generation: 0 };
        let link = neighbours.begin(process, handle.clone());
        link.reaches_end();
        (link, process)
    }

    #[test]
    fn an_upstream_with_a_ping_for_its_peer_is_woken() {
        smol::block_on(async {
            let (manager, handle) = Manager::in_memory("a~00000000".parse().unwrap());
            let _task = smol::spawn(manager.run());
            let neighbours = Arc::new(Neighbours::new(7));
            assert_eq!(neighbours.process(3), ProcessId { number: 7, generation: 3 });
            let begin = |number| begin(&neighbours, &handle, number);
            let ((one, first), (mut other, second)) = (begin(1), begin(2));
            let source = "b~00000000".parse().unwrap();
            assert_eq!(poll_fn(|context| other.poll_ping(context)).await, Ping::Proof(0));
            one.pong(b"proof 0");
            one.receive((&source, 6));
            let stamps = [(&source, 7), (&source, 6), (&source, 8), (&source, 2)];
            assert_eq!(neighbours.known_of(&first, stamps.into_iter()), [1, 3]);
            neighbours.is_read_by(&first);
            assert!(neighbours.known_of(&first, stamps.into_iter()).is_empty());
            neighbours.mirror(&second, LinkOrder::Lazy);
            let ping = poll_fn(|context| other.poll_ping(context)).await;
            assert_eq!(ping, Ping::Order(LinkOrder::Lazy));
            let again =
                smol::spawn(async move { poll_fn(|context| other.poll_ping(context)).await });
            drop(one);
            let stamps = [(&source, 2)];
            assert!(neighbours.known_of(&first, stamps.into_iter()).is_empty());
            assert_eq!(again.await, Ping::Order(LinkOrder::Eager(None)), "it is the only one left");
        });
    }

    #[test]
    fn a_second_lack_is_found_after_its_own_time_limit() {
        smol::block_on(async {
            let (manager, handle) = Manager::in_memory("a~00000000".parse().unwrap());
            let _task = smol::spawn(manager.run());
            let neighbours = Arc::new(Neighbours::new(7));
            let begin = |number| begin(&neighbours, &handle, number);
            let ((_one, _), (mut other, second)) = (begin(1), begin(2));
            neighbours.mirror(&second, LinkOrder::Lazy);
            let mut next = async || poll_fn(|context| other.poll_ping(context)).await;
            assert_eq!(next().await, Ping::Order(LinkOrder::Lazy));
            assert_eq!(next().await, Ping::Proof(0));
            let summary = |source: &str, from| {
                let have = [(source.parse().unwrap(), 2)].into_iter().collect();
                HaveSummary { have, from, to: from + 1 }
            };
            other.hear(summary("a~00000000", 0));
            // Most of the time limit of the first summary.
            Timer::after(Duration::from_millis(100)).await;
            other.hear(summary("b~00000000", 1));
            handle.create("[]", None).await.unwrap().unwrap();
            let late = async {
                Timer::after(Duration::from_secs(5)).await;
                panic!("nobody looks");
            };
            let begin = Instant::now();
            let ping = poll_fn(|context| other.poll_ping(context)).or(late).await;
            assert_eq!(ping, Ping::Order(LinkOrder::Eager(Some(1))));
            // If it took longer, it was noticed only because the task was woken for another reason.
            assert!(begin.elapsed() < Duration::from_secs(4), "{:?}", begin.elapsed());
        });
    }
}
