//! Work that another thread does for the manager, which looks for the result between its turns.

use std::future::pending;

use smol::Task;

/// Work of another thread, and its result.
pub struct Background<T> {
    task: Task<T>,
    result: Option<T>,
}

impl<T> Background<T> {
    /// Work that has begun.
    pub fn new(task: Task<T>) -> Self {
        Self { task, result: None }
    }

    /// Waits until it is done. A caller that stops waiting may wait again.
    pub async fn done(&mut self) {
        if self.result.is_none() {
            self.result = Some((&mut self.task).await);
        }
    }

    /// Whether it is done, also if nobody has waited for it.
    pub async fn is_done(&mut self) -> bool {
        if self.task.is_finished() {
            self.done().await;
        }
        self.result.is_some()
    }

    /// The result, if it is done and was not taken before.
    pub fn take(&mut self) -> Option<T> {
        self.result.take()
    }
}

/// Waits until work is done; for ever if there is none.
pub async fn done<T>(work: Option<&mut Background<T>>) {
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
            let mut background = Background::new(work);
            assert!(!background.is_done().await);
            // Given up, it is waited for again.
            let given_up = async { true };
            let waited = async {
                done(Some(&mut background)).await;
                false
            };
            assert!(waited.or(given_up).await);
            go.try_send(()).unwrap();
            while !background.is_done().await {
                smol::Timer::after(Duration::from_millis(1)).await;
            }
            assert_eq!((background.take(), background.take()), (Some(true), None));
        });
    }
}
