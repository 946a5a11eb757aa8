//! Links that are cut one way, so that only one side's packets are lost, and both ways.

use std::time::{Duration, Instant, SystemTime};

use serde_json::Value;

use crate::harness::Node;
use crate::network::{Family, Network};
use crate::writing::write_while;

/// Long before anybody can have noticed a cut link by its silence.
const SOON: Duration = Duration::from_secs(5);

/// A node's stream from the host `from`.
#[track_caller]
fn upstream(network: &Network, node: &Node, from: usize) -> Value {
    let address = network.address(from).to_string();
    let peers = node.peers();
    let upstreams = peers["upstreams"].as_array().unwrap();
    upstreams.iter().find(|stream| stream["address"] == address).unwrap().clone()
}

fn micros_now() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    u64::try_from(now.as_micros()).unwrap()
}

#[test]
fn a_short_cut_one_way_or_both_ends_no_stream_and_loses_nothing() {
    Network::run(2, Family::V4, |network| {
        let nodes = network.mesh(2);
        let streams = || [(0, 1), (1, 0)].map(|(at, from)| upstream(network, &nodes[at], from));
        let before = streams();
        let both_ways = [(0, 1), (1, 0)];
        write_while(network, &nodes, |writing| {
            for cut in [&both_ways[..1], &both_ways[1..], &both_ways] {
                cut.iter().for_each(|(from, to)| network.cut(*from, *to));
                let written = writing.wait_for_more([0, 1]);
                for (from, to) in cut {
                    assert!(!writing.has(*to, &written[*from]), "{from} is cut off from {to}");
                }
                cut.iter().for_each(|(from, to)| network.heal(*from, *to));
                writing.wait_until_it_has(1, &written[0]);
                writing.wait_until_it_has(0, &written[1]);
            }
        });
        for (before, now) in before.iter().zip(streams()) {
            assert_eq!((&now["state"], &now["since"]), (&"connected".into(), &before["since"]));
        }
    });
}

#[test]
fn a_host_without_its_cable_takes_writes_and_they_come_with_the_cable() {
    Network::run(3, Family::V4, |network| {
        let nodes = network.mesh(3);
        write_while(network, &nodes, |writing| {
            for host in [0, 1, 2] {
                let [left, right] = [(host + 1) % 3, (host + 2) % 3];
                network.unplug(host);
                let [own, other, third] = writing.wait_for_more([host, left, right]);
                // The others have each other.
                writing.wait_until_it_has(right, &other);
                writing.wait_until_it_has(left, &third);
                assert!(!writing.has(left, &own) && !writing.has(right, &own));
                network.plug(host);
                writing.wait_until_it_has(left, &own);
                writing.wait_until_it_has(host, &third);
            }
        });
    });
}

#[test]
fn a_write_gets_around_a_cut_link_before_anybody_knows_of_the_cut() {
    Network::run(3, Family::V4, |network| {
        let nodes = network.mesh(3);
        write_while(network, &nodes, |writing| {
            for cut in [&[(0, 1)][..], &[(1, 2), (2, 1)], &[(2, 0)]] {
                cut.iter().for_each(|(from, to)| network.cut(*from, *to));
                let written = writing.wait_for_more([0, 1, 2]);
                let begin = Instant::now();
                for host in [0, 1, 2] {
                    written.iter().for_each(|written| writing.wait_until_it_has(host, written));
                }
                assert!(begin.elapsed() < SOON, "{cut:?}: {:?}", begin.elapsed());
                cut.iter().for_each(|(from, to)| network.heal(*from, *to));
            }
        });
    });
}

#[test]
#[ignore = "takes 60 s"]
fn a_link_that_stays_cut_is_given_up_and_all_say_since_when() {
    Network::run(3, Family::V4, |network| {
        let nodes = network.mesh(3);
        write_while(network, &nodes, |writing| {
            let cut_at = micros_now();
            // One way between the first two, and both ways between the first and the last.
            let cut = [(0, 1), (0, 2), (2, 0)];
            cut.iter().for_each(|(from, to)| network.cut(*from, *to));
            let down = [(1, 0), (0, 1), (2, 0), (0, 2)];
            let wait_until = |state: &str, failures: u64| {
                down.map(|(at, from)| {
                    let begin = Instant::now();
                    loop {
                        let stream = upstream(network, &nodes[at], from);
                        let failed = stream["failures"].as_u64() >= Some(failures);
                        if stream["state"] == state && failed {
                            return stream;
                        }
                        assert!(begin.elapsed() < Duration::from_secs(60), "{stream}");
                        std::thread::sleep(Duration::from_millis(100));
                    }
                })
            };
            let first = wait_until("waiting", 1);
            for stream in &first {
                let (heard, since) = (stream["heard"].as_u64(), stream["since"].as_u64());
                assert!(heard < since && since > Some(cut_at), "{stream}");
                assert!(
                    since > Some(cut_at + 15_000_000),
                    "by silence, which takes long: {stream}"
                );
            }
            // Whatever is tried since, that stays.
            for (first, later) in first.iter().zip(wait_until("waiting", 2)) {
                assert_eq!(first["since"], later["since"]);
            }
            assert_eq!(upstream(network, &nodes[1], 2)["state"], "connected");
            let written = writing.wait_for_more([0, 1, 2]);
            writing.wait_until_it_has(2, &written[1]);
            writing.wait_until_it_has(1, &written[2]);
            assert!(!writing.has(1, &written[0]) && !writing.has(2, &written[0]));
            cut.iter().for_each(|(from, to)| network.heal(*from, *to));
            wait_until("connected", 0);
        });
    });
}
