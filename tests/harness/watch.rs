//! Somebody else's requests, beside whatever a test does to a node.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::{Client, Node};

/// How long a request may take at most: long, for machines that have much else to do. A node that lets
/// somebody keep others waiting does so for as long as he likes.
const SLOW: Duration = Duration::from_secs(10);

/// Asks a node how it is, again and again, on one connection.
pub struct Watch {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    asking: JoinHandle<Duration>,
}

impl Watch {
    pub fn begin(node: &Node) -> Self {
        let (stop, answered) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let (stopped, count) = (stop.clone(), answered.clone());
        let mut client = Client::connect(node.address);
        let headers = vec![("Host", node.address.to_string())];
        let asking = std::thread::spawn(move || {
            let mut slowest = Duration::ZERO;
            while !stopped.load(Ordering::Relaxed) {
                let begin = Instant::now();
                client.request("GET", "/healthz", &headers, b"");
                slowest = slowest.max(begin.elapsed());
                count.fetch_add(1, Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(2));
            }
            slowest
        });
        Self { stop, answered, asking }
    }

    /// How many requests were answered so far.
    pub fn answered(&self) -> usize {
        self.answered.load(Ordering::Relaxed)
    }

    /// Ends it. All must have been answered in time.
    #[track_caller]
    pub fn end(self, what: &str) {
        self.stop.store(true, Ordering::Relaxed);
        let slowest = self.asking.join().expect("all are answered");
        assert!(slowest < SLOW, "{what}: {slowest:?}");
    }
}
