//! Finds a peer, connects to it (RFC 8305), and shakes hands.

use std::future::poll_fn;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use async_tungstenite::tungstenite::Error;
use async_tungstenite::tungstenite::client::IntoClientRequest;
use async_tungstenite::tungstenite::handshake::client::Response;
use async_tungstenite::tungstenite::http::{HeaderMap, HeaderValue, StatusCode, header};
use rustix::net::sockopt;
use smol::Timer;

use super::end::{End, shown};
use super::since::{encoded, since};
use crate::clock::VectorClock;
use crate::config::{Peer, authority, host_and_port};
use crate::mesh::websocket::{Limits, SILENCE_LIMIT, Socket, TICK};
use crate::source::Source;
use crate::stream::Stream;
use crate::transaction::MAX_ENCODED_BYTES;

/// How long one address has to answer before the next one is tried beside it (RFC 8305 section 5).
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// How many of a name's addresses are tried.
const MAX_ADDRESSES: usize = 16;

/// How many lost probes of the system's show that a peer is gone.
const KEEP_ALIVE_PROBES: u32 = 3;

const LIMITS: Limits = Limits { message_bytes: MAX_ENCODED_BYTES, read_buffer_bytes: 16 << 10 };

/// What this node says of itself.
pub struct Hello<'a> {
    /// What it has seen.
    pub vclock: &'a VectorClock,
    /// The source of the last commit that it knows.
    pub commits: Option<&'a Source>,
    /// Whether it needs a base, whatever it has seen.
    pub heals: bool,
    /// Its source.
    pub source: &'a Source,
    /// What peers want to be presented.
    pub token: Option<&'a str>,
}

/// What a peer says of itself.
#[derive(Debug, Default)]
pub struct Welcome {
    /// Whether it speaks version 2 of the wire, or a later one, which includes that.
    pub is_patchmesh: bool,
    /// Its source.
    pub node: Option<Source>,
}

/// Dials a peer.
pub async fn dial(peer: &Peer, hello: &Hello<'_>) -> Result<(Socket, Welcome), End> {
    let Peer { address, path } = peer;
    let addresses = smol::net::resolve(host_and_port(address)).await.map_err(End::NoSuchHost)?;
    let stream = first_to_connect(&alternating(&addresses), Stream::connect).await;
    let stream = stream.map_err(|error| match error.kind() {
        io::ErrorKind::ConnectionRefused => End::Refused,
        _ => End::Broken(error.to_string()),
    })?;
    stream.tcp().set_nodelay(true).map_err(|error| End::Broken(error.to_string()))?;
    keep_alive(stream.tcp()).map_err(|error| End::Broken(error.to_string()))?;
    let (since, node) = (since(hello.vclock, hello.commits), encoded(hello.source.as_str()));
    let heal = if hello.heals { "&heal=1" } else { "" };
    let host = authority(address);
    let mut request = format!("ws://{host}{path}?since={since}&v=2&node={node}{heal}")
        .into_client_request()
        .map_err(|error| End::NotWebSocket(error.to_string()))?;
    if let Some(token) = hello.token {
        let value = HeaderValue::try_from(format!("Bearer {token}"))
            .expect("a token has visible ASCII characters only");
        request.headers_mut().insert(header::AUTHORIZATION, value);
    }
    match Socket::dial(request, stream, LIMITS).await {
        Ok((socket, response)) => Ok((socket, Welcome::read(response.headers()))),
        Err(Error::Http(response)) if response.status() == StatusCode::UNAUTHORIZED => {
            Err(End::WrongToken)
        }
        Err(Error::Http(response)) => {
            Err(End::Rejected(response.status(), problem_detail(&response)))
        }
        Err(Error::Io(error)) => Err(End::Broken(error.to_string())),
        Err(error) => Err(End::NotWebSocket(error.to_string())),
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
        }
    }
}

/// The addresses in the order in which they are tried: the first one's family and the other take
/// turns, so that one that does not work here costs little (RFC 8305 section 4).
fn alternating(addresses: &[SocketAddr]) -> Vec<SocketAddr> {
    let Some(first) = addresses.first() else { return Vec::new() };
    let (mut preferred, mut other): (Vec<_>, Vec<_>) =
        addresses.iter().rev().partition(|address| address.is_ipv4() == first.is_ipv4());
    let mut order = Vec::new();
    while let Some(address) = preferred.pop().or_else(|| other.pop()) {
        order.push(address);
        std::mem::swap(&mut preferred, &mut other);
    }
    order.truncate(MAX_ADDRESSES);
    order
}

/// Tries one address after the other, the next one as soon as one has failed or not answered for a
/// while, and takes the first that connects.
async fn first_to_connect<T, F: Future<Output = io::Result<T>>>(
    addresses: &[SocketAddr],
    connect: impl Fn(SocketAddr) -> F,
) -> io::Result<T> {
    let mut addresses = addresses.iter();
    let mut attempts: Vec<Pin<Box<F>>> = Vec::new();
    let mut delay = Timer::never();
    let mut is_next_due = true;
    let mut error = io::Error::other("the name has no address");
    poll_fn(move |context| {
        loop {
            if is_next_due && let Some(address) = addresses.next() {
                attempts.push(Box::pin(connect(*address)));
                delay.set_after(ATTEMPT_DELAY);
            }
            is_next_due = false;
            let mut number = 0;
            while let Some(attempt) = attempts.get_mut(number) {
                match attempt.as_mut().poll(context) {
                    Poll::Ready(Ok(connected)) => return Poll::Ready(Ok(connected)),
                    Poll::Ready(Err(failure)) => {
                        error = failure;
                        drop(attempts.remove(number));
                        is_next_due = true;
                    }
                    Poll::Pending => number += 1,
                }
            }
            if Pin::new(&mut delay).poll(context).is_ready() {
                is_next_due = true;
            }
            if attempts.is_empty() && addresses.len() == 0 {
                let error = std::mem::replace(&mut error, io::ErrorKind::Other.into());
                return Poll::Ready(Err(error));
            }
            if !is_next_due || addresses.len() == 0 {
                return Poll::Pending;
            }
        }
    })
    .await
}

/// Has the system find out whether the peer is still there. A plain node sends nothing unless there
/// is a transaction, so that its silence says nothing.
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
    use std::cell::RefCell;
    use std::time::Instant;

    use super::*;

    fn addresses(hosts: &[&str]) -> Vec<SocketAddr> {
        hosts.iter().map(|host| SocketAddr::new(host.parse().unwrap(), 80)).collect()
    }

    #[test]
    fn families_take_turns() {
        let table: [(&[&str], &[&str]); 5] = [
            (&[], &[]),
            (&["1.0.0.1", "1.0.0.2"], &["1.0.0.1", "1.0.0.2"]),
            (&["::1", "::2", "1.0.0.1", "1.0.0.2"], &["::1", "1.0.0.1", "::2", "1.0.0.2"]),
            (&["1.0.0.1", "::1", "::2", "::3"], &["1.0.0.1", "::1", "::2", "::3"]),
            (&["::1", "::2", "::3", "1.0.0.1"], &["::1", "1.0.0.1", "::2", "::3"]),
        ];
        for (given, expected) in table {
            assert_eq!(alternating(&addresses(given)), addresses(expected), "{given:?}");
        }
        assert_eq!(alternating(&addresses(&["1.0.0.1"; 99])).len(), MAX_ADDRESSES);
    }

    /// Addresses whose last byte says what becomes of an attempt: 0 never ends, 1 fails, 2 connects.
    /// Says which one connected, which were tried, and after how many delays that was done.
    fn tried(last_bytes: &[u8]) -> (Option<u8>, Vec<u8>, u128) {
        let addresses: Vec<_> =
            last_bytes.iter().map(|last| SocketAddr::from(([1, 0, 0, *last], 80))).collect();
        let begin = Instant::now();
        let tries = RefCell::new(Vec::new());
        let connect = |address: SocketAddr| {
            let last = address.to_string().as_bytes()["1.0.0.".len()] - b'0';
            tries.borrow_mut().push(last);
            async move {
                match last {
                    0 => smol::future::pending().await,
                    1 => Err(io::ErrorKind::ConnectionRefused.into()),
                    _ => Ok(last),
                }
            }
        };
        let connected = smol::block_on(first_to_connect(&addresses, connect));
        if let Err(error) = &connected {
            assert!(addresses.is_empty() || error.kind() == io::ErrorKind::ConnectionRefused);
        }
        let delays = begin.elapsed().as_millis() / ATTEMPT_DELAY.as_millis();
        (connected.ok(), tries.into_inner(), delays)
    }

    #[test]
    fn the_next_address_is_tried_when_one_fails_or_takes_long() {
        assert_eq!(tried(&[]), (None, vec![], 0));
        assert_eq!(tried(&[2, 1]), (Some(2), vec![2], 0));
        assert_eq!(tried(&[1, 1, 2]), (Some(2), vec![1, 1, 2], 0));
        assert_eq!(tried(&[0, 2, 2]), (Some(2), vec![0, 2], 1));
        assert_eq!(tried(&[0, 1, 0, 2]), (Some(2), vec![0, 1, 0, 2], 2));
        assert_eq!(tried(&[1, 1]), (None, vec![1, 1], 0));
    }

    #[test]
    fn a_name_connects_to_whichever_of_its_addresses_listens() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let here = listener.local_addr().unwrap();
        let nobody = std::net::TcpListener::bind("127.0.0.2:0").unwrap().local_addr().unwrap();
        let stream = smol::block_on(first_to_connect(&[nobody, here], Stream::connect)).unwrap();
        assert_eq!(stream.tcp().peer_addr().unwrap(), here);
    }

    #[test]
    fn a_peer_says_who_it_is() {
        let read = |version: Option<&'static str>, node: Option<&[u8]>| {
            let mut headers = HeaderMap::new();
            if let Some(version) = version {
                headers.insert("patchmesh-version", HeaderValue::from_static(version));
            }
            if let Some(node) = node {
                headers.insert("patchmesh-node", HeaderValue::from_bytes(node).unwrap());
            }
            let Welcome { is_patchmesh, node } = Welcome::read(&headers);
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
