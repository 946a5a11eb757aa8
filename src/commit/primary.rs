//! The next commit of a primary.
//!
//! A primary has no clock of its own: the time is an argument, in microseconds since any moment, by a clock that does
//! not go back. Nor does it keep what follows from the chain: which epoch it is, and whether it has begun it.

use std::collections::{BTreeMap, VecDeque};

use super::chain::Chain;
use crate::clock::Time;
use crate::source::{FIRST_ID, MAX_EPOCH, Source};
use crate::transaction::{Commit, Name, Place};

/// How far behind the present a primary is, so that most of what is on its way has arrived.
pub const LAG_MICROS: u64 = 2_000_000;

/// The least time between two commits.
pub const COMMIT_INTERVAL_MICROS: u64 = 2_000_000;

/// The journal's ends within so long are one note.
const NOTE_INTERVAL_MICROS: u64 = 100_000;

/// A document whose text has at most so many bytes is hashed at each commit.
const HASHED_ALWAYS_BYTES: u64 = 4 << 20;

/// The least time between two hashes of a larger document.
const HASH_INTERVAL_MICROS: u64 = 30_000_000;

/// The most sources in one commit, so that its encoding is not too long.
const MAX_SOURCES: usize = 1 << 14;

/// Which of its peers a node has read to their end since it started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PeersHeard {
    /// Not all that it can reach, or none although it has peers.
    Less,
    /// All that it can reach, and at least one if it has any.
    Reachable,
    /// All.
    All,
}

/// Why there is no commit now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoCommit {
    /// This node is no primary.
    NotPrimary,
    /// The chain is another one's, with this source: somebody else began a greater epoch, or there are two
    /// primaries.
    Overtaken(Source),
    /// It has not read enough of its peers.
    Unheard,
    /// Its base is outside the chain.
    Outside,
    /// There is nothing new, or the last commit is too recent.
    Idle,
    /// There is no greater epoch.
    UsedUp,
}

/// A node that commits, or may be promoted.
#[derive(Clone, Debug)]
pub struct Primary {
    life: Source,
    /// Whether it was set up as the primary.
    is_appointed: bool,
    /// Whether it has been told to begin the next epoch.
    is_promoted: bool,
    horizon: u64,
    /// The journal's ends of the last [`LAG_MICROS`], and one before.
    ends: VecDeque<NotedEnd>,
    committed_at: Option<u64>,
    /// When the last commit with a hash was.
    hashed_at: Option<u64>,
    /// Whether the last commit has no hash.
    lacks_hash: bool,
}

/// The journal's end at a moment.
#[derive(Clone, Copy, Debug)]
struct NotedEnd {
    begun_micros: u64,
    /// When the journal first had this greatest time.
    at_micros: u64,
    greatest: Time,
}

impl NotedEnd {
    /// From when on it counts.
    fn moment(&self) -> u64 {
        self.at_micros.saturating_add(LAG_MICROS)
    }
}

/// The branch that a commit belongs to.
struct Aim {
    source: Source,
    epoch: u64,
    /// Whether the commit is its first.
    begins: bool,
}

impl Primary {
    /// The node with this life, which was set up as the primary or not; `horizon` in seconds.
    pub fn new(life: Source, is_appointed: bool, horizon: u64) -> Self {
        Self {
            life,
            is_appointed,
            is_promoted: false,
            horizon,
            ends: VecDeque::new(),
            committed_at: None,
            hashed_at: None,
            lacks_hash: false,
        }
    }

    /// Goes on as another life.
    pub fn begin_life(&mut self, life: Source) {
        self.life = life;
    }

    /// Makes it begin the next epoch as soon as it may. Returns whether it will: not if the chain is its own. This
    /// is forgotten when the process ends.
    pub fn promote(&mut self, chain: &Chain) -> bool {
        self.is_promoted = !self.is_own(chain.tip());
        self.is_promoted
    }

    /// Notes that at this moment `greatest` is the greatest time of the journal. To be called whenever the journal has
    /// grown, and before each [`next`](Self::next).
    pub fn note_end(&mut self, at_micros: u64, greatest: Time) {
        match self.ends.back_mut() {
            Some(end) if end.greatest >= greatest => (),
            Some(end) if at_micros < end.begun_micros.saturating_add(NOTE_INTERVAL_MICROS) => {
                (end.at_micros, end.greatest) = (at_micros, greatest);
            }
            _ => self.ends.push_back(NotedEnd { begun_micros: at_micros, at_micros, greatest }),
        }
        while self.ends.get(1).is_some_and(|end| end.moment() <= at_micros) {
            self.ends.pop_front();
        }
    }

    /// When to ask for the [`next`](Self::next) commit again, if there was none now and the journal does not grow
    /// meanwhile; none if time alone will change nothing.
    pub fn next_moment(&self, at_micros: u64) -> Option<u64> {
        let rested = self.committed_at.map_or(0, |at| at.saturating_add(COMMIT_INTERVAL_MICROS));
        if at_micros < rested {
            return Some(rested);
        }
        let ends = self.ends.iter().map(NotedEnd::moment).find(|moment| at_micros < *moment);
        let hash = self.hash_moment().filter(|moment| at_micros < *moment);
        ends.into_iter().chain(hash).min()
    }

    /// Notes that the commit from [`next`](Self::next) is in the journal and in the chain, with a hash or without.
    pub fn note_commit(&mut self, at_micros: u64, has_hash: bool) {
        self.committed_at = Some(at_micros);
        self.is_promoted = false;
        self.lacks_hash = !has_hash;
        if has_hash {
            self.hashed_at = Some(at_micros);
        }
    }

    /// How long ago the last commit with a hash was; none if there was none since this began.
    pub fn hashed_micros(&self, at_micros: u64) -> Option<u64> {
        self.hashed_at.map(|hashed_at| at_micros.saturating_sub(hashed_at))
    }

    /// When there is to be a commit for its hash alone, since the last one has none: without a hash no node makes a
    /// base.
    fn hash_moment(&self) -> Option<u64> {
        let hashed_at = self.hashed_at.unwrap_or_default();
        self.lacks_hash.then(|| hashed_at.saturating_add(HASH_INTERVAL_MICROS))
    }

    /// The greatest time that the journal had [`LAG_MICROS`] ago, so that most of what is earlier has arrived; none
    /// if it is not known.
    pub fn until(&self, at_micros: u64) -> Option<Time> {
        let mut past = self.ends.iter().rev().filter(|end| end.moment() <= at_micros);
        past.next().map(|end| end.greatest)
    }

    /// The next commit and its name, without a hash. `tentative` has the places of what the chain does not
    /// cover, commits that do not count included, in any order.
    ///
    /// # Errors
    /// If it is not time for one: why.
    pub fn next<'a>(
        &self,
        at_micros: u64,
        heard: PeersHeard,
        chain: &Chain,
        tentative: impl Iterator<Item = &'a Place> + Clone,
    ) -> Result<(Name, Commit), NoCommit> {
        let Aim { source, epoch, begins } = self.aim(chain, heard)?;
        let is_soon = |at: u64| at_micros < at.saturating_add(COMMIT_INTERVAL_MICROS);
        if self.committed_at.is_some_and(is_soon) {
            return Err(NoCommit::Idle);
        }
        let until = self.until(at_micros).ok_or(NoCommit::Idle)?;
        let after = chain.last().filter(|_| begins);
        let (clock, is_worthwhile) = prefixes(chain, tentative.clone(), until);
        let until = until.min(least_left(chain, tentative, &clock));
        // An epoch begins at once: before its first commit nobody knows that the old one has ended.
        let is_for_hash = self.hash_moment().is_some_and(|moment| moment <= at_micros);
        if !is_worthwhile && !is_for_hash && after.is_none() {
            return Err(NoCommit::Idle);
        }
        let id = chain.next_id(&source);
        let commit = Commit { epoch, after, until, clock, horizon: self.horizon, hash: None };
        Ok((Name { source, id }, commit))
    }

    fn is_own(&self, tip: Option<&Source>) -> bool {
        let life = tip.and_then(|tip| tip.epoch()).map(|epoch| epoch.life);
        life == Some(self.life.as_str())
    }

    fn aim(&self, chain: &Chain, heard: PeersHeard) -> Result<Aim, NoCommit> {
        // If no other node has a base in the chain any more, a promotion makes this one's base count again.
        if chain.is_outside() && !self.is_promoted {
            return Err(NoCommit::Outside);
        }
        let tip = chain.tip().and_then(|tip| Some((tip, tip.epoch()?)));
        let is_known = chain.has_life(&self.life);
        let aim = match tip {
            Some((tip, epoch)) if self.is_own(Some(tip)) => {
                Aim { source: tip.clone(), epoch: epoch.number, begins: false }
            }
            Some((_, epoch)) if self.is_promoted => self.begin(epoch.number + 1)?,
            None if self.is_promoted || self.is_appointed => self.begin(1)?,
            // It lost its journal, or began a new life. Only once in a life: else two nodes of one name would
            // overtake one another for ever.
            Some((_, epoch))
                if self.is_appointed && !is_known && Some(epoch.name) == self.life.life_name() =>
            {
                self.begin(epoch.number + 1)?
            }
            Some((tip, _)) if self.is_appointed || is_known => {
                return Err(NoCommit::Overtaken(tip.clone()));
            }
            _ => return Err(NoCommit::NotPrimary),
        };
        // A promotion is for the case that not all peers can be reached.
        let is_by_itself = aim.begins && !self.is_promoted;
        let needed = if is_by_itself { PeersHeard::All } else { PeersHeard::Reachable };
        if heard < needed { Err(NoCommit::Unheard) } else { Ok(aim) }
    }

    fn begin(&self, epoch: u64) -> Result<Aim, NoCommit> {
        let source = self.life.committer(epoch).ok().filter(|_| epoch <= MAX_EPOCH);
        source.map(|source| Aim { source, epoch, begins: true }).ok_or(NoCommit::UsedUp)
    }
}

/// For each source with something new the Id up to which (exclusive) all have a time up to `until`, and whether
/// not all of that is commits. Void transactions are left out.
fn prefixes<'a>(
    chain: &Chain,
    tentative: impl Iterator<Item = &'a Place> + Clone,
    until: Time,
) -> (BTreeMap<Source, u64>, bool) {
    let tentative = tentative.filter(|place| !chain.is_too_late(place));
    let mut ends: BTreeMap<&Source, u64> = BTreeMap::new();
    for place in tentative.clone().filter(|place| place.time > until) {
        let end = ends.entry(&place.source).or_insert(place.id);
        *end = (*end).min(place.id);
    }
    let is_before_end = |place: &&Place| ends.get(&place.source).is_none_or(|end| place.id < *end);
    let (mut clock, mut is_worthwhile) = (BTreeMap::new(), false);
    for place in tentative.filter(is_before_end) {
        let next = clock.entry(place.source.clone()).or_insert(0);
        *next = (place.id + 1).max(*next);
        is_worthwhile |= place.source.epoch().is_none();
    }
    // The rest is for the next commit.
    while clock.len() > MAX_SOURCES {
        clock.pop_last();
    }
    (clock, is_worthwhile)
}

/// The least time of the transactions that a commit with this clock leaves to the next one: the floor must not pass
/// it. Void ones do not count.
fn least_left<'a>(
    chain: &Chain,
    tentative: impl Iterator<Item = &'a Place>,
    clock: &BTreeMap<Source, u64>,
) -> Time {
    let is_left = |place: &&Place| {
        let is_covered = clock.get(&place.source).is_some_and(|next| place.id < *next);
        place.source.epoch().is_none() && !is_covered && !chain.is_too_late(place)
    };
    tentative.filter(is_left).map(|place| place.time).min().unwrap_or(Time::MAX)
}

/// Whether the commit of this name has to have the hash of the document, whose text has so many bytes. The last
/// commit with a hash was `since_micros` ago.
pub fn hash_is_due(name: &Name, text_bytes: u64, since_micros: Option<u64>) -> bool {
    name.id == FIRST_ID
        || text_bytes <= HASHED_ALWAYS_BYTES
        || since_micros.is_none_or(|since| since >= HASH_INTERVAL_MICROS)
}
