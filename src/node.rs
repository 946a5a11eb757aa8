//! A node: puts the parts together, and takes them apart in order.

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use async_channel::Receiver;
use smol::future::FutureExt;
use smol::net::TcpListener;
use smol::{Executor, Timer};

use crate::config::{Config, Peer};
use crate::downstream::Downstreams;
use crate::http::Limits;
use crate::journal::DirectoryError;
use crate::manager::{Handle, Manager};
use crate::routes::{Access, Requests, Routes};
use crate::server;
use crate::source::{Source, SourceError};
use crate::upstream::Upstream;

/// How long the manager may take to end after all others: it may have a checkpoint to write.
const LAST_ANSWERS_LIMIT: Duration = Duration::from_secs(10);

/// A node that listens, and has not begun to answer.
pub struct Node {
    config: Config,
    listener: TcpListener,
    address: SocketAddr,
    manager: Manager,
    handle: Handle,
}

/// Why a node cannot start.
#[derive(Debug)]
pub enum StartError {
    /// It cannot listen on the address.
    Listen(String, io::Error),
    /// Its address cannot name it.
    Name(SourceError),
    /// Its data directory cannot be used.
    Data(DirectoryError),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listen(address, error) => write!(f, "cannot listen on {address}: {error}"),
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
    /// Where the address cannot be listened on, or the data directory not be used.
    pub async fn bind(config: Config, random: u64) -> Result<Self, StartError> {
        let listen = |error| StartError::Listen(config.address.clone(), error);
        let listener = TcpListener::bind(config.address.as_str()).await.map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        let name = match &config.name {
            Some(name) => name.clone(),
            // Port 0 names nobody.
            None if config.address.ends_with(":0") => address.to_string(),
            None => config.address.clone(),
        };
        let (manager, handle) = match &config.data {
            None => {
                let source = Source::begin_life(&name, random).map_err(StartError::Name)?;
                Manager::in_memory(source)
            }
            Some(data) => {
                let data = data.clone();
                smol::unblock(move || Manager::open(&data, &name, random))
                    .await
                    .map_err(StartError::Data)?
            }
        };
        Ok(Self { config, listener, address, manager, handle })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether it listens beyond this machine and lets everyone in.
    pub fn is_open_to_all(&self) -> bool {
        !self.address.ip().is_loopback() && self.config.token.is_none()
    }

    /// Answers, dials and replicates by tasks of `executor` until `shutdown` closes, and then ends in
    /// order: no new requests, pending ones answered, streams closed.
    ///
    /// # Errors
    /// Where the node cannot go on.
    pub async fn run(
        self,
        executor: &Executor<'_>,
        shutdown: Receiver<Infallible>,
    ) -> io::Result<()> {
        let Self { config, listener, address, manager, handle } = self;
        let manager = executor.spawn(manager.run());
        let (upstreams, statuses): (Vec<_>, Vec<_>) = config
            .peers
            .iter()
            .map(|peer| Upstream::new(peer.clone(), config.token.clone(), handle.clone()))
            .unzip();
        let dialers: Vec<_> = upstreams
            .into_iter()
            .map(|upstream| executor.spawn(upstream.run(shutdown.clone())))
            .collect();
        let routes = Arc::new(Routes {
            handle,
            access: Access::new(config.token.as_deref(), address.ip()),
            downstreams: Arc::new(Downstreams::default()),
            upstreams: statuses,
            requests: Requests::default(),
            stopping: shutdown.clone(),
        });
        let work = async {
            server::serve(executor, listener, routes, Limits::default(), shutdown).await;
            for dialer in dialers {
                dialer.await;
            }
            Timer::after(LAST_ANSWERS_LIMIT).await;
            log::warn!("connections that were abandoned keep the journal from being closed");
            Ok(())
        };
        // The manager ends after all others, which hold it; or before, where it cannot go on.
        manager.or(work).await
    }
}

/// The line that says how a node runs.
impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let peers: Vec<_> = self.config.peers.iter().map(Peer::to_string).collect();
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
             debug page http://{}/test",
            self.address,
            self.handle.source(),
            self.page_host()
        )
    }
}

impl Node {
    /// A host that a browser on this machine can go to.
    fn page_host(&self) -> SocketAddr {
        let mut host = self.address;
        if host.ip().is_unspecified() {
            host.set_ip(match host {
                SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
                SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
            });
        }
        host
    }
}
