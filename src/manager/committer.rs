//! Commits: makes a part of the history final, if this node is the primary.
//!
//! [`commit::Primary`] decides what a commit says and when. This file gives it what a running node has: a clock
//! that never goes back, what was read of the peers, and the moments to look. An idle node has no such moment: a
//! node that is not the primary looks only if the end of the chain changes, and a primary that has nothing to
//! commit only if the journal grows.

use std::io;
use std::time::{Duration, Instant};

use super::background::Background;
use super::{JournalPast, Manager, Outcome, wall_clock};
use crate::clock::Time;
use crate::commit::{self, Chain, NoCommit, PeersHeard};
use crate::replica::{Prepared, Replica};
use crate::source::{FIRST_ID, MAX_EPOCH, Source};
use crate::transaction::Name;
use log::Level;

/// When it looks again if it waits for something that wakes nobody.
const RETRY_MICROS: u64 = 1_000_000;

/// When it looks again if it lets other work go first.
const RESTRAINT_MICROS: u64 = 100_000;

/// The longest time for which it lets other work go first: without commits, the journal cannot be folded.
const MOST_RESTRAINT_MICROS: u64 = 10_000_000;

/// If a turn took longer than this, the node lags behind its peers: what they wrote meanwhile is not here yet, and
/// would arrive after the commit.
const LONG_TURN: Duration = Duration::from_secs(1);

/// If the primary has not read enough of its peers for so long, it logs that. Before, it may just have started.
const UNHEARD_MICROS: u64 = 10_000_000;

/// What this node has read of its peers since it started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hearing {
    /// How much that is.
    pub heard: PeersHeard,
    /// The peers whose journals it has not read to the end.
    pub unread: Vec<String>,
}

/// Finds out what was read of the peers.
pub type Listen = Box<dyn Fn() -> Hearing + Send + Sync>;

/// The answer to the request to be the primary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Promotion {
    /// The node begins this epoch.
    Begins(u64),
    /// It is the primary.
    IsPrimary,
    /// Its journal is in memory, and a primary must not forget.
    Forgetful,
    /// It has not read all peers that it can reach; these are unread.
    Unheard(Vec<String>),
    /// There is no further epoch.
    UsedUp,
}

/// A node that commits, or may be asked to.
pub struct Committer {
    primary: commit::Primary,
    life: Source,
    listen: Listen,
    started: Instant,
    /// When to look whether there is something to commit, in microseconds since the start; none if there is no reason
    /// to.
    look_at: Option<u64>,
    /// As long as these are its life and the end of the chain, the node does not commit.
    silent_at: Option<LifeAndTip>,
    restrained_since: Option<u64>,
    /// How long the journal is, and since when.
    length: (u64, u64),
    work: Option<PreparingCommit>,
    told: CommitterLog,
}

/// The next commit while another thread prepares it, which may have to hash a large document.
struct PreparingCommit {
    at: u64,
    hearing: Hearing,
    standing: LifeAndTip,
    last: Option<Name>,
    next: Background<CommitDecision>,
}

/// The next commit, or why there is none.
pub type CommitDecision = io::Result<Result<Prepared, NoCommit>>;

/// What decides whether a node commits at all, besides what it has read of its peers.
#[derive(Clone, Debug, PartialEq, Eq)]
struct LifeAndTip {
    life: Source,
    /// The source of the chain's end.
    tip: Option<Source>,
}

/// What was logged: each trouble is logged once, until another one follows.
#[derive(Debug)]
struct CommitterLog {
    is_appointed: bool,
    has_committed: bool,
    by: Option<Source>,
    is_used_up: bool,
    /// Since when it has not read enough of its peers.
    unheard_since: Option<u64>,
    is_unheard: bool,
    failure: String,
}

impl Committer {
    /// For a node with this life; `is_appointed` says whether it was started as the primary.
    pub fn new(life: Source, is_appointed: bool, horizon: Duration, listen: Listen) -> Self {
        let primary = commit::Primary::new(life.clone(), is_appointed, horizon.as_secs());
        Self {
            primary,
            life,
            listen,
            started: Instant::now(),
            look_at: Some(0),
            silent_at: None,
            restrained_since: None,
            length: (0, 0),
            work: None,
            told: CommitterLog::new(is_appointed),
        }
    }

    /// When to look whether there is something to commit; none if there is no reason to.
    pub fn looks(&self) -> Option<Instant> {
        self.look_at.map(|at| self.started + Duration::from_micros(at))
    }

    fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// When to look again; none if time alone changes nothing. The journal's length counts too, since a late arrival
    /// does not change its greatest time.
    fn next_moment(&self, at: u64) -> Option<u64> {
        let (_, since) = self.length;
        let grown = since + commit::LAG_MICROS;
        self.primary.next_moment(at).or((at < grown).then_some(grown))
    }

    /// Notes the life, the chain, the length of the journal and its greatest time. Returns whether it is time to
    /// commit, if there is something to commit. A node that `lags` lets other work go first for a while.
    fn look(
        &mut self,
        at: u64,
        life: &Source,
        chain: &Chain,
        (length, greatest): (u64, Time),
        lags: bool,
    ) -> bool {
        if length != self.length.0 {
            self.length = (length, at);
        }
        if self.life != *life {
            self.life = life.clone();
            self.primary.begin_life(life.clone());
        }
        self.primary.note_end(at, greatest);
        let is_as_before = |standing: &LifeAndTip| standing.is_as(life, chain);
        if self.silent_at.as_ref().is_some_and(is_as_before) {
            return false;
        }
        if self.silent_at.take().is_some() {
            self.look_at = Some(at);
        }
        if self.work.is_some() {
            return false;
        }
        if self.look_at.is_none_or(|look_at| at < look_at) {
            let moment = self.next_moment(at);
            self.look_at = self.look_at.into_iter().chain(moment).min();
            return false;
        }
        let since = *self.restrained_since.get_or_insert(at);
        if lags && at < since.saturating_add(MOST_RESTRAINT_MICROS) {
            self.look_at = Some(at + RESTRAINT_MICROS);
            return false;
        }
        self.restrained_since = None;
        true
    }

    /// Begins to prepare the next commit.
    fn begin(&mut self, replica: Replica, past: JournalPast) {
        let (at, hearing) = (self.now(), (self.listen)());
        let chain = replica.history().chain();
        let (standing, last) = (LifeAndTip::new(&self.life, chain), chain.last());
        let (primary, heard, now) = (self.primary.clone(), hearing.heard, wall_clock());
        let hashed = self.primary.hashed_micros(at);
        let next = move || replica.prepare_commit(&primary, (at, hashed), heard, now, &past);
        let next = Background::new(smol::unblock(next));
        self.look_at = None;
        self.work = Some(PreparingCommit { at, hearing, standing, last, next });
    }

    /// The preparation of the next commit, if it is under way.
    pub fn work(&mut self) -> Option<&mut Background<CommitDecision>> {
        self.work.as_mut().map(|work| &mut work.next)
    }

    /// The result of the preparation, if it has ended.
    async fn take_decision(&mut self) -> Option<(PreparingCommit, CommitDecision)> {
        if !self.work()?.is_done().await {
            return None;
        }
        let mut work = self.work.take()?;
        let found = work.next.take()?;
        Some((work, found))
    }

    /// Notes why there is no commit.
    fn rest(&mut self, at: u64, silence: &NoCommit, hearing: &Hearing, standing: LifeAndTip) {
        self.look_at = match silence {
            NoCommit::Idle => self.next_moment(at),
            NoCommit::Unheard | NoCommit::Outside => Some(at + RETRY_MICROS),
            NoCommit::NotPrimary | NoCommit::Overtaken(_) | NoCommit::UsedUp => {
                self.silent_at = Some(standing);
                None
            }
        };
        if let Some((level, line)) = self.told.silence(at, silence, hearing, &self.life) {
            log::log!(level, "{line}");
        }
    }

    /// Notes that a commit is in the journal.
    fn commits(&mut self, name: &Name, has_hash: bool, greatest: Time) {
        let at = self.now();
        self.primary.note_commit(at, has_hash);
        self.primary.note_end(at, greatest);
        self.look_at = self.next_moment(at);
        self.told.commits(name);
    }

    /// Notes that a commit was due and failed.
    fn fail(&mut self, why: &str) {
        self.look_at = Some(self.now() + RETRY_MICROS);
        if let Some(line) = self.told.failure(why) {
            log::error!("{line}");
        }
    }

    /// Begins the next epoch, if it may.
    fn promote(&mut self, chain: &Chain) -> Promotion {
        let Hearing { heard, unread } = (self.listen)();
        let epoch = chain.tip().and_then(|tip| tip.epoch()).map_or(0, |epoch| epoch.number) + 1;
        if heard < PeersHeard::Reachable {
            return Promotion::Unheard(unread);
        }
        if !self.primary.promote(chain) {
            return Promotion::IsPrimary;
        }
        self.silent_at = None;
        self.look_at = Some(self.now());
        // That commit is prepared for the epoch before.
        self.work = None;
        if epoch > MAX_EPOCH { Promotion::UsedUp } else { Promotion::Begins(epoch) }
    }
}

impl Manager {
    /// Lets the node commit if it is or becomes the primary. This needs a journal on a disk. `listen` finds out what
    /// was read of the peers.
    pub fn with_primary(mut self, is_appointed: bool, horizon: Duration, listen: Listen) -> Self {
        if self.keeper.is_some() {
            let life = self.replica.life().source().clone();
            self.committer = Some(Committer::new(life, is_appointed, horizon, listen));
            self.note_that_it_commits(is_appointed);
        }
        self
    }

    pub(super) fn promote(&mut self) -> Promotion {
        let chain = self.replica.history().chain();
        let Some(committer) = &mut self.committer else { return Promotion::Forgetful };
        let promotion = committer.promote(chain);
        self.note_that_it_commits(matches!(promotion, Promotion::Begins(_)));
        promotion
    }

    /// Publishes that this node is to commit: readers that wait for a commit must know it before the first one.
    fn note_that_it_commits(&mut self, is_to_commit: bool) {
        if is_to_commit && !self.counters.is_to_commit {
            self.counters.is_to_commit = true;
            self.publisher.publish(&self.replica, self.counters);
        }
    }

    /// Commits if it is time to, after a turn that took so long.
    ///
    /// # Errors
    /// If the journal cannot be used any more.
    pub(super) async fn commit_where_due(&mut self, took: Duration) -> io::Result<()> {
        // If a peer's batch waits, it is a late arrival, or the inbox is full, or the last turn was long.
        let lags = took > LONG_TURN || self.inbox.is_full() || self.late.ends().is_some();
        let Some(committer) = &mut self.committer else { return Ok(()) };
        let replica = &self.replica;
        let (life, chain) = (replica.life().source(), replica.history().chain());
        let end = (replica.length(), replica.greatest());
        if committer.look(committer.now(), life, chain, end, lags) {
            let past = JournalPast::new(self.journal.reader(), self.bases.clone());
            committer.begin(replica.clone(), past);
        }
        let Some((work, next)) = committer.take_decision().await else { return Ok(()) };
        let is_as_before = work.standing.is_as(life, chain)
            && work.last == chain.last()
            && replica.difference().is_none();
        let Prepared { transaction, floor } = match next {
            Ok(Ok(prepared)) if is_as_before => prepared,
            Ok(Ok(_)) => {
                committer.look_at = Some(work.at);
                return Ok(());
            }
            Ok(Err(silence)) => {
                committer.rest(work.at, &silence, &work.hearing, work.standing);
                let is_appointed = committer.told.is_appointed;
                let two_primaries = is_appointed && matches!(silence, NoCommit::Overtaken(_));
                if self.counters.two_primaries != two_primaries {
                    self.counters.two_primaries = two_primaries;
                    self.publisher.publish(&self.replica, self.counters);
                }
                return Ok(());
            }
            Err(error) => {
                committer.fail(&error.to_string());
                return Ok(());
            }
        };
        let name = transaction.name();
        let has_hash = transaction.commit.as_ref().is_some_and(|commit| commit.hash.is_some());
        self.counters.two_primaries = false;
        if let Some(floor) = floor {
            self.replica.expect(floor);
        }
        let answer = self.take_in(vec![vec![transaction]]).await?.into_iter().flatten().next();
        let greatest = self.replica.greatest();
        let Some(committer) = &mut self.committer else { return Ok(()) };
        match answer {
            Some(Ok(Outcome::Accepted(_))) => committer.commits(&name, has_hash, greatest),
            Some(Err(error)) => committer.fail(&error.to_string()),
            other => committer.fail(&format!("{other:?}")),
        }
        Ok(())
    }
}

impl LifeAndTip {
    fn new(life: &Source, chain: &Chain) -> Self {
        Self { life: life.clone(), tip: chain.tip().cloned() }
    }

    fn is_as(&self, life: &Source, chain: &Chain) -> bool {
        self.life == *life && self.tip.as_ref() == chain.tip()
    }
}

impl CommitterLog {
    fn new(is_appointed: bool) -> Self {
        Self {
            is_appointed,
            has_committed: false,
            by: None,
            is_used_up: false,
            unheard_since: None,
            is_unheard: false,
            failure: String::new(),
        }
    }

    /// The line to log if there is no commit; none if it was logged before.
    fn silence(
        &mut self,
        at: u64,
        silence: &NoCommit,
        hearing: &Hearing,
        life: &Source,
    ) -> Option<(Level, String)> {
        if *silence != NoCommit::Unheard {
            self.unheard_since = None;
            self.is_unheard = false;
        }
        match silence {
            NoCommit::Overtaken(by) if self.by.as_ref() != Some(by) => {
                self.by = Some(by.clone());
                let (life, by) = (life.as_str().escape_debug(), by.as_str().escape_debug());
                if self.is_appointed {
                    let line = format!(
                        "there are two primaries: this node, {life}, was started with --primary, and what \
                         counts are the commits of {by}. This one makes nothing final. Start only one node \
                         of the mesh with --primary; if the other one is gone for good, have this one take \
                         its place: patchmesh promote http://host:port"
                    );
                    return Some((Level::Error, line));
                }
                // It may have been the primary long ago.
                self.has_committed.then(|| {
                    (Level::Warn, format!("this node, {life}, is the primary no more: {by} is"))
                })
            }
            NoCommit::UsedUp if !self.is_used_up => {
                self.is_used_up = true;
                Some((Level::Error, "there is no further epoch: nothing is made final".to_owned()))
            }
            NoCommit::Unheard => {
                let since = *self.unheard_since.get_or_insert(at);
                if self.is_unheard || at < since.saturating_add(UNHEARD_MICROS) {
                    return None;
                }
                self.is_unheard = true;
                let unread = hearing.unread.join(", ");
                let line = if hearing.heard == PeersHeard::Reachable {
                    format!(
                        "this node makes nothing final before it has read all its peers to their end, since \
                         it has to begin an epoch; not read yet: {unread}. If these are gone for good, have \
                         it go on without them: patchmesh promote http://host:port"
                    )
                } else {
                    format!(
                        "this node makes nothing final before it has read the peers that it can reach to \
                         their end, and one at least; not read yet: {unread}"
                    )
                };
                Some((Level::Warn, line))
            }
            _ => None,
        }
    }

    /// The line to log if a commit failed; none if it was logged before.
    fn failure(&mut self, why: &str) -> Option<String> {
        if self.failure == why {
            return None;
        }
        self.failure = why.to_owned();
        Some(format!("this node is the primary, and cannot make final what is written: {why}"))
    }

    /// Logs the first commit of an epoch, or the first after a trouble.
    fn commits(&mut self, name: &Name) {
        if name.id == FIRST_ID {
            let epoch = name.source.epoch().map_or(0, |epoch| epoch.number);
            log::info!("this node is the primary: it begins epoch {epoch}");
        } else if self.is_unheard || !self.failure.is_empty() {
            log::info!("this node makes final again what is written");
        }
        *self = Self { has_committed: true, ..Self::new(self.is_appointed) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;

    fn source(text: &str) -> Source {
        text.parse().unwrap()
    }

    fn hearing(heard: PeersHeard) -> Hearing {
        Hearing { heard, unread: vec!["a:1".into(), "b:1".into()] }
    }

    fn committer(is_appointed: bool, heard: PeersHeard) -> Committer {
        let listen = Box::new(move || hearing(heard));
        Committer::new(source("me~00000000"), is_appointed, Duration::from_secs(60), listen)
    }

    fn time(micros: u64) -> Time {
        Time::from_micros(micros).unwrap()
    }

    /// Looks, and rests if there is no commit. Returns whether it was time to commit.
    fn look(committer: &mut Committer, at: u64, greatest: u64, lags: bool) -> bool {
        let (life, chain) = (committer.life.clone(), Chain::default());
        let end = (greatest, time(greatest));
        if !committer.look(at, &life, &chain, end, lags) {
            return false;
        }
        let hearing = (committer.listen)();
        let nothing = [].iter();
        let silence = committer.primary.next(at, hearing.heard, &chain, nothing).unwrap_err();
        committer.rest(at, &silence, &hearing, LifeAndTip::new(&life, &chain));
        true
    }

    #[test]
    fn who_is_no_primary_looks_once_and_then_only_if_something_else_is_the_case() {
        let mut node = committer(false, PeersHeard::All);
        assert_eq!(node.look_at, Some(0));
        assert!(look(&mut node, 0, 1, false));
        for at in 1..50 {
            assert!(!look(&mut node, at * SECOND, 2 + at, false));
            assert_eq!(node.look_at, None);
        }
        let life = source("me~11111111");
        assert!(node.look(51 * SECOND, &life, &Chain::default(), (60, time(60)), false));
        assert_eq!(node.promote(&Chain::default()), Promotion::Begins(1));
        assert!(node.look_at.is_some());
        assert!(look(&mut node, 52 * SECOND, 60, false));
        assert!(node.look_at.is_some());
    }

    #[test]
    fn an_idle_primary_has_no_reason_to_look() {
        let mut node = committer(true, PeersHeard::All);
        assert!(look(&mut node, 0, 1, false));
        let mut looks = 0;
        while let Some(at) = node.look_at {
            looks += usize::from(look(&mut node, at, 1, false));
        }
        assert_eq!(looks, 1);
        // A new transaction is a reason to look when it is old enough, but not at every turn.
        for millis in 0..1000 {
            let at = 10 * SECOND + millis * 1000;
            assert!(!look(&mut node, at, 2 + millis, false));
            assert_eq!(node.look_at, Some(10 * SECOND + commit::LAG_MICROS));
        }
        assert!(look(&mut node, 12 * SECOND, 1001, false));
    }

    #[test]
    fn what_comes_late_is_a_reason_to_look_too() {
        let mut node = committer(true, PeersHeard::All);
        let (life, chain) = (node.life.clone(), Chain::default());
        let look_at = |node: &mut Committer, at, length| {
            let is_time = node.look(at, &life, &chain, (length, time(7)), false);
            if is_time {
                let standing = LifeAndTip::new(&life, &chain);
                node.rest(at, &NoCommit::Idle, &hearing(PeersHeard::All), standing);
            }
            is_time
        };
        assert!(look_at(&mut node, 0, 1));
        assert!(look_at(&mut node, commit::LAG_MICROS, 1));
        assert_eq!(node.look_at, None);
        // The journal is longer, and its greatest time is what it was.
        assert!(!look_at(&mut node, 10 * SECOND, 2));
        assert_eq!(node.look_at, Some(10 * SECOND + commit::LAG_MICROS));
        assert!(look_at(&mut node, 10 * SECOND + commit::LAG_MICROS, 2));
        assert_eq!(node.look_at, None);
    }

    #[test]
    fn who_lags_lets_others_go_first_for_a_while() {
        let mut node = committer(true, PeersHeard::All);
        for tenth in 0..100 {
            let at = tenth * RESTRAINT_MICROS;
            assert!(!look(&mut node, at, 1, true), "{tenth}");
            assert_eq!(node.look_at, Some(at + RESTRAINT_MICROS));
        }
        assert!(look(&mut node, MOST_RESTRAINT_MICROS, 1, true));
        // The restraint begins again, and ends as soon as the node does not lag.
        assert!(!look(&mut node, 20 * SECOND, 2, true));
        let at = node.look_at.unwrap();
        assert_eq!(at, 20 * SECOND + commit::LAG_MICROS);
        assert!(!look(&mut node, at, 2, true));
        assert!(look(&mut node, at + RESTRAINT_MICROS, 2, false));
    }

    #[test]
    fn who_is_not_heard_enough_tries_again_and_is_not_promoted() {
        let mut node = committer(true, PeersHeard::Less);
        for second in 0..20 {
            assert!(look(&mut node, second * SECOND, 1, false));
            assert_eq!(node.look_at, Some((second + 1) * SECOND));
        }
        let unread = vec!["a:1".into(), "b:1".into()];
        assert_eq!(node.promote(&Chain::default()), Promotion::Unheard(unread));
    }

    #[test]
    fn the_log_is_told_of_a_trouble_once() {
        let (all, reachable, less) = (PeersHeard::All, PeersHeard::Reachable, PeersHeard::Less);
        let by = |text: &str| NoCommit::Overtaken(source(text));
        let (unheard, idle) = (NoCommit::Unheard, NoCommit::Idle);
        // The second, whether it was appointed, why there is no commit, what it has read, and the expected line.
        let table = [
            (
                0,
                true,
                by("a~00000000^2"),
                all,
                Some((Level::Error, "are the commits of a~00000000^2")),
            ),
            (1, true, by("a~00000000^2"), all, None),
            (2, true, by("b~00000000^3"), all, Some((Level::Error, "--primary; if the other one"))),
            (3, true, unheard.clone(), less, None),
            (12, true, unheard.clone(), less, None),
            (
                13,
                true,
                unheard.clone(),
                less,
                Some((Level::Warn, "one at least; not read yet: a:1, b:1")),
            ),
            (14, true, unheard.clone(), less, None),
            (15, true, idle.clone(), all, None),
            (16, true, unheard.clone(), reachable, None),
            (
                26,
                true,
                unheard.clone(),
                reachable,
                Some((Level::Warn, "a:1, b:1. If these are gone")),
            ),
            (27, true, NoCommit::UsedUp, all, Some((Level::Error, "no further epoch"))),
            (28, true, NoCommit::UsedUp, all, None),
            (29, true, NoCommit::NotPrimary, all, None),
            (30, false, by("a~00000000^2"), all, None),
            (31, false, by("b~00000000^3"), all, Some((Level::Warn, "the primary no more: b~"))),
        ];
        let mut told = CommitterLog::new(true);
        let life = source("me~00000000");
        for (second, is_appointed, silence, heard, expected) in table {
            told.is_appointed = is_appointed;
            if second == 31 {
                told.commits(&Name { source: source("me~00000000^2"), id: 2 });
            }
            let line = told.silence(second * SECOND, &silence, &hearing(heard), &life);
            let level = line.as_ref().map(|(level, _)| *level);
            assert_eq!(level, expected.map(|(level, _)| level), "{second}: {line:?}");
            if let (Some((_, line)), Some((_, text))) = (line, expected) {
                assert!(line.contains(text), "{line}");
            }
        }
    }
}
