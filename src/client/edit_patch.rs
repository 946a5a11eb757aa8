//! What was edited in a value, as a patch that does not apply if somebody else has changed the same.

use crate::document::{Value, ValueKind};
use crate::patch::{Operation, Patch, PointerBuf};

/// An edit.
#[derive(Debug, Default, PartialEq)]
pub struct EditPatch {
    /// Makes the new value of the old one. Before the patch replaces or removes something, it tests that this
    /// is unchanged.
    pub patch: Patch,
    /// The new members that are not inside a tested value: no patch can test that nothing is there.
    pub added: Vec<PointerBuf>,
}

/// The edit that makes `new` of `old`.
pub fn edit_patch(old: &Value, new: &Value) -> EditPatch {
    let mut edit_patch = EditPatch::default();
    edit_patch.compare(&mut PointerBuf::new(), old, new, false);
    edit_patch
}

impl EditPatch {
    fn push(&mut self, operation: Operation) {
        self.patch.0.push(operation);
    }

    fn test(&mut self, place: &PointerBuf, value: &Value) {
        self.push(Operation::Test { path: place.clone(), value: value.clone() });
    }

    /// Compares the values at `place`. `is_tested` says whether a value around them is tested.
    fn compare(&mut self, place: &mut PointerBuf, old: &Value, new: &Value, is_tested: bool) {
        if old == new {
            return;
        }
        match (old.kind(), new.kind()) {
            (ValueKind::Object, ValueKind::Object) => {
                self.compare_members(place, old, new, is_tested)
            }
            // An element has no name: another one may be at its index by now.
            (ValueKind::Array, ValueKind::Array) if old.len() == new.len() => {
                self.compare_elements(place, old, new, is_tested);
            }
            (ValueKind::Array, ValueKind::Array) => {
                if !is_tested {
                    self.test(place, old);
                }
                self.compare_lists(place, old, new);
            }
            _ => {
                if !is_tested {
                    self.test(place, old);
                }
                self.push(Operation::Replace { path: place.clone(), value: new.clone() });
            }
        }
    }

    fn compare_members(
        &mut self,
        place: &mut PointerBuf,
        old: &Value,
        new: &Value,
        is_tested: bool,
    ) {
        for (name, was) in old.members() {
            place.push_back(name);
            match new.member(name) {
                Some(is) => self.compare(place, was, is, is_tested),
                None => {
                    if !is_tested {
                        self.test(place, was);
                    }
                    self.push(Operation::Remove { path: place.clone() });
                }
            }
            place.pop_back();
        }
        for (name, is) in new.members().filter(|(name, _)| old.member(name).is_none()) {
            place.push_back(name);
            if !is_tested {
                self.added.push(place.clone());
            }
            self.push(Operation::Add { path: place.clone(), value: is.clone() });
            place.pop_back();
        }
    }

    /// Compares two arrays of the same length, index by index.
    fn compare_elements(
        &mut self,
        place: &mut PointerBuf,
        old: &Value,
        new: &Value,
        is_tested: bool,
    ) {
        for (index, (was, is)) in old.elements().zip(new.elements()).enumerate() {
            if was != is {
                place.push_back(index);
                if !is_tested {
                    self.test(place, was);
                }
                self.compare(place, was, is, true);
                place.pop_back();
            }
        }
    }

    /// Compares two arrays of different lengths. The old one is tested.
    fn compare_lists(&mut self, place: &mut PointerBuf, old: &Value, new: &Value) {
        let (was, is): (Vec<_>, Vec<_>) = (old.elements().collect(), new.elements().collect());
        let same = was.iter().zip(&is).take_while(|(was, is)| was == is).count();
        let (was, is) = (&was[same..], &is[same..]);
        let behind = was.iter().rev().zip(is.iter().rev());
        let behind = behind.take_while(|(was, is)| was == is).count();
        let (was, is) = (&was[..was.len() - behind], &is[..is.len() - behind]);
        let both = was.len().min(is.len());
        for (offset, (was, is)) in was.iter().zip(is).enumerate() {
            place.push_back(same + offset);
            self.compare(place, was, is, true);
            place.pop_back();
        }
        for _ in both..was.len() {
            place.push_back(same + both);
            self.push(Operation::Remove { path: place.clone() });
            place.pop_back();
        }
        for (offset, is) in is.iter().enumerate().skip(both) {
            place.push_back(same + offset);
            self.push(Operation::Add { path: place.clone(), value: (*is).clone() });
            place.pop_back();
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::patch::Document;

    #[test]
    fn what_was_changed_is_tested_and_done() {
        for (old, new, expected) in [
            (json!({"a": 1}), json!({"a": 1}), json!([])),
            (
                json!({"a": 1, "b": {"c": 2, "d": 3}}),
                json!({"a": 1, "b": {"c": 4, "e": 5}}),
                json!([
                    {"op": "test", "path": "/b/c", "value": 2},
                    {"op": "replace", "path": "/b/c", "value": 4},
                    {"op": "test", "path": "/b/d", "value": 3},
                    {"op": "remove", "path": "/b/d"},
                    {"op": "add", "path": "/b/e", "value": 5},
                ]),
            ),
            (
                json!(1),
                json!(1.0),
                json!([{"op": "test", "path": "", "value": 1}, {"op": "replace", "path": "", "value": 1.0}]),
            ),
            (
                json!({"x/y": [{"n": 1, "m": 2}, 2]}),
                json!({"x/y": [{"n": 3, "m": 2}, 2]}),
                json!([
                    {"op": "test", "path": "/x~1y/0", "value": {"n": 1, "m": 2}},
                    {"op": "replace", "path": "/x~1y/0/n", "value": 3},
                ]),
            ),
            (
                json!([1, 2, 3, 4]),
                json!([1, 9, 4]),
                json!([
                    {"op": "test", "path": "", "value": [1, 2, 3, 4]},
                    {"op": "replace", "path": "/1", "value": 9},
                    {"op": "remove", "path": "/2"},
                ]),
            ),
            (
                json!([1, 4]),
                json!([1, 2, 3, 4]),
                json!([
                    {"op": "test", "path": "", "value": [1, 4]},
                    {"op": "add", "path": "/1", "value": 2},
                    {"op": "add", "path": "/2", "value": 3},
                ]),
            ),
        ] {
            let EditPatch { patch, added } = edit_patch(&old.clone().into(), &new.into());
            assert_eq!(serde_json::to_value(&patch).unwrap(), expected, "{old}");
            let new_members = added.iter().map(|path| path.as_str());
            assert_eq!(new_members.count(), usize::from(old.get("b").is_some()), "{old}");
        }
    }

    fn random_value(random: &mut fastrand::Rng, depth: usize) -> serde_json::Value {
        match random.u8(..if depth == 0 { 3 } else { 6 }) {
            0 => random.u8(..3).into(),
            1 => serde_json::Value::Null,
            2 => "xyz"[..random.usize(..3)].into(),
            3 => (0..random.usize(..5)).map(|_| random_value(random, depth - 1)).collect(),
            _ => {
                let name = |random: &mut fastrand::Rng| {
                    (*random.choice(&["", "a", "b", "/", "~"]).unwrap()).to_owned()
                };
                let members =
                    (0..random.usize(..5)).map(|_| (name(random), random_value(random, depth - 1)));
                members.collect::<serde_json::Map<_, _>>().into()
            }
        }
    }

    #[test]
    fn the_patch_makes_the_new_value_and_applies_to_nothing_else_that_it_changes() {
        let mut refused = 0;
        for seed in 0..2000 {
            let mut random = fastrand::Rng::with_seed(seed);
            let [old, new, other] = [(); 3].map(|()| Value::from(random_value(&mut random, 3)));
            let EditPatch { patch, added } = edit_patch(&old, &new);
            let mut document = Document::new(old.clone()).unwrap();
            document.apply(patch.clone()).unwrap();
            assert_eq!(*document.root(), new, "seed {seed}");
            let mut document = Document::new(other.clone()).unwrap();
            let Ok(_) = document.apply(patch.clone()) else {
                refused += 1;
                continue;
            };
            // It applied to another document: then everything that it replaced or removed was unchanged there.
            let (old, other) = (Document::new(old).unwrap(), Document::new(other).unwrap());
            for operation in &patch.0 {
                if let Operation::Test { path, .. } = operation {
                    let (was, is) = (old.get(path).unwrap(), other.get(path).unwrap());
                    assert!(crate::document::equal(was, is), "seed {seed}: {path}");
                }
            }
            assert!(added.iter().all(|path| old.get(path).is_none()), "seed {seed}");
        }
        assert!(refused > 500, "{refused}");
    }
}
