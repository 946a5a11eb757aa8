//! A JSON Merge Patch (RFC 7396) as the JSON Patch that does the same to one document.

use super::PointerBuf;
use super::operation::{Operation, Patch};
use crate::document::{Value, ValueKind};

/// The patch that does to `target` what the merge patch `wanted` says.
///
/// Members are set by `add`, even if they have that value already: then the patch does not depend on what
/// they were, and applies after a late arrival too. Only what is removed has to be there.
pub fn merge(target: &Value, wanted: Value) -> Patch {
    let mut operations = Vec::new();
    if (target.kind(), wanted.kind()) == (ValueKind::Object, ValueKind::Object) {
        merge_members(target, &wanted, &mut PointerBuf::new(), &mut operations);
    } else {
        let (path, value) = (PointerBuf::new(), without_nulls(wanted));
        operations.push(Operation::Replace { path, value });
    }
    Patch(operations)
}

fn merge_members(
    target: &Value,
    wanted: &Value,
    place: &mut PointerBuf,
    operations: &mut Vec<Operation>,
) {
    for (name, wanted) in wanted.members() {
        let found = target.member(name);
        place.push_back(name);
        match (found.map(Value::kind), wanted.kind()) {
            (None, ValueKind::Null) => (),
            (Some(_), ValueKind::Null) => {
                operations.push(Operation::Remove { path: place.clone() })
            }
            (Some(ValueKind::Object), ValueKind::Object) => {
                found.into_iter().for_each(|found| merge_members(found, wanted, place, operations));
            }
            _ => {
                let (path, value) = (place.clone(), without_nulls(wanted.clone()));
                operations.push(Operation::Add { path, value });
            }
        }
        place.pop_back();
    }
}

/// The value that a merge patch makes of nothing: its nulls remove nothing, and are left out.
pub(super) fn without_nulls(mut wanted: Value) -> Value {
    if wanted.kind() != ValueKind::Object {
        return wanted;
    }
    for (name, value) in wanted.clone().members() {
        match value.kind() {
            ValueKind::Null => _ = wanted.remove_member(name),
            ValueKind::Object => _ = wanted.set_member(name, without_nulls(value.clone())),
            _ => (),
        }
    }
    wanted
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::patch::Document;
    use serde_json::json;

    fn merged(target: serde_json::Value, wanted: serde_json::Value) -> Value {
        let mut document = Document::new(target).unwrap();
        let patch = merge(document.root(), wanted.into());
        document.apply(patch).unwrap();
        document.root().clone()
    }

    #[test]
    fn the_examples_of_rfc_7396_give_its_results() {
        let table = [
            (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "b"}), json!({"b": "c"}), json!({"a": "b", "b": "c"})),
            (json!({"a": "b"}), json!({"a": null}), json!({})),
            (json!({"a": "b", "b": "c"}), json!({"a": null}), json!({"b": "c"})),
            (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "c"}), json!({"a": ["b"]}), json!({"a": ["b"]})),
            (
                json!({"a": {"b": "c"}}),
                json!({"a": {"b": "d", "c": null}}),
                json!({"a": {"b": "d"}}),
            ),
            (json!({"a": [{"b": "c"}]}), json!({"a": [1]}), json!({"a": [1]})),
            (json!(["a", "b"]), json!(["c", "d"]), json!(["c", "d"])),
            (json!({"a": "b"}), json!(["c"]), json!(["c"])),
            (json!({"a": "foo"}), json!(null), json!(null)),
            (json!({"a": "foo"}), json!("bar"), json!("bar")),
            (json!({"e": null}), json!({"a": 1}), json!({"e": null, "a": 1})),
            (json!([1, 2]), json!({"a": "b", "c": null}), json!({"a": "b"})),
            (json!({}), json!({"a": {"bb": {"ccc": null}}}), json!({"a": {"bb": {}}})),
        ];
        for (target, wanted, result) in table {
            assert_eq!(
                merged(target.clone(), wanted.clone()),
                result.into(),
                "{target} and {wanted}"
            );
        }
    }

    #[test]
    fn a_merge_touches_only_the_members_that_it_names() {
        let target: Value =
            json!({"a": {"b/c": 1, "~": 2, "": 3}, "list": [{"x": null}], "z": 1}).into();
        let wanted = json!({"a": {"b/c": 7, "~": null, "gone": null}, "z": 1, "new": {"n": null}});
        let patch = serde_json::to_value(merge(&target, wanted.into())).unwrap();
        assert_eq!(
            patch,
            json!([
                {"op": "add", "path": "/a/b~1c", "value": 7},
                {"op": "remove", "path": "/a/~0"},
                {"op": "add", "path": "/new", "value": {}},
                {"op": "add", "path": "/z", "value": 1},
            ])
        );
        for wanted in [json!({}), json!({"gone": null, "a": {}})] {
            assert_eq!(merge(&target, wanted.into()), Patch::default());
        }
        // In arrays, nulls are values.
        assert_eq!(
            merged(json!({}), json!({"l": [null, {"n": null}]})),
            json!({"l": [null, {"n": null}]}).into()
        );
    }
}
