//! Release nodes under load, over HTTP and WebSocket, beside what they are measured against.
//!
//! ```text
//! cargo bench --bench cluster                                  all tables
//! cargo bench --bench cluster -- post get beside durable replication delay million commits final
//!                                grown mesh broadcast fanout   some of them
//! cargo bench --bench cluster -- --against redis ADDRESS PID   durable writes beside that server;
//!                                                              so for etcd and nats
//! cargo bench --bench cluster -- --against nginx ADDRESS PID   reads of its file /get beside it
//! cargo bench --bench cluster -- fanout --against redis ADDRESS PID   many live readers beside those of that
//!                                                              server; so for nats
//! ```
//!
//! `bench/peers` has scripts that start those servers. With `--quick` rounds are fewer and
//! shorter, and with `--test` all is done in small. `--only TEXT` takes of `mesh` and `broadcast` the meshes that
//! have the text in their name. With PATCHMESH=FILE in the environment the nodes are of that program, such as an earlier build.
//!
//! Contenders take turns, round by round, and a ratio is the median of the rounds' ratios. All of them
//! and the load share the machine; the load says what it needs itself.

mod beside;
mod broadcast;
mod client;
mod committed;
mod contest;
mod fanout;
#[path = "../common/journal.rs"]
mod journal;
mod links;
mod load;
#[path = "../common/median.rs"]
mod median;
#[path = "../common/memory.rs"]
mod memory;
mod mesh;
mod million;
mod process;
mod protocol;
mod reference;
mod replication;
mod requests;
#[path = "../common/thread_time.rs"]
mod thread_time;
mod usage;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use mimalloc::MiMalloc;
use reference::HyperWork;

/// How large the measured runs are.
#[derive(Clone, Copy)]
pub struct Size {
    round: Duration,
    rounds: usize,
    /// How many transactions are a million.
    million: u64,
    /// How many megabytes the large documents have.
    documents: &'static [usize],
    /// How many read live.
    readers: &'static [usize],
    /// How many read a part each that does not change.
    parts: &'static [usize],
    /// How many read live, and nothing comes.
    idle: usize,
    /// How many nodes the largest meshes have.
    nodes: usize,
}

const FULL: Size = Size {
    round: Duration::from_millis(1000),
    rounds: 7,
    million: 1_000_000,
    documents: &[1, 10, 100],
    readers: &[100, 250, 900],
    parts: &[1000, 10_000],
    idle: 1000,
    nodes: 32,
};
/// For a first look.
const QUICK: Size = Size {
    round: Duration::from_millis(400),
    rounds: 3,
    million: 1_000_000,
    documents: &[10, 100],
    readers: &[250, 900],
    parts: &[10_000],
    idle: 1000,
    nodes: 32,
};
const SMALL: Size = Size {
    round: Duration::from_millis(50),
    rounds: 1,
    million: 10_000,
    documents: &[1],
    readers: &[10],
    parts: &[20],
    idle: 10,
    nodes: 4,
};

/// The same as a node's, so that what is measured in this process compares.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// What a table is made with.
struct Bench<'a> {
    size: Size,
    /// A part of the names of those meshes that are wanted.
    only: &'a str,
    /// A directory for journals.
    data: &'a Path,
}

/// Prints a table.
type Table = fn(&Bench<'_>);

const TABLES: [(&str, Table); 14] = [
    ("post", |bench| requests::post(bench.size)),
    ("get", |bench| requests::get(bench.size)),
    ("beside", |bench| beside::beside(bench.size)),
    ("durable", |bench| requests::durable(bench.size, bench.data)),
    ("replication", |bench| replication::live(bench.size)),
    ("delay", |bench| replication::delay(bench.size)),
    ("million", |bench| million::million(bench.size, bench.data)),
    ("commits", |bench| committed::cost(bench.size, bench.data)),
    ("final", |bench| committed::finality(bench.size, bench.data)),
    ("grown", |bench| committed::grown(bench.size, bench.data)),
    ("mesh", |bench| mesh::meshes(bench.only, bench.size)),
    ("broadcast", |bench| broadcast::broadcast(bench.only, bench.size)),
    ("fanout", |bench| fanout::fanout(bench.size, None)),
    ("parts", |bench| fanout::parts(bench.size)),
];

fn main() {
    let mut wanted = Vec::new();
    let mut size = FULL;
    let mut only = String::new();
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match &*argument {
            "serve-hyper" => return reference::hyper(HyperWork::Nothing),
            "serve-hyper-applying" => return reference::hyper(HyperWork::applying()),
            "serve-echo" => return reference::echo(),
            "serve-nothing" => return reference::nothing(),
            // That is cargo's.
            "--bench" => (),
            "--quick" => size = QUICK,
            "--test" => size = SMALL,
            "--only" => only = arguments.next().unwrap_or_default(),
            "--against" => {
                let mut next = || arguments.next().unwrap_or_default();
                let (product, address, process) = (next(), next(), next());
                let address = address.parse().expect("after the product comes its address");
                let process = process.parse().expect("after the address comes a process ID");
                if wanted.iter().any(|table| table == "fanout") {
                    return fanout::fanout(size, Some((&product, address, process)));
                }
                return in_directory(|data| {
                    requests::against(&product, address, process, size, data)
                });
            }
            name if TABLES.iter().any(|(table, _)| *table == name) => wanted.push(argument),
            other => {
                panic!("{other:?} is no table and none of --against, --only, --quick and --test")
            }
        }
    }
    in_directory(|data| {
        let bench = Bench { size, only: &only, data };
        for (name, table) in TABLES {
            if wanted.is_empty() || wanted.iter().any(|wanted| wanted == name) {
                table(&bench);
            }
        }
    });
}

/// Gives `work` a directory below the target's, on whose disk durable writes are measured.
fn in_directory(work: impl FnOnce(&Path)) {
    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("cluster");
    // It may be left from a run that was ended.
    fs::remove_dir_all(&directory).ok();
    fs::create_dir_all(&directory).expect("the target's folder can be written");
    work(&directory);
    fs::remove_dir_all(&directory).expect("it was made here");
}
