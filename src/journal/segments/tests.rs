use std::collections::BTreeMap;
use std::sync::Mutex;

use super::*;
use crate::clock::Time;
use crate::journal::file::read_through;
use crate::journal::reader::Marks;
use crate::journal::{AppendError, FileJournal, FileReader};
use crate::transaction::{Place, Record};

/// Files by the positions at which they begin.
type Files = BTreeMap<u64, Vec<u8>>;

/// Several files in memory, which keeps what each step leaves of them: as it was written, and as it was synced.
#[derive(Clone, Default)]
struct Disk(Arc<Mutex<DiskContent>>);

#[derive(Default)]
struct DiskContent {
    files: BTreeMap<u64, [Vec<u8>; 2]>,
    /// What each step has left; none if that is not kept.
    steps: Option<Vec<CrashPoint>>,
    /// The least and the greatest position at which the journal may begin and end.
    begin: [u64; 2],
    length: [u64; 2],
    /// What happens meanwhile when something is read next.
    at_read: Option<Box<dyn FnOnce() + Send>>,
    /// What becomes of adding a file.
    trouble: Option<fn(io::Error) -> NotAdded>,
}

/// What may be found after a crash.
struct CrashPoint {
    files: [Files; 2],
    begin: [u64; 2],
    length: [u64; 2],
}

struct DiskFile {
    disk: Disk,
    position: u64,
}

impl Disk {
    fn of(files: &Files) -> Self {
        let disk = Self::default();
        let both =
            files.iter().map(|(position, bytes)| (*position, [bytes.clone(), bytes.clone()]));
        disk.0.lock().unwrap().files = both.collect();
        disk
    }

    fn new() -> Self {
        let header = Header::new("a~1".parse().unwrap());
        Self::of(&[(0, header.line())].into())
    }

    fn files(&self) -> Files {
        let content = self.0.lock().unwrap();
        content.files.iter().map(|(position, [seen, _])| (*position, seen.clone())).collect()
    }

    fn change(&self, change: impl FnOnce(&mut DiskContent)) {
        let mut content = self.0.lock().unwrap();
        change(&mut content);
        if content.steps.is_none() {
            return;
        }
        let files = |which: usize| {
            let files = content.files.iter();
            files.map(|(position, both)| (*position, both[which].clone())).collect()
        };
        let step = CrashPoint {
            files: [files(0), files(1)],
            begin: content.begin,
            length: content.length,
        };
        content.steps.as_mut().expect("it is there").push(step);
    }

    fn open(&self) -> Result<(FileJournal, Vec<u64>), OpenError> {
        self.open_from(&Marks::default())
    }

    /// The journal, and the Ids in it from the last mark on.
    fn open_from(&self, marks: &Marks) -> Result<(FileJournal, Vec<u64>), OpenError> {
        let files: Vec<u64> = self.files().into_keys().collect();
        let storages = files.into_iter().map(|position| self.file(position));
        let segments = Segments::open(storages, Box::new(self.clone()))?;
        let reader = FileReader::new(segments, marks);
        let mut ids = Vec::new();
        let extent = read_through(&reader, &mut |_, batch| {
            ids.extend(batch.iter().map(|transaction| transaction.id));
            Ok(())
        })?;
        Ok((FileJournal::open(&extent, reader)?, ids))
    }

    fn file(&self, position: u64) -> Arc<dyn Storage> {
        Arc::new(DiskFile { disk: self.clone(), position })
    }

    /// Appends this many records; the Id of each is its position.
    fn append(&self, journal: &mut FileJournal, count: u64) {
        let begin = journal.reader().length();
        self.0.lock().unwrap().length[1] = begin + count;
        let batch: Vec<Record> = (begin..begin + count).map(record).collect();
        journal.append(&batch).unwrap();
        self.0.lock().unwrap().length[0] = begin + count;
    }
}

impl Shelf for Disk {
    fn add(&self, position: u64, header: &[u8]) -> Result<Arc<dyn Storage>, NotAdded> {
        if let Some(trouble) = self.0.lock().unwrap().trouble {
            return Err(trouble(io::ErrorKind::StorageFull.into()));
        }
        self.change(|content| {
            content.files.insert(position, [header.to_vec(), header.to_vec()]);
        });
        Ok(self.file(position))
    }

    fn remove_before(&self, position: u64) -> io::Result<()> {
        let gone: Vec<u64> = self.files().range(..position).map(|(begin, _)| *begin).collect();
        for begin in gone {
            self.change(|content| {
                content.files.remove(&begin);
            });
        }
        Ok(())
    }
}

impl Storage for DiskFile {
    fn length(&self) -> io::Result<u64> {
        Ok(self.disk.0.lock().unwrap().files[&self.position][0].len() as u64)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let meanwhile = self.disk.0.lock().unwrap().at_read.take();
        meanwhile.into_iter().for_each(|meanwhile| meanwhile());
        let content = self.disk.0.lock().unwrap();
        let Some([bytes, _]) = content.files.get(&self.position) else {
            return Err(io::Error::other("it was removed"));
        };
        let start = (offset as usize).min(bytes.len());
        let count = buffer.len().min(bytes.len() - start);
        buffer[..count].copy_from_slice(&bytes[start..start + count]);
        Ok(count)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        // Reserved space takes much time here.
        if bytes.iter().all(|byte| *byte == 0) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let (start, end) = (offset as usize, offset as usize + bytes.len());
        self.disk.change(|content| {
            let [file, _] = content.files.get_mut(&self.position).unwrap();
            file.resize(file.len().max(end), 0);
            file[start..end].copy_from_slice(bytes);
        });
        Ok(())
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        self.disk.change(|content| {
            content.files.get_mut(&self.position).unwrap()[0].resize(length as usize, 0);
        });
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.disk.change(|content| {
            let [seen, durable] = content.files.get_mut(&self.position).unwrap();
            durable.clone_from(seen);
        });
        Ok(())
    }

    fn name(&self) -> String {
        format!("file {}", self.position)
    }
}

fn record(id: u64) -> Record {
    let place = Place {
        time: Time::from_micros(1000 + id).unwrap(),
        source: format!("a~{}", id / 500).parse().unwrap(),
        id,
    };
    Record::new(place, &"x".repeat(id as usize * 37 % 90))
}

fn ids(records: &[Record]) -> Vec<u64> {
    records.iter().map(|record| record.place.id).collect()
}

/// A journal of the files that begin at 0, 700, 1000 and 1600.
fn four_files() -> (Disk, FileJournal) {
    let disk = Disk::new();
    let (mut journal, _) = disk.open().unwrap();
    for (batches, count) in [(7, 100), (300, 1), (2, 300), (1, 50)] {
        journal.roll().unwrap();
        for _ in 0..batches {
            disk.append(&mut journal, count);
        }
    }
    assert_eq!(disk.files().into_keys().collect::<Vec<_>>(), [0, 700, 1000, 1600]);
    (disk, journal)
}

#[test]
fn a_crash_between_any_two_steps_leaves_a_journal_that_opens() {
    let disk = Disk::new();
    let (mut journal, _) = disk.open().unwrap();
    disk.0.lock().unwrap().steps = Some(Vec::new());
    let life: Source = "a~later".parse().unwrap();
    for round in 0..4 {
        disk.append(&mut journal, 3);
        disk.append(&mut journal, 1);
        if round == 1 {
            journal.begin_life(&life).unwrap();
        }
        journal.roll().unwrap();
        disk.append(&mut journal, 2);
        if round == 3 {
            disk.0.lock().unwrap().begin[1] = 16;
            assert_eq!(journal.drop_before(18).unwrap(), 16);
            disk.0.lock().unwrap().begin[0] = 16;
        }
    }
    let steps = disk.0.lock().unwrap().steps.take().unwrap();
    assert!(steps.len() > 40, "{}", steps.len());
    for (number, CrashPoint { files, begin, length }) in steps.into_iter().enumerate() {
        for files in files {
            let disk = Disk::of(&files);
            let (mut journal, found) =
                disk.open().unwrap_or_else(|error| panic!("{number}: {error}"));
            let first = journal.reader().begin();
            assert!((begin[0]..=begin[1]).contains(&first), "{number}: {first}");
            let end = journal.reader().length();
            assert!((length[0]..=length[1]).contains(&end), "{number}: {end}");
            assert_eq!(found, (first..end).collect::<Vec<_>>(), "{number}");
            // Batches are appended, here and in another file.
            disk.append(&mut journal, 2);
            journal.roll().unwrap();
            disk.append(&mut journal, 2);
            let (journal, found) = Disk::of(&disk.files()).open().unwrap();
            assert_eq!(found, (first..end + 4).collect::<Vec<_>>(), "{number}");
            if first > 8 {
                assert_eq!(journal.reader().life(), Some(life.clone()), "{number}");
            }
        }
    }
}

#[test]
fn readers_see_one_journal_whichever_files_it_has() {
    let (disk, mut journal) = four_files();
    let reader = journal.reader();
    let marks = reader.marks(u64::MAX);
    for (before, begin) in [(699, 0), (700, 700), (1699, 1600)] {
        assert_eq!(journal.drop_before(before).unwrap(), begin);
        assert_eq!((reader.begin(), reader.length()), (begin, 1650));
        let (opened, found) = disk.open().unwrap();
        assert_eq!(found, (begin..1650).collect::<Vec<_>>());
        // Of older marks those of parts that are still there are of use.
        let (resumed, rest) = disk.open_from(&marks).unwrap();
        assert_eq!(rest, (begin.max(1536)..1650).collect::<Vec<_>>());
        assert_eq!(resumed.reader().marks(u64::MAX), opened.reader().marks(u64::MAX));
        for reader in [&reader, &opened.reader(), &resumed.reader()] {
            for position in begin..1650 {
                let records = reader.read(position, 7, usize::MAX).unwrap();
                let end = (position + 7).min(1650);
                assert_eq!(ids(&records), (position..end).collect::<Vec<_>>());
            }
            for position in (0..begin).step_by(50) {
                let error = reader.read(position, 7, usize::MAX).unwrap_err();
                assert!(is_folded(&error), "{error}");
            }
            let mut next = Some(0);
            while let Some(from) = next {
                let checked = reader.check(from, 5000);
                assert_eq!(checked.damage, None);
                next = checked.next;
            }
            assert_eq!(reader.damage(), None);
        }
    }
}

#[test]
fn a_part_dropped_while_it_is_read_is_no_damage() {
    for checks in [false, true] {
        // After a start nothing is in memory.
        let disk = Disk::of(&four_files().0.files());
        let (mut journal, _) = disk.open().unwrap();
        let reader = journal.reader();
        disk.0.lock().unwrap().at_read = Some(Box::new(move || {
            journal.drop_before(1000).unwrap();
        }));
        if checks {
            let checked = reader.check(0, 1 << 20);
            assert_eq!((checked.next, checked.damage), (None, None));
        } else {
            let error = reader.read(100, 7, usize::MAX).unwrap_err();
            assert!(is_folded(&error), "{error}");
        }
        assert_eq!((reader.damage(), reader.begin()), (None, 1000));
    }
}

#[test]
fn damage_in_any_file_is_found_and_named() {
    let (disk, journal) = four_files();
    let good = disk.files();
    drop(journal);
    for (position, bytes) in &good {
        let begin = bytes.iter().position(|byte| *byte == b'\n').unwrap();
        for at in (begin + 40..bytes.len()).step_by(5711) {
            // What a running node finds.
            let disk = Disk::of(&good);
            let (journal, _) = disk.open().unwrap();
            disk.change(|content| content.files.get_mut(position).unwrap()[0][at] ^= 1);
            let reader = journal.reader();
            let mut next = Some(0);
            while let Some(from) = next {
                next = reader.check(from, 5000).next;
            }
            let found = reader.damage().unwrap();
            assert_eq!(found.file, format!("file {position}"));
            assert!((at as u64).abs_diff(found.damage.offset) < 300, "{at}: {found}");
            // What a start finds.
            let error = Disk::of(&disk.files()).open().map(drop).unwrap_err();
            let (file, _) = error.parts();
            assert_eq!(file, Some(&*found.file), "{error}");
            assert!(error.to_string().contains(&found.damage.to_string()), "{error}, {found}");
        }
    }
}

#[test]
fn files_that_do_not_fit_are_refused_by_name() {
    let (disk, _) = four_files();
    let good = disk.files();
    type Case<'a> = (&'a str, &'a str, fn(&mut Files));
    let cases: [Case; 8] = [
        (
            "file 1000",
            "after a file of the journal that begins at position 700, which is",
            |files| {
                files.remove(&700);
            },
        ),
        ("file 1600", "begins at position 1000, which is missing", |files| {
            files.retain(|position, _| [700, 1600].contains(position));
        }),
        ("file 700", "the file ends here", |files| {
            let bytes = files.get_mut(&700).unwrap();
            bytes.truncate(bytes.len() - 1);
        }),
        ("file 0", "the file ends here", |files| {
            files.get_mut(&0).unwrap().truncate(500);
        }),
        ("file 700", "there is more than where the next file goes on", |files| {
            files.get_mut(&700).unwrap().extend_from_slice(b"\0\0{}");
        }),
        ("file 1000", "beginning of a journal", |files| {
            let first = files[&0].clone();
            files.insert(1000, first);
        }),
        ("file 1600", "there is no whole header", |files| {
            files.insert(1600, Vec::new());
        }),
        ("file 1600", "of the journal of b~1", |files| {
            let begin = Segments::open([Disk::of(files).file(1600)], Box::new(Disk::new()));
            let header = begin.unwrap().header().of_copy("b~1".parse().unwrap());
            files.insert(1600, header.line());
        }),
    ];
    for (name, why, change) in cases {
        let mut files = good.clone();
        change(&mut files);
        let error = Disk::of(&files).open().map(drop).unwrap_err();
        assert_eq!(error.parts().0, Some(name), "{error}");
        assert!(error.to_string().contains(why), "{error}");
        assert!(Disk::of(&files).files() == files, "nothing is changed");
    }
    // Reserved space that was not given back before a crash does no harm.
    let mut files = good;
    files.get_mut(&700).unwrap().extend_from_slice(&[0; 70_000]);
    assert_eq!(Disk::of(&files).open().unwrap().1.len(), 1650);
}

#[test]
fn a_last_batch_that_is_torn_is_cut_off_in_the_last_file_only() {
    let (disk, _) = four_files();
    let good = disk.files();
    for keep in 1..=3 {
        let mut files = good.clone();
        let last = files.get_mut(&1600).unwrap();
        let header = last.iter().position(|byte| *byte == b'\n').unwrap() + 1;
        last.truncate(header + (last.len() - header) * keep / 4);
        let disk = Disk::of(&files);
        assert_eq!(disk.open().unwrap().1.len(), 1600);
        assert_eq!(disk.files()[&1600].len(), header);
        // The same before the last file is damage.
        files.insert(1600, files[&1600][..header].to_vec());
        let before = files.get_mut(&1000).unwrap();
        let length = before.len();
        before[length - 100 * keep..].fill(0);
        let error = Disk::of(&files).open().map(drop).unwrap_err();
        assert_eq!(error.parts().0, Some("file 1000"), "{error}");
    }
    // And so is a batch that is missing without a trace, or only its last line feed.
    let line_ends = |bytes: &[u8]| memchr::memchr_iter(b'\n', bytes).collect::<Vec<_>>();
    let mut files = good;
    let header = line_ends(&files[&1600])[0];
    files.get_mut(&1600).unwrap().truncate(header + 1);
    let whole = files[&1000].clone();
    for (begin, why) in [(line_ends(&whole)[300] + 1, "ends here"), (whole.len() - 1, "line feed")]
    {
        files.get_mut(&1000).unwrap()[begin..].fill(0);
        let error = Disk::of(&files).open().map(drop).unwrap_err();
        assert_eq!(error.parts().0, Some("file 1000"), "{error}");
        assert!(error.to_string().contains(why), "{error}");
        files.insert(1000, whole.clone());
    }
}

#[test]
fn a_long_file_is_followed_by_another_which_may_be_begun_later() {
    let disk = Disk::new();
    let (mut journal, _) = disk.open().unwrap();
    let megabyte = |id: u64| {
        let place = Place { id, ..record(id).place };
        [Record::new(place, &"x".repeat(1 << 20))]
    };
    disk.0.lock().unwrap().trouble = Some(NotAdded::Absent);
    for id in 0..9 {
        journal.append(&megabyte(id)).unwrap();
    }
    assert_eq!(disk.files().len(), 1);
    assert!(matches!(journal.roll(), Err(AppendError::Full(_))));
    disk.0.lock().unwrap().trouble = None;
    for id in 9..30 {
        journal.append(&megabyte(id)).unwrap();
    }
    assert_eq!(disk.files().into_keys().collect::<Vec<_>>(), [0, 9, 17, 25]);
    assert!(disk.files()[&0].starts_with(br#"{"patchmesh":"journal","version":3,"#));
    // If it is unknown whether a file is there, nothing more may be written.
    disk.0.lock().unwrap().trouble = Some(NotAdded::Unknown);
    assert!(matches!(journal.roll(), Err(AppendError::Broken(_))));
}

#[test]
fn dropped_parts_take_no_memory() {
    let disk = Disk::new();
    let (mut journal, _) = disk.open().unwrap();
    let reader = journal.reader();
    let mut most = [0; 4];
    for round in 0..60 {
        for _ in 0..10 {
            disk.append(&mut journal, 137);
        }
        journal.roll().unwrap();
        let end = reader.length();
        journal.drop_before(end.saturating_sub(3000)).unwrap();
        let sizes = reader.sizes();
        if round < 10 {
            most = std::array::from_fn(|at| most[at].max(sizes[at]));
        }
        assert!(sizes.iter().zip(most).all(|(size, most)| *size <= most + 2), "{sizes:?} {most:?}");
        assert!(disk.files().len() <= 5);
    }
    // What is there is found, and nothing else.
    let begin = reader.begin();
    for id in (0..reader.length()).step_by(97) {
        let place = record(id).place;
        let found = reader.with_index(|index| index.candidates(&place.source, id));
        assert_eq!(found.iter().any(|range| range.contains(&id)), id >= begin, "{id}");
    }
}
