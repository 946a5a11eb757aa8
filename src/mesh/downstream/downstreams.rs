//! The list of all downstreams, and what `/peers` shows of them.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use async_channel::Receiver;
use serde::Serialize;

use super::announcements::Announcements;
use super::course::SeenByReader;
use super::frames::LatestFrames;
use crate::clock::Time;
use crate::locks::Mutex;
use crate::manager::{Handle, wall_clock};
use crate::mesh::neighbours::Neighbours;
use crate::mesh::websocket::TICK;
use crate::source::Source;

/// How long a plain node must wait when it comes again after a message was too large for it. It would dial at
/// once, get the same message and close, forever.
const TOO_LARGE_PAUSE: Duration = Duration::from_secs(10);

/// How many addresses of such nodes are kept.
const TOO_LARGE_ADDRESSES: usize = 1024;

/// The warning for a node with peers for which [`Downstreams::were_read`] is false.
pub const UNREAD: &str = "this node has peers, and no other patchmesh node has read it since it started: what is \
                          written here gets no further until another node names it as its peer";

/// All downstreams of a node.
pub struct Downstreams {
    /// What all streams of the node share.
    pub neighbours: Arc<Neighbours>,
    pub(super) announcements: Announcements,
    open: Mutex<Vec<Weak<SendingProgress>>>,
    were_read: AtomicBool,
    too_large: Mutex<HashMap<IpAddr, Instant>>,
    pub(super) latest: LatestFrames,
}

/// A kind of reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ReaderKind {
    /// A node that names itself.
    Node,
    /// A reader that knows only the first version of the wire, such as a plain node.
    Plain,
    /// A page or a tool: it knows the wire, and is not a node.
    Viewer,
}

impl ReaderKind {
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::Node, Self::Plain, Self::Viewer];

    /// As it is shown.
    pub fn name(self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::Plain => "plain",
            Self::Viewer => "viewer",
        }
    }
}

/// The progress of one downstream.
#[derive(Debug)]
pub(super) struct SendingProgress {
    address: SocketAddr,
    node: Option<Source>,
    kind: ReaderKind,
    pub position: AtomicU64,
    /// How many transactions the journal had when the downstream began.
    pub length_at_begin: u64,
    /// Whether the reader wants summaries, not transactions.
    pub lazy: AtomicBool,
    /// What is left out.
    pub seen: SeenByReader,
    since: Time,
    /// When the reader last gave a sign of life, in microseconds.
    heard: AtomicU64,
}

/// One downstream as `/peers` shows it.
#[derive(Clone, Debug, Serialize)]
pub struct DownstreamStatus {
    /// The reader's address.
    pub address: String,
    /// The source of the node that reads. `None` if it does not say: plain nodes do not.
    pub node: Option<String>,
    /// What kind of reader it is.
    pub kind: ReaderKind,
    /// The position in the journal of the next transaction to send.
    pub position: u64,
    /// How many transactions are still to be sent. An upper bound, since the reader may have some of them. 0
    /// if it is lazy.
    pub behind: u64,
    /// Whether the reader gets summaries, not transactions, since those come from others.
    pub lazy: bool,
    /// When the downstream began.
    pub since: Time,
    /// When the reader last gave a sign of life: it answers pings, and takes what it is sent.
    pub heard: Time,
}

impl SendingProgress {
    /// How many transactions are still to be sent. This reads nothing from the journal.
    pub fn behind(&self, handle: &Handle) -> u64 {
        // What a lazy reader lacks comes from others.
        if self.lazy.load(Ordering::Relaxed) {
            return 0;
        }
        let (journal, position) = (handle.journal(), self.position.load(Ordering::Relaxed));
        match self.seen.clock() {
            Some(seen) => journal.lacking(position, seen),
            None => journal.length().saturating_sub(position),
        }
    }

    /// The reader has sent something.
    pub fn hear(&self) {
        self.hear_since(wall_clock());
    }

    /// The reader has given a sign of life within the last [`TICK`], maybe only by taking what it is sent.
    pub fn hear_within_tick(&self) {
        self.hear_since(wall_clock().minus_micros(TICK.as_micros() as u64));
    }

    fn hear_since(&self, time: Time) {
        self.heard.fetch_max(time.as_micros(), Ordering::Relaxed);
    }

    fn heard(&self) -> Time {
        Time::from_micros(self.heard.load(Ordering::Relaxed)).unwrap_or(self.since)
    }

    fn shown(&self, handle: &Handle) -> DownstreamStatus {
        DownstreamStatus {
            address: self.address.to_string(),
            node: self.node.as_ref().map(Source::to_string),
            kind: self.kind,
            position: self.position.load(Ordering::Relaxed),
            behind: self.behind(handle),
            lazy: self.lazy.load(Ordering::Relaxed),
            since: self.since,
            heard: self.heard(),
        }
    }
}

impl Downstreams {
    /// An empty list.
    pub fn new(neighbours: Arc<Neighbours>) -> Self {
        Self {
            neighbours,
            announcements: Announcements::default(),
            open: Mutex::default(),
            were_read: AtomicBool::new(false),
            too_large: Mutex::default(),
            latest: LatestFrames::default(),
        }
    }

    /// Announces to lazy readers what is new, until `shutdown` closes.
    pub async fn announce(self: Arc<Self>, handle: Handle, shutdown: Receiver<Infallible>) {
        self.announcements.run(handle, shutdown).await;
    }

    /// The open downstreams, by address.
    pub fn status(&self, handle: &Handle) -> Vec<DownstreamStatus> {
        let open: Vec<_> = self.open.lock().iter().filter_map(Weak::upgrade).collect();
        let mut list: Vec<_> = open.iter().map(|progress| progress.shown(handle)).collect();
        list.sort_unstable_by(|left, right| left.address.cmp(&right.address));
        list
    }

    /// How many pages and tools read this node.
    pub fn viewers(&self) -> u64 {
        let open = self.open.lock();
        let open = open.iter().filter_map(Weak::upgrade);
        open.filter(|progress| progress.kind == ReaderKind::Viewer).count() as u64
    }

    /// Whether another patchmesh node has read this one since it started.
    pub fn were_read(&self) -> bool {
        self.were_read.load(Ordering::Relaxed)
    }

    /// Another patchmesh node reads this one.
    pub(super) fn are_read(&self) {
        self.were_read.store(true, Ordering::Relaxed);
    }

    /// A downstream begins at `position`. The journal has `length_at_begin` transactions, and those in `seen`
    /// are left out.
    pub(super) fn begin(
        &self,
        (address, node, kind): (SocketAddr, Option<Source>, ReaderKind),
        position: u64,
        length_at_begin: u64,
        seen: SeenByReader,
    ) -> Arc<SendingProgress> {
        let since = wall_clock();
        let progress = Arc::new(SendingProgress {
            address,
            node,
            kind,
            position: AtomicU64::new(position),
            length_at_begin,
            lazy: AtomicBool::new(false),
            seen,
            since,
            heard: AtomicU64::new(since.as_micros()),
        });
        let mut open = self.open.lock();
        open.retain(|progress| progress.strong_count() > 0);
        open.push(Arc::downgrade(&progress));
        progress
    }

    pub(super) fn found_too_large(&self, address: IpAddr) {
        let now = Instant::now();
        let mut found = self.too_large.lock();
        found.retain(|_, at| now.duration_since(*at) < TOO_LARGE_PAUSE);
        if found.len() < TOO_LARGE_ADDRESSES {
            found.insert(address, now);
        }
    }

    pub(super) fn pause(&self, address: IpAddr) -> Option<Duration> {
        let found = self.too_large.lock();
        TOO_LARGE_PAUSE.checked_sub(found.get(&address)?.elapsed())
    }
}
