//! A fan-out: one says that something happened, and each of many hears of it once, however often it was said
//! since it listened last.

use std::sync::{Mutex, MutexGuard, PoisonError};

use async_channel::{Receiver, Sender, TrySendError};

/// Those who listen; none if nothing will be said any more.
pub struct Fanout(Mutex<Option<Vec<Sender<()>>>>);

impl Default for Fanout {
    fn default() -> Self {
        Self(Mutex::new(Some(Vec::new())))
    }
}

impl Fanout {
    /// A channel that has something in it if something happened since it was last emptied, or before: also now.
    /// It is closed when nothing will happen any more.
    pub fn subscribe(&self) -> Receiver<()> {
        let (wake, woken) = async_channel::bounded(1);
        // It may have happened just before.
        wake.try_send(()).ok();
        if let Some(subscribers) = &mut *self.lock() {
            // If nothing happens, those that left are not noticed otherwise.
            subscribers.retain(|subscriber| !subscriber.is_closed());
            subscribers.push(wake);
        }
        woken
    }

    /// How many listen.
    pub fn count(&self) -> usize {
        self.lock().as_mut().map_or(0, |subscribers| {
            subscribers.retain(|subscriber| !subscriber.is_closed());
            subscribers.len()
        })
    }

    /// Something has happened.
    pub fn wake(&self) {
        if let Some(subscribers) = &mut *self.lock() {
            subscribers.retain(|wake| !matches!(wake.try_send(()), Err(TrySendError::Closed(()))));
        }
    }

    /// Nothing will happen any more.
    pub fn close(&self) {
        *self.lock() = None;
    }

    fn lock(&self) -> MutexGuard<'_, Option<Vec<Sender<()>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_hears_once_of_what_happened_since_it_listened() {
        let fanout = Fanout::default();
        let first = fanout.subscribe();
        assert!(first.try_recv().is_ok() && first.try_recv().is_err());
        let second = fanout.subscribe();
        (0..3).for_each(|_| fanout.wake());
        for listener in [&first, &second] {
            assert!(listener.try_recv().is_ok() && listener.try_recv().is_err());
        }
        drop(second);
        fanout.wake();
        assert_eq!(fanout.lock().as_ref().map(Vec::len), Some(1));
        assert_eq!(fanout.count(), 1);
        fanout.close();
        assert!(first.try_recv().is_ok() && first.is_closed());
        assert!(fanout.subscribe().recv_blocking().is_ok());
    }
}
