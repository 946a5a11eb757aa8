//! Meshes of several nodes: what a write costs in all of them together, how long writers wait for their answers,
//! and how long it takes after the last write until all nodes have the same.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::Size;
use crate::client::Client;
use crate::contest::micros;
use crate::links;
use crate::load::{self, Figures};
use crate::median::median;
use crate::process::Process;
use crate::requests::writes;
use crate::usage::Usage;

/// So many rounds' time makes one of these: what falls behind does so after a while.
const LONG_ROUND: u32 = 4;

/// How often it is asked whether the nodes have the same.
const LOOK: Duration = Duration::from_millis(20);

/// How long that may take.
const SETTLE_LIMIT: Duration = Duration::from_secs(120);

/// Which nodes dial which, and which nodes write.
struct Shape {
    name: String,
    /// For each node those that it dials.
    links: Vec<Vec<usize>>,
    /// How many clients each node has that write as fast as they are answered.
    writers: Vec<usize>,
}

impl Shape {
    fn full(nodes: usize, writers: usize) -> Self {
        Self {
            name: format!("full mesh of {nodes}, {writers} writers each"),
            links: links::full(nodes),
            writers: vec![writers; nodes],
        }
    }
}

/// What one round showed.
struct Round {
    writes: usize,
    taken: Duration,
    /// What all nodes used, from the first write until they had the same.
    used: Duration,
    /// The slowest answer of any node that was written to.
    slowest: Duration,
    /// From the last answer to the moment when all had the same.
    settled: Duration,
}

/// Shapes of meshes that have `only` in their names, each in rounds of fresh nodes.
pub fn meshes(only: &str, size: Size) {
    println!(
        "\n| mesh | writes a second | CPU a write in all | slowest answer | settled after |\n\
         | --- | ---: | ---: | ---: | ---: |"
    );
    let full = [(1, 16), (2, 16), (3, 16), (5, 16), (3, 256)];
    let shapes = full.map(|(nodes, writers)| Shape::full(nodes, writers));
    for shape in shapes.iter().filter(|shape| shape.name.contains(only)) {
        row(shape, size);
    }
}

/// Prints medians; of what users may wait for the worst.
fn row(shape: &Shape, size: Size) {
    let rounds: Vec<_> = (0..size.rounds).map(|_| round(shape, size.round * LONG_ROUND)).collect();
    let of_all = |figure: &dyn Fn(&Round) -> f64| median(rounds.iter().map(figure));
    let worst = |wait: fn(&Round) -> Duration| rounds.iter().map(wait).max().unwrap_or_default();
    println!(
        "| {} | {:.0} | {:.1} µs | {} ms | {} ms |",
        shape.name,
        of_all(&|round| round.writes as f64 / round.taken.as_secs_f64()),
        of_all(&|round| micros(round.used) / round.writes as f64),
        worst(|round| round.slowest).as_millis(),
        worst(|round| round.settled).as_millis(),
    );
}

fn round(shape: &Shape, time: Duration) -> Round {
    let nodes = Process::linked(shape.links.clone(), |_| (None, &[]));
    wait_until_linked(&nodes);
    let usage = || nodes.iter().map(|node| Usage::of(node.id())).collect::<Vec<_>>();
    let before = usage();
    let begin = Instant::now();
    let figures: Vec<Figures> = std::thread::scope(|scope| {
        let written = nodes.iter().zip(&shape.writers).filter(|(_, writers)| **writers > 0);
        let loads = written.map(|(node, &writers)| {
            scope.spawn(move || load::run(&writes(node.address), writers, time))
        });
        let loads: Vec<_> = loads.collect();
        let figures = loads.into_iter().map(|load| load.join().expect("it does not panic"));
        figures.map(|figures| figures.expect("it answers")).collect()
    });
    let taken = begin.elapsed();
    let settled = settle(&nodes);
    let used = usage().into_iter().zip(before).map(|(after, before)| after.since(before)).sum();
    let slowest = figures.iter().map(|figures| figures.latency(1.0)).max().unwrap_or_default();
    Round {
        writes: figures.iter().map(|figures| figures.answers).sum(),
        taken,
        used,
        slowest,
        settled,
    }
}

/// Waits until all nodes read all that they dial, and what was written to each is at all.
pub fn wait_until_linked(nodes: &[Process]) {
    let begin = Instant::now();
    for node in nodes {
        let mut client = Client::new(node.address);
        client.ask("POST", "/replace", r#"[{"op":"add","path":"","value":{}}]"#);
        loop {
            let peers: Value =
                serde_json::from_str(&client.ask("GET", "/peers", "")).expect("JSON");
            let upstreams = peers["upstreams"].as_array().expect("a list");
            if upstreams.iter().all(|upstream| upstream["state"] == "connected") {
                break;
            }
            assert!(begin.elapsed() < SETTLE_LIMIT, "all are connected in the end: {peers}");
            std::thread::sleep(LOOK);
        }
    }
    settle(nodes);
}

/// Waits until all nodes have the same, and says how long that took.
pub fn settle(nodes: &[Process]) -> Duration {
    let mut clients: Vec<_> = nodes.iter().map(|node| Client::new(node.address)).collect();
    let begin = Instant::now();
    let mut all = |path: &str| {
        let answers: Vec<_> =
            clients.iter_mut().map(|client| client.ask("GET", path, "")).collect();
        answers.iter().all(|answer| *answer == answers[0])
    };
    while !all("/vclock") {
        assert!(begin.elapsed() < SETTLE_LIMIT, "the nodes come to have the same");
        std::thread::sleep(LOOK);
    }
    let settled = begin.elapsed();
    assert!(all("/get"), "nodes that have the same transactions have the same document");
    settled
}
