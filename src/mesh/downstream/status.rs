//! What is known of all sessions, and what `/peers` shows of them.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::clock::Time;
use crate::manager::wall_clock;
use crate::source::Source;

/// How long a plain node that found a message too large has to wait when it comes again, as it
/// would come at once, get the same messages and go, for ever.
const TOO_LARGE_PAUSE: Duration = Duration::from_secs(10);

/// How many addresses that found a message too large are remembered.
const TOO_LARGE_ADDRESSES: usize = 1024;

/// What is known of all sessions.
#[derive(Default)]
pub struct Downstreams {
    open: Mutex<Vec<Weak<Progress>>>,
    were_read: AtomicBool,
    too_large: Mutex<HashMap<IpAddr, Instant>>,
}

/// How far one session is.
#[derive(Debug)]
pub(super) struct Progress {
    address: SocketAddr,
    node: Option<Source>,
    pub position: AtomicU64,
    /// How many transactions the journal had when the session began.
    pub length_at_begin: u64,
    /// Whether the reader wants to be told what there is, not the transactions.
    pub lazy: AtomicBool,
    since: Time,
}

/// One session as `/peers` shows it.
#[derive(Clone, Debug, Serialize)]
pub struct DownstreamStatus {
    /// Whom the journal is sent to.
    pub address: String,
    /// The source of the node that reads; none if it does not say, as plain nodes do not.
    pub node: Option<String>,
    /// The position in the journal of the next transaction to send.
    pub position: u64,
    /// How many transactions are behind that.
    pub behind: u64,
    /// Whether it is sent only what there is, not the transactions: they come from others.
    pub lazy: bool,
    /// When the session began.
    pub since: Time,
}

impl Downstreams {
    /// The open sessions, by address, if the journal has `length` transactions.
    pub fn status(&self, length: u64) -> Vec<DownstreamStatus> {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let mut list: Vec<_> = open
            .iter()
            .filter_map(Weak::upgrade)
            .map(|progress| {
                let position = progress.position.load(Ordering::Relaxed);
                DownstreamStatus {
                    address: progress.address.to_string(),
                    node: progress.node.as_ref().map(Source::to_string),
                    position,
                    behind: length.saturating_sub(position),
                    lazy: progress.lazy.load(Ordering::Relaxed),
                    since: progress.since,
                }
            })
            .collect();
        list.sort_by(|left, right| left.address.cmp(&right.address));
        list
    }

    /// Whether another patchmesh node has read this one since it started.
    pub fn were_read(&self) -> bool {
        self.were_read.load(Ordering::Relaxed)
    }

    /// The other end of a session is another patchmesh node.
    pub(super) fn are_read(&self) {
        self.were_read.store(true, Ordering::Relaxed);
    }

    pub(super) fn begin(
        &self,
        address: SocketAddr,
        node: Option<Source>,
        position: u64,
        length_at_begin: u64,
    ) -> Arc<Progress> {
        let (position, since) = (AtomicU64::new(position), wall_clock());
        let lazy = AtomicBool::new(false);
        let progress = Arc::new(Progress { address, node, position, length_at_begin, lazy, since });
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|progress| progress.strong_count() > 0);
        open.push(Arc::downgrade(&progress));
        progress
    }

    pub(super) fn found_too_large(&self, address: IpAddr) {
        let now = Instant::now();
        let mut found = self.too_large.lock().unwrap_or_else(PoisonError::into_inner);
        found.retain(|_, at| now.duration_since(*at) < TOO_LARGE_PAUSE);
        if found.len() < TOO_LARGE_ADDRESSES {
            found.insert(address, now);
        }
    }

    pub(super) fn pause(&self, address: IpAddr) -> Option<Duration> {
        let found = self.too_large.lock().unwrap_or_else(PoisonError::into_inner);
        TOO_LARGE_PAUSE.checked_sub(found.get(&address)?.elapsed())
    }
}
