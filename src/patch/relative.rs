//! What a patch of the whole document does to a part of it.

use super::operation::Operation;
use super::pointer::below;
use super::{Pointer, PointerBuf, find};
use crate::document::{Value, ValueKind};

/// What `operations` did to a part, as operations on that part alone; `document` is the whole document after
/// them. None if only the part's new value, if it has one, can say what happened: the part was put there or
/// removed as a whole, or it moved, or something from outside was moved or copied into it. `was_there` says
/// that the part is known to have been there before. `test` operations are left out.
pub fn within_part(
    operations: &[Operation],
    part: &Pointer,
    document: &Value,
    was_there: bool,
) -> Option<Vec<Operation>> {
    let part = Part { pointer: part.as_str(), document, was_there };
    let mut within = Vec::new();
    for operation in operations {
        within.extend(part.operation(operation)?);
    }
    Some(within)
}

/// Where a path leads, as seen from a part.
enum Relation {
    /// To the part, or to a container around it.
    Around,
    /// Into the part, to this place in it.
    Inside(PointerBuf),
    /// Elsewhere.
    Beside,
}

/// What happens at a place. In an array it moves the elements behind.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shift {
    Insertion,
    Removal,
}

struct Part<'a> {
    pointer: &'a str,
    document: &'a Value,
    was_there: bool,
}

impl Part<'_> {
    /// What an operation does within the part, if anything; none if the part is another one then.
    fn operation(&self, operation: &Operation) -> Option<Option<Operation>> {
        use Operation::{Add, Copy, Move, Remove, Replace, Test};
        Some(match operation {
            Test { .. } => None,
            Add { path, value } => {
                let path = self.target(path, Shift::Insertion)?;
                path.map(|path| Add { path, value: value.clone() })
            }
            Remove { path } => self.target(path, Shift::Removal)?.map(|path| Remove { path }),
            Replace { path, value } => match self.place(path) {
                Relation::Around => return None,
                Relation::Inside(path) => Some(Replace { path, value: value.clone() }),
                Relation::Beside => None,
            },
            Move { from, path } => {
                let from = self.target(from, Shift::Removal)?;
                let path = self.target(path, Shift::Insertion)?;
                match (from, path) {
                    (Some(from), Some(path)) => Some(Move { from, path }),
                    (Some(path), None) => Some(Remove { path }),
                    (None, Some(_)) => return None,
                    (None, None) => None,
                }
            }
            Copy { from, path } => match self.target(path, Shift::Insertion)? {
                Some(path) => Some(Copy { from: self.inside(from)?, path }),
                None => None,
            },
        })
    }

    /// Where a path leads within the part, if it leads into it; none if the part is another one then.
    fn target(&self, path: &Pointer, effect: Shift) -> Option<Option<PointerBuf>> {
        match self.place(path) {
            Relation::Around => None,
            Relation::Inside(path) => Some(Some(path)),
            Relation::Beside if self.is_moved(path.as_str(), effect) => None,
            Relation::Beside => Some(None),
        }
    }

    fn place(&self, path: &Pointer) -> Relation {
        if below(self.pointer, path.as_str()).is_some() {
            return Relation::Around;
        }
        self.inside(path).map_or(Relation::Beside, Relation::Inside)
    }

    /// A path to the part or into it, relative to the part.
    fn inside(&self, path: &Pointer) -> Option<PointerBuf> {
        let rest = below(path.as_str(), self.pointer)?;
        Some(PointerBuf::parse(rest).expect("it is the end of a pointer, from a / on"))
    }

    /// Whether an insertion or a removal at `path` moves the part to another index of an array, or may have
    /// made it.
    fn is_moved(&self, path: &str, effect: Shift) -> bool {
        let Some((parent, token)) = path.rsplit_once('/') else { return false };
        let Some(own) = below(self.pointer, parent) else { return false };
        let parent = Pointer::parse(parent).expect("it is the beginning of a pointer, up to a /");
        // If this was an array before, an operation has replaced it, and the part with it.
        if find(self.document, parent).is_some_and(|parent| parent.kind() != ValueKind::Array) {
            return false;
        }
        let own = own.split('/').nth(1).unwrap_or_default();
        match (token.parse::<u64>(), own.parse::<u64>()) {
            (Ok(index), Ok(own)) if effect == Shift::Insertion => index <= own,
            (Ok(index), Ok(own)) => index < own,
            // The end of the array.
            (Err(_), Ok(_)) => !self.was_there,
            // The part is no element of the array.
            (_, Err(_)) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::patch::{Document, Patch, parse};

    fn pointer(text: &str) -> PointerBuf {
        PointerBuf::parse(text).unwrap()
    }

    /// What the operations within a part are, as JSON; null if the part is another one.
    fn within(document: &serde_json::Value, patch: &serde_json::Value, part: &str) -> String {
        let mut after = Document::new(document.clone()).unwrap();
        let Patch(operations) = parse(&patch.to_string()).unwrap();
        let part = pointer(part);
        let was_there = after.get(&part).is_some();
        after.apply(Patch(operations.clone())).unwrap();
        let within = within_part(&operations, &part, after.root(), was_there);
        serde_json::to_string(&within.map(Patch)).unwrap()
    }

    #[test]
    fn operations_in_a_part_are_found() {
        let document =
            json!({"a": {"b": 1, "ab": {}}, "ab": 2, "l": [[1], [2], [3]], "o": {"1": 1, "2": 2}});
        let same = "[]";
        let anew = "null";
        for (patch, part, expected) in [
            (
                json!({"op": "add", "path": "/a/c", "value": 1}),
                "/a",
                r#"[{"op":"add","path":"/c","value":1}]"#,
            ),
            (json!({"op": "add", "path": "/a/c", "value": 1}), "/ab", same),
            (json!({"op": "add", "path": "/a/c", "value": 1}), "/a/b", same),
            (json!({"op": "add", "path": "/a/c", "value": 1}), "/a/c", anew),
            (json!({"op": "replace", "path": "/ab", "value": 1}), "/a", same),
            (json!({"op": "replace", "path": "/a", "value": {"b": 1}}), "/a/b", anew),
            (
                json!({"op": "replace", "path": "/a", "value": 1}),
                "",
                r#"[{"op":"replace","path":"/a","value":1}]"#,
            ),
            (json!({"op": "remove", "path": "/a"}), "/a", anew),
            (json!({"op": "test", "path": "/a/b", "value": 1}), "/a", same),
            (
                json!({"op": "move", "from": "/a/b", "path": "/a/c"}),
                "/a",
                r#"[{"op":"move","from":"/b","path":"/c"}]"#,
            ),
            (
                json!({"op": "move", "from": "/a/b", "path": "/c"}),
                "/a",
                r#"[{"op":"remove","path":"/b"}]"#,
            ),
            (json!({"op": "move", "from": "/ab", "path": "/a/c"}), "/a", anew),
            (json!({"op": "move", "from": "/a", "path": "/c"}), "/c/b", anew),
            (json!({"op": "move", "from": "/ab", "path": "/c"}), "/a", same),
            (
                json!({"op": "copy", "from": "/a/b", "path": "/a/c"}),
                "/a",
                r#"[{"op":"copy","from":"/b","path":"/c"}]"#,
            ),
            (
                json!({"op": "copy", "from": "/a", "path": "/a/c"}),
                "/a",
                r#"[{"op":"copy","from":"","path":"/c"}]"#,
            ),
            (json!({"op": "copy", "from": "/ab", "path": "/a/c"}), "/a", anew),
            (json!({"op": "copy", "from": "/a", "path": "/c"}), "/a", same),
            (json!({"op": "add", "path": "/l/0", "value": 0}), "/l/1", anew),
            (json!({"op": "add", "path": "/l/1", "value": 0}), "/l/1/0", anew),
            (json!({"op": "add", "path": "/l/2", "value": 0}), "/l/1", same),
            (json!({"op": "add", "path": "/l/-", "value": 0}), "/l/1", same),
            (json!({"op": "add", "path": "/l/-", "value": 0}), "/l/3", anew),
            (
                json!({"op": "add", "path": "/l/1/-", "value": 0}),
                "/l/1",
                r#"[{"op":"add","path":"/-","value":0}]"#,
            ),
            (json!({"op": "remove", "path": "/l/0"}), "/l/1", anew),
            (json!({"op": "remove", "path": "/l/1"}), "/l/1", anew),
            (json!({"op": "remove", "path": "/l/2"}), "/l/1", same),
            (json!({"op": "replace", "path": "/l/0", "value": 0}), "/l/1", same),
            (json!({"op": "move", "from": "/l/0", "path": "/l/2"}), "/l/1", anew),
            (json!({"op": "remove", "path": "/o/1"}), "/o/2", same),
            (json!({"op": "add", "path": "/l/0", "value": 0}), "/l/x", same),
        ] {
            assert_eq!(within(&document, &json!([patch]), part), expected, "{patch} in {part:?}");
        }
    }

    /// A random value, and now and then one with the names and indexes that the paths below have.
    fn random_value(random: &mut fastrand::Rng, depth: u32) -> serde_json::Value {
        match random.u8(..if depth == 0 { 1 } else { 3 }) {
            0 => json!(random.u8(..)),
            1 => (0..random.usize(..4)).map(|_| random_value(random, depth - 1)).collect(),
            _ => {
                let members = (0..random.usize(..4)).map(|_| {
                    let name = random.choice(["0", "1", "a", "ab"]).unwrap();
                    (name.to_string(), random_value(random, depth - 1))
                });
                members.collect::<serde_json::Map<_, _>>().into()
            }
        }
    }

    fn random_path(random: &mut fastrand::Rng) -> String {
        let tokens = ["0", "1", "2", "a", "ab", "-"];
        (0..random.usize(..4)).map(|_| format!("/{}", random.choice(tokens).unwrap())).collect()
    }

    #[test]
    fn the_operations_within_a_part_lead_to_its_new_value() {
        let mut random = fastrand::Rng::with_seed(11);
        let (mut within, mut changed, mut anew) = (0, 0, 0);
        for _ in 0..20_000 {
            let before = Document::new(random_value(&mut random, 3)).unwrap();
            let (mut after, mut operations) = (before.clone(), Vec::new());
            for _ in 0..random.usize(1..12) {
                let (path, from) = (random_path(&mut random), random_path(&mut random));
                let value = random_value(&mut random, 2);
                let operation = match random.u8(..5) {
                    0 => json!({"op": "add", "path": path, "value": value}),
                    1 => json!({"op": "remove", "path": path}),
                    2 => json!({"op": "replace", "path": path, "value": value}),
                    3 => json!({"op": "move", "from": from, "path": path}),
                    _ => json!({"op": "copy", "from": from, "path": path}),
                };
                let Patch(one) = parse(&json!([operation]).to_string()).unwrap();
                if after.apply(Patch(one.clone())).is_ok() {
                    operations.extend(one);
                }
            }
            let part = pointer(&random_path(&mut random));
            let (old, new) = (before.get(&part), after.get(&part));
            let text = serde_json::to_string(&Patch(operations.clone())).unwrap();
            let was_there = old.is_some() && random.bool();
            match within_part(&operations, &part, after.root(), was_there) {
                None => anew += 1,
                Some(inside) => {
                    within += 1;
                    changed += u32::from(!inside.is_empty());
                    let mut copy = old.cloned().and_then(Document::new);
                    if let Some(copy) = &mut copy {
                        copy.apply(Patch(inside)).unwrap();
                    } else {
                        assert_eq!(inside, [], "{part} of {before:?} by {text}");
                    }
                    let copy = copy.as_ref().map(Document::root);
                    assert_eq!(copy, new, "{part} of {before:?} by {text}");
                }
            }
        }
        assert!(within > 5000 && changed > 500 && anew > 2000, "{within} {changed} {anew}");
    }
}
