//! kill -9 at any moment, and at the worst ones.

use std::thread::sleep;
use std::time::{Duration, Instant};

use fastrand::Rng;

use crate::harness::{Scratch, Seed, wait_for};
use crate::link::Link;
use crate::marks::{self, Told, Writer};
use crate::mesh::{
    Member, all_to_all, check_metrics, settle, tentative_and_begin, wait_until_folded,
};

/// How long nodes are killed before and after one loses its directory.
const PHASE: Duration = Duration::from_millis(4500);

/// Kills a member at a moment, or while it folds, and starts it at once.
fn harm(members: &mut [Member], random: &mut Rng) {
    let number = random.usize(..members.len());
    let member = &mut members[number];
    if random.bool() {
        let files = || (member.bases(), member.first_segment());
        let (before, begin) = (files(), Instant::now());
        // Folds are about a second apart.
        while files() == before && begin.elapsed() < Duration::from_millis(1500) {
            sleep(Duration::from_micros(200));
        }
        if random.bool() {
            sleep(Duration::from_micros(random.u64(..3000)));
        }
    } else {
        sleep(Duration::from_millis(random.u64(..400)));
    }
    member.check_log();
    member.kill();
    member.start();
}

#[test]
fn what_was_acknowledged_outlives_kill_9_during_folds_and_transfers_once() {
    let seed = Seed::choose();
    let mut random = seed.random();
    let scratch = Scratch::new();
    let mut members = ["a", "b", "c"].map(|name| Member::new(&scratch, name).argument("--keep 2s"));
    members[0] = Member::new(&scratch, "a").argument("--keep 2s --primary");
    all_to_all(&mut members);
    members.iter_mut().for_each(Member::start);
    marks::begin(members[0].node());
    for member in &members {
        wait_for("the list", || (member.node().document() != "{}").then_some(()));
    }
    let addresses = members.each_ref().map(|member| member.port.address);
    let start = |first: usize, random: &mut Rng| {
        let mut order = addresses;
        order.swap(0, first);
        Writer::start(&order, 10, random)
    };
    let mut told = Told::default();
    let writers: Vec<_> = (0..3).map(|number| start(number, &mut random)).collect();
    let begin = Instant::now();
    while begin.elapsed() < PHASE {
        harm(&mut members, &mut random);
    }
    // One loses its directory: all that it alone has is lost with it, so nobody writes then.
    writers.into_iter().for_each(|writer| told.join(writer.stop()));
    wait_until_folded(members[0].node(), 1);
    let lost = random.usize(1..3);
    wait_for("all to be at another node", || {
        told.is_in(&members[3 - lost].node().document()).then_some(())
    });
    members[lost].kill();
    std::fs::remove_dir_all(members[lost].data.as_ref().unwrap()).unwrap();
    let writers = [start(0, &mut random), start(3 - lost, &mut random)];
    // It is killed while it joins, or those who give it a base are.
    for _ in 0..4 {
        let joins = members[lost].is_running();
        if !joins {
            members[lost].start();
        }
        sleep(Duration::from_micros(random.u64(..80_000)));
        let killed = if random.bool() { lost } else { random.usize(..3) };
        members[killed].kill();
        members[killed].start();
    }
    wait_until_folded(members[lost].node(), 1);
    let begin = Instant::now();
    while begin.elapsed() < PHASE {
        harm(&mut members, &mut random);
    }
    writers.into_iter().for_each(|writer| told.join(writer.stop()));
    let nodes = members.each_ref().map(Member::node);
    let document = settle(&nodes);
    told.check(&document);
    for node in nodes {
        check_metrics(node);
        assert!(tentative_and_begin(node).1 > 0, "it has folded");
    }
    println!("{} marks, {} asked again", told.accepted.len(), told.repeated);
    assert!(told.accepted.len() > 200 && told.repeated > 0, "nothing has happened");
    for member in &mut members {
        member.check_log();
        member.kill();
        member.verify();
    }
}

#[test]
fn what_a_node_wrote_while_it_was_cut_off_outlives_kill_9_while_it_takes_a_base() {
    let seed = Seed::choose();
    let mut random = seed.random();
    let scratch = Scratch::new();
    let mut primary = Member::new(&scratch, "primary").argument("--keep 1s --primary");
    let mut other = Member::new(&scratch, "other").argument("--keep 1s");
    let links = [Link::to(primary.port.address), Link::to(other.port.address)];
    other.peer(links[0].address);
    primary.peer(links[1].address);
    primary.start();
    other.start();
    marks::begin(primary.node());
    // So that it takes a while.
    let large = "x".repeat(100_000);
    for n in 0..15 {
        primary.node().post_patch(&format!(r#"[{{"op":"add","path":"/{n}","value":"{large}"}}]"#));
    }
    let mut told = marks::add(primary.node(), 1);
    settle(&[primary.node(), other.node()]);
    let (mut killed, mut bases) = (0, 0);
    for _ in 0..2 {
        links.iter().for_each(Link::go_down);
        told.join(marks::add(other.node(), 10));
        told.join(marks::add(primary.node(), 10));
        let length = primary.node().peers()["length"].as_u64().unwrap();
        wait_until_folded(primary.node(), length);
        links.iter().for_each(Link::heal);
        loop {
            let begin = Instant::now();
            let is_taking = || !other.node().log_lines("takes a base").is_empty();
            let is_equal = |told: &Told| told.is_in(&other.node().document());
            while !is_taking() && !is_equal(&told) && begin.elapsed() < Duration::from_secs(12) {
                sleep(Duration::from_millis(1));
            }
            if !is_taking() {
                break;
            }
            if random.u8(..3) > 0 {
                // It has begun to write what it takes.
                let files = || (other.files("journal-"), other.bases());
                let before = files();
                while files() == before && begin.elapsed() < Duration::from_secs(12) {
                    sleep(Duration::from_micros(100));
                }
                sleep(Duration::from_micros(random.u64(..5000)));
            } else {
                sleep(Duration::from_micros(random.u64(..100_000)));
            }
            bases += other.node().log_lines("goes on from a base").len();
            other.kill();
            killed += 1;
            // Alone, it has what it has acknowledged.
            links.iter().for_each(Link::go_down);
            other.start();
            let found = marks::marks(&other.node().document());
            assert!(found.values().all(|count| *count == 1), "{found:?}");
            links.iter().for_each(Link::heal);
        }
        told.check(&settle(&[primary.node(), other.node()]));
    }
    println!("killed {killed} times, {bases} of them when it had taken the base");
    assert!(killed >= 2, "{killed}");
    other.kill();
    other.verify();
}
