//! Documents of some size, for the benchmarks that apply patches to them.

use serde_json::{Map, Value, json};

/// Records by their key, whose text is this long.
pub fn records(bytes: usize) -> Map<String, Value> {
    let mut records = Map::new();
    let mut length = 0;
    while length < bytes {
        let (key, record) = (key(records.len()), record(records.len()));
        length += key.len() + record.to_string().len();
        records.insert(key, record);
    }
    records
}

/// The key of the record of this number.
pub fn key(number: usize) -> String {
    format!("record-{number:06}")
}

fn record(number: usize) -> Value {
    json!({
        "name": format!("Name of record {number}"),
        "version": 1,
        "score": number as f64 / 8.0,
        "tags": ["first", "second"],
        "note": "As much text as a record of this kind usually has, or somewhat more than that."
    })
}
