//! A transaction that can be read is written as one that reads as the same, and so is a record.
//!
//! The input is the text.

#![no_main]

use libfuzzer_sys::fuzz_target;
use patchmesh::internals::mesh::websocket::Note;
use patchmesh::internals::source::Source;
use patchmesh::internals::transaction::{MAX_ENCODED_BYTES, Record, Transaction};
use serde_json::Value;

fuzz_target!(|text: &[u8]| {
    if let Some(Ok(note)) = Note::decode(text) {
        assert_eq!(Note::decode(note.encode().as_bytes()), Some(Ok(note)));
    }
    if let Ok(text) = std::str::from_utf8(text)
        && let Ok(source) = text.parse::<Source>()
    {
        let json = serde_json::to_string(&source).expect("a string has a text");
        assert_eq!(serde_json::from_str::<Source>(&json).ok(), Some(source));
    }
    let Ok(transaction) = Transaction::decode(text) else { return };
    let encoding = transaction.encode();
    assert!(encoding.len() <= MAX_ENCODED_BYTES);
    assert_eq!(Transaction::decode(encoding.as_bytes()), Ok(transaction.clone()));
    is_json_of(&encoding, &transaction);

    // A member that is ignored may have anything, but a journal's line is text.
    let Ok(text) = std::str::from_utf8(text) else { return };
    let read = Record::read(text).expect("it is a transaction");
    assert_eq!(read.is_some(), transaction.time.is_some());
    let Some(read) = read else { return };
    assert_eq!(read.transaction(), Ok(transaction.clone()));
    assert_eq!(Some(&read.place), transaction.place().as_ref());
    let name = transaction.name();
    assert_eq!(read.name(), (&name.source, name.id));
    let named = transaction.by.is_some().then_some(name);
    let made = match transaction.commit.as_deref() {
        Some(commit) => Record::commit(read.place.clone(), commit),
        None => {
            let request = transaction.request.as_deref();
            Record::of(read.place.clone(), named, &transaction.payload, request)
        }
    };
    assert_eq!(*made.line, encoding);
    assert_eq!(Record::read(&encoding), Ok(Some(made)));
});

/// Others read the encoding as this node does.
fn is_json_of(encoding: &str, transaction: &Transaction) {
    let json: Value = serde_json::from_str(encoding).expect("it is JSON");
    let Transaction { source, id, payload, time, by, request, commit } = transaction;
    assert_eq!(json["Source"], source.as_str());
    assert_eq!(json["Id"], *id);
    assert_eq!(json["Payload"], **payload);
    assert_eq!(json["Time"].as_u64(), time.map(|time| time.as_micros()));
    assert_eq!(json["Request"].as_str(), request.as_deref());
    let by = by.as_ref().map(|by| serde_json::json!([by.source.as_str(), by.id]));
    assert_eq!(json.get("By"), by.as_ref());
    let commit = commit.as_deref().map(|commit| serde_json::json!(commit));
    assert_eq!(json.get("Commit"), commit.as_ref());
}
