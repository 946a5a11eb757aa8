//! The WebSocket handshake (RFC 6455 section 4.2).

use async_tungstenite::tungstenite::handshake::derive_accept_key;

use super::parameter;
use crate::http::{HttpVersion, Request, Response};
use crate::mesh::downstream::Hello;
use crate::mesh::tree::ProcessId;
use crate::source::Source;

/// The length of a key: 16 bytes in base64.
const KEY_CHARACTERS: usize = 24;

/// The version of the wire that this node speaks. A greater version of a client is treated as this one.
const VERSION: u64 = 2;

/// Accepts an upgrade. Returns the answer of the node `source` with this `process`, and what the client says of
/// itself.
pub fn agree(
    request: &Request,
    source: &Source,
    process: &ProcessId,
) -> Result<(Response, Hello), Response> {
    let wants_upgrade = request.method() == "GET"
        && request.version() == HttpVersion::Http11
        && request.has_token("Connection", "upgrade")
        && request.has_token("Upgrade", "websocket");
    if !wants_upgrade {
        return Err(Response::problem(426, "this is a WebSocket: ask for an upgrade to it")
            .with_header("Connection", "Upgrade")
            .with_header("Upgrade", "websocket"));
    }
    if request.header("Sec-WebSocket-Version") != Some("13") {
        return Err(Response::problem(426, "only version 13 of the WebSocket protocol is spoken")
            .with_header("Sec-WebSocket-Version", "13"));
    }
    let key = request
        .header("Sec-WebSocket-Key")
        .filter(|key| key.len() == KEY_CHARACTERS && key.ends_with("=="))
        .ok_or_else(|| Response::problem(400, "Sec-WebSocket-Key is not 16 bytes in base64"))?;
    let since = parameter(request, "since", "a vector clock", |text| serde_json::from_str(text))?;
    let version = parameter(request, "v", "a version", str::parse::<u64>)?;
    let node = parameter(request, "node", "a source", str::parse)?;
    let process_there = parameter(request, "process", "a process", str::parse)?;
    let heals = parameter(request, "heal", "0 or 1", str::parse::<u8>)?;
    let members = parameter(request, "members", "0 or 1", str::parse::<u8>)?;
    let is_set = |flag: Option<u8>| flag.is_some_and(|flag| flag > 0);
    let version = version.unwrap_or(1).min(VERSION);
    let hello = Hello {
        since,
        version,
        heals: is_set(heals),
        wants_members: is_set(members),
        node,
        process: process_there,
    };
    let response = Response::new(101)
        .with_header("Upgrade", "websocket")
        .with_header("Connection", "Upgrade")
        .with_header("Sec-WebSocket-Accept", derive_accept_key(key.as_bytes()))
        .with_header("Patchmesh-Version", VERSION.to_string())
        .with_header("Patchmesh-Node", source.as_str())
        .with_header("Patchmesh-Process", process.to_string());
    Ok((response, hello))
}

/// Whether the request is one of a patchmesh node.
pub fn is_of_a_node(request: &Request) -> bool {
    matches!(parameter(request, "v", "a version", str::parse::<u64>), Ok(Some(VERSION..)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::tests::request;

    const PROCESS: ProcessId = ProcessId { number: 17, generation: 3 };

    const HEAD: &str = "Host: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

    fn agreed(target: &str, head: &str) -> Result<(Response, Hello), Response> {
        let source = "here~abcdefgh".parse().unwrap();
        agree(&request(format!("GET {target} HTTP/1.1\r\n{head}\r\n")), &source, &PROCESS)
    }

    #[test]
    fn the_example_of_rfc_6455_is_agreed_to() {
        let (response, hello) = agreed("/ws", HEAD).unwrap();
        assert_eq!(response.status, 101);
        assert_eq!(response.header("Sec-WebSocket-Accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
        assert_eq!(response.header("Patchmesh-Version"), Some("2"));
        assert_eq!(response.header("Patchmesh-Node"), Some("here~abcdefgh"));
        assert_eq!(response.header("Patchmesh-Process"), Some("0000000000000011.3"));
        assert_eq!(hello, Hello { version: 1, ..Hello::default() });
    }

    #[test]
    fn a_client_says_what_it_has_seen_and_who_it_is() {
        let (_, hello) =
            agreed("/ws?since=%7B%22a~1%22%3A3%7D&v=2&node=a~1&process=0000000000000011.3", HEAD)
                .unwrap();
        assert_eq!(hello.process, Some(PROCESS));
        assert!(hello.since.unwrap().has_seen(&"a~1".parse().unwrap(), 2));
        assert_eq!(hello.node, Some("a~1".parse().unwrap()));
        for (target, heals) in [("/ws?v=2", false), ("/ws?v=2&heal=0", false), ("/ws?heal=1", true)]
        {
            assert_eq!(agreed(target, HEAD).unwrap().1.heals, heals, "{target}");
        }
        for (target, wants) in [("/ws?v=2", false), ("/ws?v=2&members=1", true)] {
            assert_eq!(agreed(target, HEAD).unwrap().1.wants_members, wants, "{target}");
        }
        for (target, version) in [("/ws?v=1", 1), ("/ws?v=2", 2), ("/ws?v=3", 2), ("/ws?v=99", 2)] {
            assert_eq!(agreed(target, HEAD).unwrap().1.version, version, "{target}");
        }
        let is_of_a_node =
            |target: &str| is_of_a_node(&request(format!("GET {target} HTTP/1.1\r\n{HEAD}\r\n")));
        assert!(is_of_a_node("/ws?v=2") && is_of_a_node("/ws?since=&v=3"));
        assert!(!is_of_a_node("/ws") && !is_of_a_node("/ws?v=1") && !is_of_a_node("/ws?v=x"));
        for query in [
            "since=",
            "since=%5B%5D",
            "since=%7B%22a%22%3A-1%7D",
            "since=%7B%22%22%3A1%7D",
            "since=%zz",
            "v=",
            "v=two",
            "v=-1",
            "heal=yes",
            "members=all",
            "node=",
            "node=a%0Ab",
            "process=17",
        ] {
            let refused = agreed(&format!("/ws?{query}"), HEAD).unwrap_err();
            assert_eq!(refused.status, 400, "{query}");
        }
    }

    #[test]
    fn what_is_no_upgrade_is_told_what_to_do() {
        for (head, status) in [
            ("Host: a\r\n".to_owned(), 426),
            (HEAD.replace("Upgrade: WebSocket\r\n", ""), 426),
            (HEAD.replace("keep-alive, Upgrade", "keep-alive"), 426),
            (HEAD.replace("Version: 13", "Version: 8"), 426),
            (HEAD.replace("dGhlIHNhbXBsZSBub25jZQ==", "short=="), 400),
        ] {
            assert_eq!(agreed("/ws", &head).unwrap_err().status, status, "{head}");
        }
    }
}
