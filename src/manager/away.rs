//! Work that another thread does for the manager, which looks for what came of it between its turns.

use std::future::pending;

use smol::Task;

/// Such work, and what came of it.
pub struct Away<T> {
    task: Task<T>,
    result: Option<T>,
}

impl<T> Away<T> {
    /// Work that has begun.
    pub fn new(task: Task<T>) -> Self {
        Self { task, result: None }
    }

    /// Waits until it is done. Who gives up waiting may do it again.
    pub async fn done(&mut self) {
        if self.result.is_none() {
            self.result = Some((&mut self.task).await);
        }
    }

    /// Whether it is done, also if nobody has waited for it, since there was always something else to do.
    pub async fn is_done(&mut self) -> bool {
        if self.task.is_finished() {
            self.done().await;
        }
        self.result.is_some()
    }

    /// What came of it, if it is done.
    pub fn take(&mut self) -> Option<T> {
        self.result.take()
    }
}

/// Waits until work is done; for ever if there is none.
pub async fn done<T>(work: Option<&mut Away<T>>) {
    match work {
        Some(work) => work.done().await,
        None => pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use smol::future::FutureExt;
    use std::time::Duration;

    #[test]
    fn what_nobody_waits_for_is_found_to_be_done() {
        smol::block_on(async {
            let (go, gone) = async_channel::bounded::<()>(1);
            let work = smol::unblock(move || gone.recv_blocking().is_ok());
            let mut away = Away::new(work);
            assert!(!away.is_done().await);
            // Given up, it is waited for again.
            let given_up = async { true };
            let waited = async {
                done(Some(&mut away)).await;
                false
            };
            assert!(waited.or(given_up).await);
            go.try_send(()).unwrap();
            while !away.is_done().await {
                smol::Timer::after(Duration::from_millis(1)).await;
            }
            assert_eq!((away.take(), away.take()), (Some(true), None));
        });
    }
}
