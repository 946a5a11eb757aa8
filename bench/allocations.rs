//! How often a transaction allocates, on the average: a table in Markdown.
//!
//! Counted is every allocation and reallocation while a patch is applied that has been read; while
//! it is read and applied; and, to compare, while json_patch's `patch` applies it and while
//! serde_json reads it as a `Value`. A document's own arrays and maps grow now and then: that is
//! why it is more than a whole number.
//!
//! With `--check` it fails where [`MOST`] is exceeded.

#[path = "apply/cases.rs"]
mod cases;
#[path = "common/records.rs"]
mod records;

use std::process::ExitCode;

use allocation_counter::measure;
use json_patch::Patch;
use patchmesh::patch::{Document, parse};
use serde_json::Value;

use cases::{KINDS, Kind, SIZES, document};

/// How often at most a transaction of each kind allocates while its patch is applied, and while it is
/// read and applied.
const MOST: [(&str, f64, f64); 5] = [
    ("replace by key", 0.0, 3.0),
    ("append to an array", 1.2, 7.2),
    ("five operations", 3.2, 16.2),
    ("replace, then a failing test", 2.0, 8.0),
    ("move", 0.2, 3.2),
];

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
    if exceeded { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// How often a transaction allocates: applied, from text, by json_patch, and where it is only read.
/// Whether it applies does not matter here.
fn count(kind: &Kind, (value, records): &(Value, usize)) -> [f64; 4] {
    let payloads = kind.payloads(*records);
    let patches: Vec<Patch> =
        payloads.iter().map(|payload| parse(payload).expect("it is a JSON Patch")).collect();
    let document = Document::new(value.clone()).expect("it is within the limits");

    let (mut applied, given) = (document.clone(), patches.clone());
    let (mut from_text, mut by_json_patch) = (document, value.clone());
    let counts = [
        measure(|| given.into_iter().for_each(|patch| drop(applied.apply(patch)))),
        measure(|| {
            for payload in &payloads {
                drop(parse(payload).and_then(|patch| from_text.apply(patch)));
            }
        }),
        measure(|| {
            for patch in &patches {
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
