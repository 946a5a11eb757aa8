//! What a write costs the server for each of many readers of other parts of the document.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::{Map, json};

use super::INTERVALS;
use super::server::{Kind, Server};
use crate::Size;
use crate::client::Client;
use crate::process::Process;
use crate::usage::Usage;

/// Event streams of parts that do not change, while another part does.
pub fn parts(size: Size) {
    println!("\n| event streams of other parts | a write each | CPU a write | for each stream |");
    println!("| ---: | ---: | ---: | ---: |");
    for interval in INTERVALS {
        let mut alone = None;
        for count in [&[1], size.parts].concat() {
            let most = (count + 100).to_string();
            let node = Process::node_with(&[], None, &["--max-connections", &most]);
            let server = Server { kind: Kind::Events, address: node.address, process: node.id() };
            let _readers = readers(node.address, count);
            let each = round(&server, interval, size.round * 4);
            let alone = *alone.get_or_insert(each);
            println!(
                "| {count} | {} ms | {each:.1} µs | {:.3} µs |",
                interval.as_millis(),
                (each - alone).max(0.0) / count as f64,
            );
        }
    }
}

/// So many connections, on each of which another part is read.
fn readers(address: SocketAddr, count: usize) -> Vec<TcpStream> {
    let values: Map<_, _> =
        (0..count).map(|part| (part.to_string(), json!({"on": true}))).collect();
    let patch = json!([{"op": "add", "path": "/parts", "value": values}]).to_string();
    Client::new(address).ask("POST", "/replace", &patch);
    let reader = |part| {
        let mut stream = TcpStream::connect(address).expect("it listens");
        let request = format!(
            "GET /get/parts/{part} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).expect("it reads");
        let mut heard = String::new();
        while !heard.contains("event: put") || !heard.ends_with("\n\n\r\n") {
            let mut some = [0; 4096];
            let length = stream.read(&mut some).expect("it answers");
            assert_ne!(length, 0, "{heard}");
            heard.push_str(&String::from_utf8_lossy(&some[..length]));
        }
        stream
    };
    (0..count).map(reader).collect()
}

/// The server's processor time for each write, in microseconds.
fn round(server: &Server, interval: Duration, time: Duration) -> f64 {
    let mut writer = server.writer();
    writer.write();
    let before = Usage::of(server.process);
    let writes = writer.write_for(interval, time);
    // What is woken by the last one is over then, too.
    std::thread::sleep(INTERVALS[1] * 2);
    Usage::of(server.process).since(before).as_secs_f64() * 1e6 / f64::from(writes)
}
