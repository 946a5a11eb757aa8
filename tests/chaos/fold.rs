//! The document by its definition: `{}` with all patches in the order of (`Time`, `Source`, `Id`),
//! those left out that do not apply.

use patchmesh::internals::patch::{Document, parse};
use serde_json::{Value, json};

/// What follows from a journal's lines, in whatever order they are.
pub struct Fold {
    /// The document's text.
    pub document: String,
    /// What `/conflicts` has to list, without the time since when.
    pub skipped: Vec<Value>,
    /// All transactions in their order.
    pub history: Vec<Value>,
}

impl Fold {
    pub fn of(lines: &[String]) -> Self {
        let mut history: Vec<Value> =
            lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
        history.sort_by_key(|transaction| {
            let number = |name: &str| transaction[name].as_u64().unwrap();
            (number("Time"), transaction["Source"].as_str().unwrap().to_owned(), number("Id"))
        });
        let mut document = Document::default();
        let mut skipped = Vec::new();
        for transaction in &history {
            let patch = parse(transaction["Payload"].as_str().unwrap());
            if let Err(error) = patch.and_then(|patch| document.apply(patch)) {
                skipped.push(json!({
                    "Source": transaction["Source"],
                    "Id": transaction["Id"],
                    "Time": transaction["Time"],
                    "operation": error.operation,
                    "path": error.path,
                    "kind": "skipped",
                    "committed": false,
                    "reason": error.reason.to_string(),
                }));
            }
        }
        Self { document: serde_json::to_string(document.root()).unwrap(), skipped, history }
    }
}
