//! When a primary commits, and what.

use patchmesh::internals::clock::Time;
use patchmesh::internals::commit::{
    COMMIT_INTERVAL_MICROS, Chain, ChainChange, Commit, LAG_MICROS, NoCommit, PeersHeard,
    PlacedCommit, Primary, Segment, hash_is_due,
};
use patchmesh::internals::source::{MAX_EPOCH, Source};
use patchmesh::internals::transaction::{Name, Place};

const SECOND: u64 = 1_000_000;

fn source(text: &str) -> Source {
    text.parse().unwrap()
}

fn time(micros: u64) -> Time {
    Time::from_micros(micros).unwrap()
}

fn place(text: &str, id: u64, micros: u64) -> Place {
    Place { time: time(micros), source: source(text), id }
}

/// One whose journal had all up to `until` long ago.
fn primary(is_appointed: bool, until: u64) -> Primary {
    let mut primary = Primary::new(source("me~00000000"), is_appointed, 60);
    primary.note_end(0, time(until));
    primary
}

fn next(primary: &Primary, chain: &Chain, places: &[Place]) -> Result<(Name, Commit), NoCommit> {
    primary.next(LAG_MICROS, PeersHeard::All, chain, places.iter())
}

fn add(chain: &mut Chain, place: Place, commit: Commit) -> ChainChange {
    chain.add(PlacedCommit { place, position: 0, commit })
}

/// A chain that ends with this commit of a source.
fn chain(at: &str, id: u64) -> Chain {
    let mut chain = Chain::default();
    let place = place(at, id, 50);
    let epoch = place.source.epoch().unwrap().number;
    let (until, clock) = (time(40), [(source("a~00000000"), 3)].into());
    add(&mut chain, place, Commit { epoch, after: None, until, clock, horizon: 60, hash: None });
    chain
}

#[test]
fn a_commit_covers_the_longest_prefix_of_each_source() {
    let places = [
        place("a~00000000", 1, 10),
        place("a~00000000", 4, 20),
        place("b~00000000", 3, 30),
        // The one after it is late, but its own prefix has ended.
        place("b~00000000", 5, 31),
        place("b~00000000", 6, 29),
        place("c~00000000", 1, 31),
    ];
    let (name, commit) = next(&primary(true, 30), &Chain::default(), &places).unwrap();
    assert_eq!(name, Name { source: source("me~00000000^1"), id: 1 });
    let clock = [(source("a~00000000"), 5), (source("b~00000000"), 4)].into();
    // Not 30: so it is not void, however long it takes until it is covered.
    let (epoch, until, horizon) = (1, time(29), 60);
    assert_eq!(commit, Commit { epoch, after: None, until, clock, horizon, hash: None });
}

#[test]
fn what_is_void_neither_ends_a_prefix_nor_makes_it_longer() {
    let mut chain = Chain::default();
    let (at, until, clock) = (place("me~00000000^1", 1, 50), time(100 * SECOND), [].into());
    add(&mut chain, at, Commit { epoch: 1, after: None, until, clock, horizon: 60, hash: None });
    let (void, not) = (39 * SECOND, 41 * SECOND);
    let places = [
        place("a~00000000", 1, not),
        place("a~00000000", 2, void),
        place("a~00000000", 3, not),
        place("a~00000000", 4, void),
        place("b~00000000", 1, void),
    ];
    let (name, commit) = next(&primary(true, 100 * SECOND), &chain, &places).unwrap();
    assert_eq!((name.id, commit.epoch, commit.after), (2, 1, None));
    assert_eq!(commit.clock, [(source("a~00000000"), 4)].into());
}

#[test]
fn a_commit_of_too_many_sources_leaves_some_to_the_next() {
    let places: Vec<_> = (0..20_000).map(|n| place(&format!("n{n}~00000000"), 1, 10)).collect();
    let mut chain = Chain::default();
    let (name, commit) = next(&primary(true, 30), &chain, &places).unwrap();
    let covered = commit.clock.len();
    assert!(covered > 10_000 && covered < places.len());
    add(&mut chain, place(name.source.as_str(), name.id, 60), commit);
    let is_left = |place: &&Place| chain.segment_of(place) == Segment::Tentative;
    let left: Vec<_> = places.iter().filter(is_left).cloned().collect();
    let (_, commit) = next(&primary(true, 30), &chain, &left).unwrap();
    assert_eq!(covered + commit.clock.len(), places.len());
}

#[test]
fn what_a_commit_leaves_is_not_void_after_it() {
    let late = place("late~00000000", 1, 100 * SECOND);
    // Many that have come after a long pause; and one whose time is less than that of the one before it.
    let many = (0..20_000).map(|n| place(&format!("n{n}~00000000"), 1, 10 * SECOND));
    let one = [place("a~00000000", 1, 101 * SECOND), place("a~00000000", 2, 11 * SECOND)];
    for (mut places, least) in [(many.collect::<Vec<_>>(), 10), (one.to_vec(), 11)] {
        places.push(late.clone());
        let mut chain = Chain::default();
        let (name, commit) = next(&primary(true, 100 * SECOND), &chain, &places).unwrap();
        assert_eq!(commit.until, time(least * SECOND));
        add(&mut chain, place(name.source.as_str(), name.id, 102 * SECOND), commit);
        assert!(places.iter().any(|place| chain.segment_of(place) == Segment::Tentative));
        assert!(!places.iter().any(|place| chain.is_void(place)));
    }
}

#[test]
fn an_idle_mesh_is_silent() {
    let mut primary = primary(true, 30);
    let places = [place("a~00000000", 1, 10)];
    assert_eq!(next(&primary, &Chain::default(), &[]), Err(NoCommit::Idle));
    let late = [place("a~00000000", 1, 31)];
    assert_eq!(next(&primary, &Chain::default(), &late), Err(NoCommit::Idle));
    // Commits alone are no reason for one.
    let (own, other) = (chain("me~00000000^1", 1), [place("b~00000000^1", 1, 20)]);
    assert_eq!(next(&primary, &own, &other), Err(NoCommit::Idle));
    // Before two seconds have passed since it started, and since the last one.
    let early = |at| primary.next(at, PeersHeard::All, &Chain::default(), places.iter());
    assert_eq!(early(LAG_MICROS - 1), Err(NoCommit::Idle));
    assert!(early(LAG_MICROS).is_ok());
    primary.note_commit(LAG_MICROS, true);
    let then = LAG_MICROS + COMMIT_INTERVAL_MICROS;
    let after = |at| primary.next(at, PeersHeard::All, &Chain::default(), places.iter());
    assert_eq!(after(then - 1), Err(NoCommit::Idle));
    assert!(after(then).is_ok());
}

#[test]
fn a_commit_without_a_hash_is_followed_by_one_with_it() {
    let mut primary = primary(true, 30);
    let own = chain("me~00000000^1", 1);
    primary.note_commit(0, true);
    primary.note_commit(2 * SECOND, false);
    let next = |primary: &Primary, at| primary.next(at, PeersHeard::All, &own, [].iter());
    assert_eq!(next(&primary, 30 * SECOND - 1), Err(NoCommit::Idle));
    assert_eq!(primary.next_moment(20 * SECOND), Some(30 * SECOND));
    let (name, commit) = next(&primary, 30 * SECOND).unwrap();
    assert_eq!((name.id, commit.clock.len()), (2, 0));
    assert!(hash_is_due(&name, u64::MAX, primary.hashed_micros(30 * SECOND)));
    primary.note_commit(30 * SECOND, true);
    assert_eq!(next(&primary, 90 * SECOND), Err(NoCommit::Idle), "and then it is silent");
    assert_eq!(primary.next_moment(90 * SECOND), None);
}

#[test]
fn a_primary_is_two_seconds_behind_its_journal() {
    let mut primary = Primary::new(source("me~00000000"), true, 60);
    let places: Vec<_> = (0..600).map(|number| place("a~00000000", number + 1, number)).collect();
    for number in 0..600 {
        let at = number * SECOND / 50;
        primary.note_end(at, time(number));
        let next = primary.next(at, PeersHeard::All, &Chain::default(), places.iter());
        // What the journal was within a tenth of a second is one note.
        let noted_every = 5;
        let two_seconds_ago = 100;
        let Ok((_, Commit { until, .. })) = next else {
            assert!(number < two_seconds_ago + noted_every, "at {at}");
            continue;
        };
        let two_seconds_ago = number - two_seconds_ago;
        let expected = two_seconds_ago.saturating_sub(noted_every - 1)..=two_seconds_ago;
        assert!(expected.contains(&until.as_micros()), "{until:?} at {number}");
    }
}

#[test]
fn who_asks_when_told_to_commits_as_early_as_may_be_and_then_rests() {
    let mut primary = Primary::new(source("me~00000000"), true, 60);
    let mut chain = Chain::default();
    let mut places = Vec::new();
    let (mut greatest, mut next_id) = (Time::default(), 1);
    let (mut committed, mut asked) = (Vec::new(), 0);
    // When something is written; after the first three it rests until the others.
    let mut writes = [0, 50_000, 900_000, 20 * SECOND, 20 * SECOND + 1].into_iter().peekable();
    let mut at = 0;
    loop {
        while let Some(write) = writes.next_if(|write| *write <= at) {
            greatest = time(write + 1);
            places.push(place("a~00000000", next_id, greatest.as_micros()));
            next_id += 1;
        }
        primary.note_end(at, greatest);
        asked += 1;
        let tentative =
            || places.iter().filter(|place| chain.segment_of(place) == Segment::Tentative);
        if let Ok((name, commit)) = primary.next(at, PeersHeard::All, &chain, tentative()) {
            committed.push((at, commit.clock[&source("a~00000000")]));
            greatest = time(at + 1);
            add(&mut chain, place(name.source.as_str(), name.id, greatest.as_micros()), commit);
            primary.note_commit(at, true);
            primary.note_end(at, greatest);
        }
        let moment = primary.next_moment(at);
        assert!(moment.is_none_or(|moment| moment > at), "{moment:?} at {at}");
        let Some(then) = moment.into_iter().chain(writes.peek().copied()).min() else { break };
        at = then;
    }
    let expected = [
        // Both that were written within a tenth of a second.
        (50_000 + LAG_MICROS, 3),
        (50_000 + LAG_MICROS + COMMIT_INTERVAL_MICROS, 4),
        (20 * SECOND + 1 + LAG_MICROS, 6),
    ];
    assert_eq!(committed, expected);
    // It was not asked for nothing, and not at all while nothing was new.
    assert!(asked <= 14, "{asked}");
    assert!(at < 27 * SECOND, "{at}");
}

#[test]
fn who_commits_follows_from_the_chain_and_from_what_was_heard() {
    let (less, reachable, all) = (PeersHeard::Less, PeersHeard::Reachable, PeersHeard::All);
    let by = |text: &str| Err(NoCommit::Overtaken(source(text)));
    let goes = |text: &str| Ok(source(text));
    // The source of the chain's end, whether the node was set up, whether it was promoted, what it has heard, and by
    // which source it commits.
    let table = [
        (None, false, false, all, Err(NoCommit::NotPrimary)),
        (None, true, false, reachable, Err(NoCommit::Unheard)),
        (None, true, false, all, goes("me~00000000^1")),
        (None, false, true, reachable, goes("me~00000000^1")),
        (None, false, true, less, Err(NoCommit::Unheard)),
        (Some("me~00000000^3"), false, false, reachable, goes("me~00000000^3")),
        (Some("me~00000000^3"), false, false, less, Err(NoCommit::Unheard)),
        (Some("me~00000000^3"), true, true, reachable, goes("me~00000000^3")),
        (Some("me~11111111^3"), true, false, all, goes("me~00000000^4")),
        (Some("me~11111111^3"), true, false, reachable, Err(NoCommit::Unheard)),
        (Some("me~11111111^3"), false, false, all, Err(NoCommit::NotPrimary)),
        (Some("you~00000000^1"), true, false, all, by("you~00000000^1")),
        (Some("you~00000000^1"), false, false, all, Err(NoCommit::NotPrimary)),
        (Some("you~00000000^1"), false, true, reachable, goes("me~00000000^2")),
        (Some("you~00000000^999999"), false, true, all, Err(NoCommit::UsedUp)),
    ];
    assert_eq!(MAX_EPOCH, 999_999);
    let places = [place("b~00000000", 1, 10)];
    for (tip, is_appointed, is_promoted, heard, expected) in table {
        let chain = tip.map_or(Chain::default(), |tip| chain(tip, 5));
        let mut primary = primary(is_appointed, 30);
        let is_own = tip == Some("me~00000000^3");
        assert!(!is_promoted || primary.promote(&chain) != is_own);
        let next = primary.next(LAG_MICROS, heard, &chain, places.iter());
        let case = (tip, is_appointed, is_promoted, heard);
        assert_eq!(next.clone().map(|(name, _)| name.source), expected, "{case:?}");
        if let Ok((name, commit)) = next {
            let begins = name.id == 1;
            assert_eq!(begins, !is_own);
            assert_eq!(commit.after, chain.last().filter(|_| begins), "{case:?}");
            assert_eq!(Some(commit.epoch), name.source.epoch().map(|epoch| epoch.number));
        }
    }
}

#[test]
fn an_epoch_is_begun_once_in_a_life_and_said_at_once() {
    let mut chain = chain("me~11111111^1", 5);
    let mut primary = primary(true, 30);
    // Nothing has to be new.
    let (name, commit) = next(&primary, &chain, &[]).unwrap();
    assert_eq!(commit.after, Some(Name { source: source("me~11111111^1"), id: 5 }));
    add(&mut chain, place(name.source.as_str(), name.id, 60), commit);
    assert_eq!(chain.tip(), Some(&source("me~00000000^2")));
    let other = Commit { epoch: 3, ..chain.commits()[0].commit.clone() };
    add(&mut chain, place("me~11111111^3", 1, 70), other);
    let overtaken = Err(NoCommit::Overtaken(source("me~11111111^3")));
    assert_eq!(next(&primary, &chain, &[]), overtaken);
    primary.begin_life(source("me~22222222"));
    assert_eq!(next(&primary, &chain, &[]).unwrap().0.source, source("me~22222222^4"));
}

#[test]
fn outside_of_the_chain_only_a_promotion_commits() {
    let at = |text: &str, id| Name { source: source(text), id };
    let mut chain = chain("you~00000000^1", 5);
    let mut base = chain.base().clone();
    base.advance(&chain.commits()[0].clone(), []);
    chain.fold(base);
    // It comes after one that is before the base.
    let other = Commit {
        epoch: 2,
        after: Some(at("you~00000000^1", 4)),
        until: time(50),
        clock: [].into(),
        horizon: 60,
        hash: None,
    };
    add(&mut chain, place("they~00000000^2", 1, 60), other);
    assert!(chain.is_outside());
    let mut primary = primary(true, 30);
    assert_eq!(next(&primary, &chain, &[]), Err(NoCommit::Outside));
    assert!(primary.promote(&chain));
    let (name, commit) = next(&primary, &chain, &[]).unwrap();
    assert_eq!(commit.after, Some(at("you~00000000^1", 5)));
    add(&mut chain, place(name.source.as_str(), name.id, 70), commit);
    assert!(!chain.is_outside());
}

#[test]
fn a_large_document_is_hashed_from_time_to_time() {
    let name = |id| Name { source: source("me~00000000^1"), id };
    let (small, large) = (4 << 20, (4 << 20) + 1);
    assert!(hash_is_due(&name(2), small, Some(0)));
    assert!(!hash_is_due(&name(2), large, Some(30 * SECOND - 1)));
    assert!(hash_is_due(&name(2), large, Some(30 * SECOND)));
    assert!(hash_is_due(&name(2), large, None));
    assert!(hash_is_due(&name(1), large, Some(0)));
}
