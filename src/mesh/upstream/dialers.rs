//! The one owner of the peers' tasks. It starts and ends them, also at run time.
//!
//! A change is first stored, if there is a directory, and then made. A task that is ended closes its stream
//! in its own time. What it has submitted stays.

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_channel::{Receiver, Sender};
use smol::future::FutureExt;
use smol::{Executor, Task, Timer};

use super::membership::{Membership, UnfitPeer};
use super::upstream_status::UpstreamStatus;
use super::{Room, Upstream};
use crate::blocking::unblock;
use crate::config::Peer;
use crate::journal::PeerList;
use crate::locks::Mutex;
use crate::manager::Handle;
use crate::mesh::neighbours::Neighbours;
use crate::query::Query;
use crate::shutdown::closed;
use crate::stream::Security;
use crate::tokens::Tokens;

/// How many changes may wait in the queue.
const MOST_WAITING: usize = 16;

/// How long a change may take. It may wait for the disk.
const CHANGE_LIMIT: Duration = Duration::from_secs(10);

type Status = Arc<Mutex<UpstreamStatus>>;

/// The peers, for all but their owner.
pub struct Peers {
    statuses: Mutex<Vec<Status>>,
    /// How many times peers that are removed now had another document: a counter never goes back.
    divergences_before: AtomicU64,
    requests: Sender<ChangeRequest>,
}

/// A change of the set of peers.
#[derive(Clone, Debug)]
pub enum PeerChange {
    /// Dial this peer too.
    Add(Peer),
    /// Stop dialing this peer.
    Remove(Peer),
}

/// The result of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Done {
    /// Whether the set has changed.
    pub is_new: bool,
    /// Whether the node dials the peer after its next start, with the same command line.
    pub is_kept: bool,
}

/// Why a change was not made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotDone {
    /// The peer cannot be added.
    Unfit(UnfitPeer),
    /// The peer to remove is not there.
    Absent,
    /// The change could not be stored.
    Unkept(String),
    /// It takes too long. It may still be made.
    Late,
    /// The node is stopping.
    Stopping,
}

impl fmt::Display for NotDone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unfit(unfit) => unfit.fmt(f),
            Self::Absent => f.write_str("this node has no such peer"),
            Self::Unkept(error) => write!(f, "{error}; nothing was changed"),
            Self::Late => write!(
                f,
                "it was not done within {} s, and may be done yet: see /peers",
                CHANGE_LIMIT.as_secs()
            ),
            Self::Stopping => f.write_str("the node is stopping"),
        }
    }
}

struct ChangeRequest {
    change: PeerChange,
    answer: Sender<Result<Done, NotDone>>,
}

impl Peers {
    /// The current status of each peer.
    pub fn statuses(&self) -> Vec<UpstreamStatus> {
        let copy = |status: &Status| status.lock().clone();
        self.statuses.lock().iter().map(copy).collect()
    }

    /// Calls `look` with the status of each peer, without a copy.
    pub fn each(&self, mut look: impl FnMut(&UpstreamStatus)) {
        self.statuses.lock().iter().for_each(|status| {
            look(&status.lock());
        });
    }

    /// How many times a peer has turned out to have another document, removed peers included.
    pub fn divergences(&self) -> u64 {
        let now = self.statuses().iter().map(|status| status.divergences).sum::<u64>();
        self.divergences_before.load(Ordering::Relaxed) + now
    }

    /// Adds or removes a peer.
    ///
    /// # Errors
    /// If the change is not made, or not in time.
    pub async fn change(&self, change: PeerChange) -> Result<Done, NotDone> {
        let (answer, answered) = async_channel::bounded(1);
        let done = async {
            let request = ChangeRequest { change, answer };
            self.requests.send(request).await.map_err(|_| NotDone::Stopping)?;
            answered.recv().await.unwrap_or(Err(NotDone::Stopping))
        };
        let late = async {
            Timer::after(CHANGE_LIMIT).await;
            Err(NotDone::Late)
        };
        done.or(late).await
    }

    fn forget(&self, status: &Status) {
        self.statuses.lock().retain(|other| !Arc::ptr_eq(other, status));
        let divergences = status.lock().divergences;
        self.divergences_before.fetch_add(divergences, Ordering::Relaxed);
    }
}

/// What each task needs.
pub struct Means {
    /// One token is presented to peers.
    pub tokens: Tokens,
    /// TLS, if there is any.
    pub security: Security,
    /// Access to the manager.
    pub handle: Handle,
    /// Access to the past.
    pub query: Arc<Query>,
    /// What all streams of the node share.
    pub neighbours: Arc<Neighbours>,
}

/// The owner of the tasks.
pub struct Dialers {
    membership: Membership,
    list: Option<PeerList>,
    means: Means,
    room: Room,
    peers: Arc<Peers>,
    requests: Receiver<ChangeRequest>,
    /// The tasks of the start, until they run.
    first: Vec<(Upstream, Status)>,
}

/// A task that runs until `stop` is dropped.
struct Dialer {
    peer: Peer,
    status: Status,
    stop: Sender<Infallible>,
    task: Task<()>,
}

impl Dialers {
    /// The tasks of these peers. None of them runs yet, but [`Peers`] lists them all. Added peers are stored
    /// in `list`.
    pub fn new(membership: Membership, list: Option<PeerList>, means: Means) -> Self {
        let (sender, requests) = async_channel::bounded(MOST_WAITING);
        let statuses = Mutex::default();
        let peers =
            Arc::new(Peers { statuses, divergences_before: AtomicU64::new(0), requests: sender });
        let (room, first) = (Room::default(), Vec::new());
        let mut dialers = Self { membership, list, means, room, peers, requests, first };
        for peer in dialers.membership.current().to_vec() {
            let made = dialers.make(&peer);
            dialers.first.push(made);
        }
        dialers
    }

    /// The view for all others.
    pub fn peers(&self) -> Arc<Peers> {
        self.peers.clone()
    }

    /// Runs the tasks on `executor` and makes changes, until `shutdown` closes and all tasks have ended.
    pub async fn run(mut self, executor: &Executor<'_>, shutdown: Receiver<Infallible>) {
        let first = std::mem::take(&mut self.first).into_iter();
        let peers = self.membership.current().iter().cloned();
        let mut dialers: Vec<Dialer> =
            peers.zip(first).map(|(peer, made)| start(executor, peer, made)).collect();
        let mut ending: Vec<Task<()>> = Vec::new();
        loop {
            let stopping = async {
                closed(&shutdown).await;
                None
            };
            let next = async { self.requests.recv().await.ok() };
            let Some(ChangeRequest { change, answer }) = stopping.or(next).await else { break };
            let done = self.change(&change).await;
            match (&change, &done) {
                (PeerChange::Add(peer), Ok(Done { is_new: true, .. })) => {
                    log::info!("peer {peer}: added, it is dialed from now on");
                    dialers.push(start(executor, peer.clone(), self.make(peer)));
                }
                (PeerChange::Remove(peer), Ok(_)) => {
                    log::info!("peer {peer}: removed, it is dialed no more");
                    ending.retain(|task| !task.is_finished());
                    let gone = dialers.extract_if(.., |dialer| dialer.peer == *peer);
                    ending.extend(gone.map(|Dialer { status, stop, task, .. }| {
                        self.peers.forget(&status);
                        self.means.neighbours.roster.stir();
                        drop(stop);
                        task
                    }));
                }
                _ => (),
            }
            // The caller may have stopped waiting.
            answer.try_send(done).ok();
        }
        for Dialer { stop, task, .. } in dialers {
            drop(stop);
            ending.push(task);
        }
        for task in ending {
            task.await;
        }
    }

    fn make(&self, peer: &Peer) -> (Upstream, Status) {
        let (upstream, status) = Upstream::new(peer.clone(), &self.means, self.room.clone());
        self.peers.statuses.lock().push(status.clone());
        self.means.neighbours.roster.stir();
        (upstream, status)
    }

    /// Decides on a change, and stores it.
    async fn change(&mut self, change: &PeerChange) -> Result<Done, NotDone> {
        let mut changed = self.membership.clone();
        let (peer, is_new) = match change {
            PeerChange::Add(peer) => (peer, changed.add(peer).map_err(NotDone::Unfit)?),
            PeerChange::Remove(peer) if changed.remove(peer) => (peer, true),
            PeerChange::Remove(_) => return Err(NotDone::Absent),
        };
        if let Some(list) = &self.list
            && changed.added() != self.membership.added()
        {
            let list = list.clone();
            let peers = changed.added().iter().map(Peer::to_string).collect();
            let written = unblock(move || {
                let path = list.path();
                list.write(peers)
                    .map_err(|error| format!("cannot write {}: {error}", path.display()))
            });
            written.await.map_err(NotDone::Unkept)?;
        }
        self.membership = changed;
        let is_added = self.membership.added().contains(peer);
        let is_kept = self.membership.is_given(peer) || (is_added && self.list.is_some());
        Ok(Done { is_new, is_kept })
    }
}

fn start(executor: &Executor<'_>, peer: Peer, (upstream, status): (Upstream, Status)) -> Dialer {
    let (stop, stopped) = async_channel::bounded(1);
    Dialer { peer, status, stop, task: executor.spawn(upstream.run(stopped)) }
}

/// The peers that were added before and stored. A list that cannot be read is set aside and logged, and the
/// node goes on with those of the command line.
pub fn kept(list: &PeerList) -> Vec<Peer> {
    let parse = |peers: Vec<String>| {
        let parsed = peers.iter().map(|peer| peer.parse().map_err(|error| format!("{error}")));
        parsed.collect::<Result<_, _>>()
    };
    let error = match list.read().and_then(parse) {
        Ok(peers) => return peers,
        Err(error) => error,
    };
    let aside = match list.set_aside() {
        Ok(path) => format!("it is {} now", path.display()),
        Err(error) => format!("it cannot be set aside either: {error}"),
    };
    log::error!(
        "{}: the peers that were added to this node cannot be read, so only those of the command line are \
         dialed; add the others again: {error}; {aside}",
        list.path().display()
    );
    Vec::new()
}
