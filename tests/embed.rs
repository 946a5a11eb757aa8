//! What the library shows: nodes within another program.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use patchmesh::{Config, Error, Handle, Node};
use smol::Timer;
use smol::future::FutureExt;

const LIMIT: Duration = Duration::from_secs(20);

fn start(arguments: &[&str]) -> Node {
    Node::start(Config::new(arguments).expect("they are right")).expect("it starts")
}

fn patch(handle: &Handle, patch: &str) -> Result<String, Error> {
    smol::block_on(handle.patch(patch))
}

/// Waits until the document of `handle` is this text.
fn await_text(handle: &Handle, text: &str) {
    let news = handle.subscribe();
    let arrived = async {
        while handle.document().to_string() != text {
            news.recv().await.expect("it runs");
        }
    };
    let late = async {
        Timer::after(LIMIT).await;
        panic!("it is {} and not {text}", handle.document());
    };
    smol::block_on(arrived.or(late));
}

/// A directory of this test's own, empty.
fn directory(name: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("embed-{name}"));
    std::fs::remove_dir_all(&path).ok();
    path
}

#[test]
fn nodes_in_one_program_replicate() {
    let first = start(&["127.0.0.1:0"]);
    let second = start(&["127.0.0.1:0", first.addresses(), "--threads", "2"]);
    let name = patch(&first.handle(), r#"[{"op":"add","path":"/a","value":[1,"x"]}]"#).unwrap();
    assert!(name.ends_with("/1"), "{name}");
    await_text(&second.handle(), r#"{"a":[1,"x"]}"#);
    let document = second.handle().document();
    assert_eq!(document.part("/a/1").unwrap().to_string(), r#""x""#);
    assert_eq!(document.part(""), Some(document.clone()));
    assert_eq!((document.part("/b"), document.part("a")), (None, None));
    assert_eq!(serde_json::to_value(&document).unwrap(), serde_json::json!({"a": [1, "x"]}));
    // Who holds it has what was there.
    patch(&second.handle(), r#"[{"op":"remove","path":"/a"}]"#).unwrap();
    assert_eq!(document.to_string(), r#"{"a":[1,"x"]}"#);
    assert_eq!(second.handle().document().to_string(), "{}");
    // The first one reads nobody.
    assert_eq!(first.handle().document(), document);
    second.stop().unwrap();
    first.stop().unwrap();
}

#[test]
fn what_was_acknowledged_is_there_after_a_restart() {
    let path = directory("restart");
    let arguments = ["127.0.0.1:0", "--source", "kept", "--data", path.to_str().unwrap()];
    let node = start(&arguments);
    patch(&node.handle(), r#"[{"op":"add","path":"/a","value":1}]"#).unwrap();
    let stale = node.handle();
    let begin = Instant::now();
    node.stop().unwrap();
    assert!(begin.elapsed() < Duration::from_secs(9), "a handle that is held does not keep it");
    assert_eq!(patch(&stale, "[]"), Err(Error::Stopped));
    assert_eq!(stale.document().to_string(), r#"{"a":1}"#);
    let node = start(&arguments);
    assert_eq!(node.handle().document().to_string(), r#"{"a":1}"#);
    // To drop it stops it too, and lets others have the directory.
    drop(node);
    start(&arguments).stop().unwrap();
}

#[test]
fn a_write_that_nobody_waits_for_holds_up_nobody() {
    let path = directory("held");
    let node = start(&["127.0.0.1:0", "--data", path.to_str().unwrap()]);
    let handle = node.handle();
    // More than the inbox takes.
    let add = |number: u32| format!(r#"[{{"op":"add","path":"/{number}","value":1}}]"#);
    let patches: Vec<_> = (0..5000).map(add).collect();
    let mut held: Vec<_> = patches.iter().map(|patch| Box::pin(handle.patch(patch))).collect();
    for write in &mut held {
        assert!(smol::block_on(smol::future::poll_once(write)).is_none(), "it takes a turn");
    }
    let begin = Instant::now();
    patch(&handle, r#"[{"op":"add","path":"/last","value":1}]"#).unwrap();
    node.stop().unwrap();
    assert!(begin.elapsed() < Duration::from_secs(9), "nor does it hold up the end");
    assert!(handle.document().part("/last").is_some());
}

#[test]
fn a_handle_shows_what_the_node_had_last() {
    let path = directory("last");
    let node = start(&["127.0.0.1:0", "--data", path.to_str().unwrap()]);
    let writers: Vec<_> = (0..8)
        .map(|writer| {
            let handle = node.handle();
            std::thread::spawn(move || {
                let write = |number: u32| {
                    let add = format!(r#"[{{"op":"add","path":"/{writer}","value":{number}}}]"#);
                    patch(&handle, &add)
                };
                (1..).take_while(|number| write(*number).is_ok()).last()
            })
        })
        .collect();
    let handle = node.handle();
    let news = handle.subscribe();
    smol::block_on(async {
        while (0..8).any(|writer| handle.document().part(&format!("/{writer}")).is_none()) {
            news.recv().await.unwrap();
        }
    });
    node.stop().unwrap();
    for (writer, last) in writers.into_iter().enumerate() {
        let last = last.join().unwrap().unwrap().to_string();
        let shown = handle.document().part(&format!("/{writer}")).unwrap().to_string();
        assert_eq!(shown, last, "what was acknowledged is shown");
    }
}

#[test]
fn what_is_wrong_is_said() {
    let error = |arguments: &[&str]| Config::new(arguments).unwrap_err().to_string();
    assert!(error(&["127.0.0.1:0", "--keep", "soon"]).contains("soon"), "it names the value");
    assert_eq!(error(&["--version"]), "these arguments do not run a node");
    let node = start(&["127.0.0.1:0"]);
    let handle = node.handle();
    let refused = |text: &str| match patch(&handle, text) {
        Err(Error::Refused(why)) => why,
        other => panic!("{other:?}"),
    };
    assert!(refused("[").contains("column"), "where it is wrong");
    assert!(refused(r#"[{"op":"remove","path":"/a"}]"#).contains("/a"));
    assert!(refused(&" ".repeat((1 << 20) + 1)).contains("1048577"));
    assert_eq!(handle.document().to_string(), "{}", "nothing was changed");
    // The address is taken.
    let taken = Node::start(Config::new([node.addresses()]).unwrap()).map(drop);
    let Err(Error::Node(why)) = taken else { panic!("{taken:?}") };
    assert!(why.contains(node.addresses()), "{why}");
}
