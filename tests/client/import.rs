//! `import` and `export`: documents of any size.

use std::fs;
use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
use std::process::Command;

use patchmesh::internals::document::Value;
use serde_json::json;

use crate::harness::{Port, Relay, Scratch, node, wait_for};
use crate::shell::{Running, Said, done, fails, say, url, with_input};

/// A document of some megabytes, with something of everything.
fn document() -> String {
    let row = |n: u64| {
        json!({
            "id": u64::MAX - n,
            "half": n as f64 / 3.0,
            "name/~": format!("\"name\"\n{n} é 🦀"),
            "nothing": [null, {}, [], "", -0.0, 1e300, true],
        })
    };
    let rows: Vec<_> = (0..12_000).map(row).collect();
    let by_name = |n| (format!("key {}", n * 7919 % 1000), json!([n]));
    let members: serde_json::Map<_, _> = (0..1000).map(by_name).collect();
    let long = "long ".repeat(60_000);
    serde_json::to_string_pretty(&json!({"rows": rows, "": members, "long": long})).unwrap()
}

#[test]
fn a_large_document_comes_in_whole_and_once_and_goes_out_as_it_is() {
    let scratch = Scratch::new();
    let (file, copy) = (scratch.path("in.json"), scratch.path("out.json"));
    let text = document();
    fs::write(&file, &text).unwrap();
    let node = node().start();
    done(["set", &url(node.address), "/x", r#"{"list":[0,1,2]}"#]);
    // The answers to some of its transactions are lost.
    let relay = Relay::with_limits(node.address, vec![500, 1, 900]);
    let urls = format!("{},{}", url(relay.address), url(relay.address));
    let name = done(["import", &urls, "/x/list/1", file.to_str().unwrap()]);
    let count = text.len() as u64 / (256 << 10);
    let last: u64 = name.trim_end().rsplit_once('/').unwrap().1.parse().unwrap();
    assert!((count / 2..count * 2).contains(&last), "{last} transactions, {} bytes", text.len());
    assert_eq!(node.length(), 1 + last);
    assert!(relay.connections() > 3);
    done(["export", &url(node.address), "/x/list/1", copy.to_str().unwrap()]);
    let value: Value = serde_json::from_str(&text).unwrap();
    let mut expected = value.to_text();
    expected.push(b'\n');
    assert!(fs::read(&copy).unwrap() == expected, "it is another document");
    assert_eq!(done(["get", &url(node.address), "/x/list/0"]), "0\n");
    assert_eq!(done(["get", &url(node.address), "/x/list/2"]), "1\n");
}

#[test]
fn a_piece_is_sent_to_who_has_those_before() {
    let scratch = Scratch::new();
    let file = scratch.path("in.json");
    fs::write(&file, document()).unwrap();
    let data = scratch.path("data");
    let port = Port::reserve();
    let begin = || node().at(&port).argument("--data").argument(data.display()).start();
    let (first, second) = (begin(), node().start());
    let urls = format!("{},{}", url(&port), url(second.address));
    let importing = Running::start(&["import", &urls, "/x", file.to_str().unwrap()]);
    wait_for("the first piece", || (first.length() > 0).then_some(()));
    first.kill();
    // The second one has nothing of it until it hears of the first.
    let first = begin();
    done(["peers", "add", &url(second.address), &first.address.to_string()]);
    importing.lines.next();
    assert!(importing.exit().success());
    let expected: Value = serde_json::from_str(&document()).unwrap();
    let expected = [expected.to_text(), b"\n".to_vec()].concat();
    let copy = scratch.path("out.json");
    wait_for("all of it", || {
        done(["export", &url(second.address), "/x", copy.to_str().unwrap()]);
        (fs::read(&copy).unwrap() == expected).then_some(())
    });
}

#[test]
fn what_cannot_be_imported_is_told_before_anything_is_sent() {
    let node = node().start();
    let url = url(node.address);
    let deep = format!("{}{}", "[".repeat(120), "]".repeat(120));
    let long = format!("[1,\"{}\"]", "x".repeat(2 << 20));
    for (pointer, text, part) in [
        ("", "{\"a\":1,\"b\":{\"c\":1,\"c\":2}}", "\"c\" twice at line 1"),
        ("", "{\"a\":1", "EOF"),
        ("", "", "EOF"),
        ("/a/b/c/d/e/f/g/h", &deep, "128 arrays and objects deep"),
        ("/a", &long, "the value at \"/a/1\" has 2097"),
    ] {
        let Said { status, out, err } = with_input(&["import", &url, pointer, "-"], text);
        assert_eq!((status, out.as_str()), (1, ""), "{err}");
        assert!(err.contains(part) && err.contains("nothing was sent"), "{err}");
    }
    // Another one that does not apply.
    let Said { status, err, .. } = with_input(&["import", &url, "/a/b", "-"], "[]");
    assert_eq!(status, 3, "{err}");
    assert_eq!(node.length(), 0);
}

#[test]
fn a_file_is_there_when_it_is_whole() {
    let scratch = Scratch::new();
    let file = scratch.path("file.json");
    let node = node().start();
    let url = url(node.address);
    done(["set", &url, "/a", "{\"b\":[1]}"]);
    fs::write(&file, "before").unwrap();
    let path = file.to_str().unwrap();
    assert_eq!(say(["export", &url, "/nothing", path]).status, 4);
    assert_eq!(fs::read_to_string(&file).unwrap(), "before");
    assert_eq!(fs::read_dir(file.parent().unwrap()).unwrap().count(), 1);
    done(["export", &url, "/a", path, "--pretty"]);
    assert_eq!(fs::read_to_string(&file).unwrap(), "{\n  \"b\": [\n    1\n  ]\n}\n");
    assert_eq!(done(["export", &url]), "{\"a\":{\"b\":[1]}}\n");
    assert_eq!(done(["import", &url, "", path]).matches('/').count(), 1);
    assert_eq!(node.document(), "{\"b\":[1]}");
}

#[test]
fn what_is_no_regular_file_is_written_into() {
    let scratch = Scratch::new();
    let (file, link, pipe) = (scratch.path("file"), scratch.path("link"), scratch.path("pipe"));
    let node = node().start();
    let url = url(node.address);
    done(["set", &url, "/a", "1"]);
    fs::write(&file, "before, and longer than what comes").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    symlink(&file, &link).unwrap();
    // Nothing comes, so what is there stays.
    assert_eq!(say(["export", &url, "/nothing", link.to_str().unwrap()]).status, 4);
    assert!(fs::read_to_string(&file).unwrap().starts_with("before"));
    for path in [&link, &file] {
        done(["export", &url, "/a", path.to_str().unwrap()]);
        assert_eq!(fs::read_to_string(&file).unwrap(), "1\n");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o640);
        fs::write(&file, "before").unwrap();
    }
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let reading = pipe.clone();
    let reading = std::thread::spawn(move || fs::read_to_string(reading).unwrap());
    done(["export", &url, "/a", pipe.to_str().unwrap()]);
    assert!(fs::metadata(&pipe).unwrap().file_type().is_fifo());
    assert_eq!(reading.join().unwrap(), "1\n");
    // A link of our own, so that a mistake does not harm the machine.
    let stdout = scratch.path("stdout");
    symlink("/dev/stdout", &stdout).unwrap();
    assert_eq!(done(["export", &url, "/a", stdout.to_str().unwrap()]), "1\n");
    let full = scratch.path("full");
    symlink("/dev/full", &full).unwrap();
    fails(["export", &url, "/a", full.to_str().unwrap()], 1, "No space left");
}
