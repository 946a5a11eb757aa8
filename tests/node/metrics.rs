//! `/metrics`: what is measured, and that docs/operations.md tells of each metric.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;

use crate::harness::{Node, Port, node, wait_for};

/// The value of a series that has one.
#[track_caller]
fn value(node: &Node, series: &str) -> f64 {
    let metrics = node.get("/metrics");
    let line = metrics.text().lines().find_map(|line| line.strip_prefix(&format!("{series} ")));
    line.unwrap_or_else(|| panic!("{series}: {}", metrics.text())).parse().unwrap()
}

#[test]
fn requests_syncs_and_delays_are_measured() {
    let data = Path::new(env!("CARGO_TARGET_TMPDIR")).join("measured");
    std::fs::remove_dir_all(&data).ok();
    let port = Port::reserve();
    let writer = node().at(&port).argument("--data").argument(data.display()).start();
    let reader = node().peer(port.address).start();
    // A stream of events has no end, and so no duration.
    let mut events = TcpStream::connect(reader.address).unwrap();
    let host = reader.address;
    write!(events, "GET /get HTTP/1.1\r\nHost: {host}\r\nAccept: text/event-stream\r\n\r\n")
        .unwrap();
    assert_ne!(events.read(&mut [0]).unwrap(), 0);
    let requests =
        |kind: &str| format!("patchmesh_http_request_duration_seconds_count{{kind=\"{kind}\"}}");
    assert_eq!(value(&reader, &requests("read")), 0.0);
    let syncs = "patchmesh_journal_sync_duration_seconds_count";
    let before = value(&writer, syncs);
    for number in 0..3 {
        writer.post_patch(&format!(r#"[{{"op":"add","path":"/{number}","value":1}}]"#));
    }
    assert_eq!(value(&writer, &requests("write")), 3.0);
    assert_eq!(value(&writer, syncs) - before, 3.0);
    assert!(value(&writer, "patchmesh_turn_duration_seconds_sum") > 0.0);
    assert_eq!(value(&writer, "patchmesh_replication_delay_seconds_count"), 0.0);
    let delays = "patchmesh_replication_delay_seconds_count";
    wait_for("the writes", || (value(&reader, delays) == 3.0).then_some(()));
    assert!(!reader.get("/metrics").text().contains("journal_sync_duration_seconds_count"));
    reader.get("/get");
    reader.get("/get?wait=1s");
    reader.get("/log");
    for kind in ["read", "wait", "past"] {
        assert_eq!(value(&reader, &requests(kind)), 1.0, "{kind}");
    }
    assert!(value(&reader, &requests("other")) > 0.0);
}

/// The words of a text that begin as our metrics do, as far as they are names.
fn metrics_in(text: &str) -> BTreeSet<String> {
    let is_name = |character: char| character.is_ascii_lowercase() || character == '_';
    let words = text.split(|character| !is_name(character));
    let words =
        words.filter(|word| ["patchmesh_", "process_"].iter().any(|begin| word.starts_with(begin)));
    words
        .map(|word| {
            let parts = ["_bucket", "_sum", "_count"];
            parts.iter().find_map(|part| word.strip_suffix(part)).unwrap_or(word).to_owned()
        })
        .collect()
}

#[test]
fn every_metric_is_documented_and_every_documented_one_is_there() {
    let node = node().peer("127.0.0.1:9").start();
    let metrics = node.get("/metrics");
    let types = metrics.text().lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let there: BTreeSet<_> =
        types.filter_map(|line| line.split(' ').next()).map(str::to_owned).collect();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &str| metrics_in(&std::fs::read_to_string(root.join(path)).unwrap());
    let documented = read("docs/operations.md");
    assert_eq!(
        there.difference(&documented).collect::<Vec<_>>(),
        Vec::<&String>::new(),
        "not documented"
    );
    for path in ["docs/operations.md", "README.md", "docs/architecture.md", "contrib/grafana.json"]
    {
        let named = read(path);
        assert_eq!(named.difference(&there).collect::<Vec<_>>(), Vec::<&String>::new(), "{path}");
    }
    assert!(there.len() > 40, "{there:?}");
}
