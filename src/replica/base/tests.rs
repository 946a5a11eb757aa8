//! Random bases and their summaries.

use std::collections::BTreeMap;

use super::*;
use crate::clock::Time;
use crate::document::Value;
use crate::transaction::Name;

/// A random base of at most so many sources, with this document.
pub fn random_base(random: &mut fastrand::Rng, sources: usize, document: Document) -> Base {
    let time =
        |random: &mut fastrand::Rng, from| Time::from_micros(random.u64(from..1 << 53)).unwrap();
    let floor = time(random, 0);
    let mut clock = BTreeMap::new();
    for number in 0..random.usize(..=sources) {
        let source = format!("node{number}~{:08}^s", random.u32(..1000)).parse().unwrap();
        let (next, last) = (random.u64(1..=1 << 53), time(random, floor.as_micros()));
        clock.insert(source, Covered { next, last });
    }
    let commit = Name {
        source: format!("main~00000000^{}", random.u32(1..=3)).parse().unwrap(),
        id: random.u64(1..1 << 53),
    };
    let next = random.u64(commit.id + 1..=1 << 53);
    clock.insert(commit.source.clone(), Covered { next, last: time(random, 0) });
    let (mut ranges, mut names) = (Vec::new(), BTreeMap::new());
    for number in 0..random.usize(..=sources) {
        let source: Source = match random.bool() {
            true => format!("plain \"{number}\" й"),
            false => format!("client{number}~00000000"),
        }
        .parse()
        .unwrap();
        let mut next = 0;
        for _ in 0..=random.usize(..=sources) {
            let from = next + random.u64(..1000);
            let end = from + random.u64(1..1000);
            ranges.push((source.clone(), from, end));
            next = end + 1;
        }
        names.insert(source, time(random, 0));
    }
    ranges.sort();
    Base {
        committed: Committed { commit: Some(commit), first: time(random, 0), clock, names, floor },
        names: Names::from_ranges(ranges).unwrap(),
        length: random.u64(..1 << 53),
        document,
    }
}

#[test]
fn a_summary_reads_back() {
    for seed in 0..500 {
        let mut random = fastrand::Rng::with_seed(seed);
        let root: Value = serde_json::json!({ "seed": seed }).into();
        let base = random_base(&mut random, 8, Document::new(root).unwrap());
        let summary = base.summary();
        let read = Base::read(&summary, base.document.clone());
        assert_eq!(read.as_ref(), Ok(&base), "seed {seed}: {summary}");
        assert_eq!(read.unwrap().summary(), summary, "seed {seed}");
    }
}

#[test]
fn a_summary_in_parts_is_the_same() {
    for seed in 0..100 {
        let mut random = fastrand::Rng::with_seed(seed);
        let base = random_base(&mut random, 12, Document::default());
        let (mut written, most) = (Written::default(), random.usize(1..20));
        let mut summary = base.begin_summary(&mut written, most);
        assert!(summary.entries() <= most);
        while let Some(more) = base.more_summary(&mut written, most) {
            assert!((1..=most).contains(&more.entries()), "seed {seed}");
            summary.add(more).unwrap();
        }
        assert_eq!(summary.base(), Ok(base), "seed {seed}");
    }
}

#[test]
fn a_part_repeats_nothing() {
    for (more, expected) in [
        (r#"{"Clock":{"a~k3x9q2pd":[18,3000]}}"#, "Clock: \"a~k3x9q2pd\" is there twice"),
        (r#"{"Names":{"plain":[1,[[9,10]]]}}"#, "Names, \"plain\": there are two last times"),
        (r#"{"Names":{"a~k3x9q2pd":[3000,[[16,18]]]}}"#, "[16,18] touches"),
        (r#"{"Names":{"a~k3x9q2pd":[3000,[[18,18]]]}}"#, "[18,18] is no range"),
        (r#"{"Names":{"a~k3x9q2pd":[3000,[[18,19]]],"b":[1,[[0,1]]]}}"#, ""),
    ] {
        let mut summary: BaseSummary = serde_json::from_str(SUMMARY).unwrap();
        let added = summary.add(serde_json::from_str(more).unwrap());
        match added.and_then(|()| summary.base()) {
            Ok(base) => assert!(expected.is_empty() && base.names.ranges() == 5, "{more}"),
            Err(error) => assert!(!expected.is_empty() && error.contains(expected), "{error}"),
        }
    }
}

const SUMMARY: &str = concat!(
    r#"{"Commit":{"Source":"main~k3x9q2pd^2","Id":9},"First":1000,"#,
    r#""Clock":{"a~k3x9q2pd":[17,3000],"main~k3x9q2pd^1":[4,20],"main~k3x9q2pd^2":[10,4000]},"#,
    r#""Names":{"a~k3x9q2pd":[3000,[[1,5],[6,17]]],"plain":[2500,[[0,7]]]},"#,
    r#""Floor":2000,"Length":15}"#
);

#[test]
fn the_form_of_a_summary_is_that_of_the_wire() {
    let base = Base::read(SUMMARY, Document::default()).unwrap();
    assert_eq!(base.summary(), SUMMARY);
    let source: Source = "a~k3x9q2pd".parse().unwrap();
    let time = |micros| Time::from_micros(micros).unwrap();
    assert_eq!(base.committed.clock[&source], Covered { next: 17, last: time(3000) });
    assert_eq!(base.committed.names[&source], time(3000));
    assert!(base.names.contains(&source, 4) && !base.names.contains(&source, 5));
    assert_eq!((base.committed.floor, base.committed.first), (time(2000), time(1000)));
    assert_eq!(base.length, 15);
    let later = SUMMARY.replace(r#""Floor""#, r#""Later":{"a":[1]},"Floor""#);
    assert_eq!(Base::read(&later, Document::default()), Ok(base));
}

#[test]
fn what_is_no_summary_says_what_is_wrong_and_where() {
    // A part of the summary, its replacement, and a part of the error's text.
    let table = [
        (SUMMARY, "", "EOF"),
        (SUMMARY, "[]", "invalid"),
        (r#""Floor":2000,"#, "", "missing field `Floor`"),
        (r#""Length":15"#, r#""Length":15,"Length":15"#, "duplicate field `Length`"),
        (r#"{"Source":"main~k3x9q2pd^2","Id":9}"#, "null", "invalid type: null"),
        (
            "main~k3x9q2pd^2\",\"Id",
            "main~k3x9q2pd\",\"Id",
            "Commit: \"main~k3x9q2pd\" is no source",
        ),
        ("main~k3x9q2pd^2\",\"Id", "\",\"Id", "a source must not be empty"),
        (r#""Id":9"#, r#""Id":9007199254740992"#, "Commit: an Id is below 2^53"),
        (r#""Id":9"#, r#""Id":10"#, "Clock does not cover the Commit"),
        (r#","main~k3x9q2pd^2":[10,4000]"#, "", "Clock does not cover the Commit"),
        (r#""First":1000"#, r#""First":9007199254740992"#, "First: a time is below 2^53"),
        (r#""First":1000"#, r#""First":-1"#, "invalid value: integer `-1`"),
        (r#""Floor":2000"#, r#""Floor":9007199254740992"#, "Floor: a time is below 2^53"),
        (r#""Floor":2000"#, r#""Floor":3001"#, "Clock, \"a~k3x9q2pd\": a source that was last"),
        (r#""Length":15"#, r#""Length":9007199254740992"#, "Length is below 2^53"),
        ("[17,3000]", "[0,3000]", "Clock, \"a~k3x9q2pd\": the next Id is from 1 to 2^53"),
        ("[17,3000]", "[9007199254740993,3000]", "Clock, \"a~k3x9q2pd\": the next Id"),
        ("[17,3000]", "[17,9007199254740992]", "Clock, \"a~k3x9q2pd\": a time is below 2^53"),
        ("[17,3000]", "[17]", "invalid length 1"),
        ("main~k3x9q2pd^1\":", "a~k3x9q2pd\":", "\"a~k3x9q2pd\" is there twice"),
        ("plain", "a~k3x9q2pd", "\"a~k3x9q2pd\" is there twice"),
        ("plain", "pl\\u0000ain", "a source has no control characters"),
        ("[3000,[[", "[9007199254740992,[[", "Names, \"a~k3x9q2pd\": a time is below 2^53"),
        ("[3000,[[", "[null,[[", "invalid type: null"),
        ("[2500,[[0,7]]]", "[2500,[]]", "Names, \"plain\": there is no range"),
        ("[1,5],[6,17]", "[1,5],[5,17]", "Names, \"a~k3x9q2pd\": [5,17] touches"),
        ("[1,5],[6,17]", "[6,17],[1,5]", "Names, \"a~k3x9q2pd\": [1,5] touches"),
        ("[1,5],[6,17]", "[1,5],[6,6]", "Names, \"a~k3x9q2pd\": [6,6] is no range"),
        ("[6,17]", "[6,9007199254740993]", "[6,9007199254740993] is no range"),
        ("[6,17]", "[6,18446744073709551615]", "[6,18446744073709551615] is no range"),
    ];
    for (part, instead, expected) in table {
        assert!(SUMMARY.contains(part), "{part}");
        let text = SUMMARY.replacen(part, instead, 1);
        let error = Base::read(&text, Document::default()).expect_err(&text);
        assert!(error.contains(expected), "{text}: {error}");
    }
    let last = SUMMARY.replacen("[6,17]", "[6,9007199254740992]", 1);
    assert!(Base::read(&last, Document::default()).is_ok(), "the greatest Id is 2^53 - 1");
}
