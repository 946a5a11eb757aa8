//! Primaries: which node makes the history final, and which do not.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tungstenite::Message;

use crate::harness::{Node, Port, Setup, binary, node, run, wait_for};

/// A data directory, removed on drop.
pub struct Data(PathBuf);

impl Data {
    pub fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("primaries-{}-{count}", std::process::id());
        Self(Path::new(env!("CARGO_TARGET_TMPDIR")).join(name))
    }

    /// A node that keeps its journal here.
    pub fn node(&self, name: &str, at: &Port, peers: &[&Port]) -> Setup {
        let setup = node().at(at).source(name).argument("--data").argument(self.0.display());
        peers.iter().fold(setup, |setup, peer| setup.peer(peer))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    fn lose(&self) {
        std::fs::remove_dir_all(&self.0).unwrap();
    }
}

impl Drop for Data {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

/// The commits in a node's journal.
#[track_caller]
fn commits(node: &Node) -> Vec<Value> {
    let lines = node.journal();
    let lines = lines.iter().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter(|transaction| !transaction["Commit"].is_null()).collect()
}

/// Waits until a node has a commit that covers a transaction, and returns it.
#[track_caller]
fn wait_for_commit(node: &Node, transaction: &Value) -> Value {
    let (source, id) = (transaction["Source"].as_str().unwrap(), transaction["Id"].as_u64());
    wait_for(format!("{} to have {source} {id:?} committed", node.address), || {
        let covers = |commit: &Value| commit["Commit"]["Clock"][source].as_u64() > id;
        commits(node).into_iter().find(covers)
    })
}

#[track_caller]
fn write(node: &Node, name: &str) -> Value {
    node.post_patch(&format!(r#"[{{"op":"add","path":"/{name}","value":1}}]"#))
}

#[track_caller]
fn wait_until_read(node: &Node) {
    wait_for("all peers to be read to their end", || {
        let peers = node.peers();
        let upstreams = peers["upstreams"].as_array().unwrap();
        upstreams.iter().all(|upstream| upstream["read_to_end"] == true).then_some(())
    });
}

/// The exit status and what is printed.
fn promote(node: &Node) -> (Option<i32>, String, String) {
    let output = run(binary().arg("promote").arg(format!("http://{}", node.address)));
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// How often its main thread has waited for something.
pub fn waits(node: &Node) -> u64 {
    let id = node.id();
    let status = std::fs::read_to_string(format!("/proc/{id}/task/{id}/status")).unwrap();
    let count = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
    count.unwrap().trim().parse().unwrap()
}

#[test]
fn a_write_is_final_everywhere_within_three_seconds_and_an_idle_mesh_is_silent() {
    let ports = [Port::reserve(), Port::reserve(), Port::reserve()];
    let data = [Data::new(), Data::new(), Data::new()];
    let [a, b, c] = &ports;
    let primary = data[0].node("a", a, &[b, c]).argument("--primary").start();
    let second = data[1].node("b", b, &[a, c]).start();
    let third = data[2].node("c", c, &[a, b]).start();
    let first = wait_for_commit(&primary, &write(&second, "first"));
    assert_eq!(first["Source"], format!("{}^1", primary.source));
    assert_eq!((&first["Id"], &first["Payload"]), (&json!(1), &json!("[]")));
    let Value::Object(members) = &first["Commit"] else { panic!("{first}") };
    assert_eq!((&members["Epoch"], &members["After"]), (&json!(1), &Value::Null));
    assert_eq!(members["Horizon"], 30 * 24 * 3600);
    assert_eq!(members["Hash"].as_str().unwrap().len(), 32);
    primary.wait_for_log("this node is the primary: it begins epoch 1");
    // At most one every two seconds.
    std::thread::sleep(Duration::from_secs(2));
    let begin = Instant::now();
    let transaction = write(&third, "second");
    for node in [&primary, &second, &third] {
        let commit = wait_for_commit(node, &transaction);
        assert!(begin.elapsed() < Duration::from_secs(3), "{:?}", begin.elapsed());
        assert_eq!((&commit["Source"], &commit["Id"]), (&first["Source"], &json!(2)));
    }
    for node in [&primary, &second, &third] {
        let peers = node.peers();
        let (source, epoch) = (&first["Source"], json!(1));
        let said = |member: &str| peers["commit"][member].clone();
        assert_eq!((&said("source"), said("id"), said("epoch")), (source, json!(2), epoch));
        assert_eq!(said("primary"), primary.source);
        assert!(said("age_ms").as_u64().unwrap() < 10_000, "{peers}");
        assert_eq!(peers["tentative"], 0);
        let is_primary = format!("patchmesh_primary {}", u8::from(node.source == primary.source));
        for line in ["patchmesh_commit_epoch 1", "patchmesh_transactions_tentative 0", &is_primary]
        {
            let text = node.get("/metrics").text().to_owned();
            assert!(text.lines().any(|is| is == line), "{line}: {text}");
        }
    }
    // What is left to be done is to find that nothing is new.
    std::thread::sleep(Duration::from_millis(2500));
    let mut stream = primary.stream();
    let lines = primary.journal();
    lines.iter().for_each(|line| assert_eq!(stream.next_line(), *line));
    let waits_before = waits(&primary);
    let idle = Duration::from_secs(5);
    stream.socket.get_ref().set_read_timeout(Some(idle)).unwrap();
    loop {
        match stream.socket.read() {
            Ok(Message::Ping(_)) => (),
            Ok(other) => panic!("an idle mesh is silent: {other:?}"),
            Err(_) => break,
        }
    }
    let waited = waits(&primary) - waits_before;
    // Pings, and that each of the three tells how it is.
    assert!(waited < 30, "{waited} in {idle:?}");
    assert_eq!(primary.journal(), lines);
}

#[test]
fn a_second_primary_says_so_and_makes_nothing_final() {
    let (a, b) = (Port::reserve(), Port::reserve());
    let data = [Data::new(), Data::new()];
    let first = data[0].node("first", &a, &[]).argument("--primary").start();
    let transaction = write(&first, "a");
    wait_for_commit(&first, &transaction);
    let second = data[1].node("second", &b, &[&a]).argument("--primary").start();
    let line = second.wait_for_log("there are two primaries");
    let names =
        [format!("this node, {},", second.source), format!("commits of {}^1", first.source)];
    for text in names.iter().map(String::as_str).chain(["ERROR", "patchmesh promote"]) {
        assert!(line.contains(text), "{line} does not say {text}");
    }
    wait_for("the second one's health to say so", || {
        let health = second.get("/healthz");
        (health.status == 503 && health.json()["type"] == "/problems/two-primaries").then_some(())
    });
    assert_eq!(second.get("/healthz/ready").status, 200);
    assert_eq!(first.get("/healthz").status, 200);
    let transaction = write(&second, "b");
    std::thread::sleep(Duration::from_secs(5));
    assert_eq!(commits(&second), commits(&first));
    assert_eq!(second.log_lines("two primaries").len(), 1);
    assert_eq!(
        second
            .get(&format!("/transaction?source={}&id={}", second.source, transaction["Id"]))
            .status,
        200
    );
}

#[test]
fn of_two_primaries_that_begin_at_once_one_goes_on() {
    let ports = [Port::reserve(), Port::reserve()];
    let data = [Data::new(), Data::new()];
    let start = |of: usize, name| {
        data[of].node(name, &ports[of], &[&ports[1 - of]]).argument("--primary").start()
    };
    let nodes = [start(0, "a"), start(1, "b")];
    write(&nodes[0], "a");
    write(&nodes[1], "b");
    let losers = wait_for("one of them to say that there are two", || {
        let says_so = |node: &&Node| !node.log_lines("there are two primaries").is_empty();
        let losers: Vec<_> = nodes.iter().filter(says_so).collect();
        (!losers.is_empty()).then_some(losers)
    });
    let [loser] = losers[..] else { panic!("both gave up") };
    let winner = nodes.iter().find(|node| node.source != loser.source).unwrap();
    for node in &nodes {
        let commit = wait_for_commit(winner, &write(node, "c"));
        assert_eq!(commit["Source"], format!("{}^1", winner.source));
    }
    assert_eq!(winner.log_lines("there are two primaries"), Vec::<String>::new());
    wait_for("both to say the same", || {
        let [a, b] = nodes.each_ref().map(|node| node.peers());
        (a["commit"]["id"] == b["commit"]["id"] && a["hash"] == b["hash"]).then_some(())
    });
}

#[test]
fn another_node_takes_the_place_of_a_primary_that_is_gone() {
    let ports = [Port::reserve(), Port::reserve(), Port::reserve()];
    let data = [Data::new(), Data::new(), Data::new()];
    let [a, b, c] = &ports;
    let old = || data[0].node("old", a, &[b, c]).argument("--primary");
    let first = old().start();
    let new = data[1].node("new", b, &[a, c]).start();
    let third = data[2].node("third", c, &[a, b]).start();
    let transaction = write(&third, "before");
    let last = wait_for_commit(&new, &transaction);
    wait_for_commit(&third, &transaction);
    wait_until_read(&new);
    first.kill();
    let printed = promote(&new);
    assert_eq!(
        printed,
        (Some(0), format!("{} is the primary from epoch 2 on\n", new.address), String::new())
    );
    let begun = wait_for("the second epoch", || {
        commits(&third).into_iter().find(|commit| commit["Commit"]["Epoch"] == 2)
    });
    assert_eq!(begun["Source"], format!("{}^2", new.source));
    assert_eq!(begun["Commit"]["After"], json!({"Source": last["Source"], "Id": last["Id"]}));
    wait_for_commit(&third, &write(&third, "after"));
    let (status, printed, error) = promote(&new);
    assert_eq!((status, printed.as_str()), (Some(1), ""));
    assert!(error.contains("409, this node is the primary"), "{error}");
    // A node that was away for that finds out.
    let first = old().start();
    first.wait_for_log("there are two primaries");
    let transaction = write(&first, "late");
    let commit = wait_for_commit(&first, &transaction);
    assert_eq!(commit["Source"], begun["Source"]);
}

#[test]
fn a_primary_that_is_restarted_goes_on() {
    let (a, b) = (Port::reserve(), Port::reserve());
    let data = [Data::new(), Data::new()];
    let setup =
        || data[0].node("a", &a, &[&b]).argument("--primary").argument("--horizon").argument("1h");
    let other = data[1].node("b", &b, &[&a]).start();
    let primary = setup().start();
    let first = wait_for_commit(&other, &write(&other, "first"));
    assert_eq!(first["Commit"]["Horizon"], 3600);
    let while_it_is_away = {
        primary.kill();
        write(&other, "second")
    };
    let primary = setup().start();
    let second = wait_for_commit(&primary, &while_it_is_away);
    assert_eq!((&second["Source"], &second["Id"]), (&first["Source"], &json!(2)));
    assert_eq!(second["Commit"]["After"], Value::Null);
    assert_eq!(primary.log_lines("begins epoch"), Vec::<String>::new());
}

#[test]
fn a_primary_that_lost_its_journal_hears_all_before_it_begins_an_epoch() {
    let ports = [Port::reserve(), Port::reserve(), Port::reserve()];
    let data = [Data::new(), Data::new(), Data::new()];
    let [a, b, c] = &ports;
    let setup = || data[0].node("a", a, &[b, c]).argument("--primary");
    let second = data[1].node("b", b, &[a, c]).start();
    let third = || data[2].node("c", c, &[a, b]).start();
    let away = third();
    let primary = setup().start();
    let last = wait_for_commit(&away, &write(&second, "first"));
    wait_for_commit(&second, &write(&second, "second"));
    primary.kill();
    away.kill();
    data[0].lose();
    let primary = setup().start();
    let line = primary.wait_for_log("makes nothing final before it has read all its peers");
    assert!(line.contains(&format!("not read yet: {c}")), "{line}");
    assert!(commits(&second).iter().all(|commit| commit["Source"] == last["Source"]));
    let _back = third();
    let begun = wait_for("the second epoch", || {
        commits(&second).into_iter().find(|commit| commit["Commit"]["Epoch"] == 2)
    });
    assert_eq!(begun["Source"], format!("{}^2", primary.source));
    assert_eq!(begun["Commit"]["After"]["Source"], last["Source"]);
}

#[test]
fn who_cannot_be_the_primary_says_why() {
    let forgetful = node().start();
    let answer = forgetful.request("POST", "/primary", "");
    assert_eq!((answer.status, &answer.json()["type"]), (409, &json!("/problems/no-data")));
    let nobody = Port::reserve();
    let (port, data) = (Port::reserve(), Data::new());
    let lonely = data.node("lonely", &port, &[&nobody]).start();
    let answer = lonely.request("POST", "/primary", "");
    assert_eq!((answer.status, answer.header("Retry-After")), (503, Some("1")));
    assert!(answer.text().contains(&nobody.to_string()), "{}", answer.text());
    let (status, _, error) = promote(&lonely);
    assert_eq!(status, Some(1));
    assert!(error.contains("503") && error.contains("not read yet"), "{error}");
    drop(lonely);
    let alone = data.node("alone", &port, &[]).start();
    assert_eq!(alone.request("GET", "/primary", "").header("Allow"), Some("POST, OPTIONS"));
    let answer = alone.request("POST", "/primary", "");
    assert_eq!((answer.status, answer.json()), (202, json!({"epoch": 1})));
    wait_for_commit(&alone, &write(&alone, "first"));
    let answer = alone.request("POST", "/primary", "");
    assert_eq!((answer.status, &answer.json()["type"]), (409, &json!("/problems/is-primary")));
}

#[test]
fn the_first_write_of_a_mesh_can_wait_until_it_is_final() {
    let ports = [Port::reserve(), Port::reserve()];
    let data = [Data::new(), Data::new()];
    let primary = data[0].node("a", &ports[0], &[&ports[1]]).argument("--primary").start();
    let other = data[1].node("b", &ports[1], &[&ports[0]]).start();
    wait_until_read(&primary);
    for (node, title) in [(&primary, "Nothing is final yet"), (&other, "No primary is known")] {
        let refused = node.get("/get?at=committed");
        let problem = refused.json();
        assert_eq!((refused.status, &problem["title"]), (409, &json!(title)));
        assert_eq!(problem["type"], "/problems/no-primary");
    }
    let patch = br#"[{"op":"add","path":"/n","value":1}]"#;
    let refused = other.request("POST", "/replace?wait=committed", patch);
    assert_eq!(refused.status, 409, "{}", refused.text());
    assert_eq!(primary.request("POST", "/replace?wait=committed", patch).status, 200);
    assert_eq!(primary.get("/get?at=committed").text(), r#"{"n":1}"#);
}
