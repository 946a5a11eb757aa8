//! Resolves a host name and connects (RFC 8305).
//!
//! The resolver of the system returns the addresses of both families together, in the order of RFC 6724. So
//! there is no delay for the resolution, and no second one.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use smol::{Async, Timer};

use crate::config::host_and_port;

/// How long one address may take to answer before the next one is tried too (RFC 8305 section 5).
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// How many addresses of a name are tried.
const MAX_ADDRESSES: usize = 16;

/// Why there is no stream to a host.
#[derive(Debug)]
pub enum DialError {
    /// The host name or the address is not known.
    NoSuchHost(io::Error),
    /// Nothing listens there.
    Refused,
    /// The connection failed in another way.
    Failed(io::Error),
    /// TLS with the host failed: why, and what to do.
    #[cfg_attr(not(feature = "tls"), allow(dead_code))]
    Tls(String),
}

impl fmt::Display for DialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchHost(error) => write!(f, "no such host: {error}"),
            Self::Refused => f.write_str("connection refused: nothing listens there"),
            Self::Failed(error) => error.fmt(f),
            Self::Tls(why) => f.write_str(why),
        }
    }
}

/// Connects to one of the addresses of `address`, a `host:port`.
pub(super) async fn connect(address: &str) -> Result<Async<TcpStream>, DialError> {
    let addresses = smol::net::resolve(host_and_port(address)).await;
    let addresses = alternating(&addresses.map_err(DialError::NoSuchHost)?);
    let connected = first_to_connect(&addresses, Async::<TcpStream>::connect).await;
    connected.map_err(|error| match error.kind() {
        io::ErrorKind::ConnectionRefused => DialError::Refused,
        _ => DialError::Failed(error),
    })
}

/// The addresses in the order of the tries. The two families alternate, beginning with that of the first
/// address, so that a family that does not work here costs little (RFC 8305 section 4).
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

/// Tries one address after the other and takes the first one that connects. The next try begins when one has
/// failed, or after a delay.
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

    /// The last byte of an address says what a try does. 0: it never ends; 1: it fails; 2: it connects.
    /// Returns which one connected, which ones were tried, and how many delays that took.
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
    fn a_name_connects_to_an_address_that_listens() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let here = listener.local_addr().unwrap();
        let nobody = std::net::TcpListener::bind("127.0.0.2:0").unwrap().local_addr().unwrap();
        let stream =
            smol::block_on(first_to_connect(&[nobody, here], Async::<TcpStream>::connect)).unwrap();
        assert_eq!(stream.get_ref().peer_addr().unwrap(), here);
    }
}
