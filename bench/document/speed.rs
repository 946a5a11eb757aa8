//! How long things take.

use std::hint::black_box;
use std::time::Instant;

use fastrand::Rng;
use patchmesh::internals::document::Value;
use patchmesh::internals::drops;
use serde_json::Value as Json;

use crate::median::median;
use crate::rows::{Row, Unit, turns};
use crate::shapes::{MB, SHAPES, key, records};

/// How much is measured: everything, or quickly what is the same on all machines.
#[derive(Clone, Copy, PartialEq)]
pub enum Extent {
    All,
    Check,
}

impl Extent {
    fn rounds(self) -> usize {
        if self == Self::All { 9 } else { 5 }
    }
}

fn read(text: &str) -> Value {
    serde_json::from_str(text).expect("it is JSON")
}

/// In seconds; the result is dropped after that.
fn time<R>(work: impl FnOnce() -> R) -> f64 {
    let start = Instant::now();
    let result = black_box(work());
    let taken = start.elapsed();
    drop(result);
    taken.as_secs_f64()
}

pub fn reading_and_writing(extent: Extent) -> Vec<Row> {
    let bytes = if extent == Extent::All { 10 * MB } else { 2 * MB };
    let mut rows = Vec::new();
    for shape in &SHAPES {
        for (order, is_sorted, goal) in [("sorted", true, 0.7), ("shuffled", false, 1.0)] {
            let text = shape.text_of(bytes, is_sorted);
            let (.., ratio) = turns(
                extent.rounds(),
                || time(|| read(black_box(&text))),
                || time(|| serde_json::from_str::<Json>(black_box(&text))),
            );
            rows.push(Row::new(format!("read {}, {order}", shape.name), ratio, Unit::Ratio, goal));
        }
        let text = shape.text_of(bytes, true);
        let (value, json) = (read(&text), serde_json::from_str::<Json>(&text).expect("it is JSON"));
        let (.., ratio) = turns(
            extent.rounds(),
            || time(|| value.to_text()),
            || time(|| serde_json::to_vec(&json)),
        );
        rows.push(Row::new(format!("write {}", shape.name), ratio, Unit::Ratio, 1.0));
        let (.., ratio) = turns(
            extent.rounds(),
            || time(|| value.pieces().map(|piece| piece.len()).sum::<usize>()),
            || time(|| serde_json::to_vec(&json)),
        );
        rows.push(Row::new(format!("write {} in pieces", shape.name), ratio, Unit::Ratio, 1.0));
    }
    rows
}

/// Another number in a record, which is found by two names.
pub fn replacing(extent: Extent) -> Vec<Row> {
    let sizes = [("1 KB", 1000, 1.1), ("1 MB", MB, 0.8), ("100 MB", 100 * MB, 0.7)];
    let sizes = if extent == Extent::All { &sizes[..] } else { &sizes[..2] };
    let mut rows = Vec::new();
    for (size, bytes, goal) in sizes {
        let (text, count) = records(*bytes);
        let (mut value, mut json) =
            (read(&text), serde_json::from_str::<Json>(&text).expect("it is JSON"));
        drop(text);
        let mut rng = Rng::with_seed(1);
        let keys: Vec<_> = (0..20_000).map(|_| key(rng.usize(..count))).collect();
        let by = keys.len() as f64 * 1e-9;
        let ours = || {
            time(|| {
                for (number, key) in keys.iter().enumerate() {
                    let number = Value::from(number as u64);
                    value
                        .change_member("records", |records| {
                            records.change_member(key, |record| {
                                record.change_member("version", |version| *version = number)
                            })
                        })
                        .flatten()
                        .flatten()
                        .expect("it is there");
                }
            }) / by
        };
        let others = || {
            time(|| {
                for (number, key) in keys.iter().enumerate() {
                    let records = json.get_mut("records").and_then(Json::as_object_mut);
                    let record = records.and_then(|records| records.get_mut(key));
                    let version = record.and_then(|record| record.get_mut("version"));
                    *version.expect("it is there") = number.into();
                }
            }) / by
        };
        let (nanos, _, ratio) = turns(2 * extent.rounds(), ours, others);
        rows.push(Row::new(format!("replace in {size}"), ratio, Unit::Ratio, *goal));
        rows.push(Row::new(format!("replace in {size}"), nanos, Unit::Nanoseconds, f64::INFINITY));
    }
    rows
}

const ELEMENTS: usize = 1_000_000;

/// Insertions and removals in an array of a million elements.
pub fn elements(extent: Extent) -> Vec<Row> {
    const CHANGES: usize = 1000;
    let numbers = 0..ELEMENTS as u64;
    let mut vector: Vec<Json> = numbers.map(Json::from).collect();
    let mut array: Value = Json::Array(vector.clone()).into();
    let by = CHANGES as f64 * 1e-9;
    let mut rng = Rng::with_seed(1);
    let places: Vec<_> = (0..CHANGES).map(|_| rng.usize(..ELEMENTS)).collect();
    let front = vec![0; CHANGES];
    let mut rows = Vec::new();
    for (place, places, goal) in [("at the front", front, 0.002), ("anywhere", places, 0.005)] {
        // A vector's moves need only few to be measured.
        let few = &places[..10];
        let (nanos, _, ratio) = turns(
            extent.rounds(),
            || {
                let insert =
                    || places.iter().for_each(|at| array.insert_element(*at, 7_u64.into()));
                let taken = time(insert) / by;
                places
                    .iter()
                    .rev()
                    .for_each(|at| assert!(array.take_element(*at, &mut Value::default())));
                taken
            },
            || {
                let insert = || few.iter().for_each(|at| vector.insert(*at, 7.into()));
                let taken = time(insert) / few.len() as f64 * 1e9;
                few.iter().rev().for_each(|at| drop(vector.remove(*at)));
                taken
            },
        );
        rows.push(Row::new(format!("insert {place} of 1,000,000"), ratio, Unit::Ratio, goal));
        rows.push(Row::new(
            format!("insert {place} of 1,000,000"),
            nanos,
            Unit::Nanoseconds,
            1000.0,
        ));
        let nanos = median((0..extent.rounds()).map(|_| {
            let remove = || {
                places.iter().for_each(|at| assert!(array.take_element(*at, &mut Value::default())))
            };
            let taken = time(remove) / by;
            places.iter().rev().for_each(|at| array.insert_element(*at, 7_u64.into()));
            taken
        }));
        rows.push(Row::new(
            format!("remove {place} of 1,000,000"),
            nanos,
            Unit::Nanoseconds,
            1000.0,
        ));
    }
    rows
}

/// What sharing makes cheap, in times that say nothing of other machines.
pub fn sharing(extent: Extent) -> Vec<Row> {
    if extent == Extent::Check {
        return Vec::new();
    }
    let mut document = Value::object();
    document.set_member("a", read(&records(10 * MB).0));
    let round = |_| {
        let copied = time(|| {
            let copy = document.member("a").expect("it is there").clone();
            document.set_member("b", copy)
        });
        let back = time(|| document.remove_member("b"));
        (copied * 1e6, back * 1e6)
    };
    let rounds: Vec<_> = (0..101).map(round).collect();
    let mut rows = vec![
        Row::new("copy 10 MB", median(rounds.iter().map(|r| r.0)), Unit::Microseconds, 5.0),
        Row::new("take the copy back", median(rounds.iter().map(|r| r.1)), Unit::Microseconds, 5.0),
    ];

    let large = read(&records(100 * MB).0);
    let cloned = median((0..101).map(|_| time(|| large.clone())));
    rows.push(Row::new("clone 100 MB", cloned * 1e3, Unit::Milliseconds, 1.0));
    rows.extend(dropping(large));
    rows
}

/// The last reference to a large value, and to one that is freed in place.
fn dropping(large: Value) -> Vec<Row> {
    let weight = large.weight();
    let sent = time(|| drops::send(large, weight));
    let large = read(&records(100 * MB).0);
    let in_place = time(|| drop(large));
    // Which takes longest for its weight: nothing but references.
    let empty = |count: usize| read(&format!("[{}]", vec!["[]"; count].join(",")));
    let count = drops::LIGHT / empty(1).element(0).expect("it is there").weight();
    let values: Vec<_> = (0..101).map(|_| empty(count as usize)).collect();
    let light = median(values.into_iter().map(|value| time(|| drop(value))));
    let row = |what, seconds, goal| Row::new(what, seconds * 1e3, Unit::Milliseconds, goal);
    vec![
        row("drop the last reference to 100 MB", in_place, f64::INFINITY),
        row("have the thread drop it", sent, 1.0),
        row("drop what is just light enough to be dropped in place", light, 0.1),
    ]
}
