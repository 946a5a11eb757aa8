//! A base on the wire: taken apart into notes, and put together again.
//!
//! ```text
//! {"Base":{...,"Bytes":600000}}
//! {"More":{"Clock":{...},"Names":{...}}}     as many as necessary, in most cases none
//! {"Piece":"..."}                            the text of the document
//! {"BaseEnd":{"Sha256":"..."}}
//! ```
//!
//! Neither end holds more of the document's text than it needs. The sender makes a piece when the last one is written.
//! The receiver takes no more bytes than the base has announced, and accepts no base that is not complete or not equal
//! to the one that was sent.

use sha2::{Digest, Sha256};

use super::note::Note;
use crate::document::{TextPieces, Value};
use crate::patch::{Document, MAX_WEIGHT};
use crate::replica::Base;
use crate::replica::base::{BaseSummary, Written};

/// The most bytes of the document's text in one note.
pub const MAX_PIECE_BYTES: usize = 256 << 10;

/// Where a piece is cut. It may be a little longer: by a number, or by the ends of some containers.
const PIECE_BYTES: usize = MAX_PIECE_BYTES - (1 << 10);

/// How many entries of the clock and ranges of names are in one note. With the longest sources they are about
/// as large as a piece.
const ENTRIES: usize = 1024;

/// How many of them a base may have. In memory they take about half a gigabyte.
const MAX_ENTRIES: usize = 1 << 22;

/// The longest text of a document. A byte of a string weighs at least 1 and becomes at most `\u0000`. All
/// else in a text is shorter for its weight.
const MAX_TEXT_BYTES: u64 = 6 * MAX_WEIGHT;

/// The notes of a base.
pub struct Notes {
    base: Base,
    written: Written,
    pieces: TextPieces,
    sha256: Sha256,
    stage: Stage,
}

/// The next note.
enum Stage {
    Base {
        /// The length of the document's text.
        bytes: u64,
    },
    More,
    Piece,
    Over,
}

impl Notes {
    /// The notes of a base. This goes once over the document's text to measure it.
    pub fn new(base: Base) -> Self {
        let root = base.document.root();
        let bytes = root.pieces().map(|piece| piece.len() as u64).sum();
        let (written, pieces) = (Written::default(), root.pieces_of(PIECE_BYTES));
        Self { base, written, pieces, sha256: Sha256::new(), stage: Stage::Base { bytes } }
    }
}

impl Iterator for Notes {
    type Item = Note;

    fn next(&mut self) -> Option<Note> {
        if let Stage::Base { bytes } = self.stage {
            self.stage = Stage::More;
            let mut summary = self.base.begin_summary(&mut self.written, ENTRIES);
            summary.bytes = Some(bytes);
            return Some(Note::Base(Box::new(summary)));
        }
        if let Stage::More = self.stage {
            if let Some(more) = self.base.more_summary(&mut self.written, ENTRIES) {
                return Some(Note::More(more));
            }
            self.stage = Stage::Piece;
        }
        if let Stage::Piece = self.stage {
            if let Some(piece) = self.pieces.next() {
                self.sha256.update(&piece);
                let piece = String::from_utf8(piece).expect("no piece ends inside a character");
                return Some(Note::Piece(piece));
            }
            self.stage = Stage::Over;
            return Some(Note::BaseEnd { sha256: hexadecimal(&self.sha256.finalize_reset()) });
        }
        None
    }
}

/// Puts [`Notes`] together again.
#[derive(Default)]
pub struct Assembler(Option<Begun>);

/// A base that is not complete yet.
struct Begun {
    head: BaseHead,
    text: String,
    /// How many bytes the text will have.
    bytes: usize,
    sha256: Sha256,
}

enum BaseHead {
    /// More of it may come.
    Open(BaseSummary),
    /// It is complete except for the document.
    Closed(Base),
}

/// A complete base, whose document is still a text.
pub struct Arrived {
    base: Base,
    text: String,
}

impl Assembler {
    /// Whether a base has begun and is not complete.
    pub fn is_under_way(&self) -> bool {
        self.0.is_some()
    }

    /// Takes in the next note. Returns the base when it is complete.
    ///
    /// # Errors
    /// If this note must not follow; why, for a person. Then nothing of the base is kept.
    pub fn take(&mut self, note: Note) -> Result<Option<Arrived>, String> {
        let begun = self.0.take();
        match (note, begun) {
            (Note::Base(summary), None) => self.0 = Some(Begun::new(*summary)?),
            (Note::Base(_), Some(_)) => return Err("a Base inside another one".into()),
            (Note::End(_), Some(_)) => return Err("an End inside a Base".into()),
            (Note::Have(_), Some(_)) => return Err("a Have inside a Base".into()),
            (Note::Members(_), Some(_)) => return Err("Members inside a Base".into()),
            (Note::End(_) | Note::Have(_) | Note::Members(_), None) => {}
            (Note::More(_) | Note::Piece(_) | Note::BaseEnd { .. }, None) => {
                return Err("a part of a Base without its beginning".into());
            }
            (Note::More(more), Some(mut begun)) => {
                let BaseHead::Open(summary) = &mut begun.head else {
                    return Err("More of a Base after its first Piece".into());
                };
                if summary.entries() + more.entries() > MAX_ENTRIES {
                    return Err(format!("a Base with more than {MAX_ENTRIES} sources and names"));
                }
                summary.add(more)?;
                self.0 = Some(begun);
            }
            (Note::Piece(piece), Some(begun)) => self.0 = Some(begun.add(&piece)?),
            (Note::BaseEnd { sha256 }, Some(begun)) => return begun.finish(&sha256).map(Some),
        }
        Ok(None)
    }
}

impl Begun {
    fn new(summary: BaseSummary) -> Result<Self, String> {
        let bytes = summary.bytes.ok_or("a Base that does not say its Bytes")?;
        if bytes > MAX_TEXT_BYTES {
            return Err(format!("a Base of {bytes} Bytes: no document has over {MAX_TEXT_BYTES}"));
        }
        let no_room = || format!("there is no memory for a Base of {bytes} Bytes");
        let bytes = usize::try_from(bytes).map_err(|_| no_room())?;
        let mut text = String::new();
        text.try_reserve_exact(bytes).map_err(|_| no_room())?;
        Ok(Self { head: BaseHead::Open(summary), text, bytes, sha256: Sha256::new() })
    }

    fn add(mut self, piece: &str) -> Result<Self, String> {
        if piece.len() > MAX_PIECE_BYTES {
            return Err(format!("a Piece of {} bytes, over {MAX_PIECE_BYTES}", piece.len()));
        }
        if piece.len() > self.bytes - self.text.len() {
            return Err(format!("the Pieces are more than the {} Bytes of the Base", self.bytes));
        }
        self.text.push_str(piece);
        self.sha256.update(piece);
        let head = BaseHead::Closed(self.head.close()?);
        Ok(Self { head, ..self })
    }

    fn finish(self, sha256: &str) -> Result<Arrived, String> {
        let Self { head, text, bytes, sha256: hasher } = self;
        if text.len() < bytes {
            return Err(format!("the Pieces are {} of the {bytes} Bytes of the Base", text.len()));
        }
        let ours = hexadecimal(&hasher.finalize());
        if ours != sha256 {
            return Err(format!("the Sha256 of the document is {ours} and should be {sha256:?}"));
        }
        Ok(Arrived { base: head.close()?, text })
    }
}

impl BaseHead {
    fn close(self) -> Result<Base, String> {
        match self {
            Self::Open(summary) => summary.base(),
            Self::Closed(base) => Ok(base),
        }
    }
}

impl Arrived {
    /// Reads the document. This takes a while if it is large.
    ///
    /// # Errors
    /// If its text is not a valid document; why, for a person.
    pub fn read(self) -> Result<Base, String> {
        let Self { base, text } = self;
        let root: Value = serde_json::from_str(&text)
            .map_err(|error| format!("the document is not JSON: {error}"))?;
        let document = Document::new(root).ok_or("the document is too large, or too deep")?;
        Ok(Base { document, ..base })
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replica::base::tests::random_base;

    fn base(seed: u64) -> Base {
        let mut random = fastrand::Rng::with_seed(seed);
        let text = |random: &mut fastrand::Rng| {
            let part = ["a", "\"\\", "й", "🦀", "\u{1}"][random.usize(..5)];
            let most = 1 << random.u32(1..17);
            part.repeat(random.usize(..most))
        };
        let members = (0..random.usize(..20)).map(|n| {
            let name = format!("{n}{}", text(&mut random));
            (name, serde_json::json!([text(&mut random), random.u64(..), random.f64()]))
        });
        let root: serde_json::Value = members.collect::<serde_json::Map<_, _>>().into();
        let sources = [2, 20, 100][random.usize(..3)];
        random_base(&mut random, sources, Document::new(root).unwrap())
    }

    fn receive(notes: impl IntoIterator<Item = Note>) -> Result<Option<Base>, String> {
        let (mut assembler, mut base) = (Assembler::default(), None);
        for note in notes {
            let decoded = Note::decode(note.encode().as_bytes()).expect("it is a note")?;
            if let Some(arrived) = assembler.take(decoded)? {
                assert!(!assembler.is_under_way());
                base = Some(arrived.read()?);
            }
        }
        Ok(base)
    }

    #[test]
    fn a_base_arrives_as_it_was_sent() {
        let (mut most_pieces, mut most_parts) = (0, 0);
        for seed in 0..60 {
            let base = base(seed);
            let notes: Vec<_> = Notes::new(base.clone()).collect();
            let pieces = notes.iter().filter_map(|note| match note {
                Note::Piece(piece) => Some(piece.len()),
                _ => None,
            });
            let pieces: Vec<_> = pieces.collect();
            assert!(pieces.iter().all(|bytes| *bytes <= MAX_PIECE_BYTES), "{pieces:?}");
            let [full @ .., _] = &pieces[..] else { panic!("there is a piece") };
            assert!(full.iter().all(|bytes| *bytes >= PIECE_BYTES), "{pieces:?}");
            assert!(notes.iter().all(|note| note.encode().len() < 3 * MAX_PIECE_BYTES));
            most_pieces = most_pieces.max(pieces.len());
            most_parts = most_parts.max(notes.len() - pieces.len() - 1);
            assert_eq!(receive(notes), Ok(Some(base)), "seed {seed}");
        }
        assert!(most_pieces > 3 && most_parts > 3, "{most_pieces} {most_parts}");
    }

    #[test]
    fn a_base_that_was_changed_on_the_way_is_refused() {
        let root = serde_json::json!({ "a": "x".repeat(2 * MAX_PIECE_BYTES) });
        let mut random = fastrand::Rng::with_seed(1);
        let base = random_base(&mut random, 100, Document::new(root).unwrap());
        let notes: Vec<_> = Notes::new(base).collect();
        let at = |is: fn(&Note) -> bool| notes.iter().position(is).unwrap();
        let (more, piece) =
            (at(|note| matches!(note, Note::More(_))), at(|note| matches!(note, Note::Piece(_))));
        let end = notes.len() - 1;
        let put = |index, note: &Note| {
            let mut notes = notes.clone();
            notes.insert(index, note.clone());
            notes
        };
        let without = |index| {
            let mut notes = notes.clone();
            notes.remove(index);
            notes
        };
        let with_bytes = |bytes| {
            let mut notes = notes.clone();
            if let Note::Base(summary) = &mut notes[0] {
                summary.bytes = bytes;
            }
            notes
        };
        let with_end = |sha256: &str| {
            let mut notes = notes.clone();
            notes[end] = Note::BaseEnd { sha256: sha256.to_owned() };
            notes
        };
        let mut changed = notes.clone();
        if let Note::Piece(text) = &mut changed[piece] {
            text.replace_range(10..11, "y");
        }
        let table = [
            ("a part of a Base without", without(0)),
            ("a part of a Base without", notes[piece..].to_vec()),
            ("a part of a Base without", notes[end..].to_vec()),
            ("a Base inside another one", put(1, &notes[0])),
            ("a Base inside another one", put(end, &notes[0])),
            ("an End inside a Base", put(1, &Note::End(1))),
            ("More of a Base after its first Piece", put(end, &notes[more])),
            ("touches the range before it", put(more, &notes[more])),
            ("bytes, over", put(piece, &Note::Piece("x".repeat(MAX_PIECE_BYTES + 1)))),
            ("are more than the", put(end, &notes[end - 1])),
            ("are more than the", put(end, &Note::Piece("x".into()))),
            ("the Pieces are 2", without(piece)),
            ("does not say its Bytes", with_bytes(None)),
            ("no document has over", with_bytes(Some(u64::MAX))),
            ("are more than the 3 Bytes", with_bytes(Some(3))),
            ("the Sha256 of the document is", with_end("")),
            ("the Sha256 of the document is", with_end(&"0".repeat(64))),
            ("the Sha256 of the document is", changed),
        ];
        for (expected, notes) in table {
            let error = receive(notes).expect_err(expected);
            assert!(error.contains(expected), "{expected}: {error}");
        }
        for torn in 0..notes.len() {
            assert_eq!(receive(notes[..torn].to_vec()), Ok(None), "torn after {torn}");
        }
    }

    #[test]
    fn a_base_with_an_invalid_document_is_refused() {
        let base = random_base(&mut fastrand::Rng::with_seed(1), 1, Document::default());
        let deep = "[".repeat(128) + &"]".repeat(128);
        for (text, expected) in [("", "not JSON: EOF"), ("{}x", "not JSON"), (&deep, "not JSON")] {
            let mut notes: Vec<_> = Notes::new(base.clone()).collect();
            if let Note::Base(summary) = &mut notes[0] {
                summary.bytes = Some(text.len() as u64);
            }
            notes.truncate(notes.len() - 2);
            notes.push(Note::Piece(text.to_owned()));
            let sha256 = hexadecimal(&Sha256::digest(text));
            notes.push(Note::BaseEnd { sha256 });
            let error = receive(notes).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
