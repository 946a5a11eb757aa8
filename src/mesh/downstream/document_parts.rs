//! A document as transactions, for plain nodes, which understand nothing else.
//!
//! The transactions are of the source `~base`, which no node has, and each adds a part of the document: first
//! `{}` as a whole, then its content, container by container. The last one has the same Id for all documents.
//! A node that has seen it, and is connected again, passes over all of them: it has a document.

use std::iter::Peekable;

use crate::document::ValueKind;
use crate::patch::{Cut, Document, PointerBuf};
use crate::source::{FIRST_ID, Source};
use crate::transaction::Transaction;

/// The Id of the last transaction. No document has as many parts.
const LAST_ID: u64 = 1 << 31;

/// The longest payload. Only a single longer value may exceed it: a string, or one inside of long names.
/// Plain nodes in Go take messages of 32,768 bytes, in which each quotation mark of the payload takes two.
const MOST_PAYLOAD_BYTES: usize = (16 << 10) - 128;

/// Removes all that was there before.
const FIRST: &str = r#"[{"op":"add","path":"","value":{}}]"#;

/// What a plain node gets if nothing was folded. It then passes over a document that it is sent later.
pub fn nothing_before() -> Transaction {
    Transaction::fresh(Source::base(), LAST_ID, "[]")
}

/// The transactions of a document, each made when it is needed.
pub struct Parts {
    /// The payloads after the first.
    rest: Peekable<Cut>,
    id: u64,
}

impl Parts {
    pub fn new(document: &Document) -> Self {
        let (root, at) = (document.root().clone(), PointerBuf::new());
        let rest = match root.kind() {
            ValueKind::Object => Cut::inside(root, &at, MOST_PAYLOAD_BYTES),
            _ => Cut::whole(root, &at, MOST_PAYLOAD_BYTES),
        };
        Self { rest: rest.peekable(), id: FIRST_ID }
    }
}

impl Iterator for Parts {
    type Item = Transaction;

    fn next(&mut self) -> Option<Transaction> {
        let payload = match self.id {
            FIRST_ID => FIRST.to_owned(),
            _ => self.rest.next()?,
        };
        let id = if self.rest.peek().is_none() { LAST_ID } else { self.id };
        self.id += 1;
        Some(Transaction::fresh(Source::base(), id, payload))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::Value;
    use crate::patch::{self, random_text};

    fn random_value(random: &mut fastrand::Rng, depth: usize) -> serde_json::Value {
        let most = if random.u8(..20) == 0 { 16 } else { 6 };
        let count = 1 << random.u32(..8);
        let count = random.usize(..count);
        match random.u8(..if depth == 0 { 3 } else { 5 }) {
            0 => random_text(random, most).into(),
            1 => random.f64().into(),
            2 => serde_json::Value::Null,
            3 => (0..count).map(|_| random_value(random, depth - 1)).collect(),
            _ => {
                let member = |_| {
                    let long = if random.u8(..50) == 0 { 13 } else { 4 };
                    (random_text(random, long), random_value(random, depth - 1))
                };
                (0..count).map(member).collect::<serde_json::Map<_, _>>().into()
            }
        }
    }

    /// The transactions of a document, checked: together they make it.
    fn parts(root: serde_json::Value) -> Vec<Transaction> {
        let document = Document::new(root.clone()).unwrap();
        let parts: Vec<_> = Parts::new(&document).collect();
        let mut ours = Document::new(serde_json::json!([1])).unwrap();
        let mut others = serde_json::json!({ "before": 1 });
        for (at, part) in parts.iter().enumerate() {
            let is_last = at + 1 == parts.len();
            assert_eq!(part.id, if is_last { LAST_ID } else { at as u64 + 1 });
            assert_eq!((part.source.as_str(), part.time), ("~base", None));
            ours.apply(patch::parse(&part.payload).unwrap()).unwrap();
            let patch: json_patch::Patch = serde_json::from_str(&part.payload).unwrap();
            json_patch::patch(&mut others, &patch).unwrap();
            let values = patch.iter().map(|operation| match operation {
                json_patch::PatchOperation::Add(add) => &add.value,
                _ => panic!("only values are added: {operation}"),
            });
            let values: Vec<_> = values.collect();
            let bytes = part.payload.len();
            let is_short = bytes <= MOST_PAYLOAD_BYTES && part.encode().len() <= 32_768;
            let is_one = values.len() == 1 && Value::from(values[0].clone()).is_empty();
            assert!(is_short || is_one, "{bytes} bytes: {:.200}", part.payload);
        }
        assert_eq!(*parts[0].payload, *r#"[{"op":"add","path":"","value":{}}]"#);
        assert_eq!(ours, document);
        assert_eq!(others, root);
        parts
    }

    #[test]
    fn the_parts_make_the_document() {
        let mut most = 0;
        for seed in 0..300 {
            let mut random = fastrand::Rng::with_seed(seed);
            most = most.max(parts(random_value(&mut random, 3)).len());
        }
        assert!(most > 10, "{most}");
    }

    #[test]
    fn small_documents_are_few_parts() {
        let payloads = |root| -> Vec<String> {
            parts(root).iter().map(|part| part.payload.to_string()).collect()
        };
        let begin = r#"[{"op":"add","path":"","value":{}}]"#;
        assert_eq!(payloads(serde_json::json!({})), [begin]);
        assert_eq!(
            payloads(serde_json::json!({"a/b": [1, 2], "~": {}})),
            [
                begin,
                r#"[{"op":"add","path":"/a~1b","value":[1,2]},{"op":"add","path":"/~0","value":{}}]"#
            ]
        );
        let whole = r#"[{"op":"add","path":"","value":[1]}]"#;
        assert_eq!(payloads(serde_json::json!([1])), [begin, whole]);
    }

    #[test]
    fn large_documents_are_cut_into_the_largest_parts() {
        let list: Vec<_> = (0..20_000).map(|n| serde_json::json!({ "n": n })).collect();
        let parts = parts(serde_json::json!({ "a": { "list": list } }));
        let [_, full @ .., _] = &parts[..] else { panic!("there are many") };
        assert!(full.iter().all(|part| part.payload.len() > MOST_PAYLOAD_BYTES - 100));
    }
}
