//! `edit`: with a script as the editor.

use std::path::Path;

use crate::harness::{Node, binary, node};
use crate::shell::{Said, said, url, wait_for_document};

/// Edits a part by this line of a shell, in which `$1` is the file.
fn edit(node: &Node, pointer: &str, editor: &str) -> Said {
    let program = binary().get_program().to_owned();
    let editor = format!("sh -c '{editor}' sh");
    let mut command = binary();
    command.args(["edit", &url(node.address), pointer]);
    command.env("VISUAL", "").env("EDITOR", editor).env("PATCHMESH", program);
    command.env("PATCHMESH_TOKEN", "secret");
    said(&mut command)
}

/// The file that is said to be kept, which is removed.
fn kept(said: &Said) -> String {
    let (_, rest) = said.err.split_once("the edited text is kept in ").unwrap();
    let (path, _) = rest.split_once("; ").unwrap();
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{said:?}: {error}"));
    std::fs::remove_file(path).unwrap();
    text
}

#[test]
fn what_was_changed_is_sent_and_nothing_else() {
    let node = node().start();
    node.post_patch(r#"[{"op":"add","path":"/a","value":{"b":1,"c":[1,2],"d":0}}]"#);
    // Somebody else writes meanwhile.
    let set = format!("$PATCHMESH set {} /a/d 7", url(node.address));
    let said =
        edit(&node, "/a", &format!(r#"{set} && sed -i "s/\"b\": 1/\"b\": 2, \"n\": null/" $1"#));
    assert_eq!(said.status, 0, "{said:?}");
    wait_for_document(&node, r#"{"a":{"b":2,"c":[1,2],"d":7,"n":null}}"#);
    let length = node.length();
    let said =
        edit(&node, "", "test -O $1 && test $(stat -c %a $1) = 600 && test -z $PATCHMESH_TOKEN");
    assert_eq!((said.status, said.out.as_str()), (0, ""), "{said:?}");
    assert!(said.err.contains("nothing was changed"), "{said:?}");
    assert_eq!(node.length(), length);
}

#[test]
fn what_somebody_else_changed_is_not_overwritten() {
    let node = node().start();
    node.post_patch(r#"[{"op":"add","path":"/a","value":{"b":1}}]"#);
    let url = url(node.address);
    for (set, sed, part) in [
        ("/a/b 3", r#"s/\"b\": 1/\"b\": 2/"#, "it is 3"),
        ("/a/n 5", r#"s/\"b\": 3/\"b\": 3, \"n\": 4/"#, "/a/n was added meanwhile"),
    ] {
        let said =
            edit(&node, "/a", &format!(r#"$PATCHMESH set {url} {set} && sed -i "{sed}" $1"#));
        assert_eq!(said.status, 3, "{said:?}");
        assert!(said.err.contains(part), "{said:?}");
        let kept = kept(&said);
        assert!(kept.contains("\"b\": 2") || kept.contains("\"n\": 4"), "{kept}");
    }
    assert_eq!(node.document(), r#"{"a":{"b":3,"n":5}}"#);
}

#[test]
fn a_text_that_cannot_be_sent_is_kept() {
    let node = node().start();
    for (editor, part) in [
        ("echo {] >$1", "what was edited is not JSON"),
        ("echo {\\\"x\\\":1} >$1; exit 3", "the editor ended with exit status: 3"),
    ] {
        let said = edit(&node, "", editor);
        assert_eq!(said.status, 1, "{said:?}");
        assert!(said.err.contains(part), "{said:?}");
        assert!(kept(&said).starts_with('{'));
    }
    let said = edit(&node, "", "echo $1; exit 3");
    assert!(said.err.ends_with("nothing was sent\n"), "{said:?}");
    assert!(!Path::new(said.out.trim_end()).exists());
    let said = edit(&node, "/nothing", "echo $1");
    assert_eq!((said.status, said.out.as_str()), (4, ""));
    assert_eq!(node.document(), "{}");
}
