//! How many transactions a second are applied, and how that compares.
//!
//! Four contenders do the same transactions side by side:
//! - `patchmesh`: [`Document::apply`] of a patch that has been read; it gives back the inverse.
//! - `patchmesh from text`: reads the payload as well, as the node does for every transaction.
//! - `json_patch`: that crate's own `patch`, of a patch that has been read.
//! - `pseudo-code`: the assignment taken by its letter: the snapshot is a string, which is read,
//!   patched and written again for every transaction; so is the payload.
//!
//! What a transaction allocates is freed within its time; and patchmesh uses up the patch, so that
//! this is freed within its time as well. The documents stay as they are: after a few hundred
//! transactions the clock stops and all of them are taken back.
//!
//! After criterion's own report comes a table in Markdown: how many transactions a second, and how
//! many times as fast that is as another contender from the same start, patch or text. Each number
//! is the median over rounds in which the contenders take turns, so that a slow moment of the machine
//! meets all of them.

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput};
use json_patch::Patch;
use patchmesh::patch::{Document, parse};
use serde_json::{Map, Value, json};

const KB: usize = 1000;
const SIZES: [(&str, usize); 3] = [("1 KB", KB), ("1 MB", KB * KB), ("100 MB", 100 * KB * KB)];

/// As many transactions at most are applied before they are taken back.
const BATCH: usize = 512;

/// How long a contender's turn in a round of the table is, at least.
const TURN: Duration = Duration::from_millis(10);
const ROUNDS: usize = 15;

/// In how many of them those take part of whom one transaction fills a turn many times over: the
/// pseudo-code, which needs a second for the largest document, give or take little.
const ROUNDS_OF_THE_SLOW: usize = 3;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let has = |argument: &str| arguments.iter().any(|other| other == argument);
    // Without `--bench`, which is cargo's, criterion runs everything once.
    let is_test = has("--test") || !has("--bench");
    let sizes = if is_test { &SIZES[..2] } else { &SIZES };

    let mut criterion = Criterion::default()
        .without_plots()
        .warm_up_time(Duration::from_millis(100))
        .measurement_time(Duration::from_millis(400))
        .nresamples(2000)
        .sample_size(10)
        .configure_from_args();
    let mut table = Vec::new();
    for &(size, bytes) in sizes {
        let mut subject = Subject::new(bytes);
        for case in Case::all(&subject) {
            report(&mut criterion, &mut subject, &case, size);
            if !is_test && !has("--list") {
                table.push(row(&mut subject, &case, size));
            }
        }
    }
    criterion.final_summary();
    if !table.is_empty() {
        print(&table);
    }
}

/// The document, in each contender's form.
struct Subject {
    records: usize,
    document: Document,
    value: Value,
    text: String,
}

impl Subject {
    /// A document whose text is this long: records by their key, and a log.
    fn new(bytes: usize) -> Self {
        let mut records = Map::new();
        let mut length = 0;
        while length < bytes {
            let (key, record) = (key(records.len()), record(records.len()));
            length += key.len() + record.to_string().len();
            records.insert(key, record);
        }
        let log: Vec<_> = (0..10).map(entry).collect();
        let count = records.len();
        let value = json!({"records": records, "archive": {}, "log": log});
        Self {
            records: count,
            document: Document::new(value.clone()).expect("it is within the limits"),
            text: value.to_string(),
            value,
        }
    }
}

fn key(number: usize) -> String {
    format!("record-{number:06}")
}

fn record(number: usize) -> Value {
    json!({
        "name": format!("Name of record {number}"),
        "version": 1,
        "score": number as f64 / 8.0,
        "tags": ["first", "second"],
        "note": "As much text as a record of this kind usually has, or somewhat more than that."
    })
}

fn entry(number: usize) -> Value {
    json!({"at": 1_763_888_400_123_456_u64 + number as u64, "text": format!("entry {number}")})
}

/// Transactions of one kind: each applies to the document as it is, and all of them one after the
/// other.
struct Case {
    name: &'static str,
    patches: Vec<Patch>,
    payloads: Vec<String>,
    /// What takes all of them back, last one first; nothing where the patches do not apply.
    inverses: Vec<Patch>,
}

impl Case {
    fn all(subject: &Subject) -> [Self; 5] {
        let case = |name, patch: fn(&str, usize) -> Value| Self::new(name, subject, patch);
        [
            case("replace by key", |key, number| {
                json!([{
                    "op": "replace", "path": format!("/records/{key}/name"),
                    "value": format!("New name of record {number}")
                }])
            }),
            case(
                "append to an array",
                |_, number| json!([{"op": "add", "path": "/log/-", "value": entry(number)}]),
            ),
            case("five operations", |key, number| {
                json!([
                    {"op": "test", "path": format!("/records/{key}/version"), "value": 1},
                    {"op": "replace", "path": format!("/records/{key}/version"), "value": 2},
                    {"op": "add", "path": format!("/records/{key}/tags/-"), "value": "third"},
                    {"op": "remove", "path": format!("/records/{key}/note")},
                    {"op": "add", "path": "/log/-", "value": entry(number)}
                ])
            }),
            case("replace, then a failing test", |key, number| {
                json!([
                    {
                        "op": "replace", "path": format!("/records/{key}/name"),
                        "value": format!("New name of record {number}")
                    },
                    {"op": "test", "path": format!("/records/{key}/version"), "value": 7}
                ])
            }),
            case("move", |key, _| {
                json!([{
                    "op": "move", "from": format!("/records/{key}"), "path": format!("/archive/{key}")
                }])
            }),
        ]
    }

    fn new(name: &'static str, subject: &Subject, patch: fn(&str, usize) -> Value) -> Self {
        let batch = BATCH.min(subject.records);
        let stride = subject.records / batch;
        let payloads: Vec<_> = (0..batch)
            .map(|index| patch(&key(index * stride), index * stride).to_string())
            .collect();
        let patches: Vec<_> =
            payloads.iter().map(|payload| parse(payload).expect("it is a JSON Patch")).collect();
        let mut document = subject.document.clone();
        let mut inverses: Vec<_> =
            patches.iter().filter_map(|patch| document.apply(patch.clone()).ok()).collect();
        assert!(inverses.is_empty() || inverses.len() == batch, "either all apply or none does");
        inverses.reverse();
        Self { name, patches, payloads, inverses }
    }

    fn applies(&self) -> bool {
        !self.inverses.is_empty()
    }
}

#[derive(Clone, Copy)]
enum Contender {
    Patchmesh,
    PatchmeshFromText,
    JsonPatch,
    PseudoCode,
}

impl Contender {
    const ALL: [Self; 4] =
        [Self::Patchmesh, Self::PatchmeshFromText, Self::JsonPatch, Self::PseudoCode];

    fn name(self) -> &'static str {
        match self {
            Self::Patchmesh => "patchmesh",
            Self::PatchmeshFromText => "patchmesh from text",
            Self::JsonPatch => "json_patch",
            Self::PseudoCode => "pseudo-code",
        }
    }

    /// How long so many transactions take. The document is then what it was.
    fn run(self, subject: &mut Subject, case: &Case, transactions: u64) -> Duration {
        let mut taken = Duration::ZERO;
        let mut left = usize::try_from(transactions).expect("there is time for fewer only");
        while left > 0 {
            let batch = left.min(case.patches.len());
            taken += self.run_batch(subject, case, batch);
            left -= batch;
        }
        taken
    }

    fn run_batch(self, subject: &mut Subject, case: &Case, batch: usize) -> Duration {
        let applies = case.applies();
        let patches = &case.patches[..batch];
        let payloads = &case.payloads[..batch];
        // They are the last ones' first.
        let inverses = &case.inverses[case.inverses.len().saturating_sub(batch)..];
        let Subject { document, value, text, .. } = subject;
        match self {
            Self::Patchmesh => {
                let patches = patches.to_vec();
                let start = Instant::now();
                for patch in patches {
                    let inverse = black_box(document.apply(black_box(patch)));
                    assert_eq!(inverse.is_ok(), applies);
                }
                let taken = start.elapsed();
                take_back(document, inverses);
                taken
            }
            Self::PatchmeshFromText => {
                let start = Instant::now();
                for payload in payloads {
                    let patch = parse(black_box(payload)).expect("it is a JSON Patch");
                    let inverse = black_box(document.apply(patch));
                    assert_eq!(inverse.is_ok(), applies);
                }
                let taken = start.elapsed();
                take_back(document, inverses);
                taken
            }
            Self::JsonPatch => {
                let start = Instant::now();
                for patch in patches {
                    let result = json_patch::patch(value, black_box(patch));
                    assert_eq!(black_box(result).is_ok(), applies);
                }
                let taken = start.elapsed();
                for inverse in inverses {
                    json_patch::patch(value, inverse).expect("the inverse applies");
                }
                taken
            }
            Self::PseudoCode => {
                let start = Instant::now();
                for payload in payloads {
                    let result = pseudo_code(black_box(text), black_box(payload));
                    assert_eq!(black_box(result).is_some(), applies);
                }
                start.elapsed()
            }
        }
    }
}

fn take_back(document: &mut Document, inverses: &[Patch]) {
    for inverse in inverses {
        document.revert(inverse.clone());
    }
}

fn pseudo_code(snapshot: &str, payload: &str) -> Option<String> {
    let mut snapshot: Value = serde_json::from_str(snapshot).expect("it is JSON");
    let patch: Patch = serde_json::from_str(payload).expect("it is a JSON Patch");
    json_patch::patch(&mut snapshot, &patch).ok()?;
    Some(snapshot.to_string())
}

fn report(criterion: &mut Criterion, subject: &mut Subject, case: &Case, size: &str) {
    let mut group = criterion.benchmark_group(case.name);
    group.throughput(Throughput::Elements(1));
    for contender in Contender::ALL {
        // There the patch no longer matters, and the table has it anyway.
        let is_slow =
            matches!(contender, Contender::PseudoCode) && subject.text.len() > KB * KB * 10;
        if is_slow && case.name != "replace by key" {
            continue;
        }
        group.bench_function(BenchmarkId::new(contender.name(), size), |bencher| {
            bencher.iter_custom(|transactions| contender.run(subject, case, transactions));
        });
    }
    group.finish();
}

struct Row {
    case: &'static str,
    size: String,
    /// Transactions a second,
    patchmesh: f64,
    /// and how many times as many as this one's.
    json_patch: f64,
    /// Transactions a second,
    patchmesh_from_text: f64,
    /// and how many times as many as this one's.
    pseudo_code: f64,
}

fn row(subject: &mut Subject, case: &Case, size: &str) -> Row {
    let transactions = Contender::ALL.map(|contender| {
        let mut transactions = 1;
        while contender.run(subject, case, transactions) < TURN {
            transactions *= 2;
        }
        transactions
    });
    let mut seconds: [Vec<f64>; 4] = Default::default();
    for round in 0..ROUNDS {
        for turn in 0..Contender::ALL.len() {
            // Nobody is always the one who comes after the pseudo-code.
            let index = (round + turn) % Contender::ALL.len();
            let (contender, transactions) = (Contender::ALL[index], transactions[index]);
            if transactions == 1 && round >= ROUNDS_OF_THE_SLOW {
                continue;
            }
            if transactions > 1 {
                // Nor does anybody find the caches filled by another.
                contender.run(subject, case, transactions / 4);
            }
            let taken = contender.run(subject, case, transactions).as_secs_f64();
            seconds[index].push(taken / transactions as f64);
        }
    }
    let [patchmesh, from_text, json_patch, pseudo_code] = seconds;
    Row {
        case: case.name,
        size: size.to_owned(),
        json_patch: median(ratios(&json_patch, &patchmesh)),
        pseudo_code: median(ratios(&pseudo_code, &from_text)),
        patchmesh: 1.0 / median(patchmesh),
        patchmesh_from_text: 1.0 / median(from_text),
    }
}

/// Round by round; there may be fewer of one.
fn ratios(left: &[f64], right: &[f64]) -> Vec<f64> {
    left.iter().zip(right).map(|(left, right)| left / right).collect()
}

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}

fn print(table: &[Row]) {
    println!(
        "| operation | document | transactions/s | × json_patch | from text, transactions/s \
         | × pseudo-code |"
    );
    println!("| --- | ---: | ---: | ---: | ---: | ---: |");
    for row in table {
        let [patchmesh, json_patch, from_text, pseudo_code] =
            [row.patchmesh, row.json_patch, row.patchmesh_from_text, row.pseudo_code].map(rounded);
        let Row { case, size, .. } = row;
        println!("| {case} | {size} | {patchmesh} | {json_patch} | {from_text} | {pseudo_code} |");
    }
}

/// The number with two digits that count, as in 0.85, 1.2, 12 or 3,400.
fn rounded(number: f64) -> String {
    let unit = 10_f64.powf(number.log10().floor() - 1.0);
    let number = (number / unit).round() * unit;
    if number < 10.0 {
        let decimals = if number < 1.0 { 2 } else { 1 };
        return format!("{number:.decimals$}");
    }
    let digits = format!("{number:.0}");
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}
