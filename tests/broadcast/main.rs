//! Every node of a mesh gets everything, once if nothing is wrong, and soon whatever is.
//!
//! A deterministic simulation of up to 1,000 nodes and of the links between them. Each node has the real
//! [`BroadcastTree`](patchmesh::internals::mesh::tree::BroadcastTree), and each link a latency of its own. Links and nodes
//! freeze (nobody is told), break and come back. No node ever accepts a transaction without those before it, and in
//! the end each has all.
//!
//! `PATCHMESH_SEEDS=1000` runs so many seeds; if one fails, it is printed. The table of `docs/speed.md` is made by
//! `cargo test --release --test broadcast -- --ignored --nocapture`.

#[allow(dead_code, reason = "each test target needs a part of it")]
#[path = "../harness/setting.rs"]
mod setting;
mod shapes;
mod world;

use setting::seeds;
use shapes::Pairs;
use world::{Spread, World};

const SECOND: u64 = 1_000_000;

/// How many seeds are run.
const SEEDS: u64 = 30;

/// Has the first `writers` nodes write `count` transactions in all, `gap` microseconds apart. Says how long that
/// takes.
fn writes(world: &mut World, writers: usize, count: u64, gap: u64) -> u64 {
    for number in 0..count {
        let node = world.random.usize(..writers);
        world.write(node, number * gap);
    }
    count * gap
}

fn shape(nodes: usize, random: &mut fastrand::Rng) -> Pairs {
    match random.u32(..5) {
        0 => shapes::full(nodes),
        1 => shapes::ring(nodes),
        2 => shapes::one_way(nodes, 2),
        _ => {
            let degree = random.usize(3..6).min(nodes - 1);
            shapes::random(nodes, degree, random)
        }
    }
}

/// Something that goes wrong, and ends.
#[derive(Clone, Copy, Debug)]
enum Fault {
    FrozenNode(usize),
    BrokenNode(usize),
    FrozenLink(usize),
    CutLink(usize),
}

impl Fault {
    fn any(world: &mut World) -> Self {
        let (node, link) =
            (world.random.usize(..world.nodes()), world.random.usize(..world.links()));
        match world.random.u32(..4) {
            0 => Self::FrozenNode(node),
            1 => Self::BrokenNode(node),
            2 => Self::FrozenLink(link),
            _ => Self::CutLink(link),
        }
    }

    fn begin(self, world: &mut World) {
        match self {
            Self::FrozenNode(node) => world.freeze_node(node),
            Self::BrokenNode(node) => world.break_node(node),
            Self::FrozenLink(link) => world.freeze_link(link),
            Self::CutLink(link) => world.cut_link(link),
        }
    }

    fn end(self, world: &mut World) {
        match self {
            Self::FrozenNode(node) => world.thaw_node(node),
            Self::BrokenNode(node) => world.mend_node(node),
            Self::FrozenLink(link) => world.thaw_link(link),
            Self::CutLink(link) => world.mend_link(link),
        }
    }
}

#[test]
fn everything_gets_everywhere_whatever_freezes_and_breaks() {
    for seed in seeds(SEEDS) {
        println!("seed {seed}");
        let mut random = fastrand::Rng::with_seed(seed);
        let nodes = random.usize(3..24);
        let pairs = shape(nodes, &mut random);
        let writers = [1, 2, nodes][random.usize(..3)];
        let mut world = World::new(nodes, &pairs, random);
        world.run(SECOND);
        world.troubles = [0, 50, 500][world.random.usize(..3)];
        let gap = world.random.u64(200..20_000);
        let (end, mut faults) = (world.now + writes(&mut world, writers, 400, gap), Vec::new());
        while world.now < end {
            let fault = Fault::any(&mut world);
            fault.begin(&mut world);
            faults.push(fault);
            let copied = world.random.usize(..nodes);
            let copy = (writers <= copied).then(|| world.copy_node(copied));
            let lasts = world.random.u64(..SECOND);
            world.run(world.now + lasts);
            if let Some(copy) = copy.filter(|_| world.random.u32(..4) == 0) {
                world.put_back_node(copied, copy);
            }
            if faults.len() > world.random.usize(..4) {
                let index = world.random.usize(..faults.len());
                faults.swap_remove(index).end(&mut world);
            }
        }
        for fault in faults {
            fault.end(&mut world);
        }
        world.troubles = 0;
        world.run(world.now + 5 * SECOND);
        world.check_all_have_all();
    }
}

#[test]
fn at_rest_a_transaction_comes_about_once() {
    let mut random = fastrand::Rng::with_seed(1);
    for (pairs, nodes, writers) in [
        (shapes::full(32), 32, 1),
        (shapes::full(8), 8, 8),
        (shapes::ring(16), 16, 16),
        (shapes::random(60, 4, &mut random), 60, 1),
        (shapes::random(60, 4, &mut random), 60, 60),
    ] {
        let figures = measure(nodes, &pairs, writers, 1);
        assert!(figures.copies <= 1.2, "{nodes} nodes, {writers} write: {figures:?}");
        assert!(figures.slowest < 1000.0, "{nodes} nodes, {writers} write: {figures:?}");
    }
}

#[test]
fn what_freezes_or_breaks_costs_at_most_a_second() {
    let mut random = fastrand::Rng::with_seed(2);
    for (pairs, nodes, writers) in [
        (shapes::full(16), 16, 1),
        (shapes::full(6), 6, 6),
        (shapes::ring(12), 12, 12),
        (shapes::random(40, 3, &mut random), 40, 1),
        (shapes::random(40, 4, &mut random), 40, 40),
    ] {
        let repairs = repairs(nodes, &pairs, writers, 1);
        assert!(repairs.iter().all(|millis| *millis < 1000.0), "{nodes}, {writers}: {repairs:?}");
    }
}

/// What a mesh is like at rest, when the tree has formed.
#[derive(Debug)]
struct Figures {
    /// How many times a node got a transaction while the tree formed.
    forming: f64,
    /// And then.
    copies: f64,
    /// How many summaries a transaction and node.
    summaries: f64,
    /// Over how many links transactions went, for each link of the shortest way.
    hops: f64,
    /// By when all nodes had a transaction, in milliseconds: on average, and the slowest.
    delay: f64,
    slowest: f64,
}

/// How far apart what is measured is written, in microseconds, and how many transactions these are.
const GAP: u64 = 10_000;
const COUNT: u64 = 400;

fn formed(nodes: usize, pairs: &Pairs, writers: usize, seed: u64) -> World {
    let mut world = World::new(nodes, pairs, fastrand::Rng::with_seed(seed));
    world.run(SECOND);
    let took = writes(&mut world, writers, COUNT, GAP);
    world.run(world.now + took + SECOND);
    world
}

fn millis(spread: &Spread) -> f64 {
    (spread.last - spread.begun) as f64 / 1000.0
}

fn measure(nodes: usize, pairs: &Pairs, writers: usize, seed: u64) -> Figures {
    let mut world = formed(nodes, pairs, writers, seed);
    let each = |count: u64| count as f64 / COUNT as f64 / (nodes - 1) as f64;
    let (forming, before, from) = (world.copies(), world.summaries(), world.now);
    let took = writes(&mut world, writers, COUNT, GAP);
    world.run(world.now + took + 2 * SECOND);
    let new = |spread: &&Spread| spread.begun >= from;
    let spreads: Vec<_> = world.spread.iter().flatten().filter(new).collect();
    assert!(spreads.iter().all(|spread| spread.nodes == nodes));
    let hops: u64 = spreads.iter().map(|spread| spread.hops).sum();
    let authors = world.spread.iter().enumerate();
    let shortest: u64 = authors
        .map(|(author, spreads)| match spreads.iter().filter(new).count() as u64 {
            0 => 0,
            count => count * world.shortest(author),
        })
        .sum();
    Figures {
        forming: each(forming),
        copies: each(world.copies() - forming),
        summaries: each(world.summaries() - before),
        hops: hops as f64 / shortest as f64,
        delay: spreads.iter().map(|spread| millis(spread)).sum::<f64>() / spreads.len() as f64,
        slowest: spreads.iter().map(|spread| millis(spread)).fold(0.0, f64::max),
    }
}

/// By when all nodes that can had a transaction at the latest, in milliseconds, with a node frozen, one broken,
/// a link frozen and one cut: each the worst of a few.
fn repairs(nodes: usize, pairs: &Pairs, writers: usize, seed: u64) -> [f64; 4] {
    const TIMES: usize = 4;
    let mut world = formed(nodes, pairs, writers, seed);
    let writers = writers.min(nodes - 1);
    let mut repairs = [0.0_f64; 4];
    for number in 0..4 * TIMES {
        let kind = number / TIMES;
        let (node, link) =
            (world.random.usize(writers..nodes), world.random.usize(..world.links()));
        let fault = [
            Fault::FrozenNode(node),
            Fault::BrokenNode(node),
            Fault::FrozenLink(link),
            Fault::CutLink(link),
        ][kind];
        let least = if kind < 2 { nodes - 1 } else { nodes };
        let from = world.now;
        fault.begin(&mut world);
        let took = writes(&mut world, writers, COUNT / 4, GAP);
        world.run(world.now + took + 2 * SECOND);
        for spread in world.spread.iter().flatten().filter(|spread| spread.begun >= from) {
            assert!(spread.nodes >= least, "{fault:?}: {} nodes have it", spread.nodes);
            repairs[kind] = repairs[kind].max(millis(spread));
        }
        fault.end(&mut world);
        world.run(world.now + 2 * SECOND);
    }
    world.check_all_have_all();
    repairs
}

#[test]
#[ignore = "prints the table of docs/speed.md"]
fn table() {
    let mut random = fastrand::Rng::with_seed(3);
    let mut mesh = |nodes, degree| shapes::random(nodes, degree, &mut random);
    let meshes: Vec<(&str, usize, Pairs, &[usize])> = vec![
        ("full", 4, shapes::full(4), &[1, 4]),
        ("full", 32, shapes::full(32), &[1, 32]),
        ("ring", 32, shapes::ring(32), &[1, 32]),
        ("one way, 3 peers each", 30, shapes::one_way(30, 3), &[1, 30]),
        ("random, degree 3", 100, mesh(100, 3), &[1, 100]),
        ("random, degree 5", 100, mesh(100, 5), &[1, 100]),
        ("random, degree 3", 1000, mesh(1000, 3), &[1, 10, 1000]),
        ("random, degree 4", 1000, mesh(1000, 4), &[1, 10, 1000]),
        ("random, degree 5", 1000, mesh(1000, 5), &[1, 10, 1000]),
    ];
    println!(
        "| mesh | nodes | write | copies while it forms | copies | summaries | hops | all have it, ms | slowest | \
         node frozen | node broken | link frozen | link cut |"
    );
    println!("| --- |{}", " ---: |".repeat(12));
    for (name, nodes, pairs, all_writers) in meshes {
        for writers in all_writers {
            let figures = measure(nodes, &pairs, *writers, 1);
            let [frozen, broken, link, cut] = repairs(nodes, &pairs, *writers, 1);
            let Figures { forming, copies, summaries, hops, delay, slowest } = figures;
            println!(
                "| {name} | {nodes} | {writers} | {forming:.2} | {copies:.2} | {summaries:.2} | {hops:.2} | {delay:.0} | \
                 {slowest:.0} | {frozen:.0} | {broken:.0} | {link:.0} | {cut:.0} |"
            );
        }
    }
}
