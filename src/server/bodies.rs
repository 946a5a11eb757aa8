//! How many bytes of requests' bodies are held while the rest of them comes.
//!
//! A client may send its body slowly, and many may do so at once. What all of them hold is bounded for the
//! whole node; beyond that a request is refused.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How many bytes are held at most.
pub(super) const MOST_BYTES: usize = 256 << 20;

/// A body of which so much has come is never refused, and does not count: the number of connections
/// bounds them.
pub(super) const SMALL_BYTES: usize = 64 << 10;

/// What the bodies of one node hold. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Bodies(Arc<AtomicUsize>);

/// What one body holds, until this is dropped.
#[derive(Debug)]
pub(super) struct Held {
    bodies: Bodies,
    bytes: usize,
}

impl Bodies {
    /// A body of which nothing has come.
    pub fn begin(&self) -> Held {
        Held { bodies: self.clone(), bytes: 0 }
    }
}

impl Held {
    /// Takes note that `bytes` of it have come by now. Says whether there is room for them.
    pub fn hold(&mut self, bytes: usize) -> bool {
        let bytes = if bytes <= SMALL_BYTES { 0 } else { bytes };
        let all = &self.bodies.0;
        all.fetch_sub(self.bytes, Ordering::Relaxed);
        self.bytes = bytes;
        all.fetch_add(bytes, Ordering::Relaxed) + bytes <= MOST_BYTES || bytes == 0
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.bodies.0.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_bodies_hold_is_bounded() {
        let bodies = Bodies::default();
        let mut held: Vec<Held> = (0..256).map(|_| bodies.begin()).collect();
        assert!(held.iter_mut().all(|held| held.hold(SMALL_BYTES + 1)));
        assert!(held.iter_mut().all(|held| held.hold(1 << 20)));
        let mut more = bodies.begin();
        assert!(more.hold(SMALL_BYTES));
        assert!(!more.hold(SMALL_BYTES + 1));
        drop(more);
        assert!(held.iter_mut().all(|held| held.hold(1 << 20)), "these are not more than before");
        held.pop();
        assert!(bodies.begin().hold(1 << 20));
        drop(held);
        assert_eq!(bodies.0.load(Ordering::Relaxed), 0);
    }
}
