//! The reports of nodes about themselves, shared by all streams of this node: upstreams bring them,
//! downstreams send them on.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_channel::{Receiver, Sender};

use crate::fanout::Fanout;
use crate::locks::Mutex;
use crate::manager::wall_clock;
use crate::mesh::members::{GossipReader, Members, Report, Reports, ToldReport};
use crate::mesh::tree::ProcessId;
use crate::mesh::websocket::Note;
use crate::source::Source;

/// The reports, and the readers to wake.
pub struct Roster {
    members: Mutex<Members>,
    /// The version of the reports for which readers were last woken.
    version: AtomicU64,
    readers: Fanout,
    /// A channel with one item if something must be reported.
    news: (Sender<()>, Receiver<()>),
}

impl Default for Roster {
    fn default() -> Self {
        Self {
            members: Mutex::default(),
            version: AtomicU64::new(0),
            readers: Fanout::default(),
            news: async_channel::bounded(1),
        }
    }
}

impl Roster {
    /// A peer's process has sent reports.
    pub fn hear(&self, reports: Reports, from: ProcessId) {
        let micros = wall_clock().as_micros();
        if self.members.lock().hear(reports, from, micros, Instant::now()) {
            self.stir();
        }
    }

    /// Sets the source of this node: see [`Members::begin`].
    pub fn begin(&self, node: Source) {
        self.members.lock().begin(node);
    }

    /// Keeps a report of this node. Not if others would close its streams for that: the source may be of an
    /// older build, which allowed other names.
    pub fn tell(&self, report: Report) {
        if let Err(error) = report.check() {
            return log::debug!("this node cannot tell others how it is: {error}");
        }
        self.members.lock().tell(report, wall_clock().as_micros(), Instant::now());
    }

    /// How long after its last report the node makes another one, if nothing happens.
    pub fn interval(&self) -> Duration {
        self.members.lock().interval()
    }

    /// Something has happened that must be reported soon.
    pub fn stir(&self) {
        // If it is full, that is known already.
        self.news.0.try_send(()).ok();
    }

    /// Waits until something happens.
    pub async fn is_stirred(&self) {
        // The sender lives as long as `self`.
        self.news.1.recv().await.ok();
    }

    /// The reports of all nodes but this one, in the order of their names.
    pub fn others(&self) -> Vec<ToldReport> {
        self.members.lock().others(Instant::now())
    }

    /// How many readers want reports.
    pub fn readers(&self) -> usize {
        self.readers.count()
    }

    /// Wakes the readers if there are reports that they were not sent.
    pub fn wake(&self) {
        let version = self.members.lock().version();
        if self.version.swap(version, Ordering::Relaxed) != version {
            self.readers.wake();
        }
    }

    /// A channel that has an item if there was another [version](Self::version) since it was last emptied,
    /// and at first.
    pub fn subscribe(&self) -> Receiver<()> {
        let woken = self.readers.subscribe();
        // This may be the first reader.
        self.stir();
        woken
    }

    /// The version for which readers were last woken. This costs next to nothing.
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Relaxed)
    }

    /// The next message for a reader that was sent all up to `version`, if there is one; and the version up
    /// to which it then has all.
    pub fn message(&self, version: u64, reader: &GossipReader<'_>) -> (Option<String>, u64) {
        let (told, version) = self.members.lock().since(version, reader, Instant::now());
        let text = (!told.is_empty()).then(|| Note::Members(Reports::new(told)).encode());
        (text, version)
    }
}
