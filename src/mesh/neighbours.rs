//! What the streams of a node share: the tree of which the peers that it reads are the branches.
//!
//! Upstreams tell it what comes, and are told what their peers are to do. Downstreams ask it what their readers
//! have, and say what these want, so that the way back goes along.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Instant;

use async_channel::{Receiver, Sender};
use smol::Timer;
use smol::future::FutureExt;
use smol::stream::Stream as _;

use crate::clock::VectorClock;
use crate::manager::Handle;
use crate::mesh::tree::{LinkId, Order, Process, Summary, Tree};
use crate::source::Source;

/// The streams of one process.
#[derive(Debug)]
pub struct Neighbours {
    /// By which others tell this process from another one.
    number: u64,
    links: Mutex<Links>,
}

#[derive(Debug)]
struct Links {
    tree: Tree,
    /// Who is woken when there is an order for the peer of a link.
    wakes: BTreeMap<LinkId, Sender<()>>,
}

impl Links {
    /// Does something to the tree, and wakes those who have an order then.
    fn change<T>(&mut self, change: impl FnOnce(&mut Tree) -> T) -> T {
        let changed = change(&mut self.tree);
        for id in self.tree.ordered() {
            if let Some(wake) = self.wakes.get(&id) {
                // If it is full, it is woken already.
                wake.try_send(()).ok();
            }
        }
        changed
    }
}

impl Neighbours {
    /// Of a process that begins; with a random number that no other process has.
    pub fn new(number: u64) -> Self {
        let tree = Tree::new(fastrand::Rng::with_seed(number));
        Self { number, links: Mutex::new(Links { tree, wakes: BTreeMap::new() }) }
    }

    /// This process, while the node's streams have begun anew so often.
    pub fn process(&self, generation: u64) -> Process {
        Process { number: self.number, generation }
    }

    /// A stream from a peer begins, of which this process is the one that sends.
    pub fn begin(self: &Arc<Self>, process: Process, handle: Handle) -> Branch {
        let (wake, woken) = async_channel::bounded(1);
        let mut links = self.lock();
        let id = links.tree.begin(Some(process));
        links.wakes.insert(id, wake);
        drop(links);
        let (neighbours, woken) = (self.clone(), Box::pin(woken));
        Branch { neighbours, handle, id, woken, look: Timer::never() }
    }

    /// A process begins to read this node, and has said what it has.
    pub fn is_read_by(&self, process: &Process) {
        self.lock().tree.is_read_by(process);
    }

    /// A process that reads this node has given it an order.
    pub fn mirror(&self, process: &Process, order: Order) {
        self.lock().change(|tree| tree.mirror(process, order, Instant::now()));
    }

    /// Lets `look` at what a process that reads this node is known to have.
    pub fn known_of<T>(
        &self,
        process: &Process,
        look: impl FnOnce(Option<&VectorClock>) -> T,
    ) -> T {
        look(self.lock().tree.known_of(process))
    }

    fn lock(&self) -> MutexGuard<'_, Links> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The stream from one peer. It ends when this is dropped.
pub struct Branch {
    neighbours: Arc<Neighbours>,
    handle: Handle,
    id: LinkId,
    woken: Pin<Box<Receiver<()>>>,
    /// When to see whether something is lacking for too long.
    look: Timer,
}

impl Branch {
    /// The stream was read to its end, and what came is settled.
    pub fn reaches_end(&self) {
        self.neighbours.lock().tree.reaches_end(self.id);
    }

    /// A transaction came, by its stamp, that is to be settled.
    pub fn receive(&self, (source, id): (&Source, u64)) {
        let tree = &mut self.neighbours.lock().tree;
        tree.sent(self.id, source, id);
        tree.receive(self.id, source, id);
    }

    /// So many transactions that came were new, and so many known; whether all that came is settled.
    pub fn settle(&self, news: u64, known: u64, is_all: bool) {
        self.neighbours.lock().change(|tree| tree.settle(self.id, news, known, is_all));
    }

    /// The peer says what it has.
    pub fn hear(&mut self, summary: Summary) {
        let (id, state) = (self.id, self.handle.last_state());
        let now = Instant::now();
        let hear = |tree: &mut Tree| tree.hear(id, summary, state.stamps(), now);
        let look = self.neighbours.lock().change(hear);
        self.look_at(look);
    }

    /// What the peer is to be told next.
    pub fn poll_order(&mut self, context: &mut Context<'_>) -> Poll<Order> {
        loop {
            if self.look.poll(context).is_ready() {
                let (id, state) = (self.id, self.handle.last_state());
                let look = |tree: &mut Tree| tree.look(id, state.stamps(), Instant::now());
                let look = self.neighbours.lock().change(look);
                self.look_at(look);
            }
            // The sender is there for as long as the stream is.
            ready!(self.woken.as_mut().poll_next(context));
            if let Some(order) = self.neighbours.lock().tree.order(self.id) {
                return Poll::Ready(order);
            }
        }
    }

    fn look_at(&mut self, moment: Option<Instant>) {
        match moment {
            Some(moment) => self.look.set_at(moment),
            None => self.look = Timer::never(),
        }
    }
}

impl Drop for Branch {
    fn drop(&mut self) {
        let state = self.handle.last_state();
        let mut links = self.neighbours.lock();
        links.wakes.remove(&self.id);
        links.change(|tree| tree.end(self.id, state.stamps(), Instant::now()));
    }
}
