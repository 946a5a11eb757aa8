//! Two nodes that have each other as peers.

use std::collections::BTreeMap;

use crate::harness::{Node, Stream, pair, wait_until_equal};

/// Patches that build on each other.
const PATCHES: [&str; 3] = [
    r#"[{"op":"add","path":"/list","value":[]}]"#,
    r#"[{"op":"add","path":"/list/-","value":"A"}]"#,
    r#"[{"op":"replace","path":"/list/0","value":"B"}]"#,
];

/// Both show the outcome of these patches after transactions of these nodes.
fn check_outcome(nodes: [&Node; 2], writes: [u64; 2]) {
    wait_until_equal(&nodes);
    let clock: BTreeMap<String, u64> = nodes
        .iter()
        .zip(writes)
        .filter(|(_, writes)| *writes > 0)
        .map(|(node, writes)| (node.source.clone(), writes + 1))
        .collect();
    for node in nodes {
        assert_eq!(node.document(), r#"{"list":["B"]}"#);
        assert_eq!(node.get("/get/list/0").text(), r#""B""#);
        assert_eq!(node.vclock(), clock);
        let page = node.get("/test");
        assert_eq!(page.status, 200);
        assert_eq!(page.header("Content-Type"), Some("text/html; charset=utf-8"));
        assert!(page.text().to_lowercase().starts_with("<!doctype html>"));
    }
}

#[test]
fn what_is_posted_on_the_first_is_on_both() {
    let (first, second) = pair();
    for patch in PATCHES {
        first.post_patch(patch);
    }
    check_outcome([&first, &second], [3, 0]);
}

#[test]
fn what_is_posted_on_the_second_is_on_both() {
    let (first, second) = pair();
    for patch in PATCHES {
        second.post_patch(patch);
    }
    check_outcome([&first, &second], [0, 3]);
}

#[test]
fn each_builds_on_what_the_other_wrote() {
    let (first, second) = pair();
    // A stream tells when the other one's transaction is there.
    let (mut at_first, mut at_second) = (first.stream(), second.stream());
    let posted = first.post_patch(PATCHES[0]);
    assert_eq!(at_second.next(), posted);
    at_first.next();
    let posted = second.post_patch(PATCHES[1]);
    assert_eq!(at_first.next(), posted);
    first.post_patch(PATCHES[2]);
    check_outcome([&first, &second], [2, 1]);
}

#[test]
fn replace_and_post_do_the_same() {
    let (first, second) = pair();
    for (path, patch) in ["/replace", "/post", "/replace"].into_iter().zip(PATCHES) {
        let answer = first.request("POST", path, patch);
        assert_eq!(answer.status, 200);
        let transaction = answer.json();
        assert_eq!(transaction["Source"], first.source.as_str());
        assert_eq!(transaction["Payload"], patch);
    }
    check_outcome([&first, &second], [3, 0]);
}

#[test]
fn ids_count_from_1_and_times_grow() {
    let (first, _second) = pair();
    let posted: Vec<_> = PATCHES.iter().map(|patch| first.post_patch(patch)).collect();
    let ids: Vec<_> = posted.iter().map(|transaction| transaction["Id"].as_u64()).collect();
    assert_eq!(ids, [Some(1), Some(2), Some(3)]);
    let times: Vec<_> =
        posted.iter().map(|transaction| transaction["Time"].as_u64().unwrap()).collect();
    assert!(times.is_sorted_by(|earlier, later| earlier < later), "{times:?}");
}

#[test]
fn a_refused_patch_leaves_no_trace_on_either() {
    let (first, second) = pair();
    for patch in PATCHES {
        first.post_patch(patch);
    }
    wait_until_equal(&[&first, &second]);
    let (clock, journal) = (first.vclock(), first.journal());
    for (patch, status) in [
        (r#"[{"op":"replace","path":"/list/7","value":"C"}]"#, 409),
        (r#"[{"op":"add","path":"/a","value":1},{"op":"remove","path":"/b"}]"#, 409),
        (r#"[{"op":"test","path":"/list/0","value":"A"}]"#, 409),
        (r#"[{"op":"move","from":"/list","path":"/list/0"}]"#, 409),
        (r#"{"op":"add","path":"/a","value":1}"#, 400),
        (r#"[{"op":"add","path":"/a"}]"#, 400),
        ("no JSON", 400),
        ("", 400),
    ] {
        assert_eq!(first.request("POST", "/replace", patch).status, status, "{patch}");
    }
    assert_eq!((first.vclock(), first.journal()), (clock, journal));
    // What comes after it comes alone: nothing was sent in between.
    let mut at_second = Stream::open(&second, "/ws");
    for patch in PATCHES {
        assert_eq!(at_second.next()["Payload"], patch);
    }
    let posted = first.post_patch(r#"[{"op":"test","path":"/list/0","value":"B"}]"#);
    assert_eq!(at_second.next(), posted);
    assert!(posted["Id"].as_u64() > Some(3), "{posted}");
    wait_until_equal(&[&first, &second]);
    assert_eq!(second.document(), r#"{"list":["B"]}"#);
}

#[test]
fn writes_on_both_at_the_same_time_all_arrive() {
    let (first, second) = pair();
    let patches = |name: &'static str| {
        (0..500).map(move |n| format!(r#"[{{"op":"add","path":"/{name}{n}","value":{n}}}]"#))
    };
    std::thread::scope(|scope| {
        scope.spawn(|| first.post_patches(patches("a")));
        scope.spawn(|| second.post_patches(patches("b")));
    });
    wait_until_equal(&[&first, &second]);
    assert_eq!(first.get("/get").json().as_object().unwrap().len(), 1000);
    assert_eq!(first.length(), 1000);
    assert_eq!(second.length(), 1000);
}
