//! Whether a replica is what the definition says.

use patchmesh::internals::names::Names;
use patchmesh::internals::replica::history::at::Window;
use patchmesh::internals::replica::history::{self};
use patchmesh::internals::replica::{Placed, Replica};
use patchmesh::internals::source::Source;
use patchmesh::internals::transaction::{Name, Place};

use crate::definition::{Definition, Document, Fate, State};
use crate::journal::Journal;

/// The history as the definition has it, but for what is void, which has no part in it.
fn members(definition: &Definition) -> impl Iterator<Item = &(usize, Place, Name, Fate)> {
    definition.history.iter().filter(|(.., fate)| *fate != Fate::Void)
}

/// How many of the chain's commits the replica's base stands for.
fn folded(replica: &Replica, definition: &Definition) -> usize {
    let Some(base) = replica.history().chain().base().commit.clone() else { return 0 };
    let at = definition.chain.iter().position(|name| *name == base);
    at.expect("the base is in the chain") + 1
}

/// Compares all that can be seen at once.
pub fn compare(replica: &Replica, journal: &Journal, definition: &Definition) {
    let (history, chain) = (replica.history(), replica.history().chain());
    let folded = folded(replica, definition);
    let names: Vec<Name> = chain
        .commits()
        .iter()
        .map(|commit| (commit.place.source.clone(), commit.place.id).into())
        .collect();
    assert_eq!((chain.tip(), &names[..]), (definition.tip.as_ref(), &definition.chain[folded..]));
    let last = definition.states.last().expect("the last one is at the end");
    assert_eq!(chain.floor(), last.floor, "the floor");
    assert_eq!(replica.snapshot().root().to_string(), last.document.json(), "the document");
    compare_names(history.names(), last);
    let at_commit = definition.chain.len().checked_sub(1).map(|at| &definition.states[at]);
    for (source, (next, _)) in &last.clock {
        // A fold may forget commits that do not count.
        let counts = definition.chain.iter().filter(|commit| commit.source == *source);
        let least = match source.epoch() {
            Some(_) => counts.map(|commit| commit.id + 1).max().unwrap_or(0),
            None => *next,
        };
        assert!(replica.vclock().next_id(source) >= least, "the clock lacks {source}");
    }
    for (source, next) in replica.vclock().iter().filter(|(source, _)| source.epoch().is_none()) {
        let expected = last.clock.get(source).map(|(next, _)| *next);
        assert_eq!(Some(next), expected, "the clock's {source}");
    }

    let all: Vec<_> = members(definition).collect();
    let begin = all.partition_point(|(segment, ..)| *segment < folded);
    assert_eq!(history.begin().index, begin as u64, "where the history begins");
    assert_eq!(history.length(), all.len() as u64, "its length");
    let count = |wanted| all[begin..].iter().filter(|(.., fate)| *fate == wanted).count() as u64;
    assert_eq!(history.skipped_count(), count(Fate::Skipped), "how many are skipped");
    assert_eq!(history.repeated_count(), count(Fate::Repeated), "how many are repeated");
    let recent: Vec<_> = history.recent_from_end().collect();
    let first = all.len() - recent.len();
    assert!(first >= begin, "what is recent is after the base");
    for (placed, member) in recent.into_iter().rev().zip(&all[first..]) {
        compare_one(replica, journal, placed, member);
    }
    let end = if first > begin { Some(&all[first - 1].1) } else { None };
    assert_eq!(history.past_end(), end, "the end of the past");

    let committed = history.committed();
    if let Some(at_commit) = at_commit {
        let left = &committed.committed;
        let clock = left.clock.iter().map(|(source, at)| (source.clone(), (at.next, at.last)));
        assert!(clock.eq(at_commit.clock.clone()), "the committed clock: {left:?} {at_commit:?}");
        assert_eq!((&left.names, left.floor), (&at_commit.last, at_commit.floor));
        assert_eq!(left.commit.as_ref(), definition.chain.last());
        compare_names(&committed.counted.names, at_commit);
        let text = committed.document.root().to_string();
        assert_eq!(text, at_commit.document.json(), "the committed document");
        let covered = all.partition_point(|(segment, ..)| *segment < definition.chain.len());
        assert_eq!(committed.index, covered as u64, "how much is committed");
    }
    for position in journal.begin().max(history.begin().position)..committed.position {
        let place = journal.get(position).and_then(|at| at.place()).expect("it is there");
        let is_done = history.is_committed(&place) || place.time < chain.floor();
        // No way back goes through those that the base's branch has overtaken.
        let epoch = |source: &Source| source.epoch().map(|epoch| epoch.number);
        let base = chain.base().commit.as_ref().and_then(|base| epoch(&base.source));
        let is_done = is_done || epoch(&place.source).is_some_and(|epoch| Some(epoch) <= base);
        assert!(is_done, "{place:?} is before all that is not committed");
    }
}

fn compare_names(names: &Names, state: &State) {
    let mut expected = Names::default();
    for name in &state.names {
        expected.insert(&name.source, name.id);
    }
    assert_eq!(names, &expected, "the names");
}

fn compare_one(
    replica: &Replica,
    journal: &Journal,
    placed: &Placed,
    (segment, place, name, fate): &(usize, Place, Name, Fate),
) {
    assert_eq!(&placed.place, place, "in segment {segment}");
    assert_eq!(placed.name(), (&name.source, name.id));
    let at = journal.get(placed.position).expect("it is in the journal");
    assert_eq!((at.place().as_ref(), &at.payload), (Some(place), &placed.payload), "a position");
    let is = match replica.history().fate(&placed.place, placed.position) {
        history::Fate::Applied => Fate::Applied,
        history::Fate::Skipped(_) => Fate::Skipped,
        history::Fate::Repeated => Fate::Repeated,
    };
    assert_eq!(is, *fate, "what became of {place:?}");
}

/// Reads the past at random places.
pub fn compare_reads(
    replica: &Replica,
    journal: &Journal,
    definition: &Definition,
    random: &mut fastrand::Rng,
) {
    let history = replica.history();
    let all: Vec<_> = members(definition).collect();
    let begin = history.begin().index;
    assert!(begin == 0 || history.basis(begin - 1).is_none());
    let count = random.u64(begin..=history.length());
    let basis = history.basis(count).expect("it is there");
    let document = basis.document(count, journal).unwrap();
    let mut expected = Document::default();
    for (_, place, name, fate) in &all[..count as usize] {
        if *fate == Fate::Applied {
            expected.apply(name, definition.patches[&stamp(place)]);
        }
    }
    assert_eq!(document.root().to_string(), expected.json(), "the document after {count}");

    let (from, most) = (random.u64(begin..=history.length()), random.usize(..12));
    let listed = match history.window(from, most, usize::MAX) {
        Window::Recent(list) => list.into_iter().map(|listed| listed.placed).collect(),
        Window::Floor(floor) => {
            let list = floor.list(from, most, usize::MAX, journal);
            list.unwrap()
        }
    };
    let members: Vec<_> = all.iter().skip(from as usize).take(most).collect();
    assert_eq!(listed.len(), members.len(), "a window from {from}");
    for (placed, member) in listed.iter().zip(members) {
        compare_one(replica, journal, placed, member);
    }
}

fn stamp(place: &Place) -> (Source, u64) {
    (place.source.clone(), place.id)
}
