//! No patch makes the document deeper or heavier than the protocol's limits, nor the node work
//! without bound; up to the limits everything applies. Every node refuses at the same place.

use patchmesh::patch::{Document, MAX_DEPTH, MAX_EFFORT, MAX_WEIGHT, PatchError, Reason, parse};
use serde_json::{Value, json};

/// Applies a patch and keeps what it did; or checks that it did nothing.
fn apply(document: &mut Document, patch: &Value) -> Result<(), PatchError> {
    let before = shape(document.root());
    let result = document.apply(parse(&patch.to_string()).unwrap());
    if result.is_err() {
        assert_eq!(shape(document.root()), before, "{patch}");
    }
    assert_eq!(document.weight(), weight(document.root()), "{patch}");
    result.map(drop)
}

fn refused<T>(operation: usize, path: &str, reason: Reason) -> Result<T, PatchError> {
    Err(PatchError { operation: Some(operation), path: Some(path.into()), reason })
}

/// The value with the length in place of each long text: enough to compare a large document by.
fn shape(value: &Value) -> Value {
    match value {
        Value::String(text) if text.len() > 1000 => text.len().into(),
        Value::Array(elements) => elements.iter().map(shape).collect(),
        Value::Object(members) => {
            members.iter().map(|(name, value)| (name.clone(), shape(value))).collect()
        }
        other => other.clone(),
    }
}

/// The weight as the protocol defines it.
fn weight(value: &Value) -> u64 {
    32 + match value {
        Value::String(text) => text.len() as u64,
        Value::Array(elements) => elements.iter().map(weight).sum(),
        Value::Object(members) => {
            members.iter().map(|(name, value)| 32 + name.len() as u64 + weight(value)).sum()
        }
        _ => 0,
    }
}

/// A text of this weight. Its bytes are zeros that the system hands out without memory behind them
/// until somebody writes there, so that a test may have a gigabyte of them.
fn heavy(weight: u64) -> Value {
    let bytes = vec![0; usize::try_from(weight).unwrap() - 32];
    Value::String(String::from_utf8(bytes).unwrap())
}

/// A value in this many containers, all of them arrays or all of them objects.
fn nested(depth: usize, token: &str) -> Value {
    (0..depth).fold(json!(1), |inner, _| match token {
        "0" => json!([inner]),
        _ => json!({ token: inner }),
    })
}

#[test]
fn a_document_is_as_deep_as_serde_json_reads() {
    for token in ["0", "a"] {
        let deepest = nested(MAX_DEPTH, token);
        let text = deepest.to_string();
        assert_eq!(serde_json::from_slice::<Value>(text.as_bytes()).unwrap(), deepest);
        assert!(Document::new(deepest).is_some());

        let deeper = nested(MAX_DEPTH + 1, token);
        assert!(serde_json::from_slice::<Value>(deeper.to_string().as_bytes()).is_err());
        assert!(Document::new(deeper).is_none());
    }
}

#[test]
fn no_operation_makes_a_document_deeper_than_the_limit() {
    // A value goes below a chain of containers: some of the depth is the chain's, some its own.
    // A patch is itself read by serde_json, which leaves 125 levels for the values in it.
    for chain in [1, 2, 64, 125, 126] {
        for (token, new) in [("0", "-"), ("0", "0"), ("a", "b"), ("a", "a")] {
            for op in ["add", "replace", "copy", "move"] {
                for excess in [0, 1] {
                    // The root is a container as well.
                    let value = nested(MAX_DEPTH - 1 - chain + excess, token);
                    let new = if op == "replace" { token } else { new };
                    let path = format!("/chain{}/{new}", format!("/{token}").repeat(chain - 1));
                    let document = json!({"chain": nested(chain, token), "value": value});
                    let mut document = Document::new(document).unwrap();
                    let operation = match op {
                        "copy" | "move" => json!({"op": op, "from": "/value", "path": path}),
                        _ if chain == 1 => continue,
                        _ => json!({"op": op, "path": path, "value": value}),
                    };
                    let before = json!({"op": "add", "path": "/other", "value": 1});
                    let result = apply(&mut document, &json!([before, operation]));
                    let row = format!("{op} of {value} at {path}");
                    if excess == 1 {
                        assert_eq!(result, refused(1, &path, Reason::TooDeep), "{row}");
                        continue;
                    }
                    assert_eq!(result, Ok(()), "{row}");
                    let text = document.root().to_string();
                    let read = serde_json::from_slice::<Value>(text.as_bytes()).unwrap();
                    assert_eq!(&read, document.root(), "{row}");
                }
            }
        }
    }
}

#[test]
fn what_is_at_the_depth_limit_can_be_moved_and_taken_out() {
    let root = json!({"a": nested(126, "0"), "b": nested(126, "b"), "c": [[]]});
    let mut document = Document::new(root.clone()).unwrap();
    let patch = json!([
        {"op": "move", "from": "/a", "path": "/b"},
        {"op": "copy", "from": "/b", "path": "/a"},
        {"op": "move", "from": "/b/0", "path": "/c/-"},
        {"op": "remove", "path": "/a"},
        {"op": "move", "from": "/c/1/0", "path": ""}
    ]);
    let inverse = document.apply(parse(&patch.to_string()).unwrap()).unwrap();
    assert_eq!(document.root(), &nested(124, "0"));
    document.revert(inverse);
    assert_eq!(document, Document::new(root).unwrap());
}

#[test]
fn the_weight_limit_is_exact() {
    assert!(Document::new(heavy(MAX_WEIGHT)).is_some());
    assert!(Document::new(heavy(MAX_WEIGHT + 1)).is_none());

    let table = [
        ("/b", json!({"op": "add", "path": "/b", "value": ""}), 32 + 1 + 32),
        (
            "/b~1",
            json!({"op": "add", "path": "/b~1", "value": {"c": null}}),
            32 + 2 + 32 + 32 + 1 + 32,
        ),
        ("/list/0", json!({"op": "add", "path": "/list/0", "value": "é"}), 32 + 2),
        ("/list/-", json!({"op": "add", "path": "/list/-", "value": "é"}), 32 + 2),
        ("/one", json!({"op": "add", "path": "/one", "value": [true]}), 32),
        ("/list", json!({"op": "replace", "path": "/list", "value": [1, "abc"]}), 32 + 3),
        ("/b", json!({"op": "copy", "from": "/list", "path": "/b"}), 32 + 1 + 32 + 32),
        ("/list/-", json!({"op": "copy", "from": "/list/0", "path": "/list/-"}), 32),
        ("/one", json!({"op": "copy", "from": "/list", "path": "/one"}), 32),
        // A move makes the document heavier only by a name: from an array into an object,
        ("/bcd", json!({"op": "move", "from": "/list/0", "path": "/bcd"}), 32 + 3),
        // or to a longer one.
        ("/longer", json!({"op": "move", "from": "/one", "path": "/longer"}), 3),
    ];
    const FILLED: u64 = MAX_WEIGHT - 1000;
    let mut root = json!({"heavy": "", "filler": "", "list": [0], "one": 1});
    root["heavy"] = heavy(FILLED - (weight(&root) - 32));
    let mut document = Document::new(root).unwrap();
    let before = shape(document.root());
    for (path, operation, gain) in table {
        for excess in [0, 1] {
            let bytes = usize::try_from(MAX_WEIGHT - FILLED - gain + excess).unwrap();
            // That the document ends up lighter does not help.
            let patch = json!([
                {"op": "replace", "path": "/filler", "value": " ".repeat(bytes)},
                operation,
                {"op": "remove", "path": "/heavy"}
            ]);
            let result = document.apply(parse(&patch.to_string()).unwrap());
            assert_eq!(document.weight(), weight(document.root()), "{operation}");
            if excess == 0 {
                document.revert(result.unwrap_or_else(|error| panic!("{operation}: {error}")));
            } else {
                assert_eq!(result, refused(1, path, Reason::TooHeavy), "{operation}");
            }
            assert_eq!(shape(document.root()), before, "{operation}");
            assert_eq!(document.weight(), FILLED, "{operation}");
        }
    }
}

#[test]
fn copies_of_copies_are_refused_before_they_fill_the_memory() {
    let mut document = Document::new(json!({"a": [heavy(MAX_WEIGHT / 4)]})).unwrap();
    let double = json!({"op": "copy", "from": "/a", "path": "/a/-"});
    let result = apply(&mut document, &json!([double, double, double]));
    assert_eq!(result, refused(1, "/a/-", Reason::TooHeavy));
    assert_eq!(shape(document.root()), json!({"a": [MAX_WEIGHT / 4 - 32]}));
}

/// The weights of three texts whose measures are together as great as [`MAX_EFFORT`]: seven times
/// the large one's, the middle one's, and the small one's.
const LARGE: u64 = MAX_EFFORT / 8;
const SMALL: u64 = 1000;

/// A patch that does this operation after others which leave so much of the effort, and its index.
fn after_exhausting(left: u64, operation: &Value) -> (String, usize) {
    let mut patch = vec![json!({"op": "replace", "path": "/small", "value": heavy(SMALL - left)})];
    for name in [["large"; 7].as_slice(), &["middle", "small"]].concat() {
        let [up, down] = [format!("/{name}"), format!("/deep/{name}")];
        // To move a text down is to measure it, which takes an effort of its weight and no time; to
        // move it up again takes neither.
        patch.push(json!({"op": "move", "from": up, "path": down}));
        patch.push(json!({"op": "move", "from": down, "path": up}));
    }
    patch.push(operation.clone());
    (json!(patch).to_string(), patch.len() - 1)
}

#[test]
fn the_effort_limit_is_exact() {
    let op = |op: &str, path: &str| json!({"op": op, "path": path, "value": "new"});
    let two = |op: &str, from: &str, path: &str| json!({"op": op, "from": from, "path": path});
    // The list and its three elements weigh 128 + 6.
    let list = json!(["a", "bb", "ccc"]);
    let table = [
        // What comes after the place of an element has to move, and at a removal the element too.
        (op("add", "/list/0"), 3),
        (op("add", "/list/2"), 1),
        (op("add", "/list/3"), 0),
        (op("add", "/list/-"), 0),
        (op("remove", "/list/0"), 3),
        (op("remove", "/list/2"), 1),
        // Members, and what stays where it is, cost nothing.
        (op("add", "/new"), 0),
        (op("add", "/list"), 0),
        (op("remove", "/list"), 0),
        (op("replace", "/list/0"), 0),
        (op("replace", ""), 0),
        // A copy costs its weight.
        (two("copy", "/list", "/new"), 134),
        (two("copy", "/list", "/one"), 134),
        (two("copy", "/list/2", "/list/-"), 35),
        (two("copy", "/list/2", "/list/0"), 35 + 3),
        // A move costs its weight where the value comes to lie deeper,
        (two("move", "/list", "/deep/new"), 134),
        (two("move", "/one", "/list/1"), 32 + 2),
        (two("move", "/list", "/new"), 0),
        (two("move", "/deep/list", "/new"), 0),
        (two("move", "/list/2", "/list/0"), 1 + 2),
        (two("move", "/list/0", "/list/2"), 3),
        (two("move", "/list/0", "/list/-"), 3),
        (two("move", "/list/0", "/list/0"), 0),
        // and where something was in its place, so that the inverse has a copy of it.
        (two("move", "/list", "/one"), 134),
        (two("move", "/deep/list", "/deep"), 134),
        (two("move", "/one", "/deep/list"), 32 + 32),
        (two("move", "/list/2", ""), 1 + 35),
    ];
    let mut document = Document::new(json!({
        "large": heavy(LARGE), "middle": heavy(LARGE - SMALL), "small": "", "list": list,
        "deep": {"list": list}, "one": 1
    }))
    .unwrap();
    let before = shape(document.root());
    for (operation, effort) in table {
        for left in [Some(effort), u64::checked_sub(effort, 1)].into_iter().flatten() {
            let (patch, last) = after_exhausting(left, &operation);
            let path = operation["path"].as_str().unwrap();
            let result = document.apply(parse(&patch).unwrap());
            assert_eq!(document.weight(), weight(document.root()), "{operation}");
            if left == effort {
                document.revert(result.unwrap_or_else(|error| panic!("{operation}: {error}")));
            } else {
                assert_eq!(result, refused(last, path, Reason::TooMuchEffort), "{operation}");
            }
            assert_eq!(shape(document.root()), before, "{operation}");
        }
    }
}

#[test]
fn the_effort_of_taking_a_patch_back_is_not_limited() {
    let root = json!({"deep": {"text": heavy(MAX_EFFORT / 2 + 1)}});
    let mut document = Document::new(root).unwrap();
    let before = shape(document.root());
    let up = json!({"op": "move", "from": "/deep/text", "path": "/text"});
    let down = json!({"op": "move", "from": "/text", "path": "/deep/text"});
    // Only to move the text down is an effort: once on the way there, but twice on the way back.
    let patch = json!([up, down, up]).to_string();
    let inverse = document.apply(parse(&patch).unwrap()).unwrap();
    let error = document.apply(inverse.clone()).unwrap_err();
    assert_eq!((error.operation, error.reason), (Some(2), Reason::TooMuchEffort));
    document.revert(inverse);
    assert_eq!(shape(document.root()), before);
    assert_eq!(document.weight(), weight(document.root()));
}

#[test]
fn a_move_that_fails_is_taken_back_where_no_effort_is_left() {
    let mut document = Document::new(json!({
        "large": heavy(LARGE), "middle": heavy(LARGE - SMALL), "small": "", "list": [[1], 2, 3],
        "deep": {}
    }))
    .unwrap();
    let before = shape(document.root());
    // The removal takes all that is left, and only the place to add the value turns out to be wrong.
    let table = [
        ("/list/0", "/x/y", 3, Reason::NoMember("x".into())),
        ("/list/0", "/list/3", 3, Reason::NoElement { index: "3".into(), length: 2 }),
        ("/list/1", "/list/0", 2, Reason::TooMuchEffort),
        ("/list/0", "/small", 3, Reason::TooMuchEffort),
    ];
    for (from, path, left, reason) in table {
        let operation = json!({"op": "move", "from": from, "path": path});
        let (patch, last) = after_exhausting(left, &operation);
        let result = document.apply(parse(&patch).unwrap());
        assert_eq!(result, refused(last, path, reason), "{operation}");
        assert_eq!(shape(document.root()), before, "{operation}");
        assert_eq!(document.weight(), weight(document.root()), "{operation}");
    }
}
