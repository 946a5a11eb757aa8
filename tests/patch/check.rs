//! What has to hold of every patch.

use patchmesh::internals::patch::{Document, parse};
use serde_json::{Value, json};

/// Applies a patch, from which is expected either this document or that the operation at this index
/// does not apply.
pub fn check(document: &mut Document, patch: &[Value], expected: Result<Value, usize>) {
    let text = json!(patch).to_string();
    let parsed = parse(&text).unwrap();
    let before = document.clone();
    let before_text = before.root().to_string();
    let is_before = |document: &Document| is(document, &before, &before_text);

    let result = document.apply(parsed.clone());
    let after = match expected {
        Ok(root) => Document::new(root).unwrap(),
        Err(index) => {
            let error = result.expect_err(&format!("{before_text} with {text}"));
            assert_eq!(error.operation, Some(index), "{before_text} with {text}: {error}");
            assert_eq!(error.path.as_deref(), patch[index]["path"].as_str(), "{text}: {error}");
            assert!(is_before(document), "{before_text} with {text} is now {document:?}");
            return;
        }
    };
    let after_text = after.root().to_string();
    let is_after = |document: &Document| is(document, &after, &after_text);
    let inverse = result.unwrap_or_else(|error| panic!("{before_text} with {text}: {error}"));
    assert!(is_after(document), "{before_text} with {text} is not {after:?} but {document:?}");

    let inverse_text = serde_json::to_string(&inverse).unwrap();
    document.revert(inverse);
    assert!(is_before(document), "{before_text} with {text} and {inverse_text} is {document:?}");

    // The inverse is a JSON Patch like any other, and has an inverse of its own.
    document.apply(parsed).unwrap();
    let inverse = parse(&inverse_text).unwrap();
    let inverse = document
        .apply(inverse)
        .unwrap_or_else(|error| panic!("{after_text} with {inverse_text}: {error}"));
    assert!(is_before(document), "{after_text} with {inverse_text} is {document:?}");
    document.revert(inverse);
    assert!(is_after(document), "{after_text} with {inverse_text} taken back is {document:?}");
}

/// Text tells 0 from -0.0, which are equal; and the comparison tells the weights.
fn is(document: &Document, expected: &Document, text: &str) -> bool {
    let found = document.root().to_string();
    found == text && document == expected
}
