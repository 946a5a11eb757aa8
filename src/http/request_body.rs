//! The body of a request: of a known length, or in chunks.
//!
//! A chunk is `SIZE[;EXTENSION] CR LF`, SIZE bytes, CR LF. The last one has the size 0 and no bytes, and a
//! trailer section follows it (RFC 9112, 7.1). httparse does not read the size line here: it takes an empty
//! size for 0, and accepts a bare LF in an extension.

use super::head::{Framing, Section, body_too_large, line_end, parse_fields};
use super::{HttpError, Limits, ReadBuffer};

/// How many digits the size of a chunk has at most: those of 64 bits.
const SIZE_DIGITS: usize = 16;

/// Reads one body, as its bytes come.
#[derive(Debug)]
pub(super) struct BodyReader {
    state: BodyState,
    /// How many bytes of trailers and extensions of chunks may still come. They are dropped, so without a limit
    /// a client could send them for ever.
    spare_bytes: usize,
}

#[derive(Debug)]
enum BodyState {
    /// This many bytes are missing, and then the body is complete.
    Length(usize),
    /// The size line; this many of its bytes were searched for its end.
    Size(usize),
    /// This many bytes of a chunk are missing, and then its line end.
    Chunk(usize),
    ChunkEnd,
    Trailer(Section),
}

impl BodyReader {
    pub fn new(framing: Framing, limits: &Limits) -> Self {
        BodyReader {
            state: match framing {
                Framing::Length(length) => BodyState::Length(length),
                Framing::Chunked => BodyState::Size(0),
            },
            spare_bytes: limits.header_bytes,
        }
    }

    /// Moves bytes from the buffer to the body. Returns whether the body is complete.
    pub fn read(
        &mut self,
        buffer: &mut ReadBuffer,
        body: &mut Vec<u8>,
        limits: &Limits,
    ) -> Result<bool, HttpError> {
        loop {
            match &mut self.state {
                BodyState::Length(missing) => {
                    // The whole length at once: it is within the limit, and a vector that grows copies its
                    // bytes.
                    body.reserve_exact(*missing);
                    take(buffer, body, missing);
                    return Ok(*missing == 0);
                }
                BodyState::Size(scanned) => {
                    let spare_bytes = &mut self.spare_bytes;
                    let Some(size) = take_size(buffer, scanned, spare_bytes, limits)? else {
                        return Ok(false);
                    };
                    self.state = match usize::try_from(size) {
                        Ok(0) => BodyState::Trailer(Section::default()),
                        Ok(size) if size <= limits.body_bytes - body.len() => {
                            BodyState::Chunk(size)
                        }
                        _ => return Err(body_too_large(limits)),
                    };
                }
                BodyState::Chunk(missing) => {
                    take(buffer, body, missing);
                    if *missing > 0 {
                        return Ok(false);
                    }
                    self.state = BodyState::ChunkEnd;
                }
                BodyState::ChunkEnd => {
                    if !take_chunk_end(buffer)? {
                        return Ok(false);
                    }
                    self.state = BodyState::Size(0);
                }
                BodyState::Trailer(section) => {
                    let bytes = buffer.unread();
                    // The empty line does not count: every trailer section has it.
                    let limit = self.spare_bytes + 2;
                    let Some(end) = section.end(bytes, limit, limits)? else {
                        return Ok(false);
                    };
                    let text = String::from_utf8_lossy(&bytes[..end]);
                    parse_fields(&text, 0, section.lines())?;
                    buffer.consume(end);
                    return Ok(true);
                }
            }
        }
    }
}

/// Moves up to `missing` bytes, and takes their number from `missing`.
fn take(buffer: &mut ReadBuffer, body: &mut Vec<u8>, missing: &mut usize) {
    let bytes = buffer.unread();
    let count = bytes.len().min(*missing);
    body.extend_from_slice(&bytes[..count]);
    buffer.consume(count);
    *missing -= count;
}

/// Takes a size line, and the length of its extensions from `spare_bytes`. None if the line is not complete.
fn take_size(
    buffer: &mut ReadBuffer,
    scanned: &mut usize,
    spare_bytes: &mut usize,
    limits: &Limits,
) -> Result<Option<u64>, HttpError> {
    let exceeded = || {
        let most = limits.header_bytes;
        HttpError::new(431, format!("the extensions of the chunks are larger than {most} bytes"))
    };
    let bytes = buffer.unread();
    let limit = SIZE_DIGITS + *spare_bytes + 2;
    let window = &bytes[..bytes.len().min(limit)];
    let Some(end) = line_end(window, scanned)? else {
        return if bytes.len() >= limit { Err(exceeded()) } else { Ok(None) };
    };
    let (size, extension_bytes) = parse_size(&bytes[..end - 2])?;
    *spare_bytes = spare_bytes.checked_sub(extension_bytes).ok_or_else(exceeded)?;
    buffer.consume(end);
    Ok(Some(size))
}

/// Takes the line end behind a chunk. Returns false if it is not complete.
fn take_chunk_end(buffer: &mut ReadBuffer) -> Result<bool, HttpError> {
    let bytes = buffer.unread();
    let compared = bytes.len().min(2);
    if bytes[..compared] != b"\r\n"[..compared] {
        return Err(HttpError::bad_request("a chunk does not end where its size says"));
    }
    if compared < 2 {
        return Ok(false);
    }
    buffer.consume(2);
    Ok(true)
}

/// The size in a size line, and the length of its extensions.
fn parse_size(line: &[u8]) -> Result<(u64, usize), HttpError> {
    let malformed = || HttpError::bad_request("a chunk's size line is malformed");
    let digits = line.iter().position(|byte| !byte.is_ascii_hexdigit()).unwrap_or(line.len());
    let (digits, extension) = line.split_at(digits);
    if digits.is_empty() || digits.len() > SIZE_DIGITS {
        return Err(malformed());
    }
    // White space is allowed before the semicolon of an extension, but not instead of one.
    let begins = extension.iter().find(|byte| !matches!(byte, b' ' | b'\t'));
    let separated = extension.is_empty() || begins == Some(&b';');
    let controls = |byte: &u8| byte.is_ascii_control() && *byte != b'\t';
    if !separated || extension.iter().any(controls) {
        return Err(malformed());
    }
    let size = digits.iter().fold(0, |size, digit| {
        let value = char::from(*digit).to_digit(16).unwrap_or(0);
        size << 4 | u64::from(value)
    });
    Ok((size, extension.len()))
}
