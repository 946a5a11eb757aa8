//! The read buffer of one connection.

/// The size of a new buffer.
const INITIAL_BYTES: usize = 8 * 1024;
/// A buffer that its reads keep filling grows to this size, so that a large body costs few reads.
const READ_BYTES: usize = 64 * 1024;

/// Bytes that were received and not consumed yet.
///
/// It belongs to the connection, not to a request: the bytes behind one request are the beginning of the next
/// one, or, after an upgrade, of the other protocol.
///
/// Consuming moves an index, not bytes. The storage is always initialized to its full length, so
/// a read needs no clearing.
#[derive(Debug)]
pub struct ReadBuffer {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

impl ReadBuffer {
    /// An empty buffer.
    pub fn new() -> Self {
        ReadBuffer { bytes: vec![0; INITIAL_BYTES], start: 0, end: 0 }
    }

    /// The bytes that are not consumed yet.
    pub fn unread(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// Room for bytes, never empty. Bytes that are written there count after [`filled`](Self::filled).
    pub fn space(&mut self) -> &mut [u8] {
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
        }
        if self.end == self.bytes.len() {
            // At most half of the buffer is moved at a time. So the work is linear in the bytes read, even if
            // they come one by one.
            if self.start >= self.bytes.len() / 2 {
                self.bytes.copy_within(self.start..self.end, 0);
                self.end -= self.start;
                self.start = 0;
            } else {
                self.bytes.resize(self.bytes.len() * 2, 0);
            }
        }
        &mut self.bytes[self.end..]
    }

    /// Records that `count` bytes were written to the beginning of [`space`](Self::space).
    pub fn filled(&mut self, count: usize) {
        self.end += count;
        assert!(self.end <= self.bytes.len(), "more was filled than there was space");
        if self.end == self.bytes.len() && self.end < READ_BYTES {
            self.bytes.resize(self.bytes.len() * 2, 0);
        }
    }

    /// Drops the first `count` unread bytes.
    pub fn consume(&mut self, count: usize) {
        self.start += count;
        assert!(self.start <= self.end, "more was consumed than there was to read");
    }

    /// Appends bytes that were read elsewhere.
    #[cfg(feature = "internals")]
    pub fn push(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let space = self.space();
            let count = bytes.len().min(space.len());
            space[..count].copy_from_slice(&bytes[..count]);
            self.filled(count);
            bytes = &bytes[count..];
        }
    }

    /// Gives up the buffer, and returns the bytes that are not consumed yet.
    pub fn into_unread(self) -> Vec<u8> {
        self.unread().to_vec()
    }
}

impl Default for ReadBuffer {
    fn default() -> Self {
        ReadBuffer::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_pushed_is_what_is_unread() {
        let mut random = fastrand::Rng::with_seed(7);
        let mut buffer = ReadBuffer::new();
        let mut expected: Vec<u8> = Vec::new();
        for _ in 0..2000 {
            let chunk: Vec<u8> = (0..random.usize(..3000)).map(|_| random.u8(..)).collect();
            buffer.push(&chunk);
            expected.extend(&chunk);
            let count = random.usize(..=expected.len());
            buffer.consume(count);
            expected.drain(..count);
            assert_eq!(buffer.unread(), expected);
            assert!(!buffer.space().is_empty());
            assert_eq!(buffer.unread(), expected);
        }
        assert_eq!(buffer.into_unread(), expected);
    }

    #[test]
    fn consumed_bytes_do_not_make_it_grow() {
        let mut buffer = ReadBuffer::new();
        for _ in 0..10_000 {
            buffer.push(&[1; 1000]);
            buffer.consume(1000);
        }
        assert!(buffer.bytes.len() <= READ_BYTES);
    }
}
