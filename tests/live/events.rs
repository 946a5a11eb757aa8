//! Live reads: a reader that applies the events has the document that the node has.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::node::{Node, add};
use crate::peer::Peer;

const CHANGE: &str = "Patchmesh-Change";

/// Reads events from a stream whose header was read.
struct Events {
    stream: BufReader<TcpStream>,
    is_chunked: bool,
    text: String,
    /// How many comments came.
    comments: usize,
    /// What the events say the document or part is; null if it is gone.
    document: Value,
    /// The last id, also of what is no event.
    last_id: String,
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
        Self {
            stream,
            is_chunked,
            text: String::new(),
            comments: 0,
            document: Value::Null,
            last_id: String::new(),
        }
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
        let begin = Instant::now();
        loop {
            assert!(
                begin.elapsed() < Duration::from_secs(30),
                "no event, only what keeps it alive"
            );
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let field = |name| {
                    let mut values = block.lines().filter_map(|line: &str| line.strip_prefix(name));
                    values.next().map(str::to_owned)
                };
                self.comments += usize::from(block.starts_with(':'));
                let event = field("event: ").zip(field("data: "));
                let id = field("id: ").unwrap_or_default();
                if !id.is_empty() {
                    self.last_id.clone_from(&id);
                }
                self.text = rest.to_owned();
                let Some((kind, data)) = event else { continue };
                let data: Value = serde_json::from_str(&data).expect("data is JSON");
                match kind.as_str() {
                    "put" | "gone" => self.document = data.clone(),
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
    assert_eq!(Some(put.id.as_str()), node.get("/get").header(CHANGE));
    let tested = json!([
        {"op": "test", "path": "/a", "value": 1.0},
        {"op": "add", "path": "/b~1c", "value": "line\nfeed й"},
    ]);
    let written = node.ask("POST", "/replace", "", &tested.to_string());
    let patch = events.expect();
    assert_eq!(patch.kind, "patch");
    assert_eq!(patch.data, json!([tested[1]]));
    assert_eq!(Some(patch.id.as_str()), written.header(CHANGE));
    assert_eq!(Some(patch.id.as_str()), node.get("/get").header(CHANGE));
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
    let mut behind = Events::begin(&node, "/get", &format!("Last-Event-ID: {id}\r\n"));
    behind.document = json!({"a": 1});
    assert_eq!(behind.expect().data, add("/b", 2));
    let (process, number) = id.split_once('.').unwrap();
    let (other, later) = (format!("0.{number}"), format!("{process}.{}", u64::MAX));
    for id in ["", "x", "{}", ".", &other, &later, &format!("{id}.1"), &format!("{process}.-1")] {
        let headers = format!("Last-Event-ID: {id}\r\n");
        assert_eq!(Events::begin(&node, "/get", &headers).expect().kind, "put", "{id}");
    }
}

#[test]
fn a_reader_has_the_nodes_document_whatever_comes_late() {
    let mut peer = Peer::new();
    let node = Node::start(&[&peer.address()]);
    let readers: Vec<_> = (0..3).map(|_| Events::begin(&node, "/get", "")).collect();
    let parts = ["/0", "/1/0", "/2/1/a~1b", "/kept", "/9", "/posted"];
    let of_parts = parts.map(|part| (part, Events::begin(&node, &format!("/get{part}"), "")));
    let mut random = fastrand::Rng::with_seed(7);
    let mut ids = [1, 0, 0, 0];
    peer.tell("s0", 1, 900_000, &add("/kept", json!({})));
    for round in 0..400u64 {
        let source = random.usize(..4);
        ids[source] += 1;
        let place = random.u8(..5);
        let patch = match random.u8(..6) {
            0 => json!([{"op": "remove", "path": format!("/{place}")}]),
            5 => add(&format!("/kept/{place}"), round),
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
    let whole = node.wait_for("/get", |answer| answer.header("Patchmesh-Length") == Some("409"));
    let last = whole.header(CHANGE).expect("an id");
    let mut patches = 0;
    for mut events in readers {
        loop {
            let event = events.expect();
            patches += u32::from(event.kind == "patch");
            if event.id == last {
                break;
            }
        }
        assert_eq!(events.document.to_string(), whole.body);
    }
    assert!(patches > 10, "{patches}");
    // What a part's readers hear of last.
    let end = json!({"0": 0, "1": [1], "2": [2, {"a/b": 3}], "9": 9, "kept": {}, "posted": "end"});
    node.post(&json!([{"op": "add", "path": "", "value": end}]));
    for (part, mut events) in of_parts {
        let last = node.get(&format!("/get{part}")).json();
        while events.document != last {
            events.expect();
        }
    }
}

#[test]
fn a_part_has_events_of_what_is_done_to_it_and_no_others() {
    let node = Node::start(&[]);
    node.post(&add("/lamps", json!({"1": {"on": false}, "2": {"on": false}})));
    let mut lamp = Events::begin(&node, "/get/lamps/1", "");
    let mut missing = Events::begin(&node, "/get/lamps/3/on", "");
    let put = lamp.expect();
    assert_eq!((put.kind.as_str(), put.data), ("put", json!({"on": false})));
    assert_eq!(missing.expect().kind, "gone");
    node.post(&add("/lamps/2/on", true));
    node.post(&add("/lamps/1/on", true));
    let patch = lamp.expect();
    assert_eq!((patch.kind.as_str(), patch.data), ("patch", add("/on", true)));
    node.post(&add("/lamps/3", json!({"on": 7})));
    let came = missing.expect();
    assert_eq!((came.kind.as_str(), came.data), ("put", json!(7)));
    node.post(&json!([{"op": "remove", "path": "/lamps"}]));
    for events in [&mut lamp, &mut missing] {
        let gone = events.expect();
        assert_eq!((gone.kind.as_str(), gone.data), ("gone", Value::Null));
    }
    node.post(&add("/lamps", json!({"1": true})));
    assert_eq!(lamp.expect().data, json!(true));
    // As it was: nothing to tell.
    node.post(&json!([{"op": "replace", "path": "", "value": {"lamps": {"1": true}}}]));
    node.post(&add("/lamps/1", false));
    assert_eq!(lamp.expect().data, json!(false));
}

#[test]
fn who_comes_while_a_part_is_another_for_a_moment_hears_that_it_is_not() {
    let node = Node::start(&[]);
    node.post(&add("/x", 0));
    let mut steady = Events::begin(&node, "/get/x", "");
    assert_eq!(steady.expect().data, json!(0));
    let mut client = node.connect();
    let mut write = |value: u8| {
        let body = add("/x", value).to_string();
        let length = body.len();
        let address = &node.address;
        let request = format!(
            "POST /replace HTTP/1.1\r\nHost: {address}\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        client.write_all(request.as_bytes()).expect("the node reads");
        assert!(client.read(&mut [0; 4096]).expect("an answer") > 0);
    };
    let readers: Vec<_> = (0..40)
        .map(|_| {
            std::thread::sleep(Duration::from_millis(25));
            write(1);
            let reader = Events::begin(&node, "/get/x", "");
            write(0);
            reader
        })
        .collect();
    for mut reader in readers {
        while reader.expect().data != json!(0) {}
    }
}

#[test]
fn a_part_is_resumed_by_what_was_done_to_it() {
    let node = Node::start(&[]);
    node.post(&json!([{"op": "add", "path": "", "value": {"list": [], "other": 0}}]));
    let id = Events::begin(&node, "/get/list", "").expect().id;
    for number in 0..1000 {
        let path = if number % 100 == 99 { "/list/-" } else { "/other" };
        node.post(&add(path, number));
    }
    let resume = |id: &str| {
        let mut events = Events::begin(&node, "/get/list", &format!("Last-Event-ID: {id}\r\n"));
        events.document = json!([]);
        events
    };
    let mut events = resume(&id);
    let patch = events.expect();
    assert_eq!((patch.kind.as_str(), patch.data.as_array().map(Vec::len)), ("patch", Some(10)));
    assert_eq!(events.document, node.get("/get/list").json());
    // Nothing was missed: what comes next is what is done next.
    let mut events = resume(&patch.id);
    node.post(&add("/list/-", "end"));
    assert_eq!(events.expect().data, add("/-", "end"));
    let mut others =
        Events::begin(&node, "/get/other", &format!("Last-Event-ID: {}\r\n", patch.id));
    node.post(&add("/other", "end"));
    assert_eq!(others.expect().data, json!("end"));
}

#[test]
fn who_hears_nothing_for_long_is_told_from_where_to_go_on() {
    let node = Node::start(&[]);
    let stream = node.send("GET", "/get/a", "Accept: text/event-stream\r\n", "");
    // It is sent something soon then, to see whether it is there.
    stream.shutdown(Shutdown::Write).expect("the stream is open");
    let mut events = Events::of(stream);
    assert_eq!(events.expect().kind, "gone");
    let change = node.ask("POST", "/replace", "", &add("/b", 1).to_string());
    let change = change.header(CHANGE).expect("an id").to_owned();
    while !events.text.contains(&format!("id: {change}\n\n")) {
        assert!(events.read(), "it goes on");
    }
    assert!(!events.text.contains("event"), "{}", events.text);
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
    let last = whole.header(CHANGE).expect("an id").to_owned();
    let mut kinds = Vec::new();
    while kinds.last().is_none_or(|(_, id)| *id != last) {
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
    for target in ["/get?at=0", "/get?after=%7B%7D", "/get?seen=%7B%7D"] {
        assert_eq!(node.ask("GET", target, headers, "").status, 406, "{target}");
    }
    assert_eq!(node.ask("GET", &format!("/get{}", "/a".repeat(128)), headers, "").status, 404);
    let head = node.ask("HEAD", "/get", headers, "");
    assert_eq!((head.status, head.header("Content-Type")), (200, Some("text/event-stream")));
}
