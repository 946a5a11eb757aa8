//! Back-pressure: shares an overloaded node between its own writers and its peers.
//!
//! A stream from a peer is behind if it never comes to its end while the manager is busy: it brings more than this
//! node takes in. As long as a stream is behind, each new write waits before it gets a name, so that transactions of
//! peers are taken in first. No write waits longer than [`LONGEST`], so writers get a share too. Since a writer
//! waits for its answer before it writes again, this slows it down, and the node does not fall further behind.
//!
//! This decides only when a write is submitted. The manager treats all transactions alike.

use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, MutexGuard};
use std::time::Duration;

use async_channel::{Receiver, Sender};
use smol::Timer;
use smol::future::FutureExt;

use crate::locks::Mutex;

/// The longest time for which a write waits for streams that are behind. The aim: if 16 clients write at full speed
/// to each of three nodes, the slowest answer takes less than 200 ms, including a turn of the manager.
const LONGEST: Duration = Duration::from_millis(50);

/// The streams that are behind, and the writes that wait for them.
#[derive(Debug, Default)]
pub struct Shares {
    /// Whether a stream is behind, to be read for each write without the lock.
    is_behind: AtomicBool,
    streams: Mutex<Streams>,
}

#[derive(Debug, Default)]
struct Streams {
    /// How many are behind.
    behind: usize,
    /// Exists while one is behind. Writes wait until it is closed.
    channel: Option<(Sender<Infallible>, Receiver<Infallible>)>,
}

impl Shares {
    /// Waits until a new write may be submitted.
    pub async fn wait(&self) {
        if !self.is_behind.load(Ordering::Relaxed) {
            return;
        }
        let channel = self.streams().channel.as_ref().map(|(_, receiver)| receiver.clone());
        if let Some(channel) = channel {
            let none_is_behind = async {
                channel.recv().await.ok();
            };
            let long_enough = async {
                Timer::after(LONGEST).await;
            };
            none_is_behind.or(long_enough).await;
        }
    }

    fn streams(&self) -> MutexGuard<'_, Streams> {
        self.streams.lock()
    }
}

/// Whether one stream is behind. If this is dropped, it is not.
#[derive(Debug)]
pub struct Lag {
    shares: Arc<Shares>,
    is_behind: bool,
}

impl Lag {
    /// For a new stream, which is not behind.
    pub fn new(shares: Arc<Shares>) -> Self {
        Self { shares, is_behind: false }
    }

    /// Sets whether the stream is behind.
    pub fn set(&mut self, is_behind: bool) {
        if self.is_behind == is_behind {
            return;
        }
        self.is_behind = is_behind;
        let mut streams = self.shares.streams();
        if is_behind {
            streams.behind += 1;
            streams.channel.get_or_insert_with(|| async_channel::bounded(1));
        } else {
            streams.behind -= 1;
            if streams.behind == 0 {
                streams.channel = None;
            }
        }
        self.shares.is_behind.store(streams.behind > 0, Ordering::Relaxed);
    }
}

impl Drop for Lag {
    fn drop(&mut self) {
        self.set(false);
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::time::Instant;

    use smol::future::poll_once;

    use super::*;

    #[test]
    fn a_write_waits_while_a_stream_is_behind() {
        // A stream, whether it is behind from now on, and whether a write waits then.
        let shares = Arc::new(Shares::default());
        let mut lags = [0; 3].map(|_| Lag::new(shares.clone()));
        smol::block_on(async {
            for (stream, is_behind, waits) in [
                (0, false, false),
                (0, true, true),
                (0, true, true),
                (1, true, true),
                (0, false, true),
                (1, false, false),
                (1, false, false),
                (2, true, true),
            ] {
                lags[stream].set(is_behind);
                let write = poll_once(shares.wait()).await;
                assert_eq!(write.is_none(), waits, "{stream} {is_behind}");
            }
            drop(lags);
            assert_eq!(poll_once(shares.wait()).await, Some(()), "the streams have ended");
        });
    }

    #[test]
    fn a_write_that_waits_goes_on_at_once_or_after_the_longest_time() {
        let shares = Arc::new(Shares::default());
        let mut lag = Lag::new(shares.clone());
        smol::block_on(async {
            lag.set(true);
            {
                let mut write = pin!(shares.wait());
                assert_eq!(poll_once(&mut write).await, None);
                lag.set(false);
                assert_eq!(poll_once(write).await, Some(()));
            }
            lag.set(true);
            let begin = Instant::now();
            shares.wait().await;
            assert!(begin.elapsed() >= LONGEST, "{:?}", begin.elapsed());
        });
    }
}
