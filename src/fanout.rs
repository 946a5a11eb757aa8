//! A fan-out: wakes many listeners, each of them once for all events since it last listened.

use async_channel::{Receiver, Sender, TrySendError};

use crate::locks::Mutex;

/// The listeners. `None` if there will be no more events.
pub struct Fanout(Mutex<Option<Vec<Sender<()>>>>);

impl Default for Fanout {
    fn default() -> Self {
        Self(Mutex::new(Some(Vec::new())))
    }
}

impl Fanout {
    /// A channel that has an item if there was an event since it was last emptied, and at first. It is closed
    /// when there will be no more events.
    pub fn subscribe(&self) -> Receiver<()> {
        let (wake, woken) = async_channel::bounded(1);
        // There may have been an event just before.
        wake.try_send(()).ok();
        if let Some(subscribers) = &mut *self.0.lock() {
            // Without an event, listeners that are gone are not noticed otherwise.
            subscribers.retain(|subscriber| !subscriber.is_closed());
            subscribers.push(wake);
        }
        woken
    }

    /// How many listeners there are.
    pub fn count(&self) -> usize {
        self.0.lock().as_mut().map_or(0, |subscribers| {
            subscribers.retain(|subscriber| !subscriber.is_closed());
            subscribers.len()
        })
    }

    /// There was an event: wakes all listeners.
    pub fn wake(&self) {
        if let Some(subscribers) = &mut *self.0.lock() {
            subscribers.retain(|wake| !matches!(wake.try_send(()), Err(TrySendError::Closed(()))));
        }
    }

    /// There will be no more events.
    pub fn close(&self) {
        *self.0.lock() = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_listener_is_woken_once_for_all_events() {
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
        assert_eq!(fanout.0.lock().as_ref().map(Vec::len), Some(1));
        assert_eq!(fanout.count(), 1);
        fanout.close();
        assert!(first.try_recv().is_ok() && first.is_closed());
        assert!(fanout.subscribe().recv_blocking().is_ok());
    }
}
