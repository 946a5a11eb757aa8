//! A document for those who know nothing but transactions: plain nodes.
//!
//! They get it as transactions of a source that no node has, `~base`, each of which adds a part: first `{}` for
//! all of it, then what is in it, container by container. The last one has an Id that is the same for
//! all documents. Who has seen that, and is connected again, passes over all of it: it has a document.

use crate::document::{Kind, Value};
use crate::patch::Document;
use crate::source::{FIRST_ID, Source};
use crate::transaction::Transaction;

/// The Id of the last transaction. There are not as many parts in any document.
const LAST_ID: u64 = 1 << 31;

/// The longest payload, but for one that adds a single value which is longer: a string, or one with long names
/// around it. Plain nodes in Go take messages of 32,768 bytes, and in that a quote of the payload is two.
const MOST_PAYLOAD_BYTES: usize = (16 << 10) - 128;

/// What a payload has around its operations.
const BRACKETS: usize = 2;

/// What is sent if nothing was folded, so that a document that is sent later is passed over.
pub fn nothing_before() -> Transaction {
    Transaction::fresh(Source::base(), LAST_ID, "[]")
}

/// The transactions that a document is sent as. Each is made when it is asked for.
pub struct Parts {
    operations: Operations,
    /// The next operation; none after the last one.
    next: Option<String>,
    id: u64,
}

impl Parts {
    /// The transactions of a document.
    pub fn new(document: &Document) -> Self {
        let mut operations = Operations::Begin(document.root().clone());
        Self { next: operations.next(), operations, id: FIRST_ID }
    }
}

impl Iterator for Parts {
    type Item = Transaction;

    fn next(&mut self) -> Option<Transaction> {
        let mut payload = String::from("[");
        // The first one is alone: with it nothing is left of what was there before.
        let is_alone = self.id == FIRST_ID;
        payload.push_str(&self.next.take()?);
        self.next = self.operations.next();
        while let Some(next) = self.next.take_if(|next| {
            !is_alone && payload.len() + BRACKETS + next.len() <= MOST_PAYLOAD_BYTES
        }) {
            payload.push(',');
            payload.push_str(&next);
            self.next = self.operations.next();
        }
        payload.push(']');
        let id = if self.next.is_none() { LAST_ID } else { self.id };
        self.id += 1;
        Some(Transaction::fresh(Source::base(), id, payload))
    }
}

/// The operations that make a document of whatever there was.
enum Operations {
    /// Nothing is left of what there was when the first is done.
    Begin(Value),
    /// The whole is what comes next: it is no object.
    Whole(Value),
    /// The whole is begun.
    Inside {
        /// The containers around what comes next, from the outside in.
        around: Vec<Container>,
        /// The path of the innermost one, as it stands in a JSON string.
        path: String,
    },
}

/// A container of which only the beginning was added yet.
struct Container {
    value: Value,
    /// The index of what comes next in it.
    next: usize,
    /// How long the path of what is around it is.
    outer: usize,
}

impl Operations {
    /// All that is inside a value which is begun, if anything is to be added to it.
    fn inside(value: Value, has_more: bool) -> Self {
        let around = has_more.then_some(Container { value, next: 0, outer: 0 });
        Self::Inside { around: around.into_iter().collect(), path: String::new() }
    }
}

impl Iterator for Operations {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        let (around, path) = match self {
            Self::Begin(root) => {
                let root = std::mem::take(root);
                *self = match root.kind() {
                    Kind::Object => Self::inside(root, true),
                    _ => Self::Whole(root),
                };
                return Some(operation("", &Value::object()).0);
            }
            Self::Whole(root) => {
                let root = std::mem::take(root);
                let (operation, has_more) = operation("", &root);
                *self = Self::inside(root, has_more);
                return Some(operation);
            }
            Self::Inside { around, path } => (around, path),
        };
        loop {
            let innermost = around.last_mut()?;
            let Some((name, value)) = innermost.take_next() else {
                path.truncate(innermost.outer);
                around.pop();
                continue;
            };
            let outer = path.len();
            push_name(path, &name);
            let (operation, has_more) = operation(path, &value);
            if has_more {
                around.push(Container { value, next: 0, outer });
            } else {
                path.truncate(outer);
            }
            return Some(operation);
        }
    }
}

impl Container {
    fn take_next(&mut self) -> Option<(String, Value)> {
        let index = self.next;
        self.next += 1;
        if self.value.kind() == Kind::Array {
            return self.value.element(index).map(|element| (index.to_string(), element.clone()));
        }
        let member = self.value.members_from(index).next();
        member.map(|(name, value)| (name.to_owned(), value.clone()))
    }
}

/// The operation that adds a value, all of it if it is short or has no parts. Else it adds an empty container,
/// and there is more to be added: its parts.
fn operation(path: &str, value: &Value) -> (String, bool) {
    let mut operation = format!(r#"{{"op":"add","path":"{path}","value":"#);
    let room = MOST_PAYLOAD_BYTES.saturating_sub(BRACKETS + operation.len() + 1);
    // A piece that is shorter than what is asked for is all there is.
    let beginning = value.pieces_of(room + 1).next().unwrap_or_default();
    let has_parts = !value.is_empty();
    let is_split = beginning.len() > room && has_parts;
    let text = match value.kind() {
        Kind::Array if is_split => b"[]".to_vec(),
        Kind::Object if is_split => b"{}".to_vec(),
        _ if beginning.len() > room => value.to_text(),
        _ => beginning,
    };
    operation.push_str(std::str::from_utf8(&text).expect("a JSON text is UTF-8"));
    operation.push('}');
    (operation, is_split)
}

/// Goes on with a path to a member or an element (RFC 6901), as it stands in a JSON string.
fn push_name(path: &mut String, name: &str) {
    let name = name.replace('~', "~0").replace('/', "~1");
    let quoted = serde_json::to_string(&name).expect("a string always has a JSON text");
    path.push('/');
    path.push_str(&quoted[1..quoted.len() - 1]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::patch;

    fn random_text(random: &mut fastrand::Rng, most: u32) -> String {
        let most = 1 << random.u32(..most);
        let length = random.usize(..most);
        let character =
            |_| *random.choice(&['a', '"', '\\', '/', '~', '\n', 'é', '🦀', '0']).unwrap();
        (0..length).map(character).collect()
    }

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

    /// The transactions of a document; it has been looked at them, and they make it.
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
    fn large_documents_are_parts_as_large_as_may_be() {
        let list: Vec<_> = (0..20_000).map(|n| serde_json::json!({ "n": n })).collect();
        let parts = parts(serde_json::json!({ "a": { "list": list } }));
        let [_, full @ .., _] = &parts[..] else { panic!("there are many") };
        assert!(full.iter().all(|part| part.payload.len() > MOST_PAYLOAD_BYTES - 100));
    }

    #[test]
    fn a_part_is_made_when_it_is_asked_for() {
        let text = "x".repeat(1000);
        let root: serde_json::Value = (0..1000).map(|_| text.as_str()).collect();
        let mut parts = Parts::new(&Document::new(root).unwrap());
        assert!(parts.by_ref().take(3).all(|part| part.id < LAST_ID));
        let Operations::Inside { around, .. } = &parts.operations else { panic!("it is begun") };
        assert!(around[0].next < 40);
    }
}
