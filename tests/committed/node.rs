//! A node of the lab: a replica, its journal and what else is on its disk.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;

use patchmesh::internals::clock::{Time, VectorClock};
use patchmesh::internals::commit::Primary;
use patchmesh::internals::replica::floor::Floor;
use patchmesh::internals::replica::{
    Acceptance, Base, Bounds, Difference, Life, Prepared, Rebase, Replica, Saved,
};
use patchmesh::internals::source::Source;
use patchmesh::internals::transaction::{Name, Record, Transaction};

use crate::definition::{self, Definition};
use crate::journal::Journal;

/// Where a reader is in the journal of a peer.
#[derive(Debug)]
pub struct Stream {
    pub position: u64,
    /// The reader's clock when it dialed: what it has seen is left out.
    pub since: VectorClock,
}

/// The source of the chain's end, the last commit that counts, and why the node has to take a base.
pub type Standing = (Option<Source>, Option<Name>, Option<Difference>);

/// Transactions, and what the lab knows of them.
pub type Held = BTreeMap<Name, Rc<definition::Record>>;

/// A copy of a disk.
#[derive(Clone)]
struct Copy {
    life: Source,
    journal: Journal,
    saved: Option<(Saved, Option<Name>)>,
    own: VectorClock,
    held: Held,
}

pub struct Node {
    pub name: String,
    pub is_in_memory: bool,
    pub is_appointed: bool,
    /// How far its wall clock is off.
    pub ahead_micros: i64,
    bounds: Bounds,
    pub replica: Replica,
    pub journal: Journal,
    /// All that its state stands for.
    pub held: Held,
    /// What was saved, and the base's commit then.
    saved: Option<(Saved, Option<Name>)>,
    /// The Ids by which it has stamped, which are kept with a base.
    own: VectorClock,
    /// What was on its disk once.
    copy: Option<Copy>,
    pub was_put_back: bool,
    /// The floors to which it may fold.
    pub floors: Vec<Arc<Floor>>,
    pub primary: Primary,
    /// What it is about to commit, and how it stood when that was found out.
    pub prepared: Option<(Prepared, Standing)>,
    pub streams: BTreeMap<usize, Stream>,
    /// The peers whose journals it has read to their end since it started.
    pub heard: BTreeSet<usize>,
    /// How far it has read the plain node.
    pub plain_read: usize,
    definition: Option<Rc<Definition>>,
}

fn life(source: &Source) -> Life {
    Life::new(source.clone()).expect("it is short")
}

fn bounds(random: &mut fastrand::Rng) -> Bounds {
    match random.u8(..3) {
        0 => Bounds::default(),
        1 => Bounds {
            recent_transactions: random.usize(1..6),
            checkpoints: random.usize(..4),
            checkpoint_spacing: random.u64(1..6),
            skipped_listed: random.usize(1..8),
            ..Bounds::default()
        },
        _ => Bounds {
            recent_transactions: random.usize(5..40),
            checkpoint_spacing: random.u64(1..20),
            ..Bounds::default()
        },
    }
}

impl Node {
    pub fn new(
        name: String,
        source: &Source,
        is_in_memory: bool,
        random: &mut fastrand::Rng,
    ) -> Self {
        let bounds = bounds(random);
        Self {
            primary: Primary::new(source.clone(), false, 1),
            prepared: None,
            name,
            is_in_memory,
            is_appointed: false,
            ahead_micros: 0,
            replica: Replica::new(life(source), bounds),
            bounds,
            journal: Journal::new([1, 2, 3, 7, 1000][random.usize(..5)]),
            held: Held::new(),
            saved: None,
            own: VectorClock::default(),
            copy: None,
            was_put_back: false,
            floors: Vec::new(),
            streams: BTreeMap::new(),
            heard: BTreeSet::new(),
            plain_read: 0,
            definition: None,
        }
    }

    pub fn life(&self) -> &Source {
        self.replica.life().source()
    }

    pub fn standing(&self) -> Standing {
        let chain = self.replica.history().chain();
        (chain.tip().cloned(), chain.last(), self.replica.difference().cloned())
    }

    pub fn wall(&self, now_micros: u64) -> Time {
        Time::from_micros(now_micros.saturating_add_signed(self.ahead_micros)).expect("it is early")
    }

    /// Forgets what a process knows; `horizon` in seconds.
    pub fn start(&mut self, horizon: u64) {
        self.primary = Primary::new(self.life().clone(), self.is_appointed, horizon);
        self.prepared = None;
        self.streams.clear();
        self.heard.clear();
        self.plain_read = 0;
    }

    /// Forgets all, and goes on as another life.
    pub fn lose(&mut self, source: &Source, horizon: u64, random: &mut fastrand::Rng) {
        let (ahead_micros, is_appointed) = (self.ahead_micros, self.is_appointed);
        *self = Self::new(std::mem::take(&mut self.name), source, self.is_in_memory, random);
        (self.ahead_micros, self.is_appointed) = (ahead_micros, is_appointed);
        self.start(horizon);
    }

    pub fn accept(&mut self, submissions: Vec<Vec<Transaction>>, now: Time) -> Acceptance {
        let may_read = self.replica.needs_past(&submissions);
        self.journal.reads.set(0);
        let acceptance = self.replica.accept(submissions, now, &self.journal);
        let acceptance = acceptance.unwrap();
        assert!(may_read || self.journal.reads.get() == 0, "it reads the journal unsaid");
        self.journal.append(&acceptance.records);
        self.definition = None;
        if acceptance.has_other_chain {
            self.streams.clear();
        }
        self.note_floor();
        acceptance
    }

    fn note_floor(&mut self) {
        let passed = |floor: &Arc<Floor>| floor.passed;
        let last = self.floors.last().map(passed);
        if let Some(floor) = self.replica.history().verified()
            && last != Some(floor.passed)
        {
            self.floors.push(floor.clone());
        }
    }

    /// Writes down what the next start may begin with.
    pub fn save(&mut self) {
        let base = self.replica.history().chain().base().commit.clone();
        self.saved = self.replica.save().map(|saved| (saved, base));
    }

    /// The base that it gives to others. It may have started since its last commit with a hash.
    pub fn base(&self) -> Option<Base> {
        let kept = self.journal.base.as_ref().map(|(base, _)| base.clone());
        self.replica.base().or(kept.filter(|_| self.replica.difference().is_none()))
    }

    /// Folds to a floor, if that counts still. A node that ends on the way has written the base and not more.
    pub fn fold(&mut self, floor: &Arc<Floor>, ends_on_the_way: bool) -> bool {
        let mut folded = self.replica.clone();
        if !folded.fold(floor) {
            return false;
        }
        self.own = self.replica.own().clone();
        self.journal.base = Some((Base::of(floor), floor.position));
        if !ends_on_the_way {
            self.replica = folded;
            self.floors.retain(|other| other.passed > floor.passed);
        }
        true
    }

    /// Drops of the journal what the base stands for, all or some of it.
    pub fn trim(&mut self, random: &mut fastrand::Rng) {
        let begin = self.replica.history().begin().position;
        let position = random.u64(self.journal.begin()..=begin);
        self.journal.drop_before(if random.bool() { begin } else { position });
    }

    /// Makes a copy of its disk.
    pub fn copy_disk(&mut self) {
        let (life, journal) = (self.life().clone(), self.journal.clone());
        let (saved, own, held) = (self.saved.clone(), self.own.clone(), self.held.clone());
        self.copy = Some(Copy { life, journal, saved, own, held });
    }

    /// Has the copy on its disk, if there is one, and says what it held before. It has to be restarted.
    pub fn put_back(&mut self) -> Option<Held> {
        let copy = self.copy.clone()?;
        self.replica = Replica::new(life(&copy.life), self.bounds);
        (self.journal, self.saved, self.own) = (copy.journal, copy.saved, copy.own);
        self.was_put_back = true;
        let before = std::mem::take(&mut self.held);
        self.hold(copy.held);
        Some(before)
    }

    /// Goes on from what is on its disk.
    pub fn restart(&mut self, horizon: u64, now: Time, random: &mut fastrand::Rng) {
        self.replica = self.recovered(now, random);
        self.floors.clear();
        self.note_floor();
        self.start(horizon);
    }

    /// The replica as it would be after a restart.
    pub fn recovered(&self, now: Time, random: &mut fastrand::Rng) -> Replica {
        let life = life(self.life());
        let base = self.journal.base.as_ref();
        let commit = base.and_then(|(base, _)| base.committed.commit.clone());
        let is_of_base =
            |(saved, at): &&(Saved, _)| *at == commit && saved.position >= self.journal.begin();
        let (mut replica, mut position, mut resume) =
            match (self.saved.as_ref().filter(is_of_base), base) {
                (Some((saved, _)), _) if random.u8(..5) > 0 => {
                    let text = saved.document.root().to_text();
                    let loaded = Replica::load(life, &saved.summary, &text, self.bounds);
                    let (replica, resume) = loaded.expect("what was saved can be loaded");
                    let before = random.u64(..3).min(resume.position - self.journal.begin());
                    (replica, resume.position - before, Some(resume))
                }
                (_, Some((base, position))) => {
                    let base = read_again(base);
                    let (mut replica, resume) = Replica::after(life, base, *position, self.bounds);
                    replica.count_on_from(self.own.clone());
                    (replica, *position, Some(resume))
                }
                (_, None) => (Replica::new(life, self.bounds), 0, None),
            };
        let longest = [self.journal.end() as usize, 1, 3, 10][random.usize(..4)];
        while position < self.journal.end() {
            let rest = self.journal.from(position);
            let stretch = rest[..random.usize(..longest.max(1)).min(rest.len() - 1) + 1].to_vec();
            let (count, past) = (stretch.len() as u64, self.journal.up_to(position));
            let recovered = replica.recover(position, stretch, &mut resume, now, &past);
            recovered.unwrap();
            position += count;
        }
        replica
    }

    /// Looks at all that it has, to take a base.
    pub fn look_through(&self, mut rebase: Rebase) -> Rebase {
        for transaction in self.journal.from(rebase.begin()) {
            let record = Record::read(&transaction.encode()).expect("it can be read");
            rebase.look_at(&record.expect("it has a time")).expect("it can be read");
        }
        rebase
    }

    /// Goes on as another life.
    pub fn begin_life(&mut self, source: &Source) {
        self.replica.begin_life(source.clone()).expect("it is short");
        self.primary.begin_life(source.clone());
        self.prepared = None;
    }

    /// Goes on from a base, what is kept is at the journal's end.
    pub fn enter(&mut self, base: Base, kept: &[Record], position: u64, now: Time) {
        let entered = self.replica.enter(base, kept, position, now, &self.journal);
        entered.unwrap();
        self.floors.clear();
        self.note_floor();
        self.streams.clear();
        self.definition = None;
    }

    /// Goes on as it was, though what would be kept is at the journal's end.
    pub fn go_on_without(&mut self, kept: &[Record], position: u64, now: Time) {
        let gone_on = self.replica.go_on_without(kept, position, now, &self.journal);
        gone_on.unwrap();
        self.definition = None;
    }

    /// Has the base on its disk that it is about to go on from.
    pub fn keep_base(&mut self, base: &Base, position: u64) {
        self.own = self.replica.own().clone();
        self.journal.base = Some((read_again(base), position));
    }

    /// Takes note that what it stands for is another set.
    pub fn hold(&mut self, held: Held) {
        self.held = held;
        self.definition = None;
    }

    /// What follows from what it holds, by the definition.
    pub fn definition(&mut self) -> Rc<Definition> {
        let held = &self.held;
        let made = || Rc::new(Definition::of(&held.values().cloned().collect::<Vec<_>>()));
        self.definition.get_or_insert_with(made).clone()
    }
}

/// A base as it is after it was written and read.
pub fn read_again(base: &Base) -> Base {
    Base::read(&base.summary(), base.document.clone()).expect("what was written can be read")
}
