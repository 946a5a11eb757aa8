//! What reading the past may cost.
//!
//! Nobody hurries who reads the past, and durable writers wait for the same processors and the same
//! disk. So few threads read it at a time, and each rests as long as it has worked.

use std::cell::Cell;
use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_channel::Receiver;
use smol::Timer;
use smol::future::FutureExt;
use smol::lock::Semaphore;

use super::Untold;

/// How many replays there are at once; more wait. Each holds a document, so this bounds their memory.
const REPLAYS: usize = 2;

/// How many lookups there are at once; more wait. They read a part of the journal, and hold little.
const LOOKUPS: usize = 1;

/// How long one may take, its wait included.
const TIME_LIMIT: Duration = Duration::from_secs(20);

/// The longest rest at a time: who asked, and may be gone, is looked for after that.
const LONGEST_REST: Duration = Duration::from_millis(100);

/// The budget of one node.
pub struct Budget {
    replays: Arc<Semaphore>,
    lookups: Arc<Semaphore>,
}

impl Default for Budget {
    fn default() -> Self {
        let semaphore = |permits| Arc::new(Semaphore::new(permits));
        Self { replays: semaphore(REPLAYS), lookups: semaphore(LOOKUPS) }
    }
}

impl Budget {
    /// Has another thread read the journal, as `prepared` says when its turn has come.
    ///
    /// # Errors
    /// If that takes too long, or fails.
    pub async fn lookup<T: Send + 'static, W>(
        &self,
        prepared: impl Future<Output = Result<W, Untold>>,
    ) -> Result<T, Untold>
    where
        W: FnOnce(&Pace) -> io::Result<T> + Send + 'static,
    {
        spend(&self.lookups, prepared).await
    }

    /// The same for a work that makes a part of the history, or of the document, anew.
    ///
    /// # Errors
    /// If that takes too long, or fails.
    pub async fn replay<T: Send + 'static, W>(
        &self,
        prepared: impl Future<Output = Result<W, Untold>>,
    ) -> Result<T, Untold>
    where
        W: FnOnce(&Pace) -> io::Result<T> + Send + 'static,
    {
        spend(&self.replays, prepared).await
    }
}

async fn spend<T: Send + 'static, W>(
    permits: &Arc<Semaphore>,
    prepared: impl Future<Output = Result<W, Untold>>,
) -> Result<T, Untold>
where
    W: FnOnce(&Pace) -> io::Result<T> + Send + 'static,
{
    let done = async {
        let permit = permits.acquire_arc().await;
        let work = prepared.await?;
        // Closed when nobody waits for it any more.
        let (_wanted, unwanted) = async_channel::bounded(1);
        let done = smol::unblock(move || {
            let _permit = permit;
            let pace = Pace { unwanted, begun: Cell::new(Instant::now()) };
            let done = work(&pace);
            // The next one has its turn after this one's last rest.
            pace.rest();
            done
        });
        Ok(done.await?)
    };
    let too_long = async {
        Timer::after(TIME_LIMIT).await;
        Err(Untold::TooLong)
    };
    done.or(too_long).await
}

/// Keeps one thread from working all the time, and from working for nobody.
pub struct Pace {
    unwanted: Receiver<Infallible>,
    /// When it began to work after its last rest.
    begun: Cell<Instant>,
}

impl Pace {
    /// Is to be called after every stretch of work, of some milliseconds.
    ///
    /// # Errors
    /// If nobody waits for the result any more.
    pub fn step(&self) -> io::Result<()> {
        self.rest();
        if self.unwanted.is_closed() {
            return Err(io::Error::other("nobody waits for it any more"));
        }
        Ok(())
    }

    fn rest(&self) {
        std::thread::sleep(self.begun.get().elapsed().min(LONGEST_REST));
        self.begun.set(Instant::now());
    }
}
