//! Connects to a peer and makes the WebSocket handshake.

use std::io;
use std::net::TcpStream;

use async_tungstenite::tungstenite::Error;
use async_tungstenite::tungstenite::client::IntoClientRequest;
use async_tungstenite::tungstenite::handshake::client::Response;
use async_tungstenite::tungstenite::http::{HeaderMap, HeaderValue, StatusCode, header};
use rustix::net::sockopt;

use super::end::{ReceivingEnd, shown};
use super::since::{encoded, since};
use crate::clock::VectorClock;
use crate::config::{Peer, authority};
use crate::mesh::tree::ProcessId;
use crate::mesh::websocket::{SILENCE_LIMIT, Socket, SocketLimits, TICK};
use crate::source::Source;
use crate::stream::{DialError, Security, is_of_tls};
use crate::transaction::MAX_ENCODED_BYTES;

/// After how many lost keep-alive probes the system takes a peer to be gone.
const KEEP_ALIVE_PROBES: u32 = 3;

const LIMITS: SocketLimits =
    SocketLimits { message_bytes: MAX_ENCODED_BYTES, read_buffer_bytes: 16 << 10 };

/// What this node says about itself when it dials.
pub struct DialRequest<'a> {
    /// Its vector clock.
    pub vclock: &'a VectorClock,
    /// The source of the last commit that it knows.
    pub commits: Option<&'a Source>,
    /// Whether it needs a base, whatever its clock says.
    pub heals: bool,
    /// Its source.
    pub source: &'a Source,
    /// Its process. `None` if the peer should leave out only what the clock counts.
    pub process: Option<ProcessId>,
    /// The token for the peer.
    pub token: Option<&'a str>,
}

/// What a peer says about itself when it answers.
#[derive(Debug, Default)]
pub struct Welcome {
    /// Whether it speaks version 2 of the wire, or a later one, which includes version 2.
    pub is_patchmesh: bool,
    /// Its source.
    pub node: Option<Source>,
    /// Its process. `None` if it cannot be told to be lazy.
    pub process: Option<ProcessId>,
}

/// Dials a peer.
pub async fn dial(
    peer: &Peer,
    hello: &DialRequest<'_>,
    security: &Security,
) -> Result<(Socket, Welcome), ReceivingEnd> {
    let Peer { address, path, is_tls } = peer;
    let stream = security.dial(address, *is_tls).await?;
    stream.tcp().set_nodelay(true).map_err(|error| ReceivingEnd::Broken(error.to_string()))?;
    keep_alive(stream.tcp()).map_err(|error| ReceivingEnd::Broken(error.to_string()))?;
    let (since, node) = (since(hello.vclock, hello.commits), encoded(hello.source.as_str()));
    let heal = if hello.heals { "&heal=1" } else { "" };
    let host = authority(address);
    let process = hello.process.map(|process| format!("&process={process}")).unwrap_or_default();
    let mut request =
        format!("ws://{host}{path}?since={since}&v=2&node={node}{process}&members=1{heal}")
            .into_client_request()
            .map_err(|error| ReceivingEnd::NotWebSocket(error.to_string()))?;
    if let Some(token) = hello.token {
        let value = HeaderValue::try_from(format!("Bearer {token}"))
            .expect("a token has visible ASCII characters only");
        request.headers_mut().insert(header::AUTHORIZATION, value);
    }
    match Socket::dial(request, stream, LIMITS).await {
        Ok((socket, response)) => Ok((socket, Welcome::read(response.headers()))),
        Err(Error::Http(response)) if response.status() == StatusCode::UNAUTHORIZED => {
            Err(ReceivingEnd::WrongToken)
        }
        Err(Error::Http(response)) => {
            Err(ReceivingEnd::Rejected(response.status(), problem_detail(&response)))
        }
        // A dialer hears whether its certificate is accepted only after the handshake (RFC 8446, section
        // 4.4.2).
        Err(Error::Io(error)) if is_of_tls(&error) => Err(ReceivingEnd::Tls(error.to_string())),
        Err(Error::Io(error)) => Err(ReceivingEnd::Broken(error.to_string())),
        Err(error) => Err(ReceivingEnd::NotWebSocket(error.to_string())),
    }
}

impl From<DialError> for ReceivingEnd {
    fn from(error: DialError) -> Self {
        match error {
            DialError::NoSuchHost(error) => Self::NoSuchHost(error),
            DialError::Refused => Self::Refused,
            DialError::Failed(error) => Self::Broken(error.to_string()),
            DialError::Tls(why) => Self::Tls(why),
        }
    }
}

impl Welcome {
    fn read(headers: &HeaderMap) -> Self {
        let text = |name: &str| std::str::from_utf8(headers.get(name)?.as_bytes()).ok();
        Self {
            is_patchmesh: text("Patchmesh-Version")
                .and_then(|version| version.parse::<u64>().ok())
                .is_some_and(|version| version >= 2),
            node: text("Patchmesh-Node").and_then(|node| node.parse().ok()),
            process: text("Patchmesh-Process").and_then(|process| process.parse().ok()),
        }
    }
}

/// Lets the system check whether the peer is still there. A plain node sends nothing without a transaction,
/// so its silence says nothing.
fn keep_alive(stream: &TcpStream) -> io::Result<()> {
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, SILENCE_LIMIT)?;
    sockopt::set_tcp_keepintvl(stream, TICK)?;
    Ok(sockopt::set_tcp_keepcnt(stream, KEEP_ALIVE_PROBES)?)
}

/// The `detail` of a problem (RFC 9457), if the answer is one.
fn problem_detail(response: &Response) -> String {
    let body = response.body().as_deref().unwrap_or_default();
    let problem: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    shown(problem["detail"].as_str().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_names_itself_in_its_answer() {
        let read = |version: Option<&'static str>, node: Option<&[u8]>| {
            let mut headers = HeaderMap::new();
            if let Some(version) = version {
                headers.insert("patchmesh-version", HeaderValue::from_static(version));
            }
            if let Some(node) = node {
                headers.insert("patchmesh-node", HeaderValue::from_bytes(node).unwrap());
            }
            let Welcome { is_patchmesh, node, process: None } = Welcome::read(&headers) else {
                panic!("it does not say its process");
            };
            (is_patchmesh, node.map(|node| node.to_string()))
        };
        assert_eq!(read(None, None), (false, None));
        assert_eq!(read(Some("2"), Some(b"a~1")), (true, Some("a~1".into())));
        assert_eq!(read(Some("3"), Some("ä~1".as_bytes())), (true, Some("ä~1".into())));
        for (version, node) in [("1", &b""[..]), ("two", b"\xff"), ("", &[b'x'; 200])] {
            assert_eq!(read(Some(version), Some(node)), (false, None), "{version}");
        }
    }
}
