//! Random histories of several nodes: primaries that are slow, away, doubled, promoted, restarted; links that are cut;
//! wall clocks that are off; clients that ask again elsewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use patchmesh::clock::Time;
use patchmesh::commit::{Heard, Segment};
use patchmesh::source::Source;
use patchmesh::transaction::{Name, Place};

use crate::definition::{Definition, Document, Patch, Record};
use crate::node::{Node, Stream, View, hash, patch};

const STEPS: usize = 260;
/// Microseconds.
const LONGEST_STEP: u64 = 1_400_000;
const MAX_AHEAD: u64 = 60_000_000;
/// Seconds.
const HORIZON: u64 = 150;
/// A primary with so much to read from a peer waits.
const BACKLOG: usize = 4;
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
    random: fastrand::Rng,
    now: u64,
    lives: u64,
    nodes: Vec<Node>,
    /// Who dials whom.
    links: Vec<(usize, usize)>,
    cut: BTreeSet<(usize, usize)>,
    clients: Vec<Client>,
    primaries: Primaries,
    horizon: u64,
    has_faults: bool,
    has_promotions: bool,
    has_jumps: bool,
    made: BTreeMap<Name, Rc<Record>>,
    acknowledged: Vec<Rc<Record>>,
    /// What a node in memory alone had when it was restarted.
    lost: BTreeSet<Name>,
    /// What somebody dropped for its time.
    dropped: BTreeSet<Name>,
    /// What the maker of a commit had that was covered then.
    covered: BTreeMap<Name, BTreeSet<Name>>,
    /// The document at a commit.
    seen: BTreeMap<Name, Document>,
    tally: Tally,
}

impl World {
    pub fn new(seed: u64) -> Self {
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
            made: BTreeMap::new(),
            acknowledged: Vec::new(),
            lost: BTreeSet::new(),
            dropped: BTreeSet::new(),
            covered: BTreeMap::new(),
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
            let mut node = Node::new(name, life, is_in_memory);
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

    fn step(&mut self) {
        self.now += self.random.u64(..=LONGEST_STEP);
        for node in &mut self.nodes {
            node.primary.note_end(self.now, node.greatest);
        }
        let node = self.random.usize(..self.nodes.len());
        match self.random.u16(..1000) {
            0..220 => self.write(node),
            220..300 if !self.clients.is_empty() => self.ask(node),
            300..700 => {
                let peers = self.peers(node);
                let peer = peers[self.random.usize(..peers.len())];
                let most = self.random.usize(1..9);
                self.read(node, peer, most);
            }
            700..820 => {
                let is_away = match self.primaries {
                    Primaries::Slow => self.random.u8(..10) < 7,
                    Primaries::Away => (self.now / 40_000_000).is_multiple_of(2),
                    _ => false,
                };
                if !is_away {
                    (0..self.nodes.len()).for_each(|node| self.commit(node));
                }
            }
            820..870 => self.nodes[node].streams.clear(),
            870..910 if self.has_faults => {
                let other = self.random.usize(..self.nodes.len());
                let link = (node.min(other), node.max(other));
                if !self.cut.remove(&link) {
                    self.cut.insert(link);
                }
            }
            910..925 if self.has_faults => {
                let ahead = [0, 0, -30_000_000, 20_000_000, 45_000_000, -250_000_000];
                self.nodes[node].ahead_micros = ahead[self.random.usize(..ahead.len())];
            }
            925..945 if self.has_faults => self.restart(node),
            945..955 if self.has_promotions && !self.nodes[node].is_in_memory => {
                let Node { primary, chain, .. } = &mut self.nodes[node];
                primary.promote(chain);
            }
            955..962 if self.has_jumps => {
                let jumps = [30, 90, HORIZON + 30];
                self.now += jumps[self.random.usize(..jumps.len())] * 1_000_000;
            }
            _ => {}
        }
    }

    /// Stamps and accepts, unless the patch does not apply. A name that is not the node's own is stamped for its author.
    fn accept(&mut self, node: usize, named: Option<Name>, patch: Patch) -> bool {
        let lives_stamper = self.nodes[node].life.stamper().expect("it is short");
        let node = &mut self.nodes[node];
        let view = node.view();
        let wall = node.wall(self.now);
        let time = node.hybrid.next(wall);
        if time.micros_after(wall) > MAX_AHEAD || !patch.applies_to(view.document()) {
            return false;
        }
        let source = if named.is_some() { lives_stamper } else { node.life.clone() };
        let used = node.held.iter().filter(|stamp| stamp.source == source).map(|stamp| stamp.id);
        let id = used.max().map_or(1, |id| id + 1);
        let name = named.unwrap_or_else(|| Name { source: source.clone(), id });
        let place = Place { time, source, id };
        let record = Rc::new(Record { place, name, patch, commit: None });
        node.append(record.clone());
        self.made.insert(record.stamp(), record.clone());
        self.acknowledged.push(record);
        true
    }

    fn write(&mut self, node: usize) {
        let patch = patch(&mut self.random);
        self.accept(node, None, patch);
    }

    fn ask(&mut self, node: usize) {
        let which = self.random.usize(..self.clients.len());
        let client = &mut self.clients[which];
        if client.asks.is_some_and(|(_, since)| self.now > since + PATIENCE) {
            (client.id, client.asks) = (client.id + 1, None);
        }
        let (asks, _) = *client.asks.get_or_insert_with(|| (patch(&mut self.random), self.now));
        let name = Name { source: client.source.clone(), id: client.id };
        let is_known = self.nodes[node].view().names.contains(&name);
        let is_known = is_known || self.nodes[node].journal.iter().any(|at| at.name == name);
        // The answer may be lost: then it asks again, here or elsewhere.
        let is_done = is_known || self.accept(node, Some(name), asks);
        if self.random.u8(..10) < if is_done { 6 } else { 4 } {
            let client = &mut self.clients[which];
            (client.id, client.asks) = (client.id + 1, None);
        }
    }

    fn read(&mut self, node: usize, peer: usize, most: usize) {
        if self.is_cut(node, peer) || self.nodes[peer].differs_at.is_some() {
            return;
        }
        if let Some(commit) = self.nodes[node].differs_at.clone() {
            // At that commit or later, and not from a chain that loses against its own.
            let Node { held, chain, .. } = &self.nodes[peer];
            let rank = self.nodes[node].chain.rank();
            if chain.rank() > rank || (chain.rank() == rank && held.contains(&commit)) {
                self.heal(node, peer);
            }
            return;
        }
        let since = self.nodes[node].view().clock.clone();
        let stream = Stream { position: 0, since };
        self.nodes[node].streams.entry(peer).or_insert(stream);
        let mut left = most;
        // It ends when the chain's end has another source.
        while left > 0
            && let Some(stream) = self.nodes[node].streams.get(&peer)
        {
            let Some(record) = self.nodes[peer].journal.get(stream.position).cloned() else {
                self.nodes[node].heard.insert(peer);
                return;
            };
            let Place { source, id, .. } = &record.place;
            let is_seen = stream.since.get(source).is_some_and(|next| next > id);
            if !is_seen && !self.take(node, &record) {
                self.nodes[node].streams.remove(&peer);
                return;
            }
            left -= usize::from(!is_seen);
            if let Some(stream) = self.nodes[node].streams.get_mut(&peer) {
                stream.position += 1;
            }
        }
    }

    /// Takes in what a stream brings. Says whether the stream can go on.
    fn take(&mut self, at: usize, record: &Rc<Record>) -> bool {
        let node = &mut self.nodes[at];
        let Place { time, source, id } = &record.place;
        let clock = &node.view().clock;
        let stamp = record.stamp();
        if clock.get(source).is_some_and(|next| next > id) || node.held.contains(&stamp) {
            return true;
        }
        if time.micros_after(node.wall(self.now)) > MAX_AHEAD {
            return false;
        }
        if node.chain.is_too_late(&record.place) {
            self.dropped.insert(stamp);
            self.count("dropped", 1);
            return true;
        }
        node.append(record.clone());
        if let Some(covered) = self.covered.get(&stamp)
            && node.chain.last() == Some(stamp.clone())
        {
            let has = |name: &&Name| {
                !node.held.contains(name)
                    && !self.lost.contains(name)
                    && !self.dropped.contains(name)
            };
            let missing: Vec<_> = covered.iter().filter(has).collect();
            assert!(missing.is_empty(), "{stamp:?} came before what it covers: {missing:?}");
        }
        true
    }

    /// Takes over what a peer has, as if by a base at its last commit. What only this node has comes after it, unless the
    /// base covers it: then a node dropped it while another chain counted, and took in later ones of its source.
    fn heal(&mut self, at: usize, peer: usize) {
        let Node { journal, chain, held, .. } = &self.nodes[peer];
        let is_left = |record: &&Rc<Record>| {
            let is_new = !held.contains(&record.stamp()) && record.commit.is_none();
            is_new && chain.segment_of(&record.place) == Segment::Tentative
        };
        let left = self.nodes[at].journal.iter().filter(is_left);
        let journal = journal.iter().chain(left).cloned().collect();
        self.nodes[at].replace_journal(journal);
        self.close(at);
        self.count("healed", 1);
    }

    fn restart(&mut self, node: usize) {
        if !self.nodes[node].is_in_memory {
            return self.nodes[node].start(self.horizon);
        }
        let name = self.nodes[node].name.clone();
        let life = self.life(&name);
        let others = self.nodes.iter().enumerate().filter(|(other, _)| *other != node);
        let others: BTreeSet<_> = others.flat_map(|(_, other)| other.held.clone()).collect();
        self.lost.extend(self.nodes[node].held.difference(&others).cloned());
        self.nodes[node].lose(life, self.horizon);
        self.close(node);
    }

    /// Closes the streams of a node's journal: it is another one now.
    fn close(&mut self, node: usize) {
        for other in &mut self.nodes {
            other.streams.remove(&node);
        }
    }

    fn heard(&self, node: usize) -> Heard {
        let (peers, heard) = (self.peers(node), &self.nodes[node].heard);
        let mut reachable = peers.iter().filter(|peer| !self.is_cut(node, **peer));
        if peers.iter().all(|peer| heard.contains(peer)) {
            Heard::All
        } else if !heard.is_empty() && reachable.all(|peer| heard.contains(peer)) {
            Heard::Reachable
        } else {
            Heard::Less
        }
    }

    fn commit(&mut self, at: usize) {
        let heard = self.heard(at);
        let lags = self.nodes[at].streams.iter().any(|(peer, stream)| {
            let length = self.nodes[*peer].journal.len();
            !self.is_cut(at, *peer) && length > stream.position + BACKLOG
        });
        let node = &mut self.nodes[at];
        if lags || node.differs_at.is_some() {
            return;
        }
        let view = node.view();
        let next = node.primary.next(self.now, heard, &node.chain, view.tentative.iter());
        let Ok((name, mut commit)) = next else { return };
        let wall = node.wall(self.now);
        let time = node.hybrid.next(wall);
        if time.micros_after(wall) > MAX_AHEAD {
            return;
        }
        let place = Place { time, source: name.source.clone(), id: name.id };
        let document = node.document_at(place.clone(), commit.clone());
        // With two chains a node may have dropped for the floor of one what counts in the other, and have later ones of
        // that source: only a hash finds that.
        let is_alone =
            !self.has_promotions && ![Primaries::Two, Primaries::Twins].contains(&self.primaries);
        if name.id == 1 || !is_alone || self.random.u8(..10) < 7 {
            commit.hash = document.as_ref().map(hash);
        }
        let record =
            Record { place, name: name.clone(), patch: Patch::Always, commit: Some(commit) };
        let record = Rc::new(record);
        self.made.insert(name.clone(), record.clone());
        node.append(record);
        node.primary.note_commit(self.now);
        let is_covered =
            |record: &&Rc<Record>| node.chain.segment_of(&record.place) != Segment::Tentative;
        let covered = node.journal.iter().filter(is_covered).map(|record| record.stamp()).collect();
        self.count("commits", 1);
        self.count("epochs", u64::from(name.id == 1));
        self.covered.insert(name, covered);
    }

    /// What was committed anywhere stays where it is, as it is; and what the pure parts say of what a node holds is what the
    /// definition says.
    fn check(&mut self, at: usize) {
        let node = &mut self.nodes[at];
        let view = node.view();
        let definition = Definition::of(&node.journal);
        compare(node, &view, &definition);
        if node.differs_at.is_some() {
            return;
        }
        let commits = node.chain.commits().iter().zip(&view.documents);
        for (commit, document) in commits {
            let name = Name { source: commit.place.source.clone(), id: commit.place.id };
            let before = self.seen.entry(name.clone()).or_insert_with(|| document.clone());
            assert_eq!(before, document, "what {name:?} committed changed, says {}", node.life);
        }
        let distinct: BTreeSet<_> = view.document().iter().collect();
        assert_eq!(distinct.len(), view.document().len(), "one name is applied twice");
    }

    fn end(&mut self) {
        self.cut.clear();
        let greatest = self.nodes.iter().map(|node| node.greatest).max();
        self.now = self.now.max(greatest.map_or(0, Time::as_micros)) + 500_000;
        for node in &mut self.nodes {
            node.ahead_micros = 0;
        }
        for _ in 0..5 {
            self.settle();
            self.now += 10_000_000;
            for at in 0..self.nodes.len() {
                for _ in 0..2 {
                    let node = &mut self.nodes[at];
                    node.primary.note_end(self.now, node.greatest);
                    self.now += 2_000_000;
                }
                self.commit(at);
                self.settle();
            }
        }
        let views: Vec<_> = self.nodes.iter_mut().map(Node::view).collect();
        for at in 0..self.nodes.len() {
            assert!(self.nodes[at].differs_at.is_none(), "{} never healed", self.nodes[at].life);
            self.check(at);
            let (node, view, first) = (&self.nodes[at], &views[at], &self.nodes[0]);
            assert_eq!(node.chain.tip(), first.chain.tip(), "chains differ");
            assert_eq!(node.chain.commits(), first.chain.commits(), "chains differ");
            assert_eq!(view.document(), views[0].document(), "documents differ");
            assert_eq!(view.clock, views[0].clock, "clocks differ");
            let is_final =
                |place: &Place| place.source.epoch().is_some() || node.chain.is_void(place);
            let is_all_final = view.tentative.iter().all(is_final);
            assert!(is_all_final || node.chain.tip().is_none(), "{:?} is left", view.tentative);
        }
        let all: BTreeSet<_> = self.nodes.iter().flat_map(|node| node.held.clone()).collect();
        let all: Vec<_> = all.iter().map(|stamp| self.made[stamp].clone()).collect();
        let definition = Definition::of(&all);
        let last = definition.states.last().expect("the last one is at the end");
        assert_eq!(last.document, *views[0].document(), "not the definition");
        let names: BTreeSet<_> = all.iter().map(|record| &record.name).collect();
        for record in &self.acknowledged {
            let stamp = record.stamp();
            let is_gone = self.lost.contains(&stamp) || self.dropped.contains(&stamp);
            let is_there = names.contains(&record.name);
            let others = self.made.values().filter(|other| other.name == record.name);
            let was_known = others.into_iter().any(|other| self.lost.contains(&other.stamp()));
            assert!(is_there || is_gone || was_known, "{record:?} was acknowledged");
        }
        let fates = || definition.history.iter().map(|(.., fate)| *fate);
        use crate::definition::Fate;
        self.count("void", fates().filter(|fate| *fate == Fate::Void).count() as u64);
        self.count("repeated", fates().filter(|fate| *fate == Fate::Repeated).count() as u64);
        let sources: BTreeSet<_> = all.iter().map(|record| &record.place.source).collect();
        let left = sources.iter().filter(|source| !views[0].clock.contains_key(**source));
        self.count("forgotten", left.count() as u64);
    }

    /// Reads until nothing is new.
    fn settle(&mut self) {
        const MOST_ROUNDS: usize = 60;
        for _ in 0..MOST_ROUNDS {
            let before: Vec<_> = self.nodes.iter().map(|node| node.held.clone()).collect();
            for at in 0..self.nodes.len() {
                for peer in self.peers(at) {
                    self.read(at, peer, usize::MAX);
                }
            }
            let is_same = self.nodes.iter().zip(&before).all(|(node, before)| node.held == *before);
            if is_same && self.nodes.iter().all(|node| node.differs_at.is_none()) {
                return;
            }
        }
        panic!("it does not come to rest");
    }
}

/// What the pure parts say of a node's journal, and what the definition says.
fn compare(node: &Node, view: &View, definition: &Definition) {
    let names: Vec<Name> = node
        .chain
        .commits()
        .iter()
        .map(|commit| (commit.place.source.clone(), commit.place.id).into())
        .collect();
    assert_eq!((node.chain.tip(), &names), (definition.tip.as_ref(), &definition.chain));
    let history = definition.history.iter().map(|(segment, place, name, fate)| {
        let is_covered = *segment < definition.chain.len();
        let segment =
            if is_covered { Segment::Commit(*segment as u64) } else { Segment::Tentative };
        (segment, place.clone(), name.clone(), *fate)
    });
    assert!(view.history.iter().cloned().eq(history), "{:?}\n{definition:?}", view.history);
    let last = definition.states.last().expect("the last one is at the end");
    assert_eq!((&last.document, last.floor), (view.document(), node.chain.floor()));
    if let [.., at_commit, _] = &definition.states[..] {
        let committed = &view.committed;
        let clock = committed.clock.iter();
        let clock = clock.map(|(source, at)| (source.clone(), (at.next, at.last)));
        assert_eq!(clock.collect::<BTreeMap<_, _>>(), at_commit.clock);
        assert_eq!((&committed.names, committed.floor), (&at_commit.last, at_commit.floor));
    }
    let clock = last.clock.iter().map(|(source, (next, _))| (source.clone(), *next));
    assert_eq!(clock.collect::<BTreeMap<_, _>>(), view.clock);
}
