//! A clock that was ahead: nothing is created that no peer takes.

use std::fs::File;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use patchmesh::internals::clock::Time;
use patchmesh::internals::journal::{Directory, Header, Storage, push_batch};
use patchmesh::internals::transaction::Transaction;
use serde_json::json;

use crate::client::{document, get, length, request};
use crate::harness::Scratch;
use crate::process::Process;

const HOUR_MICROS: u64 = 3_600_000_000;
const SET: &str = r#"[{"op":"add","path":"/a","value":1}]"#;

/// Makes a data directory that a node has written to whose clock was so far ahead of what it is now.
fn write_ahead(data: &Path, micros: u64) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros() as u64;
    let source = "me~00000000".parse().unwrap();
    let transaction =
        Transaction { time: Time::from_micros(now + micros), ..Transaction::fresh(source, 1, SET) };
    let directory = Directory::open(data, true).unwrap();
    let fill = |storage: &File| {
        let mut text = Vec::new();
        let line = transaction.encode();
        push_batch(&mut text, [line.as_str()].into_iter(), 1);
        storage.write_at(&text, storage.length().unwrap()).unwrap();
        Ok(())
    };
    directory.create_journal(&Header::new(transaction.source.clone()), fill).unwrap();
}

#[test]
fn while_the_clock_is_far_ahead_nothing_is_created_and_everybody_is_told() {
    for (ahead, taken) in [(HOUR_MICROS * 3 / 4, true), (8 * HOUR_MICROS, false)] {
        let scratch = Scratch::new();
        let data = scratch.path("data");
        write_ahead(&data, ahead);
        let (_node, node) = Process::node(&scratch, "127.0.0.1:0", &data, &[]);
        assert_eq!(document(node).0.trim_end(), r#"{"a":1}"#);
        let answer = request(node, "POST", "/replace", SET);
        let health = request(node, "GET", "/healthz", "");
        if taken {
            assert_eq!((answer.status, health.status), (200, 200));
            continue;
        }
        assert_eq!(answer.status, 503, "{}", answer.text());
        let problem = answer.json();
        assert_eq!(problem["type"], "/problems/clock-ahead");
        let seconds = problem["seconds"].as_u64().unwrap();
        assert!((7 * 3600 - 60..=7 * 3600).contains(&seconds), "{problem}");
        assert_eq!(answer.header("Retry-After"), Some(&*seconds.to_string()));
        assert_eq!(health.status, 503);
        assert_eq!(health.json()["troubles"][0]["kind"], json!("clock-ahead"));
        let metrics = get(node, "/metrics");
        let line = metrics
            .text()
            .lines()
            .find_map(|line| line.strip_prefix("patchmesh_clock_ahead_seconds "));
        assert!(line.unwrap().parse::<u64>().unwrap() > 7 * 3600);
        assert_eq!(length(node), 1);
    }
}
