//! Live reads: whoever applies the events has the document that the node has.

mod live;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use live::{Node, Peer, add};
use serde_json::{Value, json};

/// Reads events from a stream whose header was read.
struct Events {
    stream: BufReader<TcpStream>,
    is_chunked: bool,
    text: String,
    /// How many comments came.
    comments: usize,
    /// What the events say the document is.
    document: Value,
}

#[derive(Debug)]
struct Event {
    kind: String,
    id: String,
    data: Value,
}

impl Events {
    fn begin(node: &Node, target: &str, headers: &str) -> Self {
        let headers = format!("Accept: text/event-stream\r\n{headers}");
        Self::of(node.send("GET", target, &headers, ""))
    }

    fn of(stream: TcpStream) -> Self {
        let mut stream = BufReader::new(stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert_ne!(stream.read_line(&mut head).expect("a header"), 0);
        }
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        assert!(head.contains("\r\nContent-Type: text/event-stream\r\n"), "{head}");
        let is_chunked = head.contains("\r\nTransfer-Encoding: chunked\r\n");
        Self { stream, is_chunked, text: String::new(), comments: 0, document: Value::Null }
    }

    /// Reads one part; says whether there was one.
    fn read(&mut self) -> bool {
        if !self.is_chunked {
            return self.stream.read_line(&mut self.text).expect("text or the end") > 0;
        }
        let mut size = String::new();
        self.stream.read_line(&mut size).expect("a chunk");
        let size = usize::from_str_radix(size.trim_end(), 16).expect("a chunk's size");
        let mut chunk = vec![0; size + 2];
        self.stream.read_exact(&mut chunk).expect("a whole chunk");
        assert!(chunk.ends_with(b"\r\n"));
        chunk.truncate(size);
        self.text.push_str(std::str::from_utf8(&chunk).expect("each part is text"));
        size > 0
    }

    /// The next event; none at the end. The document is what it leads to.
    fn next(&mut self) -> Option<Event> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let field = |name| {
                    let mut values = block.lines().filter_map(|line: &str| line.strip_prefix(name));
                    values.next().map(str::to_owned)
                };
                self.comments += usize::from(block.starts_with(':'));
                let event = field("event: ").zip(field("data: "));
                let id = field("id: ").unwrap_or_default();
                self.text = rest.to_owned();
                let Some((kind, data)) = event else { continue };
                let data: Value = serde_json::from_str(&data).expect("data is JSON");
                match kind.as_str() {
                    "put" => self.document = data.clone(),
                    "patch" => {
                        let patch: json_patch::Patch =
                            serde_json::from_value(data.clone()).expect("a JSON Patch");
                        json_patch::patch(&mut self.document, &patch).expect("it applies");
                    }
                    _ => panic!("an event {kind}"),
                }
                return Some(Event { kind, id, data });
            }
            if !self.read() {
                return None;
            }
        }
    }

    fn expect(&mut self) -> Event {
        self.next().expect("one more event")
    }
}

#[test]
fn the_document_comes_first_and_then_its_changes() {
    let node = Node::start(&[]);
    node.post(&add("/a", 1));
    let mut events = Events::begin(&node, "/get", "");
    let put = events.expect();
    assert_eq!((put.kind.as_str(), &put.data), ("put", &json!({"a": 1})));
    assert_eq!(serde_json::from_str::<Value>(&put.id).unwrap(), node.get("/vclock").json());
    let tested = json!([
        {"op": "test", "path": "/a", "value": 1.0},
        {"op": "add", "path": "/b~1c", "value": "line\nfeed й"},
    ]);
    node.post(&tested);
    let patch = events.expect();
    assert_eq!(patch.kind, "patch");
    assert_eq!(patch.data, json!([tested[1]]));
    assert_eq!(serde_json::from_str::<Value>(&patch.id).unwrap(), node.get("/vclock").json());
    assert_eq!(events.document, node.get("/get").json());
}

#[test]
fn who_comes_again_with_the_last_id_gets_only_what_is_new() {
    let node = Node::start(&[]);
    node.post(&add("/a", 1));
    let id = Events::begin(&node, "/get", "").expect().id;
    let query = percent_encoding::utf8_percent_encode(&id, percent_encoding::NON_ALPHANUMERIC);
    let by_header = Events::begin(&node, "/get", &format!("Last-Event-ID: {id}\r\n"));
    let by_query = Events::begin(&node, &format!("/get?last-event-id={query}"), "");
    // Long enough for a document to come that should not.
    std::thread::sleep(Duration::from_millis(200));
    node.post(&add("/b", 2));
    for mut events in [by_header, by_query] {
        events.document = json!({"a": 1});
        let event = events.expect();
        assert_eq!((event.kind.as_str(), event.data), ("patch", add("/b", 2)));
        assert_eq!(events.document, json!({"a": 1, "b": 2}));
    }
    let headers = format!("Last-Event-ID: {id}\r\n");
    assert_eq!(Events::begin(&node, "/get", &headers).expect().kind, "put", "it is behind by now");
    for id in ["", "x", "{}", r#"{"other~1":7}"#] {
        let headers = format!("Last-Event-ID: {id}\r\n");
        assert_eq!(Events::begin(&node, "/get", &headers).expect().kind, "put", "{id}");
    }
}

#[test]
fn a_reader_has_the_nodes_document_whatever_comes_late() {
    let mut peer = Peer::new();
    let node = Node::start(&[&peer.address()]);
    let readers: Vec<_> = (0..3).map(|_| Events::begin(&node, "/get", "")).collect();
    let mut random = fastrand::Rng::with_seed(7);
    let mut ids = [0; 4];
    for round in 0..400u64 {
        let source = random.usize(..4);
        ids[source] += 1;
        let place = random.u8(..5);
        let patch = match random.u8(..5) {
            0 => json!([{"op": "remove", "path": format!("/{place}")}]),
            1 => add(&format!("/{place}"), json!([round, {"a/b": "~"}])),
            2 => add(&format!("/{place}/0"), round),
            3 => json!([{"op": "move", "from": format!("/{place}/0"), "path": "/9"}]),
            _ => json!([{"op": "replace", "path": format!("/{place}"), "value": round}]),
        };
        let time = 1_000_000 + 1000 * round - random.u64(..20_000);
        peer.tell(&format!("s{source}"), ids[source], time, &patch);
        if round % 50 == 0 {
            node.post(&add("/posted", round));
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    let whole = node.wait_for("/get", |answer| answer.header("Patchmesh-Length") == Some("408"));
    let clock = whole.header("Patchmesh-Clock").expect("a clock");
    let mut patches = 0;
    for mut events in readers {
        loop {
            let event = events.expect();
            patches += u32::from(event.kind == "patch");
            if event.id == clock {
                break;
            }
        }
        assert_eq!(events.document.to_string(), whole.body);
    }
    assert!(patches > 100, "{patches}");
}

#[test]
fn a_reader_that_is_far_behind_gets_the_document_again() {
    let node = Node::start(&[]);
    let mut events = Events::begin(&node, "/get", "");
    assert_eq!(events.expect().kind, "put");
    // More than the sockets' buffers hold, and then more than is kept of changes.
    let long = "x".repeat(900_000);
    for number in 0..24 {
        node.post(&add(&format!("/{}", number % 12), format!("{number} {long}")));
    }
    let whole = node.get("/get");
    let clock = whole.header("Patchmesh-Clock").expect("a clock").to_owned();
    let mut kinds = Vec::new();
    while kinds.last().is_none_or(|(_, id)| *id != clock) {
        let event = events.expect();
        kinds.push((event.kind, event.id));
    }
    assert_eq!(events.document, whole.json());
    assert!(kinds.len() < 24, "what a slow reader gets is less and larger");
    node.post(&add("/end", true));
    assert_eq!(events.expect().data, add("/end", true));
}

#[test]
fn events_end_in_order_when_the_node_stops() {
    let mut node = Node::start(&[]);
    let mut events = Events::begin(&node, "/get", "");
    assert_eq!(events.expect().kind, "put");
    let mut old = TcpStream::connect(&node.address).expect("the node listens");
    let request =
        format!("GET /get HTTP/1.0\r\nHost: {}\r\nAccept: text/event-stream\r\n\r\n", node.address);
    old.write_all(request.as_bytes()).expect("the node reads");
    let mut old = Events::of(old);
    assert!(!old.is_chunked);
    assert_eq!(old.expect().data, json!({}));
    assert!(node.stop() < Duration::from_secs(3));
    assert!(events.next().is_none(), "the last chunk says that this was all");
    assert!(old.next().is_none());
}

#[test]
fn a_reader_that_left_is_noticed() {
    let node = Node::start(&[]);
    let before = descriptors(&node);
    let begin = |number| {
        let mut events = Events::begin(&node, "/get", "");
        // Closing a socket with something unread in it is told at once, and else only to a write.
        if number % 2 == 0 {
            events.expect();
        }
        events
    };
    let readers: Vec<_> = (0..20).map(begin).collect();
    assert!(descriptors(&node) >= before + 20);
    drop(readers);
    let begin = Instant::now();
    while descriptors(&node) > before + 5 {
        assert!(begin.elapsed() < Duration::from_secs(5), "the node keeps what nobody reads");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn descriptors(node: &Node) -> usize {
    let path = format!("/proc/{}/fd", node.process.id());
    std::fs::read_dir(path).expect("the node runs").count()
}

#[test]
fn a_reader_that_says_no_more_goes_on_reading() {
    let node = Node::start(&[]);
    let stream = node.send("GET", "/get", "Accept: text/event-stream\r\n", "");
    stream.shutdown(Shutdown::Write).expect("the stream is open");
    let mut events = Events::of(stream);
    assert_eq!(events.expect().kind, "put");
    // Longer than it takes to find out that a reader is gone.
    std::thread::sleep(Duration::from_millis(1200));
    for number in 1..4 {
        node.post(&add("/a", number));
        let event = events.expect();
        assert_eq!((event.kind.as_str(), event.data), ("patch", add("/a", number)));
    }
    // Whether it is gone is asked at once, and then ever more seldom.
    assert!((1..=5).contains(&events.comments), "{} comments", events.comments);
}

#[test]
fn what_is_not_the_document_now_has_no_events() {
    let node = Node::start(&[]);
    let headers = "Accept: text/event-stream\r\n";
    for target in ["/get/a", "/get?at=0", "/get?after=%7B%7D", "/get?seen=%7B%7D"] {
        assert_eq!(node.ask("GET", target, headers, "").status, 406, "{target}");
    }
    let head = node.ask("HEAD", "/get", headers, "");
    assert_eq!((head.status, head.header("Content-Type")), (200, Some("text/event-stream")));
}
