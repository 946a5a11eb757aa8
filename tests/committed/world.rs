//! Random histories of several nodes: primaries that are slow, away, doubled, promoted, restarted, or lose their disk;
//! nodes that fold at any time, join by a base, and end between any two steps of that; links that are cut; wall clocks
//! that are off; clients that ask again elsewhere, and a plain node.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use patchmesh::internals::clock::Time;
use patchmesh::internals::commit::PeersHeard;
use patchmesh::internals::replica::{
    Acceptance, Base, Difference, MAX_AHEAD_MICROS, Outcome, Prepared, Refusal,
};
use patchmesh::internals::source::Source;
use patchmesh::internals::transaction::{self, Name, Place, Transaction};

use crate::check::{compare, compare_reads};
use crate::definition::{Definition, Document, Fate, Patch, Record, covers};
use crate::node::{Held, Node, Stream};

const STEPS: usize = 260;
/// Microseconds.
const LONGEST_STEP: u64 = 1_400_000;
/// Seconds.
const HORIZON: u64 = 150;
/// A primary with so much to read from a peer waits.
const BACKLOG: u64 = 4;
/// Microseconds for which a client asks again: less than a horizon.
const PATIENCE: u64 = 30_000_000;

/// How often what happened, so that it is known what the histories had in them.
pub type Tally = BTreeMap<&'static str, u64>;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Primaries {
    One,
    Slow,
    Away,
    Two,
    /// Two of one name.
    Twins,
}

/// Asks again until it knows what became of its request.
struct Client {
    source: Source,
    id: u64,
    /// What it asks for, and since when.
    asks: Option<(Patch, u64)>,
}

pub struct World {
    /// Whether it prints what happens.
    is_traced: bool,
    random: fastrand::Rng,
    is_at_end: bool,
    now: u64,
    lives: u64,
    nodes: Vec<Node>,
    /// Which nodes dial which.
    links: Vec<(usize, usize)>,
    cut: BTreeSet<(usize, usize)>,
    clients: Vec<Client>,
    primaries: Primaries,
    horizon: u64,
    has_faults: bool,
    has_promotions: bool,
    has_jumps: bool,
    has_folds: bool,
    /// Whether primaries lose their disks.
    has_losses: bool,
    /// What the plain node has written, in its order.
    plain: Vec<(Name, Patch)>,
    made: BTreeMap<Name, Rc<Record>>,
    acknowledged: BTreeSet<Name>,
    /// The names of what nobody has any more: a node lost its journal.
    lost: BTreeSet<Name>,
    /// The names of what somebody dropped for its time.
    dropped: BTreeSet<Name>,
    /// What each name stands for.
    patches: BTreeMap<Name, Patch>,
    /// The document at a commit.
    seen: BTreeMap<Name, Document>,
    tally: Tally,
}

impl World {
    pub fn new(seed: u64, is_traced: bool) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let count = random.usize(2..6);
        let kinds = [Primaries::One, Primaries::Slow, Primaries::Away, Primaries::Two];
        let kinds = [&kinds[..], &[Primaries::One, Primaries::Twins]].concat();
        let primaries = kinds[random.usize(..kinds.len())];
        let mut links: BTreeSet<(usize, usize)> = BTreeSet::new();
        for node in 1..count {
            let other = random.usize(..node);
            links.extend([(node, other), (other, node)]);
        }
        for (from, to) in (0..count).flat_map(|from| (0..count).map(move |to| (from, to))) {
            if from != to && random.u8(..10) < 3 {
                links.insert((from, to));
            }
        }
        let client = |number| Client {
            source: format!("client{number}~00000000").parse().unwrap(),
            id: 1,
            asks: None,
        };
        let mut world = Self {
            is_traced,
            is_at_end: false,
            now: 1_000_000_000,
            lives: 0,
            nodes: Vec::new(),
            links: links.into_iter().collect(),
            cut: BTreeSet::new(),
            clients: (0..random.u8(..3)).map(client).collect(),
            primaries,
            horizon: [HORIZON, HORIZON, HORIZON * 2 / 3][random.usize(..3)],
            has_faults: random.u8(..5) > 0,
            has_promotions: random.u8(..3) == 0,
            has_jumps: random.bool(),
            has_folds: random.u8(..4) > 0,
            has_losses: random.u8(..4) == 0,
            plain: Vec::new(),
            made: BTreeMap::new(),
            acknowledged: BTreeSet::new(),
            lost: BTreeSet::new(),
            dropped: BTreeSet::new(),
            patches: BTreeMap::new(),
            seen: BTreeMap::new(),
            tally: Tally::default(),
            random,
        };
        for number in 0..count {
            let is_second = number == 1;
            let name = if is_second && primaries == Primaries::Twins { 0 } else { number };
            let name = format!("n{name}");
            let life = world.life(&name);
            let is_appointed =
                number == 0 || is_second && [Primaries::Two, Primaries::Twins].contains(&primaries);
            let is_in_memory = !is_appointed && world.random.bool();
            let mut node = Node::new(name, &life, is_in_memory, &mut world.random);
            node.is_appointed = is_appointed;
            node.start(world.horizon);
            world.nodes.push(node);
        }
        world
    }

    pub fn run(mut self) -> Tally {
        for _ in 0..STEPS {
            self.step();
            if self.random.u8(..8) == 0 {
                let node = self.random.usize(..self.nodes.len());
                self.check(node);
            }
        }
        self.end();
        self.tally
    }

    fn tell(&self, at: usize, what: impl FnOnce() -> String) {
        if self.is_traced {
            println!("{} {} {}", self.now, self.nodes[at].life(), what());
        }
    }

    fn count(&mut self, what: &'static str, times: u64) {
        *self.tally.entry(what).or_default() += times;
    }

    fn life(&mut self, name: &str) -> Source {
        self.lives += 1;
        Source::begin_life(name, self.lives).expect("it is short")
    }

    fn peers(&self, node: usize) -> Vec<usize> {
        self.links.iter().filter(|(from, _)| *from == node).map(|(_, to)| *to).collect()
    }

    fn is_cut(&self, one: usize, other: usize) -> bool {
        self.cut.contains(&(one.min(other), one.max(other)))
    }

    /// Whether what is committed can only be what one primary after the other, each with a disk, said.
    fn is_alone(&self) -> bool {
        let is_alone = ![Primaries::Two, Primaries::Twins].contains(&self.primaries);
        is_alone && !self.has_promotions && !self.has_losses
    }

    fn step(&mut self) {
        self.now += self.random.u64(..=LONGEST_STEP);
        for node in &mut self.nodes {
            node.primary.note_end(self.now, node.replica.greatest());
        }
        let node = self.random.usize(..self.nodes.len());
        match self.random.u16(..1000) {
            0..180 => self.write(node),
            180..250 if !self.clients.is_empty() => self.ask(node),
            250..290 => self.plain(node),
            290..680 => {
                let peers = self.peers(node);
                let peer = peers[self.random.usize(..peers.len())];
                let most = self.random.usize(1..9);
                self.read(node, peer, most);
            }
            680..780 => {
                let is_away = match self.primaries {
                    Primaries::Slow => self.random.u8(..10) < 7,
                    Primaries::Away => (self.now / 40_000_000).is_multiple_of(2),
                    _ => false,
                };
                if !is_away {
                    (0..self.nodes.len()).for_each(|node| self.commit(node));
                }
            }
            780..830 => self.nodes[node].streams.clear(),
            830..870 if self.has_folds => self.fold(node),
            870..900 if self.has_faults => {
                let other = self.random.usize(..self.nodes.len());
                let link = (node.min(other), node.max(other));
                if !self.cut.remove(&link) {
                    self.cut.insert(link);
                }
            }
            900..915 if self.has_faults => {
                let ahead = [0, 0, -30_000_000, 20_000_000, 45_000_000, -250_000_000];
                self.nodes[node].ahead_micros = ahead[self.random.usize(..ahead.len())];
            }
            915..945 if self.has_faults => self.restart(node),
            945..955 if self.has_promotions && !self.nodes[node].is_in_memory => {
                let Node { primary, replica, .. } = &mut self.nodes[node];
                primary.promote(replica.history().chain());
            }
            955..962 if self.has_jumps => {
                let jumps = [30, 90, HORIZON + 30];
                self.now += jumps[self.random.usize(..jumps.len())] * 1_000_000;
            }
            962..985 => self.nodes[node].save(),
            985..990 if self.has_losses => self.lose(node),
            990..995 if !self.nodes[node].is_in_memory => self.nodes[node].copy_disk(),
            995..998 if self.has_faults => self.put_back(node),
            _ => {}
        }
    }

    /// What the lab knows of a transaction, which may be new.
    fn record(&mut self, record: &transaction::Record) -> Rc<Record> {
        let place = &record.place;
        let stamp: Name = (place.source.clone(), place.id).into();
        let made = self.made.get(&stamp);
        if let Some(made) = made.filter(|made| made.place == *place) {
            return made.clone();
        }
        // A node that was put back uses its Ids again, if nobody has the others any more.
        let is_held = self.nodes.iter().any(|node| node.held.contains_key(&stamp));
        assert!(!is_held, "{stamp:?} stamps two");
        self.seen.remove(&stamp);
        let (source, id) = record.name();
        let name = Name { source: source.clone(), id };
        let transaction = record.transaction().expect("it was encoded here");
        let commit = transaction.commit.map(|commit| *commit);
        let patch = self.patches.get(&name).copied().unwrap_or(Patch::None);
        let made = Rc::new(Record { place: place.clone(), name, patch, commit });
        self.made.insert(stamp, made.clone());
        made
    }

    /// Has a node take transactions in, and takes note of what became of them.
    fn accept(&mut self, at: usize, submissions: Vec<Vec<Transaction>>) -> Acceptance {
        let (now, is_alone) = (self.now, self.is_alone());
        let node = &mut self.nodes[at];
        let differed = node.replica.difference().is_some();
        if self.random.u8(..16) == 0 {
            // What a clone takes in has no trace here.
            let mut other = node.replica.clone();
            let taken = other.accept(submissions.clone(), node.wall(now), &node.journal);
            taken.unwrap();
        }
        let acceptance = node.accept(submissions.clone(), node.wall(now));
        for record in &acceptance.records {
            let made = self.record(record);
            self.nodes[at].held.insert(made.stamp(), made);
        }
        let node = &mut self.nodes[at];
        for (submission, outcomes) in submissions.iter().zip(&acceptance.outcomes) {
            for (transaction, outcome) in submission.iter().zip(outcomes) {
                let name = transaction.name();
                match outcome {
                    Outcome::Void => {
                        self.dropped.insert(name);
                    }
                    Outcome::Known { .. } if transaction.time.is_some() && is_alone => {
                        let (source, id) = transaction.stamp();
                        let is_held = node.held.contains_key(&(source.clone(), id).into());
                        let is_gone = self.lost.contains(&name) || self.dropped.contains(&name);
                        assert!(is_held || is_gone, "{transaction:?} is not known");
                    }
                    Outcome::Accepted(_) if transaction.commit.is_none() => {
                        self.acknowledged.insert(name);
                    }
                    _ => (),
                }
            }
        }
        if self.is_traced {
            let transactions = submissions.iter().flatten();
            for (transaction, outcome) in transactions.zip(acceptance.outcomes.iter().flatten()) {
                let outcome = match outcome {
                    Outcome::Accepted(record) => format!("{:?}", record.place),
                    other => format!("{other:?}"),
                };
                let (name, commit) = (transaction.name(), &transaction.commit);
                println!("{now} {} takes {name:?} in: {outcome} {commit:?}", node.life());
            }
        }
        if let Some(difference) = node.replica.difference() {
            assert!(!is_alone, "{} differs: {difference:?}", node.life());
            if !differed {
                node.streams.clear();
                self.close(at);
            }
        }
        acceptance
    }

    /// Submits what nobody has stamped. Says whether it is known then.
    fn submit(&mut self, at: usize, name: &Name, patch: Patch) -> bool {
        if !self.may_write(at) {
            return false;
        }
        self.patches.insert(name.clone(), patch);
        let acceptance = self.accept(at, vec![vec![patch.fresh(name)]]);
        matches!(acceptance.outcomes[0][..], [Outcome::Accepted(_) | Outcome::Known { .. }])
    }

    fn write(&mut self, at: usize) {
        let patch = Patch::random(&mut self.random);
        let source = self.nodes[at].life().clone();
        let id = self.nodes[at].replica.next_id(&source);
        self.submit(at, &Name { source, id }, patch);
    }

    fn ask(&mut self, at: usize) {
        let which = self.random.usize(..self.clients.len());
        let client = &mut self.clients[which];
        if client.asks.is_some_and(|(_, since)| self.now > since + PATIENCE) {
            (client.id, client.asks) = (client.id + 1, None);
        }
        let (patch, _) =
            *client.asks.get_or_insert_with(|| (Patch::random(&mut self.random), self.now));
        let name = Name { source: client.source.clone(), id: client.id };
        // The answer may be lost: then it asks again, here or elsewhere.
        let is_done = self.submit(at, &name, patch);
        if self.random.u8(..10) < if is_done { 6 } else { 4 } {
            let client = &mut self.clients[which];
            (client.id, client.asks) = (client.id + 1, None);
        }
    }

    /// Has the plain node write, or a node read on what it has written.
    fn plain(&mut self, at: usize) {
        if self.plain.is_empty() || self.random.u8(..3) == 0 {
            let name = Name { source: "plain".parse().unwrap(), id: self.plain.len() as u64 };
            return self.plain.push((name, Patch::random(&mut self.random)));
        }
        let read = self.nodes[at].plain_read;
        let Some((name, patch)) = self.plain.get(read).cloned() else { return };
        self.nodes[at].plain_read += 1;
        self.submit(at, &name, patch);
    }

    fn read(&mut self, at: usize, peer: usize, most: usize) {
        if self.is_cut(at, peer) {
            return;
        }
        if self.nodes[at].replica.difference().is_some() {
            self.take_base(at, peer);
            return;
        }
        let begin = self.nodes[peer].journal.begin();
        let streams = &mut self.nodes[at].streams;
        if streams.get(&peer).is_some_and(|stream| stream.position < begin) {
            streams.remove(&peer);
        }
        if !streams.contains_key(&peer) {
            let base = self.nodes[peer].replica.history().chain().base().commit.clone();
            let lacks =
                |base: &Name| !self.nodes[at].replica.vclock().has_seen(&base.source, base.id);
            if base.as_ref().is_some_and(lacks) && !self.take_base(at, peer) {
                return;
            }
            let since = self.nodes[at].replica.vclock().clone();
            // What is left of the journal before that may lack the first of a source.
            let position = self.nodes[peer].replica.history().begin().position;
            self.nodes[at].streams.insert(peer, Stream { position, since });
        }
        let Some(mut stream) = self.nodes[at].streams.remove(&peer) else { return };
        let mut batch = Vec::new();
        while batch.len() < most
            && let Some(next) = self.nodes[peer].journal.get(stream.position)
        {
            let (source, id) = next.stamp();
            if !stream.since.has_seen(source, id) {
                batch.push(next.clone());
            }
            stream.position += 1;
        }
        let is_at_end = stream.position == self.nodes[peer].journal.end();
        self.nodes[at].streams.insert(peer, stream);
        let batch = if self.random.bool() {
            vec![batch]
        } else {
            batch.into_iter().map(|one| vec![one]).collect()
        };
        // Commits and what they cover come in one turn, or one after the other.
        let turns = if self.random.bool() {
            vec![batch]
        } else {
            batch.chunks(1).map(<[_]>::to_vec).collect()
        };
        for turn in turns {
            let acceptance = self.accept(at, turn);
            let is_early = |outcome: &Outcome| matches!(outcome, Outcome::Early { .. });
            let is_early = acceptance.outcomes.iter().flatten().any(is_early);
            if is_early || acceptance.has_other_chain {
                self.nodes[at].streams.remove(&peer);
                return;
            }
            if self.nodes[at].replica.difference().is_some() {
                return;
            }
        }
        if is_at_end {
            self.nodes[at].heard.insert(peer);
        }
    }

    /// Takes the base of a peer. Says whether it did, or need not.
    fn take_base(&mut self, at: usize, peer: usize) -> bool {
        let Some(base) = self.nodes[peer].base() else { return false };
        let stands_for = self.covered(peer, &base);
        let rebase = match self.nodes[at].replica.rebase(crate::node::read_again(&base)) {
            Ok(rebase) => rebase,
            Err(refusal) => return refusal == Refusal::Needless,
        };
        self.tell(at, || {
            let from = self.nodes[peer].life();
            let difference = self.nodes[at].replica.difference();
            format!("takes the base {:?} of {from}, {difference:?}", base.committed.commit)
        });
        // A torn transfer changes nothing.
        if self.random.u8(..8) == 0 {
            return false;
        }
        let rebase = self.nodes[at].look_through(rebase);
        if rebase.needs_life() {
            let name = self.nodes[at].name.clone();
            let life = self.life(&name);
            self.nodes[at].begin_life(&life);
            self.count("new lives", 1);
        }
        let can_end = self.has_faults && !self.nodes[at].is_in_memory;
        let mut ends = || can_end && self.random.u8(..8) == 0;
        let (ends_early, ends_late) = (ends(), ends());
        let node = &mut self.nodes[at];
        let stamper = node.replica.life().stamper().clone();
        let (base, kept, _lost) =
            rebase.finish(node.replica.life(), node.replica.next_id(&stamper));
        let position = node.journal.end();
        node.journal.append(&kept);
        let before = std::mem::take(&mut node.held);
        let mut held = stands_for;
        for record in &kept {
            let made = self.record(record);
            held.insert(made.stamp(), made);
        }
        let node = &mut self.nodes[at];
        // The node ends before the base is on its disk, or it cannot be kept there.
        let is_unkept = !ends_early && self.random.u8(..16) == 0;
        if ends_early || is_unkept {
            let mut all = before;
            all.extend(kept_of(&held, &kept));
            node.hold(all);
            if ends_early {
                self.restart(at);
                self.count("ended", 1);
            } else {
                node.go_on_without(&kept, position, node.wall(self.now));
                self.check(at);
            }
            return false;
        }
        let floor = base.committed.floor;
        self.note_lost(at, &before, &held, floor);
        let (now, node) = (self.now, &mut self.nodes[at]);
        node.hold(held);
        node.keep_base(&base, position);
        *self.tally.entry("bases taken").or_default() += 1;
        if ends_late {
            self.close(at);
            self.restart(at);
            self.count("ended", 1);
            return false;
        }
        node.enter(base, &kept, position, node.wall(now));
        if self.random.bool() {
            self.nodes[at].trim(&mut self.random);
        }
        self.close(at);
        self.check(at);
        true
    }

    /// What a base of a node stands for.
    fn covered(&mut self, at: usize, base: &Base) -> Held {
        let node = &mut self.nodes[at];
        let commit = base.committed.commit.as_ref().expect("a base has a commit");
        let definition = node.definition();
        let last = definition.chain.iter().position(|name| name == commit).expect("it counts");
        let chain = definition.chain[..=last].iter().map(|name| node.held[name].clone());
        let chain: Vec<_> = chain.collect();
        let is_covered = |record: &&Rc<Record>| {
            let mut commits = chain.iter().filter_map(|at| Some((&at.place, at.commit.as_ref()?)));
            commits.any(|(at, commit)| covers(at, commit, &record.place))
        };
        let covered = node.held.values().filter(is_covered);
        covered.map(|record| (record.stamp(), record.clone())).collect()
    }

    /// Takes note of what a node does not stand for any more.
    fn note_lost(&mut self, at: usize, before: &Held, held: &Held, floor: Time) {
        let names: BTreeSet<_> = held.values().map(|record| &record.name).collect();
        let gone = before
            .values()
            .filter(|record| record.commit.is_none() && !names.contains(&record.name));
        for record in gone {
            if record.place.time < floor {
                self.dropped.insert(record.name.clone());
            } else {
                let is_alone = self.is_alone();
                assert!(!is_alone, "{} loses {record:?}", self.nodes[at].life());
                self.lost.insert(record.name.clone());
            }
        }
    }

    fn fold(&mut self, at: usize) {
        let node = &mut self.nodes[at];
        if node.floors.is_empty() {
            return;
        }
        let floor = node.floors[self.random.usize(..node.floors.len())].clone();
        let ends = self.has_faults && !node.is_in_memory && self.random.u8(..6) == 0;
        if !node.fold(&floor, ends) {
            return;
        }
        self.tell(at, || format!("folds to {:?}, ends {ends}", floor.committed.commit));
        if ends {
            self.restart(at);
        } else if self.random.u8(..4) > 0 {
            self.nodes[at].trim(&mut self.random);
        }
        self.count("folds", 1);
        self.check(at);
    }

    fn restart(&mut self, at: usize) {
        if self.nodes[at].is_in_memory {
            return self.lose(at);
        }
        self.tell(at, || "restarts".into());
        let (now, horizon) = (self.now, self.horizon);
        let node = &mut self.nodes[at];
        node.restart(horizon, node.wall(now), &mut self.random);
        if self.random.bool() {
            node.trim(&mut self.random);
        }
        self.count("restarts", 1);
        self.check(at);
    }

    /// Has a node go on from a copy of its disk.
    fn put_back(&mut self, at: usize) {
        let Some(before) = self.nodes[at].put_back() else { return };
        self.tell(at, || "is put back".into());
        let is_gone = |stamp: &&Name| !self.nodes.iter().any(|node| node.held.contains_key(stamp));
        let gone: Vec<_> = before.keys().filter(is_gone).cloned().collect();
        let names: BTreeSet<_> =
            self.nodes.iter().flat_map(|node| node.held.values()).map(|at| &at.name).collect();
        for stamp in &gone {
            let name = &before[stamp].name;
            if !names.contains(name) {
                self.lost.insert(name.clone());
            }
        }
        // It may use these Ids again.
        for stamp in gone {
            self.made.remove(&stamp);
            self.seen.remove(&stamp);
        }
        self.close(at);
        self.restart(at);
        self.count("put back", 1);
    }

    /// Whether a node knows of all that others have of its life: it was put back to an old copy if not, and does not
    /// write until it has met them.
    fn may_write(&self, at: usize) -> bool {
        let node = &self.nodes[at];
        if !node.was_put_back {
            return true;
        }
        let life = node.life().as_str();
        let others = self.nodes.iter().enumerate().filter(|(other, _)| *other != at);
        let mut stamps = others.flat_map(|(_, other)| other.held.keys());
        stamps.all(|Name { source, id }| {
            let is_own = source.as_str().strip_prefix(life);
            let is_own = is_own.is_some_and(|rest| rest.is_empty() || rest.starts_with('^'));
            !is_own || node.replica.next_id(source) > *id
        })
    }

    /// Has a node lose all that it has.
    fn lose(&mut self, at: usize) {
        self.tell(at, || "loses all".into());
        let name = self.nodes[at].name.clone();
        let life = self.life(&name);
        let others = self.nodes.iter().enumerate().filter(|(other, _)| *other != at);
        let others = others.flat_map(|(_, other)| other.held.values());
        let others: BTreeSet<_> = others.map(|record| &record.name).collect();
        let gone = self.nodes[at].held.values().map(|record| &record.name);
        let gone: Vec<_> = gone.filter(|name| !others.contains(name)).cloned().collect();
        self.lost.extend(gone);
        self.nodes[at].lose(&life, self.horizon, &mut self.random);
        self.close(at);
    }

    /// Closes the streams of a node's journal: it is another one now.
    fn close(&mut self, node: usize) {
        for other in &mut self.nodes {
            other.streams.remove(&node);
        }
    }

    fn heard(&self, node: usize) -> PeersHeard {
        let (peers, heard) = (self.peers(node), &self.nodes[node].heard);
        let mut reachable = peers.iter().filter(|peer| !self.is_cut(node, **peer));
        if peers.iter().all(|peer| heard.contains(peer)) {
            PeersHeard::All
        } else if !heard.is_empty() && reachable.all(|peer| heard.contains(peer)) {
            PeersHeard::Reachable
        } else {
            PeersHeard::Less
        }
    }

    /// Finds out what a node commits next.
    fn prepare(&mut self, at: usize, heard: PeersHeard) -> Option<Prepared> {
        let node = &self.nodes[at];
        let (clocks, wall) = ((self.now, None), node.wall(self.now));
        let next = node.replica.prepare_commit(&node.primary, clocks, heard, wall, &node.journal);
        let mut prepared = next.unwrap().ok()?;
        // With two chains a node may have dropped for the floor of one what counts in the other, and have later ones of
        // that source: only a hash finds that.
        let transaction = &mut prepared.transaction;
        if transaction.id != 1 && self.is_alone() && self.random.u8(..10) >= 7 {
            transaction.commit.as_mut().expect("it is one").hash = None;
        }
        if self.is_at_end || self.random.u8(..4) > 0 {
            return Some(prepared);
        }
        let node = &mut self.nodes[at];
        node.prepared = Some((prepared, node.standing()));
        None
    }

    fn commit(&mut self, at: usize) {
        let heard = self.heard(at);
        let lags = self.nodes[at].streams.iter().any(|(peer, stream)| {
            !self.is_cut(at, *peer) && self.nodes[*peer].journal.end() > stream.position + BACKLOG
        });
        if lags || !self.may_write(at) {
            return;
        }
        let node = &mut self.nodes[at];
        let (wall, standing) = (node.wall(self.now), node.standing());
        if node.replica.ahead_micros(wall) > MAX_AHEAD_MICROS {
            return;
        }
        // Other transactions may come while it is found out what the next commit is.
        let prepared = node.prepared.take().filter(|(_, before)| *before == standing);
        let Some(Prepared { transaction: next, floor }) =
            prepared.map(|(prepared, _)| prepared).or_else(|| self.prepare(at, heard))
        else {
            return;
        };
        let name = next.name();
        if let Some(floor) = floor {
            self.nodes[at].replica.expect(floor);
        }
        let acceptance = self.accept(at, vec![vec![next]]);
        assert!(matches!(acceptance.outcomes[0][..], [Outcome::Accepted(_)]));
        let (now, node) = (self.now, &mut self.nodes[at]);
        node.primary.note_commit(now, true);
        let difference = node.replica.difference();
        assert_eq!(difference, None, "{} says what it has not itself", node.life());
        self.count("commits", 1);
        self.count("epochs", u64::from(name.id == 1));
    }

    /// What was committed anywhere stays where it is, as it is; and a node is what the definition says of what it holds.
    fn check(&mut self, at: usize) {
        let (now, node) = (self.now, &mut self.nodes[at]);
        let definition = node.definition();
        if node.replica.history().chain().is_outside() {
            assert!(node.replica.difference().is_some(), "it is outside of the chain");
            return;
        }
        compare(&node.replica, &node.journal, &definition);
        compare_reads(&node.replica, &node.journal, &definition, &mut self.random);
        if self.random.u8(..8) == 0 {
            let again = node.recovered(node.wall(now), &mut self.random);
            compare(&again, &node.journal, &definition);
            assert_eq!(again.difference(), node.replica.difference(), "after a restart");
        }
        if node.replica.difference().is_some() {
            return;
        }
        for (name, state) in definition.chain.iter().zip(&definition.states) {
            let document = &state.document;
            let before = self.seen.entry(name.clone()).or_insert_with(|| document.clone());
            assert_eq!(before, document, "what {name:?} committed changed, says {}", node.life());
        }
    }

    fn end(&mut self) {
        self.is_at_end = true;
        self.cut.clear();
        let greatest = self.nodes.iter().map(|node| node.replica.greatest()).max();
        self.now = self.now.max(greatest.map_or(0, Time::as_micros)) + 500_000;
        for node in &mut self.nodes {
            node.ahead_micros = 0;
        }
        for _ in 0..5 {
            if !self.settle() {
                self.promote_outside();
            }
            self.now += 10_000_000;
            for at in 0..self.nodes.len() {
                for _ in 0..2 {
                    let node = &mut self.nodes[at];
                    node.primary.note_end(self.now, node.replica.greatest());
                    self.now += 2_000_000;
                }
                self.commit(at);
                self.settle();
            }
        }
        assert!(self.settle(), "it does not come to rest");
        for at in 0..self.nodes.len() {
            self.check(at);
            let (first, node) = (&self.nodes[0].replica, &self.nodes[at].replica);
            assert_eq!(node.difference(), None, "{} never healed", node.life().source());
            let (chain, is) = (first.history().chain(), node.history().chain());
            assert_eq!((is.tip(), is.last()), (chain.tip(), chain.last()), "chains differ");
            assert_eq!(node.snapshot().root(), first.snapshot().root(), "documents differ");
            // With two chains a node may have dropped for the floor of one what is skipped in the other: no hash finds that.
            if self.is_alone() {
                assert_eq!(node.history().names(), first.history().names(), "names differ");
                assert_eq!(node.history().length(), first.history().length(), "lengths differ");
            }
            let (committed, is) =
                (&first.history().committed().committed, &node.history().committed().committed);
            assert_eq!(is, committed, "what is committed differs");
            let clock = |replica: &patchmesh::internals::replica::Replica| -> Vec<(Source, u64)> {
                let clock = replica.vclock().iter().filter(|(source, _)| source.epoch().is_none());
                clock.map(|(source, next)| (source.clone(), next)).collect()
            };
            assert_eq!(clock(node), clock(first), "clocks differ");
            let history = node.history();
            let is_all_final = history.length() == history.committed().index;
            // One that was put back behind the horizon never finds out which Ids it has used.
            let has_primary = self.is_alone() && !self.nodes.iter().any(|node| node.was_put_back);
            let has_primary = has_primary && history.chain().tip().is_some();
            assert!(is_all_final || !has_primary, "something is left");
        }
        let all: Held = self.nodes.iter().flat_map(|node| node.held.clone()).collect();
        let all: Vec<_> = all.into_values().collect();
        let definition = Definition::of(&all);
        let last = definition.states.last().expect("the last one is at the end");
        let text = self.nodes[0].replica.snapshot().root().to_string();
        assert_eq!(last.document.json(), text, "not the definition");
        let names: BTreeSet<_> = all.iter().map(|record| &record.name).collect();
        for name in &self.acknowledged {
            let is_gone = self.lost.contains(name) || self.dropped.contains(name);
            assert!(names.contains(name) || is_gone, "{name:?} was acknowledged");
        }
        let fates = || definition.history.iter().map(|(.., fate)| *fate);
        self.count("void", fates().filter(|fate| *fate == Fate::Void).count() as u64);
        self.count("repeated", fates().filter(|fate| *fate == Fate::Repeated).count() as u64);
        self.count("dropped", self.dropped.len() as u64);
        self.count("lost", self.lost.len() as u64);
        let sources: BTreeSet<_> = all.iter().map(|record| &record.place.source).collect();
        let clock = self.nodes[0].replica.vclock();
        let left = sources.iter().filter(|source| clock.next_id(source) == 0).count();
        self.count("forgotten", left as u64);
    }

    /// If those who know the last epoch all differ, since their bases are of another one, nobody can give them one of it:
    /// the one whose branch wins has to be promoted.
    fn promote_outside(&mut self) {
        let is_outside =
            |node: &&mut Node| matches!(node.replica.difference(), Some(Difference::Outside(_)));
        let outside = self.nodes.iter_mut().filter(is_outside);
        let chain = |node: &Node| node.replica.history().chain().clone();
        let first = outside.max_by(|one, other| chain(one).rank().cmp(&chain(other).rank()));
        let Some(node) = first else { return };
        assert!(self.has_losses, "{} cannot heal", node.life());
        let chain = chain(node);
        node.primary.promote(&chain);
        *self.tally.entry("outside").or_default() += 1;
    }

    /// Reads until nothing is new, and says whether all is well then.
    fn settle(&mut self) -> bool {
        const MOST_ROUNDS: usize = 60;
        for _ in 0..MOST_ROUNDS {
            let ends = |world: &Self| -> Vec<_> {
                let end = |node: &Node| (node.life().clone(), node.journal.end());
                world.nodes.iter().map(end).collect()
            };
            let before = ends(self);
            for at in 0..self.nodes.len() {
                for peer in self.peers(at) {
                    self.read(at, peer, usize::MAX);
                }
            }
            let is_same = before == ends(self);
            if is_same && self.nodes.iter().all(|node| node.replica.difference().is_none()) {
                return true;
            }
        }
        false
    }
}

/// What is held of this that was kept.
fn kept_of(held: &Held, kept: &[transaction::Record]) -> Held {
    let stamp = |place: &Place| Name { source: place.source.clone(), id: place.id };
    let stamps = kept.iter().map(|record| stamp(&record.place));
    stamps.filter_map(|stamp| Some((stamp.clone(), held.get(&stamp)?.clone()))).collect()
}
