//! What is final, as users are told of it and wait for it, in a mesh with a real primary.
//!
//! `PATCHMESH_ROUNDS=100` lets clients count longer.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{Client, Node, Port, node, setting, wait_for};
use crate::primaries::{Data, waits};

/// How often each client tries to count, and how many clients there are.
const ROUNDS: u64 = 4;
const CLIENTS: usize = 8;

fn number(answer: &crate::harness::Answer) -> u64 {
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json().as_u64().unwrap()
}

/// Waits until a transaction is final, and says what is told of it.
#[track_caller]
fn wait_until_final(node: &Node, transaction: &Value) -> Value {
    let source = transaction["Source"].as_str().unwrap();
    let target = format!("/transaction?source={source}&id={}", transaction["Id"]);
    wait_for(format!("{target} to be final at {}", node.address), || {
        let answer = node.get(&target);
        (answer.status == 200 && answer.json()["committed"] == true).then(|| answer.json())
    })
}

#[test]
fn clients_of_three_nodes_count_by_compare_and_set() {
    let rounds = setting("PATCHMESH_ROUNDS").unwrap_or(ROUNDS);
    let ports = [Port::reserve(), Port::reserve(), Port::reserve()];
    let [a, b, c] = &ports;
    let data = Data::new();
    let primary = data.node("a", a, &[b, c]).argument("--primary").start();
    let second = node().at(b).source("b").peer(a).peer(c).start();
    let third = node().at(c).source("c").peer(a).peer(b).start();
    let nodes = [&primary, &second, &third];
    let first = primary.post_patch(r#"[{"op":"add","path":"/n","value":0}]"#);
    nodes.iter().for_each(|node| drop(wait_until_final(node, &first)));
    let (counted, lost, refused) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for client in 0..CLIENTS {
            let node = nodes[client % nodes.len()];
            let counts = [&counted, &lost, &refused];
            scope.spawn(move || {
                for _ in 0..rounds {
                    let [counted, lost, refused] = counts;
                    let mut client = Client::connect(node.address);
                    let headers = node.headers();
                    let n = number(&client.request("GET", "/get/n", &headers, b""));
                    let patch = json!([
                        {"op": "test", "path": "/n", "value": n},
                        {"op": "replace", "path": "/n", "value": n + 1},
                    ]);
                    let target = "/replace?wait=committed&timeout=25s";
                    let body = patch.to_string();
                    let answer = client.request("POST", target, &headers, body.as_bytes());
                    let kind = if answer.status == 200 {
                        Value::Null
                    } else {
                        answer.json()["type"].clone()
                    };
                    match (answer.status, kind.as_str()) {
                        (200, _) => counted,
                        (409, Some("/problems/skipped")) => lost,
                        (409, Some("/problems/does-not-apply")) => refused,
                        _ => panic!("{} {}", answer.status, answer.text()),
                    }
                    .fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    let [counted, lost, refused] = [counted, lost, refused].map(AtomicU64::into_inner);
    println!("{counted} counted, {lost} lost, {refused} refused");
    assert!(counted > 0 && counted + lost + refused == CLIENTS as u64 * rounds);
    for node in nodes {
        wait_for("all to be final", || (node.peers()["tentative"] == 0).then_some(()));
        assert_eq!(number(&node.get("/get/n?at=committed")), counted, "{}", node.address);
        assert_eq!(number(&node.get("/get/n")), counted);
    }
}

#[test]
fn who_waits_for_a_commit_holds_nobody_up() {
    const WAITING: usize = 200;
    let (a, b, data) = (Port::reserve(), Port::reserve(), Data::new());
    let primary = data.node("a", &a, &[&b]).argument("--primary").start();
    let alone = node().at(&b).source("b").peer(&a).start();
    wait_until_final(&alone, &alone.post_patch("[]"));
    // Nobody makes anything final from now on.
    primary.kill();
    let mut waiting: Vec<Client> = (0..WAITING)
        .map(|count| {
            let mut client = Client::connect(alone.address);
            let patch = format!(r#"[{{"op":"add","path":"/{count}","value":{count}}}]"#);
            let target = "/replace?wait=committed&timeout=4s";
            client.write_request("POST", target, &alone.headers(), patch.as_bytes());
            client.flush();
            client
        })
        .collect();
    wait_for("all to be taken in", || (alone.peers()["tentative"] == WAITING).then_some(()));
    let before = waits(&alone);
    std::thread::sleep(Duration::from_secs(1));
    let waited = waits(&alone) - before;
    assert!(waited < 20, "it had something to do {waited} times");
    let begin = Instant::now();
    (0..100).for_each(|_| drop(alone.post_patch("[]")));
    assert!(begin.elapsed() < Duration::from_secs(2), "{:?}", begin.elapsed());
    for client in &mut waiting {
        let answer = client.answer();
        let kind = answer.json()["type"].clone();
        assert_eq!((answer.status, kind), (504, json!("/problems/not-final-yet")));
    }
}

#[test]
fn what_is_folded_away_is_told_to_be_gone() {
    let (port, data) = (Port::reserve(), Data::new());
    let setup = data.node("a", &port, &[]).argument("--primary");
    let alone = setup.argument("--keep").argument("1s").start();
    let headers = || {
        let mut headers = alone.headers();
        headers.extend([
            ("Patchmesh-Source", "phone~k3x9q2pd".to_owned()),
            ("Patchmesh-Id", "1".to_owned()),
        ]);
        headers
    };
    let by_phone = |body: &str| {
        Client::connect(alone.address).request("POST", "/replace", &headers(), body.as_bytes())
    };
    let patch = r#"[{"op":"add","path":"/a","value":1}]"#;
    assert_eq!(by_phone(patch).status, 200);
    let old = alone.post_patch(r#"[{"op":"add","path":"/b","value":2}]"#);
    wait_until_final(&alone, &old);
    assert_eq!(
        (alone.get("/get?at=0").status, alone.get("/history").text().lines().count()),
        (200, 2)
    );
    wait_for("the history to be folded", || {
        alone.post_patch("[]");
        std::thread::sleep(Duration::from_millis(300));
        (alone.peers()["begins"].as_u64() >= Some(2)).then_some(())
    });
    let begins = |target: &str| {
        let answer = alone.get(target);
        assert_eq!(answer.status, 410, "{target}: {}", answer.text());
        assert_eq!(answer.json()["type"], "/problems/folded");
        answer.json()["begins"].as_u64().unwrap()
    };
    let index = begins("/get?at=0");
    assert!(begins("/history?from=0") >= index);
    for name in [
        "source=phone~k3x9q2pd&id=1",
        &format!("source={}%5Es&id=1", alone.source),
        &format!("source={}&id=1", alone.source),
    ] {
        assert!(begins(&format!("/transaction?{name}")) >= index, "{name}");
    }
    for name in ["source=phone~k3x9q2pd&id=2", &format!("source={}&id=1000", alone.source)] {
        assert_eq!(alone.get(&format!("/transaction?{name}")).status, 404, "{name}");
    }
    assert_eq!(alone.get("/get?at=100000").status, 404);
    let again = by_phone(patch);
    assert_eq!((again.status, &again.json()["type"]), (410, &json!("/problems/folded")));
    // What is kept begins there, and all of it can be had.
    let page = alone.get("/history?limit=1").text().to_owned();
    let line: Value = serde_json::from_str(page.lines().next().unwrap()).unwrap();
    let from = line["index"].as_u64().unwrap();
    assert!(from >= index);
    let answer = alone.get(&format!("/get?at={}", from + 1));
    assert!(answer.status == 410 || answer.json() == json!({"a": 1, "b": 2}), "{}", answer.text());
    assert_eq!(alone.get("/get?at=committed").json(), json!({"a": 1, "b": 2}));
    let metrics = alone.get("/metrics").text().to_owned();
    let folded = metrics
        .lines()
        .find_map(|line| line.strip_prefix("patchmesh_history_folded_transactions "));
    assert!(folded.unwrap().parse::<u64>().unwrap() >= index);
}
