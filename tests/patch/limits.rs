//! No patch makes the document deeper or heavier than the protocol's limits, nor the node work
//! without bound; up to the limits everything applies. Every node refuses at the same place.

use patchmesh::internals::document::{Value, ValueKind};
use patchmesh::internals::patch::{
    Document, MAX_COPIED, MAX_DEPTH, MAX_WEIGHT, PatchError, Reason, parse,
};
use serde_json::json;

/// Applies a patch and keeps what it did; or checks that it did nothing.
fn apply(document: &mut Document, patch: &serde_json::Value) -> Result<(), PatchError> {
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
fn shape(value: &Value) -> serde_json::Value {
    match value.kind() {
        ValueKind::String => match value.as_str().unwrap() {
            text if text.len() > 1000 => text.len().into(),
            text => text.into(),
        },
        ValueKind::Array => value.elements().map(shape).collect(),
        ValueKind::Object => {
            value.members().map(|(name, value)| (name.to_owned(), shape(value))).collect()
        }
        _ => serde_json::to_value(value).unwrap(),
    }
}

/// The weight as the protocol defines it.
fn weight(value: &Value) -> u64 {
    16 + match value.kind() {
        ValueKind::String => long(value.as_str().unwrap()),
        ValueKind::Array => 24 + value.elements().map(weight).sum::<u64>(),
        ValueKind::Object => {
            let members = value.members().map(|(name, value)| 16 + long(name) + weight(value));
            24 + members.sum::<u64>()
        }
        _ => 0,
    }
}

/// What a name or a text weighs besides.
fn long(text: &str) -> u64 {
    if text.len() > 14 { 16 + text.len() as u64 } else { 0 }
}

/// A text of this weight.
fn heavy(weight: u64) -> String {
    "\0".repeat(usize::try_from(weight).unwrap() - 32)
}

/// A value in this many containers, all of them arrays or all of them objects.
fn nested(depth: usize, token: &str) -> serde_json::Value {
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
        assert_eq!(serde_json::from_slice::<serde_json::Value>(text.as_bytes()).unwrap(), deepest);
        assert!(Document::new(deepest).is_some());

        let deeper = nested(MAX_DEPTH + 1, token);
        assert!(
            serde_json::from_slice::<serde_json::Value>(deeper.to_string().as_bytes()).is_err()
        );
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
                    let read =
                        serde_json::from_slice::<serde_json::Value>(text.as_bytes()).unwrap();
                    assert_eq!(Value::from(read), *document.root(), "{row}");
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
    assert_eq!(*document.root(), nested(124, "0").into());
    document.revert(inverse);
    assert_eq!(document, Document::new(root).unwrap());
}

#[test]
fn the_weight_limit_is_exact() {
    assert!(Document::new(heavy(MAX_WEIGHT).as_str()).is_some());
    assert!(Document::new(heavy(MAX_WEIGHT + 1).as_str()).is_none());

    let table = [
        ("/b", json!({"op": "add", "path": "/b", "value": ""}), 16 + 16),
        (
            "/b~1",
            json!({"op": "add", "path": "/b~1", "value": {"c": null}}),
            16 + (16 + 24) + 16 + 16,
        ),
        ("/list/0", json!({"op": "add", "path": "/list/0", "value": "é"}), 16),
        ("/list/-", json!({"op": "add", "path": "/list/-", "value": "14 bytes: 0123"}), 16),
        ("/list/-", json!({"op": "add", "path": "/list/-", "value": "15 bytes: 01234"}), 16 + 31),
        ("/one", json!({"op": "add", "path": "/one", "value": [true]}), 24 + 16),
        ("/list", json!({"op": "replace", "path": "/list", "value": [1, "abc"]}), 16),
        ("/b", json!({"op": "copy", "from": "/list", "path": "/b"}), 16 + 16 + 24 + 16),
        ("/list/-", json!({"op": "copy", "from": "/list/0", "path": "/list/-"}), 16),
        ("/one", json!({"op": "copy", "from": "/list", "path": "/one"}), 24 + 16),
        // A move makes the document heavier only by a name: from an array into an object,
        ("/bcd", json!({"op": "move", "from": "/list/0", "path": "/bcd"}), 16),
        // or to a longer one.
        (
            "/longer than before",
            json!({"op": "move", "from": "/one", "path": "/longer than before"}),
            16 + 18,
        ),
    ];
    // Not in place, as the filler.
    const FILLED: u64 = MAX_WEIGHT - 1000;
    let root = json!({"heavy": heavy(1000), "filler": heavy(50), "list": [0], "one": 1});
    let more = FILLED - weight(&root.clone().into());
    let mut root: serde_json::Value = root;
    root["heavy"] = heavy(1000 + more).into();
    let mut document = Document::new(root).unwrap();
    let before = document.clone();
    for (path, operation, gain) in table {
        for excess in [0, 1] {
            // That the document ends up lighter does not help.
            let patch = json!([
                {"op": "replace", "path": "/filler", "value": heavy(50 + 1000 - gain + excess)},
                operation,
                {"op": "remove", "path": "/heavy"}
            ]);
            let result = document.apply(parse(&patch.to_string()).unwrap());
            if excess == 0 {
                assert_eq!(document.weight(), weight(document.root()), "{operation}");
                document.revert(result.unwrap_or_else(|error| panic!("{operation}: {error}")));
            } else {
                assert_eq!(result, refused(1, path, Reason::TooHeavy), "{operation}");
            }
            assert_eq!(document, before, "{operation}");
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

#[test]
fn what_a_patch_copies_is_limited_exactly() {
    let part = MAX_COPIED / 4;
    let root = json!({"part": heavy(part), "rest": heavy(part - 1000), "last": heavy(1000)});
    let mut document = Document::new(root).unwrap();
    let before = document.clone();
    let copy = |from: &str| {
        [
            json!({"op": "copy", "from": from, "path": "/copy"}),
            json!({"op": "remove", "path": "/copy"}),
        ]
    };
    // A copy counts, whatever becomes of it; a move does not.
    let away = json!({"op": "move", "from": "/part", "path": "/away"});
    let back = json!({"op": "move", "from": "/away", "path": "/part"});
    let most = [copy("/part"), copy("/part"), copy("/part"), copy("/rest"), copy("/last")];
    let most = [most.concat(), vec![away, back]].concat();
    let apply = |document: &mut Document, patch: &[serde_json::Value]| {
        document.apply(parse(&json!(patch).to_string()).unwrap())
    };
    let inverse = apply(&mut document, &most).unwrap();
    document.revert(inverse);
    assert_eq!(document, before);
    let mut more = most;
    more.push(json!({"op": "add", "path": "/one", "value": 1}));
    more.extend(copy("/one"));
    let result = apply(&mut document, &more);
    assert_eq!(result, refused(more.len() - 2, "/copy", Reason::TooMuchCopied));
    assert_eq!(document, before);
}

#[test]
fn taking_a_patch_back_is_not_limited() {
    let mut document = Document::new(json!({"text": heavy(MAX_COPIED / 2 + 1)})).unwrap();
    let before = shape(document.root());
    let copy = json!({"op": "copy", "from": "/text", "path": "/copy"});
    let inverse = document.apply(parse(&json!([copy]).to_string()).unwrap());
    assert_eq!(inverse, refused(0, "/copy", Reason::TooHeavy));
    let replace = json!({"op": "replace", "path": "/text", "value": heavy(MAX_WEIGHT / 1024)});
    let inverse = document.apply(parse(&json!([replace]).to_string()).unwrap()).unwrap();
    document.revert(inverse);
    assert_eq!(shape(document.root()), before);
    assert_eq!(document.weight(), weight(document.root()));
}

/// What took gigabytes and seconds if copies were made.
#[test]
fn copies_cost_next_to_nothing() {
    let mut document = Document::new(json!({"a": [1]})).unwrap();
    let double = json!({"op": "copy", "from": "/a", "path": "/a/-"});
    let patch = json!(vec![double; 25]).to_string();
    for _ in 0..1000 {
        let error = document.apply(parse(&patch).unwrap()).unwrap_err();
        assert!(matches!(error.reason, Reason::TooHeavy | Reason::TooMuchCopied), "{error}");
    }
    assert_eq!(document, Document::new(json!({"a": [1]})).unwrap());
    let mut document = Document::new(json!({"a": vec![0; 300_000], "b": []})).unwrap();
    let copy = json!({"op": "copy", "from": "/a", "path": "/b/-"});
    let patch = json!(vec![copy; 100]).to_string();
    for _ in 0..10 {
        let inverse = document.apply(parse(&patch).unwrap()).unwrap();
        assert!(document.weight() > 100 * 300_000 * 16);
        document.revert(inverse);
    }
}
