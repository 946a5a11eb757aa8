//! A body in another form: its bytes go through a filter, a piece at a time, while it is written.

use super::Body;
use super::{BodyPieces, BrokenOff};

/// About how many bytes a piece has, and at most how many are filtered for it. Other connections have their
/// turn between two pieces.
const PIECE_BYTES: usize = 64 << 10;

/// How many bytes a filter takes at once. Each of them may become many.
const SLICE_BYTES: usize = 1 << 10;

/// Changes a text into another one, from its beginning to its end.
pub trait Filter: Send {
    /// Takes the next bytes, and appends what they become.
    fn push(&mut self, input: &[u8], output: &mut Vec<u8>);

    /// Appends what is left at the end.
    fn finish(&mut self, output: &mut Vec<u8>);
}

/// A body that goes through a filter.
struct Filtered<F> {
    body: Body,
    filter: F,
    /// How many bytes are filtered already: of `piece` if the body is made in pieces, else of the body.
    from: usize,
    piece: Vec<u8>,
    is_finished: bool,
}

impl Body {
    /// This body behind a filter. A short body is filtered at once, a longer one while it is written.
    pub fn through(self, filter: impl Filter + 'static) -> Self {
        let mut filtered =
            Filtered { body: self, filter, from: 0, piece: Vec::new(), is_finished: false };
        match filtered.next_piece() {
            Ok(Some(all)) if filtered.is_finished => Self::Owned(all),
            first => {
                let mut first = Some(first);
                let next = move || first.take().unwrap_or_else(|| filtered.next_piece());
                Self::Pieces(BodyPieces::of_unknown_length(next))
            }
        }
    }
}

impl<F: Filter> Filtered<F> {
    fn next_piece(&mut self) -> Result<Option<Vec<u8>>, BrokenOff> {
        if self.is_finished {
            return Ok(None);
        }
        let (mut output, mut read) = (Vec::new(), 0);
        while output.len() < PIECE_BYTES && read < PIECE_BYTES {
            let at_hand = match &mut self.body {
                Body::Pieces(pieces) => {
                    if self.from == self.piece.len()
                        && let Some(piece) = pieces.next_piece()?
                    {
                        (self.piece, self.from) = (piece, 0);
                    }
                    &self.piece[..]
                }
                body => body.at_hand(),
            };
            let rest = &at_hand[self.from..];
            if rest.is_empty() {
                self.filter.finish(&mut output);
                self.is_finished = true;
                break;
            }
            let slice = &rest[..rest.len().min(SLICE_BYTES)];
            self.filter.push(slice, &mut output);
            (self.from, read) = (self.from + slice.len(), read + slice.len());
        }
        Ok(Some(output))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// All bytes of a body.
    pub fn bytes_of(body: Body) -> Result<Vec<u8>, BrokenOff> {
        let Body::Pieces(mut pieces) = body else { return Ok(body.at_hand().to_vec()) };
        let mut bytes = Vec::new();
        while let Some(piece) = pieces.next_piece()? {
            assert!(piece.len() <= PIECE_BYTES + 256 * SLICE_BYTES, "{}", piece.len());
            bytes.extend(piece);
        }
        Ok(bytes)
    }

    /// Writes each byte twice, and at the end their number.
    #[derive(Default)]
    struct Twice(usize);

    impl Filter for Twice {
        fn push(&mut self, input: &[u8], output: &mut Vec<u8>) {
            self.0 += input.len();
            output.extend(input.iter().flat_map(|byte| [*byte; 2]));
        }

        fn finish(&mut self, output: &mut Vec<u8>) {
            output.extend(self.0.to_string().into_bytes());
        }
    }

    #[test]
    fn all_bytes_go_through_in_their_order() {
        for length in [0, 1, 1000, 32_767, 32_768, 65_536, 300_000] {
            let bytes: Vec<u8> = (0..length).map(|number| (number % 251) as u8).collect();
            let mut expected: Vec<u8> = bytes.iter().flat_map(|byte| [*byte; 2]).collect();
            expected.extend(length.to_string().into_bytes());
            let pieces = |size: usize| {
                let pieces: Vec<Vec<u8>> = bytes.chunks(size).map(<[u8]>::to_vec).collect();
                Body::in_pieces(length as u64, pieces.into_iter(), || true)
            };
            for body in [Body::from(bytes.clone()), pieces(10_000), pieces(70_000)] {
                let body = body.through(Twice::default());
                assert_eq!(matches!(body, Body::Owned(_)), length < 32_768, "{length}");
                assert!(bytes_of(body).unwrap() == expected, "{length}");
            }
        }
    }

    #[test]
    fn what_breaks_off_breaks_off_behind_a_filter() {
        for (length, may_go_on, expected) in
            [(9, true, BrokenOff::WrongLength), (8, false, BrokenOff::TooSlow)]
        {
            let pieces = vec![vec![b'a'; 4]; 2];
            let body = Body::in_pieces(length, pieces.into_iter(), move || may_go_on);
            assert_eq!(bytes_of(body.through(Twice::default())), Err(expected));
        }
    }
}
