//! A million transactions: started with from disk, caught up with by a new node, kept in memory.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::Size;
use crate::client::Client;
use crate::contest::micros;
use crate::journal::{SOURCE, fill, from_memory, record};
use crate::median::median;
use crate::memory::memory;
use crate::process::Process;
use patchmesh::internals::journal::Directory;

/// How long the client of the serving node pauses between requests.
const PAUSE: Duration = Duration::from_millis(2);

const MIB: f64 = (1 << 20) as f64;

/// What one round showed.
struct Round {
    from_memory: f64,
    start: f64,
    started_memory: f64,
    catch_up: f64,
    caught_up_memory: f64,
    durable_catch_up: f64,
    durable_memory: f64,
    /// Latencies of the node that serves.
    asked: Vec<Duration>,
}

/// Measures all that has to do with a long journal, and prints it.
pub fn million(size: Size, data: &Path) {
    let count = size.million;
    let journal = data.join("million");
    fill(count, &journal);
    let bytes: usize = (0..count).map(|number| record(number).line.len() + 1).sum();
    let rounds: Vec<_> = (0..size.rounds.min(5)).map(|_| round(count, &journal, data)).collect();
    let of_all = |figure: &dyn Fn(&Round) -> f64| median(rounds.iter().map(figure));
    let base = of_all(&|round| round.from_memory);
    println!("\n| {count} transactions of 100 bytes | seconds | ratio |\n| --- | ---: | ---: |");
    println!("| parse and apply them from memory | {base:.2} | 1.00 |");
    let row = |what, seconds: fn(&Round) -> f64| {
        let ratio = of_all(&|round| seconds(round) / round.from_memory);
        println!("| {what} | {:.2} | {ratio:.2} |", of_all(&seconds));
    };
    row("start from disk, without a checkpoint", |round| round.start);
    row("a new node in memory catches up", |round| round.catch_up);
    row("a new node with --data catches up", |round| round.durable_catch_up);
    let mut asked: Vec<_> = rounds.iter().flat_map(|round| &round.asked).collect();
    asked.sort_unstable();
    if let Some(longest) = asked.last() {
        let p99 = asked[asked.len() * 99 / 100];
        println!(
            "\nMeanwhile the serving node answered GET /vclock within {:.0} µs at p99, {:.0} µs at most.",
            micros(*p99),
            micros(**longest)
        );
    }
    let bytes = bytes as f64;
    println!("\n| memory | MiB | ratio |\n| --- | ---: | ---: |");
    println!("| the bytes of the journal | {:.0} | 1.00 |", bytes / MIB);
    let row = |what, memory: fn(&Round) -> f64| {
        let memory = of_all(&memory);
        println!("| {what} | {:.0} | {:.2} |", memory / MIB, memory / bytes);
    };
    row("a node in memory that caught up", |round| round.caught_up_memory);
    row("a node with --data that started", |round| round.started_memory);
    row("a node with --data that caught up", |round| round.durable_memory);
}

fn round(count: u64, journal: &Path, data: &Path) -> Round {
    let from_memory = from_memory(count).as_secs_f64();
    // A node leaves a checkpoint when it has been at work for long.
    for checkpoint in Directory::open(journal, false).expect("it was made").checkpoint_paths() {
        std::fs::remove_file(checkpoint).expect("it is there");
    }
    let begin = Instant::now();
    let serving = Process::node(&[], Some(journal));
    let start = begin.elapsed().as_secs_f64();
    let started_memory = memory(serving.id()) as f64;
    let caught_up = AtomicBool::new(false);
    let ((catch_up, caught_up_memory), asked) = std::thread::scope(|scope| {
        let asking = scope.spawn(|| ask(&serving, &caught_up));
        let figures = catch_up_with(&serving, count, None);
        caught_up.store(true, Ordering::Relaxed);
        (figures, asking.join().expect("it is answered"))
    });
    let durable = data.join("caught-up");
    let (durable_catch_up, durable_memory) = catch_up_with(&serving, count, Some(&durable));
    std::fs::remove_dir_all(durable).expect("the node made it");
    Round {
        from_memory,
        start,
        started_memory,
        catch_up,
        caught_up_memory,
        durable_catch_up,
        durable_memory,
        asked,
    }
}

/// How long a new node takes to have all that `serving` has, and how much memory it then has.
fn catch_up_with(serving: &Process, count: u64, data: Option<&Path>) -> (f64, f64) {
    let begin = Instant::now();
    let node = Process::node(&[serving.address], data);
    Client::new(node.address).wait_until_seen(SOURCE, count + 1);
    (begin.elapsed().as_secs_f64(), memory(node.id()) as f64)
}

fn ask(serving: &Process, enough: &AtomicBool) -> Vec<Duration> {
    let mut client = Client::new(serving.address);
    let mut latencies = Vec::new();
    while !enough.load(Ordering::Relaxed) {
        let begin = Instant::now();
        client.ask("GET", "/vclock", "");
        latencies.push(begin.elapsed());
        std::thread::sleep(PAUSE);
    }
    latencies
}
