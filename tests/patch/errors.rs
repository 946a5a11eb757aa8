//! A patch that does not apply names its operation, that operation's path, and why; and the document
//! is then what it was.

use patchmesh::internals::patch::{Document, PatchError, Reason, parse};
use serde_json::{Value, json};

/// The error of `patch`, which must leave `document` as it is.
fn refused(document: &Value, patch: &Value) -> PatchError {
    let mut replica = Document::new(document.clone()).unwrap();
    let before = replica.clone();
    let parsed = parse(&patch.to_string()).unwrap();
    let error = replica.apply(parsed).expect_err(&format!("{document} with {patch}"));
    assert_eq!(replica, before, "{patch}");
    assert_eq!(replica.root().to_string(), document.to_string(), "{patch}");
    error
}

/// Checks rows of a patch, and the index, path and reason of its error.
fn check<const ROWS: usize>(document: Value, table: [(Value, usize, &str, Reason); ROWS]) {
    for (patch, operation, path, reason) in table {
        let expected = PatchError { operation: Some(operation), path: Some(path.into()), reason };
        assert_eq!(refused(&document, &patch), expected, "{document} with {patch}");
    }
}

fn no_member(name: &str) -> Reason {
    Reason::NoMember(name.into())
}

fn no_element(index: &str, length: usize) -> Reason {
    Reason::NoElement { index: index.into(), length }
}

fn not_an_index(token: &str) -> Reason {
    Reason::NotAnIndex(token.into())
}

fn not_a_container(kind: &'static str, token: &str) -> Reason {
    Reason::NotAContainer { kind: kind.into(), token: token.into() }
}

fn from(pointer: &str, reason: Reason) -> Reason {
    Reason::From { from: pointer.into(), reason: Box::new(reason) }
}

#[test]
fn a_text_that_is_no_patch_says_where_and_what_is_wrong() {
    // The text; the operation and the path that the error names; a part of what it says.
    let table: &[(&str, Option<usize>, Option<&str>, &str)] = &[
        ("", None, None, "EOF"),
        ("nonsense", None, None, "expected"),
        ("null", None, None, "expected an array of operations"),
        ("1", None, None, "expected an array of operations"),
        (r#""[]""#, None, None, "expected an array of operations"),
        (r#"{"op":"remove","path":"/a"}"#, None, None, "expected an array of operations"),
        ("[] []", None, None, "trailing characters"),
        (r#"[{"op":"remove","path":"/a"}]]"#, None, None, "trailing characters"),
        ("\u{feff}[]", None, None, "expected value"),
        // An operation is an object.
        ("[null]", Some(0), None, "expected an operation, which is an object"),
        (r#"["remove"]"#, Some(0), None, "expected an operation, which is an object"),
        (r#"[["add","/a",1]]"#, Some(0), None, "expected an operation, which is an object"),
        (r#"[{"op":"remove","path":"/a"},[]]"#, Some(1), None, "which is an object"),
        // Each member that it must have, once.
        ("[{}]", Some(0), None, "missing field `op`"),
        (r#"[{"path":"/a","value":1}]"#, Some(0), None, "missing field `op`"),
        (r#"[{"Op":"remove","path":"/a"}]"#, Some(0), None, "missing field `op`"),
        (r#"[{"op":"add","value":1}]"#, Some(0), None, "missing field `path`"),
        (r#"[{"op":"remove"}]"#, Some(0), None, "missing field `path`"),
        (r#"[{"op":"add","path":"/a"}]"#, Some(0), Some("/a"), "missing field `value`"),
        (r#"[{"op":"replace","path":"/a"}]"#, Some(0), Some("/a"), "missing field `value`"),
        (r#"[{"op":"test","path":""}]"#, Some(0), Some(""), "missing field `value`"),
        (r#"[{"op":"move","path":"/a"}]"#, Some(0), Some("/a"), "missing field `from`"),
        (r#"[{"op":"copy","path":"/a","value":1}]"#, Some(0), Some("/a"), "missing field `from`"),
        (
            r#"[{"op":"add","path":"/a","value":1,"op":"add"}]"#,
            Some(0),
            None,
            "duplicate field `op`",
        ),
        (r#"[{"op":"remove","path":"/a","path":"/a"}]"#, Some(0), None, "duplicate field `path`"),
        (
            r#"[{"op":"move","path":"/a","from":"/b","from":"/b"}]"#,
            Some(0),
            None,
            "duplicate field `from`",
        ),
        (
            r#"[{"op":"test","path":"/a","value":null,"value":null}]"#,
            Some(0),
            None,
            "duplicate field `value`",
        ),
        // `op` is one of six names.
        (r#"[{"op":"spam","path":"/a"}]"#, Some(0), None, "`op` is \"spam\""),
        (r#"[{"op":"Add","path":"/a","value":1}]"#, Some(0), None, "`op` is \"Add\""),
        (r#"[{"op":"","path":"/a"}]"#, Some(0), None, "`op` is \"\""),
        (r#"[{"op":1,"path":"/a"}]"#, Some(0), None, "expected the name of an operation"),
        (r#"[{"op":null,"path":"/a"}]"#, Some(0), None, "expected the name of an operation"),
        (r#"[{"op":["add"],"path":"/a"}]"#, Some(0), None, "expected the name of an operation"),
        // `path` and `from` are JSON Pointers.
        (r#"[{"op":"remove","path":1}]"#, Some(0), None, "expected a string"),
        (r#"[{"op":"remove","path":null}]"#, Some(0), None, "expected a string"),
        (r#"[{"op":"remove","path":["a"]}]"#, Some(0), None, "expected a string"),
        (r#"[{"op":"remove","path":"a/b"}]"#, Some(0), None, "is empty or begins with /"),
        (r##"[{"op":"remove","path":"#/a"}]"##, Some(0), None, "is empty or begins with /"),
        (r#"[{"op":"remove","path":" "}]"#, Some(0), None, "is empty or begins with /"),
        (r#"[{"op":"remove","path":"/a~"}]"#, Some(0), None, "`path` is \"/a~\", but in"),
        (r#"[{"op":"remove","path":"/~2/b"}]"#, Some(0), None, "~ is followed by 0 or 1"),
        (r#"[{"op":"remove","path":"/~/b"}]"#, Some(0), None, "~ is followed by 0 or 1"),
        (
            r#"[{"op":"copy","path":"/a","from":"b"}]"#,
            Some(0),
            Some("/a"),
            "`from` is \"b\", but a JSON Pointer",
        ),
        (
            r#"[{"from":"/~","op":"move","path":"/a"}]"#,
            Some(0),
            Some("/a"),
            "`from` is \"/~\", but in",
        ),
        (
            r#"[{"op":"move","path":"/a","from":null}]"#,
            Some(0),
            Some("/a"),
            "`from` is not a string",
        ),
        // What is not JSON.
        (r#"[{"op":"remove","path":"/a"},]"#, Some(1), None, "trailing comma"),
        (r#"[{"op":"remove","path":"/a"}"#, Some(1), None, "EOF"),
        (r#"[{"op":"remove","path":"/a","#, Some(0), None, "EOF"),
        (r#"[{"op":"add","path":"/a","value":1e999}]"#, Some(0), None, "number out of range"),
        (r#"[{"op":"add","path":"/a","value":"\ud800"}]"#, Some(0), None, "hex escape"),
        (r#"[{"op":"add","path":"/a","value":NaN}]"#, Some(0), None, "expected"),
        (r#"[{"op":"add","path":"/a","value":'a'}]"#, Some(0), None, "expected value"),
    ];
    for (text, operation, path, part) in table {
        let error = parse(text).expect_err(text);
        assert_eq!(
            (error.operation, error.path.as_deref()),
            (*operation, *path),
            "{text}: {error}"
        );
        assert!(error.is_malformed(), "{text}: {error}");
        assert!(error.to_string().contains(part), "{text}: {error}");
    }
}

#[test]
fn a_text_nested_without_end_is_refused_and_not_followed() {
    let deep = "[".repeat(100_000);
    assert!(parse(&deep).unwrap_err().is_malformed());
    let value = format!(r#"[{{"op":"add","path":"/a","value":{deep}"#);
    assert_eq!(parse(&value).unwrap_err().operation, Some(0));
    // Even if nobody looks at it.
    let ignored = format!(r#"[{{"op":"remove","path":"/a","x":{deep}"#);
    assert_eq!(parse(&ignored).unwrap_err().operation, Some(0));

    let tokens = "/a".repeat(100_000);
    let patch = json!([{"op": "add", "path": tokens, "value": 1}]);
    assert_eq!(refused(&json!({}), &patch).reason, Reason::TooDeep);
    let patch = json!([{"op": "remove", "path": tokens}]);
    assert_eq!(refused(&json!({}), &patch).reason, no_member("a"));
}

#[test]
fn a_path_that_names_nothing_says_which_part_of_it() {
    let document = json!({
        "list": [10, {"b": 1}], "empty": [], "object": {"": {}}, "text": "abc", "number": 1,
        "none": null, "yes": true
    });
    let op = |op: &str, path: &str| json!([{"op": op, "path": path, "value": 0}]);
    check(
        document.clone(),
        [
            (op("remove", "/a"), 0, "/a", no_member("a")),
            (op("replace", "/a"), 0, "/a", no_member("a")),
            (op("test", "/a"), 0, "/a", no_member("a")),
            (op("add", "/a/b"), 0, "/a/b", no_member("a")),
            (op("add", "/object/a/b/c"), 0, "/object/a/b/c", no_member("a")),
            (op("test", "/"), 0, "/", no_member("")),
            (op("remove", "/object//"), 0, "/object//", no_member("")),
            (op("replace", "/a~1b~0c"), 0, "/a~1b~0c", no_member("a/b~c")),
            (op("test", "/object/0"), 0, "/object/0", no_member("0")),
            (op("test", "/object/-"), 0, "/object/-", no_member("-")),
            (op("remove", "/list/2"), 0, "/list/2", no_element("2", 2)),
            (op("replace", "/list/2"), 0, "/list/2", no_element("2", 2)),
            (op("test", "/list/2"), 0, "/list/2", no_element("2", 2)),
            (op("add", "/list/3"), 0, "/list/3", no_element("3", 2)),
            (op("add", "/list/2/a"), 0, "/list/2/a", no_element("2", 2)),
            (op("add", "/empty/1"), 0, "/empty/1", no_element("1", 0)),
            (op("remove", "/empty/0"), 0, "/empty/0", no_element("0", 0)),
            (
                op("add", "/list/18446744073709551615"),
                0,
                "/list/18446744073709551615",
                no_element("18446744073709551615", 2),
            ),
            (
                op("remove", "/list/18446744073709551616"),
                0,
                "/list/18446744073709551616",
                no_element("18446744073709551616", 2),
            ),
            // What would be 0 if the digits were cut to 64 bits.
            (
                op("test", "/list/36893488147419103232"),
                0,
                "/list/36893488147419103232",
                no_element("36893488147419103232", 2),
            ),
            (op("remove", "/text/0"), 0, "/text/0", not_a_container("a string", "0")),
            (op("add", "/text/-"), 0, "/text/-", not_a_container("a string", "-")),
            (op("replace", "/number/a"), 0, "/number/a", not_a_container("a number", "a")),
            (op("test", "/none/a"), 0, "/none/a", not_a_container("null", "a")),
            (op("add", "/yes/a~1b"), 0, "/yes/a~1b", not_a_container("a boolean", "a/b")),
            (op("add", "/list/0/x/y"), 0, "/list/0/x/y", not_a_container("a number", "x")),
            (op("add", "/list/1/b/"), 0, "/list/1/b/", not_a_container("a number", "")),
        ],
    );
    for root in [json!(null), json!(1), json!("a")] {
        for name in ["add", "remove", "replace", "test"] {
            let reason = refused(&root, &op(name, "/a")).reason;
            assert!(matches!(reason, Reason::NotAContainer { .. }), "{name}: {reason}");
        }
    }
}

#[test]
fn an_index_is_digits_without_a_leading_zero() {
    let document = json!({"list": [10, {"b": 1}, 30]});
    let tokens =
        ["", "-1", "+1", "00", "01", "1.0", "1e0", "0x1", " 1", "1 ", "b", "١", "１", "~0", "1~1"];
    for token in tokens {
        let path = format!("/list/{token}");
        let below = format!("{path}/b");
        let expected = not_an_index(&token.replace("~1", "/").replace("~0", "~"));
        for (op, path) in [
            ("add", &path),
            ("remove", &path),
            ("replace", &path),
            ("test", &path),
            ("add", &below),
            ("test", &below),
        ] {
            let error = refused(&document, &json!([{"op": op, "path": path, "value": 1}]));
            assert_eq!(error.reason, expected, "{op} {path:?}");
        }
    }
}

#[test]
fn the_end_of_an_array_is_only_where_something_is_added() {
    let document = json!({"list": [1, {"b": 1}], "a": 1});
    let op = |op: &str, path: &str| json!([{"op": op, "path": path, "value": 1}]);
    let two = |op: &str, from: &str, path: &str| json!([{"op": op, "from": from, "path": path}]);
    check(
        document.clone(),
        [
            (op("remove", "/list/-"), 0, "/list/-", not_an_index("-")),
            (op("replace", "/list/-"), 0, "/list/-", not_an_index("-")),
            (op("test", "/list/-"), 0, "/list/-", not_an_index("-")),
            (op("add", "/list/-/b"), 0, "/list/-/b", not_an_index("-")),
            (two("move", "/list/-", "/b"), 0, "/b", from("/list/-", not_an_index("-"))),
            (two("move", "/list/-", "/list/-"), 0, "/list/-", from("/list/-", not_an_index("-"))),
            (two("copy", "/list/-", "/b"), 0, "/b", from("/list/-", not_an_index("-"))),
            (two("move", "/a", "/list/-/b"), 0, "/list/-/b", not_an_index("-")),
            (two("copy", "/a", "/list/-/b"), 0, "/list/-/b", not_an_index("-")),
        ],
    );
}

#[test]
fn a_copy_or_a_move_says_whether_its_from_or_its_path_is_wrong() {
    let two = |op: &str, from: &str, path: &str| json!([{"op": op, "from": from, "path": path}]);
    for op in ["move", "copy"] {
        check(
            json!({"a": 1, "list": [1, 2], "object": {}}),
            [
                (two(op, "/x", "/y"), 0, "/y", from("/x", no_member("x"))),
                (two(op, "/x", "/x"), 0, "/x", from("/x", no_member("x"))),
                (two(op, "/a/b", "/y"), 0, "/y", from("/a/b", not_a_container("a number", "b"))),
                (two(op, "/list/2", "/y"), 0, "/y", from("/list/2", no_element("2", 2))),
                (two(op, "/list/01", "/y"), 0, "/y", from("/list/01", not_an_index("01"))),
                // Both are wrong: `from` comes first.
                (two(op, "/x", "/y/z"), 0, "/y/z", from("/x", no_member("x"))),
                (two(op, "/a", "/x/y"), 0, "/x/y", no_member("x")),
                (two(op, "/list/0", "/a/b"), 0, "/a/b", not_a_container("a number", "b")),
                (two(op, "/a", "/list/3"), 0, "/list/3", no_element("3", 2)),
                (two(op, "/a", "/list/-1"), 0, "/list/-1", not_an_index("-1")),
            ],
        );
    }
    // After its removal an array is shorter by one, so these would be beyond the end.
    check(
        json!({"list": [1, [2], 3]}),
        [
            (two("move", "/list/0", "/list/3"), 0, "/list/3", no_element("3", 2)),
            (two("move", "/list/0", "/list/2/0"), 0, "/list/2/0", no_element("2", 2)),
            (two("move", "/list/0", "/list/1/0"), 0, "/list/1/0", not_a_container("a number", "0")),
        ],
    );
}

#[test]
fn a_value_does_not_move_into_itself() {
    let two = |from: &str, path: &str| json!([{"op": "move", "from": from, "path": path}]);
    check(
        json!({"a": {"b": {}}, "list": [[1], [2]]}),
        [
            (two("/a", "/a/c"), 0, "/a/c", Reason::MoveIntoItself),
            (two("/a", "/a/"), 0, "/a/", Reason::MoveIntoItself),
            (two("/a", "/a/b/c"), 0, "/a/b/c", Reason::MoveIntoItself),
            (two("", "/c"), 0, "/c", Reason::MoveIntoItself),
            (two("/list/0", "/list/0/-"), 0, "/list/0/-", Reason::MoveIntoItself),
        ],
    );
}

#[test]
fn the_whole_document_cannot_be_removed() {
    for document in [json!({}), json!([1]), json!(null)] {
        check(document, [(json!([{"op": "remove", "path": ""}]), 0, "", Reason::RemoveWhole)]);
    }
}

#[test]
fn a_failed_test_shows_the_beginning_of_what_is_there() {
    let tested = |value: Value| {
        let patch = json!([{"op": "test", "path": "/a", "value": {"x": 0}}]);
        match refused(&json!({ "a": value }), &patch).reason {
            Reason::TestFailed(found) => found,
            other => panic!("{other}"),
        }
    };
    assert_eq!(tested(json!(null)), "null");
    assert_eq!(tested(json!({"x": [1.0, "é"]})), r#"{"x":[1.0,"é"]}"#);
    assert_eq!(tested(json!("a".repeat(62))), format!("\"{}\"", "a".repeat(62)));
    assert_eq!(tested(json!("a".repeat(63))), format!("\"{}…", "a".repeat(63)));
    // A character that would be cut in two is left out whole.
    for (bytes, shown) in [(60, 1), (61, 1), (62, 0), (63, 0)] {
        let text = "a".repeat(bytes) + "éé";
        let expected = format!("\"{}{}…", "a".repeat(bytes), "é".repeat(shown));
        assert_eq!(tested(json!(text)), expected, "{bytes} bytes before it");
    }
    assert_eq!(tested(json!("😀".repeat(1_000_000))), format!("\"{}…", "😀".repeat(15)));
}

#[test]
fn the_operations_before_the_one_that_fails_are_taken_back() {
    let document = json!({"a": {"b": 1, "c": [1, 2, 3]}, "d": -0.0, "e": "text"});
    let before = [
        json!({"op": "add", "path": "/f", "value": [1.0]}),
        json!({"op": "add", "path": "/a/c/-", "value": 4}),
        json!({"op": "add", "path": "/a/b", "value": {"x": "y"}}),
        json!({"op": "remove", "path": "/a/c/0"}),
        json!({"op": "replace", "path": "/d", "value": 0}),
        json!({"op": "move", "from": "/a/c/0", "path": "/a/c/2"}),
        json!({"op": "move", "from": "/e", "path": "/a/b"}),
        json!({"op": "copy", "from": "/a", "path": "/a/a"}),
        json!({"op": "copy", "from": "/a/c/0", "path": "/d"}),
        json!({"op": "move", "from": "/a/a/c", "path": "/a"}),
        json!({"op": "move", "from": "/a/1", "path": ""}),
    ];
    let last = json!({"op": "test", "path": "", "value": "something else"});
    for length in 0..=before.len() {
        let mut patch = before[..length].to_vec();
        patch.push(last.clone());
        let error = refused(&document, &Value::Array(patch));
        assert_eq!((error.operation, error.path.as_deref()), (Some(length), Some("")), "{error}");
        assert!(matches!(error.reason, Reason::TestFailed(_)), "{error}");
    }
}

#[test]
fn a_move_that_fails_loses_nothing() {
    check(
        json!({"a": 1}),
        [(json!([{"op": "move", "from": "/a", "path": "/x/y"}]), 0, "/x/y", no_member("x"))],
    );
    check(
        json!({"a": {"b": 1}}),
        [(
            json!([
                {"op": "move", "from": "/a/b", "path": "/a"},
                {"op": "test", "path": "/a", "value": 2}
            ]),
            1,
            "/a",
            Reason::TestFailed("1".into()),
        )],
    );
    check(
        json!({"list": [1, [2], 3]}),
        [
            (
                json!([{"op": "move", "from": "/list/1/0", "path": "/list/9"}]),
                0,
                "/list/9",
                no_element("9", 3),
            ),
            (
                json!([{"op": "move", "from": "/list/1", "path": "/list/0/0"}]),
                0,
                "/list/0/0",
                not_a_container("a number", "0"),
            ),
        ],
    );
}

#[test]
fn errors_read_as_sentences() {
    let patch = json!([
        {"op": "add", "path": "/list", "value": [1]},
        {"op": "copy", "from": "/list/1", "path": "/a\"b"}
    ]);
    assert_eq!(
        refused(&json!({}), &patch).to_string(),
        r#"operation 1 at "/a\"b": from "/list/1": there is no element 1: the array has 1 element"#
    );
    let malformed = parse("{}").unwrap_err().to_string();
    assert!(malformed.starts_with("not a JSON Patch: "), "{malformed}");
    let reasons = [
        (no_member("a\nb"), r#"there is no member "a\nb""#),
        (no_element("7", 0), "there is no element 7: the array has 0 elements"),
        (not_an_index("-"), r#""-" is not the index of an element"#),
        (not_a_container("null", "a"), r#"there is nothing below null, so no "a""#),
        (Reason::TestFailed("{}".into()), "the value is not as tested, it is {}"),
        (Reason::MoveIntoItself, "a value cannot be moved into itself"),
        (Reason::RemoveWhole, "the whole document cannot be removed"),
        (Reason::TooDeep, "the document would be nested too deep"),
        (Reason::TooHeavy, "the document would be too large"),
        (Reason::TooMuchCopied, "the patch copies too much"),
    ];
    for (reason, text) in reasons {
        assert_eq!(reason.to_string(), text);
    }
}
