//! Requests a second: writes in memory and durable ones, reads, and what they are compared to.

use std::net::SocketAddr;
use std::path::Path;

use crate::Size;
use crate::client::Client;
use crate::contest::{Contender, contest};
use crate::journal::payload;
use crate::load::{self, Target};
use crate::process::Process;
use crate::protocol::{Protocol, http_request, http_request_with, nats_request, redis_request};

/// How many members the document has that is written to: it has about 1 KB.
pub const MEMBERS: usize = 10;

const CONNECTIONS: [usize; 3] = [1, 16, 64];
const DURABLE_CONNECTIONS: [usize; 4] = [1, 16, 64, 256];

/// `POST /replace` in memory, beside a server that does nothing but to read and to answer, and one that applies the
/// patches besides.
pub fn post(size: Size) {
    let node = Process::node(&[], None);
    let [nothing, applying] = ["serve-hyper", "serve-hyper-applying"].map(Process::role);
    let other = |name, server: &Process| Contender {
        name,
        target: writes(server.address),
        process: server.id(),
    };
    let contenders = [
        patchmesh(&node, writes(node.address)),
        other("hyper, doing nothing", &nothing),
        other("hyper, which only applies", &applying),
    ];
    contest("POST /replace, in memory", &contenders, &CONNECTIONS, size);
    own_ceiling(size);
}

/// `GET /get` of a document that does not change.
pub fn get(size: Size) {
    let node = Process::node(&[], None);
    let mut client = Client::new(node.address);
    for number in 0..MEMBERS {
        client.ask("POST", "/replace", &payload(number as u64));
    }
    contest("GET /get of 1 KB", &[patchmesh(&node, reads(node.address))], &CONNECTIONS, size);
}

/// `POST /replace` with a data directory.
pub fn durable(size: Size, data: &Path) {
    let node = Process::node(&[], Some(&data.join("durable")));
    let contenders = [patchmesh(&node, writes(node.address))];
    contest("POST /replace, durable", &contenders, &DURABLE_CONNECTIONS, size);
}

/// The same work of a node and of another product's server, which listens on `address`.
pub fn against(product: &str, address: SocketAddr, process: u32, size: Size, data: &Path) {
    let other = |target| Contender { name: product, target, process };
    if product == "nginx" {
        let node = Process::node(&[], None);
        // The file's bytes are the document's.
        let document = Client::new(address).ask("GET", "/get", "");
        let patch = format!(r#"[{{"op":"add","path":"","value":{document}}}]"#);
        let mut client = Client::new(node.address);
        client.ask("POST", "/replace", &patch);
        assert_eq!(client.ask("GET", "/get", ""), document, "the file is as a node writes JSON");
        let contenders = [patchmesh(&node, reads(node.address)), other(reads(address))];
        return contest("GET /get of 1 KB", &contenders, &CONNECTIONS, size);
    }
    let node = Process::node(&[], Some(&data.join(product)));
    // Redis answers that it was done, and no more.
    let own = if product == "redis" { minimal_writes } else { writes };
    let contenders = [patchmesh(&node, own(node.address)), other(puts(product, address))];
    contest("a durable write", &contenders, &DURABLE_CONNECTIONS, size);
}

/// What the load itself could do: asking a server that costs nothing.
fn own_ceiling(size: Size) {
    let nothing = Process::role("serve-nothing");
    let figures = load::run(&writes(nothing.address), 64, size.round).expect("it answers");
    let each = figures.own.as_secs_f64() / figures.answers as f64;
    println!(
        "\nThe load needs {:.1} µs of one processor a request, so it could ask for {:.0} a second.",
        each * 1e6,
        1.0 / each
    );
}

/// Writes to a node, or to a server that answers like one.
pub fn writes(address: SocketAddr) -> Target {
    let request = |number| http_request("POST", "/replace", &payload(number as u64));
    Target { address, protocol: Protocol::Http, requests: (0..MEMBERS).map(request).collect() }
}

/// The same by a client that wants no more than the name of what it wrote.
fn minimal_writes(address: SocketAddr) -> Target {
    let prefer = "Prefer: return=minimal\r\n";
    let request = |number| http_request_with(prefer, "POST", "/replace", &payload(number as u64));
    Target { address, protocol: Protocol::Http, requests: (0..MEMBERS).map(request).collect() }
}

fn reads(address: SocketAddr) -> Target {
    let requests = vec![http_request("GET", "/get", "")];
    Target { address, protocol: Protocol::Http, requests }
}

/// A node as a contender.
fn patchmesh(node: &Process, target: Target) -> Contender<'static> {
    Contender { name: "patchmesh", target, process: node.id() }
}

/// Writes of the same bytes to another product's server.
fn puts(product: &str, address: SocketAddr) -> Target {
    let (protocol, put): (_, fn(usize) -> Vec<u8>) = match product {
        "redis" => (Protocol::Redis, |number| {
            redis_request(&["SET", &format!("member{number}"), &payload(number as u64)])
        }),
        "etcd" => (Protocol::Http, |number| {
            let [key, value] = [format!("member{number}"), payload(number as u64).into_string()]
                .map(|text| base64(text.as_bytes()));
            let body = format!(r#"{{"key":"{key}","value":"{value}"}}"#);
            http_request("POST", "/v3/kv/put", &body)
        }),
        "nats" => (Protocol::Nats, |number| {
            nats_request(&format!("bench.member{number}"), number, &payload(number as u64))
        }),
        other => panic!("{other:?} is none of redis, etcd, nats and nginx"),
    };
    if protocol == Protocol::Nats {
        make_stream(address);
    }
    Target { address, protocol, requests: (0..MEMBERS).map(put).collect() }
}

/// Has NATS keep what is sent to `bench.*` in a file.
fn make_stream(address: SocketAddr) {
    let stream = r#"{"name":"bench","subjects":["bench.*"],"storage":"file"}"#;
    let requests = vec![nats_request("$JS.API.STREAM.CREATE.bench", 0, stream)];
    let target = Target { address, protocol: Protocol::Nats, requests };
    load::run(&target, 1, std::time::Duration::ZERO).expect("it makes a stream");
}

/// RFC 4648 section 4.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let bits = chunk.iter().fold(0, |bits: u32, byte| bits << 8 | u32::from(*byte));
        let bits = bits << (8 * (3 - chunk.len()));
        for digit in 0..4 {
            let value = bits >> (18 - 6 * digit) & 63;
            text.push(if digit <= chunk.len() { DIGITS[value as usize].into() } else { '=' });
        }
    }
    text
}
