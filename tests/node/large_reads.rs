//! Readers of a large document.

use patchmesh::internals::document::Hash;

use crate::harness::{Client, Node, node};

/// A document of this many long texts.
const TEXTS: usize = 10;
const TEXT_BYTES: usize = 800_000;

fn large() -> Node {
    let node = node().start();
    let text = "x".repeat(TEXT_BYTES);
    node.post_patches(
        (0..TEXTS).map(|number| format!(r#"[{{"op":"add","path":"/{number}","value":"{text}"}}]"#)),
    );
    node
}

fn ask(client: &mut Client, node: &Node, path: &str) {
    client.write_request("GET", path, &node.headers(), b"");
    client.flush();
}

#[test]
#[cfg(target_os = "linux")]
fn slow_readers_get_the_document_as_it_was_and_take_no_memory() {
    const READERS: usize = 20;
    let node = large();
    let before = node.resident_bytes();
    let mut readers = Vec::new();
    for number in 0..READERS {
        // Each gets another document.
        node.post_patch(&format!(r#"[{{"op":"add","path":"/number","value":{number}}}]"#));
        let mut client = Client::connect(node.address);
        ask(&mut client, &node, "/get");
        let head = client.head();
        assert_eq!(head.status, 200);
        readers.push((client, head));
    }
    let grown = node.resident_bytes().saturating_sub(before);
    let most = 4 * TEXTS * TEXT_BYTES;
    assert!(grown < most as u64, "{grown} bytes for {READERS} readers, {before} before");
    for (number, (mut client, head)) in readers.into_iter().enumerate() {
        let length = head.header("Content-Length").unwrap().parse().unwrap();
        let line = client.body(length);
        let text = line.strip_suffix(b"\n").expect("it ends in a line feed");
        assert_eq!(head.header("ETag").unwrap(), format!("\"{}\"", Hash::of(text)));
        assert!(text.ends_with(format!(r#","number":{number}}}"#).as_bytes()));
        ask(&mut client, &node, "/get/number");
        assert_eq!(client.answer().text(), (READERS - 1).to_string());
    }
}

#[test]
fn a_slow_reader_is_given_up_when_too_much_has_been_replaced() {
    const MOST_DISPLACED: usize = 256 << 20;
    let node = large();
    let copies = |count: usize| {
        let copy = r#"{"op":"copy","from":"/0","path":"/copy"}"#;
        node.post_patch(&format!("[{}]", vec![copy; count].join(",")));
    };
    copies(1);
    for (count, is_given_up) in
        [(MOST_DISPLACED / TEXT_BYTES / 2, false), (MOST_DISPLACED / TEXT_BYTES + 10, true)]
    {
        let mut reader = Client::connect(node.address);
        ask(&mut reader, &node, "/get");
        let head = reader.head();
        copies(count);
        let length: usize = head.header("Content-Length").unwrap().parse().unwrap();
        if is_given_up {
            assert!(reader.rest().len() < length);
            let why = "reads so slowly that too much has changed";
            node.wait_for_log(why);
        } else {
            assert_eq!(Hash::of(reader.body(length).trim_ascii_end()).as_str().len(), 32);
        }
    }
}

#[test]
fn large_answers_have_conditions_and_parts_like_others() {
    let node = large();
    let whole = node.get("/get");
    let etag = whole.header("ETag").unwrap().to_owned();
    let mut client = Client::connect(node.address);
    let mut headers = node.headers();
    let head = client.request("HEAD", "/get", &headers, b"");
    for name in ["ETag", "Content-Length", "Content-Type"] {
        assert_eq!(head.header(name), whole.header(name), "{name}");
    }
    headers.push(("If-None-Match", etag.clone()));
    assert_eq!(client.request("GET", "/get", &headers, b"").status, 304);
    let part = client.request("GET", "/get/3", &node.headers(), b"");
    assert_eq!(part.text().len(), TEXT_BYTES + 2);
    assert_eq!(part.header("ETag").unwrap(), format!("\"{}\"", Hash::of(part.text().as_bytes())));
    let past = client.request("GET", &format!("/get?at={TEXTS}"), &node.headers(), b"");
    assert!(past.body == whole.body);
    assert_eq!(past.header("ETag").unwrap(), etag);
    // A write that depends on the whole of it.
    let patch = br#"[{"op":"add","path":"/new","value":1}]"#;
    for (condition, status) in [("\"other\"", 412), (etag.as_str(), 200), (etag.as_str(), 412)] {
        let mut headers = node.headers();
        headers.push(("If-Match", condition.to_owned()));
        let answer = client.request("POST", "/replace", &headers, patch);
        assert_eq!(answer.status, status, "{condition}");
    }
}
