//! Reads a stream of events (HTML, section 9.2.6).

/// The longest event.
const MAX_BYTES: usize = 1 << 30;

/// An event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReceivedEvent {
    /// Its kind; empty if the stream does not say it.
    pub kind: String,
    /// Its id, which marks a place in the stream; none if the stream does not say it.
    pub id: Option<String>,
    /// Its data.
    pub data: Vec<u8>,
}

/// Makes events of bytes.
#[derive(Debug, Default)]
pub struct EventDecoder {
    bytes: Vec<u8>,
    /// How many of them were searched for a line end in vain.
    scanned: usize,
    event: ReceivedEvent,
    has_data: bool,
}

impl EventDecoder {
    /// Takes bytes that have come.
    ///
    /// # Errors
    /// If an event is too long.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), &'static str> {
        self.bytes.extend_from_slice(bytes);
        if self.bytes.len() + self.event.data.len() > MAX_BYTES {
            return Err("an event is too long");
        }
        Ok(())
    }

    /// The next complete event.
    pub fn pop(&mut self) -> Option<ReceivedEvent> {
        let mut begin = 0;
        let found = loop {
            let from = begin + std::mem::take(&mut self.scanned);
            let Some(length) = memchr::memchr(b'\n', &self.bytes[from..]) else {
                self.scanned = self.bytes.len() - begin;
                break None;
            };
            let end = from + length;
            let line =
                self.bytes[begin..end].strip_suffix(b"\r").unwrap_or(&self.bytes[begin..end]);
            begin = end + 1;
            if !line.is_empty() {
                take_field(&mut self.event, &mut self.has_data, line);
                continue;
            }
            let event = std::mem::take(&mut self.event);
            // An id alone marks a place in the stream.
            if std::mem::take(&mut self.has_data) || event.id.is_some() {
                break Some(event);
            }
        };
        self.bytes.drain(..begin);
        found
    }
}

fn take_field(event: &mut ReceivedEvent, has_data: &mut bool, line: &[u8]) {
    let colon = memchr::memchr(b':', line).unwrap_or(line.len());
    let (name, value) = line.split_at(colon);
    let value = value.strip_prefix(b":").unwrap_or(value);
    let value = value.strip_prefix(b" ").unwrap_or(value);
    let text = || String::from_utf8_lossy(value).into_owned();
    match name {
        b"event" => event.kind = text(),
        b"id" => event.id = Some(text()),
        b"data" => {
            if std::mem::replace(has_data, true) {
                event.data.push(b'\n');
            }
            event.data.extend_from_slice(value);
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_the_same_however_they_come() {
        let text = "retry: 1000\n\n: keep-alive\n\nevent: put\nid: a.1\ndata: {\"a\":1}\n\n\
                    event: gone\r\nid:a.2\r\ndata\r\n\r\nevent: lost\n\nid: a.3\n\ndata: one\ndata:two\n\nevent: put\ndata: x";
        let event = |kind: &str, id: Option<&str>, data: &str| ReceivedEvent {
            kind: kind.into(),
            id: id.map(str::to_owned),
            data: data.into(),
        };
        for step in 1..text.len() {
            let (mut events, mut found) = (EventDecoder::default(), Vec::new());
            for part in text.as_bytes().chunks(step) {
                events.push(part).unwrap();
                found.extend(std::iter::from_fn(|| events.pop()));
            }
            let expected = [
                event("put", Some("a.1"), "{\"a\":1}"),
                event("gone", Some("a.2"), ""),
                event("", Some("a.3"), ""),
                event("", None, "one\ntwo"),
            ];
            assert_eq!(found, expected, "{step}");
        }
    }
}
