//! Announces to all lazy readers alike what is new at this node.

use std::convert::Infallible;
use std::sync::Arc;

use async_channel::Receiver;
use smol::Timer;
use smol::future::FutureExt;

use super::frames::frame;
use crate::fanout::Fanout;
use crate::locks::Mutex;
use crate::manager::{Handle, State};
use crate::mesh::tree::{Announcement, Herald};
use crate::mesh::websocket::Note;
use crate::shutdown::closed;

/// The last announcement, and the readers to wake.
#[derive(Default)]
pub struct Announcements {
    last: Mutex<LastAnnouncement>,
    readers: Fanout,
}

#[derive(Default)]
struct LastAnnouncement {
    /// The maker of announcements, and the generation of the node's state for which it began.
    herald: Option<(Herald, u64)>,
    /// An announcement, and its frame as it is sent.
    frame: Option<(Arc<Announcement>, Arc<[u8]>)>,
}

impl Announcements {
    /// Makes an announcement of the current state.
    pub fn announce(&self, handle: &Handle) -> Arc<Announcement> {
        let mut last = self.last.lock();
        // The lock is held, so that a later call sees a later state.
        let state = handle.last_state();
        last.announce(&state).clone()
    }

    /// The last announcement.
    pub fn last(&self) -> Option<Arc<Announcement>> {
        self.last.lock().herald.as_ref().map(|(herald, _)| herald.last().clone())
    }

    /// The frame of an announcement, which in most cases is the last one.
    pub fn frame(&self, announcement: &Arc<Announcement>) -> Arc<[u8]> {
        let mut last = self.last.lock();
        if let Some((of, frame)) = &last.frame
            && Arc::ptr_eq(of, announcement)
        {
            return frame.clone();
        }
        let frame = frame(&Note::Have(announcement.summary.clone()).encode());
        last.frame = Some((announcement.clone(), frame.clone()));
        frame
    }

    /// A channel that has an item if there was an announcement since it was last emptied, and at first.
    pub fn subscribe(&self) -> Receiver<()> {
        self.readers.subscribe()
    }

    /// Tells lazy readers what is new, at the right interval, until `shutdown` closes.
    pub async fn run(&self, handle: Handle, shutdown: Receiver<Infallible>) {
        let grown = handle.subscribe();
        let next = async {
            while grown.recv().await.is_ok() {
                let readers = self.tell(&handle);
                Timer::after(Herald::interval(readers)).await;
            }
        };
        next.or(closed(&shutdown)).await;
    }

    /// Tells the readers. Returns how many there are.
    fn tell(&self, handle: &Handle) -> usize {
        let readers = self.readers.count();
        if readers > 0 {
            self.last.lock().announce(&handle.last_state());
            self.readers.wake();
        }
        readers
    }
}

impl LastAnnouncement {
    fn announce(&mut self, state: &State) -> &Arc<Announcement> {
        let (clock, length, generation) =
            (state.stamps(), state.journal_length(), state.generation());
        let first = || (Herald::new(clock.clone(), length), generation);
        let (herald, of) = self.herald.get_or_insert_with(first);
        if *of != generation {
            // All earlier readers have to dial again.
            (*herald, *of) = first();
        }
        herald.announce(clock, length)
    }
}
