//! Everything at once.

use std::thread::sleep;
use std::time::{Duration, Instant};

use fastrand::Rng;
use rustix::process::Signal;

use crate::harness::{Scratch, Seed, setting, wait_for};
use crate::link::Link;
use crate::marks::{self, Told, Writer};
use crate::mesh::{Member, check_metrics, settle, tentative_and_begin};

/// How long a storm lasts if the environment does not say.
const SECONDS: u64 = 10;

/// Does something bad, or something good again. Nodes are away for up to several times as long as history is kept.
fn harm(members: &mut [Member], links: &[Link], random: &mut Rng) {
    let member = random.usize(..members.len());
    let link = &links[random.usize(..links.len())];
    match random.u8(..20) {
        0..3 => link.cut(),
        3..5 => link.go_down(),
        5..6 => link.hold(),
        6..8 => link.limit(random.usize(..20_000)),
        8..11 => link.heal(),
        // All links of one node, which may be for long.
        11..13 => links.iter().skip(member).step_by(members.len()).for_each(Link::go_down),
        13..15 => links.iter().for_each(Link::heal),
        15..18 => {
            members[member].check_log();
            members[member].kill();
            if random.bool() {
                sleep(Duration::from_millis(random.u64(..1500)));
            }
            members[member].start();
        }
        _ => {
            members[member].node().signal(Signal::STOP);
            sleep(Duration::from_millis(random.u64(..1500)));
            members[member].node().signal(Signal::CONT);
        }
    }
}

#[test]
fn a_mesh_that_folds_comes_out_of_a_storm_equal() {
    let seed = Seed::choose();
    let mut random = seed.random();
    let seconds = setting("PATCHMESH_STORM_SECONDS").unwrap_or(SECONDS);
    let scratch = Scratch::new();
    let mut members = ["a", "b", "c", "d"].map(|name| Member::new(&scratch, name));
    members = members.map(|member| member.argument("--keep 1s"));
    members[0] = Member::new(&scratch, "a").argument("--keep 1s --primary");
    let addresses = members.each_ref().map(|member| member.port.address);
    // Those to and from a node are so many apart as there are nodes.
    let mut links = Vec::new();
    for distance in 1..4 {
        for to in 0..4 {
            let link = Link::to(addresses[to]);
            members[(to + distance) % 4].peer(link.address);
            links.push(link);
        }
    }
    members.iter_mut().for_each(Member::start);
    marks::begin(members[0].node());
    for member in &members {
        wait_for("the list", || (member.node().document() != "{}").then_some(()));
    }
    let start = |number: usize| {
        let mut order = addresses;
        order.rotate_left(number);
        Writer::start(&order, 10, &mut random)
    };
    let writers: Vec<_> = (0..4).map(start).collect();
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(seconds) {
        sleep(Duration::from_millis(random.u64(..200)));
        harm(&mut members, &links, &mut random);
    }
    links.iter().for_each(Link::heal);
    let mut told = Told::default();
    writers.into_iter().for_each(|writer| told.join(writer.stop()));
    let nodes = members.each_ref().map(Member::node);
    told.check(&settle(&nodes));
    for node in nodes {
        check_metrics(node);
        assert!(tentative_and_begin(node).1 > 0, "it has folded");
    }
    println!("{} marks, {} asked again", told.accepted.len(), told.repeated);
    for member in &mut members {
        member.check_log();
        member.kill();
        member.verify();
        member.start();
    }
    let nodes = members.each_ref().map(Member::node);
    told.check(&settle(&nodes));
}
