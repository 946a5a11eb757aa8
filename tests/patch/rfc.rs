//! A patch does what RFC 6902 says, and its pointers mean what RFC 6901 says: every example that the
//! two give, and every rule that they state. Each patch here is also taken back by its inverse.

use patchmesh::internals::patch::{Document, PatchError, PointerBuf, Reason, parse};
use serde_json::{Value, json};

/// The document that `patch` makes of `document`, as JSON text.
fn patched(document: &Value, patch: &str) -> Result<String, PatchError> {
    let mut replica = Document::new(document.clone()).unwrap();
    let before = replica.clone();
    let outcome = parse(patch).and_then(|patch| replica.apply(patch)).map(|inverse| {
        let after = replica.root().clone();
        assert_eq!(replica, Document::new(after.clone()).unwrap(), "its weight after {patch}");
        replica.revert(inverse);
        after.to_string()
    });
    assert_eq!(replica, before, "after {patch} was taken back");
    assert_eq!(replica.root().to_string(), document.to_string());
    outcome
}

/// A name, a document, a patch, and the document that it makes.
type Example = (&'static str, Value, Value, Value);

fn check(table: impl IntoIterator<Item = Example>) {
    for (name, document, patch, expected) in table {
        let found = patched(&document, &patch.to_string());
        assert_eq!(found, Ok(expected.to_string()), "{name}: {document} with {patch}");
    }
}

#[test]
fn the_examples_of_rfc_6902_appendix_a_apply() {
    check([
        (
            "A.1. Adding an Object Member",
            json!({"foo": "bar"}),
            json!([{"op": "add", "path": "/baz", "value": "qux"}]),
            json!({"baz": "qux", "foo": "bar"}),
        ),
        (
            "A.2. Adding an Array Element",
            json!({"foo": ["bar", "baz"]}),
            json!([{"op": "add", "path": "/foo/1", "value": "qux"}]),
            json!({"foo": ["bar", "qux", "baz"]}),
        ),
        (
            "A.3. Removing an Object Member",
            json!({"baz": "qux", "foo": "bar"}),
            json!([{"op": "remove", "path": "/baz"}]),
            json!({"foo": "bar"}),
        ),
        (
            "A.4. Removing an Array Element",
            json!({"foo": ["bar", "qux", "baz"]}),
            json!([{"op": "remove", "path": "/foo/1"}]),
            json!({"foo": ["bar", "baz"]}),
        ),
        (
            "A.5. Replacing a Value",
            json!({"baz": "qux", "foo": "bar"}),
            json!([{"op": "replace", "path": "/baz", "value": "boo"}]),
            json!({"baz": "boo", "foo": "bar"}),
        ),
        (
            "A.6. Moving a Value",
            json!({"foo": {"bar": "baz", "waldo": "fred"}, "qux": {"corge": "grault"}}),
            json!([{"op": "move", "from": "/foo/waldo", "path": "/qux/thud"}]),
            json!({"foo": {"bar": "baz"}, "qux": {"corge": "grault", "thud": "fred"}}),
        ),
        (
            "A.7. Moving an Array Element",
            json!({"foo": ["all", "grass", "cows", "eat"]}),
            json!([{"op": "move", "from": "/foo/1", "path": "/foo/3"}]),
            json!({"foo": ["all", "cows", "eat", "grass"]}),
        ),
        (
            "A.8. Testing a Value: Success",
            json!({"baz": "qux", "foo": ["a", 2, "c"]}),
            json!([
                {"op": "test", "path": "/baz", "value": "qux"},
                {"op": "test", "path": "/foo/1", "value": 2}
            ]),
            json!({"baz": "qux", "foo": ["a", 2, "c"]}),
        ),
        (
            "A.10. Adding a Nested Member Object",
            json!({"foo": "bar"}),
            json!([{"op": "add", "path": "/child", "value": {"grandchild": {}}}]),
            json!({"foo": "bar", "child": {"grandchild": {}}}),
        ),
        (
            "A.11. Ignoring Unrecognized Elements",
            json!({"foo": "bar"}),
            json!([{"op": "add", "path": "/baz", "value": "qux", "xyz": 123}]),
            json!({"foo": "bar", "baz": "qux"}),
        ),
        (
            "A.14. ~ Escape Ordering",
            json!({"/": 9, "~1": 10}),
            json!([{"op": "test", "path": "/~01", "value": 10}]),
            json!({"/": 9, "~1": 10}),
        ),
        (
            "A.16. Adding an Array Value",
            json!({"foo": ["bar"]}),
            json!([{"op": "add", "path": "/foo/-", "value": ["abc", "def"]}]),
            json!({"foo": ["bar", ["abc", "def"]]}),
        ),
    ]);
}

#[test]
fn the_error_examples_of_rfc_6902_appendix_a_do_not_apply() {
    let table = [
        (
            "A.9. Testing a Value: Error",
            json!({"baz": "qux"}),
            r#"[{"op":"test","path":"/baz","value":"bar"}]"#,
            "/baz",
            Reason::TestFailed("\"qux\"".into()),
        ),
        (
            "A.12. Adding to a Nonexistent Target",
            json!({"foo": "bar"}),
            r#"[{"op":"add","path":"/baz/bat","value":"qux"}]"#,
            "/baz/bat",
            Reason::NoMember("baz".into()),
        ),
        (
            "A.15. Comparing Strings and Numbers",
            json!({"/": 9, "~1": 10}),
            r#"[{"op":"test","path":"/~01","value":"10"}]"#,
            "/~01",
            Reason::TestFailed("10".into()),
        ),
    ];
    for (name, document, patch, path, reason) in table {
        let expected = PatchError { operation: Some(0), path: Some(path.into()), reason };
        assert_eq!(patched(&document, patch), Err(expected), "{name}");
    }

    let patch = r#"[{"op":"add","path":"/baz","value":"qux","op":"remove"}]"#;
    let error = patched(&json!({"foo": "bar"}), patch).unwrap_err();
    assert!(error.is_malformed(), "A.13. Invalid JSON Patch Document: {error}");
    assert_eq!(error.operation, Some(0));
}

#[test]
fn the_operations_of_rfc_6902_section_3_apply_one_after_the_other() {
    check([(
        "section 3",
        json!({"a": {"b": {"c": "foo"}}}),
        json!([
            {"op": "test", "path": "/a/b/c", "value": "foo"},
            {"op": "remove", "path": "/a/b/c"},
            {"op": "add", "path": "/a/b/c", "value": ["foo", "bar"]},
            {"op": "replace", "path": "/a/b/c", "value": 42},
            {"op": "move", "from": "/a/b/c", "path": "/a/b/d"},
            {"op": "copy", "from": "/a/b/d", "path": "/a/b/e"}
        ]),
        json!({"a": {"b": {"d": 42, "e": 42}}}),
    )]);
}

#[test]
fn the_pointers_of_rfc_6901_section_5_name_what_it_says() {
    let document = json!({
        "foo": ["bar", "baz"], "": 0, "a/b": 1, "c%d": 2, "e^f": 3, "g|h": 4, "i\\j": 5, "k\"l": 6,
        " ": 7, "m~n": 8
    });
    let table = [
        ("", document.clone()),
        ("/foo", json!(["bar", "baz"])),
        ("/foo/0", json!("bar")),
        ("/", json!(0)),
        ("/a~1b", json!(1)),
        ("/c%d", json!(2)),
        ("/e^f", json!(3)),
        ("/g|h", json!(4)),
        ("/i\\j", json!(5)),
        ("/k\"l", json!(6)),
        ("/ ", json!(7)),
        ("/m~0n", json!(8)),
    ];
    let replica = Document::new(document.clone()).unwrap();
    for (pointer, value) in table {
        assert_eq!(
            replica.get(&PointerBuf::parse(pointer).unwrap()),
            Some(&value.clone().into()),
            "{pointer:?}"
        );

        let test = json!([{"op": "test", "path": pointer, "value": value}]).to_string();
        assert_eq!(patched(&document, &test), Ok(document.to_string()), "{pointer:?}");

        // A pointer names the same place for writing.
        let patch = json!([
            {"op": "replace", "path": pointer, "value": "new"},
            {"op": "test", "path": pointer, "value": "new"},
            {"op": "add", "path": pointer, "value": value},
            {"op": "test", "path": pointer, "value": value}
        ]);
        let is_element = pointer == "/foo/0";
        let after = patched(&document, &patch.to_string()).unwrap();
        let expected = if is_element {
            // To add an element is to insert it.
            document.to_string().replace("[\"bar\",", "[\"bar\",\"new\",")
        } else {
            document.to_string()
        };
        assert_eq!(after, expected, "{pointer:?}");
    }
}

#[test]
fn add_puts_a_value_where_its_path_says() {
    check([
        (
            "over a member that is there",
            json!({"a": 1}),
            json!([{"op": "add", "path": "/a", "value": [2]}]),
            json!({"a": [2]}),
        ),
        (
            "null is a value",
            json!({}),
            json!([{"op": "add", "path": "/a", "value": null}]),
            json!({"a": null}),
        ),
        (
            "at the root",
            json!({"a": 1}),
            json!([{"op": "add", "path": "", "value": [1, 2]}]),
            json!([1, 2]),
        ),
        (
            "at the root, a scalar",
            json!({"a": 1}),
            json!([{"op": "add", "path": "", "value": null}]),
            json!(null),
        ),
        (
            "before the first element",
            json!([1, 2]),
            json!([{"op": "add", "path": "/0", "value": 0}]),
            json!([0, 1, 2]),
        ),
        (
            "after the last element, by its index",
            json!([1, 2]),
            json!([{"op": "add", "path": "/2", "value": 3}]),
            json!([1, 2, 3]),
        ),
        (
            "after the last element, by -",
            json!([1, 2]),
            json!([{"op": "add", "path": "/-", "value": 3}]),
            json!([1, 2, 3]),
        ),
        (
            "into an empty array",
            json!([[], []]),
            json!([
                {"op": "add", "path": "/0/0", "value": 1},
                {"op": "add", "path": "/1/-", "value": 2}
            ]),
            json!([[1], [2]]),
        ),
        (
            "names of members that look like indices",
            json!({}),
            json!([
                {"op": "add", "path": "/-", "value": 1},
                {"op": "add", "path": "/0", "value": 2},
                {"op": "add", "path": "/01", "value": 3},
                {"op": "add", "path": "/-1", "value": 4}
            ]),
            json!({"-": 1, "0": 2, "01": 3, "-1": 4}),
        ),
        (
            "names that are empty or have to be escaped",
            json!({"": {"": {}}}),
            json!([
                {"op": "add", "path": "//", "value": {"": 2}},
                {"op": "add", "path": "//a~1b", "value": 3},
                {"op": "add", "path": "//m~0n", "value": 4},
                {"op": "add", "path": "//~01", "value": 5},
                {"op": "add", "path": "///", "value": 6}
            ]),
            json!({"": {"": {"": 6}, "a/b": 3, "m~n": 4, "~1": 5}}),
        ),
        (
            "names beyond ASCII, escaped or not",
            json!({"é": 1}),
            json!([{"op": "replace", "path": "/\u{e9}", "value": 2}, {"op": "add", "path": "/😀", "value": 3}]),
            json!({"é": 2, "😀": 3}),
        ),
    ]);
}

#[test]
fn remove_and_replace_need_a_value_that_is_there() {
    check([
        (
            "remove closes the gap",
            json!([1, 2, 3]),
            json!([{"op": "remove", "path": "/0"}, {"op": "remove", "path": "/1"}]),
            json!([2]),
        ),
        (
            "remove the last one",
            json!({"a": [1], "": 2}),
            json!([{"op": "remove", "path": "/a/0"}, {"op": "remove", "path": "/"}]),
            json!({"a": []}),
        ),
        ("remove a null", json!({"a": null}), json!([{"op": "remove", "path": "/a"}]), json!({})),
        (
            "replace by null, and null by something",
            json!({"a": 1, "b": null}),
            json!([
                {"op": "replace", "path": "/a", "value": null},
                {"op": "replace", "path": "/b", "value": 2}
            ]),
            json!({"a": null, "b": 2}),
        ),
        (
            "replace an element",
            json!([1, 2, 3]),
            json!([{"op": "replace", "path": "/1", "value": [2]}]),
            json!([1, [2], 3]),
        ),
        (
            "replace the root",
            json!({"a": 1}),
            json!([
                {"op": "replace", "path": "", "value": "b"},
                {"op": "replace", "path": "", "value": [0]},
                {"op": "replace", "path": "/0", "value": 1}
            ]),
            json!([1]),
        ),
    ]);
}

#[test]
fn move_is_a_remove_and_then_an_add() {
    check([
        (
            "over a member that is there",
            json!({"a": [1], "b": {"c": 2}}),
            json!([{"op": "move", "from": "/a", "path": "/b"}]),
            json!({"b": [1]}),
        ),
        (
            "over a member further down",
            json!({"a": 1, "b": {"c": 2}}),
            json!([{"op": "move", "from": "/a", "path": "/b/c"}]),
            json!({"b": {"c": 1}}),
        ),
        (
            "onto its parent",
            json!({"a": {"b": [1], "c": 2}}),
            json!([{"op": "move", "from": "/a/b", "path": "/a"}]),
            json!({"a": [1]}),
        ),
        (
            "onto an ancestor",
            json!({"a": {"b": [{"c": 1}, 2]}, "d": 3}),
            json!([{"op": "move", "from": "/a/b/0/c", "path": "/a"}]),
            json!({"a": 1, "d": 3}),
        ),
        (
            "before its ancestor in an array",
            json!([[1, 2], 3]),
            json!([{"op": "move", "from": "/0/1", "path": "/0"}]),
            json!([2, [1], 3]),
        ),
        (
            "onto the root",
            json!({"a": {"b": [1]}, "c": 2}),
            json!([{"op": "move", "from": "/a/b", "path": ""}]),
            json!([1]),
        ),
        (
            "an element onto the root",
            json!([1, 2, 3]),
            json!([{"op": "move", "from": "/1", "path": ""}]),
            json!(2),
        ),
        (
            "onto itself",
            json!({"a": {"b": 1}, "c": [1, 2]}),
            json!([
                {"op": "move", "from": "/a", "path": "/a"},
                {"op": "move", "from": "/c/0", "path": "/c/0"},
                {"op": "move", "from": "", "path": ""}
            ]),
            json!({"a": {"b": 1}, "c": [1, 2]}),
        ),
        (
            "the last element to the end",
            json!([1, 2]),
            json!([{"op": "move", "from": "/1", "path": "/-"}]),
            json!([1, 2]),
        ),
        (
            "to the end",
            json!([1, 2, 3]),
            json!([{"op": "move", "from": "/0", "path": "/-"}]),
            json!([2, 3, 1]),
        ),
        (
            "forward in an array",
            json!([1, 2, 3, 4]),
            json!([{"op": "move", "from": "/0", "path": "/2"}]),
            json!([2, 3, 1, 4]),
        ),
        (
            "backward in an array",
            json!([1, 2, 3, 4]),
            json!([{"op": "move", "from": "/2", "path": "/0"}]),
            json!([3, 1, 2, 4]),
        ),
        (
            "out of an array that its path leads through",
            json!([0, [1], [2]]),
            json!([{"op": "move", "from": "/0", "path": "/1/0"}]),
            json!([[1], [0, 2]]),
        ),
        (
            "from an array into an object, and back",
            json!({"a": [1, 2], "b": {}}),
            json!([
                {"op": "move", "from": "/a/0", "path": "/b/c~1d"},
                {"op": "move", "from": "/a/0", "path": "/b/e"},
                {"op": "move", "from": "/b/c~1d", "path": "/a/-"}
            ]),
            json!({"a": [1], "b": {"e": 2}}),
        ),
        (
            "to a name that begins like its own",
            json!({"a": 1, "ab": {}}),
            json!([{"op": "move", "from": "/a", "path": "/ab/c"}]),
            json!({"ab": {"c": 1}}),
        ),
        (
            "down into its sibling",
            json!({"a": {"x": 1}, "b": {"c": {}}}),
            json!([{"op": "move", "from": "/a", "path": "/b/c/d"}]),
            json!({"b": {"c": {"d": {"x": 1}}}}),
        ),
    ]);
}

#[test]
fn copy_adds_what_it_finds_at_from() {
    check([
        (
            "into itself",
            json!({"a": {"b": 1}}),
            json!([{"op": "copy", "from": "/a", "path": "/a/c"}]),
            json!({"a": {"b": 1, "c": {"b": 1}}}),
        ),
        (
            "the whole document into itself",
            json!({"a": [1]}),
            json!([{"op": "copy", "from": "", "path": "/a/-"}]),
            json!({"a": [1, {"a": [1]}]}),
        ),
        (
            "onto its ancestor",
            json!({"a": {"b": {"c": 1}}}),
            json!([{"op": "copy", "from": "/a/b", "path": "/a"}]),
            json!({"a": {"c": 1}}),
        ),
        (
            "onto the root",
            json!({"a": [1]}),
            json!([{"op": "copy", "from": "/a", "path": ""}]),
            json!([1]),
        ),
        (
            "onto itself",
            json!({"a": [1, 2]}),
            json!([
                {"op": "copy", "from": "/a", "path": "/a"},
                {"op": "copy", "from": "", "path": ""},
                {"op": "copy", "from": "/a/0", "path": "/a/0"}
            ]),
            json!({"a": [1, 1, 2]}),
        ),
        (
            "over a member that is there",
            json!({"a": null, "b": {"c": 2}}),
            json!([{"op": "copy", "from": "/a", "path": "/b"}]),
            json!({"a": null, "b": null}),
        ),
        (
            "within an array",
            json!([1, [2]]),
            json!([
                {"op": "copy", "from": "/1", "path": "/0"},
                {"op": "copy", "from": "/1", "path": "/3"},
                {"op": "copy", "from": "/0/0", "path": "/-"}
            ]),
            json!([[2], 1, [2], 1, 2]),
        ),
        (
            "a copy is not a link",
            json!({"a": [1]}),
            json!([
                {"op": "copy", "from": "/a", "path": "/b"},
                {"op": "add", "path": "/b/-", "value": 2}
            ]),
            json!({"a": [1], "b": [1, 2]}),
        ),
    ]);
}

#[test]
fn test_compares_by_value() {
    let document = json!({
        "one": 1, "half": 0.5, "zero": -0.0, "large": u64::MAX, "text": "é", "none": null,
        "yes": true, "list": [1, [2]], "object": {"b": 2, "a": [1.0]}
    });
    let table = [
        (r#""/one","value":1"#, true),
        (r#""/one","value":1.0"#, true),
        (r#""/one","value":10E-1"#, true),
        (r#""/one","value":"1""#, false),
        (r#""/one","value":true"#, false),
        (r#""/half","value":5e-1"#, true),
        (r#""/zero","value":0"#, true),
        (r#""/large","value":18446744073709551615"#, true),
        (r#""/large","value":18446744073709551616"#, false),
        (r#""/text","value":"\u00e9""#, true),
        (r#""/text","value":"e\u0301""#, false),
        (r#""/none","value":null"#, true),
        (r#""/none","value":false"#, false),
        (r#""/none","value":0"#, false),
        (r#""/yes","value":true"#, true),
        (r#""/list","value":[1.0,[2]]"#, true),
        (r#""/list","value":[1]"#, false),
        (r#""/list","value":[[2],1]"#, false),
        (r#""/object","value":{"a":[1],"b":2}"#, true),
        (r#""/object","value":{"a":[1],"b":2,"c":null}"#, false),
        (r#""/object","value":{"a":[1]}"#, false),
        (r#""/object","value":{}"#, false),
    ];
    for (test, expected) in table {
        let patch = format!("[{{\"op\":\"test\",\"path\":{test}}}]");
        let found = patched(&document, &patch);
        assert_eq!(found.is_ok(), expected, "{patch}: {found:?}");
    }
}

#[test]
fn members_may_come_in_any_order_and_unknown_ones_are_ignored() {
    check([
        ("an empty patch", json!([1]), json!([]), json!([1])),
        (
            "members that other operations have",
            json!({"a": 1, "b": 2}),
            json!([
                {"op": "remove", "path": "/a", "value": 7, "from": 8},
                {"op": "add", "path": "/a", "value": 3, "from": {"not": "a pointer"}},
                {"op": "test", "path": "/a", "value": 3, "from": "nor/this"},
                {"op": "copy", "from": "/a", "path": "/c", "value": [4]},
                {"op": "move", "from": "/a", "path": "/b", "value": null}
            ]),
            json!({"b": 3, "c": 3}),
        ),
    ]);
    let patch = r#" [ { "OP": "test", "value": 1, "p\u0061th": "/\u0061", "x": [[{}]], "x": 2,
        "o\u0070": "\u0061dd", "Path": 3 } ] "#;
    assert_eq!(patched(&json!({}), patch), Ok(json!({"a": 1}).to_string()));
}
