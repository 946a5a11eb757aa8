//! Primaries that are replaced, doubled and frozen while everyone writes.

use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::process::Signal;
use serde_json::json;
use tungstenite::Message;

use crate::harness::{Node, PlainNode, Scratch, Seed, binary, run, wait_for};
use crate::link::Link;
use crate::marks::{self, Told, Writer};
use crate::mesh::{
    Member, all_to_all, check_metrics, settle, tentative_and_begin, wait_until_folded,
};

/// Nodes with these arguments that all dial each other and have the list of marks.
fn mesh<const N: usize>(scratch: &Scratch, arguments: [&str; N]) -> [Member; N] {
    let mut number = 0;
    let mut members = arguments.map(|arguments| {
        number += 1;
        Member::new(scratch, &format!("n{number}")).argument(arguments)
    });
    all_to_all(&mut members);
    members.iter_mut().for_each(Member::start);
    marks::begin(members[0].node());
    for member in &members {
        wait_for("the list", || (member.node().document() != "{}").then_some(()));
    }
    members
}

/// A writer at each of these.
fn writers(members: &[Member], seed: &Seed) -> Vec<Writer> {
    let mut random = seed.random();
    let start = |member: &Member| Writer::start(&[member.port.address], 10, &mut random);
    members.iter().map(start).collect()
}

fn stop(writers: Vec<Writer>) -> Told {
    let mut told = Told::default();
    writers.into_iter().for_each(|writer| told.join(writer.stop()));
    told
}

fn epoch(node: &Node) -> Option<u64> {
    let peers = node.peers();
    let (_, epoch) = peers["commit"]["source"].as_str()?.split_once('^')?;
    epoch.parse().ok()
}

#[test]
fn a_promotion_while_everyone_writes_loses_nothing() {
    let seed = Seed::choose();
    let scratch = Scratch::new();
    let mut members = mesh(&scratch, ["--keep 2s --primary", "--keep 2s", "--keep 2s"]);
    wait_for("the second node to know who is the primary", || epoch(members[1].node()));
    let (first, others) = members.split_at_mut(1);
    let own = writers(first, &seed);
    let writing = writers(others, &Seed::choose());
    wait_until_folded(others[0].node(), 100);
    // All that it was told is at another node before it goes for good.
    let mut told = stop(own);
    wait_for("its writes", || told.is_in(&others[1].node().document()).then_some(()));
    first[0].kill();
    let url = format!("http://{}", others[0].port.address);
    let output = run(binary().arg("promote").arg(url));
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    sleep(Duration::from_secs(5));
    told.join(stop(writing));
    let document = settle(&[others[0].node(), others[1].node()]);
    told.check(&document);
    others.iter().for_each(|member| assert_eq!(epoch(member.node()), Some(2)));
    // The old one comes back after all, as a node like any other, which still says that it should be the primary.
    first[0].start();
    told.join(marks::add(first[0].node(), 3));
    wait_for("the same document", || {
        let documents = members.each_ref().map(|member| member.node().document());
        (told.is_in(&documents[0]) && documents.iter().all(|text| *text == documents[0]))
            .then_some(())
    });
    told.check(&members[0].node().document());
    members[0].node().wait_for_log("there are two primaries");
    for member in &mut members {
        check_metrics(member.node());
        member.kill();
        member.verify();
    }
}

#[test]
fn two_primaries_by_mistake_lose_nothing_and_one_of_them_says_so() {
    let seed = Seed::choose();
    let scratch = Scratch::new();
    let members = mesh(&scratch, ["--keep 2s --primary", "--keep 2s --primary", "--keep 2s"]);
    let writing = writers(&members, &seed);
    wait_until_folded(members[2].node(), 300);
    let told = stop(writing);
    // Not in good health: one is told to be the primary and is not.
    let nodes = members.each_ref().map(Member::node);
    wait_for("the same document, all of it final", || {
        let peers = nodes.map(Node::peers);
        let at = |number: usize| {
            let commit = &peers[number]["commit"];
            (&commit["source"], &commit["id"], &peers[number]["tentative"])
        };
        (at(0).2 == 0 && at(1) == at(0) && at(2) == at(0)).then_some(())
    });
    let document = nodes[0].document();
    told.check(&document);
    assert!(nodes.iter().all(|node| node.document() == document));
    let sayers: Vec<_> =
        nodes.iter().filter(|node| !node.log_lines("there are two primaries").is_empty()).collect();
    let [sayer] = sayers[..] else { panic!("{} say it", sayers.len()) };
    let health = sayer.get("/healthz");
    assert_eq!(health.json()["type"], "/problems/two-primaries");
    nodes.iter().for_each(|node| check_metrics(node));
}

#[test]
fn a_primary_that_was_frozen_goes_on_where_it_was() {
    let seed = Seed::choose();
    let scratch = Scratch::new();
    let members = mesh(&scratch, ["--keep 2s --primary", "--keep 2s", "--keep 2s"]);
    let writing = writers(&members[1..], &seed);
    wait_until_folded(members[1].node(), 50);
    members[0].node().signal(Signal::STOP);
    sleep(Duration::from_secs(10));
    let nodes = members.each_ref().map(Member::node);
    // Writes go on, and are not final.
    let tentative = nodes[1].peers()["tentative"].as_u64().unwrap();
    assert!(tentative > 200, "{tentative}");
    nodes[0].signal(Signal::CONT);
    wait_for("all to be final again", || {
        let tentative = nodes[1].peers()["tentative"].as_u64().unwrap();
        println!("{tentative} tentative");
        (tentative < 400).then_some(())
    });
    let mut told = stop(writing);
    told.join(marks::add(nodes[0], 3));
    told.check(&settle(&nodes));
    for node in nodes {
        assert_eq!(epoch(node), Some(1));
        check_metrics(node);
    }
}

#[test]
fn a_primary_begins_although_its_peer_never_stops_to_send() {
    let scratch = Scratch::new();
    let peer = PlainNode::listen_as("busy~00000000");
    let mut primary = Member::new(&scratch, "primary").argument("--primary");
    primary.peer(peer.address());
    primary.start();
    let mut visit = peer.accept();
    let mut id = 0;
    let begin = Instant::now();
    while primary.node().peers()["commit"].is_null() {
        assert!(begin.elapsed() < Duration::from_secs(20), "it has not read its peer to the end");
        sleep(Duration::from_millis(1));
        for _ in 0..20 {
            id += 1;
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros() as u64;
            let patch = r#"[{"op":"add","path":"/busy","value":1}]"#;
            let line = json!({"Source": "busy~00000000", "Id": id, "Payload": patch, "Time": now});
            // It may be dialed anew by now, since there is a chain.
            visit.socket.send(Message::text(line.to_string())).ok();
            if id == 30 {
                visit.socket.send(Message::text(r#"{"End":30}"#)).ok();
            }
        }
    }
    println!("{id} sent in {:?}", begin.elapsed());
}

#[test]
fn chains_that_were_folded_apart_become_one_and_what_is_lost_is_told() {
    let scratch = Scratch::new();
    let mut members = ["a", "b", "c", "d"].map(|name| Member::new(&scratch, name));
    members = members.map(|member| member.argument("--keep 1s"));
    members[0] = Member::new(&scratch, "a").argument("--keep 1s --primary");
    let addresses = members.each_ref().map(|member| member.port.address);
    let mut links = Vec::new();
    for (from, to) in (0..4).flat_map(|from| (0..4).map(move |to| (from, to))) {
        if from / 2 == to / 2 {
            if from != to {
                members[from].peer(addresses[to]);
            }
        } else {
            let link = Link::to(addresses[to]);
            members[from].peer(link.address);
            links.push(link);
        }
    }
    members.iter_mut().for_each(Member::start);
    let nodes = members.each_ref().map(Member::node);
    marks::begin(nodes[0]);
    for node in nodes {
        wait_for("the list", || (node.document() != "{}").then_some(()));
    }
    let mut told = marks::add(nodes[1], 5);
    settle(&nodes);
    // Two go on by themselves, under a primary of their own.
    links.iter().for_each(Link::go_down);
    let promote = || {
        let output = run(binary().arg("promote").arg(format!("http://{}", addresses[2])));
        (output.status.code() == Some(0)).then_some(())
    };
    wait_for("a promotion", promote);
    let folded = tentative_and_begin(nodes[0]).1.max(6);
    let may_be_lost = marks::add(nodes[1], 10);
    told.join(marks::add(nodes[2], 10));
    wait_until_folded(nodes[1], folded + 10);
    wait_until_folded(nodes[3], folded + 10);
    assert_eq!((epoch(nodes[1]), epoch(nodes[3])), (Some(1), Some(2)));
    let held = marks::add(nodes[1], 10);
    links.iter().for_each(Link::heal);
    told.join(held);
    let document = wait_for("the same document, all of it final", || {
        let peers = nodes.map(Node::peers);
        let is_final = |peers: &serde_json::Value| {
            peers["tentative"] == 0 && peers["commit"]["id"] == nodes[2].peers()["commit"]["id"]
        };
        let documents = nodes.map(Node::document);
        let is_equal = documents.iter().all(|document| *document == documents[0]);
        (peers.iter().all(is_final) && is_equal && told.is_in(&documents[0]))
            .then(|| documents[0].clone())
    });
    let found = marks::marks(&document);
    assert!(found.values().all(|count| *count == 1), "{found:?}");
    let lost = may_be_lost.accepted.iter().filter(|mark| !found.contains_key(mark)).count();
    println!("{lost} lost");
    let lines: Vec<_> = nodes.iter().flat_map(|node| node.log_lines("is lost")).collect();
    println!("{lines:?}");
    assert_eq!(lost > 0, !lines.is_empty(), "{lost} lost: {lines:?}");
    // One is told to be the primary and is not; else all are well.
    assert_eq!(nodes[0].get("/healthz").json()["type"], "/problems/two-primaries");
    for node in &nodes[1..] {
        assert_eq!(node.get("/healthz").status, 200, "{}", node.get("/healthz").text());
    }
    for member in &mut members {
        member.kill();
        member.verify();
    }
}

#[test]
fn a_primary_that_lost_its_folded_history_goes_on_from_what_others_have() {
    let seed = Seed::choose();
    let scratch = Scratch::new();
    let mut members = mesh(&scratch, ["--keep 1s --primary", "--keep 1s", "--keep 1s"]);
    let writing = writers(&members[1..], &seed);
    wait_until_folded(members[2].node(), 50);
    members[0].kill();
    std::fs::remove_dir_all(members[0].data.as_ref().unwrap()).unwrap();
    members[0].start();
    members[0].node().wait_for_log("it begins epoch 2");
    sleep(Duration::from_secs(3));
    let mut told = stop(writing);
    told.join(marks::add(members[0].node(), 3));
    let document = settle(&members.each_ref().map(Member::node));
    told.check(&document);
    for member in &mut members {
        assert_eq!(epoch(member.node()), Some(2));
        check_metrics(member.node());
        member.kill();
        member.verify();
    }
}
