//! Many connections on which a thread counts what comes.

use std::io::Read;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use memchr::memmem;
use rustix::event::{Timespec, epoll};

use super::server::{MARK, Server};

/// How long the thread waits at most before it looks whether it should end.
const LOOK: Timespec = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };

/// How many connections it is told of at once.
const MOST_EVENTS: usize = 256;

/// The connections and their thread, which ends with this value.
pub struct Readers {
    heard: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    count: usize,
    thread: Option<JoinHandle<()>>,
}

impl Readers {
    /// So many readers, each of which has been greeted.
    pub fn new(server: &Server, count: usize) -> Self {
        let hello = server.hello();
        let streams: Vec<_> = (0..count).map(|_| server.reader(&hello)).collect();
        let (heard, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (counter, stopped) = (heard.clone(), stop.clone());
        let thread = Some(thread::spawn(move || read(&streams, &counter, &stopped)));
        Self { heard, stop, count, thread }
    }

    /// Waits until every reader has heard so many messages.
    pub fn wait_for(&self, messages: u64, patience: Duration) {
        let (begin, wanted) = (Instant::now(), messages * self.count as u64);
        while self.heard.load(Ordering::Relaxed) < wanted {
            assert!(
                begin.elapsed() < patience,
                "{} of {wanted}",
                self.heard.load(Ordering::Relaxed)
            );
            thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("it only counts");
        }
    }
}

fn read(streams: &[TcpStream], heard: &AtomicU64, stopped: &AtomicBool) {
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).expect("there are descriptors");
    for (number, stream) in streams.iter().enumerate() {
        let number = epoll::EventData::new_u64(number as u64);
        epoll::add(&epoll, stream, number, epoll::EventFlags::IN).expect("it is a socket");
    }
    let mut events = Vec::with_capacity(MOST_EVENTS);
    let mut buffer = vec![0; 64 << 10];
    while !stopped.load(Ordering::Relaxed) {
        let spare = rustix::buffer::spare_capacity(&mut events);
        epoll::wait(&epoll, spare, Some(&LOOK)).expect("it can be waited");
        for event in events.drain(..) {
            let number = usize::try_from(event.data.u64()).expect("it is one of them");
            let count = (&streams[number]).read(&mut buffer).expect("it is open");
            assert_ne!(count, 0, "no reader is closed");
            let marks = memmem::find_iter(&buffer[..count], MARK).count();
            heard.fetch_add(marks as u64, Ordering::Relaxed);
        }
    }
}
