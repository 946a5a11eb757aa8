//! Nodes that were away for longer than the history is kept, or than anybody may be.

use std::thread::sleep;
use std::time::Duration;

use rustix::process::Signal;

use crate::harness::{Scratch, Seed, wait_for};
use crate::link::Link;
use crate::marks::{self, Told, Writer};
use crate::mesh::{
    Member, check_metrics, settle, tentative_and_begin, wait_until_final, wait_until_folded,
};

/// A primary and two other nodes; the last one reaches them, and is reached, by links. It has the list of marks.
fn mesh(scratch: &Scratch, primary: &str) -> ([Member; 3], Vec<Link>) {
    let first = Member::new(scratch, "first").argument("--keep 1s --primary").argument(primary);
    let second = Member::new(scratch, "second").argument("--keep 1s");
    let third = Member::new(scratch, "third").argument("--keep 1s");
    let mut members = [first, second, third];
    let addresses = members.each_ref().map(|member| member.port.address);
    let mut links = Vec::new();
    for (from, to) in [(0, 1), (1, 0), (0, 2), (2, 0), (1, 2), (2, 1)] {
        if from == 2 || to == 2 {
            let link = Link::to(addresses[to]);
            members[from].peer(link.address);
            links.push(link);
        } else {
            members[from].peer(addresses[to]);
        }
    }
    members.iter_mut().for_each(Member::start);
    marks::begin(members[0].node());
    wait_for("the list", || (members[2].node().document() != "{}").then_some(()));
    (members, links)
}

#[test]
fn who_was_cut_off_for_longer_than_is_kept_joins_by_a_base_with_all_that_it_has_written() {
    let seed = Seed::choose();
    let mut random = seed.random();
    let scratch = Scratch::new();
    let (members, links) = mesh(&scratch, "");
    let nodes = members.each_ref().map(Member::node);
    let mut told = marks::add(nodes[0], 5);
    settle(&nodes);
    let writers = nodes.map(|node| Writer::start(&[node.address], 10, &mut random));
    links.iter().for_each(Link::go_down);
    let begin = tentative_and_begin(nodes[2]).1;
    wait_until_folded(nodes[0], begin + 300);
    assert_eq!(tentative_and_begin(nodes[2]).1, begin.max(6), "it hears of no commits");
    links.iter().for_each(Link::heal);
    wait_for("a base", || {
        let peers = nodes[2].peers();
        let upstreams = peers["upstreams"].as_array().unwrap();
        upstreams.iter().any(|upstream| upstream["bases"] != 0).then_some(())
    });
    nodes[2].wait_for_log("what this node lacks was folded away");
    writers.into_iter().for_each(|writer| told.join(writer.stop()));
    told.check(&settle(&nodes));
    for node in nodes {
        assert!(tentative_and_begin(node).1 > begin);
        check_metrics(node);
    }
    members.iter().for_each(Member::check_log);
    // Nobody else had to.
    for node in &nodes[..2] {
        let peers = node.peers();
        let upstreams = peers["upstreams"].as_array().unwrap();
        assert!(upstreams.iter().all(|upstream| upstream["bases"] == 0), "{peers}");
    }
}

#[test]
fn who_was_frozen_for_longer_than_is_kept_joins_by_a_base() {
    let scratch = Scratch::new();
    let (members, _links) = mesh(&scratch, "");
    let nodes = members.each_ref().map(Member::node);
    let mut told = Told::default();
    told.join(marks::add(nodes[2], 20));
    // Without having read it once the primary makes nothing final.
    settle(&nodes);
    nodes[2].signal(Signal::STOP);
    told.join(marks::add(nodes[1], 20));
    wait_until_folded(nodes[0], 21);
    sleep(Duration::from_secs(1));
    told.join(marks::add(nodes[0], 20));
    nodes[2].signal(Signal::CONT);
    told.join(marks::add(nodes[2], 20));
    told.check(&settle(&nodes));
}

#[test]
fn what_was_written_longer_ago_than_the_horizon_and_never_heard_is_void_and_its_author_is_told() {
    let scratch = Scratch::new();
    let (members, links) = mesh(&scratch, "--horizon 4s");
    let nodes = members.each_ref().map(Member::node);
    let mut told = marks::add(nodes[2], 3);
    settle(&nodes);
    links.iter().for_each(Link::go_down);
    let (old, patch) = marks::next();
    let transaction = nodes[2].post_patch(&patch);
    // The floor follows what others write.
    for _ in 0..14 {
        sleep(Duration::from_millis(500));
        told.join(marks::add(nodes[0], 1));
    }
    told.join(marks::add(nodes[2], 3));
    // What comes then is all that comes: nothing else gives the primary a reason to look.
    wait_until_final(nodes[0]);
    sleep(Duration::from_secs(3));
    links.iter().for_each(Link::heal);
    let document = settle(&nodes);
    told.check(&document);
    assert!(!marks::marks(&document).contains_key(&old));
    let (source, id) = (transaction["Source"].as_str().unwrap(), &transaction["Id"]);
    let line = nodes[2].wait_for_log("are void");
    assert!(line.contains(&format!("of {source} 1 of the transactions {id} to {id}")), "{line}");
    // It cannot be had any more, and is not said to be there.
    let fate = nodes[2].get(&format!("/transaction?source={source}&id={id}"));
    println!("{}", fate.text());
    assert!([404, 410].contains(&fate.status), "{}", fate.text());
}
