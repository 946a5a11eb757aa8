//! get, set, merge, patch and remove: what they do, what they print, and their exit statuses.

use crate::harness::{Port, node};
use crate::shell::{Said, done, fails, say, url, wait_for_document, with_input};

#[test]
fn a_value_is_set_and_got_and_removed() {
    let node = node().start();
    let url = &*url(node.address);
    assert_eq!(done(["get", url]), "{}\n");
    let name = done(["set", url, "/a", r#"{"list":[1,2,3],"text":"x y","n":1.50}"#]);
    let (source, id) = name.trim_end().split_once('/').unwrap();
    assert!(source.starts_with("shell~") && id == "1", "{name}");
    // What is there is replaced, in an array too.
    done(["set", url, "/a/list/1", "\"two\""]);
    done(["set", url, "/a/list/3", "4"]);
    done(["set", url, "/a/list/-", "null"]);
    done(["set", url, "/a/text", "\"é\""]);
    done(["set", url, "/a/7", "true"]);
    done(["set", url, "/a/7", "false"]);
    let expected = r#"{"7":false,"list":[1,"two",3,4,null],"n":1.5,"text":"é"}"#;
    assert_eq!(done(["get", url, "/a"]), format!("{expected}\n"));
    assert_eq!(done(["get", url, "/a/text", "--raw"]), "é\n");
    assert_eq!(done(["get", url, "/a/list/1", "--pretty"]), "\"two\"\n");
    done(["remove", url, "/a/list/0"]);
    done(["merge", url, "/a", r#"{"7":null,"list":null,"new":{}}"#]);
    done(["patch", url, "/a", r#"[{"op":"move","from":"/n","path":"/new/m"}]"#]);
    assert_eq!(
        done(["get", url, "--pretty"]),
        "{\n  \"a\": {\n    \"new\": {\n      \"m\": 1.5\n    },\n    \"text\": \"é\"\n  }\n}\n"
    );
    done(["merge", url, "", r#"{"a":null,"b/c":1}"#]);
    done(["set", url, "/b~1c", "2"]);
    assert_eq!(node.document(), r#"{"b/c":2}"#);
    done(["set", url, "", "[]"]);
    assert_eq!(node.document(), "[]");
}

#[test]
fn a_script_can_tell_why_it_was_not_done() {
    let node = node().start();
    let url = &*url(node.address);
    done(["set", url, "/n", "1"]);
    for (arguments, status, part) in [
        (["set", url, "/x/y", "1"], 3, r#"operation 0 at "/x/y": there is no member "x""#),
        (["set", url, "/n/0", "1"], 3, "a number"),
        (["patch", url, "", r#"[{"op":"test","path":"/n","value":2}]"#], 3, "it is 1"),
        (["merge", url, "/x/y", "{}"], 3, "there is no member"),
        (["patch", url, "/n", "{}"], 2, "not a JSON Patch"),
        (["set", url, "/n", "{\"a\":1,\"a\":2}"], 2, "\"a\" twice"),
        (["set", url, "/n", "1e400"], 2, "out of range"),
        (["set", url, "n", "1"], 2, "\"n\""),
        (["set", url, "/n", "text"], 2, "not JSON"),
        (["set", url, "/n", "@/nowhere/at/all"], 1, "/nowhere/at/all"),
    ] {
        fails(arguments, status, part);
    }
    fails(["get", url, "/x"], 4, "there is nothing at \"/x\"");
    fails(["remove", url, "/x"], 4, "there is no member");
    fails(["remove", url, ""], 3, "cannot be removed");
    fails(["get", url, "--committed"], 1, "no primary");
    fails(["set", url, "/n", "2", "--committed"], 1, "no primary");
    let long = format!("\"{}\"", "x".repeat(100_000));
    assert_eq!(with_input(&["set", url, "/long", "-"], &long).status, 0);
    let long = format!("\"{}\"", "x".repeat(1 << 20));
    let Said { status, err, .. } = with_input(&["set", url, "/long", "-"], &long);
    assert_eq!(status, 1);
    assert!(err.contains("patchmesh import"), "{err}");
    assert_eq!(node.document().len(), 100_000 + r#"{"long":"","n":1}"#.len());
}

#[test]
fn another_node_is_asked_if_one_is_not_there() {
    let nobody = Port::reserve();
    let node = node().start();
    let both = format!("{},{}", url(&nobody), url(node.address));
    done(["set", &both, "/a", "1"]);
    assert_eq!(done(["get", &both, "/a"]), "1\n");
    fails(["get", &url(&nobody)], 5, "connection refused");
    fails(["set", &url(&nobody), "/a", "1"], 5, "connection refused");
    fails(["watch", &url(&nobody)], 5, "connection refused");
}

#[test]
fn a_node_with_a_token_wants_it() {
    let node = node().token("secret").start();
    let url = &*url(node.address);
    fails(["get", url], 1, "another token");
    assert_eq!(done(["get", url, "--token", "secret"]), "{}\n");
    done(["set", url, "/a", "1", "--token", "secret"]);
    wait_for_document(&node, r#"{"a":1}"#);
    let Said { status, out, .. } = say(["status", url]);
    assert_eq!(status, 1);
    assert!(out.contains("another token"), "{out}");
}
