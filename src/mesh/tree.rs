//! The broadcast tree: which links bring transactions, and which only say what there is.
//!
//! If nodes name many peers, each transaction would come to each node from every neighbour. So an upstream
//! tells a peer that only brings what is known to be *lazy*: its downstream then sends summaries, what it has,
//! in place of transactions. An upstream that sees by a summary that it lacks something for a while makes that
//! link *eager* again (Leitao, Pereira, Rodrigues, "Epidemic Broadcast Trees", SRDS 2007). Links are never
//! closed for that.
//!
//! This is pure logic: time and randomness are arguments. [`BroadcastTree`] is what a node's upstreams decide by,
//! [`Herald`] makes the summaries that all downstreams of a node share, and [`Flow`] is where one downstream
//! stands.
//!
//! # What holds
//!
//! - *No stream leaves out a transaction and goes on after it.* All in a downstream's journal before its cursor
//!   was sent; or its reader's clock counted it when the reader dialed, or when it asked to go on from a
//!   position behind it; or its reader's process is known to have it, see below. So an upstream names a
//!   position only if its *settled* clock, that of the last published state, has all that was said to be before
//!   it. What has only been received may yet be lost; it keeps an upstream from asking for more, and no more
//!   than that.
//! - *No echo.* A downstream leaves out what its reader's process sent to this node. Whatever a node sends, or
//!   says that it has, is counted by its clock, and so is all before it of the same source; and as long as it
//!   takes no base, a clock does not go back. So [`BroadcastTree`] keeps a clock of what each neighbour is known to have,
//!   under the [`ProcessId`] that said so: a random number, and how often that process began anew. Another process
//!   on an old copy of the same directory is another one. But a process may be put back to what it was earlier,
//!   with all its memory, as virtual machines are. It has to dial again then, and what was heard of it before, or
//!   was on its way, does not count. So what comes on a link counts from the pong of a ping on that was sent when
//!   both streams had begun: nobody answers that any more who was put back since. And nothing counts when the
//!   stream that it was heard on has ended.
//! - *A tree needs links that carry both ways.* If two nodes read each other, both links become lazy or eager
//!   together, as far as that leaves a node one eager link.
//! - The last eager link of a node stays eager, and one that is still being read to its end is eager.

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

pub use flow::{Flow, Said, UnknownPosition};
pub use have::HaveSummary;
pub use herald::{Announcement, Herald};
pub use ping::{LinkOrder, Ping};
pub use process_id::ProcessId;

/// A link that brought so many transactions in a row, none of them new, becomes lazy.
const KNOWN_IN_A_ROW: u64 = 16;

/// Of so many transactions at least it is judged which part of them was new.
const WINDOW: u64 = 64;

/// The window of a link is begun anew, by half of its counts, when it is so many times as long.
const WINDOWS: u64 = 4;

/// How often the two above double, at most: each time that a link had to be made eager again.
const MOST_DOUBLINGS: u32 = 4;

/// How long something may be lacking that another node has: a round trip and a little. Each time a part of the
/// second is added by chance, so that not all neighbours of one gap fill it at once.
const PATIENCE: Duration = Duration::from_millis(150);
const PATIENCE_CHANCE: Duration = Duration::from_millis(150);

/// One link of a node to a peer that it reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LinkId(u64);

/// The links of one node to the peers that it reads.
#[derive(Debug)]
pub struct BroadcastTree {
    links: BTreeMap<LinkId, LinkState>,
    next: u64,
    /// What is to come since a link was made eager.
    promises: Vec<Promise>,
    /// Links whose peers are to be told something.
    ordered: Vec<LinkId>,
    random: fastrand::Rng,
}

/// What a link that was made eager is to bring, and until when it has time.
#[derive(Debug)]
struct Promise {
    link: LinkId,
    clock: VectorClock,
    until: Instant,
}

impl BroadcastTree {
    /// No links yet.
    pub fn new(random: fastrand::Rng) -> Self {
        let (links, promises, ordered) = (BTreeMap::new(), Vec::new(), Vec::new());
        Self { links, next: 0, promises, ordered, random }
    }

    /// A stream begins, which brings all that this node lacks. Its peer says which process it is, if it does.
    pub fn begin(&mut self, process: Option<ProcessId>) -> LinkId {
        let id = LinkId(self.next);
        self.next += 1;
        self.links.insert(id, LinkState::new(process));
        self.ordered.push(id);
        id
    }

    /// A stream was read to its end once, so that it may become lazy.
    pub fn reaches_end(&mut self, id: LinkId) {
        if let Some(link) = self.links.get_mut(&id)
            && link.standing == LinkMode::Begun
        {
            link.standing = LinkMode::Eager;
        }
    }

    /// A stream has ended. What it would have brought is asked for elsewhere.
    pub fn end(&mut self, id: LinkId, settled: &VectorClock, now: Instant) {
        self.promises.retain(|promise| promise.link != id);
        let Some(link) = self.links.remove(&id) else { return };
        if link.standing == LinkMode::Lazy {
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

    /// A transaction came that is not settled yet.
    pub fn receive(&mut self, id: LinkId, source: &Source, transaction: u64) {
        if let Some(link) = self.links.get_mut(&id) {
            link.received.advance(source, transaction);
        }
    }

    /// The peer sent a transaction, known or not: so it has it.
    pub fn sent(&mut self, id: LinkId, source: &Source, transaction: u64) {
        if let Some(link) = self.links.get_mut(&id) {
            link.sent(source, transaction);
        }
    }

    /// So many transactions of a link were new, and so many were known; whether none is left that came and is not
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

    /// A lazy link's peer says what it has. Says when to [look](Self::look) whether it came.
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

    /// Makes a lazy link eager if it has had for long what is lacking here. Says when to look again.
    pub fn look(&mut self, id: LinkId, settled: &VectorClock, now: Instant) -> Option<Instant> {
        self.promises.retain(|promise| promise.until > now);
        let link = self.links.get_mut(&id).filter(|link| link.standing == LinkMode::Lazy)?;
        link.forget(settled);
        let Some(due) = self.links[&id].lack(&self.had(settled, now)) else {
            // What another link is to bring may not come.
            let lacks = self.links[&id].lack(&|source: &Source| settled.next_id(source)).is_some();
            return self.promises.iter().map(|promise| promise.until).min().filter(|_| lacks);
        };
        if due > now {
            return Some(due);
        }
        self.graft(id, now);
        None
    }

    /// This node is read by a process from now on, which has told what it has: what was known of it before does
    /// not count.
    pub fn is_read_by(&mut self, process: &ProcessId) {
        for (id, link) in self.links.iter_mut().filter(|(_, link)| link.is_of(process)) {
            link.is_to_prove();
            self.ordered.push(*id);
        }
    }

    /// How far a process that reads this node is known to have the sources; none if nothing is known of it.
    pub fn known_of(&self, process: &ProcessId) -> Option<&VectorClock> {
        let link = self.links.values().rev().find(|link| link.is_of(process))?;
        Some(&link.theirs)
    }

    /// A process that reads this node has given it an order: the link to that process, if there is one, goes the
    /// same way.
    pub fn mirror(&mut self, process: &ProcessId, order: LinkOrder, now: Instant) {
        let links = self.links.iter().filter(|(_, link)| link.is_of(process));
        let Some((id, link)) = links.map(|(id, link)| (*id, link)).next_back() else { return };
        let (may_be_lazy, is_lazy) = (link.may_be_lazy(), link.standing == LinkMode::Lazy);
        match order {
            LinkOrder::Lazy if may_be_lazy && self.eager().nth(1).is_some() => self.make_lazy(id),
            LinkOrder::Eager(_) if is_lazy => self.graft(id, now),
            _ => (),
        }
    }

    /// Whether a link is lazy.
    #[cfg(feature = "internals")]
    pub fn is_lazy(&self, id: LinkId) -> bool {
        self.links.get(&id).is_some_and(|link| link.standing == LinkMode::Lazy)
    }

    /// A pong came on a link.
    pub fn pong(&mut self, id: LinkId, payload: &[u8]) {
        if let Some(link) = self.links.get_mut(&id) {
            link.pong(payload);
        }
    }

    /// The links whose peers are to be told something since this was last asked.
    pub fn ordered(&mut self) -> Vec<LinkId> {
        std::mem::take(&mut self.ordered)
    }

    /// What the peer of a link is to be told next.
    pub fn ping(&mut self, id: LinkId) -> Option<Ping> {
        self.links.get_mut(&id)?.ping()
    }

    fn of(&self, standing: LinkMode) -> impl Iterator<Item = LinkId> {
        let links = self.links.iter().filter(move |(_, link)| link.standing == standing);
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

    /// What is settled, has come on a link, or is to come soon.
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
