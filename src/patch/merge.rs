//! A JSON Merge Patch (RFC 7396) as a JSON Patch: what it asks for, for one document.

use json_patch::{AddOperation, Patch, PatchOperation, RemoveOperation, ReplaceOperation};
use serde_json::{Map, Value};

use super::PointerBuf;

/// The patch that does to `target` what the merge patch `wanted` says.
///
/// Members are set by `add`, also where they are there with that value: it does not matter what they
/// were, so the patch applies as well where something earlier comes in later. Only what is taken out has
/// to be there.
pub fn merge(target: &Value, wanted: Value) -> Patch {
    let mut operations = Vec::new();
    match (target, wanted) {
        (Value::Object(target), Value::Object(wanted)) => {
            merge_members(target, wanted, &mut PointerBuf::new(), &mut operations);
        }
        (_, wanted) => operations.push(PatchOperation::Replace(ReplaceOperation {
            path: PointerBuf::new(),
            value: without_nulls(wanted),
        })),
    }
    Patch(operations)
}

fn merge_members(
    target: &Map<String, Value>,
    wanted: Map<String, Value>,
    place: &mut PointerBuf,
    operations: &mut Vec<PatchOperation>,
) {
    for (name, wanted) in wanted {
        let found = target.get(&name);
        place.push_back(name);
        match (found, wanted) {
            (None, Value::Null) => (),
            (Some(_), Value::Null) => {
                let path = place.clone();
                operations.push(PatchOperation::Remove(RemoveOperation { path }));
            }
            (Some(Value::Object(found)), Value::Object(wanted)) => {
                merge_members(found, wanted, place, operations);
            }
            (_, wanted) => {
                let (path, value) = (place.clone(), without_nulls(wanted));
                operations.push(PatchOperation::Add(AddOperation { path, value }));
            }
        }
        place.pop_back();
    }
}

/// What a merge patch makes where there was nothing: its nulls take out nothing.
pub(super) fn without_nulls(wanted: Value) -> Value {
    let Value::Object(members) = wanted else { return wanted };
    let members = members.into_iter().filter(|(_, value)| !value.is_null());
    Value::Object(members.map(|(name, value)| (name, without_nulls(value))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::patch::Document;
    use serde_json::json;

    fn merged(target: Value, wanted: Value) -> Value {
        let patch = merge(&target, wanted);
        let mut document = Document::new(target).unwrap();
        document.apply(patch).unwrap();
        document.root().clone()
    }

    #[test]
    fn the_examples_of_rfc_7396_give_what_it_says() {
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
            assert_eq!(merged(target.clone(), wanted.clone()), result, "{target} and {wanted}");
        }
    }

    #[test]
    fn only_what_is_named_is_touched() {
        let target = json!({"a": {"b/c": 1, "~": 2, "": 3}, "list": [{"x": null}], "z": 1});
        let wanted = json!({"a": {"b/c": 7, "~": null, "gone": null}, "z": 1, "new": {"n": null}});
        let patch = serde_json::to_value(merge(&target, wanted)).unwrap();
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
            assert_eq!(merge(&target, wanted), Patch(Vec::new()));
        }
        // In arrays, nulls are values.
        assert_eq!(
            merged(json!({}), json!({"l": [null, {"n": null}]})),
            json!({"l": [null, {"n": null}]})
        );
    }
}
