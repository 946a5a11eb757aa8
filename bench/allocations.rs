//! How often a transaction allocates, on the average: a table in Markdown.
//!
//! Counted is every allocation and reallocation while a patch is applied that has been read; while
//! it is read and applied; and, to compare, while json_patch's `patch` applies it and while
//! serde_json reads it as a `Value`. A document's own arrays and maps grow now and then: that is
//! why it is more than a whole number.
//!
//! A second table says how many bytes more a document takes for a write while somebody holds it as it was:
//! a thousand writes spread over it.
//!
//! With `--check` it fails if [`MOST`] or [`MOST_BESIDE`] is exceeded.

#[path = "apply/cases.rs"]
mod cases;
#[path = "common/records.rs"]
mod records;

use std::process::ExitCode;

use allocation_counter::measure;
use patchmesh::internals::document::Value as Shared;
use patchmesh::internals::patch::{Document, Patch, parse};
use serde_json::Value;

use cases::{KINDS, Kind, SIZES, document};

/// How often at most a transaction of each kind allocates while its patch is applied, and while it is
/// read and applied.
const MOST: [(&str, f64, f64); 5] = [
    ("replace by key", 0.0, 3.0),
    ("append to an array", 1.6, 5.6),
    ("five operations", 3.6, 13.6),
    ("replace, then a failing test", 4.2, 9.2),
    ("move", 1.0, 5.0),
];

/// How many bytes at most a write beside a clone takes, in the mean and the largest one.
const MOST_BESIDE: [f64; 2] = [8.0 * 1024.0, 24.0 * 1024.0];

const WRITES_BESIDE: usize = 1000;

fn main() -> ExitCode {
    let is_check = std::env::args().any(|argument| argument == "--check");
    let mut exceeded = false;
    println!(
        "| operation | document | applied | from text | json_patch's patch | text to Value alone |"
    );
    println!("| --- | --- | ---: | ---: | ---: | ---: |");
    for (size, bytes) in &SIZES[..2] {
        let subject = document(*bytes);
        for (kind, (name, most_applied, most_from_text)) in KINDS.iter().zip(MOST) {
            assert_eq!(kind.name, name);
            let [applied, from_text, json_patch, read] = count(kind, &subject);
            println!(
                "| {name} | {size} | {applied:.2} | {from_text:.2} | {json_patch:.2} | {read:.2} |"
            );
            if is_check && (applied > most_applied || from_text > most_from_text) {
                println!("EXCEEDED: at most {most_applied} and {most_from_text}");
                exceeded = true;
            }
        }
    }
    println!("\n| beside a clone | bytes a write, mean | largest |\n| --- | ---: | ---: |");
    for (size, bytes) in &SIZES[1..] {
        let [mean, largest] = beside_a_clone(*bytes);
        println!("| {size} | {mean:.0} | {largest:.0} |");
        if is_check && (mean > MOST_BESIDE[0] || largest > MOST_BESIDE[1]) {
            println!("EXCEEDED: at most {MOST_BESIDE:?}");
            exceeded = true;
        }
    }
    if exceeded { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// How often a transaction allocates: applied, from text, by json_patch, and if it is only read.
/// Whether it applies does not matter here.
fn count(kind: &Kind, (value, records): &(Value, usize)) -> [f64; 4] {
    let payloads = kind.payloads(*records);
    let patches: Vec<Patch> =
        payloads.iter().map(|payload| parse(payload).expect("it is a JSON Patch")).collect();
    let theirs: Vec<json_patch::Patch> = payloads
        .iter()
        .map(|payload| serde_json::from_str(payload).expect("it is a JSON Patch"))
        .collect();
    // Two that share nothing.
    let document = || Document::new(value.clone()).expect("it is within the limits");
    let (mut applied, given) = (document(), patches);
    let (mut from_text, mut by_json_patch) = (document(), value.clone());
    let counts = [
        measure(|| given.into_iter().for_each(|patch| drop(applied.apply(patch)))),
        measure(|| {
            for payload in &payloads {
                drop(parse(payload).and_then(|patch| from_text.apply(patch)));
            }
        }),
        measure(|| {
            for patch in &theirs {
                drop(json_patch::patch(&mut by_json_patch, patch));
            }
        }),
        measure(|| {
            for payload in &payloads {
                drop(serde_json::from_str::<Value>(payload));
            }
        }),
    ];
    counts.map(|count| count.count_total as f64 / payloads.len() as f64)
}

/// How many bytes more the document takes for each of the writes, in the mean and at most.
fn beside_a_clone(bytes: usize) -> [f64; 2] {
    let (value, records) = document(bytes);
    let mut value = Shared::from(value);
    let held = value.clone();
    let mut write = |number| {
        let key = records::key(number * records / WRITES_BESIDE);
        let changed = value.change_member("records", |records| {
            records.change_member(&key, |record| record.set_member("version", 2_u64.into()))
        });
        changed.flatten().expect("it is there");
    };
    let taken: Vec<_> =
        (0..WRITES_BESIDE).map(|number| measure(|| write(number)).bytes_current as f64).collect();
    drop(held);
    [taken.iter().sum::<f64>() / taken.len() as f64, taken.iter().copied().fold(0.0, f64::max)]
}
