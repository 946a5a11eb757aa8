//! What nodes tell of themselves, as the streams of this node share it: upstreams bring it, downstreams pass it on.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_channel::{Receiver, Sender};

use crate::fanout::Fanout;
use crate::manager::wall_clock;
use crate::mesh::members::{GossipReader, Members, Report, Reports, ToldReport};
use crate::mesh::tree::ProcessId;
use crate::mesh::websocket::Note;
use crate::source::Source;

/// The members of the mesh, and who is told of them.
pub struct Roster {
    members: Mutex<Members>,
    /// The version of which readers were told that it is there.
    version: AtomicU64,
    readers: Fanout,
    /// Whether something has happened.
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
    /// A peer's process passes reports on.
    pub fn hear(&self, reports: Reports, from: ProcessId) {
        let micros = wall_clock().as_micros();
        if self.lock().hear(reports, from, micros, Instant::now()) {
            self.stir();
        }
    }

    /// This node says who it is: see [`Members::begin`].
    pub fn begin(&self, node: Source) {
        self.lock().begin(node);
    }

    /// This node tells how it is, unless others would close its streams for that: its source may be of an older
    /// build, which took other names.
    pub fn tell(&self, report: Report) {
        if let Err(error) = report.check() {
            return log::debug!("this node cannot tell others how it is: {error}");
        }
        self.lock().tell(report, wall_clock().as_micros(), Instant::now());
    }

    /// How long after its last report the node tells how it is, if nothing happens.
    pub fn interval(&self) -> Duration {
        self.lock().interval()
    }

    /// Something has happened of which others may have to hear soon.
    pub fn stir(&self) {
        // If it is full, that is known.
        self.news.0.try_send(()).ok();
    }

    /// Waits until something happens.
    pub async fn is_stirred(&self) {
        // The sender is there as long as this is.
        self.news.1.recv().await.ok();
    }

    /// What all nodes but this one have told, by their names.
    pub fn others(&self) -> Vec<ToldReport> {
        self.lock().others(Instant::now())
    }

    /// How many readers want to be told.
    pub fn readers(&self) -> usize {
        self.readers.count()
    }

    /// Wakes the readers if there is something that they were not told.
    pub fn wake(&self) {
        let version = self.lock().version();
        if self.version.swap(version, Ordering::Relaxed) != version {
            self.readers.wake();
        }
    }

    /// A channel that has something in it if there is another [version](Self::version) since it was last emptied,
    /// or before.
    pub fn subscribe(&self) -> Receiver<()> {
        let woken = self.readers.subscribe();
        // It may be the first.
        self.stir();
        woken
    }

    /// The version of which readers were woken. Costs next to nothing.
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Relaxed)
    }

    /// The message for a reader that was told all up to `version`, if there is something for it, and the version up
    /// to which it was told all then.
    pub fn message(&self, version: u64, reader: &GossipReader<'_>) -> (Option<String>, u64) {
        let (told, version) = self.lock().since(version, reader, Instant::now());
        let text = (!told.is_empty()).then(|| Note::Members(Reports::new(told)).encode());
        (text, version)
    }

    fn lock(&self) -> MutexGuard<'_, Members> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
