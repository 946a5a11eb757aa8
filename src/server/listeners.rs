//! The addresses that a node listens on: all addresses of its name.

use std::future::poll_fn;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::pin::pin;
use std::task::Poll;

use smol::Async;

use crate::stream::Security;

/// Listens on one address or on several.
pub struct Listeners {
    listeners: Vec<Async<TcpListener>>,
    addresses: Vec<SocketAddr>,
    /// How accepted connections are secured.
    security: Security,
    /// The listener that is asked first, so that each has its turn.
    turn: usize,
}

impl Listeners {
    /// Listens on all of `addresses`. Connections are secured as `security` says. Port 0 takes a free port, the
    /// same on all. An address that this machine does not have is skipped if there is another one: a name may
    /// have the addresses of several machines, or of a protocol that is switched off here.
    ///
    /// # Errors
    /// If another address cannot be listened on, or none can.
    pub async fn bind(addresses: &[SocketAddr], security: Security) -> io::Result<Self> {
        let mut bound = Self { listeners: Vec::new(), addresses: Vec::new(), security, turn: 0 };
        let mut unknown = Err(io::Error::other("the name has no address"));
        let mut free_port = None;
        for (index, address) in addresses.iter().enumerate() {
            if addresses[..index].contains(address) {
                continue;
            }
            let mut address = *address;
            if let (0, Some(port)) = (address.port(), free_port) {
                address.set_port(port);
            }
            match Async::<TcpListener>::bind(address) {
                Ok(listener) => {
                    let local = listener.get_ref().local_addr()?;
                    free_port = Some(local.port());
                    bound.addresses.push(local);
                    bound.listeners.push(listener);
                }
                Err(error) if is_elsewhere(&error) && addresses.len() > 1 => {
                    log::warn!("not listening on {address}: {error}");
                    unknown = Err(error);
                }
                Err(error) => {
                    return Err(io::Error::new(error.kind(), format!("{address}: {error}")));
                }
            }
        }
        if bound.listeners.is_empty() { unknown } else { Ok(bound) }
    }

    /// Where it listens; at least one address.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// How accepted connections are secured.
    pub fn security(&self) -> &Security {
        &self.security
    }

    /// The next connection at any of the addresses.
    pub async fn accept(&mut self) -> io::Result<(Async<TcpStream>, SocketAddr)> {
        if let [listener] = &*self.listeners {
            return listener.accept().await;
        }
        self.turn = (self.turn + 1) % self.listeners.len();
        let (behind, first) = self.listeners.split_at(self.turn);
        let mut accepting: Vec<_> =
            first.iter().chain(behind).map(|listener| Box::pin(listener.accept())).collect();
        let next = poll_fn(|context| {
            let mut ready = accepting.iter_mut().map(|accept| accept.as_mut().poll(context));
            ready.find(Poll::is_ready).unwrap_or(Poll::Pending)
        });
        pin!(next).await
    }
}

/// Whether this machine does not have the address.
fn is_elsewhere(error: &io::Error) -> bool {
    const EAFNOSUPPORT: i32 = 97;
    error.kind() == io::ErrorKind::AddrNotAvailable || error.raw_os_error() == Some(EAFNOSUPPORT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpStream as Client;

    #[test]
    fn all_addresses_of_a_name_are_listened_on() {
        smol::block_on(async {
            // No machine has an address in this network (RFC 5737).
            let addresses = ["127.0.0.1:0", "192.0.2.1:0", "127.0.0.2:0", "127.0.0.1:0"];
            let addresses = addresses.map(|address| address.parse().unwrap());
            let mut listeners = Listeners::bind(&addresses, Security::default()).await.unwrap();
            let bound = listeners.addresses().to_vec();
            let ips: Vec<_> = bound.iter().map(|address| address.ip().to_string()).collect();
            assert_eq!(ips, ["127.0.0.1", "127.0.0.2"]);
            assert_eq!(bound[0].port(), bound[1].port());
            // No listener waits for the other one, in whatever order connections come.
            for order in [[0, 1, 0, 1], [1, 1, 0, 0], [0, 0, 0, 0], [1, 1, 1, 1]] {
                let mut waiting = order.map(|at| Some(Client::connect(bound[at]).unwrap()));
                for _ in order {
                    let (_, from) = listeners.accept().await.unwrap();
                    let mut clients = waiting.iter_mut();
                    let is_accepted = |client: &&mut Option<Client>| {
                        client.as_ref().is_some_and(|client| client.local_addr().unwrap() == from)
                    };
                    assert!(clients.find(is_accepted).unwrap().take().is_some());
                }
            }
            // Nor if connections to another listener never end.
            for busy in [0, 1] {
                let crowd = [(); 8].map(|()| Client::connect(bound[busy]).unwrap());
                let one = Client::connect(bound[1 - busy]).unwrap().local_addr().unwrap();
                let mut accepted = Vec::new();
                for _ in 0..=crowd.len() {
                    accepted.push(listeners.accept().await.unwrap().1);
                }
                assert!(accepted[..2].contains(&one), "{accepted:?} have {one} late");
            }
        });
    }

    #[test]
    fn an_address_that_is_taken_or_is_the_only_one_is_told() {
        smol::block_on(async {
            let taken = std::net::TcpListener::bind("127.0.0.2:0").unwrap().local_addr().unwrap();
            let holder = std::net::TcpListener::bind(taken).unwrap();
            let free = SocketAddr::from(([127, 0, 0, 1], taken.port()));
            let error = Listeners::bind(&[free, taken], Security::default()).await.err().unwrap();
            assert!(error.to_string().starts_with(&taken.to_string()), "{error}");
            drop(holder);
            let elsewhere = "192.0.2.1:0".parse().unwrap();
            let error = Listeners::bind(&[elsewhere], Security::default()).await.err().unwrap();
            assert_eq!(error.kind(), io::ErrorKind::AddrNotAvailable);
            assert!(Listeners::bind(&[], Security::default()).await.is_err());
        });
    }
}
