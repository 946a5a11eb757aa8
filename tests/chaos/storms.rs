//! Random faults under random writes.

use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, Instant};

use fastrand::Rng;
use rustix::process::Signal;
use serde_json::Value;

use crate::client;
use crate::cluster::Cluster;
use crate::fold::Fold;
use crate::harness::{Seed, percent_encoded, setting, wait_for};
use crate::writer::{Told, Writer};

/// How long a storm lasts if the environment does not say.
const SECONDS: u64 = 6;

const WRITERS_A_NODE: usize = 2;

/// How many transactions are asked after one by one.
const SAMPLES: usize = 20;

#[test]
fn a_triangle_comes_out_of_a_storm_equal() {
    storm(&[(0, 1), (1, 2), (2, 0)]);
}

#[test]
fn a_line_comes_out_of_a_storm_equal() {
    storm(&[(0, 1), (1, 2)]);
}

fn storm(pairs: &[(usize, usize)]) {
    let seed = Seed::choose();
    let mut random = seed.random();
    let kinds = random.choice(["ddm", "dmd", "mdd"]).unwrap();
    let mut cluster = Cluster::start(kinds, pairs);
    let writers: Vec<Writer> = cluster
        .addresses()
        .iter()
        .flat_map(|address| [*address; WRITERS_A_NODE])
        .map(|address| Writer::start(address, random.u64(..)))
        .collect();
    let begin = Instant::now();
    let duration = Duration::from_secs(setting("PATCHMESH_CHAOS_SECONDS").unwrap_or(SECONDS));
    let mut deeds = Vec::new();
    while begin.elapsed() < duration {
        thread::sleep(Duration::from_millis(random.u64(..120)));
        deeds.push(harm(&mut cluster, &mut random));
    }
    for (_, _, link) in &cluster.links {
        link.heal();
    }
    for member in &mut cluster.members {
        match &member.node {
            Some(node) => node.signal(Signal::CONT),
            None => member.start(),
        }
    }
    let told: Vec<Told> = writers.into_iter().map(Writer::stop).collect();
    cluster.wait_until_equal();
    let (lines, fold) = cluster.check_equal();
    // Each once.
    let key = |transaction: &Value| {
        (transaction["Source"].as_str().unwrap().to_owned(), transaction["Id"].as_u64().unwrap())
    };
    let keys: BTreeSet<_> = fold.history.iter().map(key).collect();
    assert_eq!(keys.len(), lines.len(), "an Id is there twice");
    let is_kept = |line: &String| lines.binary_search(line).is_ok();
    let lost_lives: BTreeSet<&String> =
        cluster.members.iter().flat_map(|member| &member.lost).collect();
    let accepted: Vec<&String> = told.iter().flat_map(|told| &told.accepted).collect();
    let mut lost = 0;
    for line in &accepted {
        if !is_kept(line) {
            let (source, _) = key(&serde_json::from_str(line).unwrap());
            assert!(lost_lives.contains(&source), "it was acknowledged and is lost: {line}");
            lost += 1;
        }
    }
    check_fates(&cluster, &fold, &mut random);
    // In a long storm there is time to wait for the next ping.
    if duration > Duration::from_secs(SECONDS) {
        wait_for("all to say that they agree", || {
            cluster
                .addresses()
                .into_iter()
                .map(|address| client::get(address, "/peers").json())
                .all(|peers| {
                    let upstreams = peers["upstreams"].as_array().unwrap();
                    upstreams.iter().all(|upstream| upstream["agrees"] == true)
                })
                .then_some(())
        });
    }
    let refused: usize = told.iter().map(|told| told.refused).sum();
    let unknown: usize = told.iter().map(|told| told.unknown).sum();
    println!(
        "{} deeds; {} accepted, {refused} refused, {unknown} without an answer, {lost} lost with \
         {} lives in memory; {} transactions, {} of them skipped",
        deeds.len(),
        accepted.len(),
        lost_lives.len(),
        lines.len(),
        fold.skipped.len()
    );
    assert!(lines.len() > 100 && !fold.skipped.is_empty(), "this was no storm");
}

/// Does something bad, or something good again.
fn harm(cluster: &mut Cluster, random: &mut Rng) -> String {
    if random.u8(..3) > 0 {
        let number = random.usize(..cluster.links.len());
        let (from, to, link) = &cluster.links[number];
        let deed = match random.u8(..12) {
            0..2 => {
                link.cut();
                "cut"
            }
            2..4 => {
                link.go_down();
                "down"
            }
            4..6 => {
                link.hold();
                "hold"
            }
            6 => {
                link.delay(Duration::from_millis(random.u64(..50)));
                "delay"
            }
            7..9 => {
                link.limit(random.usize(..5000));
                "limit"
            }
            _ => {
                link.heal();
                "heal"
            }
        };
        return format!("{deed} {from} to {to}");
    }
    let number = random.usize(..cluster.members.len());
    let member = &mut cluster.members[number];
    let deed = match (&member.node, random.u8(..8)) {
        (None, _) => {
            member.start();
            "start"
        }
        (Some(node), 0..3) => {
            node.signal(Signal::STOP);
            "freeze"
        }
        (Some(node), 3..6) => {
            node.signal(Signal::CONT);
            "wake"
        }
        (Some(_), _) => {
            member.kill();
            "kill"
        }
    };
    format!("{deed} {number}")
}

/// Checks what nodes say of single transactions.
fn check_fates(cluster: &Cluster, fold: &Fold, random: &mut Rng) {
    let addresses = cluster.addresses();
    for _ in 0..SAMPLES {
        let index = random.usize(..fold.history.len());
        let transaction = &fold.history[index];
        let skip = fold.skipped.iter().find(|skip| {
            skip["Source"] == transaction["Source"] && skip["Id"] == transaction["Id"]
        });
        let source = percent_encoded(transaction["Source"].as_str().unwrap());
        let target = format!("/transaction?source={source}&id={}", transaction["Id"]);
        let fate = client::get(addresses[random.usize(..addresses.len())], &target).json();
        assert_eq!(fate["index"], index, "{fate}");
        assert_eq!(fate["state"], if skip.is_some() { "skipped" } else { "applied" }, "{fate}");
        for member in ["operation", "path", "reason"] {
            assert_eq!(fate.get(member), skip.map(|skip| &skip[member]), "{fate}");
        }
    }
}
