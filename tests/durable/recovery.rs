//! A journal that takes its time to be read back.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use patchmesh::internals::journal::{Header, push_batch};
use rustix::process::Signal;

use crate::harness::{Scratch, wait_for};
use crate::process::{Process, run};

const PROGRESS: &str = "reading the journal back: ";

/// Writes a journal of so many transactions.
fn write_journal(data: &Path, batches: u64) {
    const IN_BATCH: u64 = 10_000;
    std::fs::create_dir_all(data).unwrap();
    let mut file = File::create(data.join("journal")).unwrap();
    file.write_all(&Header::new("old~1".parse().unwrap()).line()).unwrap();
    for batch in 0..batches {
        let line = |id: u64| {
            format!(
                r#"{{"Source":"old~1","Id":{id},"Payload":"[{{\"op\":\"add\",\"path\":\"/member{}\",\"value\":{id}}}]","Time":{}}}"#,
                id % 100,
                1_763_888_400_000_000 + id
            )
        };
        let lines: Vec<String> = (batch * IN_BATCH..).take(IN_BATCH as usize).map(line).collect();
        let mut text = Vec::new();
        push_batch(&mut text, lines.iter().map(String::as_str), batch + 1);
        file.write_all(&text).unwrap();
    }
}

#[test]
fn reading_back_a_long_journal_tells_how_far_it_is_and_ends_at_once_when_told_to() {
    let scratch = Scratch::new();
    let data = scratch.path("data");
    // How long a journal takes depends on the machine: long enough for two lines.
    let mut batches = 10;
    let log = loop {
        write_journal(&data, batches);
        let mut node = Process::start(&scratch, &["127.0.0.1:0", "--data", data.to_str().unwrap()]);
        let told = wait_for("progress, or the node to start", || {
            let told = node.stderr().matches(PROGRESS).count() >= 2;
            (told || !node.stdout().is_empty()).then_some(told)
        });
        let begin = Instant::now();
        node.signal(Signal::TERM);
        let status = node.wait_for_exit();
        assert_eq!(status.code(), Some(0), "{}", node.stderr());
        assert!(begin.elapsed() < Duration::from_secs(2), "{:?}", begin.elapsed());
        // It may have come to the end before it was told to stop.
        if told && node.stdout().is_empty() {
            break node.stderr();
        }
        assert!(batches < 1000, "no progress is told");
        batches *= 3;
    };
    // How many and which share, and always more.
    let numbers: Vec<(u64, u64)> = log
        .lines()
        .filter_map(|line| line.split_once(PROGRESS))
        .map(|(_, rest)| {
            let (count, rest) = rest.split_once(" transactions, ").unwrap();
            (count.parse().unwrap(), rest.strip_suffix(" %").unwrap().parse().unwrap())
        })
        .collect();
    assert!(numbers.is_sorted_by(|left, right| left < right), "{numbers:?}");
    let (count, share) = *numbers.last().unwrap();
    let whole = batches * 10_000;
    assert!((count * 100).abs_diff(share * whole) < 3 * whole, "{numbers:?} of {whole}");
    // Nothing was changed.
    if batches <= 100 {
        let (status, report, error) = run(&["verify", data.to_str().unwrap()]);
        assert_eq!(status, Some(0), "{error}");
        assert!(report.contains(&format!("transactions: {whole}\n")), "{report}");
    }
}
