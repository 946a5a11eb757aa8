//! Somebody else's requests, beside whatever a test does to a node.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::{Client, Node};

/// How long a request takes that waits for nothing but its turn: long, for a debug build that shares its
/// machine with other tests. A node that lets somebody keep others waiting takes seconds.
const SLOW: Duration = Duration::from_secs(1);

/// Asks a node how it is, again and again, on one connection.
pub struct Watch {
    stop: Arc<AtomicBool>,
    asking: JoinHandle<Vec<Duration>>,
}

impl Watch {
    pub fn begin(node: &Node) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let mut client = Client::connect(node.address);
        let headers = vec![("Host", node.address.to_string())];
        let asking = std::thread::spawn(move || {
            let mut times = Vec::new();
            while !stopped.load(Ordering::Relaxed) {
                let begin = Instant::now();
                client.request("GET", "/healthz", &headers, b"");
                times.push(begin.elapsed());
                std::thread::sleep(Duration::from_millis(2));
            }
            times
        });
        Self { stop, asking }
    }

    /// Ends it. Of ten requests nine at least must have been answered soon.
    #[track_caller]
    pub fn end(self, what: &str) {
        self.stop.store(true, Ordering::Relaxed);
        let mut times = self.asking.join().expect("all are answered");
        times.sort();
        let soon = times[times.len() * 9 / 10];
        assert!(soon < SLOW, "{what}: of {} requests 90 % within {soon:?}", times.len());
    }
}
