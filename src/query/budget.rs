//! How much work reading the past may be.
//!
//! A reader of the past can wait, and durable writers need the same processors and the same disk. So few threads
//! read it at a time, and each rests as long as it has worked.

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
use crate::blocking::unblock;

/// How many replays there are at once; others wait. Each holds a document, so this bounds their memory.
const REPLAYS: usize = 2;

/// How many lookups there are at once; others wait. They read a part of the journal, and hold little.
const LOOKUPS: usize = 1;

/// How long one may take, with its wait.
const TIME_LIMIT: Duration = Duration::from_secs(20);

/// The longest rest at a time: after that it matters whether the reader still waits.
const LONGEST_REST: Duration = Duration::from_millis(100);

/// The budget of one node.
pub struct Budget {
    /// For work that replays a part of the history.
    pub replays: Permits,
    /// For work that reads a part of the journal.
    pub lookups: Permits,
}

impl Default for Budget {
    fn default() -> Self {
        let permits = |count| Permits(Arc::new(Semaphore::new(count)));
        Self { replays: permits(REPLAYS), lookups: permits(LOOKUPS) }
    }
}

/// How many of one kind may work at a time.
pub struct Permits(Arc<Semaphore>);

impl Permits {
    /// Lets another thread read the journal: `prepared` is awaited when its turn has come, and makes the work.
    ///
    /// # Errors
    /// If that takes too long, or fails.
    pub async fn spend<T: Send + 'static, W>(
        &self,
        prepared: impl Future<Output = Result<W, Untold>>,
    ) -> Result<T, Untold>
    where
        W: FnOnce(&Throttle) -> io::Result<T> + Send + 'static,
    {
        let done = async {
            let permit = self.0.acquire_arc().await;
            let work = prepared.await?;
            // It is closed when nobody waits for the result any more.
            let (_wanted, unwanted) = async_channel::bounded(1);
            let done = unblock(move || {
                let _permit = permit;
                let throttle = Throttle { unwanted, begun: Cell::new(Instant::now()) };
                let done = work(&throttle);
                // The next one has its turn after this one's last rest.
                throttle.rest();
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
}

/// Keeps one thread from working all the time, and from working for nobody.
pub struct Throttle {
    unwanted: Receiver<Infallible>,
    /// When it began to work after its last rest.
    begun: Cell<Instant>,
}

impl Throttle {
    /// To be called after every stretch of work, of some milliseconds.
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn few_work_at_a_time_and_rest_as_long_as_they_work() {
        const WORK: Duration = Duration::from_millis(10);
        let budget = Budget::default();
        let (at_work, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let replay = || async {
            let (at_work, most) = (at_work.clone(), most.clone());
            let work = move |throttle: &Throttle| {
                most.fetch_max(at_work.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                let begin = Instant::now();
                std::thread::sleep(WORK);
                throttle.step()?;
                let took = begin.elapsed();
                at_work.fetch_sub(1, Ordering::SeqCst);
                Ok(took)
            };
            budget.replays.spend(async { Ok(work) }).await.unwrap()
        };
        smol::block_on(async {
            let all = smol::Executor::new();
            let tasks: Vec<_> = (0..3 * REPLAYS).map(|_| all.spawn(replay())).collect();
            all.run(async {
                for task in tasks {
                    assert!(task.await >= 2 * WORK);
                }
            })
            .await;
        });
        assert!(most.load(Ordering::SeqCst) <= REPLAYS);
    }

    #[test]
    fn what_nobody_waits_for_any_more_is_given_up() {
        smol::block_on(async {
            let budget = Budget::default();
            let (begun, begin) = async_channel::bounded(1);
            let (given_up, end) = async_channel::bounded(1);
            let work = move |throttle: &Throttle| {
                begun.send_blocking(()).unwrap();
                while throttle.step().is_ok() {
                    std::thread::sleep(Duration::from_millis(1));
                }
                given_up.send_blocking(()).unwrap();
                Ok(())
            };
            let lookup = budget.lookups.spend(async { Ok(work) });
            let asked = async { lookup.await.unwrap() };
            asked.or(async { begin.recv().await.unwrap() }).await;
            end.recv().await.unwrap();
            // The next one has its turn.
            budget.lookups.spend(async { Ok(|_: &Throttle| Ok(())) }).await.unwrap();
        });
    }
}
