//! Requests to a node that may end in the middle of an answer.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::harness::{Answer, Client, PATIENCE, wait_for};

/// Sends a request that has to be answered.
#[track_caller]
pub fn request(address: SocketAddr, method: &str, target: &str, body: &str) -> Answer {
    let host = [("Host", address.to_string())];
    Client::connect(address).request(method, target, &host, body.as_bytes())
}

#[track_caller]
pub fn get(address: SocketAddr, target: &str) -> Answer {
    let answer = request(address, "GET", target, "");
    assert_eq!(answer.status, 200, "{target}: {}", answer.text());
    answer
}

/// Posts a patch that has to be accepted, and returns the transaction's line.
#[track_caller]
pub fn post(address: SocketAddr, patch: &str) -> String {
    let answer = request(address, "POST", "/replace", patch);
    assert_eq!(answer.status, 200, "{patch}: {}", answer.text());
    answer.text().trim_end().to_owned()
}

/// The whole journal's lines.
#[track_caller]
pub fn log(address: SocketAddr) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    loop {
        let answer = get(address, &format!("/log?limit=10000&from={}", lines.len()));
        let before = lines.len();
        lines.extend(answer.text().lines().map(str::to_owned));
        if lines.len() == before {
            return lines;
        }
    }
}

/// The vector clock without the zeros, which mean the same as nothing.
#[track_caller]
pub fn vclock(address: SocketAddr) -> BTreeMap<String, u64> {
    let answer = get(address, "/vclock");
    let mut clock: BTreeMap<String, u64> = serde_json::from_slice(&answer.body).unwrap();
    clock.retain(|_, next| *next > 0);
    clock
}

/// The document and its entity tag.
#[track_caller]
pub fn document(address: SocketAddr) -> (String, String) {
    let answer = get(address, "/get");
    (answer.text().to_owned(), answer.header("ETag").unwrap().to_owned())
}

#[track_caller]
pub fn length(address: SocketAddr) -> u64 {
    get(address, "/peers").json()["length"].as_u64().unwrap()
}

/// Waits until two nodes have the same vector clock, and thus the same document.
#[track_caller]
pub fn wait_until_equal(here: SocketAddr, there: SocketAddr) {
    wait_for("equal vector clocks", || (vclock(here) == vclock(there)).then_some(()));
    assert_eq!(document(here), document(there));
}

/// Waits until somebody reads a node's journal. That is so as soon as a stream has begun; the other side calls one
/// connected again only after some time, if the one before it broke soon.
#[track_caller]
pub fn wait_until_read(address: SocketAddr) {
    wait_for("a reader", || {
        let peers = get(address, "/peers").json();
        (peers["downstreams"].as_array().unwrap().len() == 1).then_some(())
    });
}

/// Waits until all upstreams of a node are connected.
#[track_caller]
pub fn wait_until_connected(address: SocketAddr) {
    wait_for("the upstreams to be connected", || {
        let peers = get(address, "/peers").json();
        let upstreams = peers["upstreams"].as_array().unwrap();
        upstreams.iter().all(|upstream| upstream["state"] == "connected").then_some(())
    });
}

/// A connection to a node that may end at any moment.
pub struct Wire {
    stream: BufReader<TcpStream>,
    host: SocketAddr,
}

impl Wire {
    pub fn open(address: SocketAddr) -> Option<Self> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE).ok()?;
        stream.set_nodelay(true).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        stream.set_write_timeout(Some(PATIENCE)).ok()?;
        Some(Self { stream: BufReader::new(stream), host: address })
    }

    /// Posts a patch. None if the answer does not come whole: whether the patch was accepted is
    /// not known then.
    pub fn post(&mut self, patch: &str) -> Option<(u16, String)> {
        self.request("POST", "/replace", patch)
    }

    /// Sends a request. None if the answer does not come whole.
    pub fn request(&mut self, method: &str, target: &str, body: &str) -> Option<(u16, String)> {
        self.request_with(method, target, "", body)
    }

    /// The same with more headers, each with the end of its line.
    pub fn request_with(
        &mut self,
        method: &str,
        target: &str,
        headers: &str,
        body: &str,
    ) -> Option<(u16, String)> {
        let length = body.len();
        let head = format!(
            "{method} {target} HTTP/1.1\r\nHost: {}\r\n{headers}Content-Length: {length}\r\n\r\n",
            self.host
        );
        let request = [head.as_bytes(), body.as_bytes()].concat();
        self.stream.get_mut().write_all(&request).ok()?;
        let mut status = None;
        let mut length = 0;
        loop {
            let mut line = String::new();
            self.stream.read_line(&mut line).ok()?;
            let line = line.strip_suffix("\r\n")?;
            if line.is_empty() {
                break;
            }
            if status.is_none() {
                status = Some(line.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?);
            } else if let Some((name, value)) = line.split_once(": ")
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.parse().ok()?;
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).ok()?;
        Some((status?, String::from_utf8(body).ok()?.trim_end().to_owned()))
    }
}
