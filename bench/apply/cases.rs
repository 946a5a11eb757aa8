//! A document of some size, and transactions of several kinds that apply to it.

use serde_json::{Value, json};

use crate::records::{key, records};

pub const KB: usize = 1000;
pub const SIZES: [(&str, usize); 3] = [("1 KB", KB), ("1 MB", KB * KB), ("100 MB", 100 * KB * KB)];

/// As many transactions at most are applied before they are taken back.
const BATCH: usize = 512;

/// A kind of transactions: its name, and the patch that concerns the record of this key and number.
pub struct Kind {
    pub name: &'static str,
    patch: fn(&str, usize) -> Value,
}

pub const KINDS: [Kind; 5] = [
    Kind {
        name: "replace by key",
        patch: |key, number| {
            json!([{
                "op": "replace", "path": format!("/records/{key}/name"),
                "value": format!("New name of record {number}")
            }])
        },
    },
    Kind {
        name: "append to an array",
        patch: |_, number| json!([{"op": "add", "path": "/log/-", "value": entry(number)}]),
    },
    Kind {
        name: "five operations",
        patch: |key, number| {
            json!([
                {"op": "test", "path": format!("/records/{key}/version"), "value": 1},
                {"op": "replace", "path": format!("/records/{key}/version"), "value": 2},
                {"op": "add", "path": format!("/records/{key}/tags/-"), "value": "third"},
                {"op": "remove", "path": format!("/records/{key}/note")},
                {"op": "add", "path": "/log/-", "value": entry(number)}
            ])
        },
    },
    Kind {
        name: "replace, then a failing test",
        patch: |key, number| {
            json!([
                {
                    "op": "replace", "path": format!("/records/{key}/name"),
                    "value": format!("New name of record {number}")
                },
                {"op": "test", "path": format!("/records/{key}/version"), "value": 7}
            ])
        },
    },
    Kind {
        name: "move",
        patch: |key, _| {
            json!([{
                "op": "move", "from": format!("/records/{key}"), "path": format!("/archive/{key}")
            }])
        },
    },
];

impl Kind {
    /// Payloads of which each applies to a document of so many records as it is, and all of them one
    /// after the other; or none does.
    pub fn payloads(&self, records: usize) -> Vec<String> {
        let batch = BATCH.min(records);
        let stride = records / batch;
        (0..batch)
            .map(|index| (self.patch)(&key(index * stride), index * stride).to_string())
            .collect()
    }
}

/// A document whose text is this long: records by their key, and a log; and how many records.
pub fn document(bytes: usize) -> (Value, usize) {
    let records = records(bytes);
    let log: Vec<_> = (0..10).map(entry).collect();
    let count = records.len();
    (json!({"records": records, "archive": {}, "log": log}), count)
}

fn entry(number: usize) -> Value {
    json!({"at": 1_763_888_400_123_456_u64 + number as u64, "text": format!("entry {number}")})
}
