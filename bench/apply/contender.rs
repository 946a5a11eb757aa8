//! The contenders, which apply the transactions, and how long that takes them.

use std::hint::black_box;
use std::time::{Duration, Instant};

use patchmesh::internals::patch::{Document, Patch, parse};
use serde_json::Value;

use crate::cases::{Kind, document};

/// The document, in each contender's form.
pub struct Subject {
    records: usize,
    document: Document,
    value: Value,
    pub text: String,
}

impl Subject {
    pub fn new(bytes: usize) -> Self {
        let (value, records) = document(bytes);
        Self {
            records,
            document: Document::new(value.clone()).expect("it is within the limits"),
            text: value.to_string(),
            value,
        }
    }
}

/// Transactions of one kind: each applies to the document as it is, and all of them one after the
/// other.
pub struct Case {
    pub name: &'static str,
    patches: Vec<Patch>,
    payloads: Vec<String>,
    /// What takes all of them back, last one first; nothing if the patches do not apply.
    inverses: Vec<Patch>,
    /// The same patches and inverses as json_patch has them.
    theirs: [Vec<json_patch::Patch>; 2],
}

impl Case {
    pub fn new(kind: &Kind, subject: &Subject) -> Self {
        let payloads = kind.payloads(subject.records);
        let patches: Vec<_> =
            payloads.iter().map(|payload| parse(payload).expect("it is a JSON Patch")).collect();
        let mut document = subject.document.clone();
        let mut inverses: Vec<_> =
            patches.iter().filter_map(|patch| document.apply(patch.clone()).ok()).collect();
        let count = inverses.len();
        assert!(count == 0 || count == patches.len(), "either all apply or none does");
        inverses.reverse();
        let theirs = [&patches, &inverses].map(|list| list.iter().map(theirs).collect());
        Self { name: kind.name, patches, payloads, inverses, theirs }
    }

    fn applies(&self) -> bool {
        !self.inverses.is_empty()
    }
}

#[derive(Clone, Copy, PartialEq)]
pub enum Contender {
    Patchmesh,
    PatchmeshKept,
    PatchmeshFromText,
    JsonPatch,
    ReadValue,
    ReadPatch,
    PseudoCode,
}

impl Contender {
    pub const ALL: [Self; 7] = [
        Self::Patchmesh,
        Self::PatchmeshKept,
        Self::PatchmeshFromText,
        Self::JsonPatch,
        Self::ReadValue,
        Self::ReadPatch,
        Self::PseudoCode,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Patchmesh => "patchmesh",
            Self::PatchmeshKept => "patchmesh, inverse kept",
            Self::PatchmeshFromText => "patchmesh from text",
            Self::JsonPatch => "json_patch",
            Self::ReadValue => "text to Value, no more",
            Self::ReadPatch => "text to Patch, no more",
            Self::PseudoCode => "pseudo-code",
        }
    }

    /// How long so many transactions take. The document is then what it was.
    pub fn run(self, subject: &mut Subject, case: &Case, transactions: u64) -> Duration {
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
        let first = case.inverses.len().saturating_sub(batch);
        let inverses = &case.inverses[first..];
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
            Self::PatchmeshKept => {
                let patches = patches.to_vec();
                let mut kept = Vec::with_capacity(batch);
                let start = Instant::now();
                for patch in patches {
                    kept.push(document.apply(black_box(patch)));
                }
                let taken = start.elapsed();
                assert!(kept.iter().all(|inverse| inverse.is_ok() == applies));
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
                let [patches, inverses] = &case.theirs;
                let start = Instant::now();
                for patch in &patches[..batch] {
                    let result = json_patch::patch(value, black_box(patch));
                    assert_eq!(black_box(result).is_ok(), applies);
                }
                let taken = start.elapsed();
                for inverse in &inverses[first..] {
                    json_patch::patch(value, inverse).expect("the inverse applies");
                }
                taken
            }
            Self::ReadValue => {
                let start = Instant::now();
                for payload in payloads {
                    let value: Value =
                        serde_json::from_str(black_box(payload)).expect("it is JSON");
                    black_box(value);
                }
                start.elapsed()
            }
            Self::ReadPatch => {
                let start = Instant::now();
                for payload in payloads {
                    let patch: json_patch::Patch =
                        serde_json::from_str(black_box(payload)).expect("it is a JSON Patch");
                    black_box(patch);
                }
                start.elapsed()
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

fn theirs(patch: &Patch) -> json_patch::Patch {
    let text = serde_json::to_string(patch).expect("a patch always has a JSON text");
    serde_json::from_str(&text).expect("it is a JSON Patch")
}

fn take_back(document: &mut Document, inverses: &[Patch]) {
    for inverse in inverses {
        document.revert(inverse.clone());
    }
}

fn pseudo_code(snapshot: &str, payload: &str) -> Option<String> {
    let mut snapshot: Value = serde_json::from_str(snapshot).expect("it is JSON");
    let patch: json_patch::Patch = serde_json::from_str(payload).expect("it is a JSON Patch");
    json_patch::patch(&mut snapshot, &patch).ok()?;
    Some(snapshot.to_string())
}
