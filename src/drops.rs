//! A thread that frees what is large, so that no task has to wait until it is freed.
//!
//! To free a document of 100 MB takes 50 to 150 ms, in which an executor would do nothing else. The thread
//! starts when it is first needed and ends with the process, whose memory is freed anyway.

use std::sync::OnceLock;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;

/// Up to this weight something is freed in under a tenth of a millisecond, which is not worth waking another
/// thread for.
pub const LIGHT: u64 = 64 << 10;

/// How many values may wait to be freed.
const QUEUE: usize = 1024;

/// Drops a value: here if it weighs at most [`LIGHT`], else on the thread.
///
/// If the queue is full, or there is no thread, it is dropped here as well. That is back-pressure: it slows
/// down those who make more than the thread frees. To wait for the thread would take no less time.
pub fn send(value: impl Send + 'static, weight: u64) {
    static THREAD: OnceLock<Drops> = OnceLock::new();
    if weight > LIGHT {
        THREAD.get_or_init(|| Drops::start(QUEUE)).send(Box::new(value));
    }
}

/// A value that is only to be dropped.
type Dropped = Box<dyn Send>;

struct Drops {
    /// None if the thread could not be started.
    queue: Option<SyncSender<Dropped>>,
}

impl Drops {
    fn start(most: usize) -> Self {
        let (queue, dropped) = sync_channel::<Dropped>(most);
        let thread = thread::Builder::new().name("drops".into());
        match thread.spawn(move || dropped.into_iter().for_each(drop)) {
            Ok(_) => Self { queue: Some(queue) },
            Err(error) => {
                log::warn!("what is large is freed where it is held last: no thread: {error}");
                Self { queue: None }
            }
        }
    }

    fn send(&self, value: Dropped) {
        if let Some(queue) = &self.queue {
            // If the queue is full, the value comes back in the error, and is dropped with it.
            drop(queue.try_send(value));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::thread::ThreadId;
    use std::time::Duration;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(20);

    /// Says which thread drops it, then waits until it may go on.
    struct DropProbe {
        tell: Sender<ThreadId>,
        go_on: Option<Receiver<()>>,
    }

    impl Drop for DropProbe {
        fn drop(&mut self) {
            let told = self.tell.send(thread::current().id());
            told.expect("the test waits for it");
            if let Some(go_on) = &self.go_on {
                go_on.recv_timeout(LIMIT).expect("the test goes on");
            }
        }
    }

    #[test]
    fn heavy_values_are_dropped_on_one_thread_and_light_ones_here() {
        let (tell, told) = channel();
        let here = thread::current().id();
        let mut threads = Vec::new();
        for weight in [LIGHT, LIGHT + 1, u64::MAX] {
            send(DropProbe { tell: tell.clone(), go_on: None }, weight);
            threads.push(told.recv_timeout(LIMIT).unwrap());
        }
        assert!(threads[0] == here && threads[1] != here && threads[2] == threads[1]);
    }

    #[test]
    fn a_value_is_dropped_here_if_the_queue_is_full_or_there_is_no_thread() {
        let drops = Drops::start(2);
        let (tell, told) = channel();
        let new = |go_on| Box::new(DropProbe { tell: tell.clone(), go_on });
        let (let_go, go_on) = channel();
        drops.send(new(Some(go_on)));
        let there = told.recv_timeout(LIMIT).unwrap();

        // The thread is at the first one, so two wait, and the next one does not go in.
        (0..3).for_each(|_| drops.send(new(None)));
        let here = thread::current().id();
        assert_eq!(told.recv_timeout(LIMIT), Ok(here));
        assert!(told.try_recv().is_err());
        let_go.send(()).unwrap();
        assert_eq!([(); 2].map(|()| told.recv_timeout(LIMIT).unwrap()), [there; 2]);

        Drops { queue: None }.send(new(None));
        assert_eq!(told.recv_timeout(LIMIT), Ok(here));
    }
}
