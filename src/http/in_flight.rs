//! How many bytes of answers are in flight: made, and not written yet.
//!
//! A client may read a large answer slowly, and many may do so at once. The memory of all these answers is
//! bounded for the whole node; beyond that an answer is refused. Bytes that several answers share are in memory
//! once, and count once. An answer that is made while it is written does not count: only one small piece of it
//! is in memory.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use super::Body;

use crate::locks::Mutex;

/// How many bytes are in flight at most. One answer that is larger goes alone.
pub const MOST_BYTES: usize = 256 << 20;

/// An answer of at most this size is never refused and does not count: the number of connections bounds such
/// answers.
pub const SMALL_BYTES: usize = 64 << 10;

/// The answers of one node that are in flight. Cheap to clone.
#[derive(Clone, Default)]
pub struct InFlight(Arc<Mutex<InFlightCounts>>);

#[derive(Default)]
struct InFlightCounts {
    bytes: usize,
    /// How many answers share the bytes at this address. The bytes stay there as long as one answer has them.
    shared: HashMap<usize, usize>,
}

/// There is no room for this answer.
#[derive(Debug)]
pub struct Full(pub Body);

impl InFlight {
    /// The same body, which counts until it is dropped.
    ///
    /// # Errors
    /// If there is no room for it.
    pub fn admit(&self, body: Body) -> Result<Body, Full> {
        let length = body.at_hand().len();
        if length <= SMALL_BYTES || matches!(body, Body::Static(_) | Body::Counted(_)) {
            return Ok(body);
        }
        let key = shared_key(&body);
        let mut guard = self.0.lock();
        let counts = &mut *guard;
        match key.and_then(|key| counts.shared.get_mut(&key)) {
            Some(answers) => *answers += 1,
            None if counts.bytes > 0 && counts.bytes + length > MOST_BYTES => {
                return Err(Full(body));
            }
            None => {
                counts.bytes += length;
                counts.shared.extend(key.map(|key| (key, 1)));
            }
        }
        drop(guard);
        Ok(Body::Counted(Box::new(CountedBody { body, in_flight: self.clone() })))
    }

    /// How many bytes are in flight.
    #[cfg(test)]
    pub fn bytes(&self) -> usize {
        self.0.lock().bytes
    }
}

/// The key of shared bytes: their address.
fn shared_key(body: &Body) -> Option<usize> {
    match body {
        Body::Shared(bytes) => Some(bytes.as_ptr().addr()),
        _ => None,
    }
}

/// A body that counts as long as it lives.
pub struct CountedBody {
    body: Body,
    in_flight: InFlight,
}

impl Drop for CountedBody {
    fn drop(&mut self) {
        let mut counts = self.in_flight.0.lock();
        if let Some(key) = shared_key(&self.body)
            && let Some(answers) = counts.shared.get_mut(&key)
        {
            *answers -= 1;
            if *answers > 0 {
                return;
            }
            counts.shared.remove(&key);
        }
        counts.bytes -= self.body.at_hand().len();
    }
}

impl CountedBody {
    pub(super) fn body(&self) -> &Body {
        &self.body
    }
}

impl fmt::Debug for CountedBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.body.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_flight_is_bounded_and_shared_bytes_count_once() {
        const PART: usize = MOST_BYTES / 4;
        let in_flight = InFlight::default();
        let owned = |length| Body::from(vec![0; length]);
        let shared = |bytes: &Arc<[u8]>| Body::Shared(bytes.clone());
        let bytes: Arc<[u8]> = vec![0; PART].into();
        let first = in_flight.admit(shared(&bytes)).unwrap();
        let again: Vec<Body> = (0..100).map(|_| in_flight.admit(shared(&bytes)).unwrap()).collect();
        assert_eq!(in_flight.bytes(), PART);
        let others: Vec<Body> = (0..3).map(|_| in_flight.admit(owned(PART)).unwrap()).collect();
        assert_eq!(in_flight.bytes(), MOST_BYTES);
        assert!(in_flight.admit(owned(SMALL_BYTES + 1)).is_err());
        in_flight.admit(owned(SMALL_BYTES)).expect("it is small");
        in_flight.admit(shared(&bytes)).expect("these bytes are there already");
        drop(again);
        let pieces = Body::in_pieces(u64::MAX, std::iter::repeat(vec![0; SMALL_BYTES]), || true);
        in_flight.admit(pieces).expect("one piece of it is small");
        drop(first);
        assert_eq!(in_flight.bytes(), 3 * PART);
        in_flight.admit(owned(PART)).expect("there is room again");
        drop(others);
        assert_eq!(in_flight.bytes(), 0);
        let large = in_flight.admit(owned(MOST_BYTES + 1)).expect("it is alone");
        assert!(in_flight.admit(owned(SMALL_BYTES + 1)).is_err());
        drop(large);
        assert_eq!(in_flight.bytes(), 0);
    }
}
