//! The way back for one answer of the manager.
//!
//! Each write has one of these. A channel would do, but it can carry many items to many receivers, and costs a
//! write four allocations; this is one.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::Stopped;
use crate::locks::Mutex;

/// The manager's end. If it is dropped without an answer, the node stops.
pub struct Reply<T>(Option<Arc<Mutex<Slot<T>>>>);

/// The end of the one who asked: a future that is ready with the answer.
pub struct PendingReply<T>(Arc<Mutex<Slot<T>>>);

enum Slot<T> {
    /// There is no answer yet. The waker is that of the last one who looked.
    Waiting(Option<Waker>),
    Answered(T),
    /// There will be none, or it was taken.
    Ended,
}

impl<T> Reply<T> {
    /// Both ends.
    pub fn new() -> (Self, PendingReply<T>) {
        let slot = Arc::new(Mutex::new(Slot::Waiting(None)));
        (Self(Some(slot.clone())), PendingReply(slot))
    }

    /// Answers. If the one who asked has gone, this does nothing.
    pub fn send(mut self, answer: T) {
        self.end(Slot::Answered(answer));
    }

    fn end(&mut self, end: Slot<T>) {
        let Some(slot) = self.0.take() else { return };
        let before = std::mem::replace(&mut *slot.lock(), end);
        if let Slot::Waiting(Some(waker)) = before {
            waker.wake();
        }
    }
}

impl<T> Drop for Reply<T> {
    fn drop(&mut self) {
        self.end(Slot::Ended);
    }
}

impl<T> Future for PendingReply<T> {
    type Output = Result<T, Stopped>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut slot = self.0.lock();
        if let Slot::Waiting(waker) = &mut *slot {
            match waker {
                Some(waker) => waker.clone_from(context.waker()),
                None => *waker = Some(context.waker().clone()),
            }
            return Poll::Pending;
        }
        match std::mem::replace(&mut *slot, Slot::Ended) {
            Slot::Answered(answer) => Poll::Ready(Ok(answer)),
            Slot::Waiting(_) | Slot::Ended => Poll::Ready(Err(Stopped)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use smol::future::{poll_once, yield_now, zip};

    use super::*;

    #[test]
    fn an_answer_comes_once_whoever_is_first() {
        smol::block_on(async {
            let (reply, pending) = Reply::new();
            reply.send(1);
            assert_eq!(pending.await, Ok(1));
            let (reply, mut pending) = Reply::new();
            assert_eq!(poll_once(&mut pending).await, None);
            let answering = async {
                yield_now().await;
                reply.send(2);
            };
            assert_eq!(zip(&mut pending, answering).await.0, Ok(2));
            assert_eq!(pending.await, Err(Stopped), "it was taken");
        });
    }

    #[test]
    fn one_who_is_not_answered_learns_that() {
        smol::block_on(async {
            let (reply, mut pending) = Reply::<()>::new();
            let dropping = async {
                yield_now().await;
                drop(reply);
            };
            assert_eq!(zip(&mut pending, dropping).await.0, Err(Stopped));
        });
    }

    #[test]
    fn an_answer_to_one_who_has_gone_is_dropped() {
        let answer = Arc::new(());
        let (reply, pending) = Reply::new();
        drop(pending);
        reply.send(answer.clone());
        assert_eq!(Arc::strong_count(&answer), 1);
    }

    #[test]
    fn the_last_one_who_looked_is_woken() {
        struct Count(AtomicUsize);
        impl Wake for Count {
            fn wake(self: Arc<Self>) {
                self.0.fetch_add(1, Ordering::Relaxed);
            }
        }
        let wakers = [0; 2].map(|_| Arc::new(Count(AtomicUsize::new(0))));
        let (reply, mut pending) = Reply::new();
        for count in &wakers {
            let waker = Waker::from(count.clone());
            assert!(Pin::new(&mut pending).poll(&mut Context::from_waker(&waker)).is_pending());
        }
        reply.send(());
        assert_eq!(wakers.map(|count| count.0.load(Ordering::Relaxed)), [0, 1]);
    }
}
