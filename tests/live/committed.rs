//! What users are told of what is final, and how they wait for it.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::node::{Answer, Node, add};
use crate::peer::{PRIMARY, Peer};

fn start() -> (Node, Peer) {
    let peer = Peer::new();
    (Node::start(&[&peer.address()]), peer)
}

fn now_micros() -> u64 {
    let now = std::time::UNIX_EPOCH.elapsed().expect("the clock is right");
    u64::try_from(now.as_micros()).expect("it is not that late")
}

/// Makes final what the node has written itself up to this transaction.
fn commit_up_to(peer: &mut Peer, id: u64, written: &Value) {
    let next = written["Id"].as_u64().expect("an Id") + 1;
    let source = written["Source"].as_str().expect("a source");
    peer.commit(id, now_micros(), &json!({source: next}));
}

fn wait_for_commit(node: &Node, id: u64) -> Value {
    node.wait_for("/peers", |answer| answer.json()["commit"]["id"] == id).json()
}

fn transaction(node: &Node, source: &str, id: u64) -> Answer {
    node.get(&format!("/transaction?source={}&id={id}", source.replace('^', "%5E")))
}

#[test]
fn what_a_commit_covers_is_final_and_the_rest_is_tentative() {
    let (node, mut peer) = start();
    assert_eq!(node.get("/peers").json()["commit"], Value::Null);
    assert!(node.get("/metrics").body.contains("patchmesh_commit_epoch 0\n"));
    peer.tell("p", 1, 100, &add("/a", 1));
    peer.tell("p", 2, 300, &json!([{"op": "remove", "path": "/a"}]));
    peer.tell("q", 1, 350, &json!([{"op": "remove", "path": "/a"}]));
    peer.tell("q", 2, 400, &add("/b", 2));
    peer.commit(7, 500, &json!({"p": 3, "q": 2}));
    let peers = wait_for_commit(&node, 7);
    let commit = &peers["commit"];
    assert_eq!((&commit["source"], &commit["epoch"]), (&json!(PRIMARY), &json!(1)));
    assert_eq!((&commit["primary"], &commit["time"]), (&json!("main~k3x9q2pd"), &json!(500)));
    assert_eq!((&peers["committed"], &peers["tentative"]), (&json!(3), &json!(1)));
    assert!(commit["age_ms"].as_u64() > Some(1_700_000_000_000));
    assert_eq!(
        (&peers["length"], &peers["begins"], &peers["position"]),
        (&json!(4), &json!(0), &json!(5))
    );
    // It counts after what is final, whatever its time.
    peer.tell("late", 1, 200, &json!([{"op": "remove", "path": "/a"}]));
    node.wait_for("/vclock", |answer| answer.json()["late"] == 2);
    let lines = node.get("/history").lines();
    let told: Vec<_> = lines
        .iter()
        .map(|line| {
            (
                line["Source"].as_str().unwrap(),
                line["Id"].as_u64().unwrap(),
                line["committed"].as_bool().unwrap(),
                line["skipped"].is_null(),
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            ("p", 1, true, true),
            ("p", 2, true, true),
            ("q", 1, true, false),
            ("late", 1, false, false),
            ("q", 2, false, true)
        ]
    );
    for (index, (source, id, is_committed, is_applied)) in told.into_iter().enumerate() {
        let told = transaction(&node, source, id).json();
        assert_eq!((&told["index"], &told["committed"]), (&json!(index), &json!(is_committed)));
        assert_eq!(told["state"], if is_applied { "applied" } else { "skipped" }, "{told}");
    }
    // Commits are in the journal, and nowhere else.
    assert_eq!(transaction(&node, PRIMARY, 7).status, 404);
    assert_eq!(node.get("/log").lines().len(), 6);
    assert_eq!(node.get("/get").header("Patchmesh-Length"), Some("5"));
    let metrics = node.get("/metrics").body;
    for line in [
        "patchmesh_commit_epoch 1\n",
        "patchmesh_transactions_committed 3\n",
        "patchmesh_transactions_tentative 2\n",
        "patchmesh_history_transactions 5\n",
        "patchmesh_journal_transactions 6\n",
    ] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
    // What is not there when a commit comes that covers it is missing for good.
    assert_eq!(node.get("/healthz").status, 200);
    peer.commit(8, 600, &json!({"r": 5}));
    let trouble = node.wait_for("/healthz", |answer| answer.status == 503).json();
    assert_eq!(trouble["troubles"][0]["kind"], "difference", "{trouble}");
    assert_eq!(node.get("/healthz/ready").status, 200);
    // Until that is mended it says of nothing that it is final.
    assert_eq!(transaction(&node, "p", 1).json()["committed"], false);
    let unknown = node.get("/get?at=committed");
    assert_eq!((unknown.status, &unknown.json()["type"]), (503, &json!("/problems/difference")));
    assert_eq!(node.ask("POST", "/replace?wait=committed", "", "[]").status, 503);
}

#[test]
fn the_final_document_is_read_beside_the_one_now() {
    let (node, mut peer) = start();
    node.post(&add("/a", 1));
    let unknown = node.get("/get?at=committed");
    assert_eq!((unknown.status, &unknown.json()["type"]), (409, &json!("/problems/no-primary")));
    let first = node.post(&add("/b", json!({"c": [1]})));
    commit_up_to(&mut peer, 1, &first);
    wait_for_commit(&node, 1);
    let second = node.post(&json!([{"op": "remove", "path": "/a"}]));
    let answer = node.get("/get?at=committed");
    assert_eq!((answer.status, answer.json()), (200, json!({"a": 1, "b": {"c": [1]}})));
    assert_eq!(answer.header("Patchmesh-Length"), Some("2"));
    assert_eq!(node.get("/get").json(), json!({"b": {"c": [1]}}));
    assert_eq!(node.get("/get/b/c/0?at=committed").json(), json!(1));
    assert_eq!(node.get("/get/d?at=committed").status, 404);
    let etag = answer.header("ETag").expect("an ETag").to_owned();
    assert_ne!(Some(&*etag), node.get("/get").header("ETag"));
    let known = format!("If-None-Match: {etag}\r\n");
    assert_eq!(node.ask("GET", "/get?at=committed", &known, "").status, 304);
    assert_eq!(node.ask("GET", "/get?at=committed&wait=50ms", &known, "").status, 304);
    let short = node.ask("GET", "/get?at=committed&wait=50ms", "Patchmesh-Length: 2\r\n", "");
    assert_eq!(short.status, 304);
    let (source, id) = (second["Source"].as_str().unwrap(), &second["Id"]);
    let its_own = format!("/get?at=committed&source={source}&id={id}&wait=");
    assert_eq!(node.get(&format!("{its_own}50ms")).status, 504);
    for query in ["after=%7B%7D", "seen=%7B%7D", "wait=soon"] {
        assert_eq!(node.get(&format!("/get?at=committed&{query}")).status, 400, "{query}");
    }
    // All of them wait for the next commit.
    let waiting = [
        node.send("GET", "/get?at=committed&wait=30s", &known, ""),
        node.send("GET", "/get?at=committed&wait=30s", "Patchmesh-Length: 2\r\n", ""),
        node.send("GET", &format!("{its_own}30s"), "", ""),
    ];
    std::thread::sleep(Duration::from_millis(100));
    let begin = Instant::now();
    commit_up_to(&mut peer, 2, &second);
    for waiting in waiting {
        let answer = Answer::read(waiting);
        assert_eq!((answer.status, answer.json()), (200, json!({"b": {"c": [1]}})));
        assert_eq!(answer.header("Patchmesh-Length"), Some("3"));
    }
    assert!(begin.elapsed() < Duration::from_secs(10));
}

#[test]
fn a_write_waits_until_it_is_final() {
    let (node, mut peer) = start();
    let add_to_list = add("/list/-", 1).to_string();
    let refused = node.ask("POST", "/replace?wait=committed", "", &add("/a", 1).to_string());
    assert_eq!((refused.status, &refused.json()["type"]), (409, &json!("/problems/no-primary")));
    assert_eq!(node.get("/get").json(), json!({}), "nothing was changed");
    for query in ["wait=30s", "wait=committed&timeout=x", "timeout=3s"] {
        assert_eq!(node.ask("POST", &format!("/replace?{query}"), "", "[]").status, 400, "{query}");
    }
    let list = node.post(&add("/list", json!([])));
    commit_up_to(&mut peer, 1, &list);
    wait_for_commit(&node, 1);
    let late = node.ask("POST", "/replace?wait=committed&timeout=100ms", "", &add_to_list);
    assert_eq!((late.status, &late.json()["type"]), (504, &json!("/problems/not-final-yet")));
    let accepted = late.json()["transaction"].clone();
    assert_eq!(accepted["Id"], 2);
    let named = "Patchmesh-Source: phone~k3x9q2pd\r\nPatchmesh-Id: 1\r\n";
    let merge = "Content-Type: application/merge-patch+json\r\n";
    let waiting = [
        node.send("POST", "/replace?wait=committed", "", &add_to_list),
        node.send("PATCH", "/get?wait=committed", merge, r#"{"merged":true}"#),
        node.send("POST", "/replace?wait=committed", named, &add_to_list),
    ];
    node.wait_for("/get", |answer| answer.header("Patchmesh-Length") == Some("5"));
    // Sent again, it waits for the same; and without waiting it is told at once.
    let again = node.send("POST", "/replace?wait=committed&timeout=60s", named, &add_to_list);
    assert_eq!(node.ask("POST", "/replace", named, &add_to_list).status, 200);
    assert_eq!(
        node.ask("POST", "/replace?wait=committed&timeout=50ms", named, &add_to_list).status,
        504
    );
    let source = accepted["Source"].as_str().unwrap();
    let stamper = format!("{source}^s");
    peer.commit(2, now_micros(), &json!({source: 5, &stamper: 2}));
    let answers: Vec<_> = waiting.into_iter().chain([again]).map(Answer::read).collect();
    for answer in &answers {
        assert_eq!(answer.status, 200, "{}", answer.body);
    }
    assert_eq!(answers[2].json(), answers[3].json());
    let stamped = |id| format!("/get?at=committed&source={source}%5Es&id={id}&wait=0s");
    assert_eq!((node.get(&stamped(1)).status, node.get(&stamped(2)).status), (200, 504));
    assert_eq!(node.get("/get").json(), json!({"list": [1, 1, 1], "merged": true}));
    for (source, id) in [(source, 2), (source, 4), ("phone~k3x9q2pd", 1)] {
        let told = transaction(&node, source, id).json();
        assert_eq!((&told["state"], &told["committed"]), (&json!("applied"), &json!(true)));
    }
}

#[test]
fn a_write_that_lost_is_told_so_for_good() {
    let (node, mut peer) = start();
    let first = node.post(&add("/n", 1));
    commit_up_to(&mut peer, 1, &first);
    wait_for_commit(&node, 1);
    let time = first["Time"].as_u64().unwrap();
    let patch = json!([{"op": "test", "path": "/n", "value": 1}, {"op": "replace", "path": "/n", "value": 2}]);
    let waiting = node.send("POST", "/replace?wait=committed", "", &patch.to_string());
    node.wait_for("/get/n", |answer| answer.json() == 2);
    // Another node was earlier.
    peer.tell("other~k3x9q2pd", 1, time + 1, &patch);
    node.wait_for("/conflicts", |answer| answer.json()["count"] == 1);
    let source = first["Source"].as_str().unwrap();
    peer.commit(2, now_micros(), &json!({source: 3, "other~k3x9q2pd": 2}));
    let lost = Answer::read(waiting);
    assert_eq!(
        (lost.status, &lost.json()["type"]),
        (409, &json!("/problems/skipped")),
        "{}",
        lost.body
    );
    assert_eq!(
        (&lost.json()["operation"], &lost.json()["transaction"]["Id"]),
        (&json!(0), &json!(2))
    );
    assert!(lost.json()["detail"].as_str().unwrap().contains("for good"));
    assert_eq!(node.get("/get?at=committed").json(), json!({"n": 2}));
}

#[test]
fn of_two_of_one_name_the_first_is_told_to_who_waits() {
    let (node, mut peer) = start();
    let first = node.post(&add("/n", 1));
    commit_up_to(&mut peer, 1, &first);
    wait_for_commit(&node, 1);
    let (source, time) = (first["Source"].as_str().unwrap(), first["Time"].as_u64().unwrap());
    let patch = json!([{"op": "test", "path": "/n", "value": 1}]).to_string();
    let named = "Patchmesh-Source: phone~k3x9q2pd\r\nPatchmesh-Id: 1\r\n";
    let waiting = node.send("POST", "/replace?wait=committed", named, &patch);
    node.wait_for("/get", |answer| answer.header("Patchmesh-Length") == Some("2"));
    // Another node has taken it before, and there it does not apply.
    let mut earlier = node.get("/log").lines().pop().unwrap();
    assert_eq!(earlier["Source"], "phone~k3x9q2pd");
    peer.tell("other~k3x9q2pd", 1, time + 1, &add("/n", 2));
    (earlier["Time"], earlier["By"]) = (json!(time + 2), json!(["other~k3x9q2pd^s", 1]));
    peer.send(&earlier);
    node.wait_for("/conflicts", |answer| answer.json()["repeated"] == 1);
    let clock = json!({format!("{source}^s"): 2, "other~k3x9q2pd": 2, "other~k3x9q2pd^s": 2});
    peer.commit(2, now_micros(), &clock);
    let answer = Answer::read(waiting);
    assert_eq!((answer.status, &answer.json()["type"]), (409, &json!("/problems/skipped")));
    assert_eq!(answer.json()["transaction"]["By"], earlier["By"]);
}

#[test]
fn what_is_older_than_a_horizon_is_void() {
    let (node, mut peer) = start();
    let hours = |count: u64| 1_000_000_000_000_000 + count * 3_600_000_000;
    peer.tell("p", 1, hours(1), &add("/a", 1));
    peer.commit_within(1, hours(20), &json!({"p": 2}), 3600);
    wait_for_commit(&node, 1);
    // It was here before, and nothing covered it in time.
    peer.tell("q", 1, hours(19) + 1, &add("/b", 1));
    peer.commit_within(2, hours(30), &json!({}), 3600);
    wait_for_commit(&node, 2);
    let told = transaction(&node, "q", 1).json();
    assert_eq!((&told["state"], &told["committed"]), (&json!("void"), &json!(true)), "{told}");
    assert!(told["reason"].is_string());
    let conflicts = node.get("/conflicts").json();
    assert_eq!((&conflicts["count"], &conflicts["void"]), (&json!(1), &json!(1)));
    assert_eq!(conflicts["skipped"][0]["kind"], "void");
    // It is no part of the history: a node that hears of it now never has it.
    assert_eq!((told.get("index"), node.get("/history").lines().len()), (None, 1));
    assert_eq!(node.get("/get").json(), json!({"a": 1}));
    // And what comes then is not taken in at all.
    peer.tell("r", 1, hours(20), &add("/c", 1));
    peer.tell("r", 2, hours(31), &add("/d", 1));
    node.wait_for("/get", |answer| answer.json() == json!({"a": 1, "d": 1}));
    assert_eq!(transaction(&node, "r", 1).status, 404);
    let metrics = node.get("/metrics").body;
    assert!(metrics.contains("patchmesh_transactions_too_late_total 1\n"), "{metrics}");
    assert!(metrics.contains("patchmesh_transactions_void 1\n"), "{metrics}");
}

#[test]
fn places_far_back_are_counted_in_the_order_of_the_commits() {
    const EACH: u64 = 13_000;
    let (node, mut peer) = start();
    // Two that write at the same time, of whom one is covered later.
    for id in 1..=EACH {
        peer.tell("p", id, 10 * id, &add(&format!("/p{}", id % 10), id));
        peer.tell("q", id, 10 * id + 5, &add(&format!("/q{}", id % 10), id));
        if id % 1000 == 0 {
            let covered = if id == EACH { id } else { id / 2 };
            peer.commit(id / 1000, 10 * id + 6, &json!({"p": id + 1, "q": covered + 1}));
        }
    }
    for id in EACH + 1..=EACH + 20_000 {
        peer.tell("p", id, 10 * id, &add("/last", id));
    }
    node.wait_for("/vclock", |answer| answer.json()["p"] == EACH + 20_001);
    let mut order = Vec::new();
    let (mut p, mut q) = (1, 1);
    for commit in 1..=EACH / 1000 {
        let covered = if commit * 1000 == EACH { EACH } else { commit * 500 };
        let mut segment: Vec<_> = (p..=commit * 1000).map(|id| (10 * id, "p", id)).collect();
        segment.extend((q..=covered).map(|id| (10 * id + 5, "q", id)));
        segment.sort_unstable();
        order.extend(segment);
        (p, q) = (commit * 1000 + 1, covered + 1);
    }
    assert_eq!(order.len() as u64, 2 * EACH);
    for index in [0, 1, 700, 999, 1_499, 1_500, 2_999, 3_000, 5_000, 6_000, 12_000, 12_500] {
        let (_, source, id) = order[index];
        let told = transaction(&node, source, id).json();
        assert_eq!(
            (&told["index"], &told["committed"]),
            (&json!(index), &json!(true)),
            "{source} {id}"
        );
        let line = &node.get(&format!("/history?from={index}&limit=1")).lines()[0];
        assert_eq!((&line["Source"], &line["Id"]), (&json!(source), &json!(id)));
    }
    let told = transaction(&node, "p", EACH + 500).json();
    assert_eq!((&told["index"], &told["committed"]), (&json!(2 * EACH + 499), &json!(false)));
}
