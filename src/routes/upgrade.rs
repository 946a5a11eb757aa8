//! The WebSocket handshake (RFC 6455 section 4.2).

use async_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::clock::VectorClock;
use crate::http::{Request, Response, Version};

/// A key is 16 bytes in base64.
const KEY_CHARACTERS: usize = 24;

/// Agrees to an upgrade: the answer, and what the client says it has seen.
pub fn agree(request: &Request) -> Result<(Response, Option<VectorClock>), Response> {
    let wants_upgrade = request.method() == "GET"
        && request.version() == Version::Http11
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
    let since = match request.query_parameter("since")? {
        None => None,
        Some(text) => Some(serde_json::from_str(&text).map_err(|error| {
            let detail = format!("the query parameter since is not a vector clock: {error}");
            Response::problem(400, detail)
        })?),
    };
    let response = Response::new(101)
        .with_header("Upgrade", "websocket")
        .with_header("Connection", "Upgrade")
        .with_header("Sec-WebSocket-Accept", derive_accept_key(key.as_bytes()));
    Ok((response, since))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::tests::request;

    const HEAD: &str = "Host: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

    fn agreed(target: &str, head: &str) -> Result<(Response, Option<VectorClock>), Response> {
        agree(&request(format!("GET {target} HTTP/1.1\r\n{head}\r\n")))
    }

    #[test]
    fn the_example_of_rfc_6455_is_agreed_to() {
        let (response, since) = agreed("/ws", HEAD).unwrap();
        assert_eq!(response.status, 101);
        assert_eq!(response.header("Sec-WebSocket-Accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
        assert_eq!(since, None);
    }

    #[test]
    fn since_is_a_vector_clock() {
        let (_, since) = agreed("/ws?since=%7B%22a~1%22%3A3%7D", HEAD).unwrap();
        assert!(since.unwrap().has_seen(&"a~1".parse().unwrap(), 2));
        for since in ["", "%5B%5D", "%7B%22a%22%3A-1%7D", "%7B%22%22%3A1%7D", "%zz"] {
            let refused = agreed(&format!("/ws?since={since}"), HEAD).unwrap_err();
            assert_eq!(refused.status, 400, "{since}");
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
