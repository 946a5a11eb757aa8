//! What it costs to keep what is acknowledged, and to start again from it.
//!
//! Prints two Markdown tables: durable transactions a second at several numbers of concurrent writers,
//! beside the disk's own limit (a loop that writes the same bytes and syncs them), in alternating rounds;
//! and the start of a node whose journal has a million transactions, beside parsing and applying the same
//! transactions from memory. `cargo bench --bench durability -- --test` runs all of it in small.
//!
//! The directory is made below `CARGO_TARGET_TMPDIR`, so it is that disk which is measured.

#[path = "common/journal.rs"]
mod journal;
#[path = "common/median.rs"]
mod median;

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use journal::{fill, from_memory, payload, record};
use median::median;
use mimalloc::MiMalloc;
use patchmesh::internals::manager::{Manager, Outcome};

/// The same as a node's.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// How large the measured runs are.
struct Size {
    round: Duration,
    rounds: usize,
    journal: u64,
}

const FULL: Size = Size { round: Duration::from_millis(700), rounds: 5, journal: 1_000_000 };
const SMALL: Size = Size { round: Duration::from_millis(20), rounds: 1, journal: 5_000 };

const WRITERS: [u64; 4] = [1, 16, 64, 256];

fn main() {
    let size = if std::env::args().any(|argument| argument == "--test") { SMALL } else { FULL };
    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("durability");
    fs::remove_dir_all(&directory).ok();
    fs::create_dir_all(&directory).expect("the target's folder can be written");
    writers(&size, &directory);
    starts(&size, &directory);
    fs::remove_dir_all(&directory).expect("it was made here");
}

fn writers(size: &Size, directory: &Path) {
    println!("\n| writers | durable transactions/s | the disk's own limit | ratio |");
    println!("| ---: | ---: | ---: | ---: |");
    for writers in WRITERS {
        let (mut ours, mut limits, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        for round in 0..size.rounds {
            let limit = disk_limit(writers, size.round, directory);
            let our = node(writers, size.round, &directory.join(format!("{writers}-{round}")));
            ours.push(our);
            limits.push(limit);
            ratios.push(our / limit);
        }
        let (ours, limits, ratio) = (median(ours), median(limits), median(ratios));
        println!("| {writers} | {ours:.0} | {limits:.0} | {ratio:.2} |");
    }
}

/// Transactions a second if a batch of all writers' lines is written and synced in a loop.
fn disk_limit(writers: u64, round: Duration, directory: &Path) -> f64 {
    let path = directory.join("limit");
    let file = File::create(&path).expect("a file can be made");
    let batch: String = (0..writers).map(|number| format!("{}\n", record(number).line)).collect();
    let begin = Instant::now();
    let mut offset = 0;
    let mut batches = 0;
    while begin.elapsed() < round {
        file.write_all_at(batch.as_bytes(), offset).expect("the disk has room");
        file.sync_data().expect("the disk can sync");
        offset += batch.len() as u64;
        batches += 1;
    }
    (batches * writers) as f64 / begin.elapsed().as_secs_f64()
}

/// Transactions a second that a manager with a data directory acknowledges.
fn node(writers: u64, round: Duration, directory: &Path) -> f64 {
    let (manager, handle) = Manager::open(directory, "bench", 0).expect("a new directory");
    let manager = smol::spawn(manager.run());
    let (stop, count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let begin = Instant::now();
    let tasks: Vec<_> = (0..writers)
        .map(|writer| {
            let (handle, stop, count) = (handle.clone(), stop.clone(), count.clone());
            smol::spawn(async move {
                let mut number = writer;
                while !stop.load(Ordering::Relaxed) {
                    let outcome = handle.create(&payload(number), None).await.expect("it runs");
                    assert!(matches!(outcome, Ok(Outcome::Accepted(_))), "{outcome:?}");
                    count.fetch_add(1, Ordering::Relaxed);
                    number += writers;
                }
            })
        })
        .collect();
    smol::block_on(async {
        smol::Timer::after(round).await;
        let rate = count.load(Ordering::Relaxed) as f64 / begin.elapsed().as_secs_f64();
        stop.store(true, Ordering::Relaxed);
        for task in tasks {
            task.await;
        }
        drop(handle);
        manager.await.expect("the disk is well");
        rate
    })
}

fn starts(size: &Size, directory: &Path) {
    let directory = directory.join("start");
    fill(size.journal, &directory);
    let rounds = 0..size.rounds.min(3);
    let memory = median(rounds.clone().map(|_| from_memory(size.journal).as_secs_f64()));
    let whole = median(rounds.clone().map(|_| start(&directory)));
    // A node that stops in order leaves a checkpoint, which the next one starts from.
    let (manager, handle) = Manager::open(&directory, "bench", 0).expect("a journal");
    drop(handle);
    smol::block_on(manager.run()).expect("the disk is well");
    let from_checkpoint = median(rounds.clone().map(|_| start(&directory)));
    println!("\n| start with {} transactions | seconds | × from memory |", size.journal);
    println!("| --- | ---: | ---: |");
    for (name, seconds) in [
        ("parse and apply them from memory", memory),
        ("the whole journal", whole),
        ("from a checkpoint", from_checkpoint),
    ] {
        println!("| {name} | {seconds:.2} | {:.2} |", seconds / memory);
    }
}

fn start(directory: &Path) -> f64 {
    let begin = Instant::now();
    let opened = Manager::open(directory, "bench", 0).expect("a journal");
    let seconds = begin.elapsed().as_secs_f64();
    drop(opened);
    seconds
}
