//! A node of the lab: what it holds, and what the pure parts make of that.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::rc::Rc;

use patchmesh::clock::{HybridClock, Time, VectorClock};
use patchmesh::commit::{Chain, Change, Commit, Committed, PlacedCommit, Primary, Segment};
use patchmesh::source::Source;
use patchmesh::transaction::{Name, Place};

use crate::definition::{Document, Fate, Patch, Record};

/// Where a reader is in the journal of a peer.
#[derive(Debug)]
pub struct Stream {
    pub position: usize,
    /// The reader's clock when it dialed: what it has seen is left out.
    pub since: BTreeMap<Source, u64>,
}

#[derive(Debug)]
pub struct Node {
    pub name: String,
    pub life: Source,
    pub is_in_memory: bool,
    pub is_appointed: bool,
    /// How far its wall clock is off.
    pub ahead_micros: i64,
    pub journal: Vec<Rc<Record>>,
    pub held: BTreeSet<Name>,
    pub chain: Chain,
    pub hybrid: HybridClock,
    pub greatest: Time,
    pub primary: Primary,
    pub streams: BTreeMap<usize, Stream>,
    /// The peers whose journals it has read to their end since it started.
    pub heard: BTreeSet<usize>,
    /// The commit at which it has found that it differs.
    pub differs_at: Option<Name>,
    view: Option<Rc<View>>,
}

/// What follows from what a node holds, by the pure parts.
#[derive(Debug, Default)]
pub struct View {
    pub history: Vec<(Segment, Place, Name, Fate)>,
    /// The document at each commit, and at the end.
    pub documents: Vec<Document>,
    pub committed: Committed,
    pub names: BTreeSet<Name>,
    pub clock: BTreeMap<Source, u64>,
    pub tentative: Vec<Place>,
}

impl View {
    pub fn document(&self) -> &Document {
        self.documents.last().expect("the last one is at the end")
    }
}

pub fn hash(document: &Document) -> Box<str> {
    let mut hasher = DefaultHasher::new();
    document.hash(&mut hasher);
    format!("{:032x}", hasher.finish()).into()
}

impl Node {
    pub fn new(name: String, life: Source, is_in_memory: bool) -> Self {
        Self {
            primary: Primary::new(life.clone(), false, 1),
            name,
            life,
            is_in_memory,
            is_appointed: false,
            ahead_micros: 0,
            journal: Vec::new(),
            held: BTreeSet::new(),
            chain: Chain::default(),
            hybrid: HybridClock::default(),
            greatest: Time::default(),
            streams: BTreeMap::new(),
            heard: BTreeSet::new(),
            differs_at: None,
            view: None,
        }
    }

    pub fn wall(&self, now_micros: u64) -> Time {
        Time::from_micros(now_micros.saturating_add_signed(self.ahead_micros)).expect("it is early")
    }

    /// Forgets what a process knows; `horizon` in seconds.
    pub fn start(&mut self, horizon: u64) {
        self.primary = Primary::new(self.life.clone(), self.is_appointed, horizon);
        self.streams.clear();
        self.heard.clear();
    }

    /// Forgets all, and goes on as another life.
    pub fn lose(&mut self, life: Source, horizon: u64) {
        let (ahead_micros, is_appointed) = (self.ahead_micros, self.is_appointed);
        *self = Self::new(std::mem::take(&mut self.name), life, self.is_in_memory);
        (self.ahead_micros, self.is_appointed) = (ahead_micros, is_appointed);
        self.start(horizon);
    }

    pub fn append(&mut self, record: Rc<Record>) {
        let before: VectorClock = match &record.commit {
            Some(_) => self.view().clock.clone().into_iter().collect(),
            None => VectorClock::default(),
        };
        self.held.insert(record.stamp());
        self.hybrid.observe(record.place.time);
        self.greatest = self.greatest.max(record.place.time);
        self.journal.push(record.clone());
        self.view = None;
        let Some(commit) = &record.commit else { return };
        let at = PlacedCommit { place: record.place.clone(), position: 0, commit: commit.clone() };
        let change = self.chain.add(at.clone());
        if matches!(change, Change::Rewritten { tip_changed: true, .. }) {
            self.streams.clear();
        }
        let counts = self.chain.last() == Some(record.stamp());
        if self.differs() || (counts && !at.is_backed_by(&before)) {
            self.differs_at.get_or_insert(record.stamp());
        }
    }

    /// Puts another journal in the place of its own, as taking a base does.
    pub fn replace_journal(&mut self, journal: Vec<Rc<Record>>) {
        (self.journal, self.view, self.chain) = (Vec::new(), None, Chain::default());
        self.held.clear();
        for record in journal {
            self.append(record);
        }
        self.streams.clear();
        self.differs_at = self.chain.last().filter(|_| self.differs());
    }

    /// Whether a commit's hash is another one than that of the document here.
    fn differs(&mut self) -> bool {
        let view = self.view();
        let mut both = self.chain.commits().iter().zip(&view.documents);
        both.any(|(at, document)| at.commit.hash.as_ref().is_some_and(|is| *is != hash(document)))
    }

    /// The document as it would be at this commit.
    pub fn document_at(&self, place: Place, commit: Commit) -> Option<Document> {
        let mut chain = self.chain.clone();
        chain.add(PlacedCommit { place: place.clone(), position: 0, commit });
        let is_last = chain.last() == Some((place.source, place.id).into());
        let mut view = view(&self.journal, &chain);
        let _tentative = view.documents.pop();
        view.documents.pop().filter(|_| is_last)
    }

    pub fn view(&mut self) -> Rc<View> {
        self.view.get_or_insert_with(|| Rc::new(view(&self.journal, &self.chain))).clone()
    }
}

fn view(journal: &[Rc<Record>], chain: &Chain) -> View {
    let segment_of = |record: &Rc<Record>| (chain.segment_of(&record.place), record.clone());
    let mut sorted: Vec<_> = journal.iter().map(segment_of).collect();
    sorted.sort_by(|(a, left), (b, right)| (a, &left.place).cmp(&(b, &right.place)));
    let mut rest = &sorted[..];
    let mut view = View::default();
    let mut document = Document::new();
    for (index, next) in (0..).zip(chain.commits()) {
        let here = rest.partition_point(|(segment, _)| *segment <= Segment::Commit(index));
        let (part, others) = rest.split_at(here);
        rest = others;
        put(&mut view, chain, &mut document, part);
        let is_named =
            |record: &&Rc<Record>| record.commit.is_none() && !chain.is_void(&record.place);
        let named = part.iter().map(|(_, record)| record).filter(is_named);
        let forgotten = view.committed.advance(next, named.map(|record| &record.name.source));
        for source in &forgotten.names {
            let ids = view.names.iter().filter(|name| name.source == *source).map(|name| name.id);
            let next = ids.max().map_or(0, |id| id + 1);
            view.names.retain(|name| name.source != *source);
            if source.life_name().is_none() {
                view.names.extend((0..next).map(|id| Name { source: source.clone(), id }));
            }
        }
        view.documents.push(document.clone());
    }
    put(&mut view, chain, &mut document, rest);
    view.documents.push(document);
    let next = view.committed.clock.iter().map(|(source, covered)| (source.clone(), covered.next));
    view.clock = next.collect();
    for (_, record) in rest {
        view.tentative.push(record.place.clone());
        if !chain.is_void(&record.place) {
            let next = view.clock.entry(record.place.source.clone()).or_default();
            *next = (*next).max(record.place.id + 1);
        }
    }
    view
}

/// Puts a part of the history at the end.
fn put(view: &mut View, chain: &Chain, document: &mut Document, part: &[(Segment, Rc<Record>)]) {
    for (segment, record) in part.iter().filter(|(_, record)| record.commit.is_none()) {
        let Record { place, name, patch, .. } = &**record;
        let fate = if chain.is_void(place) {
            Fate::Void
        } else if !view.names.insert(name.clone()) {
            Fate::Repeated
        } else if patch.applies_to(document) {
            document.push(name.clone());
            Fate::Applied
        } else {
            Fate::Skipped
        };
        view.history.push((*segment, place.clone(), name.clone(), fate));
    }
}

/// A patch at random.
pub fn patch(random: &mut fastrand::Rng) -> Patch {
    [Patch::Always, Patch::Always, Patch::IfEven, Patch::IfOdd][random.usize(..4)]
}
