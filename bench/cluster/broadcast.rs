//! Meshes that are written to at one node or at all: what a transaction costs each node, and how often it comes to
//! each of those that it was not written to.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::Size;
use crate::client::Client;
use crate::contest::micros;
use crate::links;
use crate::load;
use crate::mesh::{settle, wait_until_linked};
use crate::process::Process;
use crate::requests::writes;
use crate::usage::Usage;

/// How large the meshes are.
const NODES: [usize; 4] = [4, 8, 16, 32];

/// So many rounds' time makes one of these.
const LONG_ROUND: u32 = 8;

/// How far apart all writes are that leave the nodes idle in between.
const INTERVAL: Duration = Duration::from_millis(10);

/// How many writers make full speed, in all; at least one a node that is written to.
const WRITERS: usize = 8;

/// The nodes that write, and how fast.
#[derive(Clone, Copy)]
struct Pace {
    by_all: bool,
    is_fast: bool,
}

/// How the nodes are linked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Full,
    Ring,
    Random,
}

impl Shape {
    fn name(self) -> &'static str {
        match self {
            Self::Full => "full mesh",
            Self::Ring => "ring",
            Self::Random => "random, degree 3",
        }
    }

    fn links(self, nodes: usize) -> Vec<Vec<usize>> {
        match self {
            Self::Full => links::full(nodes),
            Self::Ring => links::ring(nodes),
            Self::Random => links::random(nodes),
        }
    }
}

/// Meshes whose row has `only` in it, at two speeds.
pub fn broadcast(only: &str, size: Size) {
    println!(
        "\n| mesh | nodes | written to | writes a second | CPU a transaction and node | copies |\n\
         | --- | ---: | --- | ---: | ---: | ---: |"
    );
    for shape in [Shape::Full, Shape::Ring, Shape::Random] {
        for nodes in NODES.into_iter().filter(|nodes| *nodes <= size.nodes) {
            if shape.name().contains(only) {
                row(shape, nodes, size);
            }
        }
    }
}

fn row(shape: Shape, count: usize, size: Size) {
    let nodes = Process::linked(shape.links(count), |_| (None, &[]));
    wait_until_linked(&nodes);
    for (by_all, is_fast) in [(false, false), (false, true), (true, false), (true, true)] {
        let pace = Pace { by_all, is_fast };
        // In the first part links become lazy.
        write(&nodes, pace, size.round * LONG_ROUND);
        settle(&nodes);
        // What the writers need of the only node that is written to is none of it.
        let measured = if by_all { &nodes[..] } else { &nodes[1..] };
        let usage = || measured.iter().map(|node| Usage::of(node.id())).collect::<Vec<_>>();
        let received = || nodes.iter().map(received).sum::<u64>();
        let (used_before, received_before) = (usage(), received());
        let begin = Instant::now();
        let writes = write(&nodes, pace, size.round * LONG_ROUND);
        let taken = begin.elapsed();
        settle(&nodes);
        let used: Duration =
            usage().into_iter().zip(used_before).map(|(after, before)| after.since(before)).sum();
        println!(
            "| {} | {count} | {} | {:.0} | {:.1} µs | {:.2} |",
            shape.name(),
            if by_all { "all" } else { "one" },
            writes as f64 / taken.as_secs_f64(),
            micros(used) / (writes * measured.len()) as f64,
            (received() - received_before) as f64 / (writes * (count - 1)) as f64,
        );
    }
}

/// Writes for so long; says how often.
fn write(nodes: &[Process], pace: Pace, time: Duration) -> usize {
    let written = if pace.by_all { nodes } else { &nodes[..1] };
    std::thread::scope(|scope| {
        let writers = written.iter().map(|node| {
            scope.spawn(move || write_to(node.address, pace.is_fast, written.len(), time))
        });
        let writers: Vec<_> = writers.collect();
        writers.into_iter().map(|writer| writer.join().expect("it does not panic")).sum()
    })
}

/// Writes to one of so many nodes.
fn write_to(address: SocketAddr, is_fast: bool, among: usize, time: Duration) -> usize {
    if is_fast {
        return load::run(&writes(address), WRITERS.div_ceil(among), time)
            .expect("it answers")
            .answers;
    }
    let interval = INTERVAL * u32::try_from(among).expect("they are few");
    let mut client = Client::new(address);
    let (begin, mut count) = (Instant::now(), 0);
    while begin.elapsed() < time {
        let patch = format!(r#"[{{"op":"add","path":"/k{}","value":{count}}}]"#, count % 100);
        client.ask("POST", "/replace", &patch);
        count += 1;
        let next = begin + interval * count;
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    count as usize
}

/// How many transactions came to a node, known ones among them.
fn received(node: &Process) -> u64 {
    let peers = Client::new(node.address).ask("GET", "/peers", "");
    let peers: Value = serde_json::from_str(&peers).expect("JSON");
    let upstreams = peers["upstreams"].as_array().expect("a list");
    upstreams.iter().filter_map(|upstream| upstream["received"].as_u64()).sum()
}
