//! What a downstream sends: first something in place of what was folded away, if the reader lacks that; then
//! the journal.

use std::io;

use crate::blocking::unblock;
use crate::clock::{Time, VectorClock};
use crate::commit::Committed;
use crate::manager::Handle;
use crate::mesh::websocket::transfer::Notes;
use crate::transaction::{Name, Place, Record};

use super::Hello;
use super::document_parts::{Parts, nothing_before};

/// What comes before the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BeforeJournal {
    /// Nothing: the reader has what was folded away, or nothing was.
    Nothing,
    /// A base.
    Base,
    /// The document on which the journal builds, for a plain node.
    Document,
    /// A note for a plain node that there is no such document.
    NoDocument,
    /// The reader needs something that this node cannot give now.
    Unknown,
}

/// What this node has for the beginning of a stream.
#[derive(Clone, Copy, Debug)]
struct Ground<'a> {
    /// The commit up to which the journal was folded away.
    folded: Option<&'a Name>,
    /// Whether it has a base that it knows to be right.
    has_base: bool,
    /// Whether it needs a base itself.
    is_healing: bool,
}

/// The texts of messages, each made when it is needed.
type Texts = Box<dyn Iterator<Item = String> + Send>;

/// What to send to one reader.
pub struct Course {
    /// The messages before the journal.
    pub before: Texts,
    /// Whether all of those were made.
    pub is_begun: bool,
    /// The position in the journal at which to begin.
    pub begin: u64,
    /// What to leave out of the journal.
    pub seen: SeenByReader,
    /// Whether a base comes first. Then what the reader had before does not count.
    pub has_base: bool,
    /// The generation of the node's state. Another one needs another stream.
    pub generation: u64,
}

/// What a reader has seen.
#[derive(Clone, Debug, Default)]
pub struct SeenByReader {
    /// Its vector clock.
    clock: Option<VectorClock>,
    /// What the clock does not count and is before this time is covered or void.
    floor: Time,
}

impl BeforeJournal {
    fn of(hello: &Hello, ground: Ground<'_>) -> Self {
        let Ground { folded, has_base, is_healing } = ground;
        if !hello.takes_notes() {
            return match folded {
                None => Self::NoDocument,
                Some(_) if is_healing => Self::Unknown,
                Some(_) => Self::Document,
            };
        }
        let since = hello.since.as_ref();
        let is_known =
            |Name { source, id }: &Name| since.is_some_and(|since| since.has_seen(source, *id));
        if folded.is_none_or(is_known) && !hello.heals {
            Self::Nothing
        } else if has_base && !is_healing {
            Self::Base
        } else {
            Self::Unknown
        }
    }
}

impl Course {
    /// What to send to the reader that says `hello`. `None` if that cannot be given now.
    ///
    /// # Errors
    /// If the journal cannot be read.
    pub async fn of(hello: &Hello, handle: &Handle) -> io::Result<Option<Self>> {
        let state = handle.state();
        let (folded, base) = (state.folded(), state.base());
        let (has_base, is_healing) = (base.is_some(), state.difference().is_some());
        let ground = Ground { folded: folded.commit.as_ref(), has_base, is_healing };
        let comes_first = BeforeJournal::of(hello, ground);
        let since = SeenByReader { clock: hello.since.clone(), ..SeenByReader::default() };
        let (before, seen): (Texts, SeenByReader) = match comes_first {
            BeforeJournal::Nothing => (Box::new(std::iter::empty()), since),
            BeforeJournal::NoDocument => {
                (Box::new(std::iter::once(nothing_before().encode())), since)
            }
            // The clock of the reader does not count any more: the base may replace some of what it counts.
            BeforeJournal::Base => {
                let Some(base) = base else { return Ok(None) };
                let seen = SeenByReader::of(&base.committed);
                // Measuring a large document takes a while.
                let notes = unblock(move || Notes::new(base)).await;
                (Box::new(notes.map(|note| note.encode())), seen)
            }
            // The journal's document, and no later one: a plain node that is connected again passes over it,
            // and needs all that the journal has.
            BeforeJournal::Document => {
                let index = state.begin().index;
                let Some(basis) = state.basis(index) else { return Ok(None) };
                let past = handle.past().clone();
                let document = unblock(move || basis.document(index, &past)).await?;
                // The journal may have been folded again meanwhile.
                if handle.state().folded().commit != folded.commit {
                    return Ok(None);
                }
                let parts = Parts::new(&document);
                (Box::new(parts.map(|part| part.encode())), SeenByReader::of(folded))
            }
            BeforeJournal::Unknown => return Ok(None),
        };
        let (begin, generation) = (state.begin().position, state.generation());
        let has_base = comes_first == BeforeJournal::Base;
        Ok(Some(Self { before, is_begun: false, begin, seen, has_base, generation }))
    }
}

impl SeenByReader {
    /// What a base covers.
    fn of(base: &Committed) -> Self {
        let clock = base.clock.iter();
        let clock = clock.map(|(source, covered)| (source.clone(), covered.next)).collect();
        Self { clock: Some(clock), floor: base.floor }
    }

    /// Its vector clock.
    pub fn clock(&self) -> Option<&VectorClock> {
        self.clock.as_ref()
    }

    /// Whether the reader has a transaction, or must not get it.
    pub fn has(&self, record: &Record) -> bool {
        let Place { time, source, id } = &record.place;
        self.clock.as_ref().is_some_and(|clock| clock.has_seen(source, *id))
            || (*time < self.floor && source.epoch().is_none())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commit::Covered;
    use crate::source::Source;

    #[test]
    fn a_reader_first_gets_what_it_lacks() {
        let name = |id| Name::from(("main~00000000^1".parse().unwrap(), id));
        let plain = Hello::default();
        let node = |next, heals| {
            let since = [("main~00000000^1".parse().unwrap(), next)].into_iter().collect();
            Hello { since: Some(since), version: 2, heals, ..Hello::default() }
        };
        let new = Hello { version: 2, ..Hello::default() };
        let far = [("other~00000000^1".parse().unwrap(), 99)].into_iter().collect();
        let other = Hello { since: Some(far), ..new.clone() };
        // The reader, the commit up to which the journal is folded away, whether there is a base, whether
        // this node is healing, and what comes first.
        let table = [
            (&plain, None, false, false, BeforeJournal::NoDocument),
            (&plain, None, true, true, BeforeJournal::NoDocument),
            (&plain, Some(5), true, false, BeforeJournal::Document),
            (&plain, Some(5), true, true, BeforeJournal::Unknown),
            (&new, None, false, false, BeforeJournal::Nothing),
            (&new, None, true, false, BeforeJournal::Nothing),
            (&new, Some(5), true, false, BeforeJournal::Base),
            (&new, Some(5), false, false, BeforeJournal::Unknown),
            (&new, Some(5), true, true, BeforeJournal::Unknown),
            (&other, Some(5), true, false, BeforeJournal::Base),
            (&node(5, false), Some(5), true, false, BeforeJournal::Base),
            (&node(6, false), Some(5), true, false, BeforeJournal::Nothing),
            (&node(6, false), Some(5), true, true, BeforeJournal::Nothing),
            (&node(6, true), Some(5), true, false, BeforeJournal::Base),
            (&node(6, true), None, true, false, BeforeJournal::Base),
            (&node(6, true), None, false, false, BeforeJournal::Unknown),
        ];
        for (hello, folded, has_base, is_healing, expected) in table {
            let folded = folded.map(name);
            let ground = Ground { folded: folded.as_ref(), has_base, is_healing };
            assert_eq!(BeforeJournal::of(hello, ground), expected, "{hello:?} {ground:?}");
        }
    }

    #[test]
    fn after_a_base_comes_only_what_it_does_not_cover() {
        let time = |micros| Time::from_micros(micros).unwrap();
        let source: Source = "a~00000000".parse().unwrap();
        let clock = [(source, Covered { next: 7, last: time(200) })].into();
        let base = Committed { clock, floor: time(100), ..Committed::default() };
        let seen = SeenByReader::of(&base);
        for (source, id, micros, is_seen) in [
            ("a~00000000", 6, 150, true),
            ("a~00000000", 7, 150, false),
            ("a~00000000", 7, 99, true),
            ("b~00000000", 1, 99, true),
            ("b~00000000", 1, 100, false),
            ("late~00000000^2", 1, 99, false),
        ] {
            let place = Place { time: time(micros), source: source.parse().unwrap(), id };
            let record = Record::new(place, "[]");
            assert_eq!(seen.has(&record), is_seen, "{source} {id} {micros}");
            assert!(!SeenByReader::default().has(&record));
        }
    }
}
