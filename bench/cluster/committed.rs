//! A mesh with a primary: what commits cost, how large it is after many transactions, how quick to join.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::Size;
use crate::client::Client;
use crate::journal::payload;
use crate::load;
use crate::median::median;
use crate::memory::memory;
use crate::process::Process;
use crate::requests::writes;

const WRITERS: usize = 64;

/// So many rounds' time makes one of these: a commit comes every two seconds.
const LONG_ROUND: u32 = 8;

/// After so long at the latest a first write is final; and how many are waited for in that time.
const FINAL: Duration = Duration::from_secs(6);
const WAITS: usize = 15;

/// How many connections write durably.
const DURABLE_WRITERS: usize = 256;

/// How long what is final is kept, and how long after that all is folded: a commit is two seconds behind, and every
/// two seconds.
const KEEP: [&str; 2] = ["--keep", "10s"];
const FOLDED: Duration = Duration::from_secs(17);

/// The document's members, of 100 bytes each, beside those that are written.
const LARGE_MEMBERS: usize = 10_000;

const MIB: f64 = (1 << 20) as f64;

/// Transactions a second that 64 writers get through to a peer, with a primary and without.
pub fn cost(size: Size, data: &Path) {
    let mut rates = [Vec::new(), Vec::new()];
    for round in 0..size.rounds {
        for (options, rates) in [&[][..], &["--primary"]].into_iter().zip(&mut rates) {
            let directory = data.join(format!("cost-{round}-{}", options.len()));
            let first = Process::node_with(&[], Some(&directory), options);
            let second = Process::node(&[first.address], None);
            Client::new(second.address).wait_until_seen_of(&first);
            let begin = Instant::now();
            let time = size.round * LONG_ROUND;
            let figures = load::run(&writes(first.address), WRITERS, time).expect("it answers");
            Client::new(second.address).wait_until_seen_of(&first);
            rates.push(figures.answers as f64 / begin.elapsed().as_secs_f64());
            drop((first, second));
            fs::remove_dir_all(directory).expect("the node made it");
        }
    }
    let [without, with] = &rates;
    let ratio = median(without.iter().zip(with).map(|(without, with)| with / without));
    println!("\n| live replication, {WRITERS} writers, durable | transactions/s | ratio |");
    println!("| --- | ---: | ---: |");
    println!("| no primary | {:.0} | 1.00 |", median(without.iter().copied()));
    println!("| a primary | {:.0} | {ratio:.2} |", median(with.iter().copied()));
}

/// From a write to its answer when it is final, on three idle nodes.
pub fn finality(size: Size, data: &Path) {
    let nodes = Process::mesh(3, &data.join("finality"), &["--primary"]);
    let addresses: Vec<_> = nodes.iter().map(|node| node.address).collect();
    Client::new(addresses[0]).ask("POST", "/replace", &payload(0));
    std::thread::sleep(FINAL);
    let count = size.rounds * WAITS;
    let spread = FINAL * size.rounds as u32;
    let wait = |number: usize| {
        let address = addresses[number % addresses.len()];
        let pause = spread * number as u32 / count as u32;
        std::thread::spawn(move || {
            std::thread::sleep(pause);
            let mut client = Client::new(address);
            let begin = Instant::now();
            client.ask("POST", "/replace?wait=committed", &payload(number as u64 % 10));
            begin.elapsed()
        })
    };
    let waits: Vec<_> = (0..count).map(wait).collect();
    let waits = waits.into_iter().map(|wait| wait.join().expect("it is final"));
    let mut seconds: Vec<f64> = waits.map(|wait| wait.as_secs_f64()).collect();
    seconds.sort_by(f64::total_cmp);
    let at = |share: f64| seconds[((seconds.len() as f64 * share) as usize).min(seconds.len() - 1)];
    println!("\n| from POST to final, three idle nodes | seconds |\n| --- | ---: |");
    println!("| p50 of {} | {:.2} |\n| p99 | {:.2} |", seconds.len(), at(0.5), at(0.99));
}

/// What a node takes, and how long a start and a join take, after a million transactions and after five.
pub fn grown(size: Size, data: &Path) {
    let directory = data.join("grown");
    let options = ["--primary", KEEP[0], KEEP[1]];
    let mut primary = Process::node_with(&[], Some(&directory), &options);
    Client::new(primary.address).ask("POST", "/replace", &large());
    println!(
        "\n| a document of 1 MB, --keep 10s, after | memory MiB | disk MiB | start s | join s |"
    );
    println!("| --- | ---: | ---: | ---: | ---: |");
    let mut written = 0;
    for millions in [0, 1, 5] {
        let target = writes(primary.address);
        while written < millions * size.million {
            let figures = load::run(&target, DURABLE_WRITERS, size.round).expect("it answers");
            written += figures.answers as u64;
        }
        std::thread::sleep(FOLDED);
        let (memory, disk) = (memory(primary.id()) as f64, disk(&directory) as f64);
        drop(primary);
        let begin = Instant::now();
        primary = Process::node_with(&[], Some(&directory), &options);
        Client::new(primary.address).ask("GET", "/vclock", "");
        let start = begin.elapsed().as_secs_f64();
        let begin = Instant::now();
        let joins = Process::node_with(&[primary.address], None, &KEEP);
        Client::new(joins.address).wait_until_seen_of(&primary);
        let join = begin.elapsed().as_secs_f64();
        println!(
            "| {written} transactions | {:.0} | {:.0} | {start:.3} | {join:.3} |",
            memory / MIB,
            disk / MIB
        );
    }
}

/// A patch that makes the document large.
fn large() -> String {
    let member = |number| format!("\"m{number:05}\":\"{}\"", "x".repeat(88));
    let members: Vec<String> = (0..LARGE_MEMBERS).map(member).collect();
    let parts = members.join(",");
    format!("[{{\"op\":\"add\",\"path\":\"/large\",\"value\":{{{parts}}}}}]")
}

fn disk(directory: &Path) -> u64 {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.metadata().ok()).map(|metadata| metadata.len()).sum()
}
