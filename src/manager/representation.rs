//! The text of the document, or of a part of it, for readers.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use smol::lock::Mutex;

use super::heavy::Heavy;
use crate::blocking::unblock;
use crate::document::{Digest, Hash, TextPieces, Value};

/// The text of a value of at most this weight is made and hashed on the spot, which takes about a tenth of a
/// millisecond. For a heavier one another thread does it.
const LIGHT_WEIGHT: u64 = 128 << 10;

/// The text of the whole document is kept up to this weight, so that it is made once for all readers of that
/// version. The text of a heavier document or part is never in memory as a whole.
const KEPT_WEIGHT: u64 = 4 << 20;

/// A value, and the length, the hash and maybe the bytes of its text.
#[derive(Debug)]
pub struct Representation {
    value: Heavy,
    digest: Digest,
    /// The text and a line feed, if they are kept.
    line: Option<Arc<[u8]>>,
}

impl Representation {
    /// For a part of a document, or for a document that few read. It makes the whole text, so a heavy value must not
    /// be represented on a thread of the executor.
    pub fn of(value: Value) -> Self {
        Self::kept_up_to(LIGHT_WEIGHT, value)
    }

    fn kept_up_to(weight: u64, value: Value) -> Self {
        let (digest, line) = if value.weight() <= weight {
            let mut text = value.to_text();
            let digest = Digest::of([&text]);
            text.push(b'\n');
            (digest, Some(text.into()))
        } else {
            (value.digest(), None)
        };
        Self { value: value.into(), digest, line }
    }

    /// The value.
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// The length and the hash of the text.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// A hash of the text alone: equal texts have equal hashes, whatever their history.
    pub fn hash(&self) -> &Hash {
        self.digest.hash()
    }

    /// The text and a line feed, if they are kept.
    pub fn line(&self) -> Option<&Arc<[u8]>> {
        self.line.as_ref()
    }

    /// How many bytes the text and a line feed have.
    pub fn line_length(&self) -> u64 {
        self.digest.length() + 1
    }

    /// The text and a line feed, a piece at a time.
    pub fn line_in_pieces(&self) -> LineInPieces {
        LineInPieces {
            pieces: self.value.pieces(),
            left: self.digest.length(),
            _value: self.value.clone(),
        }
    }
}

/// One version of the document, and its representation after the first request for it.
#[derive(Debug)]
pub struct Version {
    value: Heavy,
    number: u64,
    representation: OnceLock<Arc<Representation>>,
}

impl Version {
    /// The version of that number; later ones have greater numbers.
    pub fn new(value: Value, number: u64) -> Self {
        Self { value: value.into(), number, representation: OnceLock::new() }
    }

    /// The version after this one.
    pub fn next(&self, value: Value) -> Self {
        Self::new(value, self.number + 1)
    }

    /// The document.
    #[cfg(test)]
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// Its representation, if that exists or takes little time.
    pub fn representation(&self) -> Option<&Arc<Representation>> {
        if !is_light(&self.value) {
            return self.representation.get();
        }
        let make = || Arc::new(Representation::of(Value::clone(&self.value)));
        Some(self.representation.get_or_init(make))
    }
}

/// Makes the representations of heavy values by another thread, one at a time, so that they leave processors to
/// writers. However many readers ask at the same time, at most two are made: those that wait for the first one all
/// share the next one.
///
/// `S` is the published state, with a version of the document in it.
#[derive(Debug)]
pub struct Representer<S> {
    /// The last state that was represented, if other readers waited meanwhile.
    last: Mutex<Option<Arc<S>>>,
    waiting: AtomicUsize,
}

/// A reader that waits for a representation.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn begin(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl<S> Default for Representer<S> {
    fn default() -> Self {
        Self { last: Mutex::default(), waiting: AtomicUsize::new(0) }
    }
}

impl<S: AsRef<Version>> Representer<S> {
    /// The state that `newest` gives, or one that was the newest during the call, with its representation.
    pub async fn represented(&self, newest: impl Fn() -> Arc<S>) -> Arc<S> {
        let asked = newest();
        if (*asked).as_ref().representation().is_some() {
            return asked;
        }
        let waiting = Waiting::begin(&self.waiting);
        let mut last = self.last.lock().await;
        drop(waiting);
        let found = match last.take() {
            Some(last) if (*last).as_ref().number >= (*asked).as_ref().number => last,
            _ => {
                let now = newest();
                let version = (*now).as_ref();
                if version.representation().is_none() {
                    let value = Value::clone(&version.value);
                    let make = move || Representation::kept_up_to(KEPT_WEIGHT, value);
                    version.representation.set(Arc::new(unblock(make).await)).ok();
                }
                now
            }
        };
        if self.waiting.load(Ordering::Relaxed) > 0 {
            *last = Some(found.clone());
        }
        found
    }

    /// The representation of a part of the document.
    pub async fn represent(&self, part: &Value) -> Representation {
        let part = part.clone();
        if is_light(&part) {
            return Representation::of(part);
        }
        let _alone = self.last.lock().await;
        unblock(move || Representation::of(part)).await
    }
}

/// Whether its text is made in little time.
pub fn is_light(value: &Value) -> bool {
    value.weight() <= LIGHT_WEIGHT
}

/// The text of a value and a line feed, made a piece at a time.
pub struct LineInPieces {
    pieces: TextPieces,
    /// How many bytes of the text are still to come.
    left: u64,
    /// Keeps the value until the end, which the pieces do not.
    _value: Heavy,
}

impl Iterator for LineInPieces {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        let mut piece = self.pieces.next()?;
        self.left = self.left.saturating_sub(piece.len() as u64);
        if self.left == 0 {
            piece.push(b'\n');
        }
        Some(piece)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU64;

    impl AsRef<Self> for Version {
        fn as_ref(&self) -> &Self {
            self
        }
    }

    fn array(count: u64) -> Value {
        serde_json::from_str(&serde_json::to_string(&(0..count).collect::<Vec<_>>()).unwrap())
            .unwrap()
    }

    #[test]
    fn readers_that_wait_for_an_older_representation_share_the_next_one() {
        let asked = AtomicU64::new(0);
        // Each look finds another document.
        let newest = || {
            let number = asked.fetch_add(1, Ordering::Relaxed);
            Arc::new(Version::new(array(20_000 + number), number))
        };
        let representer = Representer::default();
        smol::block_on(async {
            let another_is_made = representer.last.lock().await;
            let mut readers: Vec<_> =
                (0..10).map(|_| Box::pin(representer.represented(newest))).collect();
            for reader in &mut readers {
                assert!(smol::future::poll_once(reader).await.is_none());
            }
            drop(another_is_made);
            let mut numbers = Vec::new();
            for reader in readers {
                let version = reader.await;
                let representation = version.representation().expect("it has been made");
                assert_eq!(*representation.hash(), Hash::of(&version.value().to_text()));
                numbers.push(version.number);
            }
            assert_eq!(numbers, [10; 10]);
            assert!(representer.last.lock().await.is_none(), "nobody waits for it");
            let later = representer.represented(newest).await;
            assert!(later.number > 10, "what was made before is old for who asks now");
        });
    }

    #[test]
    fn what_is_at_hand_is_not_made_again() {
        let representer = Representer::default();
        for (count, is_at_hand) in [(10, true), (20_000, false)] {
            let version = Arc::new(Version::new(array(count), 0));
            assert_eq!(version.representation().is_some(), is_at_hand);
            for _ in 0..2 {
                let found = smol::block_on(representer.represented(|| version.clone()));
                assert!(Arc::ptr_eq(&found, &version) && found.representation().is_some());
            }
        }
    }

    #[test]
    fn a_line_in_pieces_is_the_line() {
        // Light, heavy and kept, and more than is kept.
        for count in [0, 1000, 100_000, 300_000] {
            let value = array(count);
            let line = value.to_string() + "\n";
            for (kept, kept_up_to) in [(1000, LIGHT_WEIGHT), (100_000, KEPT_WEIGHT)] {
                let representation = Representation::kept_up_to(kept_up_to, value.clone());
                assert_eq!(representation.line_length(), line.len() as u64);
                let pieces: Vec<u8> = representation.line_in_pieces().flatten().collect();
                assert_eq!(pieces, line.as_bytes());
                assert_eq!(representation.line().is_some(), count <= kept, "{count}");
                assert!(representation.line().is_none_or(|kept| **kept == *line.as_bytes()));
                assert_eq!(*representation.hash(), Hash::of(line.trim_end().as_bytes()));
            }
        }
    }
}
