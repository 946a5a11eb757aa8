//! A node: starts its parts, and ends them in order.

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_channel::Receiver;
use smol::future::FutureExt;
use smol::{Executor, Timer};

use crate::blocking::unblock;
use crate::config::{Config, Origins, Peer, host_and_port};
use crate::events::EventStreams;
use crate::http::{Gzips, InFlight, Limits};
use crate::journal::{DirectoryError, PeerList};
use crate::manager::{Handle, Manager};
use crate::mesh::downstream::{Downstreams, UNREAD};
use crate::mesh::gossip::Gossip;
use crate::mesh::neighbours::Neighbours;
use crate::mesh::upstream::{self, Dialers, Means, Membership, Peers};
use crate::query::Query;
use crate::routes::{Access, Cors, Requests, Routes};
use crate::server::{self, Listeners};
use crate::source::{Source, SourceError};
use crate::stream::Security;
use crate::tokens::{TokenError, Tokens};

/// How long the manager may take to end after all other tasks: it may have a checkpoint to write.
const LAST_ANSWERS_LIMIT: Duration = Duration::from_secs(10);

/// If a node has peers and no other node has read it for so long, it logs that.
const UNREAD_LIMIT: Duration = Duration::from_secs(60);

/// How often a node checks its own certificate.
const CERTIFICATE_INTERVAL: Duration = Duration::from_secs(24 * 3600);

/// A node that listens and does not answer yet.
pub struct Node {
    config: Config,
    listeners: Listeners,
    manager: Manager,
    handle: Handle,
    membership: Membership,
    tokens: Tokens,
}

/// Why a node cannot start.
#[derive(Debug)]
pub enum StartError {
    /// It cannot listen on the address.
    Listen(String, io::Error),
    /// A file of TLS cannot be used.
    Tls(String),
    /// The file of tokens cannot be used.
    Tokens(PathBuf, TokenError),
    /// Its address cannot name it.
    Name(SourceError),
    /// Its data directory cannot be used.
    Data(DirectoryError),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listen(address, error) => write!(f, "cannot listen on {address}: {error}"),
            Self::Tls(why) => f.write_str(why),
            Self::Tokens(file, error) => write!(f, "{}: {error}", file.display()),
            Self::Name(error) => write!(f, "the address cannot name this node: {error}"),
            Self::Data(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for StartError {}

impl Node {
    /// Binds the address, and reads the data directory back or begins a life. `random` makes the suffix
    /// of a life that begins.
    ///
    /// # Errors
    /// If it cannot listen on the address, or cannot use the data directory.
    pub async fn bind(config: Config, random: u64) -> Result<Self, StartError> {
        let files = config.tls.clone();
        let security = unblock(move || Security::load(&files)).await.map_err(StartError::Tls)?;
        let tokens = match config.token_file.clone() {
            None => Tokens::one(config.token.as_deref()),
            Some(file) => {
                unblock(move || {
                    Tokens::in_file(&file).map_err(|error| StartError::Tokens(file, error))
                })
                .await?
            }
        };
        let listen = |error| StartError::Listen(config.address.clone(), error);
        let addresses = smol::net::resolve(host_and_port(&config.address)).await.map_err(listen)?;
        let listeners = Listeners::bind(&addresses, security).await.map_err(listen)?;
        let name = config.name.clone().unwrap_or_else(|| known_address(&config, &listeners));
        let (manager, handle) = match &config.data {
            None => {
                let source = Source::begin_life(&name, random).map_err(StartError::Name)?;
                Manager::in_memory(source)
            }
            Some(data) => {
                let data = data.clone();
                unblock(move || Manager::open(&data, &name, random))
                    .await
                    .map_err(StartError::Data)?
            }
        };
        let added = match config.data.clone() {
            Some(data) => unblock(move || upstream::kept(&PeerList::of(&data))).await,
            None => Vec::new(),
        };
        let mut own: Vec<_> = listeners.addresses().iter().map(SocketAddr::to_string).collect();
        own.push(config.address.clone());
        let membership = Membership::new(own, config.peers.clone(), added);
        Ok(Self { config, listeners, manager, handle, membership, tokens })
    }

    /// The handle by which it is read and written to.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// The addresses on which it listens, as text.
    pub fn addresses(&self) -> String {
        let addresses = self.listeners.addresses().iter().map(SocketAddr::to_string);
        addresses.collect::<Vec<_>>().join(", ")
    }

    /// Whether it listens beyond this machine and lets everyone in.
    fn is_open_to_all(&self) -> bool {
        let mut addresses = self.listeners.addresses().iter();
        addresses.any(|address| !address.ip().is_loopback())
            && self.tokens.are_none()
            && !self.listeners.security().checks_clients()
    }

    /// Whether pages of all web sites may use this node through a browser that can reach it.
    fn is_open_to_all_pages(&self) -> bool {
        self.config.origins == Origins::All && self.tokens.are_none()
    }

    /// The tokens and their rights.
    pub fn tokens(&self) -> &Tokens {
        &self.tokens
    }

    /// Whether it has peers and tokens, and no token for the peers.
    fn lacks_token_of_peers(&self) -> bool {
        let has_peers = !self.membership.current().is_empty();
        has_peers && !self.tokens.are_none() && self.tokens.of_peers().is_none()
    }

    /// The peers that this node dials without TLS, though it has a certificate.
    fn open_peers(&self) -> Vec<String> {
        let mut peers = self.membership.current().to_vec();
        peers.retain(|peer| self.listeners.security().is_tls() && !peer.is_tls);
        peers.iter().map(Peer::to_string).collect()
    }

    /// Warns of options that may be a mistake.
    fn warn_if_open(&self) {
        if self.is_open_to_all() {
            log::warn!(
                "everyone who reaches {} can read and write the document: no --token was given, nor a --token-file",
                self.addresses()
            );
        }
        if self.is_open_to_all_pages() {
            log::warn!(
                "every web page that a browser opens which reaches {} can read and write the document, and add \
                 peers: --allow-origin is *, and no --token was given, nor a --token-file",
                self.addresses()
            );
        }
        if self.lacks_token_of_peers() {
            log::warn!("peers are shown no token: none in the file of tokens has the right peer");
        }
        let open_peers = self.open_peers();
        if !open_peers.is_empty() {
            log::warn!(
                "what goes to and from {} is not kept from others: name peers that speak TLS by wss://",
                open_peers.join(", ")
            );
        }
    }

    /// Answers, dials and replicates with tasks of `executor` until `shutdown` closes. Then it ends in order: it takes
    /// no new requests, answers pending ones, and closes streams.
    ///
    /// # Errors
    /// If the node cannot go on.
    pub async fn run(
        self,
        executor: &Executor<'_>,
        shutdown: Receiver<Infallible>,
    ) -> io::Result<()> {
        self.warn_if_open();
        let Self { config, listeners, manager, handle, membership, tokens } = self;
        let security = listeners.security().clone();
        let listening: Vec<_> = listeners.addresses().iter().map(SocketAddr::ip).collect();
        // Ends with this function.
        let _watch = executor.spawn(handle.journal().clone().watch());
        let query = Arc::new(Query::new(handle.clone()));
        let neighbours = Arc::new(Neighbours::new(fastrand::u64(..)));
        let means = Means {
            neighbours: neighbours.clone(),
            tokens: tokens.clone(),
            security: security.clone(),
            handle: handle.clone(),
            query: query.clone(),
        };
        let list = config.data.as_deref().map(PeerList::of);
        let dialers = Dialers::new(membership, list, means);
        let peers = dialers.peers();
        let (is_primary, horizon) = (config.is_primary, config.horizon);
        let manager = manager.keep(config.keep);
        let listen = {
            let peers = peers.clone();
            Box::new(move || upstream::hearing(&peers.statuses()))
        };
        let manager = manager.with_primary(is_primary, horizon, listen);
        let manager = executor.spawn(manager.run());
        let _certificate = executor.spawn(warn_of_certificate(security));
        let downstreams = Arc::new(Downstreams::new(neighbours));
        let _unread = executor.spawn(warn_if_unread(peers.clone(), downstreams.clone()));
        let events = Arc::new(EventStreams::new(fastrand::u64(..)));
        let _events = {
            let (events, handle, shutdown) = (events.clone(), handle.clone(), shutdown.clone());
            executor.spawn(async move { events.run(handle, shutdown).await })
        };
        let address = known_address(&config, &listeners);
        let gossip = Gossip::new(handle.clone(), peers.clone(), downstreams.clone(), &address);
        let gossip = Arc::new(gossip);
        let gossiping = {
            let (gossip, shutdown) = (gossip.clone(), shutdown.clone());
            async move { gossip.run(shutdown).await }
        };
        let announcing = downstreams.clone().announce(handle.clone(), shutdown.clone());
        let routes = Arc::new(Routes {
            events,
            query,
            handle,
            access: Access::new(
                tokens,
                Cors::new(config.origins),
                &listening,
                host_and_port(&config.address).0,
            ),
            downstreams,
            gossip,
            peers,
            requests: Requests::default(),
            in_flight: InFlight::default(),
            gzips: Gzips::default(),
            stopping: shutdown.clone(),
        });
        let work = async {
            let dialing = dialers.run(executor, shutdown.clone());
            let telling = smol::future::zip(announcing, gossiping);
            let limits = Limits { connections: config.connections, ..Limits::default() };
            let serving = server::serve(executor, listeners, routes, limits, shutdown);
            smol::future::zip(smol::future::zip(dialing, telling), serving).await;
            Timer::after(LAST_ANSWERS_LIMIT).await;
            log::warn!("connections that were abandoned keep the journal from being closed");
            Ok(())
        };
        // The manager ends after all tasks that hold its handle, or before them if it cannot go on.
        manager.or(work).await
    }
}

/// The address by which others know it.
fn known_address(config: &Config, listeners: &Listeners) -> String {
    // Port 0 stands for a port that the system chose.
    if config.address.ends_with(":0") {
        listeners.addresses()[0].to_string()
    } else {
        config.address.clone()
    }
}

/// Warns each day if this node's certificate is wrong or expires soon.
async fn warn_of_certificate(security: Security) {
    loop {
        if let Some(trouble) = security.trouble(SystemTime::now()) {
            log::warn!("{trouble}");
        }
        Timer::after(CERTIFICATE_INTERVAL).await;
    }
}

/// Warns once if this node has peers and no other node reads it, so that its transactions reach nobody.
async fn warn_if_unread(peers: Arc<Peers>, downstreams: Arc<Downstreams>) {
    let has_peers = || peers.statuses().iter().any(|peer| !peer.is_left_aside);
    if stays_unread(UNREAD_LIMIT, has_peers, || downstreams.were_read()).await {
        log::warn!("{UNREAD}");
    }
}

/// Waits until this node was read (false), or has peers and was not read within `limit` (true).
async fn stays_unread(
    limit: Duration,
    has_peers: impl Fn() -> bool,
    was_read: impl Fn() -> bool,
) -> bool {
    loop {
        Timer::after(limit).await;
        if was_read() {
            return false;
        }
        if has_peers() {
            return true;
        }
    }
}

/// The line that is printed at the start.
impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let peers: Vec<_> = self.membership.current().iter().map(Peer::to_string).collect();
        let peers = if peers.is_empty() { "none".to_owned() } else { peers.join(", ") };
        let journal = match &self.config.data {
            None => "memory".to_owned(),
            Some(data) => {
                format!("{} ({} transactions)", data.display(), self.handle.journal().length())
            }
        };
        write!(
            f,
            "patchmesh listens on {}, source {}, peers: {peers}, journal in {journal}, \
             debug page {}://{}/test",
            self.addresses(),
            self.handle.source(),
            if self.listeners.security().is_tls() { "https" } else { "http" },
            self.page_host()
        )
    }
}

impl Node {
    /// A host that a browser on this machine can reach: the given name, if it is a name.
    fn page_host(&self) -> String {
        let mut address = self.listeners.addresses()[0];
        let (host, _) = host_and_port(&self.config.address);
        if host.parse::<IpAddr>().is_err() && !host.contains(':') {
            return format!("{host}:{}", address.port());
        }
        if address.ip().is_unspecified() {
            address.set_ip(match address {
                SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
                SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
            });
        }
        address.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[test]
    fn a_node_is_unread_that_has_peers_and_was_not_read_in_time() {
        // The look from which on it has peers, the one from which on it was read, and whether it warns.
        for (peers_from, read_from, told) in
            [(1, 9, true), (1, 1, false), (3, 9, true), (9, 4, false), (3, 3, false)]
        {
            let looks = Cell::new(0);
            let was_read = || {
                looks.set(looks.get() + 1);
                looks.get() >= read_from
            };
            let unread =
                stays_unread(Duration::from_millis(1), || looks.get() >= peers_from, was_read);
            assert_eq!(smol::block_on(unread), told, "{peers_from}, {read_from}");
        }
    }
}
