//! The chain against its definition, on random sets of commits in random orders.

use std::collections::BTreeMap;

use patchmesh::internals::clock::Time;
use patchmesh::internals::commit::{Chain, ChainChange, Commit, Committed, PlacedCommit, Segment};
use patchmesh::internals::source::Source;
use patchmesh::internals::transaction::{Name, Place};

use crate::definition::{chain, covers};

const SEEDS: u64 = 1500;

fn time(micros: u64) -> Time {
    Time::from_micros(micros).expect("it is small")
}

fn stampers() -> Vec<Source> {
    ["a~00000000", "b~00000000", "c~00000000^s"].map(|text| text.parse().unwrap()).to_vec()
}

/// Commits as they may have been made: those of a source in the order of their Ids and times, each after what it comes
/// after.
fn commits(random: &mut fastrand::Rng) -> Vec<(Place, Commit)> {
    let mut made: Vec<(Place, Commit)> = Vec::new();
    for _ in 0..random.usize(1..16) {
        let (life, epoch) = (random.u8(..3), random.u64(1..5));
        let source: Source = format!("p~0000000{life}^{epoch}").parse().unwrap();
        let before = made.iter().rev().find(|(place, _)| place.source == source);
        let (id, at) =
            before.map_or((0, random.u64(..50)), |(place, _)| (place.id, place.time.as_micros()));
        let lesser: Vec<_> = made.iter().filter(|(_, commit)| commit.epoch < epoch).collect();
        let after = random.choice(&lesser).filter(|_| before.is_none() && random.u8(..5) > 0);
        let after = after.map(|(place, _)| Name { source: place.source.clone(), id: place.id });
        let mut clock = BTreeMap::new();
        for source in
            stampers().into_iter().chain(made.iter().map(|(place, _)| place.source.clone()))
        {
            if random.u8(..3) == 0 {
                clock.insert(source, random.u64(1..12));
            }
        }
        let place = Place { time: time(at + random.u64(1..9)), source, id: id + random.u64(1..3) };
        let until = time(random.u64(..20_000_000));
        let horizon = random.u64(1..9);
        made.push((place, Commit { epoch, after, until, clock, horizon, hash: None }));
    }
    made
}

fn names(chain: &Chain) -> Vec<Name> {
    chain.commits().iter().map(|at| (at.place.source.clone(), at.place.id).into()).collect()
}

/// All stamps about which there can be something to say.
fn places(commits: &[(Place, Commit)]) -> impl Iterator<Item = Place> {
    let sources = commits.iter().map(|(place, _)| place.source.clone()).chain(stampers());
    let sources: std::collections::BTreeSet<_> = sources.collect();
    sources.into_iter().flat_map(|source| {
        (0..14).map(move |id| Place { time: time(id * 1_300_000), source: source.clone(), id })
    })
}

/// A commit, wherever it is in the journal.
fn at(place: &Place, commit: &Commit) -> PlacedCommit {
    PlacedCommit { place: place.clone(), position: 0, commit: commit.clone() }
}

/// Compares all that a chain says with the definition over the commits that it was told of.
fn check(chain_now: &Chain, known: &[(Place, Commit)], seed: u64) {
    let (tip, expected) = chain(known);
    assert_eq!(chain_now.tip(), tip.as_ref(), "seed {seed}");
    assert_eq!(names(chain_now), expected, "seed {seed}");
    assert_eq!(chain_now.last(), expected.last().cloned());
    let find = |name: &Name| {
        known.iter().find(|(at, _)| at.source == name.source && at.id == name.id).unwrap()
    };
    let in_order: Vec<_> = expected.iter().map(find).collect();
    let floor = |commits: &[&(Place, Commit)]| {
        let micros = |(_, commit): &&(Place, Commit)| {
            commit.until.as_micros().saturating_sub(commit.horizon * 1_000_000)
        };
        time(commits.iter().map(micros).max().unwrap_or(0))
    };
    assert_eq!(chain_now.floor(), floor(&in_order), "seed {seed}");
    for place in places(known) {
        let first = in_order.iter().position(|(at, commit)| covers(at, commit, &place));
        let segment = first.map_or(Segment::Tentative, |at| Segment::Commit(at as u64));
        assert_eq!(chain_now.segment_of(&place), segment, "seed {seed}: {place:?}");
        let floor = floor(&in_order[..first.unwrap_or(in_order.len())]);
        let is_void = place.time < floor && place.source.epoch().is_none();
        assert_eq!(chain_now.is_void(&place), is_void, "seed {seed}: {place:?}");
    }
}

#[test]
fn a_chain_is_the_same_in_whatever_order_its_commits_come() {
    let (mut extended, mut rewritten, mut void) = (0, 0, 0);
    for seed in 0..SEEDS {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut commits = commits(&mut random);
        random.shuffle(&mut commits);
        let mut chain = Chain::default();
        for known in 1..=commits.len() {
            let (place, commit) = commits[known - 1].clone();
            let (before, tip) = (names(&chain), chain.tip().cloned());
            let change = chain.add(at(&place, &commit));
            let after = names(&chain);
            let kept = before.iter().zip(&after).take_while(|(was, is)| was == is).count();
            let tip_changed = tip.as_ref() != chain.tip();
            match change {
                ChainChange::Nothing => assert!(before == after && !tip_changed, "seed {seed}"),
                ChainChange::Extended => {
                    assert!(after.len() == kept + 1 && before.len() == kept && !tip_changed);
                }
                change => {
                    let kept = kept as u64;
                    assert_eq!(change, ChainChange::Rewritten { kept, tip_changed });
                }
            }
            *match change {
                ChainChange::Nothing => &mut void,
                ChainChange::Extended => &mut extended,
                ChainChange::Rewritten { .. } => &mut rewritten,
            } += 1;
            check(&chain, &commits[..known], seed);
            assert_eq!(chain.add(at(&place, &commit)), ChainChange::Nothing, "it is known");
        }
    }
    let least = extended.min(rewritten).min(void);
    assert!(least > 300, "{extended} extended, {rewritten} rewrote, {void} void");
}

#[test]
fn a_chain_after_a_base_goes_on_as_if_there_was_none() {
    let (mut folds, mut outside) = (0, 0);
    for seed in 0..SEEDS {
        let mut random = fastrand::Rng::with_seed(seed);
        let commits = commits(&mut random);
        let (mut whole, mut folded) = (Chain::default(), Chain::default());
        for (known, (place, commit)) in commits.iter().enumerate() {
            whole.add(at(place, commit));
            folded.add(at(place, commit));
            if random.u8(..3) == 0 && !folded.is_outside() && !folded.commits().is_empty() {
                let mut base = folded.base().clone();
                for next in &folded.commits()[..random.usize(1..=folded.commits().len())] {
                    base.advance(next, []);
                }
                // Otherwise it does not matter which of the Ids below were there, and when the sources are forgotten.
                for covered in base.clock.values_mut() {
                    covered.last = Time::MAX;
                }
                folded.fold(base.clone());
                let Some(Name { source, id }) = &base.commit else { panic!("it is at a commit") };
                let is_after = |(place, commit): &&(Place, Commit)| {
                    let is_next = place.source == *source && place.id > *id;
                    is_next || Some(commit.epoch) > source.epoch().map(|epoch| epoch.number)
                };
                let after = commits[..=known].iter().filter(is_after).count();
                assert_eq!(folded.held().count(), after, "seed {seed}: no others are of any use");
                assert_eq!(names(&Chain::new(base)), []);
                folds += 1;
            }
            let (all, rest) = (names(&whole), names(&folded));
            let base = folded.base().commit.clone();
            let begin = match &base {
                None => Some(0),
                Some(base) => all.iter().position(|name| name == base).map(|at| at + 1),
            };
            assert_eq!(folded.tip(), whole.tip(), "seed {seed}");
            assert_eq!(folded.is_outside(), begin.is_none(), "seed {seed}");
            let Some(begin) = begin else {
                assert_eq!(rest, []);
                outside += 1;
                continue;
            };
            assert_eq!(rest, all[begin..], "seed {seed}");
            assert_eq!((folded.last(), folded.floor()), (whole.last(), whole.floor()));
            for place in places(&commits[..=known]).filter(|place| place.source.epoch().is_none()) {
                let (in_folded, in_whole) = (folded.segment_of(&place), whole.segment_of(&place));
                let expected = match in_whole {
                    Segment::Commit(commit) if commit < begin as u64 => Segment::Base,
                    other => other,
                };
                // A source that left the clock of the base is in none any more.
                let is_forgotten = !folded.base().clock.contains_key(&place.source);
                if expected != Segment::Base || !is_forgotten {
                    assert_eq!(in_folded, expected, "seed {seed}: {place:?}");
                }
                let is_past = expected == Segment::Base;
                assert!(is_past || folded.is_void(&place) == whole.is_void(&place));
            }
        }
    }
    assert!(folds > 500 && outside > 50, "{folds} folds, {outside} times outside");
}

#[test]
fn a_floor_never_goes_back_along_a_chain() {
    for seed in 0..SEEDS {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut chain = Chain::default();
        for (place, commit) in commits(&mut random) {
            chain.add(at(&place, &commit));
        }
        let mut state = Committed::default();
        for (index, next) in (0..).zip(chain.commits()) {
            assert_eq!(state.floor, chain.floor_before(index));
            state.advance(next, []);
            assert!(state.floor >= chain.floor_before(index), "seed {seed}");
        }
        assert_eq!((state.floor, state.commit), (chain.floor(), chain.last()));
    }
}
