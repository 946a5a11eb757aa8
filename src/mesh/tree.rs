//! The broadcast tree: which links bring transactions, and which bring only summaries of what the peer has.
//!
//! If nodes name many peers, each transaction would come to each node from every neighbour. So an upstream tells a peer
//! that brings only known transactions to be *lazy*: the peer's downstream then sends summaries in place of transactions.
//! If an upstream sees by a summary that it has lacked something for a while, it makes that link *eager* again (Leitao,
//! Pereira, Rodrigues, "Epidemic Broadcast Trees", SRDS 2007). No link is ever closed for that.
//!
//! This is pure logic: time and randomness are arguments. [`BroadcastTree`] decides for the upstreams of a node,
//! [`Herald`] makes the summaries that all its downstreams share, and [`Flow`] is what one downstream sends.
//!
//! # Rules
//!
//! - *No stream leaves out a transaction and goes on after it.* All of a downstream's journal before its cursor was sent;
//!   or the reader's clock counted it when the reader dialed, or when it asked to go on from a later position; or the
//!   reader's process is known to have it, see below. So an upstream names a position only if its *settled* clock, that
//!   of the last published state, has all that was announced before that position. Transactions that were only received
//!   may still be lost. They only keep an upstream from asking for them again.
//! - *No echo.* A downstream leaves out what its reader's process has sent to this node. What a node sends or announces
//!   is counted by its clock, and so is all before it of the same source; and as long as it takes no base, a clock never
//!   goes back. So [`BroadcastTree`] keeps a clock of what each neighbour is known to have, under its [`ProcessId`]: a
//!   random number, and the generation of its state. Another process on an old copy of the same directory has another
//!   number. But a process may be put back to an earlier state with all its memory, as virtual machines are. It must
//!   dial again then, and what was heard of it before, or was on its way, must not count. So what comes on a link counts
//!   only after the pong of a ping that was sent when both streams had begun: a process that was put back since cannot
//!   answer it. And nothing counts any more when the stream on which it was heard has ended.
//! - *A tree needs links that carry both ways.* If two nodes read each other, both links become lazy or eager together,
//!   if that leaves each node an eager link.
//! - The last eager link of a node stays eager, and so does one that is not read to its end yet.

mod flow;
mod have;
mod herald;
mod link;
mod ping;
mod process_id;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::clock::VectorClock;
use crate::source::Source;
use link::{LinkMode, LinkState};

pub use flow::{Flow, ReaderSummary};
pub use have::HaveSummary;
pub use herald::{Announcement, Herald};
pub use ping::{LinkOrder, Ping};
pub use process_id::ProcessId;

/// A link becomes lazy after this many known transactions in a row.
const KNOWN_IN_A_ROW: u64 = 16;

/// The share of new transactions is judged over at least this many.
const WINDOW: u64 = 64;

/// When a window has grown to this multiple, its counts are halved.
const WINDOWS: u64 = 4;

/// How many times the two limits above may double. They double each time the link is made eager again.
const MOST_DOUBLINGS: u32 = 4;

/// How long this node may lack something that another node has: a round trip and a little. A random part of
/// the second value is added, so that not all neighbours fill one gap at once.
const PATIENCE: Duration = Duration::from_millis(150);
const PATIENCE_CHANCE: Duration = Duration::from_millis(150);

/// A link of a node to a peer that it reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LinkId(u64);

/// The links of one node to the peers that it reads.
#[derive(Debug)]
pub struct BroadcastTree {
    links: BTreeMap<LinkId, LinkState>,
    next: u64,
    /// What links that were made eager still have to bring.
    promises: Vec<Promise>,
    /// Links that have a ping for their peers.
    ordered: Vec<LinkId>,
    random: fastrand::Rng,
}

/// What a link that was made eager has to bring, and its time limit.
#[derive(Debug)]
struct Promise {
    link: LinkId,
    clock: VectorClock,
    until: Instant,
}

impl BroadcastTree {
    /// A tree without links.
    pub fn new(random: fastrand::Rng) -> Self {
        let (links, promises, ordered) = (BTreeMap::new(), Vec::new(), Vec::new());
        Self { links, next: 0, promises, ordered, random }
    }

    /// A stream begins. `process` is that of the peer, if it says so.
    pub fn begin(&mut self, process: Option<ProcessId>) -> LinkId {
        let id = LinkId(self.next);
        self.next += 1;
        self.links.insert(id, LinkState::new(process));
        self.ordered.push(id);
        id
    }

    /// A stream was read to its end, so it may become lazy.
    pub fn reaches_end(&mut self, id: LinkId) {
        if let Some(link) = self.links.get_mut(&id)
            && link.mode == LinkMode::Begun
        {
            link.mode = LinkMode::Eager;
        }
    }

    /// A stream has ended. What it would have brought is asked for elsewhere.
    pub fn end(&mut self, id: LinkId, settled: &VectorClock, now: Instant) {
        self.promises.retain(|promise| promise.link != id);
        let Some(link) = self.links.remove(&id) else { return };
        if link.mode == LinkMode::Lazy {
            return;
        }
        let lazy: Vec<_> = self.lazy().collect();
        for id in &lazy {
            if self.links[id].lack(&self.had(settled, now)).is_some() {
                self.graft(*id, now);
            }
        }
        if self.eager().next().is_none()
            && let Some(best) = lazy.into_iter().max_by_key(|id| self.links[id].said)
        {
            self.graft(best, now);
        }
    }

    /// A transaction has come. It is not settled yet.
    pub fn receive(&mut self, id: LinkId, source: &Source, transaction: u64) {
        if let Some(link) = self.links.get_mut(&id) {
            link.received.advance(source, transaction);
        }
    }

    /// The peer has sent a transaction, known or not: so it has it.
    pub fn sent(&mut self, id: LinkId, source: &Source, transaction: u64) {
        if let Some(link) = self.links.get_mut(&id) {
            link.sent(source, transaction);
        }
    }

    /// Of the transactions of a link, `news` were new and `known` were not. `is_all`: all that came is
    /// settled.
    pub fn settle(&mut self, id: LinkId, news: u64, known: u64, is_all: bool) {
        let Some(link) = self.links.get_mut(&id) else { return };
        if is_all {
            link.received = VectorClock::default();
        }
        link.count(news, known);
        if !link.may_be_lazy() || self.eager().nth(1).is_none() {
            return;
        }
        if self.links[&id].brings_nothing_new() {
            self.make_lazy(id);
        } else if self.links[&id].brings_little_new()
            && let Some(least) = self.least()
        {
            self.make_lazy(least);
            self.links.values_mut().for_each(LinkState::count_anew);
        }
    }

    /// The peer of a lazy link has sent a summary. Returns when to [look](Self::look) for a lack.
    pub fn hear(
        &mut self,
        id: LinkId,
        summary: HaveSummary,
        settled: &VectorClock,
        now: Instant,
    ) -> Option<Instant> {
        let patience = PATIENCE + PATIENCE_CHANCE.mul_f64(self.random.f64());
        self.links.get_mut(&id)?.hear(summary, settled, now, now + patience);
        self.look(id, settled, now)
    }

    /// Makes a lazy link eager if this node has lacked for too long what the peer has. Returns when to look
    /// again.
    pub fn look(&mut self, id: LinkId, settled: &VectorClock, now: Instant) -> Option<Instant> {
        self.promises.retain(|promise| promise.until > now);
        let link = self.links.get_mut(&id).filter(|link| link.mode == LinkMode::Lazy)?;
        link.forget(settled);
        let Some(due) = self.links[&id].lack(&self.had(settled, now)) else {
            // Another link has promised it, and may not bring it.
            let lacks = self.links[&id].lack(&|source: &Source| settled.next_id(source)).is_some();
            return self.promises.iter().map(|promise| promise.until).min().filter(|_| lacks);
        };
        if due > now {
            return Some(due);
        }
        self.graft(id, now);
        None
    }

    /// A process begins to read this node and has sent its clock. What was known of it before does not count.
    pub fn is_read_by(&mut self, process: &ProcessId) {
        for (id, link) in self.links.iter_mut().filter(|(_, link)| link.is_of(process)) {
            link.is_to_prove();
            self.ordered.push(*id);
        }
    }

    /// The clock of what a process that reads this node is known to have. `None` if nothing is known.
    pub fn known_of(&self, process: &ProcessId) -> Option<&VectorClock> {
        let link = self.links.values().rev().find(|link| link.is_of(process))?;
        Some(&link.theirs)
    }

    /// A process that reads this node has sent an order. The link to that process, if there is one, follows
    /// it.
    pub fn mirror(&mut self, process: &ProcessId, order: LinkOrder, now: Instant) {
        let links = self.links.iter().filter(|(_, link)| link.is_of(process));
        let Some((id, link)) = links.map(|(id, link)| (*id, link)).next_back() else { return };
        let (may_be_lazy, is_lazy) = (link.may_be_lazy(), link.mode == LinkMode::Lazy);
        match order {
            LinkOrder::Lazy if may_be_lazy && self.eager().nth(1).is_some() => self.make_lazy(id),
            LinkOrder::Eager(_) if is_lazy => self.graft(id, now),
            _ => (),
        }
    }

    /// The peer of a link has sent a pong.
    pub fn pong(&mut self, id: LinkId, payload: &[u8]) {
        if let Some(link) = self.links.get_mut(&id) {
            link.pong(payload);
        }
    }

    /// Takes the links that have a ping for their peers.
    pub fn ordered(&mut self) -> Vec<LinkId> {
        std::mem::take(&mut self.ordered)
    }

    /// The next ping for a link's peer.
    pub fn ping(&mut self, id: LinkId) -> Option<Ping> {
        self.links.get_mut(&id)?.ping()
    }

    fn of(&self, mode: LinkMode) -> impl Iterator<Item = LinkId> {
        let links = self.links.iter().filter(move |(_, link)| link.mode == mode);
        links.map(|(id, _)| *id)
    }

    fn eager(&self) -> impl Iterator<Item = LinkId> {
        self.of(LinkMode::Eager)
    }

    fn lazy(&self) -> impl Iterator<Item = LinkId> {
        self.of(LinkMode::Lazy)
    }

    /// Of the links that bring little new, the one that brings least.
    fn least(&self) -> Option<LinkId> {
        let links = self
            .links
            .iter()
            .filter(|(_, link)| link.may_be_lazy() && link.brings_little_new_so_far());
        let share = |link: &LinkState| link.news as f64 / (link.news + link.known).max(1) as f64;
        links.min_by(|(_, one), (_, other)| share(one).total_cmp(&share(other))).map(|(id, _)| *id)
    }

    /// What is settled, has come on a link, or is promised.
    fn had<'a>(&'a self, settled: &'a VectorClock, now: Instant) -> impl Fn(&Source) -> u64 + 'a {
        move |source| {
            let received = self.links.values().map(|link| link.received.next_id(source));
            let promises = self.promises.iter().filter(|promise| promise.until > now);
            let promised = promises.map(|promise| promise.clock.next_id(source));
            settled.next_id(source).max(received.chain(promised).max().unwrap_or_default())
        }
    }

    fn make_lazy(&mut self, id: LinkId) {
        let link = self.links.get_mut(&id).expect("it is one of the links");
        link.make_lazy();
        self.ordered.push(id);
    }

    fn graft(&mut self, id: LinkId, now: Instant) {
        let link = self.links.get_mut(&id).expect("it is one of the links");
        let clock = link.make_eager();
        self.promises.push(Promise { link: id, clock, until: now + PATIENCE + PATIENCE_CHANCE });
        self.ordered.push(id);
    }
}

#[cfg(test)]
mod tests;
