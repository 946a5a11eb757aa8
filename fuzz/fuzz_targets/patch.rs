//! Patches do what a second implementation says, and leave no trace once they are taken back; and only
//! what is a JSON Patch is taken for one.
//!
//! The input begins with a byte that says what follows: the choices that make a document and patches for
//! it; or a document's text, a line feed, and a patch's or merge patch's text.

#![no_main]

#[path = "../../tests/patch/check.rs"]
mod check;
#[path = "../../tests/patch/naive.rs"]
mod naive;
#[path = "../../tests/patch/random.rs"]
mod random;

use libfuzzer_sys::fuzz_target;
use patchmesh::internals::patch::{Document, PatchError, Reason, merge, parse};
use patchmesh_fuzz::Bytes;
use serde_json::Value;

use random::{Choices, Random};

/// A document that is larger takes long to compare, and shows nothing new.
const MOST_WEIGHT: u64 = 50_000;

impl Choices for Bytes<'_> {
    fn below(&mut self, end: usize) -> usize {
        Bytes::below(self, end)
    }
}

fuzz_target!(|input: &[u8]| {
    match input.split_first() {
        None => (),
        Some((0, choices)) => history(choices),
        Some((_, texts)) => {
            if let Ok(texts) = std::str::from_utf8(texts)
                && let Some((document, patch)) = texts.split_once('\n')
            {
                text(document, patch);
            }
        }
    }
});

/// Patches that are applied one after the other.
fn history(choices: &[u8]) {
    let mut random = Random(Bytes(choices));
    let mut document = Document::new(random.value(4)).expect("it is small");
    while !random.0.is_empty() && document.weight() < MOST_WEIGHT {
        let (patch, expected) = random.patch(&json(&document));
        check::check(&mut document, &patch, expected);
    }
}

fn text(document: &str, patch: &str) {
    let Ok(document) = serde_json::from_str::<Value>(document) else { return };
    let Some(document) = Document::new(document) else { return };
    let value: Option<Value> = serde_json::from_str(patch).ok();
    let operations = value.as_ref().and_then(operations);
    match (parse(patch), &operations) {
        (Ok(parsed), Some(operations)) => {
            let text = serde_json::to_string(&parsed).expect("a patch has a text");
            assert_eq!(parse(&text), Ok(parsed), "what is written is read");
            apply(document.clone(), operations);
        }
        (Ok(_), None) => panic!("{patch} is taken for a patch"),
        (Err(PatchError { reason: Reason::Malformed(why), .. }), operations) => assert!(
            operations.is_none() || why.contains("duplicate field"),
            "{patch} is not taken for a patch: {why}"
        ),
        (Err(error), _) => panic!("{patch}: {error}"),
    }
    if let Some(wanted) = value {
        let merged = merged(&json(&document), &wanted);
        let mut changed = document.clone();
        match changed.apply(merge(document.root(), wanted.into())) {
            Ok(inverse) => {
                assert_eq!(changed.root().to_string(), merged.to_string());
                changed.revert(inverse);
            }
            Err(error) => assert!(is_limit(&error.reason), "{error}"),
        }
        assert_eq!(changed.root().to_string(), document.root().to_string());
    }
}

/// The operations, if the value is a JSON Patch.
fn operations(value: &Value) -> Option<&[Value]> {
    let is_pointer = |value: &Value| {
        value.as_str().is_some_and(|text| {
            let is_escaped = |part: &str| part.starts_with('0') || part.starts_with('1');
            (text.is_empty() || text.starts_with('/')) && text.split('~').skip(1).all(is_escaped)
        })
    };
    let operations = value.as_array()?;
    let is_operation = |operation: &Value| {
        let has = |name: &str| operation.get(name);
        let is_complete = match has("op").and_then(Value::as_str) {
            Some("remove") => true,
            Some("add" | "replace" | "test") => has("value").is_some(),
            Some("move" | "copy") => has("from").is_some_and(is_pointer),
            _ => false,
        };
        operation.is_object() && is_complete && has("path").is_some_and(is_pointer)
    };
    operations.iter().all(is_operation).then_some(operations)
}

/// Applies the operations by both implementations.
fn apply(mut document: Document, operations: &[Value]) {
    let mut expected = Ok(json(&document));
    for (index, operation) in operations.iter().enumerate() {
        let Ok(now) = &expected else { break };
        let next = naive::step(now, operation);
        // The second implementation knows no limits.
        match next.ok_or(index) {
            Ok(next) => match Document::new(next.clone()) {
                Some(document) if document.weight() < MOST_WEIGHT => expected = Ok(next),
                _ => return,
            },
            Err(index) => expected = Err(index),
        }
    }
    check::check(&mut document, operations, expected);
}

fn json(document: &Document) -> Value {
    serde_json::to_value(document.root()).expect("it is JSON")
}

/// What RFC 7396 makes of a document.
fn merged(target: &Value, wanted: &Value) -> Value {
    let Value::Object(wanted) = wanted else { return wanted.clone() };
    let mut merge = target.as_object().cloned().unwrap_or_default();
    for (name, wanted) in wanted {
        match wanted {
            Value::Null => drop(merge.remove(name)),
            wanted => {
                let target = merge.get(name).unwrap_or(&Value::Null);
                let inside = merged(target, wanted);
                merge.insert(name.clone(), inside);
            }
        }
    }
    Value::Object(merge)
}

fn is_limit(reason: &Reason) -> bool {
    matches!(reason, Reason::TooDeep | Reason::TooHeavy | Reason::TooMuchCopied)
}
