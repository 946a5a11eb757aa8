//! The body of an answer (RFC 9112, section 6.3): of a known length, in chunks, or up to the end of the
//! connection.

use super::AnswerHead;
use crate::http::ReadBuffer;

/// The longest line of a chunk's size, or of a trailer.
const MAX_LINE_BYTES: usize = 8 << 10;

/// What is missing of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerBody {
    /// Nothing.
    Over,
    /// This many bytes.
    Length(u64),
    /// The size of a chunk.
    Size,
    /// This many bytes of a chunk, and its line end.
    Chunk(u64),
    /// The line end of a chunk.
    ChunkEnd,
    /// What follows the last chunk.
    Trailer,
    /// Everything before the connection ends.
    UntilEnd,
}

impl AnswerBody {
    /// The body behind this head; none if that cannot be determined.
    pub fn of(head: &AnswerHead) -> Option<Self> {
        if matches!(head.status, 100..=199 | 204 | 304) {
            return Some(Self::Over);
        }
        if let Some(coding) = head.header("Transfer-Encoding") {
            return coding.eq_ignore_ascii_case("chunked").then_some(Self::Size);
        }
        match head.header("Content-Length") {
            None => Some(Self::UntilEnd),
            Some(length) => match length.parse().ok()? {
                0 => Some(Self::Over),
                length => Some(Self::Length(length)),
            },
        }
    }

    /// Takes the bytes of the body that have come. None if more has to be read first, or if the body is
    /// complete.
    pub fn take(&mut self, input: &mut ReadBuffer) -> Result<Option<Vec<u8>>, &'static str> {
        loop {
            match *self {
                Self::Over => return Ok(None),
                Self::UntilEnd => return Ok(some(input, u64::MAX)),
                Self::Length(missing) => {
                    let piece = some(input, missing);
                    *self = match missing - length_of(&piece) {
                        0 => Self::Over,
                        missing => Self::Length(missing),
                    };
                    return Ok(piece);
                }
                Self::Chunk(missing) => {
                    let piece = some(input, missing);
                    *self = match missing - length_of(&piece) {
                        0 => Self::ChunkEnd,
                        missing => Self::Chunk(missing),
                    };
                    return Ok(piece);
                }
                Self::Size => match httparse::parse_chunk_size(input.unread()) {
                    Ok(httparse::Status::Complete((length, size))) => {
                        input.consume(length);
                        *self = if size == 0 { Self::Trailer } else { Self::Chunk(size) };
                    }
                    Ok(httparse::Status::Partial) if input.unread().len() <= MAX_LINE_BYTES => {
                        return Ok(None);
                    }
                    _ => return Err("the answer has a chunk without a size"),
                },
                Self::ChunkEnd => {
                    let Some(line) = line(input)? else { return Ok(None) };
                    if line > 0 {
                        return Err("a chunk of the answer does not end where its size says");
                    }
                    *self = Self::Size;
                }
                Self::Trailer => {
                    let Some(line) = line(input)? else { return Ok(None) };
                    if line == 0 {
                        *self = Self::Over;
                    }
                }
            }
        }
    }

    /// Records that the connection has ended.
    pub fn end(&mut self) -> Result<(), &'static str> {
        match self {
            Self::UntilEnd | Self::Over => {
                *self = Self::Over;
                Ok(())
            }
            _ => Err("the answer is cut off"),
        }
    }
}

/// At most `most` of the bytes that have come; none if there are none.
fn some(input: &mut ReadBuffer, most: u64) -> Option<Vec<u8>> {
    let unread = input.unread();
    let count = unread.len().min(usize::try_from(most).unwrap_or(usize::MAX));
    let piece = (count > 0).then(|| unread[..count].to_vec());
    input.consume(count);
    piece
}

fn length_of(piece: &Option<Vec<u8>>) -> u64 {
    piece.as_ref().map_or(0, |piece| piece.len() as u64)
}

/// Skips a line, and returns its length without the line end. None if the line is not complete.
fn line(input: &mut ReadBuffer) -> Result<Option<usize>, &'static str> {
    let unread = input.unread();
    match memchr::memchr(b'\n', unread) {
        Some(end) => {
            let length = unread[..end].strip_suffix(b"\r").unwrap_or(&unread[..end]).len();
            input.consume(end + 1);
            Ok(Some(length))
        }
        None if unread.len() > MAX_LINE_BYTES => Err("the answer has a line without an end"),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bytes read from a body that comes in parts of `step` bytes, and how it ends.
    fn read(
        mut body: AnswerBody,
        bytes: &[u8],
        step: usize,
    ) -> Result<(Vec<u8>, Vec<u8>), &'static str> {
        let (mut input, mut found) = (ReadBuffer::new(), Vec::new());
        for part in bytes.chunks(step) {
            input.push(part);
            while let Some(piece) = body.take(&mut input)? {
                found.extend(piece);
            }
        }
        body.end()?;
        Ok((found, input.into_unread()))
    }

    #[test]
    fn bodies_are_what_they_are_however_they_come() {
        let chunks = b"5\r\nhello\r\n1;x=y\r\n \r\nA\r\nevery body\r\n0\r\nX: y\r\n\r\nrest";
        for step in 1..chunks.len() {
            let hello = b"hello every body".to_vec();
            assert_eq!(read(AnswerBody::Size, chunks, step), Ok((hello.clone(), b"rest".to_vec())));
            assert_eq!(
                read(AnswerBody::Length(5), b"hello", step),
                Ok((b"hello".to_vec(), vec![]))
            );
            assert_eq!(
                read(AnswerBody::Length(2), b"hello", step),
                Ok((b"he".to_vec(), b"llo".to_vec()))
            );
            assert_eq!(read(AnswerBody::UntilEnd, b"hello", step), Ok((b"hello".to_vec(), vec![])));
            for cut in
                [AnswerBody::Length(6), AnswerBody::Size, AnswerBody::Chunk(9), AnswerBody::Trailer]
            {
                assert!(read(cut, b"5\r\nab", step).is_err(), "{cut:?} {step}");
            }
            assert!(read(AnswerBody::Size, b"5\r\nhello!\r\n0\r\n\r\n", step).is_err());
            assert!(read(AnswerBody::Size, b"x\r\nhello\r\n0\r\n\r\n", step).is_err());
        }
    }

    #[test]
    fn a_head_says_what_follows() {
        for (status, headers, expected) in [
            (200, &[("content-length", "7")][..], Some(AnswerBody::Length(7))),
            (200, &[("Content-Length", "0")], Some(AnswerBody::Over)),
            (200, &[("Content-Length", "7 7")], None),
            (200, &[("Transfer-Encoding", "Chunked")], Some(AnswerBody::Size)),
            (200, &[("Transfer-Encoding", "gzip, chunked")], None),
            (200, &[], Some(AnswerBody::UntilEnd)),
            (204, &[], Some(AnswerBody::Over)),
            (304, &[("Content-Length", "7")], Some(AnswerBody::Over)),
        ] {
            let owned = headers.iter().map(|(name, value)| ((*name).into(), (*value).into()));
            let head = AnswerHead { status, headers: owned.collect() };
            assert_eq!(AnswerBody::of(&head), expected, "{status} {headers:?}");
        }
    }
}
