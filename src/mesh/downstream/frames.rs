//! Records in the form in which they are sent, made once for all readers at the end of the journal.

use std::sync::Arc;

use crate::locks::Mutex;
use crate::manager::Handle;
use crate::source::Source;
use crate::transaction::Record;

/// How many records, and about how many bytes, are written together.
const BATCH_RECORDS: usize = 1024;
const BATCH_BYTES: usize = 256 << 10;

/// The first byte of a frame with a whole text message (RFC 6455 section 5.2).
const WHOLE_TEXT: u8 = 0x81;

/// The longest payload whose length fits into one byte, and the marks of lengths in two and in eight bytes.
const SHORT: usize = 125;
const TWO_BYTES: u8 = 126;
const EIGHT_BYTES: u8 = 127;

/// Consecutive records of the journal, and a frame for each (RFC 6455 section 5.2).
#[derive(Debug)]
pub struct Frames {
    begin: u64,
    records: Vec<Record>,
    bytes: Arc<[u8]>,
}

impl Frames {
    fn new(begin: u64, records: Vec<Record>) -> Self {
        let bytes = frames(records.iter());
        Self { begin, records, bytes }
    }

    /// The records from `position` on. There are none if the journal ends there.
    ///
    /// # Errors
    /// If the journal cannot be read.
    pub async fn read(handle: &Handle, position: u64) -> std::io::Result<Self> {
        let records = handle.journal().read(position, BATCH_RECORDS, BATCH_BYTES).await?;
        Ok(Self::new(position, records))
    }

    /// The position after the last record.
    pub fn end(&self) -> u64 {
        self.begin + self.records.len() as u64
    }

    /// The stamps of the records, in their order.
    pub fn stamps(&self) -> impl Iterator<Item = (&Source, u64)> {
        self.records.iter().map(|record| (&record.place.source, record.place.id))
    }

    /// The frames of the records, except those that a reader has. `has` gets the index and the record.
    pub fn but(&self, has: impl Fn(usize, &Record) -> bool) -> Arc<[u8]> {
        let mut records = self.records.iter().enumerate();
        let Some((first, _)) = records.find(|(at, record)| has(*at, record)) else {
            return self.bytes.clone();
        };
        let rest = records.filter(|(at, record)| !has(*at, record)).map(|(_, record)| record);
        frames(self.records[..first].iter().chain(rest))
    }
}

/// The frames that were made last.
#[derive(Debug, Default)]
pub struct LatestFrames(Mutex<Option<Arc<Frames>>>);

impl LatestFrames {
    /// The frames of the records from `position` on. `None` if the records are not in memory.
    pub fn frames(&self, handle: &Handle, position: u64) -> Option<Arc<Frames>> {
        let journal = handle.journal();
        let length = journal.length();
        if let Some(frames) = self.0.lock().as_ref()
            && (frames.begin, frames.end()) == (position, length)
        {
            return Some(frames.clone());
        }
        let records = journal.read_at_hand(position, BATCH_RECORDS, BATCH_BYTES)?;
        let frames = Arc::new(Frames::new(position, records));
        // Only at the end of the journal are other readers likely to be at the same position.
        if frames.end() >= length {
            *self.0.lock() = Some(frames.clone());
        }
        Some(frames)
    }
}

fn frames<'a>(records: impl Iterator<Item = &'a Record>) -> Arc<[u8]> {
    let mut bytes = Vec::new();
    for record in records {
        push(&mut bytes, record.line.as_bytes());
    }
    bytes.into()
}

/// The frame of one text.
pub fn frame(text: &str) -> Arc<[u8]> {
    let mut bytes = Vec::new();
    push(&mut bytes, text.as_bytes());
    bytes.into()
}

fn push(frames: &mut Vec<u8>, text: &[u8]) {
    let length = text.len();
    frames.push(WHOLE_TEXT);
    if length <= SHORT {
        frames.push(length as u8);
    } else if let Ok(length) = u16::try_from(length) {
        frames.push(TWO_BYTES);
        frames.extend_from_slice(&length.to_be_bytes());
    } else {
        frames.push(EIGHT_BYTES);
        frames.extend_from_slice(&(length as u64).to_be_bytes());
    }
    frames.extend_from_slice(text);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Time;
    use crate::manager::Manager;
    use crate::transaction::Place;

    fn record(id: u64, bytes: usize) -> Record {
        let place = Place { time: Time::MAX, source: "a~00000000".parse().unwrap(), id };
        Record { place, named: None, line: "x".repeat(bytes).into() }
    }

    #[test]
    fn a_frame_has_its_length_before_it() {
        for (bytes, header) in [
            (0, &[0x81, 0][..]),
            (125, &[0x81, 125]),
            (126, &[0x81, 126, 0, 126]),
            (65_535, &[0x81, 126, 0xff, 0xff]),
            (65_536, &[0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
        ] {
            let frames = Frames::new(0, vec![record(1, bytes)]);
            let frame = frames.but(|_, _| false);
            assert_eq!(&frame[..header.len()], header);
            assert_eq!(frame.len(), header.len() + bytes);
        }
    }

    #[test]
    fn a_reader_gets_what_it_does_not_have() {
        let frames = Frames::new(0, (1..=4).map(|id| record(id, id as usize)).collect());
        let of = |ids: &[usize]| -> Vec<u8> {
            ids.iter().flat_map(|id| [0x81, *id as u8].into_iter().chain(vec![b'x'; *id])).collect()
        };
        for (has, lacks) in [
            (&[][..], &[1, 2, 3, 4][..]),
            (&[1], &[2, 3, 4]),
            (&[2, 4], &[1, 3]),
            (&[1, 2, 3, 4], &[]),
        ] {
            assert_eq!(*frames.but(|at, _| has.contains(&(at + 1))), of(lacks), "{has:?}");
        }
    }

    #[test]
    fn all_readers_at_the_end_share_frames() {
        smol::block_on(async {
            let (manager, handle) = Manager::in_memory("a~00000000".parse().unwrap());
            let _task = smol::spawn(manager.run());
            let latest = LatestFrames::default();
            for _ in 0..2 {
                handle.create("[]", None).await.unwrap().unwrap();
            }
            let first = latest.frames(&handle, 0).unwrap();
            assert!(Arc::ptr_eq(&first, &latest.frames(&handle, 0).unwrap()));
            let all = first.but(|_, _| false);
            assert!(Arc::ptr_eq(&all, &first.but(|_, _| false)));
            // A reader that lacks less has its own frames.
            let late = latest.frames(&handle, 1).unwrap();
            assert_eq!((first.end(), late.end()), (2, 2));
            assert!(all.ends_with(&late.but(|_, _| false)));
            handle.create("[]", None).await.unwrap().unwrap();
            assert_eq!(latest.frames(&handle, 0).unwrap().end(), 3);
            assert_eq!(latest.frames(&handle, 3).unwrap().end(), 3);
            assert!(latest.frames(&handle, 3).unwrap().but(|_, _| false).is_empty());
        });
    }
}
