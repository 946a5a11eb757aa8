//! A patch of a part of the document as one of the whole.

use super::merge::{merge, without_nulls};
use super::operation::{Operation, Patch};
use super::{Pointer, PointerBuf};
use crate::document::Value;

/// What `patch` does to the part at `part`, done to the whole document.
pub fn of_part(patch: Patch, part: &Pointer) -> Patch {
    let below = |path: &mut PointerBuf| *path = part.concat(&*path);
    let Patch(mut operations) = patch;
    for operation in &mut operations {
        match operation {
            Operation::Add { path, .. }
            | Operation::Remove { path }
            | Operation::Replace { path, .. }
            | Operation::Test { path, .. } => below(path),
            Operation::Move { from, path } | Operation::Copy { from, path } => {
                below(from);
                below(path);
            }
        }
    }
    Patch(operations)
}

/// The patch that does what the merge patch `wanted` says to the part at `part`, which is `target`. If there
/// is no such part, it is added: RFC 7396 makes an object of nothing, too.
pub fn merge_part(target: Option<&Value>, part: &Pointer, wanted: Value) -> Patch {
    match target {
        Some(target) => of_part(merge(target, wanted), part),
        None => {
            let (path, value) = (part.to_buf(), without_nulls(wanted));
            Patch(vec![Operation::Add { path, value }])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::patch::{Document, parse};
    use serde_json::json;

    fn pointer(text: &str) -> PointerBuf {
        PointerBuf::parse(text).unwrap()
    }

    #[test]
    fn all_paths_of_a_patch_are_below_the_part() {
        let text = r#"[
            {"op":"add","path":"","value":1},
            {"op":"remove","path":"/x"},
            {"op":"replace","path":"/x","value":1},
            {"op":"test","path":"/x","value":1},
            {"op":"move","from":"/x","path":"/y"},
            {"op":"copy","from":"","path":"/-"}
        ]"#;
        for (part, expected) in [
            ("", ["", "/x", "/x", "/x", "/x", "/y", "", "/-"]),
            ("/a~1b/0", ["", "/x", "/x", "/x", "/x", "/y", "", "/-"]),
        ] {
            let patch =
                serde_json::to_value(of_part(parse(text).unwrap(), &pointer(part))).unwrap();
            let paths = patch.as_array().unwrap().iter().flat_map(|operation| {
                ["from", "path"].into_iter().filter_map(|name| operation.get(name)).cloned()
            });
            let expected = expected.map(|path| json!(format!("{part}{path}")));
            assert_eq!(paths.collect::<Vec<_>>(), expected, "{part}");
        }
    }

    #[test]
    fn a_part_is_merged_as_a_document_of_its_own() {
        let document = json!({"a": {"b": 1, "c": null}, "l": [{"x": 1}, 2]});
        for (part, wanted, expected) in [
            (
                "/a",
                json!({"b": null, "d": {"e": null, "f": 1}}),
                Some(json!({"c": null, "d": {"f": 1}})),
            ),
            ("/a/b", json!({"x": 1}), Some(json!({"x": 1}))),
            ("/a/b", json!(null), Some(json!(null))),
            ("/l/0", json!({"x": null, "y": 2}), Some(json!({"y": 2}))),
            ("/l/1", json!([1]), Some(json!([1]))),
            ("/l/2", json!({"x": null}), Some(json!({}))),
            ("/new", json!({"x": null, "y": 1}), Some(json!({"y": 1}))),
            ("/new/x", json!(1), None),
            ("/a/b/c", json!(1), None),
        ] {
            let mut whole = Document::new(document.clone()).unwrap();
            let part = pointer(part);
            let patch = merge_part(whole.get(&part), &part, wanted.into());
            let found = whole.apply(patch).ok().and_then(|_| whole.get(&part).cloned());
            assert_eq!(found, expected.map(Value::from), "{part}");
        }
    }
}
