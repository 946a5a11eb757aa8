//! Logs what goes wrong with connections: each kind at most once a minute, however many clients try.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::ACCEPT_PAUSE;
use crate::locks::Mutex;
use crate::stream::is_of_tls;

/// How long no more is logged of one kind.
const SILENCE: Duration = Duration::from_secs(60);

/// When each kind was logged last.
#[derive(Debug, Default)]
pub struct Complaints {
    accepting: RateLimit,
    handshake: RateLimit,
    no_tls: RateLimit,
    tls: RateLimit,
}

impl Complaints {
    /// No connection could be accepted.
    pub fn of_accepting(&self, error: &io::Error) {
        if self.accepting.is_due(Instant::now()) {
            log::warn!(
                "cannot accept connections: {error} (too many open files? see `ulimit -n`); trying again every \
                 {ACCEPT_PAUSE:?}, saying so every {SILENCE:?}"
            );
        }
    }

    /// A handshake with a client failed. That a client just leaves is normal.
    pub fn of_handshake(&self, from: SocketAddr, error: &io::Error) {
        let level = level(is_of_tls(error) && self.handshake.is_due(Instant::now()));
        log::log!(level, "{from} is refused: {error}");
    }

    /// A client speaks no TLS, and the node does.
    pub fn of_no_tls(&self, from: SocketAddr) {
        let level = level(self.no_tls.is_due(Instant::now()));
        log::log!(
            level,
            "{from} is refused: it speaks no TLS, and this node speaks nothing else; it has to use https://, or \
             wss:// if it is a peer"
        );
    }

    /// A client speaks TLS, and the node does not.
    pub fn of_tls(&self, from: SocketAddr) {
        let level = level(self.tls.is_due(Instant::now()));
        log::log!(
            level,
            "{from} is refused: it speaks TLS, and this node does not; it has to use http://, or ws:// if it is a \
             peer, or this node --tls-cert"
        );
    }
}

fn level(is_due: bool) -> log::Level {
    if is_due { log::Level::Warn } else { log::Level::Debug }
}

/// Says when a message may be logged again.
#[derive(Debug, Default)]
struct RateLimit(Mutex<Option<Instant>>);

impl RateLimit {
    fn is_due(&self, now: Instant) -> bool {
        let mut last = self.0.lock();
        let is_due = last.is_none_or(|last| now.duration_since(last) >= SILENCE);
        if is_due {
            *last = Some(now);
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_said_once_a_minute() {
        let seldom = RateLimit::default();
        let begin = Instant::now();
        let due = [0, 1, 59, 60, 61, 119, 121];
        let due = due.map(|seconds| seldom.is_due(begin + Duration::from_secs(seconds)));
        assert_eq!(due, [true, false, false, true, false, false, true]);
    }
}
