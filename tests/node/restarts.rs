//! Peers that start late, die, freeze and lose the connection.

use rustix::process::Signal;

use crate::harness::{Port, Relay, node, pair, wait_until_equal};

fn adds(name: &'static str, count: usize) -> impl Iterator<Item = String> {
    (0..count).map(move |n| format!(r#"[{{"op":"add","path":"/{name}{n}","value":{n}}}]"#))
}

#[test]
fn a_peer_that_starts_late_gets_everything_and_gives_everything() {
    let port = Port::reserve();
    let early = node().peer(&port).start();
    early.post_patches(adds("early", 100));
    early.wait_for_log("connection refused");
    let late = node().at(&port).peer(early.address).start();
    late.post_patches(adds("late", 100));
    early.wait_for_log(&format!("peer {port}: connected"));
    wait_until_equal(&[&early, &late]);
    assert_eq!(early.length(), 200);
}

#[test]
fn a_node_that_is_killed_and_restarted_has_a_new_source_and_gets_everything_again() {
    let port = Port::reserve();
    let survivor = node().peer(&port).start();
    let first_life = node().at(&port).source("phoenix").peer(survivor.address).start();
    first_life.post_patches(adds("first", 50));
    survivor.post_patches(adds("survivor", 50));
    wait_until_equal(&[&survivor, &first_life]);
    let first_source = first_life.source.clone();
    first_life.kill();
    survivor.post_patches(adds("meanwhile", 50));
    let second_life = node().at(&port).source("phoenix").peer(survivor.address).start();
    assert_ne!(second_life.source, first_source);
    assert!(first_source.starts_with("phoenix~"), "{first_source}");
    assert!(second_life.source.starts_with("phoenix~"), "{}", second_life.source);
    wait_until_equal(&[&survivor, &second_life]);
    assert_eq!(second_life.length(), 150);
    let (before, now) = (&first_source, &second_life.source);
    survivor.wait_for_log(&format!("it is {now} from now on, and was {before}"));
    // It counts from the start again, and nobody takes that for what the first life wrote.
    let posted = second_life.post_patch(r#"[{"op":"add","path":"/second","value":true}]"#);
    assert_eq!(posted["Id"], 1);
    wait_until_equal(&[&survivor, &second_life]);
    assert_eq!(survivor.vclock()[&first_source], 51);
    assert_eq!(survivor.vclock()[&second_life.source], 2);
}

#[test]
fn a_frozen_peer_stops_nobody_and_catches_up_when_it_wakes() {
    let (running, frozen) = pair();
    running.post_patches(adds("before", 10));
    wait_until_equal(&[&running, &frozen]);
    frozen.signal(Signal::STOP);
    // More than the sockets between them hold.
    let text = "x".repeat(16 << 10);
    running.post_patches(
        (0..1000).map(|n| format!(r#"[{{"op":"add","path":"/text","value":"{text}{n}"}}]"#)),
    );
    assert_eq!(running.length(), 1010);
    frozen.signal(Signal::CONT);
    frozen.post_patches(adds("after", 10));
    wait_until_equal(&[&running, &frozen]);
    assert_eq!(frozen.length(), 1020);
}

#[test]
fn after_a_reconnect_only_what_is_new_is_sent() {
    let writer = node().start();
    let relay = Relay::to(writer.address);
    let reader = node().peer(relay.address).start();
    writer.post_patches(adds("before", 100));
    wait_until_equal(&[&writer, &reader]);
    assert_eq!(reader.upstream()["received"], 100);
    for cuts in 1..=3 {
        relay.cut();
        writer.post_patch(&format!(r#"[{{"op":"add","path":"/after","value":{cuts}}}]"#));
        wait_until_equal(&[&writer, &reader]);
        assert_eq!(reader.upstream()["received"], 100 + cuts);
    }
    assert_eq!(relay.connections(), 4);
}

#[test]
fn a_stream_may_break_anywhere_and_nothing_is_lost() {
    let writer = node().start();
    // In the handshake, in its last byte, in a frame's header, in a transaction.
    let relay = Relay::with_limits(writer.address, vec![20, 150, 300, 1001, 5000, 12_345]);
    let reader = node().peer(relay.address).start();
    writer.post_patches(adds("a", 1000));
    wait_until_equal(&[&writer, &reader]);
    assert_eq!(reader.length(), 1000);
    assert_eq!(reader.journal(), writer.journal());
    assert!(relay.connections() >= 7, "{}", relay.connections());
}

#[test]
fn what_was_written_on_both_sides_of_a_cut_becomes_one_document() {
    let ports = [Port::reserve(), Port::reserve()];
    let relays = [Relay::to(ports[0].address), Relay::to(ports[1].address)];
    let here = node().at(&ports[0]).peer(relays[1].address).start();
    let there = node().at(&ports[1]).peer(relays[0].address).start();
    here.post_patch(r#"[{"op":"add","path":"/stock","value":1}]"#);
    wait_until_equal(&[&here, &there]);
    relays.iter().for_each(Relay::go_down);
    // Both sell the last one; and each writes something that nobody else touches.
    let sell = |name| {
        format!(
            r#"[{{"op":"test","path":"/stock","value":1}},{{"op":"replace","path":"/stock","value":0}},
                {{"op":"add","path":"/sold_to","value":"{name}"}}]"#
        )
    };
    let sold_here = here.post_patch(&sell("here"));
    let sold_there = there.post_patch(&sell("there"));
    here.post_patches(adds("here", 100));
    there.post_patches(adds("there", 100));
    assert!(here.document().contains(r#""sold_to":"here""#));
    assert!(there.document().contains(r#""sold_to":"there""#));
    relays.iter().for_each(Relay::come_up);
    wait_until_equal(&[&here, &there]);
    // The earlier sale counts, on both; the later one is listed, on both.
    let document = here.get("/get").json();
    assert_eq!(document.as_object().unwrap().len(), 202);
    let place = |sold: &serde_json::Value| {
        (sold["Time"].as_u64().unwrap(), sold["Source"].as_str().unwrap().to_owned())
    };
    let here_first = place(&sold_here) < place(&sold_there);
    assert_eq!(document["sold_to"], if here_first { "here" } else { "there" });
    let later = if here_first { sold_there } else { sold_here };
    for node in [&here, &there] {
        let conflicts = node.get("/conflicts").json();
        assert_eq!(conflicts["count"], 1, "{conflicts}");
        assert_eq!(conflicts["skipped"][0]["Source"], later["Source"]);
        assert_eq!(conflicts["skipped"][0]["Id"], later["Id"]);
        assert_eq!(conflicts["skipped"][0]["operation"], 0);
        assert_eq!(node.length(), 203);
    }
}
