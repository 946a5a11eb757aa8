use super::*;

/// A position, the entries of a clock, and the position or the number expected.
type Case<'a> = (u64, &'a [(&'a str, u64)], u64);

fn source(name: &str) -> Source {
    name.parse().unwrap()
}

fn clock(entries: &[(&str, u64)]) -> VectorClock {
    entries.iter().map(|(name, next)| (source(name), *next)).collect()
}

fn stamped(source: &Source, id: u64) -> Ids<'_> {
    Ids { time: Time::MAX, stamp: (source, id), name: None }
}

#[test]
fn whole_blocks_that_a_clock_covers_are_skipped() {
    let (a, b) = (source("a"), source("b"));
    let mut index = BlockIndex::default();
    assert_eq!(index.next_uncovered(0, &clock(&[])), 0);
    // Three blocks of a, whose second has one of b; and the beginning of a fourth.
    for id in 1..=3 * BLOCK + 10 {
        let is_of_b = id == BLOCK + 5;
        index.push(if is_of_b { stamped(&b, 7) } else { stamped(&a, id) });
    }
    let length = 3 * BLOCK + 10;
    // A position; the clock; the position to go on from.
    let table: [Case; 12] = [
        (0, &[], 0),
        (17, &[], 17),
        (0, &[("a", BLOCK + 1)], BLOCK),
        (3, &[("a", BLOCK + 1)], BLOCK),
        (0, &[("a", BLOCK)], 0),
        (0, &[("a", 9999)], BLOCK),
        (BLOCK + 9, &[("a", 9999), ("b", 7)], BLOCK + 9),
        (2 * BLOCK, &[("a", 9999)], length),
        (0, &[("a", 3 * BLOCK + 1), ("b", 8)], 3 * BLOCK),
        (0, &[("a", 9999), ("b", 8), ("c", 1)], length),
        (length + 5, &[], length + 5),
        (u64::MAX, &[], u64::MAX),
    ];
    for (from, entries, expected) in table {
        assert_eq!(index.next_uncovered(from, &clock(entries)), expected, "{from} {entries:?}");
    }
}

#[test]
fn lacking_records_are_counted_exactly_unless_ids_have_gaps() {
    let (a, b) = (source("a"), source("b"));
    let mut index = BlockIndex::default();
    // Three blocks of a, and the beginning of a fourth, in which every other one is of b; and named ones.
    for id in 1..=3 * BLOCK {
        index.push(stamped(&a, id));
    }
    for id in 1..=10 {
        let name = (id == 5).then_some((&a, 9000));
        index.push(Ids { name, ..stamped(&b, 2 * id) });
        index.push(stamped(&a, 3 * BLOCK + id));
    }
    let length = 3 * BLOCK + 20;
    // A position; the clock; how many it lacks from there on.
    let table: [Case; 13] = [
        (0, &[], length),
        (17, &[], length - 17),
        (length, &[], 0),
        (length + 5, &[], 0),
        (u64::MAX, &[], 0),
        (0, &[("a", BLOCK - 10)], length - BLOCK + 11),
        (0, &[("a", 3 * BLOCK + 1)], 20),
        (0, &[("a", 3 * BLOCK - 1)], 22),
        (3 * BLOCK - 1, &[("a", 3 * BLOCK - 1)], 21),
        (0, &[("a", 9999), ("b", 21)], 0),
        (0, &[("a", 9999), ("b", 20)], 1),
        // The Ids of b have gaps: it is only known that it lacks at most 18 of one kind and 1 of the other.
        (0, &[("a", 9999), ("b", 3)], 19),
        (length - 4, &[("a", 9999), ("b", 3)], 4),
    ];
    for (from, entries, expected) in table {
        assert_eq!(index.lacking(from, &clock(entries)), expected, "{from} {entries:?}");
    }
    // Blocks that are known, and one of which nothing is known.
    let mut index = BlockIndex::after(0, 4 * BLOCK);
    index.push(stamped(&a, 5 * BLOCK));
    assert_eq!(index.lacking(10, &clock(&[("a", 9999)])), 4 * BLOCK - 10);
    index.cover(4 * BLOCK, clock(&[("a", 4 * BLOCK + 1)]));
    assert_eq!(index.lacking(10, &clock(&[("a", 9999)])), 0);
    assert_eq!(index.lacking(10, &clock(&[("a", 4 * BLOCK + 1)])), 1);
    assert_eq!(index.lacking(10, &clock(&[("a", 4 * BLOCK)])), 4 * BLOCK - 9);
    // More blocks than are examined.
    let length = (COUNTED_BLOCKS as u64 + 2) * BLOCK;
    let mut index = BlockIndex::default();
    for id in 1..=length {
        index.push(stamped(&a, id));
    }
    assert_eq!(index.lacking(0, &clock(&[("a", 9 * length)])), 2 * BLOCK);
    assert_eq!(index.lacking(2 * BLOCK, &clock(&[("a", 9 * length)])), 0);
}

#[test]
fn a_transaction_is_looked_for_only_in_likely_blocks() {
    let (a, b) = (source("a"), source("b"));
    let mut index = BlockIndex::after(0, 4 * BLOCK);
    for id in 0..BLOCK + 20 {
        let name = (id == 3).then_some((&b, 1));
        index.push(Ids { name, ..stamped(&a, 10 * id) });
    }
    let [unknown, third, fifth] =
        [0..4, 2..3, 4..5].map(|Range { start, end }| start * BLOCK..end * BLOCK);
    let open = 5 * BLOCK..5 * BLOCK + 20;
    assert_eq!(index.candidates(&a, 15), [fifth.clone(), unknown.clone()]);
    assert_eq!(index.candidates(&a, 10 * BLOCK + 1), [open, unknown.clone()]);
    assert_eq!(index.candidates(&a, 99_999), vec![unknown.clone()]);
    assert_eq!(index.candidates(&b, 1), [fifth, unknown]);
    // Of the second block only a part is noted, which is not enough; the third one is noted as a whole.
    let records = (BLOCK + 1..3 * BLOCK).map(|_| stamped(&b, 5));
    index.note(BLOCK + 1, records);
    assert_eq!(index.candidates(&b, 5), [third.clone(), 0..2 * BLOCK, 3 * BLOCK..4 * BLOCK]);
    // A known block is not noted again, and a name alone is not covered.
    index.note(2 * BLOCK, (0..BLOCK).map(|_| stamped(&a, 5)));
    index.note(0, (0..2 * BLOCK).map(|id| stamped(&a, id)));
    index.note(3 * BLOCK, (0..2 * BLOCK).map(|id| stamped(&a, id)));
    assert_eq!(index.candidates(&b, 5), vec![third]);
    assert_eq!(index.next_uncovered(0, &clock(&[("a", 99_999)])), 2 * BLOCK);
    assert_eq!(index.next_uncovered(0, &clock(&[("a", 99_999), ("b", 6)])), 5 * BLOCK + 20);
}

#[test]
fn ids_that_are_far_apart_cover_nothing_and_hide_nothing() {
    let a = source("a");
    let mut index = BlockIndex::default();
    index.push(stamped(&a, u64::from(u32::MAX) + 9));
    index.push(stamped(&a, 5));
    index.push(stamped(&a, 6));
    assert_eq!(index.next_uncovered(0, &clock(&[("a", 1 << 53)])), 0);
    for (id, found) in [(4, false), (5, true), (1 << 40, true)] {
        assert_eq!(index.candidates(&a, id).len(), usize::from(found), "{id}");
    }
}

/// A record by the numbers of its sources, and its Ids.
type Numbers = (usize, u64, Option<(usize, u64)>, Time);

/// In whatever order blocks are noted: nothing that a clock lacks is skipped, and all that is there
/// is found.
#[test]
fn random_journals_are_never_short_of_a_transaction() {
    for seed in 0..50 {
        let mut random = fastrand::Rng::with_seed(seed);
        let sources: Vec<Source> =
            (0..random.u64(1..6)).map(|number| source(&format!("s{number}"))).collect();
        let mut next = vec![0; sources.len()];
        let mut now = 0;
        let mut records: Vec<Numbers> = (0..random.u64(0..2000))
            .map(|_| {
                let of = random.usize(..sources.len());
                next[of] += random.u64(1..4);
                let name = (random.usize(..sources.len()), random.u64(..5000));
                now += random.u64(..3);
                let late = if random.u8(..100) == 0 { random.u64(..=now) } else { 0 };
                let time = Time::from_micros(now - late).unwrap();
                (of, next[of], (random.u8(..10) == 0).then_some(name), time)
            })
            .collect();
        let ids = |record: &Numbers| Ids {
            time: record.3,
            stamp: (&sources[record.0], record.1),
            name: record.2.map(|(of, id)| (&sources[of], id)),
        };
        // The index begins after an earlier drop, and more is dropped later.
        let first = random.u64(0..=records.len() as u64) / random.u64(1..4);
        let begin = (random.u64(first..=records.len() as u64) / BLOCK * BLOCK).max(first) as usize;
        let mut index = BlockIndex::after(first, begin as u64);
        records[begin..].iter().for_each(|record| index.push(ids(record)));
        for _ in 0..4 {
            let from = match random.u8(..3) {
                0 => first as usize,
                _ => random.usize(first as usize..=records.len()),
            };
            let until = random.usize(from..=records.len());
            index.note(from as u64, records[from..until].iter().map(ids));
        }
        let first = if random.bool() { random.u64(first..=records.len() as u64) } else { first };
        index.drop_before(first);
        assert_eq!(
            index.next_uncovered(first.saturating_sub(1), &clock(&[])),
            first.saturating_sub(1)
        );
        for position in records.len()..records.len() + random.usize(..600) {
            let Some(mut record) = records.get(position % 7).copied() else { continue };
            // No stamp is there twice.
            next[record.0] += 1;
            record.1 = next[record.0];
            index.push(ids(&record));
            records.push(record);
        }
        for _ in 0..20 {
            let clock: VectorClock = sources
                .iter()
                .zip(&next)
                .map(|(source, next)| (source.clone(), random.u64(0..next + 2)))
                .collect();
            let from = random.u64(first..records.len() as u64 + 1);
            let until = index.next_uncovered(from, &clock);
            assert!((from..=records.len() as u64).contains(&until), "seed {seed}");
            for record in &records[from as usize..until as usize] {
                assert!(clock.has_seen(&sources[record.0], record.1), "seed {seed}");
            }
            let rest = &records[from as usize..];
            let lacks = |record: &&Numbers| !clock.has_seen(&sources[record.0], record.1);
            let counted = index.lacking(from, &clock);
            let least = rest.iter().filter(lacks).count() as u64;
            assert!((least..=rest.len() as u64).contains(&counted), "seed {seed}: {counted}");
        }
        for _ in 0..20 {
            let time = Time::from_micros(random.u64(..now + 2)).unwrap();
            let (mut count, unsettled) = index.before(time);
            let unsettled = unsettled.into_iter().flatten();
            count += unsettled.filter(|at| records[*at as usize].3 < time).count() as u64;
            let there = &records[first as usize..];
            let expected = there.iter().filter(|record| record.3 < time).count();
            assert_eq!(count, expected as u64, "seed {seed}");
        }
        for _ in 0..20 {
            let time = Time::from_micros(random.u64(..now + 2)).unwrap();
            let from = random.u64(first..records.len() as u64 + 1);
            let until = index.next_up_to(from, time);
            assert!((from..=records.len() as u64).contains(&until), "seed {seed}");
            let left_out = &records[from as usize..until as usize];
            assert!(left_out.iter().all(|record| record.3 > time), "seed {seed}");
        }
        for (position, record) in (0..).zip(&records).skip(first as usize) {
            for (source, id) in std::iter::once((record.0, record.1)).chain(record.2) {
                let candidates = index.candidates(&sources[source], id);
                assert!(candidates.iter().any(|range| range.contains(&position)), "seed {seed}");
            }
        }
    }
}

/// As README says: what is in memory for every 256 transactions.
#[test]
fn a_block_takes_little_and_a_source_in_it_sixteen_bytes() {
    assert_eq!((BLOCK, size_of::<SourceIds>()), (256, 16));
    // A mark of the file comes in addition.
    assert!(size_of::<Option<Block>>() + size_of::<crate::journal::reader::Mark>() <= 130);
}
