//! How many bytes of incomplete request bodies are in memory.
//!
//! A client may send its body slowly, and many may do so at once. The memory of all these bodies is bounded for
//! the whole node; beyond that a request is refused.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How many bytes are held at most.
pub(super) const MOST_BYTES: usize = 256 << 20;

/// A body of at most this size is never refused and does not count: the number of connections bounds such
/// bodies.
pub(super) const SMALL_BYTES: usize = 64 << 10;

/// How many bytes the bodies of one node hold. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Bodies(Arc<AtomicUsize>);

/// How many bytes one body holds, until this is dropped.
#[derive(Debug)]
pub(super) struct Held {
    bodies: Bodies,
    bytes: usize,
}

impl Bodies {
    /// A body of which nothing has come yet.
    pub fn begin(&self) -> Held {
        Held { bodies: self.clone(), bytes: 0 }
    }
}

impl Held {
    /// Records that the body has `bytes` bytes now. Returns whether there is room for them.
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
