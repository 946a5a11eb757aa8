//! One task a peer: dials it, reads its `/ws`, submits the transactions, and dials again. It only receives.
//!
//! Streams may break, repeat and overlap in any way: the manager drops what is known. But a stream must never
//! leave out a transaction and go on after it, since the vector clock would then hide the gap forever. So the
//! task submits in the order of arrival, and ends the stream at the first transaction that is not kept.
//!
//! If a peer has folded away something that this node lacks, or if this node asks for it, the peer sends a
//! base first. Then the state that this node sent when it dialed is no longer right, and it dials again. The
//! same happens when another primary begins an epoch.

mod backlog;
mod batch;
mod comparison;
mod dialers;
mod end;
mod handshake;
mod hearing;
mod incoming;
mod joining;
mod membership;
mod plain_peer;
mod receiving;
mod since;
mod trouble;
mod upstream_status;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_channel::Receiver;
use smol::Timer;
use smol::future::FutureExt;

use crate::backoff::{Backoff, GOOD};
use crate::config::Peer;
use crate::locks::Mutex;
use crate::manager::{Handle, wall_clock};
use crate::mesh::named::Named;
use crate::mesh::neighbours::Neighbours;
use crate::mesh::websocket::{Socket, TICK};
use crate::query::Query;
use crate::shutdown::closed;
use crate::source::Source;
use crate::stream::Security;
use crate::tokens::Tokens;
use end::ReceivingEnd;
use handshake::{DialRequest, Welcome, dial};
use joining::Joining;
use plain_peer::Memory;
use receiving::Receiving;
use trouble::PeerTrouble;
use upstream_status::Changing;

pub use dialers::{Dialers, Done, Means, NotDone, PeerChange, Peers, kept};
pub use hearing::hearing;
pub use joining::Room;
pub use membership::{Membership, UnfitPeer};
pub use upstream_status::{Divergence, PeerState, UpstreamStatus};

/// How long name resolution, connection and handshake may take together.
const DIAL_LIMIT: Duration = Duration::from_secs(10);

// A stream that lives until the first tick was a good one.
const _: () = assert!(TICK.as_secs() == GOOD.as_secs());

/// What is wrong with a stream from this node's own source.
const ITSELF: &str = "the peer has this node's own source: it is this node itself, and should not be \
    among its peers; or a copy of its data directory is in use";

/// For how many sources this node notes what a peer has seen.
const MAX_PEER_SOURCES: usize = 1024;

/// The task of one peer.
pub struct Upstream {
    peer: Peer,
    tokens: Tokens,
    security: Security,
    handle: Handle,
    query: Arc<Query>,
    neighbours: Arc<Neighbours>,
    room: Room,
    status: Arc<Mutex<UpstreamStatus>>,
}

impl Upstream {
    /// The task for `peer`, and its status for others to read.
    pub fn new(peer: Peer, means: &Means, room: Room) -> (Self, Arc<Mutex<UpstreamStatus>>) {
        let status = UpstreamStatus::new(peer.to_string(), wall_clock());
        let status = Arc::new(Mutex::new(status));
        let Means { tokens, security, handle, query, neighbours } = means;
        let upstream = Self {
            peer,
            tokens: tokens.clone(),
            security: security.clone(),
            handle: handle.clone(),
            query: query.clone(),
            neighbours: neighbours.clone(),
            room,
            status: status.clone(),
        };
        (upstream, status)
    }

    /// Dials and receives, again and again, until `shutdown` closes.
    pub async fn run(self, shutdown: Receiver<Infallible>) {
        let mut backoff = Backoff::default();
        let mut trouble = PeerTrouble::new(self.peer.clone());
        let mut memory = Memory::default();
        // Whether the peer should also send what this node has created, for comparison.
        let mut compares_own = false;
        loop {
            let (end, lasted) = match self.dial(compares_own).or(stopping(&shutdown)).await {
                Ok(dialed) => self.receive(dialed, &mut trouble, &mut memory, &shutdown).await,
                Err(end) => {
                    self.status().is_reached = Some(false);
                    (end, Duration::ZERO)
                }
            };
            if matches!(end, ReceivingEnd::Stopping) {
                return;
            }
            compares_own = matches!(end, ReceivingEnd::Diverged);
            if end.wants_redial() {
                self.status().forget_comparison();
                if backoff.may_be_at_once(lasted) {
                    trouble.goes_on(&end);
                    continue;
                }
            }
            let wait = backoff.after(lasted, fastrand::f64());
            let ahead_ms = match end {
                ReceivingEnd::Early(ahead_micros) => Some(ahead_micros / 1000),
                _ => None,
            };
            self.status().fail(end.to_string(), ahead_ms, wall_clock());
            trouble.ended(&end, lasted, wait);
            let over = async {
                Timer::after(wait).await;
                false
            };
            if over.or(async { shutdown.recv().await.is_err() }).await {
                return;
            }
        }
    }

    /// Receives a stream and closes it. Returns why it ended, and how long it lasted.
    async fn receive(
        &self,
        (mut socket, welcome, generation): (Socket, Welcome, u64),
        trouble: &mut PeerTrouble,
        memory: &mut Memory,
        shutdown: &Receiver<Infallible>,
    ) -> (ReceivingEnd, Duration) {
        let begin = Instant::now();
        let mut joining = Joining::new(self.named(welcome.node.as_ref()), self.room.clone());
        let handshake = (&welcome, generation);
        let receiving =
            Receiving::begin(self, &mut socket, handshake, trouble, memory, &mut joining);
        let Err(end) = receiving.run().or(stopping(shutdown)).await;
        if joining.is_under_way() || matches!(end, ReceivingEnd::BadBase(_)) {
            self.status().torn_bases += 1;
        }
        let lasted = begin.elapsed();
        match (&end, end.farewell()) {
            (_, Some((code, reason))) => socket.close(code, &reason).await,
            (ReceivingEnd::Closed(_), None) => socket.finish().await,
            _ => (),
        }
        (end, lasted)
    }

    fn status(&self) -> Changing<'_> {
        Changing::begin(&self.status, &self.neighbours.roster)
    }

    /// How the log names the peer. `node` is the source with which it has answered.
    fn named(&self, node: Option<&Source>) -> String {
        Named { node: node.map(Source::as_str), address: &self.peer }.to_string()
    }

    /// Dials. Returns also the generation of the state that this node has sent.
    async fn dial(&self, compares_own: bool) -> Result<(Socket, Welcome, u64), ReceivingEnd> {
        let timeout = async {
            Timer::after(DIAL_LIMIT).await;
            Err(ReceivingEnd::DialTimeout)
        };
        let dialed = async {
            let state = self.handle.state();
            let (generation, heals) = (state.generation(), state.difference().is_some());
            let mut vclock = state.stamps().clone();
            let (source, commits) =
                (self.handle.source(), state.last_commit().map(|last| last.name.source));
            drop(state);
            if compares_own {
                vclock.restore(&source, 0);
            }
            // The tokens may have been read again since the last dial.
            let token = self.tokens.of_peers();
            let hello = DialRequest {
                vclock: &vclock,
                commits: commits.as_ref(),
                heals,
                source: &source,
                // The peer must send all of it, also what this process has sent to it.
                process: (!compares_own).then(|| self.neighbours.process(generation)),
                token: token.as_deref(),
            };
            let (socket, welcome) = dial(&self.peer, &hello, &self.security).await?;
            Ok((socket, welcome, generation))
        };
        dialed.or(timeout).await
    }
}

/// Waits for `shutdown` to close.
async fn stopping<T>(shutdown: &Receiver<Infallible>) -> Result<T, ReceivingEnd> {
    closed(shutdown).await;
    Err(ReceivingEnd::Stopping)
}
