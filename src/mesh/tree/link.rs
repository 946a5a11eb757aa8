//! The state of one link.

use std::collections::VecDeque;
use std::time::Instant;

use super::{
    HaveSummary, KNOWN_IN_A_ROW, LinkOrder, MOST_DOUBLINGS, Ping, ProcessId, WINDOW, WINDOWS,
};
use crate::clock::VectorClock;
use crate::source::Source;

/// How many summaries of one link are kept apart. Later ones are joined to the last.
const MOST_HEARD: usize = 8;

/// About how many sources are kept of the summaries of one link.
const MOST_SOURCES: usize = 1 << 16;

/// What a link brings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LinkMode {
    /// Transactions, in a stream that has begun and is not read to its end yet. It cannot become lazy.
    #[default]
    Begun,
    /// Transactions.
    Eager,
    /// Summaries.
    Lazy,
}

/// A summary that is not settled yet.
#[derive(Debug)]
struct HeardSummary {
    summary: HaveSummary,
    /// From this time on a lack lasts too long.
    due: Instant,
}

/// The state of one link.
#[derive(Debug, Default)]
pub struct LinkState {
    process: Option<ProcessId>,
    pub mode: LinkMode,
    pub order: Option<LinkOrder>,
    /// What has come and is not settled.
    pub received: VectorClock,
    /// What the peer's process is known to have, and whether what comes counts as such.
    pub theirs: VectorClock,
    is_proven: bool,
    /// How many times the process had to prove itself, and whether a ping for that must be sent.
    proofs: u64,
    asks_for_proof: bool,
    /// How many known transactions came in a row.
    in_a_row: u64,
    pub news: u64,
    pub known: u64,
    /// How many times it had to be made eager again.
    doublings: u32,
    heard: VecDeque<HeardSummary>,
    /// Up to which position of the peer's journal all is known to be settled.
    position: Option<u64>,
    /// When the last summary came.
    pub said: Option<Instant>,
}

impl LinkState {
    pub fn new(process: Option<ProcessId>) -> Self {
        Self { process, asks_for_proof: true, ..Self::default() }
    }

    pub fn is_of(&self, process: &ProcessId) -> bool {
        self.process.as_ref() == Some(process)
    }

    /// The peer's process has dialed this node, so it may be one that was put back.
    pub fn is_to_prove(&mut self) {
        self.theirs = VectorClock::default();
        self.proofs += 1;
        (self.is_proven, self.asks_for_proof) = (false, true);
    }

    pub fn pong(&mut self, payload: &[u8]) {
        self.is_proven |= payload == Ping::Proof(self.proofs).to_string().as_bytes();
    }

    /// The peer has sent this transaction.
    pub fn sent(&mut self, source: &Source, transaction: u64) {
        if self.is_proven {
            self.theirs.advance(source, transaction);
        }
    }

    /// The next ping for the peer.
    pub fn ping(&mut self) -> Option<Ping> {
        let order = self.order.take().map(Ping::Order);
        let proof = || std::mem::take(&mut self.asks_for_proof).then_some(Ping::Proof(self.proofs));
        order.or_else(proof)
    }

    pub fn count(&mut self, news: u64, known: u64) {
        self.in_a_row = if news > 0 { 0 } else { self.in_a_row + known };
        self.news += news;
        self.known += known;
        if self.news + self.known >= WINDOWS * self.window() {
            (self.news, self.known) = (self.news / 2, self.known / 2);
        }
    }

    pub fn count_anew(&mut self) {
        (self.in_a_row, self.news, self.known) = (0, 0, 0);
    }

    pub fn brings_nothing_new(&self) -> bool {
        self.in_a_row >= KNOWN_IN_A_ROW << self.doublings
    }

    pub fn brings_little_new(&self) -> bool {
        self.news + self.known >= self.window() && self.brings_little_new_so_far()
    }

    /// The same for a window that is not full.
    pub fn brings_little_new_so_far(&self) -> bool {
        self.known > self.news
    }

    /// Whether it may become lazy. If an order to be eager waits to be sent, that order goes first.
    pub fn may_be_lazy(&self) -> bool {
        self.mode == LinkMode::Eager && self.order.is_none()
    }

    fn window(&self) -> u64 {
        WINDOW << self.doublings
    }

    pub fn make_lazy(&mut self) {
        self.mode = LinkMode::Lazy;
        self.order = Some(LinkOrder::Lazy);
        self.position = None;
        self.count_anew();
    }

    /// Makes it eager. Returns what the peer has to bring.
    pub fn make_eager(&mut self) -> VectorClock {
        let from = self.heard.front().map(|heard| heard.summary.from).or(self.position);
        self.mode = LinkMode::Eager;
        // A peer that was not told to be lazy is eager.
        let was_told = self.order != Some(LinkOrder::Lazy);
        self.order = was_told.then_some(LinkOrder::Eager(from));
        self.doublings = (self.doublings + 1).min(MOST_DOUBLINGS);
        self.count_anew();
        let mut clock = HaveSummary::default();
        self.heard.drain(..).for_each(|heard| clock.join(&heard.summary));
        clock.have
    }

    /// Takes in a summary. From `due` on a lack of something in it lasts too long.
    pub fn hear(
        &mut self,
        summary: HaveSummary,
        settled: &VectorClock,
        now: Instant,
        due: Instant,
    ) {
        // A peer must not be able to have any source kept. And of sources that this node does not have,
        // nothing could be sent back.
        let is_known = |source: &Source| settled.next_id(source) > 0;
        for (source, next) in summary.have.iter() {
            if next > 0 && is_known(source) {
                self.sent(source, next - 1);
            }
        }
        // It was told to be eager and has not read that yet.
        if self.mode != LinkMode::Lazy {
            return;
        }
        self.said = Some(now);
        if let Some(last) = self.heard.get_mut(MOST_HEARD - 1) {
            last.summary.join(&summary);
        } else {
            self.heard.push_back(HeardSummary { summary, due });
        }
        let sources = self.heard.iter().map(|heard| heard.summary.have.iter().count());
        if sources.sum::<usize>() > MOST_SOURCES {
            // The peer must send the transactions now, so that no more summaries are kept.
            self.heard.iter_mut().for_each(|heard| heard.due = now);
        }
    }

    /// Forgets summaries that are settled.
    pub fn forget(&mut self, settled: &VectorClock) {
        while let Some(heard) = self.heard.front()
            && settled.covers(&heard.summary.have)
        {
            self.position = Some(heard.summary.to);
            self.heard.pop_front();
        }
    }

    /// From when on a lack of something that the peer has lasts too long. `None` if nothing is lacking.
    pub fn lack(&self, had: &impl Fn(&Source) -> u64) -> Option<Instant> {
        let lacks = |heard: &&HeardSummary| {
            heard.summary.have.iter().any(|(source, next)| had(source) < next)
        };
        self.heard.iter().find(lacks).map(|heard| heard.due)
    }
}
